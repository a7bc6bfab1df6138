"""Debits of seats from pools: from the first of a PBX's sources that has a license free, companions included (D1, D2).

A seat is debited with its companions or not at all. What an operator's rules leave to the PBX's site is kept, also
above what is installed. While a restored master learns, nothing is debited but what is counted for the PBX already.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from licensemaster.api_enums import Basis
from master.domain.allocation.overdraft import overdraft_allowed
from master.domain.estate.estate import Estate, Pbx
from master.domain.estate.lease_time import LeaseTime
from master.domain.seats.eligibility import Eligibility, Source
from master.domain.seats.outcomes import Outcome
from master.domain.seats.pools import grantable
from master.domain.seats.refusals.reasons import Refusal
from master.domain.seats.refusals.shortages import Shortages
from master.domain.seats.seat_working_set import SeatWorkingSet
from master.domain.seats.seats import Granted, Key, Seat, SeatKey, Want


class SeatDebits:
    """The debits and credits of one PBX's seats."""

    def __init__(self, estate: Estate, working_set: SeatWorkingSet, pbx: Pbx, time: LeaseTime) -> None:
        self._estate = estate
        self._catalog = estate.catalog
        self._working_set = working_set
        self._held = working_set.seats[pbx.id].by_key
        self._shared = working_set.seats[pbx.id].shares is not None
        self._pbx = pbx
        self._now = time.now
        self._lends = not estate.learns(time.ends_by)
        self._shortages = Shortages(estate, working_set, pbx, time)

    def charge(self, eligibility: Eligibility, wants: Sequence[Want], *, parent: str) -> list[Outcome]:
        """Debit the seats of a run in order, each with its companions or not at all; none where `parent` includes
        them."""
        if parent:
            self._add(eligibility, wants, None, parent)
            return [Granted(Basis.INCLUDED, included_in=parent)] * len(wants)
        outcomes: list[Outcome] = []
        while left := len(wants) - len(outcomes):
            next_want = wants[len(outcomes)]
            free_source = self._free_source(eligibility, next_want)
            if free_source is None:
                return outcomes + [self._shortages.used_up(eligibility)] * left
            source, free = free_source
            companions: list[tuple[Eligibility, Source]] = []
            for companion in eligibility.companions:  # D1: both or neither
                beside = self._free_source(companion, next_want)
                if beside is None:
                    return outcomes + [self._shortages.companion_used_up(eligibility.type, companion)] * left
                companions.append((companion, beside[0]))
            charged = wants[len(outcomes) : len(outcomes) + (1 if companions else free)]
            self._add(eligibility, charged, source.pool_id, "")
            for companion, beside_source in companions:
                self._add(companion, charged, beside_source.pool_id, eligibility.type.key)
            outcomes += [source.granted] * len(charged)
        return outcomes

    def debit_companions(self, seat: Seat, companions: Iterable[Eligibility]) -> list[Refusal]:
        """Debit the companions of a held seat, and return a refusal for each that could not be debited (D1)."""
        refused: list[Refusal] = []
        for companion in companions:
            source = None if companion.refused is not None else self._free_source(companion, seat.want)
            if source is None:
                used_up = self._shortages.companion_used_up
                refused.append(companion.refused or used_up(self._catalog.types[seat.type], companion))
            else:
                self._add(companion, (seat.want,), source[0].pool_id, seat.type)
        return refused

    def remove(self, seat: Seat) -> None:
        """Credit a seat and its companions."""
        self._working_set.remove(seat)
        self.drop_companions(seat)

    def companions_of(self, type_key: str, seats: Collection[Key]) -> dict[Key, Seat]:
        """Return the companions that were debited with seats of one type, by key."""
        types = {companion.type for companion in self._catalog.types[type_key].companions}
        found = ((other, kind, holder) for other in types for _, kind, holder in seats)
        return {key: self._held[key] for key in found if key in self._held and self._held[key].parent == type_key}

    def drop_companions(self, seat: Seat, *, but: Collection[str] = ()) -> int:
        """Credit a seat's companions, except those that platforms in `but` ask for, and return how many were
        credited."""
        dropped = 0
        for companion in self._catalog.types[seat.type].companions:
            brought_along = self._held.get(SeatKey(companion.type, seat.kind, seat.holder))
            if companion.platform not in but and brought_along is not None and brought_along.parent == seat.type:
                self._working_set.remove(brought_along)
                dropped += 1
        return dropped

    def _add(self, eligibility: Eligibility, wants: Sequence[Want], pool_id: int | None, parent: str) -> None:
        like, holders = wants[0], [want.holder for want in wants]
        self._working_set.add_run(
            Seat(self._pbx.id, eligibility.type.key, like.kind, "", like.user, like.line, pool_id, parent, self._now),
            holders,
        )

    def _free_source(self, eligibility: Eligibility, want: Want) -> tuple[Source, int] | None:
        """Return the first source that a wanted seat, or its companion, can be debited from, and how many seats it has
        at least."""
        name = (eligibility.type.key, want.kind, want.holder)
        for source in eligibility.sources:
            pool = self._working_set.pools[source.pool_id]
            free = grantable(capacity=pool.capacity, counted=pool.used, leaving=source.leaving)
            if self._lends and (left := self._working_set.left_for(self._pbx.id, source.pool_id, free, key=name)):
                return source, left
            if self._shared and self._working_set.is_counted(self._pbx.id, source.pool_id):
                return source, 1
        return self._overdrawn_source(eligibility, name) if self._lends and self._estate.allocation.types else None

    def _overdrawn_source(self, eligibility: Eligibility, name: Key) -> tuple[Source, int] | None:
        """Return the first source that can be debited above what is installed, and how many seats it has at least."""
        for source in eligibility.sources:
            policy, pool = self._estate.overdraft_of(source.pool_id), self._working_set.pools[source.pool_id]
            if policy is None or source.leaving or pool.free > 0:
                continue  # what is free and kept for others is not made up for, and nor is what leaves
            allowed = overdraft_allowed(policy, pool.account, self._now)
            room = max(allowed - pool.overdrawn, 0)
            if left := self._working_set.left_for(self._pbx.id, source.pool_id, room, key=name):
                pool.account, pool.overdraft = pool.account.settled(policy, self._now), allowed
                return source, left
        return None
