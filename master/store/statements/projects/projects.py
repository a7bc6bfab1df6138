"""Projects in their tables: read as a spec or as an estate, written as a whole."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table, select
from sqlalchemy.engine import RowMapping

from master.domain.catalog.catalog import Catalog
from master.domain.catalog.subjects import Subject
from master.domain.catalog.versions import Version
from master.domain.catalog.words import PbxRole
from master.domain.estate.estate import Estate, LeasePace, Pbx
from master.domain.estate.installations import AgreedUse, Device, License
from master.domain.estate.learning import Learning
from master.domain.estate.license_release import InUse, Release
from master.domain.estate.project import DeviceSpec, LicenseSpec, PaceSpec, PbxSpec, ProjectSpec, SiteSpec, pace_of
from master.store import tables as t
from master.store.backends.database import Tx
from master.store.statements.projects.allocation import load_allocation

LICENSE_COLUMNS = (
    "version", "tier", "quantity", "file", "binding", "first_bound_at", "bound_at", "held_until", "agreement_ends_at",
    "last_proof", "file_agreement_ends_at",
)  # fmt: skip
"""What a license and its row have by the same name, beside its id."""
RELEASE_COLUMNS = ("requested_by", "requested_at", "reason", "nonce", "certified", "device_dead", "approved_by")
_LIVES = t.project.c.deleted_at.is_(None)


@dataclass(frozen=True, slots=True)
class StoredProject:
    """A project as it was last applied."""

    id: int
    spec: ProjectSpec
    revision: int
    applied_at: float


def revisions(tx: Tx, names: Collection[str]) -> dict[str, int]:
    """Revisions by project name, locked against an apply until the transaction ends."""
    named = "name IN {?1:text} AND deleted_at IS NULL"
    rows = tx.rows(f"SELECT name, revision FROM project WHERE {named} ORDER BY id FOR SHARE", sorted(names))
    return {row[0]: row[1] for row in rows}


def lock_for_apply(tx: Tx, name: str) -> None:
    """Keep every batch of every master out of a project until the transaction ends, and every other apply out of all.

    A project that is applied for the first time has no row to lock yet.
    """
    tx.lock("LOCK TABLE project IN SHARE ROW EXCLUSIVE MODE")
    tx.lock("SELECT 1 FROM project WHERE name = ?1 FOR UPDATE", name)


def project_names(tx: Tx, *, after: str, limit: int, only: str | None = None) -> list[str]:
    """Names of projects behind `after`, sorted; at most one where `only` that one is asked about."""
    query = select(t.project.c.name).where(t.project.c.name > after, _LIVES).order_by(t.project.c.name).limit(limit)
    if only is not None:
        query = query.where(t.project.c.name == only)
    return list(tx.connection.execute(query).scalars())


_ALL_NAMES = select(t.project.c.name).order_by(t.project.c.name)


def all_project_names(tx: Tx) -> list[str]:
    """Names of all projects, sorted."""
    return list(tx.connection.execute(_ALL_NAMES.where(_LIVES)).scalars())


def names_with_audit(tx: Tx) -> list[str]:
    """Names of all projects and of those that were deleted, whose audit stays; sorted."""
    return list(tx.connection.execute(_ALL_NAMES).scalars())


@dataclass(frozen=True, slots=True)
class ProjectRow:
    """Which project has a name, at which revision; one that was deleted may come back under it."""

    id: int
    revision: int
    catalog: str
    is_deleted: bool


def project_row(tx: Tx, name: str) -> ProjectRow | None:
    """How a project stands; None where there never was one of that name."""
    rows = tx.rows("SELECT id, revision, catalog, deleted_at FROM project WHERE name = ?1", name)
    return ProjectRow(rows[0][0], rows[0][1], rows[0][2], rows[0][3] is not None) if rows else None


def pbxs_elsewhere(tx: Tx, project_id: int, spec: ProjectSpec) -> list[int]:
    """The ids of PBXs that would be gone, or on another device or another kind of device than they are."""
    platforms = {device.name: device.platform for device in spec.devices}
    wanted = {pbx.name: (pbx.device, platforms[pbx.device]) for pbx in spec.pbxs}
    rows = tx.rows(
        "SELECT pbx.id, pbx.name, device.name, device.platform FROM pbx JOIN device ON device.id = pbx.device_id"
        " WHERE pbx.project_id = ?1 ORDER BY pbx.id",
        project_id,
    )
    return [row[0] for row in rows if wanted.get(row[1]) != (row[2], row[3])]


def site_names(tx: Tx, project_id: int) -> frozenset[str]:
    """All sites of a project, those without a PBX included."""
    return frozenset(tx.connection.execute(select(t.site.c.name).where(t.site.c.project_id == project_id)).scalars())


def device_names(tx: Tx, project_id: int) -> frozenset[str]:
    """All devices of a project, those without a PBX included."""
    return frozenset(
        tx.connection.execute(select(t.device.c.name).where(t.device.c.project_id == project_id)).scalars()
    )


def load_project(tx: Tx, name: str, catalogs: Mapping[str, Catalog]) -> StoredProject | None:
    """A project as its operator wrote it."""
    row = tx.connection.execute(select(t.project).where(t.project.c.name == name, _LIVES)).mappings().first()
    if row is None:
        return None
    catalog, devices = catalogs[row["catalog"]], _rows(tx, t.device, row["id"])
    device_names = {device["id"]: device["name"] for device in devices}
    spec = ProjectSpec(
        name=row["name"],
        display_name=row["display_name"],
        catalog=row["catalog"],
        time_zone=row["time_zone"] or "",
        lease=_pace(row),
        sites=tuple(SiteSpec(site_row["name"], site_row["display_name"]) for site_row in _rows(tx, t.site, row["id"])),
        devices=tuple(DeviceSpec(device["name"], device["platform"], device["model"]) for device in devices),
        pbxs=tuple(
            PbxSpec(
                pbx_row["name"],
                pbx_row["site"],
                device_names[pbx_row["device_id"]],
                PbxRole(pbx_row["role"]),
                pbx_row["software_version"],
                pbx_row["standby_for"],
                _pace(pbx_row),
            )
            for pbx_row in _rows(tx, t.pbx, row["id"])
        ),
        licenses=tuple(
            LicenseSpec(
                license_row["id"],
                catalog.types[license_row["type"]].printed(version=license_row["version"], tier=license_row["tier"]),
                license_row["quantity"],
                device_names.get(license_row["device_id"], ""),
            )
            for license_row in _rows(tx, t.license_, row["id"])
            if license_row["file"] is None
        ),
    )
    return StoredProject(row["id"], spec, row["revision"], row["applied_at"])


def load_estate(tx: Tx, name: str, catalogs: Mapping[str, Catalog], default: LeasePace) -> Estate | None:
    """A project as the deciding core reads it."""
    row = tx.connection.execute(select(t.project).where(t.project.c.name == name, _LIVES)).mappings().first()
    if row is None:
        return None
    catalog = catalogs[row["catalog"]]
    devices = {
        device_row["id"]: Device(
            device_row["id"], device_row["name"], device_row["platform"], device_row["model"], device_row["public_key"]
        )
        for device_row in _rows(tx, t.device, row["id"])
    }
    own = _pace(row)
    pbxs = {
        pbx_row["id"]: Pbx(
            id=pbx_row["id"],
            name=pbx_row["name"],
            site=pbx_row["site"],
            device=devices[pbx_row["device_id"]],
            role=PbxRole(pbx_row["role"]),
            software=Version.parse(pbx_row["software_version"]),
            pace=pace_of(own, _pace(pbx_row), default),
            standby_for=pbx_row["standby_for"] or None,
        )
        for pbx_row in _rows(tx, t.pbx, row["id"])
    }
    pool_ids = {(pool_row["device_id"], pool_row["type"]): pool_row["id"] for pool_row in _rows(tx, t.pool, row["id"])}
    allocation = load_allocation(tx, row["id"])
    return Estate(
        project_id=row["id"],
        name=row["name"],
        revision=row["revision"],
        catalog=catalog,
        pbxs=pbxs,
        licenses=load_licenses(tx, row["id"], catalog, devices),
        pool_ids=pool_ids,
        epoch_floor=row["epoch_floor"],
        revoked_from=_pbxs_in(tx, t.revocation, row["id"]),
        waited=_pbxs_in(tx, t.waiter, row["id"]) if not allocation.queues else frozenset(),
        learning=_learning(row),
        time_zone=row["time_zone"] or "UTC",
        allocation=allocation,
    )


def _learning(row: RowMapping) -> Learning | None:
    if row["learning_until"] is None:
        return None
    return Learning(row["learning_since"], row["learning_until"], row["learning_why"])


def load_licenses(tx: Tx, project_id: int, catalog: Catalog, devices: Mapping[int, Device]) -> tuple[License, ...]:
    """All licenses of a project, by id; their releases with them."""
    query = select(t.license_release).where(t.license_release.c.project_id == project_id)
    releases = {row["license_id"]: row for row in tx.connection.execute(query).mappings()}
    files = select(t.license_file.c.id, t.license_file.c.imported_at).where(t.license_file.c.project_id == project_id)
    imported = {row["id"]: row["imported_at"] for row in tx.connection.execute(files).mappings()}
    return tuple(
        License(
            id=license_row["id"],
            type=catalog.types[license_row["type"]],
            device=devices.get(license_row["device_id"]),
            release=_release(releases[license_row["id"]], devices) if license_row["id"] in releases else None,
            agreed=_agreed(license_row),
            imported_at=imported.get(license_row["file"]),
            key_on_word_of=tuple((license_row["key_on_word_of"] or "").splitlines()),
            **{name: license_row[name] for name in LICENSE_COLUMNS},
        )
        for license_row in _rows(tx, t.license_, project_id)
    )


def pools_by_name(tx: Tx, project_id: int) -> dict[tuple[str, str], tuple[int, int, int]]:
    """(pool id, seats counted, those above what is installed) by device name and license type; locked."""
    tx.lock("SELECT 1 FROM pool WHERE project_id = ?1 ORDER BY id FOR NO KEY UPDATE", project_id)
    rows = tx.rows(
        "SELECT device.name, pool.type, pool.id, pool.used, pool.overdrawn FROM pool"
        " JOIN device ON device.id = pool.device_id WHERE pool.project_id = ?1",
        project_id,
    )
    return {(row[0], row[1]): (row[2], row[3], row[4]) for row in rows}


def seats_held(tx: Tx, project_id: int, pbx_names: Collection[str]) -> dict[str, int]:
    """Seats held by some PBXs, by name; those without any are left out."""
    rows = tx.rows(
        "SELECT pbx.name, COUNT(*) FROM pbx JOIN seat ON seat.pbx_id = pbx.id"
        " WHERE pbx.project_id = ?1 AND pbx.name IN {?2:text} GROUP BY pbx.name",
        project_id,
        sorted(pbx_names),
    )
    return {row[0]: int(row[1]) for row in rows}


def _release(row: RowMapping, devices: Mapping[int, Device]) -> Release:
    return Release(
        in_use=InUse(row["in_use"]),
        to_device=devices[row["to_device_id"]].name if row["to_device_id"] is not None else "",
        **{name: row[name] for name in RELEASE_COLUMNS},
    )


def _agreed(row: Mapping[str, Any]) -> AgreedUse | None:
    if row["agreed_kind"] is None:
        return None
    subject = Subject(row["agreed_kind"], row["agreed_id"])
    return AgreedUse(subject=subject, policy=row["use_policy"], ends_at=row["use_ends_at"])


def _pbxs_in(tx: Tx, table: Table, project_id: int) -> frozenset[int]:
    """The PBXs of a project that a table says anything of."""
    query = select(table.c.pbx_id).distinct().join(t.pbx, t.pbx.c.id == table.c.pbx_id)
    return frozenset(tx.connection.execute(query.where(t.pbx.c.project_id == project_id)).scalars())


def _rows(tx: Tx, table: Table, project_id: int) -> list[Mapping[str, Any]]:
    """A project's rows of a table, in an order that stays."""
    names = [column.name for column in table.c]
    statement = f"SELECT {', '.join(names)} FROM {table.name} WHERE project_id = ?1 ORDER BY"
    rows = tx.rows(f"{statement} {'id' if 'id' in table.c else 'name'}", project_id)
    return [dict(zip(names, row, strict=True)) for row in rows]


def _pace(row: Mapping[str, Any] | RowMapping) -> PaceSpec:
    return PaceSpec(row["ttl_seconds"], row["grace_seconds"], row["renew_every_seconds"])
