"""The closed list of refusals: every reason is reached with the message that docs/refusals.md shows, in its order."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from licensemaster.v1 import allocation_pb2, seat_pb2
from tests.rules.asking import CHANNEL, LOGIN, PBX, QUEUE, Reason, ask, grant_all, keep, refuse
from tests.support.masters import InProcess
from tests.support.pbxs.pbx import BarePbx, granted, opened, refused, seat, seats
from tests.support.projects.allocations import Group, Part, Policy, Rule, lay_down
from tests.support.projects.estates import project

TEXT = (Path(__file__).parents[3] / "docs" / "refusals.md").read_text(encoding="utf-8")
MESSAGES = {
    section.split()[1]: section.rpartition("- Message: ")[2].strip()
    for section in re.split(r"^## (?=\d)", TEXT, flags=re.MULTILINE)[1:]
}
PBXS = {"hq": "master 12 ipva", "berlin": "slave 12 gateway", "cloud": "slave 12 ipva"}


@dataclass(frozen=True)
class Sample:
    """An estate, what is held in it, and a seat that is refused."""

    licenses: Mapping[str, int | tuple[int, str]]
    wish: seat_pb2.Seat
    pbx: str = "berlin"
    software: str = "12"
    before: list[seat_pb2.Seat] = field(default_factory=list)


SAMPLES = {
    "UNKNOWN_LICENSE_TYPE": Sample({"PBX-Port12": 1}, seat("prot", "alice")),
    "HOLDER_KIND": Sample({"PBX-Port12": 1}, seat("port", "alice", kind=LOGIN)),
    "SOFTWARE_TOO_OLD": Sample({"PBX-Reporting12": 1}, seat("reporting", "alice"), software="V10 SR11"),
    "MODEL_EXCLUDED": Sample({"PBX-Port12": 1, "PBX-Voicemail12": 1}, seat("voicemail_user", "alice")),
    "VERSION_LIMIT": Sample({"PBX-Port10": 1}, seat("port", "alice")),
    "FEATURE_OFF": Sample({"PBX-Port12": 320, "PBX-Voicemail12": 300}, seat("voicemail", "berlin", kind=PBX)),
    "APPLICATION_VERSION": Sample({"PBX-Operator12": 1}, seat("operator", "desk", kind=LOGIN, app="13")),
    "REQUIREMENT_MISSING": Sample({"PBX Video12": 1}, seat("video", "alice")),
    "LOCAL_LICENSES_ONLY": Sample({"PBX-Port12": (2, "berlin-box")}, seat("port", "alice"), before=seats("port", 2)),
    "NONE_INSTALLED": Sample({"PBX-Port12": 1}, seat("mypbx", "alice")),
    "POOL_EXHAUSTED": Sample({"PBX-Port12": 5}, seat("port", "alice"), before=seats("port", 5)),
    "COMPANION_EXHAUSTED": Sample(
        {"PBX-Port12": 5, "PBX-IPVA12": 3}, seat("port", "alice"), pbx="cloud", before=seats("port", 3)
    ),
    "ONE_PER_PBX": Sample(
        {"PBX-Recording12": 2},
        seat("recording_basic", "recorder-2", kind=PBX),
        before=[seat("recording_basic", "recorder-1", kind=PBX)],
    ),
}


@pytest.mark.parametrize("reason", SAMPLES)
async def test_every_reason_and_its_message(master: InProcess, reason: str) -> None:
    sample = SAMPLES[reason]
    await master.wire.apply(project(sample.licenses, pbxs=PBXS))
    pbx = await opened(master.wire, sample.pbx, sample.software)
    if sample.before:
        await grant_all(pbx, *sample.before)
    refusal = await refuse(pbx, sample.wish)
    assert Reason.Name(refusal.reason) == f"REFUSAL_REASON_{reason}"
    assert refusal.message == MESSAGES[reason]
    assert refusal.rules
    assert refusal.remedy.action
    assert refusal.remedy.text


async def test_still_required_and_its_message(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-myPBX12": 1, "PBX Video12": 1, "PBX-AppSharing12": 1}))
    berlin = await opened(master.wire, "berlin")
    await grant_all(berlin, seat("mypbx", "alice"), seat("video", "alice"), seat("app_sharing", "alice"))
    assert (await keep(berlin, seat("mypbx", "alice"))).message == MESSAGES["STILL_REQUIRED"]
    elsewhere = {"STILL_REQUIRED", "REVOKED", "LEARNING", "MALFORMED_SEAT"}
    of_allocations = {"ACCESS_DENIED", "MAXIMUM_REACHED", "RESERVED_FOR_OTHERS", "WAITING"}
    assert set(MESSAGES) == {*SAMPLES, *elsewhere, *of_allocations}


async def test_messages_of_allocations(master: InProcess) -> None:
    sites = dict.fromkeys(("berlin", "rome", "oslo"), "slave 12 gateway")

    async def said(*rules: Part, ports: int, held: int, wait: bool = False) -> str:
        await master.wire.apply(project({"PBX-Port12": 10}, pbxs=sites))
        await lay_down(master.wire)
        rome = await opened(master.wire, "rome")
        await rome.sync()
        await master.wire.apply(project({"PBX-Port12": ports}, pbxs=sites))
        granted((await rome.sync(*seats("port", held))).results)
        await lay_down(master.wire, *rules)
        return refused(await rome.acquire(seat("port", "more"), wait=wait))[0].message

    south = Group(name="south", sites=["site-rome"])
    reserve, maximum = {"port": 4}, {"port": 6}
    queue = allocation_pb2.QueuePolicy(length_max=9)
    north = Group(name="north", sites=["site-oslo"])
    offices = Rule(name="offices", group="north", allow=["port"])
    assert await said(north, offices, ports=10, held=0) == MESSAGES["ACCESS_DENIED"]
    limit = Rule(name="south", group="south", maximum=maximum)
    assert await said(south, limit, ports=10, held=6) == MESSAGES["MAXIMUM_REACHED"]
    keep = Rule(name="keep", site="site-berlin", reserve=reserve)
    assert await said(keep, ports=10, held=6) == MESSAGES["RESERVED_FOR_OTHERS"]
    waits = Policy(license_type="port", queue=queue)
    assert await said(waits, ports=3, held=3, wait=True) == MESSAGES["WAITING"]


async def reasons(pbx: BarePbx, *wanted: seat_pb2.Seat) -> list[str]:
    refusals = refused(await ask(pbx, *wanted))
    return [Reason.Name(refusal.reason).removeprefix("REFUSAL_REASON_") for refusal in refusals]


async def test_a_malformed_seat_and_its_message(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 1}))
    berlin = await opened(master.wire, "berlin")
    fine, malformed = await berlin.acquire(seat("port", "alice"), seat("port", "a\nb"))
    assert fine.HasField("granted")
    assert malformed.refused.message == MESSAGES["MALFORMED_SEAT"]


async def test_the_lowest_number_is_given(master: InProcess) -> None:
    """Each estate takes away the reason that was given before; the next one of the list shows."""
    pbxs = {"berlin": "slave 12 gateway"}
    berlin: BarePbx | None = None
    monitor = seat("queue_monitor", "support", kind=QUEUE)
    expected = []
    for wish, software, licenses in [
        (seat("queue_monitor", "support", kind=CHANNEL), "8", {"PBX-Port7": 1}),  # kind, before everything
        (monitor, "8", {"PBX-Port7": 1}),  # too old, before the limit
        (monitor, "12", {"PBX-Port7": 1, "PBX-QueueMonitor12": 1}),  # above the limit, before the application
        (monitor, "12", {"PBX-Port12": 1, "PBX-QueueMonitor12": 1}),  # no application version
        (monitor, "12", {"PBX-Port12": 1}),  # none installed
    ]:
        await master.wire.apply(project(licenses, pbxs=pbxs))
        berlin = await opened(master.wire, "berlin", software)
        expected += await reasons(berlin, wish)
    assert expected == [
        "HOLDER_KIND",
        "SOFTWARE_TOO_OLD",
        "VERSION_LIMIT",
        "APPLICATION_VERSION",
        "NONE_INSTALLED",
    ]


async def test_what_is_missing_beside_a_seat_comes_before_what_is_used_up(master: InProcess) -> None:
    await master.wire.apply(project({"PBX Video12": 1, "PBX-myPBX12": 5}))
    berlin = await opened(master.wire, "berlin")
    await grant_all(berlin, seat("mypbx", "alice"), seat("video", "alice"))
    assert await reasons(berlin, seat("video", "bob")) == ["REQUIREMENT_MISSING"]
    await grant_all(berlin, seat("mypbx", "bob"))
    assert await reasons(berlin, seat("video", "bob")) == ["POOL_EXHAUSTED"]


async def test_model_before_limit_before_local(master: InProcess) -> None:
    pbxs = {"berlin": "slave 12 gateway"}
    local: Mapping[str, int | tuple[int, str]] = {
        "PBX-Voicemail11": (1, "berlin-box"),
        "PBX-Port11": (1, "berlin-box"),
        "PBX-VoicemailUser12": 5,
    }
    await master.wire.apply(project(local, pbxs=pbxs))
    berlin = await opened(master.wire, "berlin", "12")
    wanted = [seat("voicemail_user", "alice"), seat("fax", "alice")]
    assert await reasons(berlin, *wanted) == ["MODEL_EXCLUDED", "VERSION_LIMIT"]
    await berlin.open("11")
    assert await reasons(berlin, *wanted) == ["MODEL_EXCLUDED", "LOCAL_LICENSES_ONLY"]


async def test_each_seat_of_a_call_has_its_own_reason(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 1, "PBX-myPBX12": 1, "PBX Video12": 1}))
    berlin = await opened(master.wire, "berlin")
    results = await ask(
        berlin,
        seat("video", "bob"),
        seat("port", "alice"),
        seat("nothing", "alice"),
        seat("video", "alice"),
        seat("port", "bob"),
        seat("fax", "alice"),
        seat("mypbx", "alice"),
        seat("mypbx", "bob"),
    )
    granted([results[1], results[3], results[6]])
    collected = [Reason.Name(results[index].refused.reason) for index in (0, 2, 4, 5, 7)]
    assert [each.removeprefix("REFUSAL_REASON_") for each in collected] == [
        "REQUIREMENT_MISSING",
        "UNKNOWN_LICENSE_TYPE",
        "POOL_EXHAUSTED",
        "NONE_INSTALLED",
        "POOL_EXHAUSTED",
    ]
