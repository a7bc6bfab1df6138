"""The working copy that a batch decides on: the seats and pools that it prefetched, and what it changes of them.

It counts and decides nothing. It asserts that no pool is overdrawn further than the decider allowed; the database
guards that again. Of a PBX with claims in its name (`domain/leases/claims.py`) the higher of seats and claims is
counted; only such PBXs have shares.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from itertools import repeat
from operator import attrgetter

from msgspec import Struct

from master.domain.allocation.overdraft import NOTHING_OVERDRAWN, OverdraftAccount
from master.domain.allocation.policies import NO_RULES
from master.domain.allocation.pool_division import PoolDivision
from master.domain.estate.estate import Estate
from master.domain.seats.seats import Key, Seat, run_of
from master.domain.seats.waiting_queue import WaitingQueue
from master.values import field, replace

_POOL_OF_TYPE = attrgetter("type", "pool_id")

PoolOfType = tuple[str, int | None]
"""A license type, and the pool that seats of it are debited from; None where another seat includes them."""


class PoolScore(Struct):
    """The capacity of a pool, and how many seats of it are counted."""

    capacity: int
    used: int
    account: OverdraftAccount = NOTHING_OVERDRAWN
    """What was overdrawn and spent when the pool was read; settled once the decider has made use of an overdraft."""
    overdraft: int = 0
    """Seats that the decider let be counted above what is installed."""

    @property
    def overdrawn(self) -> int:
        """Seats that are counted above what is installed."""
        return max(self.used - self.capacity, 0)

    def account_after(self, now: float) -> OverdraftAccount:
        """Return what is overdrawn and spent once the pool is written; `now` is UNIX seconds."""
        return self.account.become(self.overdrawn, now)

    @property
    def free(self) -> int:
        """Licenses that are not counted for anybody; `pools.grantable` says how many of them could be granted."""
        return max(self.capacity - self.used, 0)


class Share(Struct):
    """What one pool counts for one PBX: the seats that the PBX holds, or more where claims say so (F5)."""

    seats: int
    floor: int
    counted_before: int
    """Seats counted when the share was read."""

    @property
    def counted(self) -> int:
        """Seats counted now."""
        return max(self.seats, self.floor)


class PbxSeats(Struct):
    """The seats of one PBX as far as they were prefetched, and what changed of them."""

    by_key: dict[Key, Seat] = field(default_factory=dict)
    by_user: defaultdict[str, set[Key]] = field(default_factory=lambda: defaultdict(set))
    """Keys of seats held on behalf of a user by something else (channels, logins), by user."""
    by_type: defaultdict[str, set[Key]] = field(default_factory=lambda: defaultdict(set))
    """Keys of seats by type, only of the types that are read PBX-wide."""
    added: dict[Key, Seat] = field(default_factory=dict)
    removed: dict[Key, Seat] = field(default_factory=dict)
    totals: dict[PoolOfType, int] = field(default_factory=dict)
    """How many seats the PBX holds, where all of them are to go and so were counted instead of read."""
    is_emptied: bool = False
    """Whether seats that were counted instead of read are gone."""
    changes: Counter[PoolOfType] = field(default_factory=Counter)
    """By how many seats the PBX has more or fewer than when it was read."""
    revoked: set[Key] = field(default_factory=set)
    """Keys of seats that were taken away (L5) and that the PBX has not given back yet."""
    shares: dict[int, Share] | None = None
    """Shares by pool id; None where no claims are or may be in the PBX's name."""


