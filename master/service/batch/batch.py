"""One batch: read what it needs under lock, let the core decide, write seats, counters and events together.

Requests are decided in order, each on what those before it left. The caller commits; nobody is answered before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, cast

import structlog

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
    Opening,
    Phase,
    ended,
    is_reclaimable,
    is_retry,
    opened,
    renewed,
    running,
)
from master.domain.leases.notices import notices
from master.domain.leases.presence import Presence, Sign, Vigil, presence
from master.domain.leases.standby import Takeover, primary_of, takeover_problems
from master.domain.seats.refusals import TopHolder
from master.service.batch.batch_events import LEASE_ENDED, BatchEvents, answered_before, counted, lease_before
from master.service.batch.batch_seats import BatchSeats
from master.service.batch.loading import LoadedBatch, is_to_prove, load
from master.service.batch.prefetch import name_top_holders
from master.service.batch.remedies import Remedies
from master.service.batch.requests import (
    AcquireSeats,
    Answer,
    ClaimsEnded,
    CloseLease,
    DatabaseOutdatedError,
    EndClaims,
    EndLease,
    LeaseClosed,
    LeaseEnded,
    LeaseGranted,
    OpenLease,
    ReclaimSeats,
    RenewLease,
    Request,
    ReturnSeats,
    SeatsAcquired,
    SeatsReclaimed,
    SeatsReturned,
    SeatsSynced,
    SyncSeats,
    TakeOverLease,
    TakeOverRefused,
    UnderLease,
)
from master.service.batch.resolved_request import Errand
from master.service.batch.standby_claims import TwoClaims
from master.service.batch.standby_pairs import carried_by
from master.service.estates.estate_cache import Estates
from master.service.runtime.errors import RequestIdTakenError
from master.service.runtime.names import UnknownPbxError
from master.store.backends.database import Tx
from master.store.statements import seats as store
from master.store.statements.events import write_events
from master.store.statements.streams import stream_of

_log = structlog.get_logger(__name__)
CONCERNS_ONE = (LeaseError, NoLeaseToEndError, RequestIdTakenError, UnknownPbxError, DatabaseOutdatedError)
"""What a request may be answered with instead; its neighbours go on."""


def run_batch(
    tx: Tx, estates: Estates, time: LeaseTime, requests: Sequence[Request[object]], *, vigil: Vigil | None = None
) -> list[object]:
    """Decide and write all; each request's own answer, or the exception that concerns it alone.

    `vigil` is what is seen of PBXs; without it nobody is taken for gone before its lease says so.
    """
    loaded = load(tx, estates, time, requests)
    batch = Batch(tx, loaded, time, vigil)
    answers = [batch.answer(errand) if isinstance(errand, Errand) else errand for errand in loaded.errands]
    batch.write()
    _name_top_holders(tx, loaded, answers)
    return answers


def answer_to(tx: Tx, estates: Estates, time: LeaseTime, request: Request[Answer]) -> Answer:
    """Decide and write one request, alone.

    Raises:
        LeaseError, NoLeaseToEndError, RequestIdTakenError, UnknownPbxError, DatabaseOutdatedError: it is not served.
    """
    (answer,) = run_batch(tx, estates, time, [request])
    if isinstance(answer, Exception):
        raise answer
    return cast(Answer, answer)  # `answered_by` of this very request gave it


class Batch:
    """Decides requests on what was loaded for them, one after the other, and writes what came of it."""

    def __init__(self, tx: Tx, loaded: LoadedBatch, time: LeaseTime, vigil: Vigil | None) -> None:
        self._tx = tx
        self._loaded = loaded
        self._time = time
        self._vigil = vigil
        self._leases = dict(loaded.leases)
        self._touched: set[int] = set()
        self._stand_ins = loaded.stand_ins
        self._events = BatchEvents(time.now)
        self._seats = BatchSeats(loaded.ledger, self._events, Remedies(tx, loaded.ledger, time), time)

    def answer(self, errand: Errand) -> object:
        """The answer to one request, or the exception that concerns it alone."""
        try:
            return errand.request.answered_by(self, errand)
        except CONCERNS_ONE as error:
            return error

    def write(self) -> None:
        """Write seats, counters, claims, leases and, last of all, events."""
        self._write_stand_ins()
        store.write_ledger(self._tx, self._loaded.ledger, now=self._time.now)
        for pbx_id, revoked in self._loaded.revoked.items():
            store.forget_revoked(self._tx, pbx_id, revoked - self._loaded.ledger.seats[pbx_id].revoked)
        self._loaded.proofs.write(self._tx)
        store.write_leases(self._tx, (self._leases[pbx_id] for pbx_id in sorted(self._touched)))
        write_events(self._tx, self._events.noted)

    # --- Handling ---------------------------------------------------------------------------------------------------

    def open(self, errand: Errand, request: OpenLease) -> LeaseGranted:
        before, proof = self._leases.get(errand.pbx.id), self._proof(errand, request)
        proving = proof is not None and is_to_prove(errand, before, self._time)
        if before is not None and before.phase is Phase.EXPIRED:
            self._seats.reclaim_all(errand, before)  # what expiry has not come to yet
        opening = _opening(errand, request)
        if proof is not None and proving:
            opening = replace(opening, shown=(proof.epoch, proof.ends_at))
        lease = opened(before, opening, self._time)
        self._put(lease)
        if proof is not None and proving:
            self._events.add(errand, "lease.proven", self._loaded.proofs.take(errand, lease, proof, self._stand_ins))
        if before is not None and before.user_id != lease.user_id:
            self._stand_ins.handed_over(before, lease)
        if before is None or lease.epoch != before.epoch:
            fenced = before is not None and before.phase is Phase.OPEN
            self._events.add(
                errand,
                "lease.opened",
                {
                    "epoch": lease.epoch,
                    "software": lease.software.reported,
                    "instance": lease.instance_id,
                    "fenced": fenced,
                    "before": lease_before(before),
                },
            )
        return self._granted(errand, lease)

    def _proof(self, errand: Errand, request: OpenLease) -> Proof | None:
        """The signed lease that was shown, where it is in force.

        Raises:
            DatabaseOutdatedError: it shows that there is something to be learned, for longer than is learned already.
        """
        proof, estate = request.proof, errand.book.estate
        if proof is None or not proof.is_in_force(self._time):
            return None
        news = what_is_new(estate, self._leases.get(errand.pbx.id), proof)
        running = estate.learning if estate.learns(self._time.ends_by) else None
        if news is None and (running is None or proof.ends_at <= running.until):
            return proof
        why = f"{errand.pbx.name}: {news or 'it shows a signed lease that lasts longer'}"
        raise DatabaseOutdatedError(estate.name, why, until=proof.ends_at, is_news=news is not None, learning=running)

    def take_over(self, errand: Errand, request: TakeOverLease) -> LeaseGranted | TakeOverRefused:
        """F5: the standby goes on under a new epoch of the lease, and the seats stay where they are."""
        estate, primary, before = errand.book.estate, errand.pbx, self._leases.get(errand.pbx.id)
        standby = next(iter(errand.also), None)
        if standby is None:
            raise UnknownPbxError(request.standby)
        since = self._time.now - (request.carried.carried_seconds if request.carried is not None else 0.0)
        if before is not None and before.carrier is not None and before.user_id == standby.id:
            since = min(since, before.carrier.since)  # it restarted
        carrier = Carrier(standby.id, since, before.primary_heard_at if before is not None else 0.0)
        opening = replace(_opening(errand, request), carrier=carrier)
        evidence: Sign | None = None
        if before is None or not is_retry(before, opening):
            seen = self._presence(estate, before)
            takeover = Takeover(
                standby=standby,
                primary=primary,
                software=request.software,
                own_lease=self._leases.get(standby.id),
                own_epoch=request.standby_epoch,
                lease=before,
                seats=sum(self._stand_ins.held(estate, primary.id).values()),
                claims=self._stand_ins.claims.get(primary.id, ()),
                carried_since=since if request.carried is not None else None,
                presence=seen,
                force=request.force,
            )
            problems = takeover_problems(estate, takeover, self._time)
            if request.carried is not None and before is not None:
                self._report(errand, self._stand_ins.carried_beside(estate, standby, primary, before, request.carried))
            if problems:
                return TakeOverRefused(tuple(problems))
            assert before is not None
            evidence = seen.gone if seen is not None else None
            if before.phase is Phase.EXPIRED:
                self._seats.reclaim_all(errand, before)  # what expiry has not come to yet; claims keep it counted
        lease = opened(before, opening, self._time)
        self._put(lease)
        if before.epoch != lease.epoch:
            self._stand_ins.handed_over(before, lease)
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
            self._events.add(errand, "lease.taken_over", details, reason=request.reason)
        return self._granted(errand, lease)

    def _presence(self, estate: Estate, lease: Lease | None) -> Presence | None:
        """What masters see of whoever has a lease that counts as connected."""
        if lease is None or self._vigil is None or lease.state(self._time) is not LeaseState.ACTIVE:
            return None
        renew_every_seconds = estate.pbxs[lease.pbx_id].pace.renew_every_seconds
        stream = stream_of(self._tx, lease.pbx_id)
        return presence(lease, stream, self._vigil, renew_every_seconds=renew_every_seconds, now=self._time.now)

    def renew(self, errand: Errand, request: RenewLease) -> LeaseGranted:
        lease = self._running(errand, request)
        if knows_less(lease, request.knows_end):
            raise LeaseError(LeaseProblem.LEASE_UNPROVEN, pbx=str(request.pbx), epoch=request.epoch)
        lease = renewed(lease, pace=errand.pbx.pace, now=self._time.now)
        self._put(lease)
        self._stand_ins.heard(lease)
        estate = errand.book.estate
        if lease.carrier is None:  # what the standby of this PBX has of it is not this lease's affair
            for receipt in request.receipts:
                if receipt.primary in estate.pbx_ids:
                    self._stand_ins.receive(errand.pbx, estate.pbxs[estate.pbx_ids[receipt.primary]], receipt)
        return self._granted(errand, lease)

    def end_claims(self, errand: Errand, request: EndClaims) -> ClaimsEnded:
        if self._stand_ins.is_claimed(errand.pbx.id) is None:
            return ClaimsEnded(0)  # another master was first
        freed = self._stand_ins.end(errand.pbx.id)
        if freed:
            self._events.add(errand, "claims.ended", {"seats": freed})
        return ClaimsEnded(freed)

    def close(self, errand: Errand, request: CloseLease) -> LeaseClosed:
        lease = self._leases.get(errand.pbx.id)
        is_theirs = lease is not None and errand.caller_id in (None, lease.user_id)
        if lease is not None and is_theirs and lease.epoch == request.epoch and lease.phase is Phase.CLOSED:
            return LeaseClosed(0)  # a retry
        lease = self._running(errand, request)
        returned = self._seats.take_all(errand.pbx)
        self._put(ended(lease, Phase.CLOSED))
        self._events.add(errand, "lease.closed", {"epoch": lease.epoch, **counted(returned)})
        return LeaseClosed(len(returned))

    def end(self, errand: Errand, request: EndLease) -> LeaseEnded:
        told = answered_before(self._tx, errand.book.estate.project_id, request.request_id)
        if told is not None:
            return told
        lease, estate, pbx_id = self._leases.get(errand.pbx.id), errand.book.estate, errand.pbx.id
        counted_now = self._stand_ins.counted(pbx_id) if lease is not None else {}
        claims = self._stand_ins.claims.get(pbx_id, ())
        risk = risk_of(lease, pbx=errand.pbx.name, counted=counted_now, claims=claims, time=self._time)
        assert lease is not None
        returned = self._seats.take_all(errand.pbx)
        self._stand_ins.drop(pbx_id)
        self._put(ended(lease, Phase.CLOSED))
        answer = LeaseEnded(
            epoch=lease.epoch,
            seats_returned=len(returned),
            at_risk=self._stand_ins.by_type(estate, risk.seats),
            risk_ends_at=risk.ends_at,
            connected=lease.state(self._time) is LeaseState.ACTIVE,
            renewed_at=lease.renewed_at,
            carried_by=carried_by(estate, lease),
        )
        self._events.add(errand, LEASE_ENDED, asdict(answer), reason=request.reason, request_id=request.request_id)
        return answer

    def acquire(self, errand: Errand, request: AcquireSeats) -> SeatsAcquired:
        return self._seats.acquire(errand, self._running(errand, request), request)

    def give_back(self, errand: Errand, request: ReturnSeats) -> SeatsReturned:
        return self._seats.give_back(errand, self._running(errand, request), request)

    def sync(self, errand: Errand, request: SyncSeats) -> SeatsSynced:
        return self._seats.sync(errand, self._running(errand, request), request)

    def reclaim(self, errand: Errand, request: ReclaimSeats) -> SeatsReclaimed:
        lease = self._leases.get(errand.pbx.id)
        if lease is None or not is_reclaimable(lease, self._time):
            return SeatsReclaimed(0, more=False)  # renewed in the meantime, or another master was first
        if lease.phase is Phase.OPEN:
            self._put(ended(lease, Phase.EXPIRED))
            self._events.add(errand, "lease.expired", {"epoch": lease.epoch, "ends_at": lease.ends_at})
        holders = len({seat.holder for seat in self._loaded.ledger.holdings(errand.pbx.id)})
        return SeatsReclaimed(self._seats.reclaim_all(errand, lease), more=holders >= request.holders_max)

    def _running(self, errand: Errand, request: UnderLease[object]) -> Lease:
        lease, epoch, caller_id = self._leases.get(errand.pbx.id), request.epoch, errand.caller_id
        if lease is not None and lease.claimed and epoch < lease.epoch:
            found = self._stand_ins.called_when_fenced(
                errand.book.estate, errand.pbx, lease, epoch, caller_id=caller_id
            )
            self._report(errand, found)
        return running(lease, pbx=str(request.pbx), epoch=epoch, time=self._time, caller_id=caller_id)

    def _report(self, errand: Errand, found: TwoClaims | None) -> None:
        if found is not None:
            self._events.add(errand, "standby.two_claims", found.details())
            _log.warning("two claims at once", pbx=str(errand.request.pbx), **found.details())

    def _write_stand_ins(self) -> None:
        for pbx_id in self._stand_ins.claims:
            lease, claimed = self._leases.get(pbx_id), bool(self._stand_ins.is_claimed(pbx_id))
            if lease is not None and lease.claimed is not claimed:
                self._put(replace(lease, claimed=claimed))
        self._stand_ins.write(self._tx)

    def _put(self, lease: Lease) -> None:
        self._leases[lease.pbx_id] = lease
        self._touched.add(lease.pbx_id)

    def _held(self, pbx: Pbx) -> dict[str, int]:
        """Seats debited by now, by license type."""
        held, changes = self._loaded.held.get(pbx.id, {}), self._loaded.ledger.type_changes(pbx.id)
        found = {key: held.get(key, 0) + changes.get(key, 0) for key in held.keys() | changes.keys()}
        return {key: seats for key, seats in found.items() if seats}

    def _granted(self, errand: Errand, lease: Lease) -> LeaseGranted:
        estate = errand.book.estate
        revoked = self._loaded.ledger.seats[errand.pbx.id].revoked
        told = notices(estate, errand.pbx, lease, epoch=lease.epoch, time=self._time, revoked=revoked)
        primary = primary_of(estate, errand.pbx)
        if primary is None or lease.carrier is not None:
            return LeaseGranted(lease, errand.pbx, self._held(errand.pbx), told)
        offer = self._stand_ins.offer(estate, errand.pbx, lease, self._leases.get(primary.id))
        return LeaseGranted(lease, errand.pbx, self._held(errand.pbx), told, (offer,) if offer is not None else ())


def _opening(errand: Errand, request: OpenLease | TakeOverLease) -> Opening:
    return Opening(
        pbx_id=errand.pbx.id,
        instance_id=request.instance_id,
        request_id=request.request_id,
        software=request.software,
        pace=errand.pbx.pace,
        first_epoch=errand.book.estate.epoch_floor + 1,
    )


def _name_top_holders(tx: Tx, loaded: LoadedBatch, answers: Sequence[object]) -> None:
    """Into refusals for want of licenses, who has most of them: only known once all is written."""
    books = {errand.pbx.id: errand.book for errand in loaded.errands if isinstance(errand, Errand)}
    named: dict[int, tuple[TopHolder, ...]] = {}
    for answer in answers:
        if isinstance(answer, SeatsAcquired | SeatsSynced) and answer.tally.refused:
            name_top_holders(tx, answer.outcomes, books, named)
