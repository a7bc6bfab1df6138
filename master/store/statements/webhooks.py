"""The statements of webhooks: receivers, alarms that hold now, messages still to be sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from master.domain.monitoring.alarms import AlarmState
from master.store.backends.database import Row, Tx
from master.store.tables.columns import insert_into

DEAD_MAX = 1000
"""How many undeliverable messages are kept for each webhook."""


class Webhook(NamedTuple):
    """A receiver of alarms that an operator has added."""

    id: int
    project_id: int
    name: str
    url: str
    """The URL of the receiver; it may hold a token, and is shown to nobody."""
    secret: str
    kinds: str
    added_by: str
    added_at: float

    @property
    def target(self) -> str:
        """The scheme, host and port of the URL, which may be shown."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    def wants(self, kind: str) -> bool:
        """Tell whether the webhook gets a kind of alarm."""
        return not self.kinds or kind in self.kinds.split()

    def __repr__(self) -> str:
        return f"Webhook(name={self.name!r})"  # neither secret nor URL gets into a log by accident


class Delivery(NamedTuple):
    """A message to be sent to a webhook."""

    id: int
    webhook: Webhook
    body: str
    made_at: float
    attempts: int
    problem: str


_DELIVERIES = (
    f"SELECT d.id, d.body, d.made_at, d.attempts, d.problem, {', '.join(f'w.{name}' for name in Webhook._fields)}"
    " FROM webhook_delivery d JOIN webhook w ON w.id = d.webhook_id"
)


def webhooks(tx: Tx, project_id: int) -> list[Webhook]:
    """Return a project's webhooks, by name."""
    statement = f"SELECT {', '.join(Webhook._fields)} FROM webhook WHERE project_id = ?1 ORDER BY name"
    return [Webhook(*row) for row in tx.rows(statement, project_id)]


def projects_with_webhooks(tx: Tx) -> set[int]:
    return {row[0] for row in tx.rows("SELECT DISTINCT project_id FROM webhook")}


def add_webhook(tx: Tx, new: Webhook) -> None:
    """Add a webhook; the database assigns the id."""
    tx.many(insert_into("webhook", Webhook._fields[1:]), [new[1:]])


def remove_webhook(tx: Tx, gone: Webhook) -> None:
    """Remove a webhook with its messages; with the last one of a project, its alarms are removed as well."""
    tx.rows("DELETE FROM webhook WHERE id = ?1", gone.id)
    statement = "DELETE FROM alarm WHERE project_id = ?1 AND NOT EXISTS (SELECT 1 FROM webhook WHERE project_id = ?1)"
    tx.rows(statement, gone.project_id)


def alarm_states(tx: Tx, project_id: int) -> list[AlarmState]:
    """Return the alarms that have begun and not ended."""
    rows = tx.rows("SELECT kind, subject, message, began_at, gone_at FROM alarm WHERE project_id = ?1", project_id)
    return [AlarmState(*row) for row in rows]


def begin(tx: Tx, project_id: int, alarm: AlarmState) -> bool:
    """Write that an alarm begins; return False where another master was first."""
    return bool(
        tx.rows(
            "INSERT INTO alarm (project_id, kind, subject, message, began_at) VALUES (?1, ?2, ?3, ?4, ?5)"
            " ON CONFLICT DO NOTHING RETURNING kind",
            project_id, alarm.kind, alarm.subject, alarm.message, alarm.began_at,
        )
    )  # fmt: skip


def mark(tx: Tx, project_id: int, alarm: AlarmState, gone_at: float | None) -> None:
    """Write since when an alarm's condition is false, UNIX seconds; None where the condition is true again."""
    tx.rows(
        "UPDATE alarm SET gone_at = ?4 WHERE project_id = ?1 AND kind = ?2 AND subject = ?3",
        project_id, alarm.kind, alarm.subject, gone_at,
    )  # fmt: skip


def end(tx: Tx, project_id: int, alarm: AlarmState) -> bool:
    """Delete an alarm that is over; return False where another master was first."""
    return bool(
        tx.rows(
            "DELETE FROM alarm WHERE project_id = ?1 AND kind = ?2 AND subject = ?3 RETURNING kind",
            project_id, alarm.kind, alarm.subject,
        )
    )  # fmt: skip


