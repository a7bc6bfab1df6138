"""Projects in their tables: read as a spec or as an estate, written as a whole."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import Table, delete, func, insert, select, update
from sqlalchemy.engine import RowMapping

from master.domain.agreements.entries import Subject
from master.domain.catalog import Catalog
from master.domain.estate import AgreedUse, Device, Estate, InUse, Learning, LeasePace, License, Pbx, Release
from master.domain.project import (
    DeviceSpec,
    LicenseSpec,
    PaceSpec,
    PbxSpec,
    ProjectSpec,
    SiteSpec,
    pace_of,
)
from master.domain.versions import Version
from master.domain.words import PbxRole
from master.store import tables as t
from master.store.claims import forget_pbxs
from master.store.database import Tx

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
    wanted = sorted(names)
    tx.lock("SELECT 1 FROM project WHERE name IN {?1:text} ORDER BY id FOR SHARE", wanted)
    rows = tx.rows("SELECT name, revision FROM project WHERE name IN {?1:text} AND deleted_at IS NULL", wanted)
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


def all_project_names(tx: Tx, *, with_deleted: bool = False) -> list[str]:
    """Names of all projects, sorted; those that were deleted have an audit still."""
    query = select(t.project.c.name).order_by(t.project.c.name)
    return list(tx.connection.execute(query if with_deleted else query.where(_LIVES)).scalars())


@dataclass(frozen=True, slots=True)
class DeletedProject:
    """What is left of a project, for one that comes back under its name."""

    id: int
    revision: int
    catalog: str


def deleted_project(tx: Tx, name: str) -> DeletedProject | None:
    """A project that was deleted, and did not come back."""
    rows = tx.rows("SELECT id, revision, catalog FROM project WHERE name = ?1 AND deleted_at IS NOT NULL", name)
    return DeletedProject(*rows[0]) if rows else None


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
    device_names = {one["id"]: one["name"] for one in devices}
    spec = ProjectSpec(
        name=row["name"],
        display_name=row["display_name"],
        catalog=row["catalog"],
        time_zone=row["time_zone"] or "",
        lease=_pace(row),
        sites=tuple(SiteSpec(one["name"], one["display_name"]) for one in _rows(tx, t.site, row["id"])),
        devices=tuple(DeviceSpec(one["name"], one["platform"], one["model"]) for one in devices),
        pbxs=tuple(
            PbxSpec(
                one["name"],
                one["site"],
                device_names[one["device_id"]],
                PbxRole(one["role"]),
                one["software_version"],
                one["standby_for"],
                _pace(one),
            )
            for one in _rows(tx, t.pbx, row["id"])
        ),
        licenses=tuple(
            LicenseSpec(
                one["id"],
                catalog.types[one["type"]].printed(version=one["version"], tier=one["tier"]),
                one["quantity"],
                device_names.get(one["device_id"], ""),
            )
            for one in _rows(tx, t.license_, row["id"])
            if one["file"] is None
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
        one["id"]: Device(one["id"], one["name"], one["platform"], one["model"], one["public_key"])
        for one in _rows(tx, t.device, row["id"])
    }
    pbxs = {
        one["id"]: Pbx(
            id=one["id"],
            name=one["name"],
            site=one["site"],
            device=devices[one["device_id"]],
            role=PbxRole(one["role"]),
            software=Version.parse(one["software_version"]),
            pace=pace_of(_pace(row), _pace(one), default),
            standby_for=one["standby_for"] or None,
        )
        for one in _rows(tx, t.pbx, row["id"])
    }
    pool_ids = {(one["device_id"], one["type"]): one["id"] for one in _rows(tx, t.pool, row["id"])}
    return Estate(
        project_id=row["id"],
        name=row["name"],
        revision=row["revision"],
        catalog=catalog,
        pbxs=pbxs,
        licenses=load_licenses(tx, row["id"], catalog, devices),
        pool_ids=pool_ids,
        epoch_floor=row["epoch_floor"],
        revoked_from=_revoked_from(tx, row["id"]),
        learning=_learning(row),
        time_zone=row["time_zone"] or "UTC",
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
            id=one["id"],
            type=catalog.types[one["type"]],
            version=one["version"],
            tier=one["tier"],
            quantity=one["quantity"],
            device=devices.get(one["device_id"]),
            file=one["file"],
            binding=one["binding"],
            first_bound_at=one["first_bound_at"],
            bound_at=one["bound_at"],
            held_until=one["held_until"],
            agreement_ends_at=one["agreement_ends_at"],
            release=_release(releases[one["id"]], devices) if one["id"] in releases else None,
            last_proof=one["last_proof"],
            file_agreement_ends_at=one["file_agreement_ends_at"],
            agreed=_agreed(one),
            imported_at=imported.get(one["file"]),
            key_on_word_of=tuple((one["key_on_word_of"] or "").splitlines()),
        )
        for one in _rows(tx, t.license_, project_id)
    )


def write_project(tx: Tx, spec: ProjectSpec, catalog: Catalog, *, before: StoredProject | None, now: float) -> int:
    """Make the tables equal to a spec that was found right; the new revision."""
    known = before or deleted_project(tx, spec.name)
    revision = known.revision + 1 if known else 1
    values = {
        "name": spec.name, "display_name": spec.display_name, "catalog": spec.catalog, "revision": revision,
        "applied_at": now, "time_zone": spec.time_zone or None, "deleted_at": None, **_pace_values(spec.lease),
    }  # fmt: skip
    if known is None:
        result = tx.connection.execute(insert(t.project).values(epoch_floor=0, **values).returning(t.project.c.id))
        project_id = int(result.scalar_one())
    else:
        project_id = known.id
        tx.connection.execute(update(t.project).where(t.project.c.id == project_id).values(values))
    remove_pbxs(tx, project_id, keep={one.name for one in spec.pbxs})
    tx.connection.execute(delete(t.site).where(t.site.c.project_id == project_id))
    tx.connection.execute(delete(t.license_).where(t.license_.c.project_id == project_id, t.license_.c.file.is_(None)))
    _insert(
        tx, t.site, [{"project_id": project_id, "name": s.name, "display_name": s.display_name} for s in spec.sites]
    )
    device_ids = _merge(
        tx, t.device, project_id, {d.name: {"platform": d.platform, "model": d.model} for d in spec.devices}
    )
    _merge(
        tx,
        t.pbx,
        project_id,
        {
            one.name: {
                "site": one.site,
                "device_id": device_ids[one.device],
                "role": int(one.role),
                "software_version": one.software_version,
                "standby_for": one.standby_for,
                **_pace_values(one.lease),
            }
            for one in spec.pbxs
        },
    )
    _insert(tx, t.license_, [_license_row(project_id, item, catalog, device_ids) for item in spec.licenses])
    settle_pools(tx, project_id)
    unused = [device_ids[name] for name in device_ids.keys() - {one.name for one in spec.devices}]
    tx.connection.execute(delete(t.device).where(t.device.c.id.in_(unused)))
    return revision


def pools_by_name(tx: Tx, project_id: int) -> dict[tuple[str, str], tuple[int, int]]:
    """(pool id, seats used) by device name and license type; locked."""
    tx.lock("SELECT 1 FROM pool WHERE project_id = ?1 ORDER BY id FOR NO KEY UPDATE", project_id)
    rows = tx.rows(
        "SELECT device.name, pool.type, pool.id, pool.used FROM pool JOIN device ON device.id = pool.device_id"
        " WHERE pool.project_id = ?1",
        project_id,
    )
    return {(row[0], row[1]): (row[2], row[3]) for row in rows}


def seats_held(tx: Tx, project_id: int, pbx_names: Collection[str]) -> dict[str, int]:
    """Seats held by some PBXs, by name; those without any are left out."""
    rows = tx.rows(
        "SELECT pbx.name, COUNT(*) FROM pbx JOIN seat ON seat.pbx_id = pbx.id"
        " WHERE pbx.project_id = ?1 AND pbx.name IN {?2:text} GROUP BY pbx.name",
        project_id,
        sorted(pbx_names),
    )
    return {row[0]: int(row[1]) for row in rows}


def settle_pools(tx: Tx, project_id: int) -> None:
    """Make the pools what the bound licenses add up to (A1, B4). They keep their ids; one without licenses goes."""
    bound = (t.license_.c.project_id == project_id) & t.license_.c.device_id.is_not(None)
    total = select(t.license_.c.device_id, t.license_.c.type, func.sum(t.license_.c.quantity)).where(bound)
    rows = tx.connection.execute(total.group_by(t.license_.c.device_id, t.license_.c.type))
    wanted = {(int(row[0]), str(row[1])): int(row[2]) for row in rows}
    tx.lock("SELECT 1 FROM pool WHERE project_id = ?1 ORDER BY id FOR NO KEY UPDATE", project_id)
    existing = {(row["device_id"], row["type"]): row for row in _rows(tx, t.pool, project_id)}
    for name, row in existing.items():
        if name not in wanted:
            tx.connection.execute(delete(t.pool_usage).where(t.pool_usage.c.pool_id == row["id"]))
            tx.connection.execute(delete(t.pool).where(t.pool.c.id == row["id"]))
        elif row["capacity"] != wanted[name]:
            tx.connection.execute(update(t.pool).where(t.pool.c.id == row["id"]).values(capacity=wanted[name]))
    fresh = [
        {"project_id": project_id, "device_id": device_id, "type": kind, "capacity": capacity, "used": 0}
        for (device_id, kind), capacity in wanted.items()
        if (device_id, kind) not in existing
    ]
    _insert(tx, t.pool, fresh)


def _release(row: RowMapping, devices: Mapping[int, Device]) -> Release:
    return Release(
        in_use=InUse(row["in_use"]),
        to_device=devices[row["to_device_id"]].name if row["to_device_id"] is not None else "",
        requested_by=row["requested_by"],
        requested_at=row["requested_at"],
        reason=row["reason"],
        nonce=row["nonce"],
        certified=row["certified"],
        device_dead=row["device_dead"],
        approved_by=row["approved_by"],
    )


def _agreed(row: RowMapping) -> AgreedUse | None:
    if row["agreed_kind"] is None:
        return None
    subject = Subject(row["agreed_kind"], row["agreed_id"])
    return AgreedUse(subject=subject, policy=row["use_policy"], ends_at=row["use_ends_at"])


def _revoked_from(tx: Tx, project_id: int) -> frozenset[int]:
    query = select(t.revocation.c.pbx_id).distinct().join(t.pbx, t.pbx.c.id == t.revocation.c.pbx_id)
    return frozenset(tx.connection.execute(query.where(t.pbx.c.project_id == project_id)).scalars())


def remove_pbxs(tx: Tx, project_id: int, *, keep: Collection[str]) -> None:
    """Remove PBXs and their leases; one that comes back under the same name starts above their epochs."""
    query = select(t.pbx.c.id).where(t.pbx.c.project_id == project_id, t.pbx.c.name.not_in(keep))
    gone = list(tx.connection.execute(query).scalars())
    highest = tx.connection.execute(select(func.max(t.lease.c.epoch)).where(t.lease.c.pbx_id.in_(gone))).scalar()
    if highest is not None:
        raised = update(t.project).where(t.project.c.id == project_id, t.project.c.epoch_floor < highest)
        tx.connection.execute(raised.values(epoch_floor=highest))
    tx.connection.execute(delete(t.revocation).where(t.revocation.c.pbx_id.in_(gone)))
    forget_pbxs(tx, gone)
    tx.connection.execute(delete(t.lease).where(t.lease.c.pbx_id.in_(gone)))
    tx.connection.execute(delete(t.pbx).where(t.pbx.c.id.in_(gone)))


def _merge(tx: Tx, table: Table, project_id: int, wanted: Mapping[str, Mapping[str, object]]) -> dict[str, int]:
    """Add and change rows by name, so that ids stay; the ids of all rows by name."""
    query = select(table.c.name, table.c.id).where(table.c.project_id == project_id)
    ids = {name: int(row_id) for name, row_id in tx.connection.execute(query).all()}
    for name, values in wanted.items():
        if name in ids:
            tx.connection.execute(update(table).where(table.c.id == ids[name]).values(**values))
        else:
            row = {"project_id": project_id, "name": name, **values}
            ids[name] = int(tx.connection.execute(insert(table).values(row).returning(table.c.id)).scalar_one())
    return ids


def _license_row(
    project_id: int, item: LicenseSpec, catalog: Catalog, device_ids: Mapping[str, int]
) -> dict[str, object]:
    name = catalog.read_name(item.type)
    return {
        "project_id": project_id, "id": item.id, "type": name.type.key, "version": name.version, "tier": name.tier,
        "quantity": item.quantity, "device_id": device_ids[item.device] if item.device else None,
    }  # fmt: skip


def _insert(tx: Tx, table: Table, rows: list[dict[str, object]]) -> None:
    if rows:
        tx.connection.execute(insert(table), rows)


def _rows(tx: Tx, table: Table, project_id: int) -> list[RowMapping]:
    key = table.c.id if "id" in table.c else table.c.name
    query = select(table).where(table.c.project_id == project_id).order_by(key)
    return list(tx.connection.execute(query).mappings())


def _pace(row: RowMapping) -> PaceSpec:
    return PaceSpec(row["ttl_seconds"], row["grace_seconds"], row["renew_every_seconds"])


def _pace_values(pace: PaceSpec) -> dict[str, int | None]:
    return {
        "ttl_seconds": pace.ttl_seconds,
        "grace_seconds": pace.grace_seconds,
        "renew_every_seconds": pace.renew_every_seconds,
    }
