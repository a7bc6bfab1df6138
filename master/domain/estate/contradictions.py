"""Faults of an allocation: unknown names, numbers out of range, and rules that contradict each other.

It is refused when it is written, not later: whatever could never be kept, and whatever says two things at one moment.
Of a contradiction both rules are named. That seats in use keep a reserve from being free for a while is no
contradiction: the reserve is filled as they come back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Final

from licensemaster.values.similar import Known
from licensemaster.values.toml_lines import FieldPath
from master.domain.allocation.policies import Allocation, AllocationRule, TypePolicy
from master.domain.catalog.catalog import Catalog, UnknownLicenseNameError
from master.domain.catalog.words import DrawnFrom, Metering
from master.domain.estate.contradicting_pairs import AMOUNTS, contradicting_pairs
from master.domain.estate.estate import Estate
from master.domain.estate.project import NAME_RULE, Violation, ViolationsError, is_name
from master.domain.estate.unkeepable_reserves import unkeepable_reserves
from master.values import Value

_LIMITS: Final = {
    "queue.length_max": (1, 10_000),
    "queue.express_seats_max": (0, 10_000),
    "queue.patience_seconds": (1, 86_400),
    "overdraft.seats": (1, 100_000),
    "overdraft.budget_seat_hours": (1, 1_000_000),
    "overdraft.refill_seat_hours_per_day": (0, 1_000_000),
    "first_claim_seconds": (0, 86_400),
    "block_seats_max": (0, 1000),
    "loan_days_max": (0, 366),
}


class AllocationInvalidError(ViolationsError):
    """An allocation that cannot be kept."""


class Grounds(Value, kw_only=True):
    """The project's data that an allocation is judged by."""

    catalog: Catalog
    sites: Set[str]
    """All sites of the project."""
    capacities: Mapping[str, int]
    """Licenses in the shared pool, by license type."""
    now: float
    standing: Sequence[AllocationRule] = ()
    """Rules that were laid down before; some may have ended since."""

    @classmethod
    def of(cls, estate: Estate, sites: Set[str], now: float) -> Grounds:
        """Return the grounds that a project gives; `now` is UNIX seconds."""
        shared = estate.installations[estate.master.device.id]
        return cls(
            catalog=estate.catalog, sites=sites, capacities=shared.capacity, now=now, standing=estate.allocation.rules
        )


def contradictions(allocation: Allocation, grounds: Grounds) -> list[Violation]:
    """List everything that is wrong with an allocation; empty where it can be kept."""
    sites = Known("site of this project", grounds.sites)
    groups = Known("group of [[groups]]", (group.name for group in allocation.groups))
    wrong = [*_group_violations(allocation, sites)]
    names: dict[str, int] = {}
    for index, rule in enumerate(allocation.rules):
        at: FieldPath = ("rules", index)
        wrong += _rule_violations(rule, at, grounds, sites, groups)
        if rule.name in names:
            wrong.append(Violation((*at, "name"), f"{rule.name!r} is there twice, as rules[{names[rule.name]}] too"))
        names.setdefault(rule.name, index)
    wrong += _type_violations(allocation, grounds)
    return wrong or _contradicting(allocation, grounds)


def _contradicting(allocation: Allocation, grounds: Grounds) -> list[Violation]:
    """List the rules that contradict each other, where every rule is right by itself; one violation for each number."""
    pairs = [*contradicting_pairs(allocation)]
    kinds = {key: license_type.holders for key, license_type in grounds.catalog.types.items()}
    unkeepable = unkeepable_reserves(
        allocation, sites=grounds.sites, capacities=grounds.capacities, kinds=kinds, now=grounds.now
    )
    named = {violation.path for violation in pairs}
    return [*pairs, *(violation for violation in unkeepable if violation.path not in named)]


def _group_violations(allocation: Allocation, sites: Known) -> Iterator[Violation]:
    groups: dict[str, int] = {}
    group_of: dict[str, tuple[int, str]] = {}
    for index, group in enumerate(allocation.groups):
        at: FieldPath = ("groups", index)
        if not is_name(group.name):
            yield Violation((*at, "name"), f"{group.name!r} {NAME_RULE}")
        elif group.name in groups:
            yield Violation((*at, "name"), f"{group.name!r} is there twice, as groups[{groups[group.name]}] too")
        groups.setdefault(group.name, index)
        if not group.sites:
            yield Violation((*at, "sites"), f"group {group.name!r} has no site; name at least one")
        for place, site in enumerate(group.sites):
            here = (*at, "sites", place)
            if site not in sites:
                yield Violation(here, sites.lacks(site))
            elif site in group_of:
                other, name = group_of[site]
                yield Violation(here, f"{site!r} is in group {name!r} already, groups[{other}]; one group for a site")
            group_of.setdefault(site, (index, group.name))


