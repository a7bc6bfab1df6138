"""Section G: the end of G.729 licenses."""

import pytest

from tests.rules.asking import CHANNEL, DEBITED, NOT_NEEDED, Reason, grant, held, numbers, refuse
from tests.support.masters import InProcess
from tests.support.pbxs.pbx import opened, seat
from tests.support.projects.estates import project


@pytest.mark.rule("G1")
@pytest.mark.parametrize("software", ["12r1", "12r1 sr99", "11"])
async def test_older_software_needs_a_license(master: InProcess, software: str) -> None:
    await master.wire.apply(project({"G.729 Channel12": 1, "PBX-Port12": 1}))
    berlin = await opened(master.wire, "berlin", software)
    granted_seat = await grant(berlin, seat("g729", "call-1", kind=CHANNEL))
    assert (granted_seat.basis, granted_seat.reassignable) == (DEBITED, True)
    refusal = await refuse(berlin, seat("g729", "call-2", kind=CHANNEL))
    assert refusal.reason == Reason.REFUSAL_REASON_POOL_EXHAUSTED
    assert list(refusal.rules) == ["A1", "G1"]
    assert numbers(refusal) == (1, 1, 1)
    assert refusal.remedy.text.startswith("upgrade berlin to 12r2 or newer")  # nobody is told to buy one
    await berlin.open(refusal.remedy.version)
    await grant(berlin, seat("g729", "call-2", kind=CHANNEL))


@pytest.mark.rule("G1")
@pytest.mark.parametrize("software", ["12r2", "13", "14r1"])
async def test_from_2017_on_none_is_needed(master: InProcess, software: str) -> None:
    await master.wire.apply(project({"PBX-Port12": 1}))  # none is installed, and V13 is above the limit
    berlin = await opened(master.wire, "berlin", "12r1")
    refusal = await refuse(berlin, seat("g729", "call-1", kind=CHANNEL))
    assert refusal.reason == Reason.REFUSAL_REASON_NONE_INSTALLED
    await berlin.open(software)
    free = await grant(berlin, seat("g729", "call-1", kind=CHANNEL))
    assert (free.basis, free.device) == (NOT_NEEDED, "")
    assert await held(master.wire, berlin) == set()
