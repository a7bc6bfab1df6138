"""What a project file may not change about bound licenses: some stay on their device for good, imported ones stay too.

A license moves by a file where it is declared in another place than before, under whatever id: what counts is how many
of a type leave a device while more of it appear elsewhere. A license that only vanishes from the file was never there:
that is how a wrong declaration is corrected.

- C2, D4, L4: hardware and IPVA licenses stay, and all licenses on a device whose firmware releases nothing.
- D4: the device of an imported license does not become one that the license does not go onto.
- I3: declared licenses do not join imported ones of the other model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from master.domain.catalog.catalog import Catalog
from master.domain.catalog.versions import Version
from master.domain.estate.estate import Estate
from master.domain.estate.installations import License
from master.domain.estate.project import DeviceSpec, ProjectSpec, Violation


def standing_violations(
    before: Estate, after: ProjectSpec, catalog: Catalog, software: Mapping[int, Version]
) -> list[Violation]:
    """List what a project file changes that must stay: licenses bound for good, and the place of imported ones.

    `after` was found right by itself. `software` is what PBXs are known to run, by PBX id; what the project said of
    them so far counts for the others.
    """
    imported = [license for license in before.licenses if license.file is not None]
    violations = _moved_for_good(before, after, catalog, software)
    imported_ids = {license.id: license for license in imported}
    for index, license_spec in enumerate(after.licenses):
        if license_spec.id in imported_ids:
            file = imported_ids[license_spec.id].file
            reason = f"{license_spec.id!r} was imported from file {file}; give the declared one its own id"
            violations.append(Violation(("licenses", index, "id"), reason))
    if imported and before.catalog.name != after.catalog:
        reason = (
            f"{after.catalog!r} cannot replace {before.catalog.name!r}: {len(imported)} imported licenses belong to it"
        )
        violations.append(Violation(("catalog",), reason))
        return violations
    with_pbx = {pbx.device for pbx in after.pbxs}
    for known in imported:
        if known.release is not None and known.release.to_device and known.release.to_device not in with_pbx:
            reason = f"{known.release.to_device!r} must go on running a PBX: {known.ref} is on its way to it"
            violations.append(Violation(("pbxs",), reason))
    declared = {
        (license.device, catalog.read_name(license.type).type.key) for license in after.licenses if license.device
    }
    devices = {device.name: (index, device) for index, device in enumerate(after.devices)}
    for known in imported:
        if known.device is None:
            continue
        if known.device.name not in with_pbx:
            reason = f"{known.device.name!r} must go on running a PBX: {known.ref} is bound to it; release it first"
            violations.append(Violation(("pbxs",), reason))
        violations += _platform_taken_away(known, devices)
        for rival in sorted(known.type.excludes):
            if (known.device.name, rival) in declared:  # I3
                reason = f"{catalog.types[rival].display_name} cannot be combined with {known.ref} (rule I3)"
                violations.append(Violation(("licenses",), reason))
    return violations


def _moved_for_good(
    before: Estate, after: ProjectSpec, catalog: Catalog, software: Mapping[int, Version]
) -> list[Violation]:
    """List declared licenses that leave a device they are bound to for good, under whatever id (C2, D4, L4)."""
    there, then = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    device_of = dict[str, str]()
    for known in before.licenses:
        if known.file is None:
            device_of[known.id] = known.ref.device
            there[known.ref.device, known.type.key] += known.quantity
    for license in after.licenses:
        then[license.device, catalog.read_name(license.type).type.key] += license.quantity
    violations = []
    for device, key in sorted(there):
        rules = _bound_for_good_by(before, device, key, software)
        if not rules or then[device, key] >= there[device, key]:
            continue
        arrived = [
            (device_of.get(license.id) != device, index, license)
            for index, license in enumerate(after.licenses)
            if license.device != device
            and catalog.read_name(license.type).type.key == key
            and then[license.device, key] > there[license.device, key]
        ]
        if arrived:
            _, index, license = min(arrived, key=lambda license: license[:2])
            gone = there[device, key] - then[device, key]
            to = license.device or "the balance"
            reason = (
                f"{license.id} ({license.type}): {gone:,} {catalog.types[key].display_name} are bound to {device} for"
                f" good ({rules}); they cannot move to {to}"
            )
            violations.append(Violation(("licenses", index, "device"), reason))
    return violations


def _bound_for_good_by(estate: Estate, device: str, key: str, software: Mapping[int, Version]) -> str:
    """Return the rules by which licenses of a type can never leave a device, and why; empty where they can leave."""
    pbx, license_type = estate.pbx_on.get(device), estate.catalog.types[key]
    if pbx is None:
        return ""
    if license_type.stays_on(pbx.device.platform):
        return f"rules L4, {'D4' if license_type.versioned else 'C2'}"
    first, running = estate.catalog.releases_from_software, software.get(pbx.id, pbx.software)
    if first is not None and running < first:
        return f"rule L4: {pbx.name} runs {running}, and firmware older than {first} releases nothing"
    return ""


def _platform_taken_away(license: License, devices: Mapping[str, tuple[int, DeviceSpec]]) -> Iterator[Violation]:
    """Yield a violation where an imported license's device becomes one that the license does not go onto (D4);
    `devices` are those of the file."""
    if license.device is None or license.device.name not in devices or not license.type.fits(license.device.platform):
        return
    index, device = devices[license.device.name]
    if not license.type.fits(device.platform):
        reason = f"{device.name} must stay a {license.device.platform}: {license.ref} is bound to it for good (rule D4)"
        yield Violation(("devices", index, "platform"), reason)
