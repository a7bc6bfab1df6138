"""Reserves that could never be kept: above what is installed, above a maximum, or of what the site may not have.

Judged moment by moment, from now on, wherever any of the rules begins or ends: what holds at different times
contradicts nothing. Of a contradiction both rules are named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from functools import cached_property

from licensemaster.api_enums import HolderKind
from master.domain.allocation.policies import Allocation, AllocationRule
from master.domain.estate.contradicting_pairs import JUDGED_MAX, Numbered, too_many_to_judge
from master.domain.estate.project import Violation
from master.values import Value


def unkeepable_reserves(
    allocation: Allocation,
    *,
    sites: Set[str],
    capacities: Mapping[str, int],
    kinds: Mapping[str, Set[HolderKind]],
    now: float,
) -> Iterator[Violation]:
    """Yield a violation, once, for each reserve that cannot be kept at some moment.

    The names and numbers of the allocation are right. `sites` are all of the project; the shared pool's `capacities`,
    and the `kinds` of who may hold a seat, are by license type; `now` is UNIX seconds.
    """
    by_type = {
        key: [(index, rule) for index, rule in enumerate(allocation.rules) if key in rule.types]
        for key in sorted({key for rule in allocation.rules for key in rule.reserve})
    }
    moments = {key: _moments(key, about, now) for key, about in by_type.items()}
    judged = sum(len(moments[key]) * len(about) for key, about in by_type.items())
    if judged > JUDGED_MAX:
        times = len({moment for of_type in moments.values() for moment in of_type})
        yield too_many_to_judge(
            f"{len(allocation.rules):,} rules that begin or end at {times:,} different times are {judged:,} to be"
            f" judged, {JUDGED_MAX:,} at most: each counts at each time, for each license type"
        )
        return
    for key, about in by_type.items():
        holders = kinds[key] if any(rule.holder_kinds for _, rule in about) else {*sorted(kinds[key])[:1]}
        told: set[object] = set()
        for moment in moments[key]:
            holding = tuple((index, rule) for index, rule in about if rule.holds(moment))
            division = _Reserves(key, holding, allocation, sites, holders)
            for violation in division.violations(capacities.get(key, 0)):
                if violation.path not in told:
                    told.add(violation.path)
                    yield violation


def _moments(key: str, about: Sequence[Numbered], now: float) -> list[float]:
    """List the moments, from now on, at which the reserves of a license type may change; UNIX seconds."""
    changes = {rule.starts_at for _, rule in about}
    if any(key in rule.allow or not (rule.site or rule.group) for _, rule in about):
        changes |= {rule.ends_at for _, rule in about}  # from then on a more general one counts
    return sorted({now, *(at for at in changes if at is not None and at > now)})


class _Reserves(Value, dict=True):
    """The reserves of one license type by the rules that hold at one moment."""

    key: str
    rules: Sequence[Numbered]
    allocation: Allocation
    sites: Set[str]
    kinds: Set[HolderKind]

    def violations(self, capacity: int) -> Iterator[Violation]:
        yield from self._for_whom_may_have_none()
        yield from self._above_maxima()
        reserving = [numbered for numbered in self.rules if self.key in numbered[1].reserve]
        if (total := self._total(reserving)) <= capacity:
            return
        fits, count = 0, len(reserving)
        while count - fits > 1:  # the rule with which it is too much
            middle = (fits + count) // 2
            fits, count = (middle, count) if self._total(reserving[:middle]) <= capacity else (fits, middle)
        index, rule = reserving[count - 1]
        total = self._total(reserving[:count])
        others = [(self._comes_to(other), place, other) for place, other in reserving[:count] if place != index]
        most, first, other = max(others, key=lambda named: named[0], default=(0, 0, rule))
        beside = f"; {other.name!r} (rules[{first}]) reserves {most:,} of them" if most else ""
        yield self._violation(
            index,
            f"with {rule.name!r} {total:,} {self.key} are reserved, and {capacity:,} are installed in the shared"
            f" pool{beside}; reserve fewer or add licenses",
        )

    def _violation(self, index: int, reason: str) -> Violation:
        return Violation(("rules", index, "reserve", self.key), reason)

    # --- What is reserved -----------------------------------------------------------------------------------------

    def _amounts(self, kind: str) -> dict[str, tuple[int, Numbered]]:
        """Return a number of each site and group, with the rule that gives it, by scope in words."""
        given = [numbered for numbered in self.rules if self.key in getattr(numbered[1], kind)]
        return {rule.scope: (getattr(rule, kind)[self.key], (index, rule)) for index, rule in given}

    @cached_property
    def _reserves(self) -> dict[str, tuple[int, Numbered]]:
        return self._amounts("reserve")

    @cached_property
    def _maxima(self) -> dict[str, tuple[int, Numbered]]:
        return self._amounts("maximum")

    def _of_site(self, site: str, amounts: Mapping[str, tuple[int, Numbered]]) -> tuple[int, Numbered] | None:
        """Return the site's own number, else that of every site; None where there is neither."""
        return amounts.get(f"site {site}") or amounts.get("every site")

    def _comes_to(self, rule: AllocationRule) -> int:
        """Return how many seats a rule reserves in all; for every site means those without a reserve of their own."""
        own = sum(scope.startswith("site ") for scope in self._reserves)
        return rule.reserve[self.key] * (1 if rule.site or rule.group else len(self.sites) - own)

    def _total(self, reserving: Sequence[Numbered]) -> int:
        """Return how many seats some rules reserve: a site's own goes before that of every site, within its group's."""
        own = {rule.site: rule.reserve[self.key] for _, rule in reserving if rule.site}
        groups = {rule.group: rule.reserve[self.key] for _, rule in reserving if rule.group}
        every = next((rule.reserve[self.key] for _, rule in reserving if not (rule.site or rule.group)), 0)
        within: Counter[str] = Counter()
        group_of = self.allocation.group_of
        for site, amount in own.items():
            within[group_of.get(site, "")] += amount - every
        for group, members in self.allocation.members.items() if every else ():
            within[group] += every * len(members)
        within[""] += every * (len(self.sites) - len(group_of))
        alone = within.pop("", 0)
        return alone + sum(max(within[group], groups.get(group, 0)) for group in {*within, *groups})

    # --- Who may have it ------------------------------------------------------------------------------------------

    def _for_whom_may_have_none(self) -> Iterator[Violation]:
        """Yield a violation for each reserve of a type that other rules deny to the owner, or allow to others alone."""
        if not any(self.key in (*rule.allow, *rule.deny) for _, rule in self.rules):
            return
        for scope, (_, (index, rule)) in self._reserves.items():
            places = [rule.site] if rule.site else self.allocation.members.get(rule.group, sorted(self.sites))
            if not (rule.site or rule.group):
                places = [site for site in places if f"site {site}" not in self._reserves]
            barring = [(site, self._barred_by(site)) for site in places]
            for site, barred in barring if not rule.group or all(barred for _, barred in barring) else ():
                if barred is None:
                    continue
                place, other = barred
                whom = scope if rule.site or rule.group else f"site {site}"
                against, name = f"{other.name!r} (rules[{place}])", rule.name
                if self.key in other.deny:
                    why = f"{name!r} reserves {self.key} for {whom}, to which {against} denies it; keep one of them"
                else:
                    why = (
                        f"{name!r} reserves {self.key} for {whom}, and {against} allows it to others alone; allow it"
                        " there too or reserve none"
                    )
                yield self._violation(index, why)
                break

    def _barred_by(self, site: str) -> Numbered | None:
        """Return a rule that keeps the type from a site for every kind of holder; None where there is none."""
        denied, allowed, closed = self._access
        scopes = (f"site {site}", f"group {self.allocation.group_of.get(site, '')}", "every site")
        barring: Numbered | None = None
        for kind in sorted(self.kinds):
            barring = next((denied[scope, kind] for scope in scopes if (scope, kind) in denied), None)
            if barring is None and not any((scope, kind) in allowed for scope in scopes):
                barring = closed.get(kind)
            if barring is None:
                return None
        return barring

    @cached_property
    def _access(
        self,
    ) -> tuple[dict[tuple[str, HolderKind], Numbered], set[tuple[str, HolderKind]], dict[HolderKind, Numbered]]:
        """Return, by kind of holder, who denies the type to whom, who is allowed it, and which rule closes it to
        others."""
        denied: dict[tuple[str, HolderKind], Numbered] = {}
        allowed: set[tuple[str, HolderKind]] = set()
        closed: dict[HolderKind, Numbered] = {}
        for index, rule in self.rules:
            for kind in self.kinds & {*rule.holder_kinds} if rule.holder_kinds else self.kinds:
                if self.key in rule.deny:
                    denied.setdefault((rule.scope, kind), (index, rule))
                if self.key in rule.allow:
                    allowed.add((rule.scope, kind))
                    closed.setdefault(kind, (index, rule))
        return denied, allowed, closed

    # --- How much they may have -------------------------------------------------------------------------------------

    def _above_maxima(self) -> Iterator[Violation]:
        """Yield a violation for each reserve that the maximum of another scope prevents."""
        if not self._maxima:
            return
        for group, members in self.allocation.members.items():
            if maximum := self._maxima.get(f"group {group}"):
                yield from self._within_group(group, members, maximum)
            if reserve := self._reserves.get(f"group {group}"):
                yield from self._of_group(group, members, reserve)
        every = self._reserves.get("every site")
        for scope, (most, (place, other)) in self._maxima.items() if every else ():
            if other.site and scope not in self._reserves and every and most < every[0]:
                yield self._violation(
                    every[1][0],
                    f"{every[1][1].name!r} reserves {every[0]:,} {self.key} for every site, and {other.name!r}"
                    f" (rules[{place}]) lets {scope} have {most:,} at most; lower the reserve or raise the maximum",
                )
                return

    def _within_group(self, group: str, members: Sequence[str], maximum: tuple[int, Numbered]) -> Iterator[Violation]:
        """Yield a violation where the reserves of a group's sites are together more than the group may have."""
        most, (place, other) = maximum
        reserves = [reserve for site in members if (reserve := self._of_site(site, self._reserves))]
        if (total := sum(amount for amount, _ in reserves)) <= most or any(
            amount > most and rule.site for amount, (_, rule) in reserves
        ):  # a site's own that is too large by itself is named elsewhere
            return
        index, rule = max((numbered for _, numbered in reserves), key=lambda numbered: numbered[0])
        yield self._violation(
            index,
            f"with {rule.name!r} {total:,} {self.key} are reserved for sites of group {group}, which {other.name!r}"
            f" (rules[{place}]) lets have {most:,} at most; reserve fewer",
        )

    def _of_group(self, group: str, members: Sequence[str], reserve: tuple[int, Numbered]) -> Iterator[Violation]:
        """Yield a violation where a group's reserve is more than its sites may have together."""
        amount, (index, rule) = reserve
        maxima = [maximum for site in members if (maximum := self._of_site(site, self._maxima))]
        most = sum(maximum for maximum, _ in maxima)
        if len(maxima) == len(members) and most < amount:
            place, other = min(maxima, key=lambda given: given[0])[1]
            yield self._violation(
                index,
                f"{rule.name!r} reserves {amount:,} {self.key} for group {group}, and {other.name!r} (rules[{place}])"
                f" lets {other.scope} have so few that its sites have {most:,} at most together; lower the reserve or"
                " raise the maximum",
            )