def tell(tx: Tx, webhook_ids: Sequence[int], body: str, now: float) -> None:
    """Add a message to be sent; of the undeliverable messages, keep the latest `DEAD_MAX` for each webhook."""
    tx.many(
        "INSERT INTO webhook_delivery (webhook_id, body, made_at, attempts, due_at, problem)"
        " VALUES (?1, ?2, ?3, 0, ?3, '')",
        [(webhook_id, body, now) for webhook_id in webhook_ids],
    )
    tx.many(
        "DELETE FROM webhook_delivery WHERE webhook_id = ?1 AND due_at IS NULL AND id NOT IN (SELECT id FROM"
        " webhook_delivery WHERE webhook_id = ?1 AND due_at IS NULL ORDER BY id DESC LIMIT ?2)",
        [(webhook_id, DEAD_MAX) for webhook_id in webhook_ids],
    )


def webhooks_due(tx: Tx, *, now: float) -> list[int]:
    """Return the ids of webhooks that have a message due, the longest waiting first."""
    rows = tx.rows(
        "SELECT webhook_id FROM webhook_delivery WHERE due_at <= ?1 GROUP BY webhook_id ORDER BY MIN(due_at)", now
    )
    return [row[0] for row in rows]


def take_due(tx: Tx, webhook_id: int, *, now: float, until: float) -> Delivery | None:
    """Take a webhook's next due message, if any; no other master takes it before `until`, UNIX seconds."""
    rows = tx.rows(
        f"{_DELIVERIES} WHERE d.webhook_id = ?1 AND d.due_at <= ?2 ORDER BY d.due_at, d.id LIMIT 1 FOR UPDATE OF d",
        webhook_id,
        now,
    )
    if not rows:
        return None
    [row] = rows
    put_off(tx, row[0], due_at=until)
    return _delivery(row)


def delivered(tx: Tx, delivery_id: int) -> None:
    """Delete a message that its receiver has taken."""
    tx.rows("DELETE FROM webhook_delivery WHERE id = ?1", delivery_id)


def put_off(tx: Tx, delivery_id: int, *, due_at: float) -> None:
    """Set another time for a message that was not sent, UNIX seconds."""
    tx.rows("UPDATE webhook_delivery SET due_at = ?2 WHERE id = ?1", delivery_id, due_at)


def failed(tx: Tx, delivery_id: int, *, attempts: int, due_at: float | None, problem: str) -> None:
    """Write that a message was not delivered; it is dead where `due_at` is None."""
    tx.rows(
        "UPDATE webhook_delivery SET attempts = ?2, due_at = ?3, problem = ?4 WHERE id = ?1",
        delivery_id, attempts, due_at, problem[:255],
    )  # fmt: skip


def dead(tx: Tx, project_id: int, *, limit: int) -> list[Delivery]:
    """Return the messages that could not be delivered, the latest first."""
    rows = tx.rows(
        f"{_DELIVERIES} WHERE w.project_id = ?1 AND d.due_at IS NULL ORDER BY d.id DESC LIMIT ?2", project_id, limit
    )
    return [_delivery(row) for row in rows]


def _delivery(row: Row) -> Delivery:
    return Delivery(row[0], Webhook(*row[5:]), *row[1:5])


def dead_counts(tx: Tx, project_id: int) -> dict[str, int]:
    """Return how many messages could not be delivered, by webhook name, 0 included."""
    rows = tx.rows(
        "SELECT w.name, COUNT(d.id) FROM webhook w LEFT JOIN webhook_delivery d"
        " ON d.webhook_id = w.id AND d.due_at IS NULL WHERE w.project_id = ?1 GROUP BY w.name",
        project_id,
    )
    return {row[0]: row[1] for row in rows}


def revive(tx: Tx, project_id: int, *, now: float) -> int:
    """Make dead messages of a project due again; return how many."""
    return len(
        tx.rows(
            "UPDATE webhook_delivery SET due_at = ?2, attempts = 0 WHERE due_at IS NULL AND webhook_id IN"
            " (SELECT id FROM webhook WHERE project_id = ?1) RETURNING id",
            project_id,
            now,
        )
    )
