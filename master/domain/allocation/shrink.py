"""Who gives seats up first when a pool becomes smaller than the seats out.

That happens where licenses are released with their seats taken away, where an agreement ends, and where the budget of
an overdraft is spent. The order, which `docs/overdraft.md` explains to operators:

1. What lies idle goes before what is used: first claims at once, blocks with the next renewal of whoever has them,
promises to standbys once these have heard. A loan was promised until its day and stays. 2. Of what is used, seats of
sites with a low priority go before those of sites with a high one. 3. Of these, seats of PBXs that can be notified now
go before those of PBXs that cannot. 4. Of these, the newest go first. 5. Sites that serve emergencies come after all
others.

Pure: what lies idle is known by its claims (`domain/leases/claims.py`), which seats are the newest by the database.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import NamedTuple

from master.domain.allocation.policies import NO_RULES, PRIORITY_USUAL, Allocation


class Standing(NamedTuple):
    """How early a PBX gives seats up: the standing that sorts first gives up first."""

    serves_emergencies: bool
    priority: int
    is_silent: bool

    @property
    def kept_first(self) -> tuple[bool, int, bool]:
        """A sort key in the reverse order: the standing that keeps its seats longest comes first."""
        return not self.serves_emergencies, -self.priority, not self.is_silent


class Standings:
    """The standing of the PBXs of a project at a moment."""

    def __init__(
        self, allocation: Allocation, site_of: Mapping[int, str], *, reachable: Collection[int], now: float
    ) -> None:
        """Keep what standings depend on: `site_of` by PBX id; `reachable` are PBXs that can be notified now."""
        self._allocation = allocation
        self._site_of = site_of
        self._sites = frozenset(site_of.values())
        self._reachable = reachable
        self._now = now
        self._serving = allocation.emergency_sites(now)
        self._known: dict[tuple[int, str], Standing] = {}

    def of(self, pbx_id: int, type_key: str) -> Standing:
        """Return the standing of a PBX for seats of a license type."""
        if (known := self._known.get((pbx_id, type_key))) is not None:
            return known
        site = self._site_of[pbx_id]
        rules = self._allocation.rules_at(type_key, self._now, self._sites) or NO_RULES
        priority = rules.priorities.get(site, PRIORITY_USUAL)
        standing = Standing(site in self._serving, priority, pbx_id not in self._reachable)
        self._known[pbx_id, type_key] = standing
        return standing

    def in_order(self, type_key: str) -> list[tuple[int, ...]]:
        """Return the ids of all PBXs in tuples; those of a tuple give up their newest seats before the next tuple."""
        alike: defaultdict[Standing, list[int]] = defaultdict(list)
        for pbx_id in sorted(self._site_of):
            alike[self.of(pbx_id, type_key)].append(pbx_id)
        return [tuple(pbx_ids) for _, pbx_ids in sorted(alike.items())]
