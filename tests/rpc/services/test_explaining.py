"""Explanations: of few seats with every name, of many in an answer that stays small."""

from __future__ import annotations

from licensemaster.v1 import status_pb2
from tests.support.masters import InProcess, Wire
from tests.support.pbxs.pbx import BarePbx, refused, seat, seats
from tests.support.projects.estates import project

_ANSWER_MAX = 20 * 2**20


async def _explained(wire: Wire, count: int) -> status_pb2.ExplainSeatsResponse:
    wanted = [seat("video", f"user-{number}", user=f"user-{number}") for number in range(count)]
    return await wire.status.ExplainSeats(
        status_pb2.ExplainSeatsRequest(pbx=BarePbx(wire, "berlin").name, seats=wanted)
    )


async def test_many_seats_are_explained_in_an_answer_that_stays_small(master: InProcess) -> None:
    wire = master.wire
    await wire.apply(project({"PBX-Port12": 20, "PBX-myPBX12": 20, "PBX-Video12": 20_000}))
    answer = await _explained(wire, 10_000)
    assert answer.ByteSize() < _ANSWER_MAX
    actual = refused(answer.results)
    assert len(actual) == 10_000
    steps = [step for refusal in actual for way in refusal.remedy.ways for step in way.steps if step.seats_total]
    assert {(len(step.seats), step.seats_total) for step in steps} == {(2, 10_000)}


async def test_few_seats_are_explained_with_every_name(master: InProcess) -> None:
    wire = master.wire
    await wire.apply(project({"PBX-Port12": 1_000, "PBX-myPBX12": 1_000, "PBX-Video12": 1_000}))
    for refusal in refused((await _explained(wire, 20)).results):
        (step,) = refusal.remedy.ways[0].steps
        assert len(step.seats) == step.seats_total == 20


async def test_licenses_that_hold_a_limit_down_are_all_named_to_who_asks_for_one_seat(master: InProcess) -> None:
    wire = master.wire
    described = project({})
    for number in range(300):
        described.licenses.add(id=f"old-{number}", type="PBX-Port10", quantity=1, device="hq-box")
    await wire.apply(described)
    asked = status_pb2.ExplainSeatsRequest(pbx=BarePbx(wire, "berlin").name, seats=seats("port", 1))
    (refusal,) = refused((await wire.status.ExplainSeats(asked)).results)
    assert len(refusal.licenses) == refusal.licenses_total == 300
    asked = status_pb2.ExplainSeatsRequest(pbx=asked.pbx, seats=seats("port", 1_000))
    for refusal in refused((await wire.status.ExplainSeats(asked)).results):
        assert (len(refusal.licenses), refusal.licenses_total) == (20, 300)
