"""Single changes of an allocation: what a rule or a type's policy says, and rules taken back."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from licensemaster.v1 import allocation_pb2
from licensemaster.values.similar import closest
from master.cli.output.failure import CommandFailed
from master.values import Value

GROUP = "group:"
_SHOWN = "`license-master allocation show` lists the rules"
Amount = Literal["reserve", "maximum", "weight", "priority"]
Limit = Literal["loan_days_max", "first_claim_seconds", "block_seats_max"]
Part = Literal["queue", "overdraft"]
_SEATS: Mapping[Part, str] = {"queue": "length_max", "overdraft": "seats"}
"""The field that says how many seats a part is for; with 0 seats the part is taken out of the policy."""
_SCOPE = frozenset({"name", "site", "group", "start_time", "end_time"})
"""Fields that say whom a rule is about, and when; a rule with no other field says nothing."""


class Scope(Value, kw_only=True):
    """Whom a rule is about, and when it holds."""

    whom: str
    """A site, or a group with `group:` in front."""
    start: datetime | None = None
    end: datetime | None = None

    @property
    def site(self) -> str:
        """The site; empty for a group."""
        return "" if self.whom.startswith(GROUP) else self.whom

    @property
    def group(self) -> str:
        """The group; empty for a site."""
        return self.whom.removeprefix(GROUP) if self.whom.startswith(GROUP) else ""

    def rule(self, name: str) -> allocation_pb2.AllocationRule:
        """Return a new rule of this scope that gives nothing yet."""
        rule = allocation_pb2.AllocationRule(name=name, site=self.site, group=self.group)
        if self.start is not None:
            rule.start_time.FromDatetime(self.start)
        if self.end is not None:
            rule.end_time.FromDatetime(self.end)
        return rule


def give(allocation: allocation_pb2.Allocation, scope: Scope, amount: Amount, license_type: str, number: int) -> str:
    """Set the number that the rule of a scope gives for a license type, and return the name of the rule.

    A rule is added if none has exactly that scope.
    """
    same = _rules_of(allocation, scope)
    rule = next((rule for rule in same if license_type in getattr(rule, amount)), None) or _rule_of(allocation, scope)
    getattr(rule, amount)[license_type] = number
    return rule.name


def serve_emergencies(allocation: allocation_pb2.Allocation, scope: Scope, *, serves: bool) -> None:
    """Set whether a scope serves emergencies. If not, rules of the scope that say nothing else are removed.
    Raises CommandFailed if it is not to serve them any more, and no rule says that it does."""
    if serves:
        _rule_of(allocation, scope).serves_emergencies = True
        return
    serving = [rule for rule in _rules_of(allocation, scope) if rule.serves_emergencies]
    if not serving:
        raise CommandFailed(f"no rule says that {scope.whom!r} serves emergencies", remedy=_SHOWN)
    for rule in serving:
        rule.serves_emergencies = False
        if all(field.name in _SCOPE for field, _ in rule.ListFields()):
            allocation.rules.remove(rule)


def set_part(allocation: allocation_pb2.Allocation, license_type: str, part: Part, **numbers: int | None) -> None:
    """Set numbers of a part of a license type's policy; a number that is None stays as it was. The part is removed
    if it is for no seats."""
    policy = _policy_of(allocation, license_type)
    for name, number in numbers.items():
        if number is not None:
            setattr(getattr(policy, part), name, number)
    if not getattr(getattr(policy, part), _SEATS[part]):
        policy.ClearField(part)
    _drop_if_empty(allocation, policy)


def set_limit(allocation: allocation_pb2.Allocation, license_type: str, limit: Limit, number: int) -> None:
    """Set a limit in the policy of a license type; 0 is no limit set."""
    policy = _policy_of(allocation, license_type)
    setattr(policy, limit, number)
    _drop_if_empty(allocation, policy)


def take_back(allocation: allocation_pb2.Allocation, name: str) -> None:
    """Remove a rule. Raises CommandFailed if no rule has that name."""
    names = [rule.name for rule in allocation.rules]
    if name not in names:
        raise CommandFailed(f"there is no rule {name!r}{closest(name, names)}", remedy=_SHOWN)
    del allocation.rules[names.index(name)]


def _rules_of(allocation: allocation_pb2.Allocation, scope: Scope) -> list[allocation_pb2.AllocationRule]:
    """Return the rules that have exactly a scope."""
    like = _scope_of(scope.rule(""))
    return [rule for rule in allocation.rules if _scope_of(rule) == like]


def _rule_of(allocation: allocation_pb2.Allocation, scope: Scope) -> allocation_pb2.AllocationRule:
    """Return the first rule that has exactly a scope; add a rule if none has."""
    for rule in _rules_of(allocation, scope):
        return rule
    rule = allocation.rules.add()
    rule.CopyFrom(scope.rule(_free_name(allocation, scope.site or scope.group)))
    return rule


def _policy_of(allocation: allocation_pb2.Allocation, license_type: str) -> allocation_pb2.TypePolicy:
    """Return the policy of a license type; add an empty policy if the type has none."""
    for policy in allocation.types:
        if policy.license_type == license_type:
            return policy
    return allocation.types.add(license_type=license_type)


def _drop_if_empty(allocation: allocation_pb2.Allocation, policy: allocation_pb2.TypePolicy) -> None:
    if [field.name for field, _ in policy.ListFields()] == ["license_type"]:
        allocation.types.remove(policy)


def _scope_of(rule: allocation_pb2.AllocationRule) -> tuple[object, ...]:
    times = (rule.start_time.ToNanoseconds(), rule.end_time.ToNanoseconds())
    return rule.site, rule.group, rule.HasField("start_time"), rule.HasField("end_time"), *times


def _free_name(allocation: allocation_pb2.Allocation, wanted: str) -> str:
    taken = {rule.name for rule in allocation.rules}
    names = (wanted if number == 1 else f"{wanted[:58]}-{number}" for number in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)
