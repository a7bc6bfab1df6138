"""Claims and standby leases: read and written for the few PBXs that have any; other PBXs cost nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter

from master.domain.estate.lease_time import LeaseTime
from master.domain.leases.claims import Claim, ClaimKind, Claims
from master.domain.leases.standby import StandbyLease
from master.domain.seats.seat_working_set import Share
from master.store.backends.database import Tx
from master.store.tables.columns import upsert_into

Pair = tuple[int, int]
"""(standby id, primary id)."""
_RECORD = StandbyLease.__struct_fields__
_RECORD_UPSERT = upsert_into("standby_lease", _RECORD, key=["standby_id", "primary_id"])


def claims_of(tx: Tx, pbx_ids: Iterable[int]) -> dict[int, Claims]:
    """Return claims by the id of the PBX in whose name they are, with an entry for each PBX asked for."""
    by_pbx: dict[int, Claims] = dict.fromkeys(sorted(pbx_ids), ())
    rows = tx.rows(
        "SELECT pbx_id, kind, holder_id, pool_id, seats, ends_at, serial FROM claim WHERE pbx_id IN {?1:int}"
        " ORDER BY pbx_id, kind, holder_id, pool_id",
        list(by_pbx),
    )
    for row in rows:
        claim = Claim(
            kind=ClaimKind(row[1]), holder_id=row[2], pool_id=row[3], seats=row[4], ends_at=row[5], serial=row[6]
        )
        by_pbx[row[0]] += (claim,)
    return by_pbx


def shares_of(tx: Tx, claims: Mapping[int, Claims]) -> dict[int, dict[int, Share]]:
    """Return the seats counted for some PBXs, by PBX id and pool id; `claims` names the PBXs and gives the floors."""
    by_pbx: dict[int, dict[int, Share]] = {pbx_id: {} for pbx_id in claims}
    rows = tx.rows(
        "SELECT pbx_id, pool_id, seats, counted FROM pool_usage WHERE pbx_id IN {?1:int} AND counted > 0", list(by_pbx)
    )
    for pbx_id, pool_id, seats, counted in rows:
        floor = max((claim.seats for claim in claims[pbx_id] if claim.pool_id == pool_id), default=0)
        by_pbx[pbx_id][pool_id] = Share(seats, floor, counted)
    return by_pbx


def write_claims(tx: Tx, before: Mapping[int, Claims], after: Mapping[int, Claims]) -> None:
    """Write the differences between two states of the claims of some PBXs."""
    gone = [(pbx_id, *_key(claim)) for pbx_id, claims in before.items() for claim in set(claims) - set(after[pbx_id])]
    made = [
        (pbx_id, *_key(claim), claim.seats, claim.ends_at, claim.serial)
        for pbx_id, claims in after.items()
        for claim in set(claims) - set(before[pbx_id])
    ]
    tx.many("DELETE FROM claim WHERE pbx_id = ?1 AND kind = ?2 AND holder_id = ?3 AND pool_id = ?4", gone)
    tx.many(
        "INSERT INTO claim (pbx_id, kind, holder_id, pool_id, seats, ends_at, serial)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        sorted(made),
    )


def _key(claim: Claim) -> tuple[str, int, int]:
    return claim.kind.value, claim.holder_id, claim.pool_id


def pbxs_with_idle_claims(tx: Tx, pool_id: int) -> list[int]:
    """Return the ids of PBXs with a claim on a pool whose seats may lie idle: any claim but a loan."""
    statement = "SELECT DISTINCT pbx_id FROM claim WHERE pool_id = ?1 AND kind <> 'loan'"
    return [row[0] for row in tx.rows(statement, pool_id)]


def pbxs_with_ended_claims(tx: Tx, *, ended_before: float, limit: int) -> list[tuple[str, str]]:
    """Return (project, PBX) of PBXs in whose name claims ended before a moment, UNIX seconds."""
    statement = """
        SELECT DISTINCT project.name, pbx.name FROM claim
        JOIN pbx ON pbx.id = claim.pbx_id JOIN project ON project.id = pbx.project_id
        WHERE claim.ends_at < ?1 LIMIT ?2
        """
    rows = tx.rows(statement, ended_before, limit)
    return [(row[0], row[1]) for row in rows]


def borrowers(tx: Tx, project_id: int) -> list[int]:
    """Return the ids of a project's PBXs that have borrowed seats."""
    rows = tx.rows(
        "SELECT DISTINCT claim.pbx_id FROM claim JOIN pbx ON pbx.id = claim.pbx_id"
        " WHERE claim.kind = 'loan' AND claim.seats > 0 AND pbx.project_id = ?1 ORDER BY claim.pbx_id",
        project_id,
    )
    return [row[0] for row in rows]


