"""Licenses, their releases, and the keys of their signers: what operators change, not used by batches of leases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import astuple

from master.domain.estate.installations import License
from master.domain.estate.license_release import BY_LEDGER, InUse
from master.domain.seats.seats import Seat
from master.store.backends.database import Tx
from master.store.statements.projects.projects import LICENSE_COLUMNS, RELEASE_COLUMNS
from master.store.statements.seats import SEAT_COLUMNS, seats_of
from master.store.tables.columns import assignments, insert_into, upsert_into
from master.values import Value


class ImportedFile(Value):
    """A vendor's license file that was imported."""

    id: str
    key_id: str
    document: bytes
    """The whole signed document."""


class VendorKey(Value, kw_only=True):
    """A key whose license files a project accepts; times are UNIX seconds."""

    key_id: str
    display_name: str
    public_key: bytes
    trusted_at: float
    retires_at: float | None = None
    introduced_by: str = ""
    distrusted_at: float | None = None


class StoredDevice(Value):
    id: int
    name: str
    key_id: str | None
    public_key: bytes | None
    enrolled_at: float | None
    token_hash: str | None
    token_ends_at: float | None
    licenses: int
    token_by: str | None


def lock_project(tx: Tx, name: str) -> bool:
    """Keep every batch, apply and move of every master out of a project until the transaction ends; tell if it exists.

    The table is locked before the row, as in `lock_for_apply`: an apply that has the table must not wait for the row
    of somebody who will want to write to the table.
    """
    tx.lock("LOCK TABLE project IN ROW EXCLUSIVE MODE")
    tx.lock("SELECT 1 FROM project WHERE name = ?1 FOR UPDATE", name)
    return bool(tx.rows("SELECT 1 FROM project WHERE name = ?1 AND deleted_at IS NULL", name))


def write_licenses(tx: Tx, project_id: int, licenses: Iterable[License], *, fresh: frozenset[str]) -> None:
    """Write licenses as they are now, with their releases; `fresh` are the ids of licenses that are new."""
    for license in licenses:
        values = {name: getattr(license, name) for name in LICENSE_COLUMNS} | {
            "type": license.type.key,
            "device_id": license.device.id if license.device else None,
            "key_on_word_of": "\n".join(license.key_on_word_of) or None,
            "agreed_kind": license.agreed.subject.kind if license.agreed else None,
            "agreed_id": license.agreed.subject.id if license.agreed else None,
            "use_policy": license.agreed.policy if license.agreed else None,
            "use_ends_at": license.agreed.ends_at if license.agreed else None,
        }
        if license.id in fresh:
            tx.rows(insert_into("license", ("project_id", "id", *values)), project_id, license.id, *values.values())
        else:
            statement = f"UPDATE license SET {assignments(values, first=3)} WHERE project_id = ?1 AND id = ?2"
            tx.rows(statement, project_id, license.id, *values.values())
        _write_release(tx, project_id, license)


def remove_licenses(tx: Tx, project_id: int, ids: Sequence[str]) -> None:
    """Delete licenses that left the project, and their releases."""
    tx.rows("DELETE FROM license_release WHERE project_id = ?1 AND license_id IN {?2:text}", project_id, list(ids))
    tx.rows("DELETE FROM license WHERE project_id = ?1 AND id IN {?2:text}", project_id, list(ids))


def _write_release(tx: Tx, project_id: int, license: License) -> None:
    tx.rows("DELETE FROM license_release WHERE project_id = ?1 AND license_id = ?2", project_id, license.id)
    if (release := license.release) is None:
        return
    device = "SELECT id FROM device WHERE project_id = ?1 AND name = ?2"
    device_ids = tx.rows(device, project_id, release.to_device) if release.to_device else []
    values = {name: getattr(release, name) for name in RELEASE_COLUMNS} | {
        "in_use": release.in_use.value,
        "to_device_id": device_ids[0][0] if device_ids else None,
    }
    statement = insert_into("license_release", ("project_id", "license_id", *values))
    tx.rows(statement, project_id, license.id, *values.values())


def projects_with_releases_to_complete(tx: Tx) -> list[str]:
    """Return the names of projects that have a release which can be completed."""
    rows = tx.rows(
        "SELECT DISTINCT project.name FROM license_release JOIN project ON project.id = license_release.project_id"
        " JOIN license ON license.project_id = license_release.project_id AND license.id = license_release.license_id"
        " JOIN pool ON pool.device_id = license.device_id AND pool.type = license.type"
        " WHERE (license_release.certified OR license_release.approved_by <> '')"
        " AND pool.used <= pool.capacity - license.quantity"
    )
    return [row[0] for row in rows]


def projects_with_releases_that_take_seats(tx: Tx) -> list[str]:
    """Return the names of projects that have a release under way for which seats are taken away."""
    rows = tx.rows(
        "SELECT DISTINCT project.name FROM license_release JOIN project ON project.id = license_release.project_id"
        " WHERE license_release.in_use IN {?1:int}",
        [in_use.value for in_use in InUse if in_use.takes_seats],
    )
    return [row[0] for row in rows]


