"""Changes with a request id are carried out once: whoever repeats the request gets the answer of the first time.

Looked up under the lock that the change takes, and kept in its transaction. What the audit says of a change is for
people; no retry is answered from it. A lease's opening is not here: its retry gets the lease as it stands by then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from master.service.runtime.errors import RequestIdTakenError
from master.store.backends.database import Tx
from master.store.statements import request_answers as store
from master.store.statements.events import Event, names_request
from master.values import Value

Answer = TypeVar("Answer", contravariant=True)

KEPT_SECONDS: Final = 7 * 86_400.0
"""How many seconds an answer is kept at least: clients retry within minutes, a script that stopped before a long
weekend is started again after it. Later the id is refused, as the audit names it.
"""


class RequestKey(Value, Generic[Answer], kw_only=True):
    """What a request is recognized by when it is repeated, and how its answer is stored."""

    kind: str
    """The name of the call, e.g. "BindLicenses"."""
    request_id: str
    """The request id; empty for a dry run, for which nothing is looked up or kept."""
    fingerprint: str
    """The fingerprint of everything that is asked for, 64 hexadecimal digits."""
    encode: Callable[[Answer], bytes]


class ChangeRequest(Value, Generic[Answer], kw_only=True):
    """What every request for a change says besides what it asks for."""

    caller: str
    reason: str = ""
    """The reason, for the audit."""
    key: RequestKey[Answer]
    dry_run: bool = False

    def event(self, kind: str, project_id: int, details: str, *, now: float) -> Event:
        """Make the audit event of a change that was carried out."""
        return Event(now, project_id, "", kind, self.caller, self.key.request_id, details, self.reason)


class AnsweredBefore(Value):
    """An answer to a request that was carried out already: the answer of the first time."""

    answer: bytes


def answered_before(tx: Tx, project_id: int, key: RequestKey[Answer]) -> AnsweredBefore | None:
    """Return the answer of the first time, where a request is a retry; else None.
    Raises RequestIdTakenError if the request id was used for another request, or so long ago that its answer is gone.
    """
    if not key.request_id:
        return None
    stored = store.read_answer(tx, project_id, key.request_id)
    if stored is None:
        if names_request(tx, project_id, key.request_id):
            raise RequestIdTakenError(key.request_id, "a request whose answer is kept no longer")
        return None
    if (stored.kind, stored.fingerprint) != (key.kind, key.fingerprint):
        other = "another request of the same kind" if stored.kind == key.kind else stored.kind
        raise RequestIdTakenError(key.request_id, other)
    return AnsweredBefore(stored.answer)


def keep_answer(tx: Tx, project_id: int, key: RequestKey[Answer], answer: Answer, *, now: float) -> None:
    """Keep the answer to a request; drop answers of its project that were kept long enough."""
    if not key.request_id:
        return
    store.forget_answers(tx, project_id, answered_before=now - KEPT_SECONDS)
    stored = store.StoredAnswer(key.kind, key.fingerprint, key.encode(answer))
    store.write_answer(tx, project_id, key.request_id, stored, answered_at=now)
