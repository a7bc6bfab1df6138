"""Warnings of what in a project will not work, for an operator who changes it (F6)."""

from __future__ import annotations

from collections.abc import Mapping

from master.domain.catalog.versions import Version
from master.domain.catalog.words import Feature
from master.domain.estate.estate import Estate
from master.domain.leases.standby import estate_problems, pairs


def warnings_of(estate: Estate, software: Mapping[int, Version]) -> tuple[str, ...]:
    """List warnings of what will not work; `software` is what PBXs say they run now, by PBX id (B10)."""
    warnings, has_pairs = [], bool(pairs(estate))
    for installation in estate.installations.values():
        if above := estate.pbxs_above_limit(installation, software):
            named = ", ".join(f"{pbx.name} ({software.get(pbx.id, pbx.software)})" for pbx in above)
            held_down = ", ".join(str(license.ref) for license in installation.limiting)
            warnings.append(
                f"{installation.device.name} is licensed up to V{installation.limit} by {held_down}:"
                f" {named} will get nothing new (rule B5)"
            )
        for license_type in {license.type.key: license.type for license in installation.licenses}.values():
            told_by_pair = license_type.enables is Feature.STANDBY and has_pairs
            if not told_by_pair and not estate.feature_is_on(installation, license_type):
                matched = license_type.matches or ""
                warnings.append(
                    f"{license_type.display_name} is off on {installation.device.name}:"
                    f" {installation.capacity[license_type.key]} installed for {installation.capacity.get(matched, 0)}"
                    f" {estate.catalog.types[matched].display_name} ({', '.join(license_type.rules)})"
                )
    warnings += [
        f"{pbx.name} runs {software.get(pbx.id, pbx.software)} and gets nothing new from the pool on"
        f" {estate.master.device.name}: that needs PBX software {needed} or newer (rule A5)"
        for pbx in estate.pbxs.values()
        if (needed := estate.central_software_missing(pbx, software.get(pbx.id, pbx.software))) is not None
    ]
    warnings += [
        f"{standby.name} {'cannot take over' if problem.kind.blocking else 'should be checked before it takes over'}"
        f" for {primary.name}: {problem.message} ({', '.join(problem.rules)})"
        for standby, primary, problem in estate_problems(estate, software)
    ]  # F6
    warnings += [
        f"the allocation rule {rule.name!r} is about the site {rule.site!r}, where no PBX stands;"
        f" `license-master allocation remove {rule.name}` takes it back"
        for rule in estate.allocation.rules
        if rule.site and rule.site not in estate.pbxs_at
    ]
    return tuple(warnings)
