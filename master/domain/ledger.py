"""The working copy that a batch decides on: the seats and pools it prefetched, and what it changes of them.

Keeps score and nothing else: that a pool is never overdrawn is asserted here and guarded again by the database.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from master.domain.seats import Key, Seat


@dataclass(slots=True)
class PoolScore:
    """How much of a pool is used."""

    capacity: int
    used: int

    @property
    def free(self) -> int:
        """Seats that could be granted."""
        return self.capacity - self.used


@dataclass(slots=True)
class PbxSeats:
    """What one PBX holds, as far as it was prefetched, and what changed of it."""

    by_key: dict[Key, Seat] = field(default_factory=dict)
    by_user: defaultdict[str, set[Key]] = field(default_factory=lambda: defaultdict(set))
    """Seats held on behalf of a user by something else: channels, logins."""
    by_type: defaultdict[str, set[Key]] = field(default_factory=lambda: defaultdict(set))
    """Only the types that are read PBX-wide."""
    added: dict[Key, Seat] = field(default_factory=dict)
    removed: dict[Key, Seat] = field(default_factory=dict)
    revoked: set[Key] = field(default_factory=set)
    """Taken away by an operator, and not given back yet (L5)."""


class Ledger:
    """Seats and pools of one batch."""

    def __init__(self, *, pbx_wide: frozenset[str] = frozenset()) -> None:
        self.pools: dict[int, PoolScore] = {}
        self.seats: defaultdict[int, PbxSeats] = defaultdict(PbxSeats)
        self._pbx_wide = pbx_wide

    def load(self, seats: Iterable[Seat]) -> None:
        """Take in seats as the database has them."""
        for seat in seats:
            of_pbx, key = self.seats[seat.pbx_id], seat[1:4]
            of_pbx.by_key[key] = seat
            self._index(of_pbx, key, seat)

    def holdings(self, pbx_id: int) -> Iterator[Seat]:
        """All seats of a PBX that were prefetched."""
        return iter(tuple(self.seats[pbx_id].by_key.values()))

    def of_type(self, pbx_id: int, type_key: str) -> list[Seat]:
        """All seats of a PBX-wide type, oldest first."""
        of_pbx = self.seats[pbx_id]
        found = (of_pbx.by_key[key] for key in of_pbx.by_type[type_key])
        return sorted(found, key=lambda seat: (seat.acquired_at, seat.key))

    def on_behalf_of(self, pbx_id: int, user: str) -> list[Seat]:
        """Seats that something else holds on behalf of a user."""
        of_pbx = self.seats[pbx_id]
        return [of_pbx.by_key[key] for key in sorted(of_pbx.by_user[user])] if user in of_pbx.by_user else []

    def add(self, seat: Seat) -> None:
        """A PBX holds a seat from now on; its pool is debited."""
        if seat.pool_id is not None:
            pool = self.pools[seat.pool_id]
            pool.used += 1
            assert pool.used <= pool.capacity, f"pool {seat.pool_id} would be overdrawn"
        of_pbx, key = self.seats[seat.pbx_id], seat[1:4]
        of_pbx.by_key[key] = seat
        if seat.user or seat.type in self._pbx_wide:
            self._index(of_pbx, key, seat)
        if of_pbx.removed and of_pbx.removed.get(key) == seat:
            del of_pbx.removed[key]
        else:
            of_pbx.added[key] = seat

    def remove(self, seat: Seat) -> None:
        """A PBX no longer holds a seat; its pool is credited."""
        if seat.pool_id is not None:
            pool = self.pools[seat.pool_id]
            pool.used -= 1
            assert pool.used >= 0, f"pool {seat.pool_id} was given back more than was taken"
        of_pbx, key = self.seats[seat.pbx_id], seat[1:4]
        del of_pbx.by_key[key]
        of_pbx.by_user[seat.user].discard(key)
        of_pbx.by_type[seat.type].discard(key)
        if key in of_pbx.added:
            del of_pbx.added[key]
        else:
            of_pbx.removed.setdefault(key, seat)

    def added(self) -> list[Seat]:
        """Seats to be written."""
        return [seat for of_pbx in self.seats.values() for seat in of_pbx.added.values()]

    def removed(self) -> list[Seat]:
        """Seats to be deleted, as they were read."""
        return [seat for of_pbx in self.seats.values() for seat in of_pbx.removed.values()]

    def pools_debited(self) -> set[int]:
        """The pools that the seats loaded are debited from."""
        seats = (seat for of_pbx in self.seats.values() for seat in of_pbx.by_key.values())
        return {seat.pool_id for seat in seats if seat.pool_id is not None}

    def pool_changes(self) -> dict[tuple[int, int], int]:
        """By how much each (pool, PBX) changed."""
        changes: defaultdict[tuple[int, int], int] = defaultdict(int)
        for pbx_id, of_pbx in self.seats.items():
            for seat in of_pbx.added.values():
                if seat.pool_id is not None:
                    changes[seat.pool_id, pbx_id] += 1
            for seat in of_pbx.removed.values():
                if seat.pool_id is not None:
                    changes[seat.pool_id, pbx_id] -= 1
        return {name: change for name, change in changes.items() if change}

    def _index(self, of_pbx: PbxSeats, key: Key, seat: Seat) -> None:
        if seat.user:
            of_pbx.by_user[seat.user].add(key)
        if seat.type in self._pbx_wide:
            of_pbx.by_type[seat.type].add(key)
