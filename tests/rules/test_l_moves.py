"""Rules L1 to L7, A5, C2, D4, E5: licenses are imported, bound, released against certificates, and rebound."""

from __future__ import annotations

from pathlib import Path

import pytest

from licensemaster.v1 import lease_pb2, license_pb2
from tests.rules.asking import Reason, grant_all, refuse, used
from tests.support.estates import project
from tests.support.masters import InProcess
from tests.support.papers import Vendor, bind, certify, enrolled, imported, listed, release
from tests.support.pbx import opened, seat, seats

FREE, BOUND = license_pb2.LICENSE_STATE_FREE, license_pb2.LICENSE_STATE_BOUND
RELEASING = license_pb2.LICENSE_STATE_RELEASING


@pytest.mark.rule("L1", "L2", "L3", "L7")
async def test_a_license_arrives_is_bound_released_and_bound_again(any_master: InProcess, tmp_path: Path) -> None:
    wire, clock = any_master.wire, any_master.clock
    await wire.apply(project({}))
    await imported(wire, Vendor(), {"ports": ("PBX-Port12", 10)}, now=clock.now)
    assert (await listed(wire))["ports"].state == FREE
    hq = await enrolled(wire, tmp_path, "hq-box")
    berlin = await opened(wire, "berlin")
    assert (await refuse(berlin, seat("port", "alice"))).reason == Reason.REFUSAL_REASON_NONE_INSTALLED
    bound = (await bind(wire, "hq-box", "ports"))[0]
    assert bound.moved.state == BOUND
    hq.accept_binding(bound.binding)
    first = bound.moved.first_bind_time.seconds
    await grant_all(berlin, *seats("port", 10))
    assert (await release(wire, "ports"))[0].refused.problem == license_pb2.MOVE_PROBLEM_IN_USE
    await berlin.give_back(*seats("port", 10))
    asked = (await release(wire, "ports"))[0].moved
    assert asked.state == RELEASING
    clock.advance(100)
    done = await certify(wire, hq, asked.release.request)
    assert done.license.state == FREE
    assert await used(wire, "port") == (0, 0)
    await bind(wire, "berlin-box", "ports")
    again = (await listed(wire))["ports"]
    assert (again.device, again.first_bind_time.seconds, again.binding) == ("berlin-box", first, 2)


@pytest.mark.rule("L5")
async def test_what_is_in_use_can_be_revoked(any_master: InProcess, tmp_path: Path) -> None:
    wire, clock = any_master.wire, any_master.clock
    await wire.apply(project({"PBX-Port12": 5}))
    await imported(wire, Vendor(), {"ports": ("PBX-Port12", 10)}, now=clock.now)
    key = await enrolled(wire, tmp_path, "hq-box")
    await bind(wire, "hq-box", "ports")
    berlin = await opened(wire, "berlin")
    await grant_all(berlin, *seats("port", 8))
    result = (await release(wire, "ports", in_use=license_pb2.IN_USE_REVOKE))[0]
    assert result.seats_revoked == 3
    renewed = await berlin.renew()
    notice = next(one for one in renewed.notices if one.kind == lease_pb2.NOTICE_KIND_SEATS_REVOKED)
    assert len(notice.seats) == 3
    assert await used(wire, "port") == (8, 15)
    taken = notice.seats[0]
    assert (await refuse(berlin, taken)).reason == Reason.REFUSAL_REASON_REVOKED
    await certify(wire, key, result.moved.release.request)
    assert (await listed(wire))["ports"].release.seats_to_go == 3
    await berlin.give_back(*notice.seats)
    assert await any_master.running.releases.look() == 1
    assert (await listed(wire))["ports"].state == FREE
    assert await used(wire, "port") == (5, 5)
    assert (await refuse(berlin, taken)).reason == Reason.REFUSAL_REASON_POOL_EXHAUSTED
