"""Licenses, their releases, and the keys of those who sign for them: what operators change, off the hot path."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import delete, func, insert, select, update

from master.domain.estate.installations import License
from master.domain.estate.license_release import BY_LEDGER, InUse
from master.domain.seats.seats import Seat
from master.store import tables as t
from master.store.backends.database import Tx
from master.store.statements.projects.projects import LICENSE_COLUMNS, RELEASE_COLUMNS
from master.store.statements.seats import SEAT_COLUMNS, seats_of
from master.store.tables.columns import field_names


@dataclass(frozen=True, slots=True)
class ImportedFile:
    """A vendor's file as it was imported."""

    id: str
    key_id: str
    document: bytes
    """The whole signed document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorKey:
    """A key whose license files a project takes; times are UNIX seconds."""

    key_id: str
    display_name: str
    public_key: bytes
    trusted_at: float
    retires_at: float | None = None
    introduced_by: str = ""
    distrusted_at: float | None = None


@dataclass(frozen=True, slots=True)
class StoredDevice:
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
    """Keep every batch, apply and move of every master out of a project until the end; whether there is one.

    The table comes before the row, as in `lock_for_apply`: an apply that has the table must not wait for a row of
    somebody who will want to write to the table.
    """
    tx.lock("LOCK TABLE project IN ROW EXCLUSIVE MODE")
    tx.lock("SELECT 1 FROM project WHERE name = ?1 FOR UPDATE", name)
    return bool(tx.rows("SELECT 1 FROM project WHERE name = ?1 AND deleted_at IS NULL", name))


def next_revision(tx: Tx, project_id: int) -> None:
    """Every master reads the project anew from its next batch on."""
    tx.connection.execute(
        update(t.project).where(t.project.c.id == project_id).values(revision=t.project.c.revision + 1)
    )


def write_licenses(tx: Tx, project_id: int, licenses: Iterable[License], *, fresh: frozenset[str]) -> None:
    """Write licenses as they now stand, with their releases; `fresh` are the ids of those that were not there."""
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
            tx.connection.execute(insert(t.license_).values(project_id=project_id, id=license.id, **values))
        else:
            named = (t.license_.c.project_id == project_id) & (t.license_.c.id == license.id)
            tx.connection.execute(update(t.license_).where(named).values(values))
        _write_release(tx, project_id, license)


def remove_licenses(tx: Tx, project_id: int, ids: Sequence[str]) -> None:
    """Licenses that left the project, and their releases."""
    release = t.license_release.c
    tx.connection.execute(
        delete(t.license_release).where(release.project_id == project_id, release.license_id.in_(ids))
    )
    tx.connection.execute(delete(t.license_).where(t.license_.c.project_id == project_id, t.license_.c.id.in_(ids)))


def _write_release(tx: Tx, project_id: int, license: License) -> None:
    release = t.license_release.c
    named = (release.project_id == project_id) & (release.license_id == license.id)
    tx.connection.execute(delete(t.license_release).where(named))
    if license.release is None:
        return
    to_device = select(t.device.c.id).where(
        t.device.c.project_id == project_id, t.device.c.name == license.release.to_device
    )
    tx.connection.execute(
        insert(t.license_release).values(
            project_id=project_id,
            license_id=license.id,
            in_use=license.release.in_use.value,
            to_device_id=to_device.scalar_subquery() if license.release.to_device else None,
            **{name: getattr(license.release, name) for name in RELEASE_COLUMNS},
        )
    )


def projects_with_releases_to_complete(tx: Tx) -> list[str]:
    """Projects that have a release which nothing stands in the way of any more, by name."""
    release, license_, pool = t.license_release, t.license_, t.pool
    query = (
        select(t.project.c.name)
        .distinct()
        .join(release, release.c.project_id == t.project.c.id)
        .join(license_, (license_.c.project_id == release.c.project_id) & (license_.c.id == release.c.license_id))
        .join(pool, (pool.c.device_id == license_.c.device_id) & (pool.c.type == license_.c.type))
        .where(release.c.certified | (release.c.approved_by != ""))
        .where(pool.c.used <= pool.c.capacity - license_.c.quantity)
    )
    return list(tx.connection.execute(query).scalars())


def projects_with_releases_that_take_seats(tx: Tx) -> list[str]:
    """Projects that have a release under way for which seats are taken away, by name."""
    release = t.license_release.c
    query = (
        select(t.project.c.name)
        .distinct()
        .join(t.license_release, release.project_id == t.project.c.id)
        .where(release.in_use.in_([in_use.value for in_use in InUse if in_use.takes_seats]))
    )
    return list(tx.connection.execute(query).scalars())


def projects_with_ended_use(tx: Tx, *, now: float) -> list[str]:
    """Projects with bound licenses whose use has ended and that are not being taken away yet, by name."""
    license_, release = t.license_, t.license_release.c
    taken = select(release.license_id).where(
        release.project_id == license_.c.project_id, release.license_id == license_.c.id,
        release.requested_by == BY_LEDGER,
    )  # fmt: skip
    query = (
        select(t.project.c.name)
        .distinct()
        .join(license_, license_.c.project_id == t.project.c.id)
        .where(license_.c.use_ends_at <= now, license_.c.device_id.is_not(None), ~taken.exists())
        .order_by(t.project.c.name)
    )
    return list(tx.connection.execute(query).scalars())


def overdrawn_projects(tx: Tx) -> list[str]:
    """Projects that have a pool with more seats out than licenses in, by name."""
    statement = (
        "SELECT DISTINCT project.name FROM pool JOIN project ON project.id = pool.project_id WHERE overdrawn > 0"
    )
    return sorted(row[0] for row in tx.rows(statement))


# --- Seats of a pool --------------------------------------------------------------------------------------------------


def newest_seats(tx: Tx, pool_id: int, *, pbx_ids: Sequence[int], limit: int) -> list[Seat]:
    """The seats debited from a pool last, of some PBXs, that were not revoked yet."""
    seat, revoked = t.seat.c, t.revocation.c
    taken = select(revoked.pbx_id).where(
        revoked.pbx_id == seat.pbx_id, revoked.holder == seat.holder, revoked.type == seat.type,
        revoked.kind == seat.kind,
    )  # fmt: skip
    query = (
        select(*(seat[name] for name, _ in SEAT_COLUMNS))
        .where(seat.pool_id == pool_id, seat.pbx_id.in_(pbx_ids), ~taken.exists())
        .order_by(seat.acquired_at.desc(), seat.pbx_id, seat.holder)
        .limit(limit)
    )
    return seats_of(tuple(row) for row in tx.connection.execute(query))


def revoked_of_pool(tx: Tx, pool_id: int) -> list[Seat]:
    """Seats still debited from a pool although they were revoked."""
    seat, revoked = t.seat.c, t.revocation.c
    same = (
        (revoked.pbx_id == seat.pbx_id) & (revoked.holder == seat.holder) & (revoked.type == seat.type)
        & (revoked.kind == seat.kind)
    )  # fmt: skip
    query = (
        select(*(seat[name] for name, _ in SEAT_COLUMNS))
        .join(t.revocation, same)
        .where(seat.pool_id == pool_id)
        .order_by(seat.pbx_id, seat.holder)
    )
    return seats_of(tuple(row) for row in tx.connection.execute(query))


# --- Files and keys ---------------------------------------------------------------------------------------------------


def imported_file(tx: Tx, project_id: int, file_id: str) -> ImportedFile | None:
    """A file that was imported before."""
    file = t.license_file.c
    query = select(file.id, file.key_id, file.document).where(file.project_id == project_id, file.id == file_id)
    row = tx.connection.execute(query).first()
    return ImportedFile(row[0], row[1], row[2]) if row else None


def write_file(tx: Tx, project_id: int, file: ImportedFile, now: float) -> None:
    """Keep a file with its signature."""
    row = {"project_id": project_id, "id": file.id, "key_id": file.key_id, "imported_at": now}
    tx.connection.execute(insert(t.license_file).values(**row, document=file.document))


def vendor_keys(tx: Tx, project_id: int) -> list[VendorKey]:
    """All keys that a project trusts or trusted, the newest first."""
    key = t.vendor_key.c
    columns = (key[name] for name in field_names(VendorKey))
    query = select(*columns).where(key.project_id == project_id).order_by(key.trusted_at.desc(), key.key_id)
    return [VendorKey(**row) for row in tx.connection.execute(query).mappings()]


def write_vendor_key(tx: Tx, project_id: int, key: VendorKey) -> None:
    row = t.vendor_key.c
    tx.connection.execute(delete(t.vendor_key).where(row.project_id == project_id, row.key_id == key.key_id))
    tx.connection.execute(insert(t.vendor_key).values(project_id=project_id, **asdict(key)))


def devices(tx: Tx, project_id: int) -> list[StoredDevice]:
    device, license_ = t.device.c, t.license_.c
    licenses = select(func.count()).where(license_.device_id == device.id).scalar_subquery()
    query = (
        select(
            device.id, device.name, device.key_id, device.public_key, device.enrolled_at, device.token_hash,
            device.token_ends_at, licenses, device.token_by,
        )
        .where(device.project_id == project_id)
        .order_by(device.name)
    )  # fmt: skip
    return [StoredDevice(*row) for row in tx.connection.execute(query)]


def write_token(tx: Tx, device_id: int, *, token_hash: str, ends_at: float, by: str) -> None:
    """A device may show its key with this token; one given before no longer counts."""
    tx.connection.execute(
        update(t.device)
        .where(t.device.c.id == device_id)
        .values(token_hash=token_hash, token_ends_at=ends_at, token_by=by)
    )


def devices_with_key(tx: Tx, key_id: str) -> list[tuple[str, str, bytes]]:
    """(project, device, public key) of those that enrolled a key."""
    query = (
        select(t.project.c.name, t.device.c.name, t.device.c.public_key)
        .join(t.project, t.project.c.id == t.device.c.project_id)
        .where(t.device.c.key_id == key_id)
    )
    return [(row[0], row[1], row[2]) for row in tx.connection.execute(query)]


def write_device_key(tx: Tx, device_id: int, *, key_id: str, public_key: bytes, now: float) -> None:
    """A device showed its key; the token is used up."""
    values = {"key_id": key_id, "public_key": public_key, "enrolled_at": now, "token_ends_at": None}
    tx.connection.execute(update(t.device).where(t.device.c.id == device_id).values(values))
