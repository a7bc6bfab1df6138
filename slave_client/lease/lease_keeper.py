"""Keeps the lease: opens it, renews it at the master's pace, and finds the master again through several addresses.

Decides: whether a master answers, and with that when the client is connected or offline. One run tries each address
once, beginning with the last good one; only a run in which none answers makes the client offline, and the next runs
come after a jittered, growing pause. A lease is opened where there is none, with the seats that wait for it, and
renewed where there is one.
Leaves to others: what follows from a state (`client`), the seats (`seat_manager`), what the master reports meanwhile
(`lease_watcher`).
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from licensemaster.signing.verified_lease import LeaseVerificationError, VerifiedLease, verify
from licensemaster.v1 import document_pb2, lease_pb2, seat_pb2
from slave_client.client_parts import ClientParts
from slave_client.connection.master_failures import LEASE_EVENTS, FailureKind, MasterError
from slave_client.lease.lease_watcher import NoticeHandler
from slave_client.seats.seat_manager import Occasion, SeatManager
from slave_client.values.notices import NoticeKind
from slave_client.values.seats import Want
from slave_client.values.states import Event, State

_log = logging.getLogger("slave_client")


class Memory(Enum):
    """Whether the client knows what the PBX held before it started."""

    INTACT = "intact"
    BLANK = "blank"
    """There is no state directory, or it was empty or corrupt. Seats from before are left to `sync`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The master's answer to the opening of a lease."""

    lease: lease_pb2.Lease
    notices: Sequence[lease_pb2.Notice]
    seats_held: int
    offers: Sequence[lease_pb2.StandbyLeaseOffer] = ()
    results: Sequence[seat_pb2.SeatResult] = ()
    """One result per seat that was asked for with the opening; empty where no seat was asked for."""
    loans: Sequence[document_pb2.SignedDocument] = ()


@dataclass(frozen=True, slots=True)
class _Answer:
    """The part of a master's answer that counts once the seats are reconciled with that master."""

    pause_seconds: float
    """Seconds until the next renewal."""
    loans: Sequence[document_pb2.SignedDocument]
    sent: float
    """When the call was made, in seconds of the steady clock."""


class Opener(Protocol):
    """The way in which a client gets its lease: it opens its own, or takes over another PBX's (`standby`)."""

    @property
    def claims_first(self) -> bool:
        """True where seats are in use that the master counts under other names."""

    async def open(self, request_id: str, wants: Sequence[Want]) -> Opened:
        """Open the lease and, where possible, ask for the seats that wait for the lease; raises MasterError."""


class StandbyLeaseStore(Protocol):
    """The place for the standby leases that this PBX is given for other PBXs."""

    def receipts(self) -> list[lease_pb2.StandbyLeaseReceipt]:
        """Return the receipts for standby leases that the next renewal carries."""

    async def receive(self, offers: Sequence[lease_pb2.StandbyLeaseOffer], *, sent: float) -> None:
        """Keep the offered standby leases; they last from `sent` on, in seconds of the steady clock."""


@dataclass(frozen=True, slots=True)
class KeptLeases:
    """What a client knows of its seats from before the start, and the callbacks that keep leases and loans."""

    memory: Memory
    trusted_keys: Callable[[], tuple[bytes, ...]]
    """Returns the raw public keys that a lease may be signed with now."""
    on_lease: Callable[[VerifiedLease], Awaitable[None]]
    """Awaited for each lease whose signature was verified."""
    on_loans: Callable[[Sequence[document_pb2.SignedDocument], float], Awaitable[None]]
    """Awaited with the loans in the answer to a call, and the time of the call in seconds of the steady clock."""
    block_uses: Callable[[], tuple[list[lease_pb2.BlockUse], int]]
    """Returns the uses of seats by number for a renewal, and the serial of the blocks on disk."""


