"""A project as an operator writes it down: plain values, and what differs between two of them.

`estate.py` is the same project as the deciding core reads it, made from this once `project_violations.py` finds
nothing wrong with it.
"""

from __future__ import annotations

import re
from collections import Counter
from enum import Enum
from functools import lru_cache
from typing import Any

from msgspec.structs import asdict

from licensemaster.values.toml_lines import FieldPath
from master.domain.catalog.catalog import Catalog
from master.domain.catalog.words import PbxRole
from master.domain.estate.estate import LeasePace
from master.values import Value

NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
NAME_RULE = "must be 1 to 63 of a-z, 0-9 and '-', not starting or ending with '-'"
QUANTITY_MAX = 1_000_000
FILE_ITEMS_MAX = 1000
"""The most licenses in a vendor's file."""
DISPLAY_NAME_MAX = 255
CAPACITY_MAX = 1_000_000_000


class PaceSpec(Value):
    """How long leases last; None leaves the value to the project or the server."""

    ttl_seconds: int | None = None
    grace_seconds: int | None = None
    renew_every_seconds: int | None = None


class SiteSpec(Value):
    """A place with PBXs."""

    name: str
    display_name: str = ""


class DeviceSpec(Value):
    """A box or virtual machine."""

    name: str
    platform: str
    model: str = ""


class PbxSpec(Value):
    name: str
    site: str
    device: str
    role: PbxRole
    software_version: str
    standby_for: str = ""
    lease: PaceSpec = PaceSpec()


class LicenseSpec(Value):
    """A purchased item; `type` is its printed name."""

    id: str
    type: str
    quantity: int
    device: str = ""


class ProjectSpec(Value):
    name: str
    display_name: str
    catalog: str
    lease: PaceSpec
    sites: tuple[SiteSpec, ...]
    devices: tuple[DeviceSpec, ...]
    pbxs: tuple[PbxSpec, ...]
    licenses: tuple[LicenseSpec, ...]
    time_zone: str = ""
    """The time zone that the days of the project's agreements are counted in: an IANA name; empty for UTC."""


class Violation(Value):
    """One mistake in what an operator wrote: the field, what is wrong with it, and what to do."""

    path: FieldPath
    reason: str


class ViolationsError(Exception):
    """What an operator wrote cannot be used; each violation says where and why."""

    def __init__(self, wrong: list[Violation]) -> None:
        super().__init__("; ".join(violation.reason for violation in wrong))
        self.violations = wrong


class ProjectInvalidError(ViolationsError):
    """A project cannot be applied."""


class ChangeAction(Enum):
    """What applying a project does to one of its sites, devices, PBXs or licenses."""

    ADD = 1
    CHANGE = 2
    REMOVE = 3


class Change(Value):
    """One line of what differs between two projects."""

    action: ChangeAction
    kind: str
    name: str
    before: str
    after: str

    @property
    def details(self) -> dict[str, str]:
        """The change as the audit keeps it."""
        return {**asdict(self), "action": self.action.name}


def is_name(text: str) -> bool:
    """Tell whether a text can name a thing of a project: 1 to 63 of a-z, 0-9 and '-'."""
    return NAME.fullmatch(text) is not None


@lru_cache(maxsize=64)  # of ten thousand PBXs most say the same: nothing
def pace_of(project: PaceSpec, pbx: PaceSpec, default: LeasePace) -> LeasePace:
    """Return the pace of a PBX: its own setting, else the project's, else the server's; it renews at a third of the
    ttl."""
    ttl = _first(pbx.ttl_seconds, project.ttl_seconds, default.ttl_seconds)
    grace = _first(pbx.grace_seconds, project.grace_seconds, default.grace_seconds)
    own_ttl = pbx.ttl_seconds is not None or project.ttl_seconds is not None
    usual = max(ttl // 3, 1) if own_ttl else default.renew_every_seconds
    return LeasePace(ttl, grace, min(_first(pbx.renew_every_seconds, project.renew_every_seconds, usual), ttl))


def changes(before: ProjectSpec | None, after: ProjectSpec) -> list[Change]:
    """List what applying `after` would change, additions and removals included."""
    changed = []
    if before is None:
        changed.append(Change(ChangeAction.ADD, "project", after.name, "", _text(after)))
    elif _text(before) != _text(after):
        changed.append(Change(ChangeAction.CHANGE, "project", after.name, _text(before), _text(after)))
    for kind, key in (("site", "sites"), ("device", "devices"), ("pbx", "pbxs"), ("license", "licenses")):
        old = {name_of(part): _text(part) for part in getattr(before, key, ())}
        new = {name_of(part): _text(part) for part in getattr(after, key)}
        changed += [Change(ChangeAction.REMOVE, kind, name, old[name], "") for name in old if name not in new]
        changed += [Change(ChangeAction.ADD, kind, name, "", new[name]) for name in new if name not in old]
        changed += [
            Change(ChangeAction.CHANGE, kind, name, old[name], new[name])
            for name in new
            if name in old and old[name] != new[name]
        ]
    return changed


def _first(*values: int | None) -> int:
    return next(value for value in values if value is not None)


def name_of(part: Any) -> str:
    """Return the name of a site, device or PBX, or the id of a license, in its project."""
    return str(part.id if isinstance(part, LicenseSpec) else part.name)


def _text(part: Any) -> str:
    """Return a thing as one line, without its name and its empty fields."""
    parts = []
    for name, value in asdict(part).items():
        if name in ("name", "id") or isinstance(value, tuple) or value in ("", None):
            continue
        if isinstance(value, PaceSpec):
            parts += [f"{setting}={seconds}" for setting, seconds in asdict(value).items() if seconds is not None]
        else:
            parts.append(f"{name}={value.name.lower() if isinstance(value, Enum) else value}")
    return " ".join(parts)


def capacities(spec: ProjectSpec, catalog: Catalog) -> dict[tuple[str, str], int]:
    """Count the licenses bound, by device and type (A1, B4)."""
    quantities: Counter[tuple[str, str]] = Counter()
    for license_spec in spec.licenses:
        if license_spec.device:
            quantities[license_spec.device, catalog.read_name(license_spec.type).type.key] += license_spec.quantity
    return dict(quantities)
