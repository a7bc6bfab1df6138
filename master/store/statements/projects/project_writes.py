"""Projects written as a whole: only the differences, and the pools that their licenses add up to."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from msgspec.structs import asdict

from master.domain.catalog.catalog import Catalog
from master.domain.estate.project import LicenseSpec, ProjectSpec
from master.store.backends.database import Tx
from master.store.statements.claims import forget_pbxs
from master.store.statements.projects.projects import ProjectRow
from master.store.statements.waiting import count_queues
from master.store.tables.columns import assignments, insert_into
from master.values import Value

_CAPACITY_UPDATE = """
    UPDATE pool SET
        capacity = ?2,
        overdrawn = CASE WHEN used <= ?2 THEN 0 WHEN used - ?2 < overdrawn THEN used - ?2 ELSE overdrawn END,
        overdraft_spent = CASE
            WHEN overdrawn > 0 AND overdraft_at < ?3 THEN overdraft_spent + overdrawn * (?3 - overdraft_at)
            ELSE overdraft_spent END,
        overdraft_at = CASE WHEN overdrawn > 0 THEN ?3 ELSE overdraft_at END
    WHERE id = ?1
"""
"""Sets a pool's capacity; the number of overdrawn seats never grows by that."""


def write_project(tx: Tx, spec: ProjectSpec, catalog: Catalog, known: ProjectRow | None, *, now: float) -> int:
    """Make the tables equal to a valid spec, writing only the differences; return the new revision."""
    revision = known.revision + 1 if known else 1
    values = {
        "name": spec.name, "display_name": spec.display_name, "catalog": spec.catalog, "revision": revision,
        "applied_at": now, "time_zone": spec.time_zone or None, "deleted_at": None, **asdict(spec.lease),
    }  # fmt: skip
    if known is None:
        statement = f"{insert_into('project', (*values, 'epoch_floor'))} RETURNING id"
        project_id = int(tx.rows(statement, *values.values(), 0)[0][0])
    else:
        project_id = known.id
        tx.rows(f"UPDATE project SET {assignments(values, first=2)} WHERE id = ?1", project_id, *values.values())
    remove_pbxs(tx, project_id, keep={pbx.name for pbx in spec.pbxs})
    sites = {site.name: {"display_name": site.display_name} for site in spec.sites}
    _remove(tx, _SITES, project_id, _merge(tx, _SITES, project_id, sites))
    devices = {device.name: {"platform": device.platform, "model": device.model} for device in spec.devices}
    unused = _merge(tx, _DEVICES, project_id, devices)
    rows = tx.rows("SELECT name, id FROM device WHERE project_id = ?1", project_id)
    device_ids: dict[str, int] = {row[0]: row[1] for row in rows}
    pbxs = {
        pbx.name: {
            "site": pbx.site,
            "device_id": device_ids[pbx.device],
            "role": int(pbx.role),
            "software_version": pbx.software_version,
            "standby_for": pbx.standby_for,
            **asdict(pbx.lease),
        }
        for pbx in spec.pbxs
    }
    _remove(tx, _PBXS, project_id, _merge(tx, _PBXS, project_id, pbxs))
    licenses = {license.id: _license_values(license, catalog, device_ids) for license in spec.licenses}
    _remove(tx, _LICENSES, project_id, _merge(tx, _LICENSES, project_id, licenses))
    recompute_pools(tx, project_id, now=now)
    _remove(tx, _DEVICES, project_id, unused)
    return revision


