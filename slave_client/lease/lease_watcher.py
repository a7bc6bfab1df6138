"""Receives the master's notices between renewals, and acts on notices wherever they come from.

Decides: what a notice means for the lease: a fenced one is fenced, a carried, closed or expired one is over, a draining
master is left for the next address. A stream that breaks, or that the master ends (a certificate is revoked, the PBX
removed, its standby asks whether it is there), is a reason to look at once whether it still renews the lease
(`lease_keeper`). Leaves to others: giving up what was taken away (`revocation`), certifying releases (`certification`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from licensemaster.v1 import lease_pb2
from slave_client.client_parts import ClientParts
from slave_client.connection.master_failures import FailureKind, MasterError
from slave_client.device.certification import Certifier
from slave_client.seats.awaited_seats import AwaitedSeats
from slave_client.seats.revocation import Revoker
from slave_client.values.notices import NoticeKind, notices_from_proto
from slave_client.values.states import Event, State

_EVENTS = {
    NoticeKind.FENCED: Event.FENCED,
    NoticeKind.CARRIED: Event.LEASE_ENDED,
    NoticeKind.CLOSED: Event.LEASE_ENDED,
    NoticeKind.EXPIRED: Event.LEASE_ENDED,
    NoticeKind.UNPROVEN: Event.LEASE_UNKNOWN,
}
_NO_SUCH_STREAM = frozenset({"", "UNKNOWN_METHOD"})
"""Error reasons where a master has no such stream: none, as from proxies, or an older master's. All other denials
hold for renewals too."""
NoticeHandler = Callable[[int, Sequence[lease_pb2.Notice]], None]
"""Called with the epoch of a lease and the master's notices that hold now for that lease."""
_CONNECTED_OR_FINAL = frozenset({State.CONNECTED, *(state for state in State if state.is_final)})


class LeaseWatcher:
    """Watches the lease of one client, as a task that runs until the state is final."""

    def __init__(self, parts: ClientParts, *, on_notices: NoticeHandler, hurry: Callable[[], None]) -> None:
        self._pbx, self._clock, self._backoff = parts.config.pbx, parts.clock, parts.backoff
        self._client_state, self._masters = parts.client_state, parts.masters
        self._on_notices = on_notices
        self._hurry = hurry

    async def run(self) -> None:
        """Watch the lease whenever connected, until the state is final or the master has no such stream."""
        failures = 0
        while not (await self._client_state.wait_for(_CONNECTED_OR_FINAL)).is_final:
            asked_seconds, is_busy = 0.0, False
            try:
                if await self._watch():
                    failures = 0
            except MasterError as failure:
                if failure.kind is FailureKind.DENIED and failure.reason in _NO_SUCH_STREAM:
                    return  # renewals bring the same notices, only later
                asked_seconds, is_busy = failure.retry_after_seconds, failure.kind is FailureKind.BUSY
            if not is_busy and self._client_state.state is State.CONNECTED:
                self._hurry()
            failures += 1
            await self._clock.sleep(self._backoff.pause_seconds(failures, asked_seconds))

    async def _watch(self) -> bool:
        """Handle the stream's notices until the stream ends; return whether any message came. Raises MasterError."""
        epoch = self._client_state.epoch
        if epoch is None:
            return False
        heard = False
        async for response in self._masters.watch_lease(lease_pb2.WatchLeaseRequest(pbx=self._pbx, epoch=epoch)):
            heard = True
            self._on_notices(epoch, response.notices)
            if self._client_state.epoch != epoch:
                break
        return heard


class Listener:
    """Acts on the master's notices, whether a renewal or the stream brings them."""

    def __init__(self, parts: ClientParts, *, revoker: Revoker, awaited: AwaitedSeats, certifier: Certifier) -> None:
        self._client_state, self._masters, self._board = parts.client_state, parts.masters, parts.board
        self._revoker = revoker
        self._awaited = awaited
        self._certifier = certifier

    def on_notices(self, epoch: int, notices: Sequence[lease_pb2.Notice]) -> None:
        """Act on the notices of the lease with this epoch; do nothing where it is not the present lease."""
        if self._client_state.epoch != epoch:
            return
        was_draining = any(notice.kind is NoticeKind.DRAINING for notice in self._board.current)
        news = notices_from_proto(notices)
        self._board.from_master(news)
        for notice in news:
            if event := _EVENTS.get(notice.kind):
                self._client_state.happened(event, notice.message or notice.kind.value)
            elif notice.kind is NoticeKind.DRAINING and not was_draining:
                self._masters.move_on()
            elif notice.kind is NoticeKind.SEATS_REVOKED:
                self._revoker.note_revoked(notice.seats, notice.message)
        self._awaited.told(news)
        self._certifier.asked([request for notice in notices for request in notice.release_requests])
