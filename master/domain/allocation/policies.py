"""What an operator lays down about sharing a pool: rules for sites and groups of sites, policies for license types.

Data, and what holds of it at a moment. `contradictions.py` says what is wrong with the data, `pool_division.py` what
it means for seats that are counted. All is about the shared pool on the license master's device: licenses on another
device are drawn on by that device's PBX alone, so there is nothing to share.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any, Final

from licensemaster.api_enums import HolderKind
from master.values import Value, field, replace

Amounts = Mapping[str, int]
"""A number for each license type, by catalog key."""
WEIGHT_USUAL, PRIORITY_USUAL = 1, 0


class SiteGroup(Value, kw_only=True):
    """Sites that rules name together; a site is in one group at most."""

    name: str
    sites: tuple[str, ...]


class AllocationRule(Value, kw_only=True):
    """A rule for a site, for a group of sites together or, where neither is named, for every site by itself."""

    name: str
    site: str = ""
    group: str = ""
    reserve: Amounts = field(default_factory=dict)
    """Seats that nobody else gets, by license type."""
    maximum: Amounts = field(default_factory=dict)
    """The most seats that are counted at once, by license type."""
    weight: Amounts = field(default_factory=dict)
    """The share of what is short, relative to others of the same priority, by license type."""
    priority: Amounts = field(default_factory=dict)
    """The order in which what is short is given, by license type; a higher number comes first."""
    allow: tuple[str, ...] = ()
    """License types that only sites may have that a rule allows them."""
    deny: tuple[str, ...] = ()
    """License types that the sites of the rule may not have."""
    holder_kinds: tuple[HolderKind, ...] = ()
    """The kinds of holders that `allow` and `deny` are about; empty for all."""
    serves_emergencies: bool = False
    """Whether the rule's sites keep their seats longest when a pool becomes smaller than the seats out."""
    starts_at: float | None = None
    """The moment from which the rule holds, UNIX seconds; None for always."""
    ends_at: float | None = None
    """The moment until which the rule holds, UNIX seconds; None for ever."""

    @property
    def divided(self) -> frozenset[str]:
        """The license types that the rule gives numbers for."""
        return frozenset().union(self.reserve, self.maximum, self.weight, self.priority)

    @property
    def types(self) -> frozenset[str]:
        """The license types that the rule is about."""
        return self.divided.union(self.allow, self.deny)

    @property
    def scope(self) -> str:
        """The site, group or sites that the rule is about, in words."""
        if self.site:
            return f"site {self.site}"
        return f"group {self.group}" if self.group else "every site"

    def holds(self, now: float) -> bool:
        """Tell whether the rule holds at a moment, UNIX seconds."""
        return (self.starts_at is None or self.starts_at <= now) and (self.ends_at is None or now < self.ends_at)

    def with_types(
        self, amounts: Callable[[Amounts], Amounts], names: Callable[[tuple[str, ...]], tuple[str, ...]]
    ) -> AllocationRule:
        """Return the rule with its numbers and lists replaced by what the two functions make of them."""
        numbers: dict[str, Any] = {
            kind: amounts(getattr(self, kind)) for kind in ("reserve", "maximum", "weight", "priority")
        }
        return replace(self, **numbers, allow=names(self.allow), deny=names(self.deny))

    def without(self, type_key: str) -> AllocationRule:
        """Return the rule without anything about a license type."""
        return self.with_types(
            lambda amounts: {key: amount for key, amount in amounts.items() if key != type_key},
            lambda names: tuple(key for key in names if key != type_key),
        )

    def meets(self, other: AllocationRule) -> bool:
        """Tell whether there is a moment at which both rules hold."""
        ends = min(rule.ends_at if rule.ends_at is not None else float("inf") for rule in (self, other))
        return max(self.begins, other.begins) < ends

    @property
    def begins(self) -> float:
        """The moment from which the rule holds, UNIX seconds; minus infinity where it always did."""
        return self.starts_at if self.starts_at is not None else float("-inf")


class QueuePolicy(Value, kw_only=True):
    """How PBXs may wait for seats of a license type."""

    length_max: int
    """Seats that may be waited for at once, in the whole project."""
    express_seats_max: int = 0
    """Calls that ask for at most this many seats go before larger ones of their priority."""
    patience_seconds: int = 3600
    """Seconds after which a waiter goes before all that waited less, whatever the priority: nobody waits for ever."""


