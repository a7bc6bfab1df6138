"""Section J: WebRTC channels."""

import pytest

from tests.rules.asking import (
    CHANNEL,
    DEBITED,
    Action,
    Reason,
    ask,
    give_back,
    grant,
    grant_all,
    held,
    holders,
    holdings,
    keep,
    numbers,
    refuse,
    with_more,
)
from tests.support.masters import InProcess
from tests.support.pbxs.pbx import granted, opened, refused, seat
from tests.support.projects.estates import project

LICENSED = {"PBX-Port12": 5, "PBX-myPBX12": 5, "PBX UC12": 1, "PBX-WebRTC12": 2}


@pytest.mark.rule("J1")
async def test_one_for_each_channel_in_use(master: InProcess) -> None:
    estate = project(LICENSED)
    await master.wire.apply(estate)
    hq = await opened(master.wire, "hq")
    await grant_all(hq, seat("port", "alice"), seat("mypbx", "alice"))
    calls = [seat("webrtc", f"call-{number}", kind=CHANNEL, user="alice") for number in range(3)]
    results = await ask(hq, *calls)
    assert {(grant.basis, grant.reassignable) for grant in granted(results[:2])} == {(DEBITED, True)}
    refusal = refused(results[2:])[0]
    assert refusal.reason == Reason.REFUSAL_REASON_POOL_EXHAUSTED
    assert list(refusal.rules) == ["A1", "J1", "J2"]
    assert numbers(refusal) == (2, 2, 3)
    assert holders(refusal) == [("hq", "site-hq", 2)]
    await give_back(hq, calls[0])  # one call ends
    await grant(hq, calls[2])
    await master.wire.apply(with_more(estate, refusal, "PBX-WebRTC12"))
    await grant(hq, calls[0])


@pytest.mark.rule("J2")
@pytest.mark.parametrize("needed", ["mypbx", "uc"])
async def test_its_user_needs_port_and_mypbx_or_uc(master: InProcess, needed: str) -> None:
    await master.wire.apply(project(LICENSED))
    hq = await opened(master.wire, "hq")
    call = seat("webrtc", "call-1", kind=CHANNEL, user="alice")
    for missing in ("port", "mypbx"):
        refusal = await refuse(hq, call)
        assert refusal.reason == Reason.REFUSAL_REASON_REQUIREMENT_MISSING
        assert list(refusal.rules) == ["J1", "J2"]
        assert refusal.remedy.action == Action.REMEDY_ACTION_ACQUIRE_FIRST
        assert refusal.remedy.license_type == missing
        await grant(hq, seat("port" if missing == "port" else needed, "alice"))
    await grant(hq, call)
    assert ("video", "alice") not in await held(master.wire, hq)  # not used, not needed

    unnamed = await refuse(hq, seat("webrtc", "call-2", kind=CHANNEL))
    assert unnamed.reason == Reason.REFUSAL_REASON_REQUIREMENT_MISSING
    assert unnamed.remedy.action == Action.REMEDY_ACTION_CORRECT_REQUEST
    await grant(hq, seat("webrtc", "call-2", kind=CHANNEL, user="alice"))


@pytest.mark.rule("J2", "H5")
async def test_what_it_needs_stays_if_it_is_fixed(any_master: InProcess) -> None:
    await any_master.wire.apply(project(LICENSED))
    hq = await opened(any_master.wire, "hq")
    call = seat("webrtc", "call-1", kind=CHANNEL, user="alice")
    await grant_all(hq, call, seat("port", "alice"), seat("mypbx", "alice"))
    refusal = await keep(hq, seat("mypbx", "alice"))
    assert [(seat.license_type, seat.holder) for seat in refusal.seats] == [("webrtc", "call-1")]
    assert refusal.remedy.license_type == "webrtc"
    await give_back(hq, seat("port", "alice"))  # a telephone may log out in the middle of a call
    await give_back(hq, call)  # the remedy
    await give_back(hq, seat("mypbx", "alice"))


@pytest.mark.rule("J2")
async def test_a_channel_that_passes_to_another_user_is_looked_at_again(master: InProcess) -> None:
    await master.wire.apply(project(LICENSED))
    hq = await opened(master.wire, "hq")
    await grant_all(hq, *(seat(part, "alice") for part in ("port", "mypbx")))
    await grant(hq, seat("webrtc", "call-1", kind=CHANNEL, user="alice"))
    for_bob = seat("webrtc", "call-1", kind=CHANNEL, user="bob")
    refusal = await refuse(hq, for_bob)
    assert refusal.reason == Reason.REFUSAL_REASON_REQUIREMENT_MISSING
    assert "user bob" in refusal.message
    await grant_all(hq, *(seat(part, "bob") for part in ("port", "mypbx")))
    assert (await grant(hq, for_bob)).already_held
    assert [holding.seat.user for holding in await holdings(master.wire) if holding.seat.license_type == "webrtc"] == [
        "bob"
    ]
    await give_back(hq, seat("mypbx", "alice"))  # hers is no longer needed, his is
    await keep(hq, seat("mypbx", "bob"))