def lent_seats(tx: Tx, project_id: int) -> dict[tuple[int, int], int]:
    """Return how many seats PBXs of a project have borrowed, by (pool id, PBX id)."""
    rows = tx.rows(
        "SELECT claim.pool_id, claim.pbx_id, claim.seats FROM claim JOIN pbx ON pbx.id = claim.pbx_id"
        " WHERE claim.kind = 'loan' AND pbx.project_id = ?1",
        project_id,
    )
    return {(pool_id, pbx_id): int(seats) for pool_id, pbx_id, seats in rows}


def loans_in_force(
    tx: Tx, project_id: int, pbx_names: Iterable[str], time: LeaseTime
) -> list[tuple[str, str, int, float]]:
    """Return the loans of some PBXs: PBX name, license type, seats, and end in UNIX seconds."""
    statement = (
        "SELECT pbx.name, pool.type, claim.seats, claim.ends_at FROM claim JOIN pbx ON pbx.id = claim.pbx_id"
        " JOIN pool ON pool.id = claim.pool_id WHERE claim.kind = 'loan' AND claim.seats > 0 AND claim.ends_at >= ?3"
        " AND pbx.project_id = ?1 AND pbx.name IN {?2:text} ORDER BY pbx.name, pool.type"
    )
    rows = tx.rows(statement, project_id, sorted(pbx_names), time.reclaimed_by)
    return [(row[0], row[1], row[2], row[3]) for row in rows]


def standby_leases(tx: Tx, primary_ids: Sequence[int]) -> dict[Pair, StandbyLease]:
    """Return what is known of the standby leases for some primaries, by (standby id, primary id)."""
    statement = f"SELECT {', '.join(_RECORD)} FROM standby_lease WHERE primary_id IN {{?1:int}}"
    rows = tx.rows(statement, list(primary_ids))
    return {(row[0], row[1]): StandbyLease(**dict(zip(_RECORD, row, strict=True))) for row in rows}


def write_standby_leases(tx: Tx, records: Iterable[StandbyLease]) -> None:
    """Write what is known of some standby leases."""
    rows = sorted(map(attrgetter(*_RECORD), records), key=lambda row: row[:2])
    tx.many(_RECORD_UPSERT, rows)


def forget_pbxs(tx: Tx, pbx_ids: Sequence[int]) -> None:
    """Delete the standby leases of PBXs that are removed; claims in their names must be gone already."""
    tx.rows("DELETE FROM standby_lease WHERE standby_id IN {?1:int} OR primary_id IN {?1:int}", list(pbx_ids))


def claimed_seats(tx: Tx, project_id: int, pbx_names: Iterable[str]) -> dict[str, int]:
    """Return the most seats that claims keep counted for PBXs, by PBX name; PBXs without any are left out."""
    statement = (
        "SELECT pbx.name, claim.pool_id, claim.seats FROM pbx JOIN claim ON claim.pbx_id = pbx.id"
        " WHERE pbx.project_id = ?1 AND pbx.name IN {?2:text}"
    )
    rows = tx.rows(statement, project_id, sorted(pbx_names))
    highest: dict[tuple[str, int], int] = {}
    for name, pool_id, seats in rows:
        highest[name, pool_id] = max(highest.get((name, pool_id), 0), seats)
    by_type: dict[str, int] = {}
    for (name, _), seats in highest.items():
        by_type[name] = by_type.get(name, 0) + seats
    return by_type


def carried_by(tx: Tx, project_id: int) -> dict[str, list[str]]:
    """Return the PBXs whose running leases standbys have taken over, by the standby's name."""
    rows = tx.rows(
        "SELECT standby.name, pbx.name FROM pbx JOIN lease ON lease.pbx_id = pbx.id"
        " JOIN pbx standby ON standby.id = lease.carrier_id"
        " WHERE pbx.project_id = ?1 AND lease.phase = 'open' ORDER BY pbx.name",
        project_id,
    )
    by_pbx: dict[str, list[str]] = {}
    for name, primary in rows:
        by_pbx.setdefault(name, []).append(primary)
    return by_pbx
