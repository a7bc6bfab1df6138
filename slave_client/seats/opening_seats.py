"""The seats that callers wait for while there is no lease: they are asked for with its opening, in one call.

Decides: which seats go out with an attempt to open the lease, and what becomes of what it brings. What went out with an
attempt that was not answered goes out with each further one, as the master may have served it; what nobody waits for
by the time of the answer is given back.
Leaves to others: opening (`lease_keeper`), and to hand the outcomes to those who wait (`seat_manager`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from licensemaster.v1 import seat_pb2
from slave_client.client_parts import ClientParts
from slave_client.values.messages import outcomes_from_results
from slave_client.values.seats import Granted, Outcome, Refused, SeatKey, Want


class OpeningSeats:
    """The seats asked for with an opening; `is_waited_for` says whether any caller waits for a seat."""

    def __init__(self, parts: ClientParts, *, is_waited_for: Callable[[SeatKey], bool]) -> None:
        self._config, self._masters, self._local_seats = parts.config, parts.masters, parts.local_seats
        self._is_waited_for = is_waited_for
        self._asked: dict[SeatKey, Want] = {}
        self._outcomes: dict[SeatKey, Outcome] = {}
        self._unclaimed: list[Granted] = []

    def ask_for(self, waiting: Iterable[Want]) -> Sequence[Want]:
        """Return the seats for the next attempt to open the lease: waiting ones, and those of unanswered attempts."""
        for want in waiting:
            if len(self._asked) < self._config.seats_per_call_max:
                self._asked.setdefault(want.key, want)
        self._local_seats.numbers.asking(self._asked.values())
        return tuple(self._asked.values())

    def answered(self, results: Sequence[seat_pb2.SeatResult]) -> None:
        """Note the results of an opening: one per seat asked for, or none where the master ignored the seats."""
        went_out, self._asked = list(self._asked.values()), {}
        outcomes = outcomes_from_results(went_out if results else [], results)
        self._outcomes = {outcome.want.key: outcome for outcome in outcomes}
        self._unclaimed = []
        for outcome in outcomes:
            if not isinstance(outcome, Granted):
                continue
            if self._is_waited_for(outcome.want.key) or self._local_seats.holds(outcome.want.key):
                self._local_seats.granted(outcome)
            elif not outcome.already_held:
                self._unclaimed.append(outcome)
        self._local_seats.numbers.answered(went_out)

    async def give_back(self, epoch: int) -> None:
        """Return the granted seats that no caller waits for; where it raises MasterError, call it again."""
        if not self._unclaimed:
            return
        outcomes = await self._masters.return_seats(epoch, [grant.want for grant in self._unclaimed])
        for grant, outcome in zip(self._unclaimed, outcomes, strict=True):
            if isinstance(outcome, Refused):  # what somebody waits for requires it (rule H5)
                self._local_seats.granted(grant)
        self._unclaimed = []

    def outcome(self, want: Want) -> Outcome | None:
        """Return the opening's outcome for a seat if it was asked for exactly as wanted and still counts, or None."""
        outcome = self._outcomes.get(want.key)
        if outcome is None or outcome.want != want:
            return None
        return None if isinstance(outcome, Granted) and not self._local_seats.holds(want.key) else outcome

    def forget(self, wants: Iterable[Want]) -> None:
        """Drop the outcomes of seats whose callers have their answers, so that later callers ask the master again."""
        for want in wants:
            self._outcomes.pop(want.key, None)
