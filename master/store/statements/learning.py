"""What a master that learns after a restore stores: what the backup knew, what was proven, and until when it learns.

Beginning to learn sets aside all seats and leases of the backup: none is certain, and nothing is lent meanwhile. All
statements run under the project's lock (`projects.lock_for_apply`), which keeps every batch out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from master.domain.estate.learning import Learning
from master.store.backends.database import Tx
from master.store.statements.waiting import count_queues
from master.values import Value

_PBXS = "(SELECT id FROM pbx WHERE project_id = ?1)"
ALL_SPENT = 1e15
"""A number of seat seconds that exceeds any budget."""
_POOLS = "(SELECT id FROM pool WHERE project_id = ?1)"


class Learned(Value):
    """The progress of learning, in PBXs and seats."""

    pbxs_silent: int
    """PBXs that had a lease in the backup and have not opened it again."""
    seats_of_silent: int
    """Seats that the silent PBXs held in the backup."""
    known: int
    proven: int
    unplaced: int


def set_aside(tx: Tx, project_id: int, *, first_number: int, now: float) -> None:
    """Note how many seats each PBX holds; remove all seats and all claims but loans, and make all leases unproven.

    Epochs and serials go on from `first_number`. The budgets of overdrafts count as spent by `now`, UNIX seconds, as
    the use since the backup is not known.
    """
    tx.rows(f"DELETE FROM learning_seat WHERE pbx_id IN {_PBXS}", project_id)
    tx.rows(
        f"""
        INSERT INTO learning_seat (pbx_id, type, known, proven, unplaced)
        SELECT pool_usage.pbx_id, pool.type, SUM(pool_usage.seats), 0, 0 FROM pool_usage
        JOIN pool ON pool.id = pool_usage.pool_id
        WHERE pool.project_id = ?1 AND pool_usage.seats > 0 AND pool_usage.pbx_id IN {_PBXS}
        GROUP BY pool_usage.pbx_id, pool.type
        """,
        project_id,
    )
    tx.rows(f"DELETE FROM seat WHERE pbx_id IN {_PBXS}", project_id)
    tx.rows(f"DELETE FROM claim WHERE kind <> 'loan' AND pbx_id IN {_PBXS}", project_id)
    tx.rows(f"UPDATE waiter SET place = 1 WHERE place = 0 AND pbx_id IN {_PBXS}", project_id)  # it waits on
    count_queues(tx, project_id)
    tx.rows(f"DELETE FROM pool_usage WHERE pool_id IN {_POOLS}", project_id)
    tx.rows(
        f"""
        INSERT INTO pool_usage (pool_id, pbx_id, seats, counted)
        SELECT pool_id, pbx_id, 0, seats FROM claim WHERE seats > 0 AND pool_id IN {_POOLS}
        """,
        project_id,
    )
    lent = "(SELECT COALESCE(SUM(counted), 0) FROM pool_usage WHERE pool_usage.pool_id = pool.id)"
    tx.rows(
        f"""
        UPDATE pool SET used = {lent}, overdrawn = CASE WHEN {lent} > capacity THEN {lent} - capacity ELSE 0 END,
            overdraft_spent = ?2, overdraft_at = ?3
        WHERE project_id = ?1
        """,
        project_id,
        ALL_SPENT,
        now,
    )
    tx.rows(
        f"""
        UPDATE lease SET phase = 'unproven', epoch = {_raised("epoch")},
            carrier_id = NULL, carried_since = NULL, primary_heard_at = NULL,
            claimed = EXISTS (SELECT 1 FROM claim WHERE claim.pbx_id = lease.pbx_id)
        WHERE pbx_id IN {_PBXS}
        """,
        project_id,
        first_number,
    )
    tx.rows(
        f"""
        UPDATE standby_lease SET serial = {_raised("serial")}, acknowledged_serial = 0, acknowledged_ends_at = 0
        WHERE primary_id IN {_PBXS}
        """,
        project_id,
        first_number,
    )
    tx.rows(f"UPDATE project SET epoch_floor = {_raised('epoch_floor')} WHERE id = ?1", project_id, first_number)


def _raised(column: str) -> str:
    return f"CASE WHEN {column} < ?2 THEN ?2 ELSE {column} + 1 END"


def write_learning(tx: Tx, project_id: int, learning: Learning) -> None:
    """Write since when and until when a project learns, UNIX seconds; proven claims last as long."""
    statement = (
        "UPDATE project SET learning_since = ?2, learning_until = ?3, learning_why = ?4, revision = revision + 1"
        " WHERE id = ?1"
    )
    tx.rows(statement, project_id, learning.since, learning.until, learning.why)
    tx.rows(f"UPDATE claim SET ends_at = ?2 WHERE kind = 'proven' AND pbx_id IN {_PBXS}", project_id, learning.until)


def forget_learning(tx: Tx, project_id: int, *, claims_ended_at: float) -> None:
    """End the learning of a project; proven seats that are not used become free once expiry removes their claims."""
    tx.rows(
        "UPDATE project SET learning_since = NULL, learning_until = NULL, learning_why = NULL, revision = revision + 1"
        " WHERE id = ?1",
        project_id,
    )
    tx.rows(f"UPDATE claim SET ends_at = ?2 WHERE kind = 'proven' AND pbx_id IN {_PBXS}", project_id, claims_ended_at)
    tx.rows(f"DELETE FROM learning_seat WHERE pbx_id IN {_PBXS}", project_id)


def learned_long_enough(tx: Tx, ends_by: float) -> list[str]:
    """Return the names of the projects whose learning ends by a moment, UNIX seconds."""
    return [row[0] for row in tx.rows("SELECT name FROM project WHERE learning_until <= ?1 ORDER BY id", ends_by)]


def known_seats(tx: Tx, pbx_ids: Iterable[int]) -> dict[int, dict[str, int]]:
    """Return the seats that the backup knew of, by PBX id and license type."""
    by_pbx: dict[int, dict[str, int]] = {}
    ids = sorted(pbx_ids)
    for pbx_id, license_type, known in (
        tx.rows("SELECT pbx_id, type, known FROM learning_seat WHERE pbx_id IN {?1:int}", ids) if ids else []
    ):
        by_pbx.setdefault(pbx_id, {})[license_type] = known
    return by_pbx


def write_proven(tx: Tx, pbx_id: int, proven: Mapping[str, int], unplaced: Mapping[str, int]) -> None:
    """Write how many seats a PBX has proven, by license type, and how many of these found no place."""
    tx.many(
        "INSERT INTO learning_seat (pbx_id, type, known, proven, unplaced) VALUES (?1, ?2, 0, ?3, ?4)"
        " ON CONFLICT (pbx_id, type) DO UPDATE SET proven = excluded.proven, unplaced = excluded.unplaced",
        [(pbx_id, key, seats, unplaced.get(key, 0)) for key, seats in sorted(proven.items())],
    )


def learned(tx: Tx, project_id: int) -> Learned:
    """Return the progress of a project's learning."""
    silent = f"SELECT pbx_id FROM lease WHERE phase = 'unproven' AND pbx_id IN {_PBXS}"
    ((pbxs,),) = tx.rows(f"SELECT COUNT(*) FROM ({silent}) AS silent", project_id)
    statement = f"""
        SELECT SUM(known), SUM(proven), SUM(unplaced),
            SUM(CASE WHEN pbx_id IN ({silent}) THEN known ELSE 0 END)
        FROM learning_seat WHERE pbx_id IN {_PBXS}
        """
    ((known, proven, unplaced, of_silent),) = tx.rows(statement, project_id)
    return Learned(int(pbxs), int(of_silent or 0), int(known or 0), int(proven or 0), int(unplaced or 0))
