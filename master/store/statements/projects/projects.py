"""Projects in their tables: read as a spec or as an estate."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from msgspec import convert

from master.domain.catalog.catalog import Catalog
from master.domain.catalog.subjects import Subject
from master.domain.catalog.versions import Version
from master.domain.catalog.words import PbxRole
from master.domain.estate.estate import Estate, LeasePace, Pbx
from master.domain.estate.installations import AgreedUse, Device, License
from master.domain.estate.learning import Learning
from master.domain.estate.license_release import Release
from master.domain.estate.project import PaceSpec, ProjectSpec, SiteSpec, pace_of
from master.store.backends.database import Tx
from master.store.statements.projects.allocation import load_allocation
from master.values import Value

LICENSE_COLUMNS = (
    "version", "tier", "quantity", "file", "binding", "first_bound_at", "bound_at", "held_until", "agreement_ends_at",
    "last_proof", "file_agreement_ends_at",
)  # fmt: skip
"""The names that a license and its row share, beside its id."""
RELEASE_COLUMNS = ("requested_by", "requested_at", "reason", "nonce", "certified", "device_dead", "approved_by")
_PACE = PaceSpec.__struct_fields__
_PROJECT = (
    "id", "name", "display_name", "catalog", "time_zone", "revision", "applied_at", "epoch_floor", "learning_since",
    "learning_until", "learning_why", *_PACE,
)  # fmt: skip
_DEVICE = ("id", "name", "platform", "model", "public_key")
_PBX = ("id", "name", "site", "device_id", "role", "software_version", "standby_for", *_PACE)
_LICENSE = (
    "id", "type", "device_id", "key_on_word_of", "agreed_kind", "agreed_id", "use_policy", "use_ends_at",
    *LICENSE_COLUMNS,
)  # fmt: skip
_DECLARED = ("id", "type", "version", "tier", "quantity", "device_id", "file")
_RELEASE = ("license_id", "in_use", "to_device_id", *RELEASE_COLUMNS)


class StoredProject(Value):
    """A project as it was last applied."""

    id: int
    spec: ProjectSpec
    revision: int
    applied_at: float


def revisions(tx: Tx, names: Collection[str]) -> dict[str, tuple[int, int]]:
    """Return by project name its revision and the floor of its epochs, and lock the projects against an apply until the
    transaction ends.

    A restore takes a database to an earlier revision, from which the same numbers are counted again; the floor, which
    it raises, tells them apart.
    """
    named = "name IN {?1:text} AND deleted_at IS NULL"
    statement = f"SELECT name, revision, epoch_floor FROM project WHERE {named} ORDER BY id FOR SHARE"
    return {name: (revision, floor) for name, revision, floor in tx.rows(statement, sorted(names))}


def next_revision(tx: Tx, project_id: int) -> None:
    """Raise a project's revision, so that every master reads the project anew from its next batch on."""
    tx.rows("UPDATE project SET revision = revision + 1 WHERE id = ?1", project_id)


def lock_for_apply(tx: Tx, name: str) -> None:
    """Keep every batch of every master out of a project, and every other apply out of all, until the transaction ends.

    A project that is applied for the first time has no row to lock yet.
    """
    tx.lock("LOCK TABLE project IN SHARE ROW EXCLUSIVE MODE")
    tx.lock("SELECT 1 FROM project WHERE name = ?1 FOR UPDATE", name)


def project_names(tx: Tx, *, after: str, limit: int, only: str | None = None) -> list[str]:
    """Return project names after `after`, sorted; with `only`, at most that name."""
    statement = (
        "SELECT name FROM project WHERE name > ?1 AND name = COALESCE(CAST(?3 AS TEXT), name) AND deleted_at IS NULL"
        " ORDER BY name LIMIT ?2"
    )
    return [row[0] for row in tx.rows(statement, after, limit, only)]


def all_project_names(tx: Tx) -> list[str]:
    """Return the names of all projects, sorted."""
    return [row[0] for row in tx.rows("SELECT name FROM project WHERE deleted_at IS NULL ORDER BY name")]


def names_with_audit(tx: Tx) -> list[str]:
    """Return the names of all projects, deleted ones included, as their audit stays; sorted."""
    return [row[0] for row in tx.rows("SELECT name FROM project ORDER BY name")]