def projects_with_ended_use(tx: Tx, *, now: float) -> list[str]:
    """Return the names of projects with bound licenses whose use has ended and that the ledger does not release yet."""
    statement = (
        "SELECT DISTINCT project.name FROM license JOIN project ON project.id = license.project_id"
        " WHERE license.use_ends_at <= ?1 AND license.device_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM"
        " license_release r WHERE r.project_id = license.project_id AND r.license_id = license.id"
        " AND r.requested_by = ?2) ORDER BY project.name"
    )
    rows = tx.rows(statement, now, BY_LEDGER)
    return [row[0] for row in rows]


def overdrawn_projects(tx: Tx) -> list[str]:
    """Return the names of projects that have a pool with more seats out than licenses in, sorted."""
    statement = (
        "SELECT DISTINCT project.name FROM pool JOIN project ON project.id = pool.project_id WHERE overdrawn > 0"
    )
    return sorted(row[0] for row in tx.rows(statement))


# --- Seats of a pool --------------------------------------------------------------------------------------------------

_SEAT = ", ".join(f"s.{name}" for name, _ in SEAT_COLUMNS)
_IS_SEAT = "r.pbx_id = s.pbx_id AND r.holder = s.holder AND r.type = s.type AND r.kind = s.kind"


def newest_seats(tx: Tx, pool_id: int, *, pbx_ids: Sequence[int], limit: int) -> list[Seat]:
    """Return the seats debited from a pool last, of some PBXs, without those revoked already."""
    statement = (
        f"SELECT {_SEAT} FROM seat s WHERE s.pool_id = ?1 AND s.pbx_id IN {{?2:int}}"
        f" AND NOT EXISTS (SELECT 1 FROM revocation r WHERE {_IS_SEAT})"
        " ORDER BY s.acquired_at DESC, s.pbx_id, s.holder LIMIT ?3"
    )
    rows = tx.rows(statement, pool_id, list(pbx_ids), limit)
    return seats_of(rows)


def revoked_of_pool(tx: Tx, pool_id: int) -> list[Seat]:
    """Return the seats that are still debited from a pool although they were revoked."""
    joined = f"seat s JOIN revocation r ON {_IS_SEAT}"
    return seats_of(tx.rows(f"SELECT {_SEAT} FROM {joined} WHERE s.pool_id = ?1 ORDER BY s.pbx_id, s.holder", pool_id))


# --- Files and keys ---------------------------------------------------------------------------------------------------


def imported_file(tx: Tx, project_id: int, file_id: str) -> ImportedFile | None:
    """Return a license file that was imported; None where there is none of that id."""
    rows = tx.rows(
        "SELECT id, key_id, document FROM license_file WHERE project_id = ?1 AND id = ?2", project_id, file_id
    )
    return ImportedFile(*rows[0]) if rows else None


def write_file(tx: Tx, project_id: int, file: ImportedFile, now: float) -> None:
    """Write an imported license file with its signature."""
    statement = insert_into("license_file", ("project_id", "id", "key_id", "imported_at", "document"))
    tx.rows(statement, project_id, file.id, file.key_id, now, file.document)


_VENDOR_KEY = VendorKey.__struct_fields__
_VENDOR_KEY_UPSERT = upsert_into("vendor_key", ("project_id", *_VENDOR_KEY), key=["project_id", "key_id"])


def vendor_keys(tx: Tx, project_id: int) -> list[VendorKey]:
    """Return all keys that a project trusts or trusted, the newest first."""
    statement = (
        f"SELECT {', '.join(_VENDOR_KEY)} FROM vendor_key WHERE project_id = ?1 ORDER BY trusted_at DESC, key_id"
    )
    return [VendorKey(**dict(zip(_VENDOR_KEY, row, strict=True))) for row in tx.rows(statement, project_id)]


def write_vendor_key(tx: Tx, project_id: int, key: VendorKey) -> None:
    tx.rows(_VENDOR_KEY_UPSERT, project_id, *astuple(key))


def devices(tx: Tx, project_id: int) -> list[StoredDevice]:
    rows = tx.rows(
        "SELECT id, name, key_id, public_key, enrolled_at, token_hash, token_ends_at,"
        " (SELECT COUNT(*) FROM license WHERE license.device_id = device.id), token_by"
        " FROM device WHERE project_id = ?1 ORDER BY name",
        project_id,
    )
    return [StoredDevice(*row) for row in rows]


def write_token(tx: Tx, device_id: int, *, token_hash: str, ends_at: float, by: str) -> None:
    """Write the one-time token with which a device may show its key; an earlier token no longer counts."""
    statement = "UPDATE device SET token_hash = ?2, token_ends_at = ?3, token_by = ?4 WHERE id = ?1"
    tx.rows(statement, device_id, token_hash, ends_at, by)


def devices_with_key(tx: Tx, key_id: str) -> list[tuple[str, str, bytes]]:
    """Return (project, device, public key) of the devices that enrolled a key."""
    rows = tx.rows(
        "SELECT project.name, device.name, device.public_key FROM device"
        " JOIN project ON project.id = device.project_id WHERE device.key_id = ?1",
        key_id,
    )
    return [(row[0], row[1], row[2]) for row in rows]


def write_device_key(tx: Tx, device_id: int, *, key_id: str, public_key: bytes, now: float) -> None:
    """Write the key that a device showed; its token is used up."""
    statement = "UPDATE device SET key_id = ?2, public_key = ?3, enrolled_at = ?4, token_ends_at = NULL WHERE id = ?1"
    tx.rows(statement, device_id, key_id, public_key, now)
