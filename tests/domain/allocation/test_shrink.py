"""Who gives seats up first: the whole order, for any project."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from master.domain.allocation.policies import Allocation, AllocationRule, SiteGroup
from master.domain.allocation.shrink import Standings

SITES = ("berlin", "rome", "oslo", "police", "clinic")
SITE_OF = {number: SITES[number % len(SITES)] for number in range(1, 16)}
RULES = (
    AllocationRule(name="vital", group="rescue", serves_emergencies=True),
    AllocationRule(name="rome", site="rome", priority={"port": -5}),
    AllocationRule(name="oslo", site="oslo", priority={"port": 7, "uc": -7}),
    AllocationRule(name="clinic", site="clinic", priority={"port": -50}),
)
ALLOCATION = Allocation((SiteGroup(name="rescue", sites=("police", "clinic")),), RULES)
reachables = st.frozensets(st.sampled_from(sorted(SITE_OF)))


@given(reachables, st.sampled_from(["port", "uc"]))
def test_the_order(reachable: frozenset[int], type_key: str) -> None:
    standings = Standings(ALLOCATION, SITE_OF, reachable=reachable, now=1e9)
    order = standings.in_order(type_key)
    assert sorted(pbx_id for alike in order for pbx_id in alike) == sorted(SITE_OF), "everybody, once"
    priorities = dict.fromkeys(SITES, 0) | {"rome": -5, "oslo": 7, "clinic": -50}
    if type_key == "uc":
        priorities = dict.fromkeys(SITES, 0) | {"oslo": -7}
    for earlier, later in pairwise(order):
        for first in earlier:
            for second in later:
                a, b = SITE_OF[first], SITE_OF[second]
                vital = a in ("police", "clinic"), b in ("police", "clinic")
                assert vital != (True, False)
                if vital[0] == vital[1]:
                    assert priorities[a] <= priorities[b]
                    if priorities[a] == priorities[b]:
                        assert first in reachable
                        assert second not in reachable
    kept = sorted(SITE_OF, key=lambda pbx_id: standings.of(pbx_id, type_key).kept_first)
    assert [standings.of(pbx_id, type_key) for pbx_id in reversed(kept)] == sorted(
        standings.of(pbx_id, type_key) for pbx_id in SITE_OF
    ), "who asks first in a plan gives up last"


def test_a_rule_serves_for_its_time() -> None:
    rule = AllocationRule(name="flood", site="rome", serves_emergencies=True, starts_at=100.0, ends_at=200.0)
    assert [Allocation(rules=(rule,)).emergency_sites(at) for at in (99.0, 100.0, 200.0)] == [
        frozenset(),
        {"rome"},
        frozenset(),
    ]
