"""What stands in the way of a move, judged on an estate alone."""

from __future__ import annotations

import pytest

from master.domain.estate.tiers import missing_below_tier
from master.domain.licenses.move_problems import MoveProblem, MoveRefusal, cooling_off
from master.domain.licenses.moves import (
    bind_refused,
    in_binding_order,
    left_without,
    rebind_refused,
    use_refused,
)
from master.values import replace
from tests.domain.estate.test_estate import BERLIN, CLOUD, HQ, estate, licensed


def problem(refused: MoveRefusal | None) -> MoveProblem | None:
    if refused is None:
        return None
    assert refused.message
    assert refused.remedy
    assert refused.rules
    return refused.problem


@pytest.mark.parametrize(
    ("installed", "printed", "missing"),
    [
        ([("PBX-Port12", 499)], "PBX-Port 12%500", 1),
        ([("PBX-Port12", 500)], "PBX-Port 12%500", 0),
        ([("PBX-Port12", 300), ("PBX-Port10", 200)], "PBX-Port 12%500", 0),
        ([("PBX-Port12", 500), ("PBX-Port 12%500", 499)], "PBX-Port 12%1000", 1),
        ([("PBX-Port12", 500), ("PBX-Port 12%500", 500)], "PBX-Port 12%1000", 0),
        ([("PBX-Port12", 500), ("PBX-Port 12%1000", 500)], "PBX-Port 12%1000", 500),
        ([], "PBX-Voicemail12%1", 1),
        ([("PBX-Voicemail12", 1)], "PBX-Voicemail12%1", 0),
        ([("PBX-Standby12", 1000)], "PBX-Port 12%500", 500),
        ([], "PBX-Port12", 0),
    ],
)
def test_a_tier_waits_for_those_below_it(installed: list[tuple[str, int]], printed: str, missing: int) -> None:
    license = licensed(printed, 10, None)
    known = estate(license, *(licensed(name, quantity, HQ) for name, quantity in installed))
    assert missing_below_tier(known, license, HQ) == missing
    refused = bind_refused(known, license, HQ)
    assert problem(refused) is (MoveProblem.TIER_TOO_EARLY if missing else None)
    assert refused is None or refused.missing == missing
    assert problem(bind_refused(known, license, BERLIN)) is problem(refused), "the project counts where it has more"


@pytest.mark.parametrize(
    ("on_target", "elsewhere", "missing"), [(0, 499, 1), (0, 500, 0), (499, 0, 1), (400, 100, 0), (300, 100, 100)]
)
def test_a_tier_counts_the_device_or_the_project_whichever_is_more(
    on_target: int, elsewhere: int, missing: int
) -> None:
    license = licensed("PBX-Port 12%500", 10, None)
    there = [licensed("PBX-Port12", count, at) for count, at in ((on_target, BERLIN), (elsewhere, HQ)) if count]
    known = estate(license, *there, licensed("PBX-Port11", 500, None))  # what is free is not installed
    assert missing_below_tier(known, license, BERLIN) == missing


def test_what_an_older_release_bound_elsewhere_goes_onto_a_virtual_machine() -> None:
    astray = licensed("PBX-IPVA12", 5, HQ)
    assert rebind_refused(estate(astray), astray, CLOUD) is None


def test_in_binding_order_every_tier_finds_those_below_it() -> None:
    bought = [licensed("PBX-Port 12%1000", 5, None), licensed("PBX-Port 12%500", 500, None)]
    known = estate(*bought, base := licensed("PBX-Port12", 500, None))
    for license in in_binding_order([*bought, base]):
        assert bind_refused(known, license, HQ) is None
        known = known.with_licenses([replace(license, device=HQ)])
    assert known.installations[HQ.id].capacity == {"port": 1005}


def test_of_a_free_license_nothing_is_left_to_use() -> None:
    free = licensed("PBX-Port12", 9, None)
    assert left_without(estate(free), free, set()) == 0


def test_what_is_in_use_is_refused_where_too_few_are_left() -> None:
    ten = licensed("PBX-Port12", 10, HQ)
    assert use_refused(ten, used=5, left=5) is None
    assert problem(use_refused(ten, used=6, left=5)) is MoveProblem.IN_USE


def test_a_cooling_off_time_is_told_as_a_date() -> None:
    refused = cooling_off(licensed("PBX-Port12", 10, None), until=1_700_000_000)
    assert "2023-11-14 22:13:20 UTC" in refused.message
