"""The blocks that a batch hands out with leases: seats that a PBX may use by their number without asking.

A block is a claim (`domain/leases/claims.py`) of so many seats in all. What a PBX was once signed it may go by until
its lease ends, so the claim becomes smaller only once the PBX has said, naming the newest block of all, by how many it
goes: answers that were lost, and calls that come late, name an older one. How large a block is, is for
`domain/allocation/block_sizes.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from master.domain.allocation.block_sizes import seats_ahead
from master.domain.estate.lease_time import LeaseTime
from master.domain.leases.claims import Claim, ClaimKind, only, raised, without
from master.domain.leases.leases import Lease
from master.domain.leases.numbered_seats import NumberedSeats, numbered_seats
from master.domain.seats.seat_working_set import SeatWorkingSet
from master.service.batch.answers import Blocks, SeatBlock
from master.service.batch.claims.batch_claims import BatchClaims
from master.service.batch.requests import BlockUse
from master.service.batch.resolved_request import ResolvedRequest
from master.values import replace


class BatchBlocks:
    def __init__(self, working_set: SeatWorkingSet, claims: BatchClaims, time: LeaseTime) -> None:
        self._working_set = working_set
        self._claims = claims
        self._time = time

    def confirm(self, resolved: ResolvedRequest, uses: Sequence[BlockUse], serial: int) -> None:
        """Reduce the counted seats to the number that a PBX says it uses, if the PBX has the newest block."""
        pbx_id, types = resolved.pbx.id, resolved.eligibilities.estate.shared_pools
        claims = self._claims.claims.get(pbx_id, ())
        blocks = only(claims, ClaimKind.BLOCK)
        if not blocks or serial != blocks[0].serial:
            return
        goes_by: Counter[str] = Counter()
        for use in uses:  # a type may be there under two spellings
            goes_by |= Counter({use.license_type: use.seats})
        lowered = (replace(claim, seats=min(claim.seats, goes_by[types[claim.pool_id]])) for claim in blocks)
        kept = tuple(claim for claim in lowered if claim.seats)
        self._claims.put(pbx_id, (*without(claims, ClaimKind.BLOCK), *kept))

    def offer(self, resolved: ResolvedRequest, lease: Lease, uses: Sequence[BlockUse]) -> Blocks:
        """Return the blocks that a PBX may use from now on, and count them from now on."""
        pbx_id, estate = resolved.pbx.id, resolved.eligibilities.estate
        claims = self._claims.claims.get(pbx_id)
        if claims is None or not uses or lease.carrier is not None or estate.learns(self._time.ends_by):
            return Blocks()
        before: Sequence[Claim] = only(claims, ClaimKind.BLOCK)
        serial = max(int(self._time.now * 1000), *(claim.serial + 1 for claim in before), 0)
        offered: list[SeatBlock] = []
        for use in uses:
            policy = estate.allocation.by_type.get(use.license_type)
            if policy is None or not policy.block_seats_max:
                continue
            source = numbered_seats(
                resolved.eligibilities, resolved.pbx, lease.software, use.license_type, self._time.now
            )
            if isinstance(source, NumberedSeats) and (seats := self._size(source, pbx_id, use, policy.block_seats_max)):
                offered.append(SeatBlock(use.license_type, seats, source.kinds))
                claims = raised(
                    claims, ClaimKind.BLOCK, pbx_id, seats={source.pool_id: seats}, ends_at=lease.ends_at, serial=serial
                )
                self._claims.put(pbx_id, claims)
        blocks = only(claims, ClaimKind.BLOCK)
        if not blocks:
            return Blocks()
        ends_at = max(lease.ends_at, *(claim.ends_at for claim in blocks))
        newest = tuple(replace(claim, serial=serial, ends_at=ends_at) for claim in blocks)
        self._claims.put(pbx_id, (*without(claims, ClaimKind.BLOCK), *newest))
        return Blocks(tuple(offered), serial)

    def _size(self, source: NumberedSeats, pbx_id: int, use: BlockUse, most: int) -> int:
        """Return how many seats a block has in all; 0 where the PBX gets no block."""
        pool_id = source.pool_id
        if self._working_set.queues.get(pool_id):  # anybody waits
            return 0
        counted = self._claims.counted(pbx_id, pool_id)
        used = max(self._claims.seats(pbx_id).get(pool_id, 0), min(use.used, counted))
        ahead = seats_ahead(
            acquired=use.acquired,
            idle=counted - used,
            left=source.left(self._working_set, pbx_id) - source.missing(self._working_set),
            capacity=self._working_set.pools[pool_id].capacity,
            most=most,
        )
        return used + ahead if ahead else 0
