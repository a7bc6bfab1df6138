"""The leases of a batch: opened, renewed, closed, ended, reclaimed; and what is answered to whoever has one.

What is allowed under a lease is for `domain/leases/leases.py`; what a standby takes over, for `claims/takeovers.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import asdict

from master.domain.allocation.overdraft import Overdraft
from master.domain.catalog.words import LeaseState
from master.domain.estate.estate import Estate, Pbx
from master.domain.leases.ending import risk_of
from master.domain.leases.learning import Proof, knows_less, what_is_new
from master.domain.leases.leases import (
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
from master.domain.leases.notices import SeatNews, notices
from master.domain.leases.standby import primary_of
from master.service.batch.answers import (
    ClaimsEnded,
    DatabaseOutdatedError,
    LeaseClosed,
    LeaseEnded,
    LeaseGranted,
    SeatsReclaimed,
)
from master.service.batch.batch_events import LEASE_ENDED, BatchEvents, counted, lease_before
from master.service.batch.batch_seats import BatchSeats
from master.service.batch.batch_waiting import BatchWaiting
from master.service.batch.claims.blocks import BatchBlocks
from master.service.batch.claims.loans import BatchLoans
from master.service.batch.claims.standby_pairs import carried_by
from master.service.batch.loading import LoadedBatch, is_to_prove
from master.service.batch.requests import (
    BlockUse,
    CloseLease,
    EndLease,
    OpenLease,
    ReclaimSeats,
    RenewLease,
    SeatCall,
    UnderLease,
)
from master.service.batch.resolved_request import ResolvedRequest, opening_of
from master.service.estates.overdrafts import overdrawn_pools
from master.store.backends.database import Tx
from master.store.statements.seats import write_leases
from master.values import replace


class BatchLeases:
    def __init__(
        self, tx: Tx, loaded: LoadedBatch, events: BatchEvents, seats: BatchSeats, waiting: BatchWaiting
    ) -> None:
        self._tx = tx
        self._loaded = loaded
        self._time = loaded.time
        self._events = events
        self._seats = seats
        self._waiting = waiting
        self._claims = loaded.claims
        self.loans = BatchLoans(loaded, events)
        self._blocks = BatchBlocks(loaded.working_set, loaded.claims, loaded.time)
        self._leases = dict(loaded.leases)
        self._changed: set[int] = set()
        self._overdrawn: dict[int, Mapping[int, Overdraft]] = {}

    def of(self, pbx_id: int) -> Lease | None:
        """Return a PBX's lease as this batch has left it so far."""
        return self._leases.get(pbx_id)

    def put(self, lease: Lease) -> None:
        """Set a PBX's lease."""
        self._leases[lease.pbx_id] = lease
        self._changed.add(lease.pbx_id)

    def write(self, tx: Tx) -> None:
        """Write the leases that changed, and whether claims exist beside them."""
        for pbx_id, claims in self._claims.claims.items():
            lease = self._leases.get(pbx_id)
            if lease is not None and lease.claimed is not bool(claims):
                self.put(replace(lease, claimed=bool(claims)))
        write_leases(tx, (self._leases[pbx_id] for pbx_id in sorted(self._changed)))

    # --- Calls under a lease ------------------------------------------------------------------------------------------

    def running(self, resolved: ResolvedRequest, request: UnderLease[object]) -> Lease:
        """Return the running lease that a request names.
        Raises LeaseError if the lease is not, or no longer, the one that the request names."""
        lease, epoch, caller_id = self.of(resolved.pbx.id), request.epoch, resolved.caller_id
        if lease is not None and lease.claimed and epoch < lease.epoch:
            estate = resolved.eligibilities.estate
            overlap = self._claims.called_when_fenced(estate, resolved.pbx, lease, epoch, caller_id=caller_id)
            self._events.two_claims(resolved, overlap)
        return running(lease, pbx=str(request.pbx), epoch=epoch, time=self._time, caller_id=caller_id)

    def called(self, resolved: ResolvedRequest, request: SeatCall[object]) -> Lease:
        """Return the lease under which a request changes what is held.
        Raises LeaseError if the lease is not the one that the request names, or a later request was served."""
        lease = self.running(resolved, request)
        after = called(lease, request.unanswered_calls, pbx=str(request.pbx))
        if after is not lease:
            self.put(after)
        return after

    # --- Beginning and going on ---------------------------------------------------------------------------------------

    def open(self, resolved: ResolvedRequest, request: OpenLease) -> LeaseGranted:
        pbx, before = resolved.pbx, self.of(resolved.pbx.id)
        proof, loans = self._proof(resolved, request), self.loans.unknown(resolved, request.loans)
        if before is not None:
            self.reclaim_expired(resolved, before)
        opening = opening_of(resolved, request)
        if proof is not None:
            opening = replace(opening, shown=(proof.epoch, proof.ends_at))
        lease, is_repeated = opened(before, opening, self._time), is_retry(before, opening)
        if request.wants or request.unanswered_calls > lease.unanswered_calls:  # else it undoes nothing
            lease = called(lease, request.unanswered_calls, pbx=str(request.pbx))
        self.put(lease)
        if proof is not None:
            self._events.add(resolved, "lease.proven", self._loaded.proofs.take(resolved, lease, proof, self._claims))
        self.loans.prove(resolved, loans)
        if before is not None and before.user_id != lease.user_id:
            self._claims.handed_over(before, lease)
        if not is_repeated:
            details = {
                "epoch": lease.epoch,
                "software": lease.software.reported,
                "instance": lease.instance_id,
                "fenced": before is not None and before.phase is Phase.OPEN,
                "before": lease_before(before),
            }
            self._events.add(resolved, "lease.opened", details)
        held, acquired = sum(self._held(pbx).values()), None
        if request.wants:
            held -= self._seats.acquired_since(pbx, lease.opened_at, request.wants) if is_repeated else 0
            acquired = self._seats.acquire(resolved, lease, request)
            if is_repeated:
                self._seats.answer_as_at_first(pbx, lease, acquired)
        return replace(self.granted(resolved, lease, request.blocks), held_before=held, acquired=acquired)

    def renew(self, resolved: ResolvedRequest, request: RenewLease) -> LeaseGranted:
        lease = self.running(resolved, request)
        if knows_less(lease, request.knows_end):
            raise LeaseError(LeaseProblem.LEASE_UNPROVEN, pbx=str(request.pbx), epoch=request.epoch)
        lease = renewed(lease, pace=resolved.pbx.pace, now=self._time.now)
        self.put(lease)
        self._claims.heard(lease)
        self._blocks.confirm(resolved, request.blocks, request.block_serial)
        estate = resolved.eligibilities.estate
        if lease.carrier is None:  # what the standby of this PBX has of it is not this lease's affair
            for receipt in request.receipts:
                if receipt.primary in estate.pbx_ids:
                    self._claims.receive(resolved.pbx, estate.pbxs[estate.pbx_ids[receipt.primary]], receipt)
        return self.granted(resolved, lease, request.blocks)

    def granted(self, resolved: ResolvedRequest, lease: Lease, uses: Sequence[BlockUse] = ()) -> LeaseGranted:
        """Return the answer to an opening, takeover or renewal; `uses` is what the PBX reports of its blocks."""
        estate, pbx = resolved.eligibilities.estate, resolved.pbx
        seats = SeatNews(
            revoked=self._loaded.working_set.seats[pbx.id].revoked,
            awaited=self._waiting.of(pbx.id),
            overdrawn=self._overdrawn_pools(estate),
        )
        lease_notices = notices(estate, pbx, lease, epoch=lease.epoch, time=self._time, seats=seats)
        granted = LeaseGranted(lease, pbx, self._held(pbx), lease_notices)
        if lease.carrier is not None:
            return granted
        primary = primary_of(estate, pbx)
        offer = self._claims.offer(estate, pbx, lease, self.of(primary.id)) if primary is not None else None
        return replace(
            granted,
            offers=(offer,) if offer is not None else (),
            blocks=self._blocks.offer(resolved, lease, uses),
            loans=self._claims.loans(estate, pbx.id),
        )

    # --- Ending -------------------------------------------------------------------------------------------------------

    def close(self, resolved: ResolvedRequest, request: CloseLease) -> LeaseClosed:
        lease = self.of(resolved.pbx.id)
        is_theirs = lease is not None and resolved.caller_id in (None, lease.user_id)
        if lease is not None and is_theirs and lease.epoch == request.epoch and lease.phase is Phase.CLOSED:
            return LeaseClosed(0)  # a retry
        lease = self.running(resolved, request)
        returned = self._seats.take_all(resolved.pbx)
        self._claims.closed(resolved.pbx.id)
        self.put(ended(lease, Phase.CLOSED))
        self._events.add(resolved, "lease.closed", {"epoch": lease.epoch, **counted(returned)})
        return LeaseClosed(returned.total())

    def end(self, resolved: ResolvedRequest, request: EndLease) -> LeaseEnded:
        """End a lease, and every claim in the PBX's name, because an operator said so.
        Raises NoLeaseToEndError if the PBX has no lease."""
        lease, estate, pbx_id = self.of(resolved.pbx.id), resolved.eligibilities.estate, resolved.pbx.id
        counted_now = self._claims.in_use_at_most(pbx_id) if lease is not None else {}
        claims = self._claims.claims.get(pbx_id, ())
        risk = risk_of(lease, pbx=resolved.pbx.name, counted=counted_now, claims=claims, time=self._time)
        assert lease is not None
        returned = self._seats.take_all(resolved.pbx)
        self._claims.drop(pbx_id)
        self.put(ended(lease, Phase.CLOSED))
        answer = LeaseEnded(
            epoch=lease.epoch,
            seats_returned=returned.total(),
            at_risk=self._claims.by_type(estate, risk.seats),
            risk_ends_at=risk.ends_at,
            connected=lease.state(self._time) is LeaseState.ACTIVE,
            renewed_at=lease.renewed_at,
            carried_by=carried_by(estate, lease),
        )
        request_id = request.key.request_id
        self._events.add(resolved, LEASE_ENDED, asdict(answer), reason=request.reason, request_id=request_id)
        return answer

    def end_claims(self, resolved: ResolvedRequest) -> ClaimsEnded:
        """End the claims in a PBX's name that are past their end."""
        freed = self._claims.end(resolved.pbx.id)
        if freed:
            self._events.add(resolved, "claims.ended", {"seats": freed})
        return ClaimsEnded(freed)

    def reclaim(self, resolved: ResolvedRequest, request: ReclaimSeats) -> SeatsReclaimed:
        lease = self.of(resolved.pbx.id)
        if lease is None or not is_reclaimable(lease, self._time):
            return SeatsReclaimed(0, more=False)  # renewed in the meantime, or another master was first
        if lease.phase is Phase.OPEN:
            self.put(ended(lease, Phase.EXPIRED))
            kept = self._claims.keep_first_claim(resolved.eligibilities.estate, lease)
            details = {"epoch": lease.epoch, "ends_at": lease.ends_at} | ({"first_claim": kept} if kept else {})
            self._events.add(resolved, "lease.expired", details)
        holders = len({seat.holder for seat in self._loaded.working_set.holdings(resolved.pbx.id)})
        return SeatsReclaimed(self._seats.reclaim_all(resolved, lease), more=holders >= request.holders_max)

    def reclaim_expired(self, resolved: ResolvedRequest, lease: Lease) -> None:
        """Take back what an expired lease left, where the expiry task has not done that yet."""
        if lease.phase is Phase.EXPIRED:
            self._seats.reclaim_all(resolved, lease)

    # --- Underneath ---------------------------------------------------------------------------------------------------

    def _proof(self, resolved: ResolvedRequest, request: OpenLease) -> Proof | None:
        """Return the proof that an opening shows, if its signed lease is in force and a proof is wanted.
        Raises DatabaseOutdatedError if the proof shows that the master must learn, or learn for longer than it does
        already."""
        proof, estate, before = request.proof, resolved.eligibilities.estate, self.of(resolved.pbx.id)
        if proof is None or not proof.is_in_force(self._time):
            return None
        news = what_is_new(estate, before, proof)
        learning = estate.learning if estate.learns(self._time.ends_by) else None
        if news is None and (learning is None or proof.ends_at <= learning.until):
            return proof if is_to_prove(resolved, before, self._time) else None
        why = f"{resolved.pbx.name}: {news or 'it shows a signed lease that lasts longer'}"
        raise DatabaseOutdatedError(
            estate.name, why, number=proof.epoch, until=proof.ends_at, is_news=news is not None, learning=learning
        )

    def _held(self, pbx: Pbx) -> dict[str, int]:
        """Return the seats debited so far for a PBX, by license type."""
        held, changes = self._loaded.held.get(pbx.id, {}), self._loaded.working_set.type_changes(pbx.id)
        seats_after = {key: held.get(key, 0) + changes.get(key, 0) for key in held.keys() | changes.keys()}
        return {key: seats for key, seats in seats_after.items() if seats}

    def _overdrawn_pools(self, estate: Estate) -> Mapping[int, Overdraft]:
        if estate.project_id not in self._overdrawn:
            self._overdrawn[estate.project_id] = overdrawn_pools(self._tx, estate, self._time.now)
        return self._overdrawn[estate.project_id]
