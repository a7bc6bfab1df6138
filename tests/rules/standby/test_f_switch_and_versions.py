"""Rules F2 and F3: which licenses the switch needs, and which versions carry."""

import pytest

from licensemaster.v1 import standby_pb2
from tests.rpc.failures import failure
from tests.rules.asking import licenses
from tests.rules.standby.pairs import GRACE, TTL, paired
from tests.support.masters import InProcess
from tests.support.pbxs.pbx import granted, opened, seats
from tests.support.pbxs.standbys import LICENSES, PAIR, by_kind, checked, standing_by
from tests.support.projects.estates import project

# --- F2, F3: the switch and the versions ------------------------------------------------------------------------------


@pytest.mark.rule("F1", "F2")
async def test_with_fewer_standby_than_port_licenses_nothing_is_carried(master: InProcess) -> None:
    wire = master.wire
    _, spare = await paired(master)
    more = project({**LICENSES, "PBX-Port 12": 3}, pbxs=PAIR, ttl_seconds=TTL, grace_seconds=GRACE)
    await wire.apply(more)
    short = (await spare.refused())["LICENSES_SHORT"]
    assert (short.installed, short.needed, short.missing) == (10, 13, 3)
    assert list(short.rules) == ["F1", "F2"]
    wanted = "bind 3 more of V12 or newer to hq-box"
    assert short.message == f"PBX-Standby is off on hq-box: 10 installed for 13 PBX-Port; {wanted}"
    assert licenses(short.licenses) == [("PBX-Standby12", 10, "hq-box")]
    await spare.renew()
    assert [problem.kind for problem in spare.problems] == [standby_pb2.STANDBY_PROBLEM_KIND_LICENSES_SHORT]
    more.licenses.add(id="three-more", type="PBX-Standby12", quantity=3, device="hq-box")
    await wire.apply(more)
    carried = await spare.take_over()
    assert len(granted((await carried.sync(*seats("port", 6))).results)) == 6


@pytest.mark.rule("F1", "F2")
async def test_standby_licenses_elsewhere_than_on_the_license_master_do_not_count(master: InProcess) -> None:
    await master.wire.apply(
        project({"PBX-Port12": 1, "PBX-Standby12": (5, "spare-box")}, pbxs=PAIR, ttl_seconds=TTL, grace_seconds=GRACE)
    )
    await opened(master.wire, "berlin")
    spare = await standing_by(master.wire)
    master.clock.advance(TTL + 1)
    assert (await spare.refused())["LICENSES_SHORT"].installed == 0


@pytest.mark.rule("F3")
async def test_a_standby_above_the_version_limit_carries_nothing(master: InProcess) -> None:
    wire = master.wire
    await paired(master)
    newer = await standing_by(wire, software="13")
    limit = (await newer.refused(newer.takeover(software="13")))["VERSION_LIMIT"]
    assert limit.message.startswith("spare runs 13, but hq-box is licensed up to V12")
    assert {ref[0] for ref in licenses(limit.licenses)} == {"PBX-Port12", "PBX-Standby12"}
    assert [problem.kind for problem in newer.problems] == [standby_pb2.STANDBY_PROBLEM_KIND_VERSION_LIMIT]
    assert "VERSION_LIMIT" in by_kind((await checked(wire)).problems)
    await newer.take_over(newer.takeover(software="12r2"))


@pytest.mark.rule("F3")
async def test_price_tiers_need_the_licenses_below_them(master: InProcess) -> None:
    short = project({"PBX-Port12": 510, "PBX-Standby12": 400, "PBX-Standby 12%500": 110}, pbxs=PAIR)
    assert "100 are missing (rule E5)" in (await failure(master.wire.apply(short))).message
    enough = project({"PBX-Port12": 610, "PBX-Standby12": 500, "PBX-Standby 12%500": 110}, pbxs=PAIR)
    assert not (await master.wire.apply(enough)).warnings
    assert "TIER_NOT_REACHED" not in by_kind((await checked(master.wire)).problems)
