"""How an operator divided the shared pools and lets them be lent, for the model of the random histories."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

GROUP = ("berlin", "paris")
"""The PBXs whose sites are a group."""
KINDS = ("port", "uc")
"""What rules are about."""


@dataclass(frozen=True)
class ModelQueue:
    """How PBXs may wait."""

    length_max: int
    express_seats_max: int
    patience_seconds: int


@dataclass(frozen=True)
class ModelPolicy:
    """How a license type is lent when it is short."""

    queue: ModelQueue | None = None
    first_claim_seconds: int = 0
    overdraft_seats: int = 0
    block_seats_max: int = 0
    loan_days_max: int = 0


NO_POLICY = ModelPolicy()


@dataclass
class ModelRules:
    """Rules of one allocation; each holds until the moment `ends_at`. Its policies have no end."""

    reserves: dict[tuple[str, str], int] = field(default_factory=dict)
    """By license type and PBX; each PBX is the only one of its site."""
    maxima: dict[tuple[str, str], int] = field(default_factory=dict)
    group_reserves: dict[str, int] = field(default_factory=dict)
    group_maxima: dict[str, int] = field(default_factory=dict)
    denied: set[tuple[str, str]] = field(default_factory=set)
    weights: dict[tuple[str, str], int] = field(default_factory=dict)
    """By license type and PBX, or "" for the group; so are priorities."""
    priorities: dict[tuple[str, str], int] = field(default_factory=dict)
    emergencies: set[str] = field(default_factory=set)
    """PBXs whose sites serve emergencies."""
    policies: dict[str, ModelPolicy] = field(default_factory=dict)
    ends_at: float = float("inf")

    def at(self, now: float) -> ModelRules:
        """What holds at a moment."""
        return self if now < self.ends_at else ModelRules(policies=self.policies)

    def own_and_others(self, pbx: str, kind: str, counted: Mapping[str, int]) -> tuple[int, int]:
        """Seats to be kept free for a PBX's site, and for others; `counted` are the seats of each PBX."""

        def unmet(name: str) -> int:
            return max(self.reserves.get((kind, name), 0) - counted[name], 0)

        in_group = max(
            self.group_reserves.get(kind, 0) - sum(counted[name] for name in GROUP), sum(unmet(name) for name in GROUP)
        )
        others = sum(unmet(name) for name in counted if name not in (*GROUP, pbx))
        if pbx not in GROUP:
            return unmet(pbx), others + in_group
        beside = sum(unmet(name) for name in GROUP if name != pbx)
        return in_group - beside, others + beside

    def left_for(self, pbx: str, kind: str, free: int, counted: Mapping[str, int]) -> int:
        """How many of the free seats of a type a PBX may get, whoever waits."""
        own, others = self.own_and_others(pbx, kind, counted)
        left = max(free - others, min(own, free))
        left = min(left, self.maxima.get((kind, pbx), left + counted[pbx]) - counted[pbx])
        if pbx in GROUP:
            of_group = sum(counted[name] for name in GROUP)
            left = min(left, self.group_maxima.get(kind, left + of_group) - of_group)
        return max(left, 0)

    def weight(self, pbx: str, kind: str) -> int:
        """A site's own goes before its group's."""
        return self.weights.get((kind, pbx), self.weights.get((kind, ""), 1) if pbx in GROUP else 1)

    def priority(self, pbx: str, kind: str) -> int:
        """A site's own goes before its group's."""
        return self.priorities.get((kind, pbx), self.priorities.get((kind, ""), 0) if pbx in GROUP else 0)
