"""Faults of a project by itself: names, times, devices, PBXs, licenses and their price tiers."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from licensemaster.values import BadValueError, free_text
from licensemaster.values.similar import Known
from licensemaster.values.toml_lines import FieldPath
from master.domain.catalog.catalog import Catalog, UnknownLicenseNameError
from master.domain.catalog.versions import TEXT_MAX, Version
from master.domain.catalog.words import PbxRole
from master.domain.estate.installations import License
from master.domain.estate.project import (
    CAPACITY_MAX,
    DISPLAY_NAME_MAX,
    NAME_RULE,
    QUANTITY_MAX,
    PaceSpec,
    ProjectSpec,
    Violation,
    is_name,
    name_of,
)
from master.domain.estate.tiers import missing_below

_PACE_LIMITS = {"ttl_seconds": (5, 86_400), "grace_seconds": (0, 2_592_000), "renew_every_seconds": (1, 86_400)}


def violations(spec: ProjectSpec, catalogs: Mapping[str, Catalog]) -> list[Violation]:
    """List everything that is wrong with a project; empty where it can be applied."""
    wrong = [*_name_violations(spec), *_pace_violations(spec.lease, ("lease",)), *_zone_violations(spec)]
    catalog = catalogs.get(spec.catalog)
    if catalog is None:
        wrong.append(
            Violation(("catalog",), f"{spec.catalog!r} is no catalog; use one of {', '.join(sorted(catalogs))}")
        )
        return wrong
    wrong += _device_violations(spec, catalog)
    wrong += _pbx_violations(spec)
    wrong += _license_violations(spec, catalog)
    return wrong


def _text_violations(text: str, at: FieldPath, *, most: int = DISPLAY_NAME_MAX) -> Iterator[Violation]:
    try:
        free_text(text, most=most)
    except BadValueError as error:
        yield Violation(at, str(error))


def _name_violations(spec: ProjectSpec) -> Iterator[Violation]:
    if not is_name(spec.name):
        yield Violation(("name",), f"{spec.name!r} {NAME_RULE}")
    yield from _text_violations(spec.display_name, ("display_name",))
    for index, site in enumerate(spec.sites):
        yield from _text_violations(site.display_name, ("sites", index, "display_name"))
    for group in ("sites", "devices", "pbxs", "licenses"):
        items: Sequence[Any] = getattr(spec, group)
        field = "id" if group == "licenses" else "name"
        seen: Counter[str] = Counter()
        for index, part in enumerate(items):
            name = name_of(part)
            seen[name] += 1
            if not is_name(name):
                yield Violation((group, index, field), f"{name!r} {NAME_RULE}")
            elif seen[name] == 2:
                yield Violation((group, index, field), f"{name!r} is there twice; give each its own")


def _pace_violations(pace: PaceSpec, at: FieldPath) -> Iterator[Violation]:
    for field, (least, most) in _PACE_LIMITS.items():
        value = getattr(pace, field)
        if value is not None and not least <= value <= most:
            yield Violation((*at, field), f"{value} must be between {least} and {most}")
    if (
        pace.renew_every_seconds is not None
        and pace.ttl_seconds is not None
        and pace.renew_every_seconds > pace.ttl_seconds
    ):
        yield Violation((*at, "renew_every_seconds"), f"{pace.renew_every_seconds} must not be more than ttl_seconds")


def _zone_violations(spec: ProjectSpec) -> Iterator[Violation]:
    try:
        ZoneInfo(spec.time_zone or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        reason = f"{spec.time_zone[:80]!r} is no time zone; write it like Europe/Berlin or UTC"
        yield Violation(("time_zone",), reason)


def _device_violations(spec: ProjectSpec, catalog: Catalog) -> Iterator[Violation]:
    for index, device in enumerate(spec.devices):
        if device.platform not in catalog.platforms:
            known = ", ".join(sorted(catalog.platforms))
            yield Violation(("devices", index, "platform"), f"{device.platform!r} is no platform; use one of {known}")
        yield from _text_violations(device.model, ("devices", index, "model"), most=TEXT_MAX)


def _pbx_violations(spec: ProjectSpec) -> Iterator[Violation]:
    sites = Known("site of this project", (site.name for site in spec.sites))
    devices = Known("device of this project", (device.name for device in spec.devices))
    pbxs = Known("PBX of this project", (pbx.name for pbx in spec.pbxs))
    on_device: Counter[str] = Counter()
    for index, pbx in enumerate(spec.pbxs):
        at: FieldPath = ("pbxs", index)
        on_device[pbx.device] += 1
        if pbx.site not in sites:
            yield Violation((*at, "site"), sites.lacks(pbx.site))
        if pbx.device not in devices:
            yield Violation((*at, "device"), devices.lacks(pbx.device))
        elif on_device[pbx.device] == 2:
            yield Violation((*at, "device"), f"{pbx.device!r} runs another PBX already; one PBX per device")
        try:
            Version.parse(pbx.software_version)
            yield from _text_violations(pbx.software_version, (*at, "software_version"), most=TEXT_MAX)
        except ValueError as error:
            yield Violation((*at, "software_version"), str(error))
        if pbx.role is PbxRole.STANDBY and not pbx.standby_for:
            yield Violation(
                (*at, "standby_for"), "a PBX with the role standby has to name the PBX that it is the standby of"
            )
        elif pbx.standby_for and pbx.standby_for not in pbxs:
            yield Violation((*at, "standby_for"), pbxs.lacks(pbx.standby_for))
        elif pbx.standby_for == pbx.name:
            yield Violation((*at, "standby_for"), f"{pbx.standby_for!r} is no other PBX of this project")
        yield from _pace_violations(pbx.lease, (*at, "lease"))
    masters = [pbx.name for pbx in spec.pbxs if pbx.role is PbxRole.MASTER]
    if len(masters) != 1:
        named = ", ".join(masters) or "none"
        yield Violation(("pbxs",), f"exactly one PBX must have the role master; here it is {named}")


def _license_violations(spec: ProjectSpec, catalog: Catalog) -> Iterator[Violation]:
    with_pbx, platforms = {pbx.device for pbx in spec.pbxs}, {device.name: device.platform for device in spec.devices}
    installed: dict[tuple[str, str], int] = {}
    capacity: Counter[tuple[str, str]] = Counter()
    for index, license in enumerate(spec.licenses):
        at: FieldPath = ("licenses", index)
        if not 1 <= license.quantity <= QUANTITY_MAX:
            yield Violation((*at, "quantity"), f"{license.quantity} must be between 1 and {QUANTITY_MAX}")
        if license.device and license.device not in with_pbx:
            yield Violation((*at, "device"), f"{license.device!r} runs no PBX of this project")
        try:
            license_type = catalog.read_name(license.type).type
        except UnknownLicenseNameError as error:
            yield Violation((*at, "type"), str(error))
            continue
        if not license.device:
            continue
        platform = platforms.get(license.device, "")
        if platform in catalog.platforms and not license_type.fits(platform):  # D4
            named = " or ".join(sorted(license_type.platforms))
            allowed = f"{license.type} goes onto devices of the platform {named} only"
            reason = f"{allowed}, {license.device} is a {platform} (rule D4)"
            yield Violation((*at, "device"), reason)
        installed.setdefault((license.device, license_type.key), index)
        capacity[license.device, license_type.key] += min(license.quantity, QUANTITY_MAX)
        if capacity[license.device, license_type.key] > CAPACITY_MAX:
            reason = f"makes more than {CAPACITY_MAX:,} {license_type.display_name} licenses on {license.device}"
            yield Violation((*at, "quantity"), reason)
        for rival in sorted(license_type.excludes):
            if (license.device, rival) in installed:  # I3
                other = catalog.types[rival].display_name
                reason = f"{license.type} cannot be combined with {other} on {license.device}; use one model (rule I3)"
                yield Violation((*at, "type"), reason)


def tier_violations(spec: ProjectSpec, catalog: Catalog, imported: Sequence[License]) -> Iterator[Violation]:
    """Yield a violation for each `%N` license below which fewer than N of lower tiers are installed (E5), imported ones
    counted (E4).

    The names of `spec` must have been found right.
    """
    bound = [
        (index, license, catalog.read_name(license.type))
        for index, license in enumerate(spec.licenses)
        if license.device
    ]
    installed = [(license.device, name.type, name.tier or 0, license.quantity) for _, license, name in bound]
    installed += [
        (license.device.name, license.type, license.tier or 0, license.quantity)
        for license in imported
        if license.device
    ]
    by_place = Counter[tuple[str, str, int]]()
    """Licenses by device (empty for the whole project), type and tier."""
    tiers: defaultdict[str, set[int]] = defaultdict(set)
    for device, license_type, tier, quantity in installed:
        tiers[license_type.key].add(tier)
        by_place[device, license_type.key, tier] += quantity
        by_place["", license_type.key, tier] += quantity
    for index, license_spec, name in bound:
        tier, key = name.tier or 0, name.type.key
        below = [lower for lower in tiers[key] if lower < tier]
        on_device, in_project = (
            sum(by_place[place, key, lower] for lower in below) for place in (license_spec.device, "")
        )
        if missing := missing_below(tier, on_device=on_device, in_project=in_project):
            reason = (
                f"{license_spec.type} counts from license {tier + 1:,} on, and {tier - missing:,} of lower tiers are"
                f" installed, on {license_spec.device} or in the project; {missing:,} are missing (rule E5)"
            )
            yield Violation(("licenses", index, "type"), reason)