class ProjectRow(Value):
    """The project that has a name, and its revision; a deleted project may come back under its name."""

    id: int
    revision: int
    catalog: str
    is_deleted: bool


def project_row(tx: Tx, name: str) -> ProjectRow | None:
    """Return the row of a project; None where there never was a project of that name."""
    rows = tx.rows("SELECT id, revision, catalog, deleted_at FROM project WHERE name = ?1", name)
    return ProjectRow(rows[0][0], rows[0][1], rows[0][2], rows[0][3] is not None) if rows else None


def pbxs_elsewhere(tx: Tx, project_id: int, spec: ProjectSpec) -> list[int]:
    """Return the ids of PBXs that a spec removes, or puts on another device or another kind of device."""
    platforms = {device.name: device.platform for device in spec.devices}
    wanted = {pbx.name: (pbx.device, platforms[pbx.device]) for pbx in spec.pbxs}
    rows = tx.rows(
        "SELECT pbx.id, pbx.name, device.name, device.platform FROM pbx JOIN device ON device.id = pbx.device_id"
        " WHERE pbx.project_id = ?1 ORDER BY pbx.id",
        project_id,
    )
    return [row[0] for row in rows if wanted.get(row[1]) != (row[2], row[3])]


def site_names(tx: Tx, project_id: int) -> frozenset[str]:
    """Return all sites of a project, those without a PBX included."""
    return frozenset(row[0] for row in tx.rows("SELECT name FROM site WHERE project_id = ?1", project_id))


def device_names(tx: Tx, project_id: int) -> frozenset[str]:
    """Return all devices of a project, those without a PBX included."""
    return frozenset(row[0] for row in tx.rows("SELECT name FROM device WHERE project_id = ?1", project_id))


def load_project(tx: Tx, name: str, catalogs: Mapping[str, Catalog]) -> StoredProject | None:
    """Return a project as its operator wrote it; None where there is none."""
    row = _project(tx, name)
    if row is None:
        return None
    catalog, devices = catalogs[row["catalog"]], _rows(tx, "device", _DEVICE, row["id"])
    device_names = {device["id"]: device["name"] for device in devices}
    parts = {
        "time_zone": row["time_zone"] or "",
        "lease": row,
        "sites": _rows(tx, "site", SiteSpec.__struct_fields__, row["id"]),
        "devices": devices,
        "pbxs": [
            pbx | {"device": device_names[pbx["device_id"]], "lease": pbx} for pbx in _rows(tx, "pbx", _PBX, row["id"])
        ],
        "licenses": [
            license
            | {
                "type": catalog.types[license["type"]].printed(version=license["version"], tier=license["tier"]),
                "device": device_names.get(license["device_id"], ""),
            }
            for license in _rows(tx, "license", _DECLARED, row["id"])
            if license["file"] is None
        ],
    }
    return StoredProject(row["id"], convert(row | parts, ProjectSpec), row["revision"], row["applied_at"])


def load_estate(tx: Tx, name: str, catalogs: Mapping[str, Catalog], default: LeasePace) -> Estate | None:
    """Return a project as the deciding core reads it; None where there is none."""
    row = _project(tx, name)
    if row is None:
        return None
    catalog = catalogs[row["catalog"]]
    devices = {device["id"]: convert(device, Device) for device in _rows(tx, "device", _DEVICE, row["id"])}
    own = convert(row, PaceSpec)
    pbxs = {
        pbx_row["id"]: Pbx(
            id=pbx_row["id"],
            name=pbx_row["name"],
            site=pbx_row["site"],
            device=devices[pbx_row["device_id"]],
            role=PbxRole(pbx_row["role"]),
            software=Version.parse(pbx_row["software_version"]),
            pace=pace_of(own, convert(pbx_row, PaceSpec), default),
            standby_for=pbx_row["standby_for"] or None,
        )
        for pbx_row in _rows(tx, "pbx", _PBX, row["id"])
    }
    pools = tx.rows("SELECT device_id, type, id FROM pool WHERE project_id = ?1 ORDER BY id", row["id"])
    allocation = load_allocation(tx, row["id"])
    return Estate(
        project_id=row["id"],
        name=row["name"],
        revision=row["revision"],
        catalog=catalog,
        pbxs=pbxs,
        licenses=load_licenses(tx, row["id"], catalog, devices),
        pool_ids={(pool[0], pool[1]): pool[2] for pool in pools},
        epoch_floor=row["epoch_floor"],
        revoked_from=_pbxs_in(tx, "revocation", row["id"]),
        waited=_pbxs_in(tx, "waiter", row["id"]) if not allocation.queues else frozenset(),
        learning=_learning(row),
        time_zone=row["time_zone"] or "UTC",
        allocation=allocation,
    )