def _rule_violations(
    rule: AllocationRule, at: FieldPath, grounds: Grounds, sites: Known, groups: Known
) -> Iterator[Violation]:
    if not is_name(rule.name):
        yield Violation((*at, "name"), f"{rule.name!r} {NAME_RULE}")
    if rule.site and rule.group:
        yield Violation((*at, "group"), f"a rule is about a site or a group; {rule.name!r} names both")
    if rule.site and rule.site not in sites:
        yield Violation((*at, "site"), sites.lacks(rule.site))
    if rule.group and rule.group not in groups:
        yield Violation((*at, "group"), groups.lacks(rule.group))
    if rule.serves_emergencies and not (rule.site or rule.group):
        yield Violation((*at, "serves_emergencies"), "tells sites from others; name the site or group that serves them")
    if not (rule.types or rule.serves_emergencies):
        says = "reserve, maximum, weight, priority, allow, deny or serves_emergencies"
        yield Violation(at, f"{rule.name!r} says nothing: give it a {says}")
    for kind, (least, most) in AMOUNTS.items():
        for key, amount in getattr(rule, kind).items():
            here = (*at, kind, key)
            yield from _type_violation(key, here, grounds)
            if not least <= amount <= most:
                yield Violation(here, f"{amount} must be between {least:,} and {most:,}")
    for kind in ("allow", "deny"):
        for place, key in enumerate(getattr(rule, kind)):
            yield from _type_violation(key, (*at, kind, place), grounds)
    for key in {*rule.allow} & {*rule.deny}:
        yield Violation((*at, "allow"), f"{rule.name!r} both allows and denies {key}")
    if rule.holder_kinds and not (rule.allow or rule.deny):
        yield Violation((*at, "holder_kinds"), "holder kinds tell of whom allow or deny speaks; there is neither")
    if rule.starts_at is not None and rule.ends_at is not None and rule.ends_at <= rule.starts_at:
        yield Violation((*at, "end_time"), "must be later than start_time")
    elif rule.ends_at is not None and rule.ends_at <= grounds.now and rule not in grounds.standing:
        yield Violation((*at, "end_time"), "is over; take the rule out, or let it end later")


def _type_violation(key: str, at: FieldPath, grounds: Grounds) -> Iterator[Violation]:
    license_type = grounds.catalog.types.get(key)
    if license_type is None:
        yield Violation(at, why_unknown(key, grounds.catalog))
    elif license_type.metering in (Metering.FREE, Metering.SWITCH):
        yield Violation(at, f"{license_type.display_name} is not lent by the seat; there is nothing to share")
    elif license_type.drawn_from is DrawnFrom.OWN_DEVICE:
        yield Violation(
            at, f"{license_type.display_name} is drawn on by its own device alone; there is nothing to share"
        )


def why_unknown(name: str, catalog: Catalog) -> str:
    """Return why a name names no license type: one that can be read as a type is refused only beside the type's own
    key."""
    if (same := catalog.type_named(name)) is not None:
        return f"{name!r} is {same.key}, which is there too; give one number for it"
    try:
        of_version = catalog.read_name(name).type
    except UnknownLicenseNameError:
        return f"{name!r} is no license type; use one of {', '.join(sorted(catalog.types))}"
    return (
        f"{name!r} names a version or price tier, and this is about all licenses of the type; write {of_version.key!r}"
    )


def _type_violations(allocation: Allocation, grounds: Grounds) -> Iterator[Violation]:
    seen: dict[str, int] = {}
    for index, policy in enumerate(allocation.types):
        at: FieldPath = ("types", index)
        yield from _type_violation(policy.license_type, (*at, "license_type"), grounds)
        if policy.license_type in seen:
            reason = f"{policy.license_type!r} is there twice, as types[{seen[policy.license_type]}] too"
            yield Violation((*at, "license_type"), reason)
        seen.setdefault(policy.license_type, index)
        for name, value in _numbers(policy):
            least, most = _LIMITS[name]
            if not least <= value <= most:
                yield Violation((*at, *name.split(".")), f"{value} must be between {least:,} and {most:,}")


def _numbers(policy: TypePolicy) -> Iterator[tuple[str, int]]:
    for name in _LIMITS:
        part, _, of_part = name.partition(".")
        value = getattr(policy, part)
        if of_part and value is not None:
            value = getattr(value, of_part)
        if value is not None:
            yield name, value
