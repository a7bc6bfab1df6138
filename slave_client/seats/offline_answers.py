"""Answers for seats without the master: from the seats that this site holds, else a refusal by the client's state.

Decides: the words of a refusal that no master gave. Leaves to others: what may be used while offline (`local_seats`).
"""

from __future__ import annotations

from typing import Final

from slave_client.connection.client_state import ClientState
from slave_client.holdings.local_seats import LocalSeats
from slave_client.values.seats import Outcome, Reason, Refused, Returned, Source, Want
from slave_client.values.states import State

_REFUSALS: Final[dict[State, tuple[Reason, str]]] = {
    State.STARTING: (Reason.NO_LEASE, "no master was reached since the start, and no lease is in force"),
    State.CONNECTED: (Reason.NO_ANSWER, "the master gave no answer in time"),
    State.OFFLINE: (Reason.OFFLINE, "the master does not answer, and no seat that this site holds is idle"),
    State.BORROWING: (Reason.OFFLINE, "the lease is over, no master was reached, and no borrowed seat is free"),
    State.EXPIRED: (Reason.NO_LEASE, "the lease is over, and no master was reached to open a new one"),
    State.FENCED: (Reason.FENCED, "another installation took over this PBX's lease"),
    State.CLOSED: (Reason.CLOSED, "the client was closed"),
    State.STOPPED: (Reason.CLOSED, "the client was stopped"),
}


class OfflineAnswers:
    def __init__(self, *, local_seats: LocalSeats, client_state: ClientState) -> None:
        self._local_seats = local_seats
        self._client_state = client_state

    def acquire(self, want: Want, detail: str = "") -> Outcome:
        """Grant a seat from those that the master counts for this site, else refuse it; `detail` says what failed."""
        state = self._client_state.state
        if state in (State.OFFLINE, State.BORROWING) and (grant := self._local_seats.acquire_offline(want)):
            return grant
        if state is State.STARTING and not detail:
            detail = self._client_state.why
        reason, message = _REFUSALS[state]
        return Refused(want=want, reason=reason, message=f"{message}: {detail}" if detail else message)

    def give_back(self, want: Want) -> Returned:
        """Stop using a seat; the master is told when it is reached again."""
        return Returned(want=want, held=self._local_seats.return_offline(want), source=Source.LOCAL)
