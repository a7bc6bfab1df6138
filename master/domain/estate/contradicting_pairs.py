"""Pairs of rules of an allocation that contradict each other: said twice, allowed and denied, or reserved above a
maximum.

Only rules that hold at one moment do. However many rules a call has, at most `JUDGED_MAX` pairs of them are judged: a
call with more is refused.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from master.domain.allocation.policies import Allocation, AllocationRule
from master.domain.estate.project import Violation

AMOUNTS: Final = {"reserve": (1, 1_000_000), "maximum": (0, 1_000_000), "weight": (1, 1000), "priority": (-100, 100)}
"""The numbers that a rule can give, each with the least and the most."""
JUDGED_MAX: Final = 1_000_000
"""The most rules, or pairs of rules, that are judged to find contradictions: about a second of CPU."""

Numbered = tuple[int, AllocationRule]
"""A rule, and its place in the allocation."""


class _Saying(NamedTuple):
    """A kind of statement that rules make about a license type, for a scope."""

    scope: str
    kind: str
    key: str


_Sayings = Mapping[_Saying, Sequence[Numbered]]


def contradicting_pairs(allocation: Allocation) -> Iterator[Violation]:
    """Yield every contradiction between two rules; of numbers said twice, and of what is allowed and denied, one a
    scope."""
    sayings: defaultdict[_Saying, list[Numbered]] = defaultdict(list)
    for index, rule in enumerate(allocation.rules):
        for kind in (*AMOUNTS, "allow", "deny"):
            for key in getattr(rule, kind):
                sayings[_Saying(rule.scope, kind, key)].append((index, rule))
    twice = {saying.scope: violation for saying, violation in _said_twice(sayings)}
    yield from twice.values()
    if twice:
        return
    judged, opposed_scopes = 0, set[str]()
    for saying, rules in sayings.items():
        opposing = _opposing(allocation, saying, rules[0][1], sayings)
        judged += len(rules) * len(opposing)
        if judged > JUDGED_MAX:
            yield too_many_to_judge(
                f"more than {JUDGED_MAX:,} pairs of them allow and deny, or reserve and limit, the same"
            )
            return
        for numbered in rules:
            for other in opposing:
                if saying.kind == "reserve":
                    yield from _reserve_against(saying.key, numbered, other)
                elif saying.scope not in opposed_scopes:
                    for violation in _allowed_and_denied(saying, numbered, other):
                        opposed_scopes.add(saying.scope)
                        yield violation


def too_many_to_judge(why: str) -> Violation:
    """Return the refusal of an allocation that would take too long to judge."""
    return Violation(("rules",), f"{why}; let rules begin and end together, or lay down fewer")


def _said_twice(sayings: _Sayings) -> Iterator[tuple[_Saying, Violation]]:
    """Yield a violation for each two rules that give one scope a number of one kind at one moment."""
    for saying, rules in sayings.items():
        if saying.kind not in AMOUNTS:
            continue
        ordered = sorted(rules, key=lambda numbered: numbered[1].begins)
        for pair in pairwise(ordered):
            (first, other), (index, rule) = sorted(pair, key=lambda numbered: numbered[0])
            if rule.meets(other):
                reason = (
                    f"{rule.name!r} and {other.name!r} (rules[{first}]) both give {saying.scope} a {saying.kind} of"
                )
                path = ("rules", index, saying.kind, saying.key)
                yield saying, Violation(path, f"{reason} {saying.key}; keep one of them")
                break


def _opposing(allocation: Allocation, saying: _Saying, rule: AllocationRule, sayings: _Sayings) -> Sequence[Numbered]:
    """Return the rules that may prevent what the rules of `saying` lay down; `rule` is one of those."""
    if saying.kind == "allow":
        return sayings.get(saying._replace(kind="deny"), ())
    if saying.kind != "reserve":
        return ()
    scopes = [saying.scope]
    if rule.site and (group := allocation.group_of.get(rule.site)):
        scopes.append(f"group {group}")
    # No maximum of the site's own goes before that of every site; a group has as much as its sites together.
    if rule.site and saying._replace(kind="maximum") not in sayings:
        scopes.append("every site")
    return [numbered for scope in scopes for numbered in sayings.get(_Saying(scope, "maximum", saying.key), ())]


def _allowed_and_denied(saying: _Saying, allowing: Numbered, denying: Numbered) -> Iterator[Violation]:
    """Yield a violation where a rule allows what another denies to the same scope at one moment: it allows nothing."""
    (index, rule), (number, other) = allowing, denying
    covers = not other.holder_kinds or (rule.holder_kinds and {*rule.holder_kinds} <= {*other.holder_kinds})
    if covers and rule.meets(other):
        yield Violation(
            ("rules", index, "allow", rule.allow.index(saying.key)),
            f"{rule.name!r} allows {saying.key} to {saying.scope}, and {other.name!r} (rules[{number}]) denies it;"
            " keep one of them",
        )


def _reserve_against(key: str, reserving: Numbered, limiting: Numbered) -> Iterator[Violation]:
    """Yield a violation where a maximum is below a reserve, so that the reserve cannot be used."""
    (index, rule), (number, other) = reserving, limiting
    reserve, maximum = rule.reserve[key], other.maximum[key]
    if maximum < reserve and rule.meets(other):
        yield Violation(
            ("rules", index, "reserve", key),
            f"{rule.name!r} reserves {reserve:,} {key} for {rule.scope}, and {other.name!r} (rules[{number}]) lets"
            f" {other.scope} have {maximum:,} at most; lower the reserve or raise the maximum",
        )
