"""What stands in the way of a move, judged on an estate alone."""

from __future__ import annotations

import pytest

from master.domain.catalog.versions import Version
from master.domain.estate.estate import Estate
from master.domain.estate.installations import License
from master.domain.estate.tiers import missing_below_tier
from master.domain.licenses.move_problems import MoveProblem, MoveRefusal, cooling_off
from master.domain.licenses.moves import (
    bind_refused,
    going_central_refused,
    in_binding_order,
    leaving_for_central,
    left_without,
    moved,
    rebind_refused,
    release_refused,
    staying_behind,
    target_device,
    use_refused,
)
from master.domain.seats.refusals.reasons import TopHolder
from tests.domain.estate.test_estate import BERLIN, CLOUD, HQ, estate, licensed


def problem(refused: MoveRefusal | None) -> MoveProblem | None:
    if refused is None:
        return None
    assert refused.message
    assert refused.remedy
    assert refused.rules
    return refused.problem


def test_a_device_is_found_by_its_name() -> None:
    known = estate()
    assert target_device(known, "vm") == CLOUD
    unknown, idle = target_device(known, "attic"), target_device(known, "spare", devices=["spare", "vm"])
    assert isinstance(unknown, MoveRefusal)
    assert unknown.problem is MoveProblem.UNKNOWN_DEVICE
    assert "berlin-box, hq-box, vm" in unknown.remedy
    assert isinstance(idle, MoveRefusal)
    assert idle.problem is MoveProblem.DEVICE_WITHOUT_PBX


@pytest.mark.parametrize(
    ("printed", "expected", "rule"),
    [
        ("PBX-Port12", None, ""),
        ("PBX-IPVA12", MoveProblem.NOT_RELEASABLE, "D4"),
        ("Relay PRIs", MoveProblem.NOT_RELEASABLE, "C2"),
    ],
)
def test_what_can_be_released(printed: str, expected: MoveProblem | None, rule: str) -> None:
    license = licensed(printed, 10, CLOUD)
    refused = release_refused(estate(license), license)
    assert problem(refused) == expected
    assert refused is None or rule in refused.rules
    assert problem(release_refused(estate(license), licensed(printed, 10, None))) is MoveProblem.NOT_BOUND


@pytest.mark.parametrize(
    ("software", "expected"),
    [(6, MoveProblem.FIRMWARE_TOO_OLD), (7, MoveProblem.FIRMWARE_TOO_OLD), (8, None), (12, None)],
)
def test_old_firmware_gives_nothing_back(software: int, expected: MoveProblem | None) -> None:
    license = licensed("PBX-Port12", 10, BERLIN)
    runs = {BERLIN.id: Version(software)}
    assert problem(release_refused(estate(license), license, software=runs)) is expected
    assert problem(rebind_refused(estate(license), license, HQ, software=runs)) is expected
    assert problem(going_central_refused(estate(license), estate().pbxs[HQ.id])) is MoveProblem.ALREADY_CENTRAL
    known = estate(license)
    assert problem(going_central_refused(known, known.pbxs[BERLIN.id], software=runs)) is expected


def test_where_a_license_is_decides_between_binding_and_rebinding() -> None:
    free, bound = licensed("PBX-Port12", 1, None), licensed("PBX-Port12", 2, BERLIN)
    known = estate(free, bound)
    assert bind_refused(known, free, HQ) is None
    assert problem(bind_refused(known, bound, HQ)) is MoveProblem.ALREADY_BOUND
    assert problem(bind_refused(known, bound, BERLIN)) is MoveProblem.ALREADY_THERE
    assert rebind_refused(known, bound, HQ) is None
    assert problem(rebind_refused(known, bound, BERLIN)) is MoveProblem.ALREADY_THERE
    assert problem(rebind_refused(known, free, HQ)) is MoveProblem.NOT_BOUND


def test_two_voicemail_models_do_not_meet() -> None:
    old, new = licensed("PBX-Voicemail12", 1, HQ), licensed("PBX-VoicemailUser12", 5, None)
    refused = bind_refused(estate(old, new), new, HQ)
    assert problem(refused) is MoveProblem.MODEL_EXCLUDED
    assert refused is not None
    assert [license.id for license in refused.licenses] == [old.id]
    assert bind_refused(estate(old, new), new, BERLIN) is None


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


def test_ipva_licenses_go_onto_virtual_machines_only() -> None:
    license = licensed("PBX-IPVA12", 5, None)
    assert bind_refused(estate(license), license, CLOUD) is None
    refused = bind_refused(estate(license), license, HQ)
    assert problem(refused) is MoveProblem.WRONG_PLATFORM
    assert refused is not None
    assert "a device of the platform ipva" in refused.remedy
    astray = licensed("PBX-IPVA12", 5, HQ)  # bound there by an older release
    assert rebind_refused(estate(astray), astray, CLOUD) is None


def test_in_binding_order_every_tier_finds_those_below_it() -> None:
    bought = [licensed("PBX-Port 12%1000", 5, None), licensed("PBX-Port 12%500", 500, None)]
    known = estate(*bought, base := licensed("PBX-Port12", 500, None))
    for license in in_binding_order([*bought, base]):
        assert bind_refused(known, license, HQ) is None
        known = moved(known, license, HQ)
    assert known.installations[HQ.id].capacity == {"port": 1005}


def test_what_leaves_a_local_pbx_and_what_stays() -> None:
    ports, ipva, relay = (
        licensed("PBX-Port12", 5, CLOUD),
        licensed("PBX-IPVA12", 5, CLOUD),
        licensed("Relay BRIs", 1, CLOUD),
    )
    known = estate(ports, ipva, relay)
    local = known.pbxs[CLOUD.id]
    assert going_central_refused(known, local) is None
    assert leaving_for_central(known, local) == (ports,)
    assert staying_behind(known, local) == (ipva, relay)
    after = moved(known, ports, HQ)
    assert not after.is_local(local)


def test_what_is_in_use_is_refused_with_its_holders() -> None:
    ten, five = licensed("PBX-Port12", 10, HQ), licensed("PBX-Port10", 5, HQ)
    known = estate(ten, five)
    assert left_without(known, ten, {ten.id}) == 5
    assert left_without(known, ten, {ten.id, five.id}) == 0
    assert left_without(known, licensed("PBX-Port12", 9, None), set()) == 0
    assert use_refused(ten, used=5, left=5) is None
    refused = use_refused(ten, used=8, left=5, holders=[TopHolder("projects/acme/pbxs/berlin", "site", 6)])
    assert problem(refused) is MoveProblem.IN_USE
    assert refused is not None
    assert refused.missing == 3
    assert "berlin (6)" in refused.message


def test_a_cooling_off_time_is_told_as_a_date() -> None:
    refused = cooling_off(licensed("PBX-Port12", 10, None), until=1_700_000_000)
    assert "2023-11-14 22:13:20 UTC" in refused.message


def test_unmoved_licenses_stay_as_they_are() -> None:
    moved_license: License = licensed("PBX-Port12", 10, HQ)
    other = licensed("PBX-Port10", 10, HQ)
    after: Estate = moved(estate(moved_license, other), moved_license, None)
    assert [license.device for license in after.licenses] == [None, HQ]