class OverdraftPolicy(Value, kw_only=True):
    """How many seats may be granted above what is installed, and for how long."""

    seats: int
    """The most seats above what is installed at once."""
    budget_seat_hours: int
    """The budget, in seat hours: a seat above what is installed costs one seat hour an hour."""
    refill_seat_hours_per_day: int
    """The seat hours that come back in a day in which nothing is overdrawn."""


class TypePolicy(Value, kw_only=True):
    """How seats of a license type are lent when they are short."""

    license_type: str
    queue: QueuePolicy | None = None
    """The policy for waiting; None where nobody may wait."""
    overdraft: OverdraftPolicy | None = None
    first_claim_seconds: int = 0
    """For how many seconds seats are kept for a PBX whose lease ran out; 0 for not at all."""
    block_seats_max: int = 0
    """How many seats a PBX may hold ahead of need; 0 for none."""
    loan_days_max: int = 0
    """For how many days a PBX may borrow seats; 0 for not at all."""


class PoolRules(Value, kw_only=True, dict=True):
    """What the rules say for one license type at one moment."""

    group_of: Mapping[str, str] = field(default_factory=dict)
    """The group of each site that is in a group."""
    members: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The sites of each group."""
    site_reserves: Amounts = field(default_factory=dict)
    """Seats reserved, by site."""
    group_reserves: Amounts = field(default_factory=dict)
    """Seats reserved, by group."""
    site_maxima: Amounts = field(default_factory=dict)
    group_maxima: Amounts = field(default_factory=dict)
    every_maximum: int | None = None
    """The most seats for a site without a maximum of its own; None for no limit."""
    weights: Amounts = field(default_factory=dict)
    """Weights by site, where not 1."""
    priorities: Amounts = field(default_factory=dict)
    """Priorities by site, where not 0."""
    named: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """The name of the rule behind a number, by kind ("reserve", "maximum") and the rule's scope in words."""

    @cached_property
    def reserving_sites(self) -> frozenset[str]:
        """The sites whose counted seats decide how much of a reserve is still kept free."""
        return frozenset(self.site_reserves).union(*(self.members[group] for group in self.group_reserves))

    def maximum_of(self, site: str) -> int | None:
        """Return the most seats for a site, its group's maximum aside; None for no limit."""
        return self.site_maxima.get(site, self.every_maximum)

    def companions_of(self, site: str) -> tuple[str, ...]:
        """Return the sites that share a reserve or a maximum with a site, that site included."""
        group = self.group_of.get(site)
        if group is None or not (group in self.group_maxima or group in self.group_reserves):
            return (site,)
        return self.members[group]


