"""The seats counted of each pool, part by part, and what each site has, wants and would get of a shared pool."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from master.domain.allocation.fair_shares import fair_shares
from master.domain.allocation.policies import NO_RULES
from master.domain.estate.estate import Estate
from master.domain.leases.claims import ClaimKind, Claims, kept_by_kind
from master.domain.seats.pools import PoolCounts, reserves_of
from master.values import Value

Kept = Mapping[tuple[int, int], Mapping[ClaimKind, int]]
"""Seats counted that are not held, by (pool id, PBX id) and kind of claim."""


class PoolUsage(Value):
    """The seats that a pool has counted for one PBX."""

    seats: int
    """Seats debited."""
    counted: int
    """Seats debited or claimed; no fewer than `seats`."""


Usage = Mapping[tuple[int, int], PoolUsage]
"""Usage by (pool id, PBX id)."""


class SiteShare(Value, kw_only=True):
    """The seats that a site has, wants and would get of a shared pool, and those counted but not held."""

    site: str
    license_type: str
    has: int
    """Seats counted for the site."""
    wants: int
    """Seats counted for the site, and those that it waits for."""
    gets: int
    """Seats that the site would have if the pool were dealt anew by the rules."""
    reserve: int
    """The site's own reserve."""
    used: int
    held_idle: int
    borrowed: int
    first_claims: int


class ReserveUse(Value):
    """The seats used and unused of a rule's reserve."""

    rule: str
    license_type: str
    used: int
    """Seats of the reserve that are counted for its owners."""
    unused: int


def kept(usage: Usage, claims: Mapping[int, Claims]) -> Kept:
    """Split the seats that are counted but not held among the kinds of claims, by (pool id, PBX id)."""
    return {
        (pool_id, pbx_id): kept_by_kind(
            (claim for claim in claims.get(pbx_id, ()) if claim.pool_id == pool_id), seats=use.seats
        )
        for (pool_id, pbx_id), use in usage.items()
        if use.counted > use.seats
    }


def pool_counts(estate: Estate, usage: Usage, kept: Kept, now: float) -> dict[int, PoolCounts]:
    """Return the seats counted of each pool in their parts, by pool id; `now` is UNIX seconds."""
    held: defaultdict[int, dict[int, int]] = defaultdict(dict)
    counted: defaultdict[int, dict[int, int]] = defaultdict(dict)
    for (pool_id, pbx_id), use in usage.items():
        held[pool_id][pbx_id], counted[pool_id][pbx_id] = use.seats, use.counted
    by_kind: defaultdict[int, Counter[ClaimKind]] = defaultdict(Counter)
    for (pool_id, _), kinds in kept.items():
        by_kind[pool_id].update(kinds)
    counts = {}
    for pool_id in estate.pool_ids.values():
        used, kinds, reserved_used, kept_free = sum(held[pool_id].values()), by_kind[pool_id], 0, 0
        if (rules := estate.rules_of_pool(pool_id, now)) is not None:
            reserved_used, kept_free = reserves_of(rules, estate.site_of, held=held[pool_id], counted=counted[pool_id])
        own = kinds[ClaimKind.BLOCK], kinds[ClaimKind.LOAN], kinds[ClaimKind.FIRST_CLAIM]
        counts[pool_id] = PoolCounts(
            reserved_used=reserved_used,
            floating_used=used - reserved_used,
            held_idle=own[0],
            borrowed=own[1],
            first_claims=own[2],
            promised=sum(counted[pool_id].values()) - used - sum(own),
            kept_free=kept_free,
        )
    return counts


def site_shares(
    estate: Estate, usage: Usage, kept: Kept, waits: Mapping[tuple[str, int], int], now: float
) -> Iterator[SiteShare]:
    """Yield what sites have, want and would get of the shared pools that are divided, or whose type has a policy.

    `kept` are seats counted but not held, by kinds of claims; `waits` are seats waited for, by (license type, PBX id).
    """
    shared = estate.installations[estate.master.device.id]
    for pool_id, key in estate.shared_pools.items():
        rules = estate.rules_of_pool(pool_id, now)
        if rules is None and key not in estate.allocation.by_type:
            continue
        rules = rules or NO_RULES
        has: Counter[str] = Counter(dict.fromkeys(rules.site_reserves, 0))
        used: Counter[str] = Counter()
        kinds: defaultdict[str, Counter[ClaimKind]] = defaultdict(Counter)
        for pbx_id, site in estate.site_of.items():
            if (use := usage.get((pool_id, pbx_id))) is not None:
                has[site] += use.counted
                used[site] += use.seats
                kinds[site].update(kept.get((pool_id, pbx_id), {}))
        wanted: Counter[str] = Counter()
        for (license_type, pbx_id), seats in waits.items():
            if license_type == key and pbx_id in estate.site_of:
                wanted[estate.site_of[pbx_id]] += seats
        shares = fair_shares(rules, capacity=shared.capacity.get(key, 0), has=has, waits=wanted)
        for site, share in shares.items():
            yield SiteShare(
                site=site,
                license_type=key,
                has=share.has,
                wants=share.wants,
                gets=share.gets,
                reserve=rules.site_reserves.get(site, 0),
                used=used[site],
                held_idle=kinds[site][ClaimKind.BLOCK],
                borrowed=kinds[site][ClaimKind.LOAN],
                first_claims=kinds[site][ClaimKind.FIRST_CLAIM],
            )


def reserve_uses(estate: Estate, usage: Usage, now: float) -> Iterator[ReserveUse]:
    """Yield how each rule's reserve is used at a moment, UNIX seconds; a site's and its group's are two reserves."""
    for pool_id, key in estate.shared_pools.items():
        rules = estate.rules_of_pool(pool_id, now)
        if rules is None or not (rules.site_reserves or rules.group_reserves):
            continue
        counted: Counter[str] = Counter()
        for (used_pool_id, pbx_id), use in usage.items():
            if used_pool_id == pool_id:
                counted[estate.site_of[pbx_id]] += use.counted
        used: Counter[str] = Counter()
        unused: Counter[str] = Counter()
        reserves = [(f"site {site}", reserve, counted[site]) for site, reserve in rules.site_reserves.items()]
        for group, reserve in rules.group_reserves.items():
            reserves.append((f"group {group}", reserve, sum(counted[site] for site in rules.members[group])))
        for scope, reserve, seats in reserves:
            rule = rules.named.get(("reserve", scope)) or rules.named["reserve", "every site"]
            used[rule] += min(seats, reserve)
            unused[rule] += max(reserve - seats, 0)
        for rule in used:
            yield ReserveUse(rule, key, used[rule], unused[rule])
