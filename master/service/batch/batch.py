"""One batch: read what it needs under lock, let the core decide, write seats, counters and events together.

Requests are decided in order, each on what those before it left. The caller commits; nobody is answered before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, TypeVar, cast

import structlog

from master.domain.allocation.overdraft import Overdraft
from master.domain.catalog.words import LeaseState
from master.domain.estate.estate import Estate, Pbx
from master.domain.estate.lease_time import LeaseTime
from master.domain.leases.ending import NoLeaseToEndError, risk_of
from master.domain.leases.learning import Proof, knows_less, what_is_new
from master.domain.leases.leases import (
    Carrier,
    Lease,
    LeaseError,
    LeaseProblem,
    Phase,
    called,
    ended,
    is_reclaimable,
    is_retry,
    opened,
    renewed,
    running,
)
from master.domain.leases.loans import LoanError
from master.domain.leases.notices import SeatNews, notices
from master.domain.leases.presence import AbsenceEvidence, Observer, Presence, presence
from master.domain.leases.standby import Takeover, primary_of, takeover_problems
from master.service.batch.answers import (
    ClaimsEnded,
    DatabaseOutdatedError,
    LeaseClosed,
    LeaseEnded,
    LeaseGranted,
    LoanBorrowed,
    LoanReturned,
    SeatsAcquired,
    SeatsReclaimed,
    SeatsReturned,
    SeatsSynced,
    TakeOverRefused,
    Tally,
    WaitingDropped,
)
from master.service.batch.batch_events import LEASE_ENDED, BatchEvents, counted, lease_before
from master.service.batch.batch_seats import BatchSeats
from master.service.batch.batch_waiting import BatchWaiting
from master.service.batch.claims.blocks import BatchBlocks
from master.service.batch.claims.loans import BatchLoans
from master.service.batch.claims.standby_claims import TwoClaims
from master.service.batch.claims.standby_pairs import carried_by
from master.service.batch.loading import LoadedBatch, is_to_prove, load
from master.service.batch.remedies import Remedies
from master.service.batch.requests import (
    AcquireSeats,
    Answer,
    BlockUse,
    BorrowSeats,
    CloseLease,
    DropWaiting,
    EndClaims,
    EndLease,
    GrantWaiting,
    OpenLease,
    ReclaimSeats,
    RenewLease,
    Request,
    ReturnLoan,
    ReturnSeats,
    SeatCall,
    SyncSeats,
    TakeOverLease,
    UnderLease,
)
from master.service.batch.resolved_request import ResolvedRequest, opening_of
from master.service.estates.estate_cache import EstateCache
from master.service.estates.overdrafts import overdrawn_pools
from master.service.runtime.errors import RequestIdTakenError
from master.service.runtime.names import UnknownPbxError
from master.service.runtime.request_answers import AnsweredBefore, RequestKey, answered_before, keep_answer
from master.store.backends.database import Tx
from master.store.statements import seats as store
from master.store.statements.events import write_events
from master.store.statements.streams import stream_of

T = TypeVar("T")
_log = structlog.get_logger(__name__)
CONCERNS_ONE = (LeaseError, LoanError, NoLeaseToEndError, RequestIdTakenError, UnknownPbxError, DatabaseOutdatedError)
"""What a request may be answered with instead; its neighbours go on."""


def run_batch(
    tx: Tx,
    estates: EstateCache,
    time: LeaseTime,
    requests: Sequence[Request[object]],
    *,
    observer: Observer | None = None,
) -> list[object]:
    """Decide and write all requests; returns each one's answer, or the exception that concerns it alone.

    `observer` is what is seen of PBXs; without it nobody is taken for gone before its lease says so.
    """
    loaded = load(tx, estates, time, requests)
    batch = Batch(tx, loaded, time, observer)
    answers = [
        batch.answer(resolved) if isinstance(resolved, ResolvedRequest) else resolved
        for resolved in loaded.resolved_requests
    ]
    batch.write()
    return answers


def answer_to(tx: Tx, estates: EstateCache, time: LeaseTime, request: Request[Answer]) -> Answer:
    """Decide and write one request, alone.

    Raises:
        *CONCERNS_ONE: it is not served.
    """
    (answer,) = run_batch(tx, estates, time, [request])
    if isinstance(answer, Exception):
        raise answer
    return cast(Answer, answer)  # `answered_by` of this very request gave it


class Batch:
    """Decides requests on what was loaded for them, one after the other, and writes what came of it."""

    def __init__(self, tx: Tx, loaded: LoadedBatch, time: LeaseTime, observer: Observer | None) -> None:
        self._tx = tx
        self._loaded = loaded
        self._time = time
        self._observer = observer
        self._leases = dict(loaded.leases)
        self._touched: set[int] = set()
        self._overdrawn: dict[int, Mapping[int, Overdraft]] = {}
        self._standby_claims = loaded.standby_claims
        self._events = BatchEvents(time.now)
        self._waiting = BatchWaiting(loaded.awaited, loaded.working_set, self._events)
        remedies = Remedies(tx, loaded.working_set, time)
        self._seats = BatchSeats(loaded.working_set, self._events, remedies, self._waiting, time)
        self._blocks = BatchBlocks(loaded.working_set, self._standby_claims, time)
        self._loans = BatchLoans(loaded.working_set, self._standby_claims, self._events, time)

    def answer(self, resolved: ResolvedRequest) -> object:
        """The answer to one request, or the exception that concerns it alone."""
        try:
            return resolved.request.answered_by(self, resolved)
        except CONCERNS_ONE as error:
            return error

    def write(self) -> None:
        """Write seats, counters, claims, leases and, last of all, events; then name who holds most of what is short."""
        self._write_standby_claims()
        store.write_working_set(self._tx, self._loaded.working_set, now=self._time.now)
        for pbx_id, revoked in self._loaded.revoked.items():
            store.forget_revoked(self._tx, pbx_id, revoked - self._loaded.working_set.seats[pbx_id].revoked)
        self._waiting.write(self._tx)
        self._loaded.proofs.write(self._tx)
        store.write_leases(self._tx, (self._leases[pbx_id] for pbx_id in sorted(self._touched)))
        self._note_overdrafts()
        write_events(self._tx, self._events.noted)
        self._seats.name_top_holders(self._tx)

    # --- Handling ---------------------------------------------------------------------------------------------------

    def open(self, resolved: ResolvedRequest, request: OpenLease) -> LeaseGranted:
        before, proof = self._leases.get(resolved.pbx.id), self._proof(resolved, request)
        proving = proof is not None and is_to_prove(resolved, before, self._time)
        if before is not None and before.phase is Phase.EXPIRED:
            self._seats.reclaim_all(resolved, before)  # what expiry has not come to yet
        opening = opening_of(resolved, request)
        if proof is not None and proving:
            opening = replace(opening, shown=(proof.epoch, proof.ends_at))
        lease, is_repeated = opened(before, opening, self._time), is_retry(before, opening)
        if request.wants or request.unanswered_calls > lease.unanswered_calls:  # else it undoes nothing
            lease = called(lease, request.unanswered_calls, pbx=str(request.pbx))
        self._put(lease)
        if proof is not None and proving:
            self._events.add(
                resolved, "lease.proven", self._loaded.proofs.take(resolved, lease, proof, self._standby_claims)
            )
        if before is not None and before.user_id != lease.user_id:
            self._standby_claims.handed_over(before, lease)
        if not is_repeated:
            fenced = before is not None and before.phase is Phase.OPEN
            self._events.add(
                resolved,
                "lease.opened",
                {
                    "epoch": lease.epoch,
                    "software": lease.software.reported,
                    "instance": lease.instance_id,
                    "fenced": fenced,
                    "before": lease_before(before),
                },
            )
        held, acquired = sum(self._held(resolved.pbx).values()), None
        if request.wants:
            held -= self._seats.acquired_since(resolved.pbx, lease.opened_at, request.wants) if is_repeated else 0
            acquired = self._seats.acquire(resolved, lease, request)
            if is_repeated:
                self._seats.answer_as_at_first(resolved.pbx, lease, acquired)
        granted = self._granted(resolved, lease, request.blocks)
        return replace(granted, held_before=held, acquired=acquired)

    def _proof(self, resolved: ResolvedRequest, request: OpenLease) -> Proof | None:
        """The signed lease that was shown, where it is in force.

        Raises:
            DatabaseOutdatedError: it shows that there is something to be learned, for longer than is learned already.
        """
        proof, estate = request.proof, resolved.eligibilities.estate
        if proof is None or not proof.is_in_force(self._time):
            return None
        news = what_is_new(estate, self._leases.get(resolved.pbx.id), proof)
        running = estate.learning if estate.learns(self._time.ends_by) else None
        if news is None and (running is None or proof.ends_at <= running.until):
            return proof
        why = f"{resolved.pbx.name}: {news or 'it shows a signed lease that lasts longer'}"
        raise DatabaseOutdatedError(estate.name, why, until=proof.ends_at, is_news=news is not None, learning=running)

    def take_over(self, resolved: ResolvedRequest, request: TakeOverLease) -> LeaseGranted | TakeOverRefused:
        """Give the lease to the standby under a new epoch; the seats stay where they are (F5)."""
        estate, primary, before = resolved.eligibilities.estate, resolved.pbx, self._leases.get(resolved.pbx.id)
        standby = next(iter(resolved.also), None)
        if standby is None:
            raise UnknownPbxError(request.standby)
        since = self._time.now - (request.carried.carried_seconds if request.carried is not None else 0.0)
        if before is not None and before.carrier is not None and before.user_id == standby.id:
            since = min(since, before.carrier.since)  # it restarted
        carrier = Carrier(standby.id, since, before.primary_heard_at if before is not None else 0.0)
        opening = replace(opening_of(resolved, request), carrier=carrier)
        evidence: AbsenceEvidence | None = None
        if before is None or not is_retry(before, opening):
            seen = self._presence(estate, before)
            takeover = Takeover(
                standby=standby,
                primary=primary,
                software=request.software,
                own_lease=self._leases.get(standby.id),
                own_epoch=request.standby_epoch,
                lease=before,
                seats=sum(self._standby_claims.held(estate, primary.id).values()),
                claims=self._standby_claims.claims.get(primary.id, ()),
                carried_since=since if request.carried is not None else None,
                presence=seen,
                force=request.force,
            )
            problems = takeover_problems(estate, takeover, self._time)
            if request.carried is not None and before is not None:
                self._report(
                    resolved, self._standby_claims.carried_beside(estate, standby, primary, before, request.carried)
                )
            if problems:
                return TakeOverRefused(tuple(problems))
            assert before is not None
            evidence = seen.gone if seen is not None else None
            if before.phase is Phase.EXPIRED:
                self._seats.reclaim_all(resolved, before)  # what expiry has not come to yet; claims keep it counted
        lease = opened(before, opening, self._time)
        self._put(lease)
        if before.epoch != lease.epoch:
            self._standby_claims.handed_over(before, lease)
            details: dict[str, Any] = {
                "epoch": lease.epoch,
                "standby": standby.name,
                "software": lease.software.reported,
                "instance": lease.instance_id,
                "before": lease_before(before),
                "forced": request.force,
                "evidence": evidence.value if evidence is not None else None,
            }
            if request.carried is not None:
                details |= {"carried_seconds": round(request.carried.carried_seconds, 3)}
            self._events.add(resolved, "lease.taken_over", details, reason=request.reason)
        return self._granted(resolved, lease)

    def _presence(self, estate: Estate, lease: Lease | None) -> Presence | None:
        """What masters see of the user of a lease that counts as connected."""
        if lease is None or self._observer is None or lease.state(self._time) is not LeaseState.ACTIVE:
            return None
        renew_every_seconds = estate.pbxs[lease.pbx_id].pace.renew_every_seconds
        stream = stream_of(self._tx, lease.pbx_id)
        return presence(lease, stream, self._observer, renew_every_seconds=renew_every_seconds, now=self._time.now)

    def renew(self, resolved: ResolvedRequest, request: RenewLease) -> LeaseGranted:
        lease = self._running(resolved, request)
        if knows_less(lease, request.knows_end):
            raise LeaseError(LeaseProblem.LEASE_UNPROVEN, pbx=str(request.pbx), epoch=request.epoch)
        lease = renewed(lease, pace=resolved.pbx.pace, now=self._time.now)
        self._put(lease)
        self._standby_claims.heard(lease)
        self._blocks.confirm(resolved, request.blocks, request.block_serial)
        estate = resolved.eligibilities.estate
        if lease.carrier is None:  # what the standby of this PBX has of it is not this lease's affair
            for receipt in request.receipts:
                if receipt.primary in estate.pbx_ids:
                    self._standby_claims.receive(resolved.pbx, estate.pbxs[estate.pbx_ids[receipt.primary]], receipt)
        return self._granted(resolved, lease, request.blocks)

    def end_claims(self, resolved: ResolvedRequest, request: EndClaims) -> ClaimsEnded:
        if self._standby_claims.is_claimed(resolved.pbx.id) is None:
            return ClaimsEnded(0)  # another master was first
        freed = self._standby_claims.end(resolved.pbx.id)
        if freed:
            self._events.add(resolved, "claims.ended", {"seats": freed})
        return ClaimsEnded(freed)

    def close(self, resolved: ResolvedRequest, request: CloseLease) -> LeaseClosed:
        lease = self._leases.get(resolved.pbx.id)
        is_theirs = lease is not None and resolved.caller_id in (None, lease.user_id)
        if lease is not None and is_theirs and lease.epoch == request.epoch and lease.phase is Phase.CLOSED:
            return LeaseClosed(0)  # a retry
        lease = self._running(resolved, request)
        returned = self._seats.take_all(resolved.pbx)
        self._standby_claims.closed(resolved.pbx.id)
        self._put(ended(lease, Phase.CLOSED))
        self._events.add(resolved, "lease.closed", {"epoch": lease.epoch, **counted(returned)})
        return LeaseClosed(returned.total())

    def end(self, resolved: ResolvedRequest, request: EndLease) -> LeaseEnded | AnsweredBefore:
        return self._once(resolved, request.key, lambda: self._ended(resolved, request))

    def _ended(self, resolved: ResolvedRequest, request: EndLease) -> LeaseEnded:
        lease, estate, pbx_id = self._leases.get(resolved.pbx.id), resolved.eligibilities.estate, resolved.pbx.id
        counted_now = self._standby_claims.in_use_at_most(pbx_id) if lease is not None else {}
        claims = self._standby_claims.claims.get(pbx_id, ())
        risk = risk_of(lease, pbx=resolved.pbx.name, counted=counted_now, claims=claims, time=self._time)
        assert lease is not None
        returned = self._seats.take_all(resolved.pbx)
        self._standby_claims.drop(pbx_id)
        self._put(ended(lease, Phase.CLOSED))
        answer = LeaseEnded(
            epoch=lease.epoch,
            seats_returned=returned.total(),
            at_risk=self._standby_claims.by_type(estate, risk.seats),
            risk_ends_at=risk.ends_at,
            connected=lease.state(self._time) is LeaseState.ACTIVE,
            renewed_at=lease.renewed_at,
            carried_by=carried_by(estate, lease),
        )
        request_id = request.key.request_id
        self._events.add(resolved, LEASE_ENDED, asdict(answer), reason=request.reason, request_id=request_id)
        return answer

    def acquire(self, resolved: ResolvedRequest, request: AcquireSeats) -> SeatsAcquired:
        return self._seats.acquire(resolved, self._called(resolved, request), request)

    def give_back(self, resolved: ResolvedRequest, request: ReturnSeats) -> SeatsReturned:
        return self._seats.give_back(resolved, self._called(resolved, request), request)

    def sync(self, resolved: ResolvedRequest, request: SyncSeats) -> SeatsSynced:
        return self._seats.sync(resolved, self._called(resolved, request), request)

    def reclaim(self, resolved: ResolvedRequest, request: ReclaimSeats) -> SeatsReclaimed:
        lease = self._leases.get(resolved.pbx.id)
        if lease is None or not is_reclaimable(lease, self._time):
            return SeatsReclaimed(0, more=False)  # renewed in the meantime, or another master was first
        if lease.phase is Phase.OPEN:
            self._put(ended(lease, Phase.EXPIRED))
            kept = self._standby_claims.keep_first_claim(resolved.eligibilities.estate, lease)
            details = {"epoch": lease.epoch, "ends_at": lease.ends_at} | ({"first_claim": kept} if kept else {})
            self._events.add(resolved, "lease.expired", details)
        holders = len({seat.holder for seat in self._loaded.working_set.holdings(resolved.pbx.id)})
        return SeatsReclaimed(self._seats.reclaim_all(resolved, lease), more=holders >= request.holders_max)

    def borrow(self, resolved: ResolvedRequest, request: BorrowSeats) -> LoanBorrowed | AnsweredBefore:
        lease = self._leases.get(resolved.pbx.id)
        return self._once(resolved, request.key, lambda: self._loans.borrow(resolved, lease, request))

    def return_loan(self, resolved: ResolvedRequest, request: ReturnLoan) -> LoanReturned | AnsweredBefore:
        return self._once(resolved, request.key, lambda: self._loans.give_back(resolved, request))

    def grant_waiting(self, resolved: ResolvedRequest, request: GrantWaiting) -> SeatsAcquired:
        lease = self._leases.get(resolved.pbx.id)
        if lease is None or lease.state(self._time) is not LeaseState.ACTIVE:  # a lease that is unproven is not, either
            return SeatsAcquired([], Tally({}, {}, resolved.pbx.site, ()))
        return self._seats.hand_on(resolved, lease, request)

    def drop_waiting(self, resolved: ResolvedRequest, request: DropWaiting) -> WaitingDropped | AnsweredBefore:
        return self._once(resolved, request.key, lambda: WaitingDropped(self._waiting.drop(resolved, request)))

    def _once(self, resolved: ResolvedRequest, key: RequestKey[T], carry_out: Callable[[], T]) -> T | AnsweredBefore:
        """Carry out a request with an id, unless it was before; its answer is kept at once, as a retry may be in this
        very batch."""
        project_id = resolved.eligibilities.estate.project_id
        if (before := answered_before(self._tx, project_id, key)) is not None:
            return before
        answer = carry_out()
        keep_answer(self._tx, project_id, key, answer, now=self._time.now)
        return answer

    def _running(self, resolved: ResolvedRequest, request: UnderLease[object]) -> Lease:
        lease, epoch, caller_id = self._leases.get(resolved.pbx.id), request.epoch, resolved.caller_id
        if lease is not None and lease.claimed and epoch < lease.epoch:
            two_claims = self._standby_claims.called_when_fenced(
                resolved.eligibilities.estate, resolved.pbx, lease, epoch, caller_id=caller_id
            )
            self._report(resolved, two_claims)
        return running(lease, pbx=str(request.pbx), epoch=epoch, time=self._time, caller_id=caller_id)

    def _called(self, resolved: ResolvedRequest, request: SeatCall[object]) -> Lease:
        running_lease = self._running(resolved, request)
        lease = called(running_lease, request.unanswered_calls, pbx=str(request.pbx))
        if lease is not running_lease:
            self._put(lease)
        return lease

    def _report(self, resolved: ResolvedRequest, two_claims: TwoClaims | None) -> None:
        if two_claims is not None:
            self._events.add(resolved, "standby.two_claims", two_claims.details())
            _log.warning("two claims at once", pbx=str(resolved.request.pbx), **two_claims.details())

    def _write_standby_claims(self) -> None:
        for pbx_id in self._standby_claims.claims:
            lease, claimed = self._leases.get(pbx_id), bool(self._standby_claims.is_claimed(pbx_id))
            if lease is not None and lease.claimed is not claimed:
                self._put(replace(lease, claimed=claimed))
        self._standby_claims.write(self._tx)

    def _note_overdrafts(self) -> None:
        """Note the pools that became overdrawn by this batch, and those that are no longer."""
        for pool_id, pool in sorted(self._loaded.working_set.pools.items()):
            if bool(pool.overdrawn) is bool(pool.account.overdrawn):
                continue
            estates = (
                resolved.eligibilities.estate
                for resolved in self._loaded.resolved_requests
                if isinstance(resolved, ResolvedRequest)
            )
            estate = next(estate for estate in estates if pool_id in estate.pool_devices)
            self._events.overdrawn(estate, pool_id, pool.account_after(self._time.now))

    def _put(self, lease: Lease) -> None:
        self._leases[lease.pbx_id] = lease
        self._touched.add(lease.pbx_id)

    def _held(self, pbx: Pbx) -> dict[str, int]:
        """Seats debited by now, by license type."""
        held, changes = self._loaded.held.get(pbx.id, {}), self._loaded.working_set.type_changes(pbx.id)
        seats_after = {key: held.get(key, 0) + changes.get(key, 0) for key in held.keys() | changes.keys()}
        return {key: seats for key, seats in seats_after.items() if seats}

    def _granted(self, resolved: ResolvedRequest, lease: Lease, uses: Sequence[BlockUse] = ()) -> LeaseGranted:
        estate = resolved.eligibilities.estate
        if estate.project_id not in self._overdrawn:
            self._overdrawn[estate.project_id] = overdrawn_pools(self._tx, estate, self._time.now)
        seats = SeatNews(
            revoked=self._loaded.working_set.seats[resolved.pbx.id].revoked,
            awaited=self._waiting.of(resolved.pbx.id),
            overdrawn=self._overdrawn[estate.project_id],
        )
        lease_notices = notices(estate, resolved.pbx, lease, epoch=lease.epoch, time=self._time, seats=seats)
        granted = LeaseGranted(lease, resolved.pbx, self._held(resolved.pbx), lease_notices)
        if lease.carrier is not None:
            return granted
        primary = primary_of(estate, resolved.pbx)
        offer = None
        if primary is not None:
            offer = self._standby_claims.offer(estate, resolved.pbx, lease, self._leases.get(primary.id))
        offers = (offer,) if offer is not None else ()
        blocks = self._blocks.offer(resolved, lease, uses)
        return replace(granted, offers=offers, blocks=blocks, loans=self._loans.of(estate, resolved.pbx.id))
