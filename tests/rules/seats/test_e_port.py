"""Section E: Port licenses."""

import pytest

from licensemaster.v1 import seat_pb2
from tests.rules.asking import (
    CHANNEL,
    DEBITED,
    EXECUTIVE,
    GATEWAY,
    GROUP,
    LOGIN,
    NOT_NEEDED,
    QUEUE,
    TRUNK,
    Action,
    Reason,
    ask,
    give_back,
    grant,
    held,
    licenses,
    numbers,
    promised,
    refuse,
    used,
    with_more,
)
from tests.support.masters import InProcess
from tests.support.pbxs.pbx import USER, granted, opened, refused, seat
from tests.support.projects.estates import project


@pytest.mark.rule("E1")
async def test_floating_while_a_device_is_registered(master: InProcess) -> None:
    estate = project({"PBX-Port12": 1})
    await master.wire.apply(estate)
    berlin = await opened(master.wire, "berlin")
    first = await grant(berlin, seat("port", "alice"))  # her first device logs in
    assert first.reassignable
    refusal = await refuse(berlin, seat("port", "bob"))
    assert refusal.reason == Reason.REFUSAL_REASON_POOL_EXHAUSTED
    assert "E1" in refusal.rules
    await give_back(berlin, seat("port", "alice"))  # her last device logs out
    await grant(berlin, seat("port", "bob"))
    assert (await refuse(berlin, seat("port", "alice"))).remedy.quantity == 1
    await master.wire.apply(with_more(estate, refusal, "PBX-Port12"))
    await grant(berlin, seat("port", "alice"))


@pytest.mark.rule("E2")
@pytest.mark.parametrize("kind", [USER, EXECUTIVE, TRUNK, GATEWAY])
async def test_needed_for(master: InProcess, kind: seat_pb2.HolderKind.ValueType) -> None:
    await master.wire.apply(project({"PBX-Port12": 1}))
    berlin = await opened(master.wire, "berlin")
    assert (await grant(berlin, seat("port", "object", kind=kind))).basis == DEBITED
    assert numbers(await refuse(berlin, seat("port", "other", kind=kind))) == (1, 1, 1)


@pytest.mark.rule("E2")
@pytest.mark.parametrize("kind", [GROUP, QUEUE])
async def test_not_needed_for(master: InProcess, kind: seat_pb2.HolderKind.ValueType) -> None:
    await master.wire.apply(project({"PBX-Port12": 1}))
    berlin = await opened(master.wire, "berlin")
    await grant(berlin, seat("port", "alice"))
    for _ in range(2):
        free = await grant(berlin, seat("port", "sales", kind=kind))
        assert (free.basis, free.device, free.already_held) == (NOT_NEEDED, "", False)
    assert await held(master.wire, berlin) == {("port", "alice")}
    assert [result.returned for result in await berlin.give_back(seat("port", "sales", kind=kind))] == [False]


@pytest.mark.rule("E2")
@pytest.mark.parametrize("kind", [LOGIN, CHANNEL])
async def test_nothing_else_can_hold_one(master: InProcess, kind: seat_pb2.HolderKind.ValueType) -> None:
    await master.wire.apply(project({"PBX-Port12": 1}))
    berlin = await opened(master.wire, "berlin")
    refusal = await refuse(berlin, seat("port", "line-1", kind=kind))
    assert refusal.reason == Reason.REFUSAL_REASON_HOLDER_KIND
    assert list(refusal.rules) == ["E1", "E2"]
    assert refusal.remedy.action == Action.REMEDY_ACTION_CORRECT_REQUEST
    assert refusal.remedy.text == "name one of these kinds of holder: EXECUTIVE, GATEWAY, TRUNK, USER"
    await grant(berlin, seat("port", "line-1", kind=TRUNK))


@pytest.mark.rule("E3")
async def test_one_seat_for_an_object_whatever_is_behind_it(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 2}))
    berlin = await opened(master.wire, "berlin")
    await grant(berlin, seat("port", "alice"))  # DECT
    assert (await grant(berlin, seat("port", "alice"))).already_held  # and a desk phone
    await grant(berlin, seat("port", "0", kind=TRUNK))
    for _ in range(30):  # its channels
        assert (await grant(berlin, seat("port", "0", kind=TRUNK))).already_held
    assert await promised(berlin) == {"port": 2}
    refusal = await refuse(berlin, seat("port", "bob"))  # another object is another seat
    assert numbers(refusal) == (2, 2, 1)
    results = await ask(berlin, seat("port", "alice"), seat("port", "bob"), seat("port", "0", kind=TRUNK))
    assert [grant.already_held for grant in granted([results[0], results[2]])] == [True, True]
    assert numbers(refused([results[1]])[0]) == (2, 2, 1)


@pytest.mark.rule("E3")
async def test_objects_of_different_pbxs_are_different(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 1}))
    hq, berlin = await opened(master.wire, "hq"), await opened(master.wire, "berlin")
    await grant(berlin, seat("port", "alice"))
    assert (await refuse(hq, seat("port", "alice"))).reason == Reason.REFUSAL_REASON_POOL_EXHAUSTED
    assert [result.returned for result in await hq.give_back(seat("port", "alice"))] == [False]
    assert await used(master.wire, "port") == (1, 1)


@pytest.mark.rule("E6")
async def test_held_against_the_software(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port 11%1000": 1, "PBX-Port11": 1000}))
    berlin = await opened(master.wire, "berlin", "12")
    refusal = await refuse(berlin, seat("port", "alice"))
    assert refusal.reason == Reason.REFUSAL_REASON_VERSION_LIMIT
    assert licenses(refusal.licenses) == [("PBX-Port 11%1000", 1, "hq-box"), ("PBX-Port11", 1000, "hq-box")]
    await berlin.open("11r1")
    await grant(berlin, seat("port", "alice"))