def _learning(row: Mapping[str, Any]) -> Learning | None:
    if row["learning_until"] is None:
        return None
    return Learning(row["learning_since"], row["learning_until"], row["learning_why"])


def load_licenses(tx: Tx, project_id: int, catalog: Catalog, devices: Mapping[int, Device]) -> tuple[License, ...]:
    """Return all licenses of a project with their releases, by id."""
    releases = {row["license_id"]: row for row in _rows(tx, "license_release", _RELEASE, project_id)}
    files = tx.rows("SELECT id, imported_at FROM license_file WHERE project_id = ?1", project_id)
    imported = {row[0]: row[1] for row in files}
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
        for license_row in _rows(tx, "license", _LICENSE, project_id)
    )


def pools_by_name(tx: Tx, project_id: int) -> dict[tuple[str, str], tuple[int, int, int]]:
    """Lock a project's pools; return (pool id, seats counted, seats overdrawn) by device name and license type."""
    tx.lock("SELECT 1 FROM pool WHERE project_id = ?1 ORDER BY id FOR NO KEY UPDATE", project_id)
    rows = tx.rows(
        "SELECT device.name, pool.type, pool.id, pool.used, pool.overdrawn FROM pool"
        " JOIN device ON device.id = pool.device_id WHERE pool.project_id = ?1",
        project_id,
    )
    return {(row[0], row[1]): (row[2], row[3], row[4]) for row in rows}


def seats_held(tx: Tx, project_id: int, pbx_names: Collection[str]) -> dict[str, int]:
    """Return how many seats some PBXs hold, by PBX name; PBXs without any are left out."""
    statement = (
        "SELECT pbx.name, COUNT(*) FROM pbx JOIN seat ON seat.pbx_id = pbx.id"
        " WHERE pbx.project_id = ?1 AND pbx.name IN {?2:text} GROUP BY pbx.name"
    )
    rows = tx.rows(statement, project_id, sorted(pbx_names))
    return {row[0]: int(row[1]) for row in rows}


def _release(row: Mapping[str, Any], devices: Mapping[int, Device]) -> Release:
    to_device = devices[row["to_device_id"]].name if row["to_device_id"] is not None else ""
    return convert({**row, "to_device": to_device}, Release, strict=False)  # SQLite has numbers for truths


def _agreed(row: Mapping[str, Any]) -> AgreedUse | None:
    if row["agreed_kind"] is None:
        return None
    subject = Subject(row["agreed_kind"], row["agreed_id"])
    return AgreedUse(subject=subject, policy=row["use_policy"], ends_at=row["use_ends_at"])


def _pbxs_in(tx: Tx, table: str, project_id: int) -> frozenset[int]:
    """Return the ids of a project's PBXs that have rows in a table."""
    pbxs = f"SELECT DISTINCT pbx_id FROM {table} JOIN pbx ON pbx.id = {table}.pbx_id WHERE pbx.project_id = ?1"
    return frozenset(row[0] for row in tx.rows(pbxs, project_id))


def _project(tx: Tx, name: str) -> dict[str, Any] | None:
    rows = tx.rows(f"SELECT {', '.join(_PROJECT)} FROM project WHERE name = ?1 AND deleted_at IS NULL", name)
    return dict(zip(_PROJECT, rows[0], strict=True)) if rows else None


def _rows(tx: Tx, table: str, columns: Sequence[str], project_id: int) -> list[dict[str, Any]]:
    """Return a project's rows of a table, in the order of the first column."""
    statement = f"SELECT {', '.join(columns)} FROM {table} WHERE project_id = ?1 ORDER BY {columns[0]}"
    return [dict(zip(columns, row, strict=True)) for row in tx.rows(statement, project_id)]
