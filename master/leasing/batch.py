"""One batch: read what it needs under lock, let the core decide, write seats, counters and events together.

Requests are decided in order, each on what those before it left. The caller commits; nobody is answered before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, cast

import structlog

from master.domain.decide import Decider
from master.domain.ending import NoLeaseToEndError, risk_of
from master.domain.estate import Estate, Pbx
from master.domain.learning import Proof, knows_less, what_is_new
from master.domain.leases import (
    Carrier,
    Lease,
    LeaseError,
    LeaseProblem,
    LeaseTime,
    Phase,
    ended,
    is_reclaimable,
    is_retry,
    opened,
    renewed,
    running,
)
from master.domain.ledger import Ledger
from master.domain.notices import notices
from master.domain.presence import Presence, Sign, Vigil, presence
from master.domain.refusals import Refusal, TopHolder
from master.domain.seats import Key, Seat
from master.domain.standby import carrier_of, primary_of, takeover_problems
from master.domain.terms import TermsBook
from master.domain.versions import Version
from master.domain.words import LeaseState
from master.leasing.batch_events import LEASE_ENDED, BatchEvents, answered_before, counted, lease_before
from master.leasing.errands import Errand, errands_of
from master.leasing.estates import Estates
from master.leasing.pairs import carried_by
from master.leasing.prefetch import (
    Prefetch,
    fill_ledger,
    name_top_holders,
    need_for_returns,
    need_for_types,
    need_for_wants,
)
from master.leasing.proofs import Proofs
from master.leasing.remedies import Remedies
from master.leasing.requests import (
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
    RequestIdTakenError,
    ReturnSeats,
    SeatsAcquired,
    SeatsReclaimed,
    SeatsReturned,
    SeatsSynced,
    SyncSeats,
    TakeOverLease,
    TakeOverRefused,
    UnderLease,
    UnknownPbxError,
)
from master.leasing.stand_ins import StandIns, TwoClaims
from master.store import seats as store
from master.store.database import Tx
from master.store.events import write_events
from master.store.streams import stream_of

_log = structlog.get_logger(__name__)
CONCERNS_ONE = (LeaseError, NoLeaseToEndError, RequestIdTakenError, UnknownPbxError, DatabaseOutdatedError)
"""What a request may be answered with instead; its neighbours go on."""


class Batch:
    """Requests to be decided and written in one transaction.

    `vigil` is what is seen of PBXs; without it nobody is taken for gone before its lease says so.
    """

    def __init__(
        self,
        tx: Tx,
        estates: Estates,
        time: LeaseTime,
        *,
        vigil: Vigil | None = None,
    ) -> None:
        self._vigil = vigil
        self._tx = tx
        self._estates = estates
        self._time = time
        self._leases: dict[int, Lease] = {}
        self._touched: set[int] = set()
        self._events = BatchEvents(time.now)
        self._ledger = Ledger()
        self._revoked: dict[int, set[Key]] = {}
        self._stand_ins = StandIns(tx, (), time)
        self._proofs = Proofs(tx, ())
        self._remedies = Remedies(tx, self._ledger, time)

    def run(self, requests: Sequence[Request[object]]) -> list[object]:
        """Decide and write all; each request's own answer, or the exception that concerns it alone."""
        errands = errands_of(self._tx, self._estates, requests)
        known = [errand for errand in errands if isinstance(errand, Errand)]
        also = {pbx.id for errand in known for pbx in errand.also}
        self._leases = store.lock_leases(self._tx, also | {errand.pbx.id for errand in known})
        self._prefetch(known)
        answers: list[object] = []
        for errand in errands:
            try:
                answers.append(errand.request.answered_by(self, errand) if isinstance(errand, Errand) else errand)
            except CONCERNS_ONE as error:
                answers.append(error)
        self._write_stand_ins()
        store.write_ledger(self._tx, self._ledger, now=self._time.now)
        for pbx_id, revoked in self._revoked.items():
            store.forget_revoked(self._tx, pbx_id, revoked - self._ledger.seats[pbx_id].revoked)
        self._proofs.write()
        store.write_leases(self._tx, (self._leases[pbx_id] for pbx_id in sorted(self._touched)))
        write_events(self._tx, self._events.noted)
        self._complete(answers, {errand.pbx.id: errand.book for errand in known})
        return answers

    # --- Prefetch ---------------------------------------------------------------------------------------------------

    def _prefetch(self, errands: Sequence[Errand]) -> None:
        needs = Prefetch()
        pbx_wide: frozenset[str] = frozenset()
        for errand in errands:
            pbx_wide |= errand.book.estate.catalog.pbx_wide_types
            if errand.pbx.id in errand.book.estate.revoked_from:
                needs.revoked.add(errand.pbx.id)
            match errand.request:
                case AcquireSeats(wants=wants):
                    need_for_wants(needs, errand.book, errand.pbx, wants)
                case ReturnSeats(keys=keys):
                    need_for_returns(needs, errand.book, errand.pbx, keys)
                case SyncSeats():
                    needs.whole_pbxs.add(errand.pbx.id)
                    # what stays may have to be debited, whatever is wanted
                    need_for_types(needs, errand.book, errand.pbx, errand.book.estate.catalog.types)
                case CloseLease() | EndLease():
                    needs.whole_pbxs.add(errand.pbx.id)
                case OpenLease(proof=Proof()) if self._is_to_prove(errand):
                    need_for_types(needs, errand.book, errand.pbx, errand.book.estate.catalog.types)
                    needs.proving.add(errand.pbx.id)
                case OpenLease() | TakeOverLease() if self._is_reclaimable(errand.pbx):  # expiry may be faster
                    needs.whole_pbxs.add(errand.pbx.id)
                case _:
                    pass
        self._stand_ins = StandIns(self._tx, self._shared(errands) | needs.proving, self._time)
        claims = self._stand_ins.claims
        self._ledger = fill_ledger(self._tx, needs, pbx_wide, self._first_seats(errands), claims)
        self._stand_ins.count_in(self._ledger)
        self._remedies = Remedies(self._tx, self._ledger, self._time)
        self._proofs = Proofs(self._tx, needs.proving)
        self._revoked = {pbx_id: set(self._ledger.seats[pbx_id].revoked) for pbx_id in needs.revoked}

    def _shared(self, errands: Sequence[Errand]) -> set[int]:
        """PBXs in whose names there are claims, or may be after this batch; they are few."""
        found = set()
        for errand in errands:
            lease = self._leases.get(errand.pbx.id)
            takes_over = isinstance(errand.request, TakeOverLease)
            counts = takes_over or isinstance(errand.request, EndLease)
            if lease is not None and (lease.claimed or counts or lease.carrier is not None):
                found.add(lease.pbx_id)
            if not takes_over:
                found |= {pbx.id for pbx in errand.also if pbx.id in self._leases}
        return found

    def _first_seats(self, errands: Sequence[Errand]) -> list[Seat]:
        """The seats that reclaiming takes back in this batch."""
        return [
            seat
            for errand in errands
            if isinstance(errand.request, ReclaimSeats)
            for seat in store.first_seats(self._tx, errand.pbx.id, holders=errand.request.holders_max)
        ]

    # --- Handling ---------------------------------------------------------------------------------------------------

    def open(self, errand: Errand, request: OpenLease) -> LeaseGranted:
        before, proof = self._leases.get(errand.pbx.id), self._proof(errand, request)
        proving = proof is not None and self._is_to_prove(errand)
        if before is not None and before.phase is Phase.EXPIRED:
            self._reclaim_all(errand)  # what expiry has not come to yet
        lease = opened(
            before,
            pbx_id=errand.pbx.id,
            instance_id=request.instance_id,
            request_id=request.request_id,
            software=request.software,
            pace=errand.pbx.pace,
            first_epoch=errand.book.estate.epoch_floor + 1,
            time=self._time,
            shown=(proof.epoch, proof.ends_at) if proof is not None and proving else (0, 0.0),
        )
        self._put(lease)
        if proof is not None and proving:
            self._events.add(errand, "lease.proven", self._proofs.take(errand, lease, proof, self._stand_ins))
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

    def _is_to_prove(self, errand: Errand) -> bool:
        """Whether a PBX has not shown yet what it may use, while that counts."""
        lease = self._leases.get(errand.pbx.id)
        return errand.book.estate.learns(self._time.ends_by) and (lease is None or lease.phase is Phase.UNPROVEN)

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
        evidence: Sign | None = None
        if before is None or not is_retry(before, request_id=request.request_id, user_id=standby.id):
            claims = self._stand_ins.claims.get(primary.id, ())
            seen = self._presence(estate, before)
            problems = takeover_problems(
                estate,
                standby=standby,
                primary=primary,
                software=request.software,
                own_lease=self._leases.get(standby.id),
                own_epoch=request.standby_epoch,
                lease=before,
                seats=sum(self._stand_ins.held(estate, primary.id).values()),
                claims=claims,
                carried_since=since if request.carried is not None else None,
                presence=seen,
                force=request.force,
                time=self._time,
            )
            if request.carried is not None and before is not None:
                self._report(errand, self._stand_ins.carried_beside(estate, standby, primary, before, request.carried))
            if problems:
                return TakeOverRefused(tuple(problems))
            assert before is not None
            evidence = seen.gone if seen is not None else None
            if before.phase is Phase.EXPIRED:
                self._reclaim_all(errand)  # what expiry has not come to yet; claims keep it counted
        lease = opened(
            before,
            pbx_id=primary.id,
            instance_id=request.instance_id,
            request_id=request.request_id,
            software=request.software,
            pace=primary.pace,
            first_epoch=estate.epoch_floor + 1,
            time=self._time,
            carrier=carrier,
        )
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
        returned = self._take_all(errand.pbx)
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
        returned = self._take_all(errand.pbx)
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
        lease = self._running(errand, request)
        outcomes = self._decider(errand, lease).acquire(request.wants)
        software = self._judged_as(errand, lease)
        carrier = carrier_of(errand.book.estate, lease)
        outcomes = self._remedies.acquiring(errand.book, errand.pbx, software, request.wants, outcomes, carrier=carrier)
        return SeatsAcquired(outcomes, self._events.acquired(errand, request.wants, outcomes))

    def give_back(self, errand: Errand, request: ReturnSeats) -> SeatsReturned:
        lease = self._running(errand, request)
        outcomes = self._decider(errand, lease).give_back(request.keys)
        software = self._judged_as(errand, lease)
        carrier = carrier_of(errand.book.estate, lease)
        outcomes = self._remedies.returning(errand.book, errand.pbx, software, request.keys, outcomes, carrier=carrier)
        gone = [
            key
            for key, out in zip(request.keys, outcomes, strict=True)
            if not isinstance(out, Refusal) and out.was_held
        ]
        self._events.returned(errand, gone)
        return SeatsReturned(outcomes)

    def sync(self, errand: Errand, request: SyncSeats) -> SeatsSynced:
        lease = self._running(errand, request)
        synced = self._decider(errand, lease).sync(request.wants)
        software = self._judged_as(errand, lease)
        carrier = carrier_of(errand.book.estate, lease)
        synced = self._remedies.settling(errand.book, errand.pbx, software, request.wants, synced, carrier=carrier)
        self._events.returned(errand, synced.returned)
        tally = self._events.acquired(errand, request.wants, synced.outcomes)
        return SeatsSynced(synced.outcomes, tally, len(synced.returned), synced.kept)

    def reclaim(self, errand: Errand, request: ReclaimSeats) -> SeatsReclaimed:
        if not self._is_reclaimable(errand.pbx):
            return SeatsReclaimed(0, more=False)  # renewed in the meantime, or another master was first
        lease = self._leases[errand.pbx.id]
        if lease.phase is Phase.OPEN:
            self._put(ended(lease, Phase.EXPIRED))
            self._events.add(errand, "lease.expired", {"epoch": lease.epoch, "ends_at": lease.ends_at})
        holders = len({seat.holder for seat in self._ledger.holdings(errand.pbx.id)})
        return SeatsReclaimed(self._reclaim_all(errand), more=holders >= request.holders_max)

    def _reclaim_all(self, errand: Errand) -> int:
        returned = self._take_all(errand.pbx)
        if returned:
            epoch = self._leases[errand.pbx.id].epoch
            self._events.add(errand, "seats.reclaimed", {"epoch": epoch, **counted(returned)})
        return len(returned)

    def _is_reclaimable(self, pbx: Pbx) -> bool:
        lease = self._leases.get(pbx.id)
        return lease is not None and is_reclaimable(lease, self._time)

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
        self._stand_ins.write()

    def _decider(self, errand: Errand, lease: Lease) -> Decider:
        carrier = carrier_of(errand.book.estate, lease)
        return Decider(
            errand.book, self._ledger, errand.pbx, self._judged_as(errand, lease), self._time, carrier=carrier
        )

    def _judged_as(self, errand: Errand, lease: Lease) -> Version:
        """The software that a PBX is judged by: what it held goes on above the version limit too (B10), also where it
        has to be entered anew because the master learns, and then nothing else is granted anyway."""
        estate = errand.book.estate
        limit = estate.installation_of(errand.pbx).limit
        if limit is None or lease.software.major <= limit or not estate.learns(self._time.ends_by):
            return lease.software
        return Version(limit)

    def _take_all(self, pbx: Pbx) -> list[Seat]:
        held = list(self._ledger.holdings(pbx.id))
        for seat in held:
            self._ledger.remove(seat)
        self._ledger.seats[pbx.id].revoked.clear()
        return held

    def _put(self, lease: Lease) -> None:
        self._leases[lease.pbx_id] = lease
        self._touched.add(lease.pbx_id)

    def _granted(self, errand: Errand, lease: Lease) -> LeaseGranted:
        estate = errand.book.estate
        revoked = self._ledger.seats[errand.pbx.id].revoked
        told = notices(estate, errand.pbx, lease, epoch=lease.epoch, time=self._time, revoked=revoked)
        primary = primary_of(estate, errand.pbx)
        if primary is None or lease.carrier is not None:
            return LeaseGranted(lease, errand.pbx, {}, told)
        offer = self._stand_ins.offer(estate, errand.pbx, lease, self._leases.get(primary.id))
        return LeaseGranted(lease, errand.pbx, {}, told, (offer,) if offer is not None else ())

    # --- What is only known after writing -----------------------------------------------------------------------------

    def _complete(self, answers: list[object], books: dict[int, TermsBook]) -> None:
        granted = [answer for answer in answers if isinstance(answer, LeaseGranted)]
        held = store.holdings(self._tx, sorted({answer.pbx.id for answer in granted})) if granted else {}
        named: dict[int, tuple[TopHolder, ...]] = {}
        for index, answer in enumerate(answers):
            match answer:
                case LeaseGranted():
                    answers[index] = replace(answer, holdings=held.get(answer.pbx.id, {}))
                case SeatsAcquired() | SeatsSynced() if answer.tally.refused:
                    name_top_holders(self._tx, answer.outcomes, books, named)
                case _:
                    pass


def answer_to(tx: Tx, estates: Estates, time: LeaseTime, request: Request[Answer]) -> Answer:
    """Decide and write one request, alone.

    Raises:
        LeaseError, NoLeaseToEndError, RequestIdTakenError, UnknownPbxError, DatabaseOutdatedError: it is not served.
    """
    (answer,) = Batch(tx, estates, time).run([request])
    if isinstance(answer, Exception):
        raise answer
    return cast(Answer, answer)  # `answered_by` of this very request gave it
