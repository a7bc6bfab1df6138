"""Single changes of an allocation: a number that a rule gives, and rules taken back."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from licensemaster.v1 import allocation_pb2
from licensemaster.values.similar import closest
from master.cli.output.failure import CommandFailed

GROUP = "group:"
Amount = Literal["reserve", "maximum", "weight", "priority"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
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
        """A rule that says nothing yet."""
        rule = allocation_pb2.AllocationRule(name=name, site=self.site, group=self.group)
        if self.start is not None:
            rule.start_time.FromDatetime(self.start)
        if self.end is not None:
            rule.end_time.FromDatetime(self.end)
        return rule


def give(allocation: allocation_pb2.Allocation, scope: Scope, amount: Amount, license_type: str, number: int) -> str:
    """Have the rule of a scope give a number, in place of the one that it gives now; the name of the rule.

    A rule is added where none is about just that scope.
    """
    like = scope.rule("")
    same = [rule for rule in allocation.rules if _scope_of(rule) == _scope_of(like)]
    rule = next((rule for rule in same if license_type in getattr(rule, amount)), same[0] if same else None)
    if rule is None:
        rule = allocation.rules.add()
        rule.CopyFrom(scope.rule(_free_name(allocation, scope.site or scope.group)))
    getattr(rule, amount)[license_type] = number
    return rule.name


def take_back(allocation: allocation_pb2.Allocation, name: str) -> None:
    """Take a rule out.

    Raises:
        CommandFailed: there is no such rule.
    """
    names = [rule.name for rule in allocation.rules]
    if name not in names:
        raise CommandFailed(
            f"there is no rule {name!r}{closest(name, names)}", remedy="`license-master allocation show` lists them"
        )
    del allocation.rules[names.index(name)]


def _scope_of(rule: allocation_pb2.AllocationRule) -> tuple[object, ...]:
    times = (rule.start_time.ToNanoseconds(), rule.end_time.ToNanoseconds())
    return rule.site, rule.group, rule.HasField("start_time"), rule.HasField("end_time"), *times


def _free_name(allocation: allocation_pb2.Allocation, wanted: str) -> str:
    taken = {rule.name for rule in allocation.rules}
    names = (wanted if number == 1 else f"{wanted[:58]}-{number}" for number in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)
