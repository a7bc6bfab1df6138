"""What a batch must read before it can be decided, and how it is read: under lock, in one order.

Knows which seats and pools matter for a request; what follows from them is for the deciding core.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain, repeat
from operator import attrgetter
from typing import TypeVar

from msgspec import Struct

from master.domain.allocation.policies import NO_RULES, PoolRules
from master.domain.allocation.pool_division import PoolDivision
from master.domain.estate.estate import Estate, Pbx
from master.domain.leases.claims import Claims
from master.domain.seats.eligibility import EligibilityCache
from master.domain.seats.outcomes import Outcome
from master.domain.seats.refusals.reasons import Refusal, TopHolder
from master.domain.seats.seat_working_set import SeatWorkingSet
from master.domain.seats.seats import Key, Seat, SeatKey, Want
from master.domain.seats.waiting_queue import NOBODY, SHORT, Unread, WaitingQueue
from master.store.backends.database import Tx
from master.store.statements import claims as claim_store
from master.store.statements import seats as store
from master.store.statements.waiting import Waiting, first_waiters, queue_length, waiters_of_type, waiting_pbxs
from master.values import field, replace

_TYPE, _HOLDER, _USER, _LINE = map(attrgetter, ("type", "holder", "user", "line"))
Named = TypeVar("Named", Want, SeatKey)


class Prefetch(Struct):
    """What must be read before the batch can be decided."""

    now: float
    """The time of the batch, UNIX seconds."""
    holders: set[tuple[int, str]] = field(default_factory=set)
    on_behalf: set[tuple[int, str]] = field(default_factory=set)
    types: set[tuple[int, str]] = field(default_factory=set)
    whole_pbxs: set[int] = field(default_factory=set)
    emptied_pbxs: set[int] = field(default_factory=set)
    """PBXs that give up all they hold and are asked nothing else: their seats need only be counted."""
    pools: set[int] = field(default_factory=set)
    revoked: set[int] = field(default_factory=set)
    """PBXs that may have revoked seats to give back."""
    proving: set[int] = field(default_factory=set)
    """PBXs that show after a restore what they may use."""
    divided: dict[int, Estate] = field(default_factory=dict)
    """The project of each pool that an operator has divided between sites, by pool id."""
    queued: dict[int, Estate] = field(default_factory=dict)
    """The project of each pool whose seats may be waited for, by pool id."""
    awaited: Mapping[int, Sequence[Waiting]] = field(default_factory=dict)
    """The seats that PBXs in this batch wait for, and those handed on to them, by PBX id."""
    staying: set[tuple[int, Key]] = field(default_factory=set)
    """The seats that are wanted, by PBX id: if they are held, they do not come free."""
    sites: set[str] = field(default_factory=set)
    """The sites of PBXs that may be given seats of divided and queued pools."""

    def single(self, pairs: set[tuple[int, str]]) -> Iterable[tuple[int, str]]:
        """Return those of some pairs (PBX id, holder or license type) whose PBX is not read as a whole."""
        return [pair for pair in pairs if pair[0] not in self.whole_pbxs] if self.whole_pbxs else pairs


def canonical(seats: Sequence[Named], eligibilities: EligibilityCache) -> Sequence[Named]:
    """Convert the license types of seats to catalog keys; return the same object where all are catalog keys."""
    catalog = eligibilities.estate.catalog
    if catalog.types.keys() >= set(map(_TYPE, seats)):
        return seats
    return [seat._replace(type=catalog.key_of(seat.type)) for seat in seats]


def need_for_wants(needs: Prefetch, eligibilities: EligibilityCache, pbx: Pbx, wants: Sequence[Want]) -> None:
    """Note what must be read to acquire some seats."""
    named = chain(map(_HOLDER, wants), set(map(_USER, wants)), set(map(_LINE, wants)))
    needs.holders.update(zip(repeat(pbx.id), filter(None, named)))
    types = set(map(_TYPE, wants))
    need_for_types(needs, eligibilities, pbx, types)
    need_for_queues(needs, eligibilities, pbx, types)


def need_for_returns(needs: Prefetch, eligibilities: EligibilityCache, pbx: Pbx, keys: Sequence[SeatKey]) -> None:
    """Note what must be read to return some seats."""
    required_by = eligibilities.estate.catalog.required_by
    for key in keys:
        needs.holders.add((pbx.id, key.holder))
        if required_by.get(key.type):
            needs.on_behalf.add((pbx.id, key.holder))
    need_for_types(needs, eligibilities, pbx, {key.type for key in keys})


def need_for_types(needs: Prefetch, eligibilities: EligibilityCache, pbx: Pbx, types: Iterable[str]) -> None:
    """Note what must be read to decide on seats of some types, whoever holds them."""
    estate, wide = eligibilities.estate, eligibilities.estate.catalog.read_pbx_wide
    for key in types:
        needs.types.update((pbx.id, other) for other in wide.get(key, ()))
        needs.pools |= eligibilities.pools_of(pbx, key)
        if estate.allocation.rules:
            needs.sites.add(pbx.site)
            needs.divided.update(dict.fromkeys(eligibilities.pools_of(pbx, key), estate))


def need_for_queues(needs: Prefetch, eligibilities: EligibilityCache, pbx: Pbx, types: Iterable[str]) -> None:
    """Note what must be read to know who waits for seats of some types that a PBX may be given."""
    estate = eligibilities.estate
    if not estate.allocation.queues:
        return
    for key in estate.allocation.queues.keys() & types:
        needs.sites.add(pbx.site)
        needs.queued.update(
            {pool_id: estate for pool_id in eligibilities.pools_of(pbx, key) if estate.shared_pools.get(pool_id) == key}
        )


def fill_working_set(
    tx: Tx, needs: Prefetch, pbx_wide: frozenset[str], claims: Mapping[int, Claims], seats: Sequence[Seat] = ()
) -> SeatWorkingSet:
    """Read seats, then lock and read the pools that the seats are debited from; `claims` are those of some PBXs."""
    working_set = SeatWorkingSet(pbx_wide=pbx_wide)
    working_set.load(seats)
    working_set.load(store.seats_of_pbxs(tx, sorted(needs.whole_pbxs)))
    working_set.load(store.seats_of_holders(tx, needs.single(needs.holders)))
    working_set.load(store.seats_on_behalf(tx, needs.single(needs.on_behalf)))
    working_set.load(store.seats_of_types(tx, needs.single(needs.types)))
    for pbx_id, totals in store.seat_totals(tx, sorted(needs.emptied_pbxs)).items():
        working_set.load_totals(pbx_id, totals)
    for pbx_id, keys in store.revoked_seats(tx, sorted(needs.revoked)).items():
        working_set.seats[pbx_id].revoked = keys
    shared_pools: set[int] = set()
    for pbx_id, shares in (claim_store.shares_of(tx, claims) if claims else {}).items():
        working_set.share_out(pbx_id, shares)
        shared_pools |= shares.keys()
    working_set.pools = store.lock_pools(tx, needs.pools | shared_pools | working_set.pools_debited())
    for estate in {estate.project_id: estate for estate in needs.queued.values()}.values():
        needs.sites.update(estate.site_of[pbx_id] for pbx_id in working_set.seats if pbx_id in estate.site_of)
    for pool_id, estate in needs.queued.items():
        free_max = _free_at_most(working_set, estate, pool_id, needs)
        queue, division = _read_queue_for(tx, estate, pool_id, needs, free_max)
        working_set.queues[pool_id], working_set.divisions[pool_id] = queue, division
    for pool_id, estate in needs.divided.items():
        rules = estate.rules_of_pool(pool_id, needs.now)
        if rules is not None and pool_id not in working_set.queues:
            working_set.divisions[pool_id] = _division(tx, estate, pool_id, rules, needs.sites)
    return working_set


def read_queue(tx: Tx, estate: Estate, pool_id: int, *, now: float) -> tuple[WaitingQueue, PoolDivision]:
    """Return all who wait for seats of a pool, and how the pool is divided between their sites; `now` is UNIX seconds.

    The type's policy must have a queue.
    """
    waiters = waiters_of_type(tx, estate.project_id, estate.shared_pools[pool_id], now=now)
    return _queue(tx, estate, pool_id, waiters, NOBODY, now=now)


def read_turns(tx: Tx, estate: Estate, pool_id: int, free: int, *, now: float) -> tuple[WaitingQueue, PoolDivision]:
    """Return those who wait for a pool and whose turns may have come with at most `free` free seats, and how the pool
    is divided; all who wait, where they are few. `now` is UNIX seconds.
    """
    return _read_queue_for(tx, estate, pool_id, Prefetch(now), free)


def _read_queue_for(
    tx: Tx, estate: Estate, pool_id: int, needs: Prefetch, free_max: int
) -> tuple[WaitingQueue, PoolDivision]:
    """Return those who wait for a pool and matter to a batch in which at most `free_max` seats are free."""
    key, now = estate.shared_pools[pool_id], needs.now
    waiting = queue_length(tx, estate.project_id, key)
    if waiting <= SHORT:
        waiters = waiters_of_type(tx, estate.project_id, key, now=now) if waiting else []
        return _queue(tx, estate, pool_id, waiters, NOBODY, sites=needs.sites, now=now)
    own = (own for pbx_id, of_pbx in needs.awaited.items() if pbx_id in estate.pbxs for own in of_pbx)
    waiters = [(waiter, want, place) for waiter, want, place in own if want.type == key and place]
    if free_max:
        others = [pbx_id for pbx_id in waiting_pbxs(tx, key) if pbx_id in estate.pbxs and pbx_id not in needs.awaited]
        may_have = _who_may_have(tx, estate, pool_id, others, needs, free_max)
        waiters += first_waiters(tx, may_have, key, estate.allocation.queues[key], of_each=free_max, now=now)
    unread = Unread(waiting - len(waiters), free_max)
    return _queue(tx, estate, pool_id, waiters, unread, sites=needs.sites, now=now)


def _who_may_have(
    tx: Tx, estate: Estate, pool_id: int, pbx_ids: Sequence[int], needs: Prefetch, free_max: int
) -> Sequence[int]:
    """Return the ids of PBXs to which the division of a pool leaves any of its free seats, and of those whose site or
    group is part of the batch: what is counted for these may become less.
    """
    rules = estate.rules_of_pool(pool_id, needs.now)
    if rules is None:
        return pbx_ids
    division = _division(tx, estate, pool_id, rules, {estate.site_of[pbx_id] for pbx_id in pbx_ids})
    concerned = set(needs.sites).union(*map(rules.companions_of, needs.sites))
    return [pbx_id for pbx_id in pbx_ids if estate.site_of[pbx_id] in concerned or division.left_for(pbx_id, free_max)]


def _queue(
    tx: Tx,
    estate: Estate,
    pool_id: int,
    waiters: Sequence[Waiting],
    unread: Unread,
    *,
    now: float,
    sites: Collection[str] = (),
) -> tuple[WaitingQueue, PoolDivision]:
    at_sites = [(waiter._replace(site=estate.site_of[waiter.pbx_id]), want, place) for waiter, want, place in waiters]
    rules = estate.rules_of_pool(pool_id, now) or NO_RULES
    concerned = {*sites, *(waiter.site for waiter, _, _ in at_sites)}
    queue = WaitingQueue(estate.allocation.queues[estate.shared_pools[pool_id]], at_sites, now, unread)
    if rules is NO_RULES and unread.waiting and not unread.free_max:  # nothing is divided, and nobody's turn comes
        return queue, PoolDivision(rules, estate.site_of, {})
    return queue, _division(tx, estate, pool_id, rules, concerned)


def _free_at_most(working_set: SeatWorkingSet, estate: Estate, pool_id: int, needs: Prefetch) -> int:
    """Return how many seats of a pool may be free at once while a batch is decided, as far as can be foreseen."""
    pool, policy = working_set.pools[pool_id], estate.overdraft_of(pool_id)
    above = max(policy.seats - pool.overdrawn, 0) if policy is not None else 0
    return pool.free + above + working_set.may_be_returned(pool_id, needs.staying)


def _division(tx: Tx, estate: Estate, pool_id: int, rules: PoolRules, asking: Iterable[str]) -> PoolDivision:
    """Return how a pool is divided now; the pool must have been locked before."""
    sites = rules.reserving_sites.union(*map(rules.companions_of, asking))
    pbx_ids = [pbx_id for site in sorted(sites) for pbx_id in estate.pbxs_at.get(site, ())]
    are_most = len(pbx_ids) * 2 > len(estate.pbxs)
    counted = store.counted_of_pool(tx, pool_id, None if are_most else pbx_ids)
    return PoolDivision(rules, estate.site_of, counted)


def name_top_holders(tx: Tx, outcomes: list[Outcome], estate: Estate, named: dict[int, tuple[TopHolder, ...]]) -> None:
    """Put the biggest holders into refusals for lack of licenses; read each pool once."""
    replaced: dict[int, Refusal] = {}
    for index, outcome in enumerate(outcomes):
        if type(outcome) is not Refusal or outcome.pool_id is None:
            continue
        if id(outcome) not in replaced:
            if outcome.pool_id not in named:
                named[outcome.pool_id] = _top_holders(tx, outcome.pool_id, estate)
            replaced[id(outcome)] = replace(outcome, top_holders=named[outcome.pool_id])
        outcomes[index] = replaced[id(outcome)]


def _top_holders(tx: Tx, pool_id: int, estate: Estate) -> tuple[TopHolder, ...]:
    top_holders = []
    for pbx_id, seats in store.biggest_holders(tx, pool_id):
        pbx = estate.pbxs[pbx_id]
        top_holders.append(TopHolder(f"projects/{estate.name}/pbxs/{pbx.name}", pbx.site, seats))
    return tuple(top_holders)