def recompute_pools(tx: Tx, project_id: int, *, now: float) -> None:
    """Make pools the sums of bound licenses (A1, B4). Pools keep their ids; a pool without licenses is deleted."""
    rows = tx.rows(
        "SELECT device_id, type, SUM(quantity) FROM license WHERE project_id = ?1 AND device_id IS NOT NULL"
        " GROUP BY device_id, type",
        project_id,
    )
    wanted = {(int(row[0]), str(row[1])): int(row[2]) for row in rows}
    tx.lock("SELECT 1 FROM pool WHERE project_id = ?1 ORDER BY id FOR NO KEY UPDATE", project_id)
    existing = {
        (row[0], row[1]): (row[2], row[3])
        for row in tx.rows("SELECT device_id, type, id, capacity FROM pool WHERE project_id = ?1", project_id)
    }
    gone = [(pool_id,) for name, (pool_id, _) in existing.items() if name not in wanted]
    tx.many("DELETE FROM pool_usage WHERE pool_id = ?1", gone)
    tx.many("DELETE FROM pool WHERE id = ?1", gone)
    resized = [
        (pool_id, wanted[name], now)
        for name, (pool_id, capacity) in existing.items()
        if wanted.get(name, capacity) != capacity
    ]
    tx.many(_CAPACITY_UPDATE, resized)
    fresh = [(project_id, *name, capacity) for name, capacity in wanted.items() if name not in existing]
    tx.many("INSERT INTO pool (project_id, device_id, type, capacity, used) VALUES (?1, ?2, ?3, ?4, 0)", fresh)


def remove_pbxs(tx: Tx, project_id: int, *, keep: Collection[str]) -> None:
    """Remove PBXs and their leases; a PBX that comes back under the same name starts above their epochs."""
    rows = tx.rows("SELECT id, name FROM pbx WHERE project_id = ?1", project_id)
    gone = [row[0] for row in rows if row[1] not in keep]
    if not gone:
        return
    highest = tx.rows("SELECT MAX(epoch) FROM lease WHERE pbx_id IN {?1:int}", gone)[0][0]
    if highest is not None:
        tx.rows("UPDATE project SET epoch_floor = ?2 WHERE id = ?1 AND epoch_floor < ?2", project_id, highest)
    tx.rows("DELETE FROM revocation WHERE pbx_id IN {?1:int}", gone)
    forget_pbxs(tx, gone)
    tx.rows("DELETE FROM lease WHERE pbx_id IN {?1:int}", gone)
    tx.rows("DELETE FROM pbx WHERE id IN {?1:int}", gone)
    count_queues(tx, project_id)


class _Rows(Value):
    """The rows of a table that a project file declares."""

    table: str
    key: str
    """The column that identifies the rows within the project."""
    only: str = ""
    """A further condition that only these rows meet."""


_SITES, _DEVICES, _PBXS = _Rows("site", "name"), _Rows("device", "name"), _Rows("pbx", "name")
_LICENSES = _Rows("license", "id", only=" AND file IS NULL")


def _merge(tx: Tx, which: _Rows, project_id: int, wanted: Mapping[str, Mapping[str, object]]) -> list[str]:
    """Make a project's rows equal to those wanted, by name, so that ids stay; write only the differences.

    Return the names that are not wanted; their rows are not deleted yet.
    """
    table, key, only = which.table, which.key, which.only
    columns = list(next(iter(wanted.values()), {}))
    rows = tx.rows(f"SELECT {', '.join([key, *columns])} FROM {table} WHERE project_id = ?1{only}", project_id)
    there = {row[0]: tuple(row[1:]) for row in rows}
    gone = [name for name in there if name not in wanted]
    values = {name: tuple(columns_of.values()) for name, columns_of in wanted.items()}
    changed = [
        (project_id, name, *values_of) for name, values_of in values.items() if there.get(name, values_of) != values_of
    ]
    tx.many(f"UPDATE {table} SET {assignments(columns, first=3)} WHERE project_id = ?1 AND {key} = ?2", changed)
    fresh = [(project_id, name, *values_of) for name, values_of in values.items() if name not in there]
    tx.many(insert_into(table, ("project_id", key, *columns)), fresh)
    return gone


def _remove(tx: Tx, which: _Rows, project_id: int, names: Sequence[str]) -> None:
    if names:
        statement = f"DELETE FROM {which.table} WHERE project_id = ?1 AND {which.key} IN {{?2:text}}"
        tx.rows(statement, project_id, list(names))


def _license_values(license_spec: LicenseSpec, catalog: Catalog, device_ids: Mapping[str, int]) -> dict[str, object]:
    name = catalog.read_name(license_spec.type)
    return {
        "type": name.type.key, "version": name.version, "tier": name.tier, "quantity": license_spec.quantity,
        "device_id": device_ids[license_spec.device] if license_spec.device else None,
    }  # fmt: skip