class Allocation(Value, dict=True):
    """All that an operator laid down about sharing the pools of a project."""

    groups: tuple[SiteGroup, ...] = ()
    rules: tuple[AllocationRule, ...] = ()
    types: tuple[TypePolicy, ...] = ()

    @cached_property
    def _resolved(self) -> dict[tuple[str, int], PoolRules | None]:
        return {}

    @cached_property
    def by_type(self) -> dict[str, TypePolicy]:
        """The policy of each license type that has one."""
        return {policy.license_type: policy for policy in self.types}

    @cached_property
    def queues(self) -> dict[str, QueuePolicy]:
        """The policies for waiting, by license type, of types that may be waited for."""
        return {policy.license_type: policy.queue for policy in self.types if policy.queue is not None}

    @cached_property
    def members(self) -> dict[str, tuple[str, ...]]:
        """The sites of each group."""
        return {group.name: group.sites for group in self.groups}

    @cached_property
    def group_of(self) -> dict[str, str]:
        """The group of each site that is in a group."""
        return {site: group.name for group in self.groups for site in group.sites}

    @cached_property
    def _rules_by_type(self) -> dict[str, tuple[AllocationRule, ...]]:
        by_type: defaultdict[str, list[AllocationRule]] = defaultdict(list)
        for rule in self.rules:
            for key in rule.types:
                by_type[key].append(rule)
        return {key: tuple(rules) for key, rules in by_type.items()}

    @cached_property
    def _moments(self) -> dict[str, list[float]]:
        """The moments at which the rules for a license type change, in order, UNIX seconds."""
        return {
            key: sorted({at for rule in rules for at in (rule.starts_at, rule.ends_at) if at is not None})
            for key, rules in self._rules_by_type.items()
        }

    def without(self, rule_name: str, type_key: str) -> Allocation:
        """Return the allocation without what a rule says of a license type."""
        kept = tuple(rule.without(type_key) if rule.name == rule_name else rule for rule in self.rules)
        return Allocation(self.groups, kept, self.types)

    @property
    def firm(self) -> Allocation:
        """The allocation without overdrafts: nothing is granted above what is installed."""
        return Allocation(self.groups, self.rules, tuple(replace(policy, overdraft=None) for policy in self.types))

    def rules_at(self, type_key: str, now: float, sites: Iterable[str]) -> PoolRules | None:
        """Return the rules for a license type at a moment, UNIX seconds; None where no rule divides its pool.

        `sites` are all sites of the project; a rule for every site counts for each of them.
        """
        if type_key not in self._rules_by_type:
            return None
        name = type_key, bisect_right(self._moments[type_key], now)
        if name not in self._resolved:
            self._resolved[name] = self._resolve(type_key, now, sites)
        return self._resolved[name]

    def emergency_sites(self, now: float) -> frozenset[str]:
        """Return the sites that serve emergencies at a moment, UNIX seconds."""
        serving = [rule for rule in self.rules if rule.serves_emergencies and rule.holds(now)]
        return frozenset(site for rule in serving for site in self.members.get(rule.group, (rule.site,)))

    def access(self, type_key: str, site: str, kind: HolderKind, now: float) -> AllocationRule | None:
        """Return the rule by which a site may not have a seat of a type for a kind of holder; None where it may.

        A type that is denied stays denied whatever else is allowed; a type that is allowed to some is closed to all
        others.
        """
        group = self.group_of.get(site)
        closed: AllocationRule | None = None
        is_allowed = False
        for rule in self._rules_by_type.get(type_key, ()):
            if not rule.holds(now) or (rule.holder_kinds and kind not in rule.holder_kinds):
                continue
            is_theirs = rule.site == site if rule.site else (not rule.group or rule.group == group)
            if is_theirs and type_key in rule.deny:
                return rule
            if type_key in rule.allow:
                closed, is_allowed = closed or rule, is_allowed or is_theirs
        return None if is_allowed else closed

    def _resolve(self, type_key: str, now: float, sites: Iterable[str]) -> PoolRules | None:
        rules = [rule for rule in self._rules_by_type[type_key] if rule.holds(now)]
        if not any(type_key in rule.divided for rule in rules):
            return None
        places = tuple(sites)

        def by_site(kind: str) -> dict[str, int]:
            """Return a number for each site: from its own rule, else its group's, else the rule for every site."""
            found: dict[str, int] = {}
            for scope in ("every", "group", "site"):
                for rule in rules:
                    amount: int | None = getattr(rule, kind).get(type_key)
                    if amount is None or _scope_kind(rule) != scope:
                        continue
                    members = self.members.get(rule.group, ())
                    named = {"every": places, "group": members, "site": (rule.site,)}[scope]
                    found.update(dict.fromkeys(named, amount))
            return found

        def of(kind: str, scope: str) -> dict[str, int]:
            chosen = [rule for rule in rules if _scope_kind(rule) == scope and type_key in getattr(rule, kind)]
            return {rule.site or rule.group: getattr(rule, kind)[type_key] for rule in chosen}

        every_reserve = of("reserve", "every").get("", 0)
        reserves = dict.fromkeys(places, every_reserve) if every_reserve else {}
        return PoolRules(
            group_of=self.group_of,
            members=self.members,
            site_reserves=reserves | of("reserve", "site"),
            group_reserves=of("reserve", "group"),
            site_maxima=of("maximum", "site"),
            group_maxima=of("maximum", "group"),
            every_maximum=of("maximum", "every").get(""),
            weights=by_site("weight"),
            priorities=by_site("priority"),
            named={
                (kind, rule.scope): rule.name
                for rule in rules
                for kind in ("reserve", "maximum")
                if type_key in getattr(rule, kind)
            },
        )


NO_RULES: Final = PoolRules()
"""The rules of a pool that is not divided: first come, first served."""
NO_ALLOCATION: Final = Allocation()
"""An allocation without any rule or policy: first come, first served."""


def _scope_kind(rule: AllocationRule) -> str:
    if rule.site:
        return "site"
    return "group" if rule.group else "every"
