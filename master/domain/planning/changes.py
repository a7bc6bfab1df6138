"""Changes that an operator plans, and the project as it would be after them.

Any changes can be put in a row; each finds the project as the changes before left it. A license that cannot be moved
stays where it is and is reported as an obstacle, by the judgements of `domain/licenses/moves.py`. What the new project
means for those who hold seats is left to `replay.py`, the answer to `plan.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from zoneinfo import ZoneInfo

from licensemaster.values.similar import Known
from licensemaster.values.toml_lines import FieldPath
from master.domain.catalog.catalog import Catalog, RequiredOf
from master.domain.catalog.dates import first_instant_of
from master.domain.catalog.versions import Version
from master.domain.catalog.words import Metering, PbxRole
from master.domain.estate.estate import Estate, Pbx
from master.domain.estate.installations import Device, License
from master.domain.estate.project import Violation, ViolationsError
from master.domain.licenses import move_problems, moves
from master.domain.licenses.move_problems import MoveRefusal
from master.domain.remedies.move_remedies import AskedMove, MoveKind, move_refused
from master.domain.seats.seats import Want
from master.values import Value, replace


class Upgrade(Value):
    """Run another software version on the PBXs of a site, or on all where `site` is empty (B7)."""

    version: Version
    site: str = ""


class Release(Value):
    """Release licenses, by id, into the project balance (L2)."""

    licenses: tuple[str, ...]


class Rebind(Value):
    """Bind licenses, by id, to a device, from another device (L6) or from the balance."""

    licenses: tuple[str, ...]
    device: str


class GoCentral(Value):
    """Bind the licenses of a locally licensed PBX to the master; the PBX then draws on the pool (A5)."""

    pbx: str


class AddSite(Value):
    """Add a site with a PBX of its own that draws on the pool."""

    name: str
    demand: Mapping[str, int]
    """Seats by license type, by key or any spelling of the name; seats of several types belong to the same users."""
    platform: str = ""
    """The platform of the site's device; empty for that of the master's device."""
    software: Version | None = None
    """The software of the site's PBX; None for that of the master."""


class ReachDay(Value):
    """Let a day in the project's time zone come, with nothing more bought or renewed until then (P1, R3)."""

    day: date


PlannedChange = Upgrade | Release | Rebind | GoCentral | AddSite | ReachDay


class Planned(Value):
    """A project as it would be after planned changes."""

    estate: Estate
    software: Mapping[int, Version]
    """The software that PBXs are known to run then, by PBX id; for the others the estate says it."""
    upgraded: frozenset[int]
    """The ids of PBXs whose software an `Upgrade` names (B7), whatever they run today."""
    wants: Mapping[int, tuple[Want, ...]]
    """The seats that the PBXs of new sites ask for, by PBX id."""
    obstacles: tuple[MoveRefusal, ...]
    """The licenses that cannot be moved, and why; they stay where they are."""
    ended: frozenset[str]
    """The ids of licenses whose use has ended by then; their seats are taken away."""
    now: float
    """The moment of the planned project, UNIX seconds."""
    staying: tuple[License, ...]
    """Licenses that never leave the device of a PBX that goes central, and do not keep it local (A6, D5)."""


class PlanInvalidError(ViolationsError):
    """An error of a planned change that names what does not exist, or has no meaning."""


def planned(
    estate: Estate,
    changes: Sequence[PlannedChange],
    *,
    software: Mapping[int, Version] | None = None,
    devices: Collection[str] = (),
    now: float = 0.0,
) -> Planned:
    """Return the project as it would be after changes, made one after the other.

    `software` is what PBXs are known to run now, by PBX id; `devices` are the names of all devices of the project,
    those without a PBX included. A license that has to wait until after `now`, UNIX seconds, cannot be bound.
    Raises PlanInvalidError if a change is wrong in itself.
    """
    draft = _Draft(estate, software or {}, devices, now)
    for index, change in enumerate(changes):
        at: FieldPath = ("changes", index)
        match change:
            case Upgrade():
                draft.upgrade(change, at)
            case Release():
                draft.release(change, at)
            case Rebind():
                draft.rebind(change, at)
            case GoCentral():
                draft.go_central(change, at)
            case AddSite():
                draft.add_site(change, at)
            case ReachDay():
                draft.reach_day(change, at)
    return draft.planned()


