"""How an operator divided the shared pools, for the model of the random histories."""

from __future__ import annotations

from dataclasses import dataclass, field

GROUP = ("berlin", "paris")
"""The PBXs whose sites are a group."""
KINDS = ("port", "uc")
"""What rules are about."""


@dataclass
class ModelRules:
    """Rules of one allocation; each holds until the moment `ends_at`."""

    reserves: dict[tuple[str, str], int] = field(default_factory=dict)
    """By license type and PBX; each PBX is the only one of its site."""
    maxima: dict[tuple[str, str], int] = field(default_factory=dict)
    group_reserves: dict[str, int] = field(default_factory=dict)
    group_maxima: dict[str, int] = field(default_factory=dict)
    denied: set[tuple[str, str]] = field(default_factory=set)
    ends_at: float = float("inf")

    def left_for(self, pbx: str, kind: str, free: int, counted: dict[str, int]) -> int:
        """How many of the free seats of a type a PBX may get; `counted` are the seats of each PBX."""

        def unmet(name: str) -> int:
            return max(self.reserves.get((kind, name), 0) - counted[name], 0)

        of_group = sum(counted[name] for name in GROUP)
        in_group = max(self.group_reserves.get(kind, 0) - of_group, sum(map(unmet, GROUP)))
        others = sum(unmet(name) for name in counted if name not in (*GROUP, pbx))
        own = unmet(pbx)
        if pbx in GROUP:
            beside = sum(unmet(name) for name in GROUP if name != pbx)
            others, own = others + beside, in_group - beside
        else:
            others += in_group
        left = max(free - others, min(own, free))
        left = min(left, self.maxima.get((kind, pbx), left + counted[pbx]) - counted[pbx])
        if pbx in GROUP:
            left = min(left, self.group_maxima.get(kind, left + of_group) - of_group)
        return max(left, 0)