class SeatWorkingSet:
    """Seats and pools of one batch."""

    def __init__(self, *, pbx_wide: frozenset[str] = frozenset()) -> None:
        self.pools: dict[int, PoolScore] = {}
        self.divisions: dict[int, PoolDivision] = {}
        """How pools are divided between sites, by pool id, where an operator has divided them."""
        self.queues: dict[int, WaitingQueue] = {}
        """Who waits for seats of pools, by pool id, where an operator lets PBXs wait; such pools are divided."""
        self.seats: defaultdict[int, PbxSeats] = defaultdict(PbxSeats)
        self._pbx_wide = pbx_wide

    def load(self, seats: Iterable[Seat]) -> None:
        """Add seats as the database has them."""
        for seat in seats:
            of_pbx, key = self.seats[seat.pbx_id], seat[1:4]
            of_pbx.by_key[key] = seat
            if seat.user or seat.type in self._pbx_wide:
                self._index(of_pbx, key, seat)

    def load_totals(self, pbx_id: int, totals: Mapping[PoolOfType, int]) -> None:
        """Set how many seats a PBX has, none of which was or will be loaded."""
        self.seats[pbx_id].totals = dict(totals)

    def copy_of(self, pbx_id: int, pools: Mapping[int, PoolScore]) -> SeatWorkingSet:
        """Copy what was read of one PBX, and the pools given, to try something on the copy."""
        copy = SeatWorkingSet(pbx_wide=self._pbx_wide)
        copy.pools = {pool_id: replace(pool) for pool_id, pool in pools.items()}
        copy.divisions = {pool_id: division.copy() for pool_id, division in self.divisions.items() if pool_id in pools}
        copy.queues = {pool_id: queue.copy() for pool_id, queue in self.queues.items() if pool_id in pools}
        read = self.seats[pbx_id]
        seats = copy.seats[pbx_id]
        seats.by_key, seats.revoked = dict(read.by_key), set(read.revoked)
        seats.by_user.update({user: set(keys) for user, keys in read.by_user.items()})
        seats.by_type.update({key: set(keys) for key, keys in read.by_type.items()})
        if read.shares is not None:
            seats.shares = {pool_id: replace(share) for pool_id, share in read.shares.items()}
        return copy

    def share_out(self, pbx_id: int, shares: dict[int, Share]) -> None:
        """Count a PBX by its shares from now on; the shares must be what the database has."""
        self.seats[pbx_id].shares = shares

    def set_floors(self, pbx_id: int, floors: Mapping[int, int]) -> None:
        """Replace the claims in a PBX's name, in seats by pool id."""
        shares = self.seats[pbx_id].shares
        assert shares is not None, f"PBX {pbx_id} was read without its shares"
        for pool_id in shares.keys() | floors.keys():
            share = shares.setdefault(pool_id, Share(0, 0, 0))
            before = share.counted
            share.floor = floors.get(pool_id, 0)
            if share.counted != before:
                self._count(pool_id, pbx_id, share.counted - before)

    def is_counted(self, pbx_id: int, pool_id: int) -> bool:
        """Tell whether one more seat of a pool is counted for a PBX already, so that the seat needs no free license."""
        shares = self.seats[pbx_id].shares
        share = shares.get(pool_id) if shares else None
        return share is not None and share.seats < share.floor

    def holdings(self, pbx_id: int) -> Iterator[Seat]:
        """Iterate over all seats of a PBX that were prefetched."""
        return iter(tuple(self.seats[pbx_id].by_key.values()))

    def of_type(self, pbx_id: int, type_key: str) -> list[Seat]:
        """List all seats of a type that is read PBX-wide, oldest first."""
        of_pbx = self.seats[pbx_id]
        held = (of_pbx.by_key[key] for key in of_pbx.by_type[type_key])
        return sorted(held, key=lambda seat: (seat.acquired_at, seat.key))

    def on_behalf_of(self, pbx_id: int, user: str) -> list[Seat]:
        """List the seats of a PBX that something else holds on behalf of a user."""
        of_pbx = self.seats[pbx_id]
        return [of_pbx.by_key[key] for key in sorted(of_pbx.by_user[user])] if user in of_pbx.by_user else []

    def add(self, seat: Seat) -> None:
        """Add a seat to its PBX and debit its pool."""
        self.add_run(seat, (seat.holder,))

    def add_run(self, like: Seat, holders: Sequence[str]) -> None:
        """Add seats that differ from the given one in their holders only, and debit their pool."""
        of_pbx = self.seats[like.pbx_id]
        self._change(like.pbx_id, (like.type, like.pool_id), len(holders))
        keys = zip(repeat(like.type), repeat(like.kind), holders, strict=False)
        seats: dict[Key, Seat] = dict(zip(keys, run_of(like, holders), strict=True))
        of_pbx.by_key |= seats
        for queue in self.queues.values():
            queue.leave(like.pbx_id, seats)
        if like.user or like.type in self._pbx_wide:
            for key in seats:
                self._index(of_pbx, key, like)
        if of_pbx.removed:
            for key in [key for key, seat in seats.items() if of_pbx.removed.get(key) == seat]:
                del of_pbx.removed[key], seats[key]
        of_pbx.added |= seats

    def remove(self, seat: Seat) -> None:
        """Remove a seat from its PBX and credit its pool."""
        self.remove_run(seat.pbx_id, {seat[1:4]: seat})

    def remove_run(self, pbx_id: int, seats: Mapping[Key, Seat]) -> None:
        """Remove seats from a PBX and credit their pools."""
        of_pbx = self.seats[pbx_id]
        for pool_of_type, count in Counter(map(_POOL_OF_TYPE, seats.values())).items():
            self._change(pbx_id, pool_of_type, -count)
        for key, seat in seats.items():
            del of_pbx.by_key[key]
            if seat.user or seat.type in self._pbx_wide:
                of_pbx.by_user[seat.user].discard(key)
                of_pbx.by_type[seat.type].discard(key)
            if key in of_pbx.added:
                del of_pbx.added[key]
            else:
                of_pbx.removed.setdefault(key, seat)

    def take_all(self, pbx_id: int) -> Counter[str]:
        """Remove all seats of a PBX, loaded or counted, credit their pools, and return how many they were, by type."""
        of_pbx = self.seats[pbx_id]
        taken = Counter(seat.type for seat in of_pbx.by_key.values())
        self.remove_run(pbx_id, dict(of_pbx.by_key))
        for pool_of_type, count in of_pbx.totals.items():
            taken[pool_of_type[0]] += count
            self._change(pbx_id, pool_of_type, -count)
            of_pbx.is_emptied = True
        of_pbx.totals = {}
        of_pbx.revoked.clear()
        return taken

    def emptied(self) -> list[int]:
        """List the ids of PBXs all of whose seats are to be deleted without having been read."""
        return [pbx_id for pbx_id, of_pbx in self.seats.items() if of_pbx.is_emptied]

    def added(self) -> list[Seat]:
        """List the seats to be written."""
        return [seat for of_pbx in self.seats.values() for seat in of_pbx.added.values()]

    def removed(self) -> list[Seat]:
        """List the seats to be deleted, as they were read."""
        return [seat for of_pbx in self.seats.values() for seat in of_pbx.removed.values()]

    def pools_debited(self) -> set[int]:
        """Return the ids of the pools that the seats loaded are debited from."""
        seats = (seat for of_pbx in self.seats.values() for seat in of_pbx.by_key.values())
        counted = {pool_id for of_pbx in self.seats.values() for _, pool_id in of_pbx.totals if pool_id is not None}
        return counted | {seat.pool_id for seat in seats if seat.pool_id is not None}

    def may_be_returned(self, pool_id: int, staying: Set[tuple[int, Key]]) -> int:
        """Count the seats of a pool that may come free, except those in `staying`, by (PBX id, key)."""
        total = 0
        for pbx_id, of_pbx in self.seats.items():
            held = sum(
                seat.pool_id == pool_id and (pbx_id, key) not in staying for key, seat in of_pbx.by_key.items()
            ) + sum(seats for (_, pool), seats in of_pbx.totals.items() if pool == pool_id)
            share = (of_pbx.shares or {}).get(pool_id)
            total += held if share is None else max(share.counted - share.seats, 0) + held
        return total

    def pool_changes(self) -> dict[tuple[int, int], tuple[int, int]]:
        """Return by how much each (pool id, PBX id) changed: in seats, and in seats counted."""
        seats: defaultdict[tuple[int, int], int] = defaultdict(int)
        for pbx_id, of_pbx in self.seats.items():
            for (_, pool_id), change in of_pbx.changes.items():
                if pool_id is not None:
                    seats[pool_id, pbx_id] += change
        changes = {name: (change, change) for name, change in seats.items()}
        for pbx_id, of_pbx in self.seats.items():
            for pool_id, share in (of_pbx.shares or {}).items():
                name = pool_id, pbx_id
                changes[name] = seats.get(name, 0), share.counted - share.counted_before
        return {name: change for name, change in changes.items() if change != (0, 0)}

    def type_changes(self, pbx_id: int) -> Counter[str]:
        """Return by how many debited seats of each type a PBX has more or fewer than when it was read."""
        changes: Counter[str] = Counter()
        for (license_type, pool_id), change in self.seats[pbx_id].changes.items():
            changes[license_type] += change if pool_id is not None else 0
        return changes

    def _change(self, pbx_id: int, pool_of_type: PoolOfType, change: int) -> None:
        """Note seats that come or go, and count them in their pool, if they are debited from one."""
        of_pbx, pool_id = self.seats[pbx_id], pool_of_type[1]
        of_pbx.changes[pool_of_type] += change
        if pool_id is None:
            return
        if of_pbx.shares is not None:
            self._move(pbx_id, of_pbx.shares, pool_id, change)
        else:
            self._count(pool_id, pbx_id, change)

    def _move(self, pbx_id: int, shares: dict[int, Share], pool_id: int, change: int) -> None:
        """Count seats that come or go for a PBX of which the higher of seats and claims is counted."""
        share = shares.setdefault(pool_id, Share(0, 0, 0))
        before = share.counted
        share.seats += change
        if share.counted != before:
            self._count(pool_id, pbx_id, share.counted - before)

    def left_for(self, pbx_id: int, pool_id: int, free: int, *, key: Key | None = None) -> int:
        """Return how many of a pool's free seats a PBX may get, as the pool is divided and waited for: for the wanted
        seat `key`, which may be waited for itself, or for no particular seat."""
        division, queue = self.divisions.get(pool_id), self.queues.get(pool_id)
        if division is None:
            return free
        return division.left_for(pbx_id, free) if queue is None else queue.left_for(pbx_id, key, free, division)

    def is_waited_for(self, pbx_id: int, keys: Iterable[Key]) -> bool:
        """Tell whether a PBX waits for any of some seats, so that each of them has to be decided by itself."""
        return bool(self.queues) and any((pbx_id, key) in queue for queue in self.queues.values() for key in keys)

    def kept_from(self, pbx_id: int) -> dict[int, int]:
        """Count the seats kept free for other sites than the PBX's, or for PBXs that wait, by pool id."""
        kept = {pool_id: division.kept_from(pbx_id) for pool_id, division in self.divisions.items()}
        return kept | {pool_id: kept[pool_id] + queue.first_in_turn for pool_id, queue in self.queues.items()}

    def divide(self, estate: Estate, now: float) -> None:
        """Divide a project's pools by its allocation rules, where all seats are in this working set; `now` is UNIX
        seconds."""
        seats = Counter((seat.pool_id, seat.pbx_id) for pbx in self.seats.values() for seat in pbx.by_key.values())
        for pool_id in estate.shared_pools:
            if (rules := estate.rules_of_pool(pool_id, now)) is not None:
                counted = {pbx_id: count for (pool, pbx_id), count in seats.items() if pool == pool_id}
                self.divisions[pool_id] = PoolDivision(rules, estate.site_of, counted)

    def divide_by(self, estate: Estate, now: float) -> None:
        """Divide the pools by the rules of another estate, which reserve no more than before; `now` is UNIX seconds."""
        divided = {}
        for pool_id, division in self.divisions.items():
            rules = estate.rules_of_pool(pool_id, now) or (NO_RULES if pool_id in self.queues else None)
            divided[pool_id] = division.under(rules)
        self.divisions = {pool_id: division for pool_id, division in divided.items() if division is not None}

    def _count(self, pool_id: int, pbx_id: int, change: int) -> None:
        pool = self.pools[pool_id]
        pool.used += change
        if pool_id in self.divisions:
            self.divisions[pool_id].count(pbx_id, change)
        if pool_id in self.queues:
            self.queues[pool_id].changed()
        assert pool.used >= 0, f"pool {pool_id} was given back more than was taken"
        most = pool.capacity + max(pool.overdraft, pool.account.overdrawn)
        assert change < 0 or pool.used <= most, f"pool {pool_id} would be overdrawn"

    def _index(self, of_pbx: PbxSeats, key: Key, seat: Seat) -> None:
        if seat.user:
            of_pbx.by_user[seat.user].add(key)
        if seat.type in self._pbx_wide:
            of_pbx.by_type[seat.type].add(key)