class _Draft:
    """A project while planned changes are made to it."""

    def __init__(self, estate: Estate, software: Mapping[int, Version], devices: Collection[str], now: float) -> None:
        self._estate = estate
        self._software = dict(software)
        self._devices = devices
        self._now = now
        self._upgraded: set[int] = set()
        self._wants: dict[int, tuple[Want, ...]] = {}
        self._obstacles: list[MoveRefusal] = []
        self._staying: list[License] = []
        self._ended: set[str] = set()

    def planned(self) -> Planned:
        return Planned(
            self._estate,
            self._software,
            frozenset(self._upgraded),
            self._wants,
            tuple(sorted(self._obstacles, key=lambda license: license.problem)),
            frozenset(self._ended),
            self._now,
            tuple(self._staying),
        )

    def upgrade(self, change: Upgrade, at: FieldPath) -> None:
        pbxs = [pbx for pbx in self._estate.pbxs.values() if change.site in ("", pbx.site)]
        if not pbxs:
            sites = Known("site with a PBX", (pbx.site for pbx in self._estate.pbxs.values()))
            raise _wrong((*at, "upgrade", "site"), sites.lacks(change.site))
        for pbx in pbxs:
            self._upgraded.add(pbx.id)
            self._software[pbx.id] = change.version

    def release(self, change: Release, at: FieldPath) -> None:
        for license in self._named(change.licenses, (*at, "release", "licenses")):
            self._move(license, None)

    def rebind(self, change: Rebind, at: FieldPath) -> None:
        device = moves.target_device(self._estate, change.device, devices=self._devices)
        if isinstance(device, MoveRefusal):
            raise _wrong((*at, "rebind", "device"), f"{device.message}; {device.remedy}")
        for license in moves.in_binding_order(self._named(change.licenses, (*at, "rebind", "licenses"))):
            self._move(license, device)

    def go_central(self, change: GoCentral, at: FieldPath) -> None:
        pbx_id = self._estate.pbx_ids.get(change.pbx)
        if pbx_id is None:
            raise _wrong((*at, "go_central", "pbx"), self._lacks("PBX", self._estate.pbx_ids, change.pbx))
        pbx, master = self._estate.pbxs[pbx_id], self._estate.master.device
        refused = moves.going_central_refused(self._estate, pbx, software=self._software)
        if refused is not None:
            self._obstacles.append(refused)
            return
        self._staying += moves.staying_behind(self._estate, pbx)
        for license in moves.leaving_for_central(self._estate, pbx):
            self._move(license, master)

    def add_site(self, change: AddSite, at: FieldPath) -> None:
        at, estate = (*at, "add_site"), self._estate
        taken = {*estate.pbx_ids, *estate.pbx_on, *self._devices, *(pbx.site for pbx in estate.pbxs.values())}
        if change.name in taken:
            raise _wrong((*at, "name"), f"{change.name!r} is taken by a site, PBX or device; choose another name")
        platform = change.platform or estate.master.device.platform
        if platform not in estate.catalog.platforms:
            known = ", ".join(sorted(estate.catalog.platforms))
            raise _wrong((*at, "platform"), f"{platform!r} is no platform; use one of {known}")
        demand = self._demand(change, at)
        pbx_id = max(estate.pbxs) + 1
        device = Device(max(pbx.device.id for pbx in estate.pbxs.values()) + 1, change.name, platform, "")
        software = change.software or self._running(estate.master)
        pbx = Pbx(pbx_id, change.name, change.name, device, PbxRole.SLAVE, software, estate.master.pace)
        allocation = replace(estate.allocation)  # of which nothing is worked out yet for the sites that there were
        self._estate = replace(estate, pbxs={**estate.pbxs, pbx_id: pbx}, allocation=allocation)
        self._wants[pbx_id] = tuple(_wants(change.name, demand, estate.catalog))

    def reach_day(self, change: ReachDay, at: FieldPath) -> None:
        begins = first_instant_of(change.day, ZoneInfo(self._estate.time_zone))
        if begins <= self._now:
            raise _wrong((*at, "reach_day", "day"), f"{change.day} does not lie ahead; name a later day")
        self._now = begins
        ended = [
            license for license in self._estate.licenses if license.use_is_over(begins) and license.device is not None
        ]
        self._ended |= {license.id for license in ended}
        self._place(ended, None)

    def _demand(self, change: AddSite, at: FieldPath) -> dict[str, int]:
        catalog, demand = self._estate.catalog, dict[str, int]()
        for name, seats in change.demand.items():
            license_type, field = catalog.type_named(name), (*at, f"demand[{name!r}]")
            if license_type is None:
                known = ", ".join(sorted(catalog.types))
                raise _wrong(field, f"{name!r} is no license type; use one of {known}")
            if license_type.metering is Metering.COMPANION:
                raise _wrong(field, f"{license_type.display_name} seats come along with others; name those instead")
            if seats < 1:
                raise _wrong(field, f"{seats} must be 1 or more seats")
            if license_type.key in demand:
                raise _wrong(field, f"{license_type.display_name} is named twice; add the numbers up")
            demand[license_type.key] = seats
        return demand

    def _move(self, license: License, device: Device | None) -> None:
        kind = MoveKind.RELEASE if device is None else MoveKind.BIND if license.device is None else MoveKind.REBIND
        asked = AskedMove(kind=kind, license=license.id, device=device)
        refused = move_refused(asked, self._estate, software=self._software) or self._not_yet(license, device)
        if refused is not None:
            self._obstacles.append(refused)
        else:
            self._place([license], device)

    def _place(self, licenses: Iterable[License], device: Device | None) -> None:
        there = (replace(license, device=device, release=None) for license in licenses)
        self._estate = self._estate.with_licenses(there)

    def _not_yet(self, license: License, device: Device | None) -> MoveRefusal | None:
        """Return what a license has to wait for: its release, or the end of its cooling off; None for nothing."""
        if license.release is not None and license.release.to_device != (device.name if device is not None else ""):
            return move_problems.release_under_way(license)
        return None if device is None else moves.binding_refused_now(license, self._now)

    def _named(self, ids: Sequence[str], at: FieldPath) -> list[License]:
        by_id = {license.id: license for license in self._estate.licenses}
        for index, license_id in enumerate(ids):
            if license_id not in by_id:
                raise _wrong((*at, index), self._lacks("license", by_id, license_id))
        return [by_id[fromkey] for fromkey in dict.fromkeys(ids)]

    def _lacks(self, kind: str, known: Iterable[str], name: str) -> str:
        return Known(f"{kind} of project {self._estate.name}", known).lacks(name)

    def _running(self, pbx: Pbx) -> Version:
        return self._software.get(pbx.id, pbx.software)


def _wants(site: str, demand: Mapping[str, int], catalog: Catalog) -> Iterable[Want]:
    """List the seats that a new site's users ask for, by numbers; parts that a whole includes are left out (H3)."""
    for key, seats in demand.items():
        license_type = catalog.types[key]
        kind = min(license_type.holders)
        needs_line = any(needed.of is RequiredOf.LINE for needed in license_type.requires)
        included = max((demand.get(whole.key, 0) for whole in catalog.included_in[key]), default=0)
        for number in range(included + 1, seats + 1):
            user = f"{site}-{number}"
            yield Want(key, kind, user, "" if kind.is_user else user, user if needs_line else "")


def _wrong(path: FieldPath, reason: str) -> PlanInvalidError:
    return PlanInvalidError([Violation(path, reason)])