class LeaseKeeper:
    """Keeps the lease of one client, as a task that runs until the state is final."""

    def __init__(
        self,
        parts: ClientParts,
        *,
        opener: Opener,
        standby_leases: StandbyLeaseStore,
        seat_manager: SeatManager,
        on_notices: NoticeHandler,
        kept: KeptLeases,
    ) -> None:
        self._config, self._clock, self._backoff = parts.config, parts.clock, parts.backoff
        self._client_state, self._masters, self._board = parts.client_state, parts.masters, parts.board
        self._opener = opener
        self._standby_leases = standby_leases
        self._seat_manager = seat_manager
        self._on_notices = on_notices
        self._kept = kept
        self._memory = kept.memory
        self._opening_id: str | None = None
        """The id of the opening that is not answered yet. A master that slept may carry out an attempt long after
        another master answered one; with the same id that is a retry, and does not fence the lease of the other."""
        self._reconciled_epoch: int | None = None
        self._seats_held = 0
        self._remembers_seats = False
        self._failures = 0
        self._may_wait_seconds = 0.0
        """Seconds by which the master may delay the next renewal, to renew other leases with it."""
        self._last_heard = self._clock.now()
        self._urgent = asyncio.Event()
        self._round_over = asyncio.Event()

    async def run(self) -> None:
        """Open and renew the lease until the state is final."""
        try:
            while not self._client_state.state.is_final:
                self._urgent.clear()
                pause = await self._run_once()
                over, self._round_over = self._round_over, asyncio.Event()
                over.set()
                if self._client_state.state is State.CONNECTED:
                    self._seat_manager.reconcile_later()
                await self._rest(pause)
        finally:
            self._round_over.set()

    def hurry(self) -> None:
        """Start the next run soon, because there is reason to think that the master is gone, or back."""
        self._urgent.set()

    async def check_connection(self) -> None:
        """Try the masters soon, and wait until that run has ended."""
        self._urgent.set()
        await self._round_over.wait()

    async def run_out(self) -> None:
        """Wait for the signed end of each lease and enter the next state when it comes, until the state is final."""
        while not self._client_state.state.is_final:
            await self._clock.sleep(min(max(self._client_state.remaining_seconds(), 0.01), 3600.0))
            if self._client_state.verified is None:
                await self._client_state.wait_for(frozenset({State.CONNECTED, State.OFFLINE, *_FINAL}))

    async def _rest(self, pause: float) -> None:
        """Wait `pause` seconds; `hurry` shortens that to a random wait, so that sites do not all come at once."""
        self._may_wait_seconds = 0.0
        if self._client_state.state.is_final or pause <= 0:
            return
        resting = asyncio.ensure_future(self._clock.sleep(pause))
        hurried = asyncio.ensure_future(self._urgent.wait())
        try:
            await asyncio.wait((resting, hurried), return_when=asyncio.FIRST_COMPLETED)
        finally:
            resting.cancel()
            hurried.cancel()
        if self._failures:
            return
        if self._urgent.is_set():
            await self._clock.sleep(min(pause, self._backoff.pause_seconds(1)))
        else:
            self._may_wait_seconds = min(pause * _PAUSE_SHARE, self._config.call_timeout_seconds * _TIMEOUT_SHARE)

    async def _run_once(self) -> float:
        """Try each address once; return the pause before the next run, in seconds."""
        failure: MasterError | None = None
        for _ in range(self._masters.count):
            try:
                pause = await self._attempt()
            except Exception as error:
                failure = _error_of(error)
                if failure.kind in (FailureKind.FENCED, FailureKind.LEASE_ENDED, FailureKind.LEASE_UNKNOWN):
                    self._failures += 1
                    return 0.0 if self._failures == 1 else self._backoff.pause_seconds(self._failures)
                if failure.kind is FailureKind.TOO_SOON:  # a master answers: nothing is used before it grants it
                    self._client_state.judged.set()
                    return failure.retry_after_seconds
                self._masters.move_on(failure.address)
                self._may_wait_seconds = 0.0
            else:
                self._failures = 0
                self._last_heard = self._clock.now()
                return pause
        assert failure is not None
        return self._nobody_answers(failure)

    async def _attempt(self) -> float:
        """Open or renew at the present address, reconcile the seats, and return the pause before the next renewal."""
        answer = await (self._open() if self._client_state.epoch is None else self._renew())
        state, epoch = self._client_state.state, self._client_state.epoch
        if epoch is None:
            return 0.0  # it ended while it was being renewed; the next run opens a new one
        if state is not State.CONNECTED:
            await self._reconcile(epoch)
        if self._client_state.epoch == epoch:  # loans from before count until the seats are the master's again
            await self._kept.on_loans(answer.loans, answer.sent)
        if self._client_state.epoch == epoch:
            opened, self._reconciled_epoch = self._reconciled_epoch != epoch, epoch
            self._memory = Memory.INTACT
            event = Event.OPENED if opened else Event.RENEWED
            self._client_state.happened(event, f"the master at {self._masters.address} answers")
        return answer.pause_seconds

    async def _open(self) -> _Answer:
        if self._opening_id is None:
            self._opening_id = uuid.uuid4().hex
        await asyncio.sleep(0)  # whoever asks right after the start goes along
        sent = self._clock.now()
        try:
            response = await self._opener.open(self._opening_id, self._seat_manager.waiting_for_lease())
        except MasterError as failure:
            if failure.kind is FailureKind.FENCED:  # a takeover: somebody else has the seats
                self._client_state.happened(Event.FENCED, str(failure))
            raise
        await self._adopt(response.lease, sent=sent)  # each answer is signed anew, a retry's too
        if self._client_state.epoch == response.lease.epoch:  # otherwise it ended meanwhile: the next run opens another
            self._remembers_seats = self._seat_manager.remembers_seats  # before those that came with it
            self._seat_manager.opened(response.results)
            self._on_notices(response.lease.epoch, response.notices)
            self._seats_held = response.seats_held
            await self._standby_leases.receive(response.offers, sent=sent)
        return _Answer(self._pause_before_renewal(response.lease), response.loans, sent)

    async def _renew(self) -> _Answer:
        epoch = self._client_state.epoch
        assert epoch is not None
        sent = self._clock.now()
        try:
            uses, serial = self._kept.block_uses()
            request = lease_pb2.RenewLeaseRequest(
                pbx=self._config.pbx,
                epoch=epoch,
                standby_receipts=self._standby_leases.receipts(),
                blocks=uses,
                block_serial=serial,
            )
            if self._client_state.verified is not None:
                request.end_time.FromNanoseconds(round(self._client_state.verified.end_time * 1e9))
            response = await self._masters.renew_lease(request, may_wait_seconds=self._may_wait_seconds)
        except MasterError as failure:
            self._lease_failed(failure, epoch)
            raise
        if self._client_state.epoch == epoch:  # otherwise it ended meanwhile, and the next run opens a new one
            await self._adopt(response.lease, sent=sent)
            self._on_notices(epoch, response.notices)
            await self._standby_leases.receive(response.standby_leases, sent=sent)
        return _Answer(self._pause_before_renewal(response.lease), response.loans, sent)

    def _pause_before_renewal(self, lease: lease_pb2.Lease) -> float:
        """Return the pause that the master asks for, in seconds, up to the lease's ttl; 0.05 where it is no number."""
        verified = self._client_state.verified
        most = 0.0 if verified is None else float(verified.ttl_seconds)
        return max(_RENEWAL_PAUSE_MIN_SECONDS, min(most, max(0.0, lease.renew_after_seconds)))

    async def _reconcile(self, epoch: int) -> None:
        try:
            await self._seat_manager.reconcile(epoch, occasion=self._occasion(epoch))
        except MasterError as failure:
            self._lease_failed(failure, epoch)
            raise

    async def _adopt(self, lease: lease_pb2.Lease, *, sent: float) -> None:
        """Verify a lease and rely on it from now on; raises MasterError where it is not genuine."""
        try:
            verified = verify(
                lease.signed, pbx=self._config.pbx, public_key=lease.public_key, trusted_keys=self._kept.trusted_keys()
            )
            if verified.epoch != lease.epoch:
                raise LeaseVerificationError("the lease's epoch is not the signed one")
        except LeaseVerificationError as failure:
            message = f"{failure} (from {self._masters.address}); check trusted_keys or the pinned key"
            self._board.raise_own(NoticeKind.LEASE_NOT_TRUSTED, message)
            raise MasterError(FailureKind.DENIED, str(failure), reason=_NOT_TRUSTED) from failure
        self._board.clear_own(NoticeKind.LEASE_NOT_TRUSTED)
        self._board.clear_own(NoticeKind.MASTER_REFUSES)
        self._opening_id = None
        self._client_state.hold(verified, end=sent + verified.duration_seconds)
        self._client_state.epoch = verified.epoch  # with it: what ends one ends the other
        await self._kept.on_lease(verified)

    def _occasion(self, epoch: int) -> Occasion:
        """Return the occasion of the reconciliation that is needed before the client counts as connected."""
        remembers_seats = self._remembers_seats or self._seat_manager.needs_reconciling
        if self._reconciled_epoch == epoch or not (self._seats_held or remembers_seats):
            return Occasion.RENEWED
        if self._opener.claims_first:
            return Occasion.TAKEN_OVER
        if self._memory is Memory.BLANK and not remembers_seats:
            held = f"the master still counts {self._seats_held} seats from before for this PBX"
            self._board.raise_own(NoticeKind.SEATS_FROM_BEFORE, f"{held}; call sync() to reconcile them")
            return Occasion.RENEWED
        return Occasion.OPENED

    def _lease_failed(self, failure: MasterError, epoch: int) -> None:
        if self._client_state.epoch != epoch:
            return
        if event := LEASE_EVENTS.get(failure.kind):
            if event is Event.LEASE_ENDED:
                self._client_state.epoch = None
            self._client_state.happened(event, str(failure))

    def _nobody_answers(self, failure: MasterError) -> float:
        """Note a run in which no master opened or renewed the lease; return the seconds before the next run."""
        self._failures += 1
        if failure.kind in (FailureKind.DENIED, FailureKind.REJECTED) and failure.reason != _NOT_TRUSTED:
            self._board.raise_own(NoticeKind.MASTER_REFUSES, f"{self._masters.address}: {failure}")
        if not (failure.kind is FailureKind.BUSY and self._may_wait()):
            resumed = self._client_state.state is State.STARTING and self._client_state.verified is not None
            self._client_state.happened(Event.RESUMED if resumed else Event.MASTER_LOST, str(failure))
            self._client_state.judged.set()
        return self._backoff.pause_seconds(self._failures, failure.retry_after_seconds)

    def _may_wait(self) -> bool:
        """Tell whether a busy master changes nothing yet: within the lease's ttl, or where there is no lease."""
        verified = self._client_state.verified
        if verified is None:
            return True
        return (
            self._client_state.state is State.CONNECTED and self._clock.now() - self._last_heard < verified.ttl_seconds
        )


def _error_of(failure: Exception) -> MasterError:
    """Return a MasterError as given; make one of the kind UNREACHABLE, and log it, for any other exception."""
    if isinstance(failure, MasterError):
        return failure
    _log.error("keeping the lease failed unexpectedly", exc_info=failure)
    return MasterError(FailureKind.UNREACHABLE, repr(failure))


_RENEWAL_PAUSE_MIN_SECONDS = 0.05
_PAUSE_SHARE, _TIMEOUT_SHARE = 1 / 60, 1 / 5
"""The part of the pause, and of the timeout, by which a renewal in no hurry may be delayed: 1 s in a minute."""
_NOT_TRUSTED = "LEASE_NOT_TRUSTED"
_FINAL = frozenset(state for state in State if state.is_final)
