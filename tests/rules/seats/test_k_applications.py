"""Section K: Reporting, Recording, Queue Monitor, Operator, Softwarephone."""

import pytest

from licensemaster.v1 import seat_pb2
from tests.rules.asking import (
    DEBITED,
    EXECUTIVE,
    GATEWAY,
    GROUP,
    INCLUDED,
    LOGIN,
    NOT_NEEDED,
    PBX,
    QUEUE,
    TRUNK,
    Action,
    Reason,
    ask,
    give_back,
    grant,
    grant_all,
    held,
    holdings,
    keep,
    numbers,
    promised,
    refuse,
    used,
    with_more,
)
from tests.support.masters import InProcess
from tests.support.pbxs.pbx import USER, BarePbx, granted, opened, refused, seat, seats
from tests.support.projects.estates import project

RECORDING = {"PBX-Recording12": 1, "PBX-Recording12 User": 1, "PBX-Reporting12": 10, "PBX-Port12": 10}
BASIC = seat("recording_basic", "recorder", kind=PBX)
SPARE = seat("recording_basic", "spare", kind=PBX)
LINE = seat("reporting", "0", kind=TRUNK)


def recorded(user: str, line: str = "0") -> seat_pb2.Seat:
    return seat("recording_user", user, line=line)


async def with_reporting(pbx: BarePbx, *users: str) -> None:
    await grant_all(pbx, LINE, *(seat("reporting", user) for user in users))


# --- Reporting ------------------------------------------------------------------------------------------------------


@pytest.mark.rule("K1")
@pytest.mark.parametrize("kind", [USER, EXECUTIVE, TRUNK, GATEWAY, GROUP, QUEUE])
async def test_reporting_counts_objects(master: InProcess, kind: seat_pb2.HolderKind.ValueType) -> None:
    estate = project({"PBX-Reporting12": 1})
    await master.wire.apply(estate)
    hq = await opened(master.wire, "hq")
    granted_seat = await grant(hq, seat("reporting", "analysed", kind=kind))
    assert (granted_seat.basis, granted_seat.reassignable) == (DEBITED, False)
    refusal = await refuse(hq, seat("reporting", "another", kind=kind))
    assert refusal.reason == Reason.REFUSAL_REASON_POOL_EXHAUSTED
    assert list(refusal.rules) == ["A1", "K1"]
    assert numbers(refusal) == (1, 1, 1)
    assert (await refuse(hq, seat("reporting", "x", kind=LOGIN))).reason == Reason.REFUSAL_REASON_HOLDER_KIND
    await master.wire.apply(with_more(estate, refusal, "PBX-Reporting12"))
    await grant(hq, seat("reporting", "another", kind=kind))


# --- Recording ------------------------------------------------------------------------------------------------------


@pytest.mark.rule("K2")
async def test_basic_includes_one_recorded_user(master: InProcess) -> None:
    await master.wire.apply(project(RECORDING))
    hq = await opened(master.wire, "hq")
    await with_reporting(hq, "alice", "bob", "carol")
    assert (await grant(hq, BASIC)).basis == DEBITED
    first = await grant(hq, recorded("alice"))
    assert (first.basis, first.included_in) == (INCLUDED, "recording_basic")
    assert (await grant(hq, recorded("bob"))).basis == DEBITED
    refusal = await refuse(hq, recorded("carol"))
    assert refusal.reason == Reason.REFUSAL_REASON_POOL_EXHAUSTED
    assert refusal.license_type == "recording_user"
    assert numbers(refusal) == (1, 1, 1)
    assert await promised(hq) == {"recording_basic": 1, "recording_user": 1, "reporting": 4}

    await give_back(hq, recorded("alice"))  # what was included passes to bob, and his license is free
    assert await promised(hq) == {"recording_basic": 1, "reporting": 4}
    assert (await grant(hq, recorded("bob"))).basis == INCLUDED
    assert (await grant(hq, recorded("carol"))).basis == DEBITED
    assert (await refuse(hq, recorded("alice"))).reason == Reason.REFUSAL_REASON_POOL_EXHAUSTED


@pytest.mark.rule("K2")
async def test_every_pbx_that_records_needs_a_basic(master: InProcess) -> None:
    estate = project(RECORDING)
    await master.wire.apply(estate)
    hq, berlin = await opened(master.wire, "hq"), await opened(master.wire, "berlin")
    await grant(hq, BASIC)
    refusal = await refuse(berlin, BASIC)
    assert refusal.reason == Reason.REFUSAL_REASON_POOL_EXHAUSTED
    assert list(refusal.rules) == ["A1", "K2"]
    await master.wire.apply(with_more(estate, refusal, "PBX-Recording12"))
    await grant(berlin, BASIC)


@pytest.mark.rule("K2", "H5")
async def test_basic_stays_while_users_are_recorded(any_master: InProcess) -> None:
    await any_master.wire.apply(project(RECORDING))
    hq = await opened(any_master.wire, "hq")
    await with_reporting(hq, "alice")
    await grant_all(hq, recorded("alice"), BASIC)
    refusal = await keep(hq, BASIC)
    assert [(seat.license_type, seat.holder) for seat in refusal.seats] == [("recording_user", "alice")]
    await give_back(hq, *refusal.seats)
    await give_back(hq, BASIC)


@pytest.mark.rule("K2")
async def test_a_pbx_has_one_basic_and_no_second_one(master: InProcess) -> None:
    await master.wire.apply(project({**RECORDING, "PBX-Recording12": 5}))
    hq, berlin = await opened(master.wire, "hq"), await opened(master.wire, "berlin")
    await with_reporting(hq, "alice", "bob")
    first, second = await ask(hq, BASIC, SPARE)
    granted([first])
    refusal = refused([second])[0]
    assert refusal.reason == Reason.REFUSAL_REASON_ONE_PER_PBX
    assert list(refusal.rules) == ["K2"]
    assert [seat.holder for seat in refusal.seats] == [BASIC.holder]
    assert refusal.remedy.action == Action.REMEDY_ACTION_RETURN_FIRST
    assert (await grant(hq, BASIC)).already_held
    await grant_all(hq, recorded("alice"), recorded("bob"))
    assert await promised(hq) == {"recording_basic": 1, "recording_user": 1, "reporting": 3}
    await grant(berlin, SPARE)  # another PBX has its own
    assert await used(master.wire, "recording_basic") == (2, 5)
    await give_back(hq, recorded("alice"), recorded("bob"), BASIC)
    await grant(hq, SPARE)  # the remedy


@pytest.mark.rule("K2")
async def test_a_wanted_set_may_call_the_basic_by_another_name(master: InProcess) -> None:
    await master.wire.apply(project({**RECORDING, "PBX-Recording12": 2}))
    hq = await opened(master.wire, "hq")
    users = [LINE, *(seat("reporting", user) for user in ("alice", "bob")), recorded("alice"), recorded("bob")]
    synced = await hq.sync(*users, BASIC, SPARE)
    assert [result.refused.reason for result in synced.results if result.HasField("refused")] == [
        Reason.REFUSAL_REASON_ONE_PER_PBX
    ]
    synced = await hq.sync(*users, SPARE)
    assert all(grant.already_held for grant in granted(synced.results))
    assert not synced.kept
    held_now = {holder for kind, holder in await held(master.wire, hq) if kind == "recording_basic"}
    assert held_now == {SPARE.holder}
    assert await used(master.wire, "recording_basic") == (1, 2)
    assert await used(master.wire, "recording_user") == (1, 1)


@pytest.mark.rule("K3")
async def test_a_recorded_user_needs_basic_and_reporting_twice(master: InProcess) -> None:
    await master.wire.apply(project(RECORDING))
    hq = await opened(master.wire, "hq")
    for needed, message in [
        (BASIC, "PBX-Recording User needs PBX-Recording for PBX hq"),
        (seat("reporting", "alice"), "PBX-Recording User needs PBX-Reporting for user alice"),
        (LINE, "PBX-Recording User needs PBX-Reporting for outside line 0"),
    ]:
        refusal = await refuse(hq, recorded("alice"))
        assert refusal.reason == Reason.REFUSAL_REASON_REQUIREMENT_MISSING
        assert list(refusal.rules) == ["K3", "K5"]
        assert refusal.message == message
        assert refusal.remedy.action == Action.REMEDY_ACTION_ACQUIRE_FIRST
        assert refusal.remedy.license_type == needed.license_type
        await grant(hq, needed)
    await grant(hq, recorded("alice"))

    await grant(hq, seat("reporting", "bob"))
    unnamed = await refuse(hq, recorded("bob", line=""))
    assert unnamed.remedy.action == Action.REMEDY_ACTION_CORRECT_REQUEST
    assert unnamed.remedy.text == "name the outside line in the request"


@pytest.mark.rule("K3", "H5")
async def test_reporting_of_user_and_line_stays_while_they_are_recorded(master: InProcess) -> None:
    await master.wire.apply(project(RECORDING))
    hq = await opened(master.wire, "hq")
    await with_reporting(hq, "alice", "bob")
    await grant_all(hq, BASIC, recorded("alice"))
    for needed in (seat("reporting", "alice"), LINE):
        assert [kept_seat.holder for kept_seat in (await keep(hq, needed)).seats] == ["alice"]
    await give_back(hq, seat("reporting", "bob"))  # nobody needs his
    await give_back(hq, recorded("alice"))
    await give_back(hq, seat("reporting", "alice"), LINE)


@pytest.mark.rule("K3")
async def test_another_outside_line_is_looked_at_again(master: InProcess) -> None:
    await master.wire.apply(project(RECORDING))
    hq = await opened(master.wire, "hq")
    await with_reporting(hq, "alice")
    await grant_all(hq, BASIC, recorded("alice"))
    refusal = await refuse(hq, recorded("alice", line="1"))
    assert refusal.message == "PBX-Recording User needs PBX-Reporting for outside line 1"
    await grant(hq, seat("reporting", "1", kind=TRUNK))
    assert (await grant(hq, recorded("alice", line="1"))).already_held
    await give_back(hq, LINE)
    await keep(hq, seat("reporting", "1", kind=TRUNK))


@pytest.mark.rule("K3")
async def test_who_a_recorded_call_is_connected_to_needs_reporting_too(master: InProcess) -> None:
    await master.wire.apply(project(RECORDING))
    hq = await opened(master.wire, "hq")
    await with_reporting(hq, "alice")
    target = seat("recording_target", "carol")
    refusal = await refuse(hq, target)
    assert refusal.message == "Recording of a connected call needs PBX-Recording for PBX hq"
    await grant_all(hq, BASIC, recorded("alice"))
    refusal = await refuse(hq, target)
    assert refusal.reason == Reason.REFUSAL_REASON_REQUIREMENT_MISSING
    assert list(refusal.rules) == ["K3"]
    assert refusal.message == "Recording of a connected call needs PBX-Reporting for user carol"
    assert refusal.remedy.license_type == "reporting"
    before = await held(master.wire, hq)
    await grant(hq, seat("reporting", "carol"))
    assert (await grant(hq, target)).basis == NOT_NEEDED
    assert await held(master.wire, hq) == before | {("reporting", "carol")}, "it is no seat of its own"
    await give_back(hq, seat("reporting", "carol"))  # the call is over
    assert (await refuse(hq, target)).reason == Reason.REFUSAL_REASON_REQUIREMENT_MISSING


@pytest.mark.rule("K4")
async def test_recording_needs_v10_and_reporting_v10_sr12(master: InProcess) -> None:
    await master.wire.apply(project(RECORDING))
    hq = await opened(master.wire, "hq", "9 sr50")
    for wish, needed in ((BASIC, "10"), (recorded("alice"), "10 sr12"), (LINE, "10 sr12")):
        refusal = await refuse(hq, wish)
        assert refusal.reason == Reason.REFUSAL_REASON_SOFTWARE_TOO_OLD
        assert refusal.remedy.action == Action.REMEDY_ACTION_UPGRADE_SOFTWARE
        assert refusal.remedy.version == needed
        assert list(refusal.rules) == ["K4"]
    await hq.open("V10 SR11")
    await grant(hq, BASIC)
    assert (await refuse(hq, LINE)).message == "PBX-Reporting needs PBX software 10 sr12 or newer; hq runs 10 sr11"
    await hq.open("V10 SR12")
    await grant_all(hq, LINE, seat("reporting", "alice"), recorded("alice"))


@pytest.mark.rule("K5")
async def test_a_slave_records_with_its_own_recorder(master: InProcess) -> None:
    await master.wire.apply(project({**RECORDING, "PBX-Recording12": 2}))
    hq, berlin = await opened(master.wire, "hq"), await opened(master.wire, "berlin")
    await with_reporting(hq, "alice")
    await grant_all(hq, BASIC, recorded("alice"))
    await with_reporting(berlin, "bob")
    refusal = await refuse(berlin, recorded("bob"))  # the master's recorder does not reach it
    assert refusal.reason == Reason.REFUSAL_REASON_REQUIREMENT_MISSING
    assert refusal.message == "PBX-Recording User needs PBX-Recording for PBX berlin"
    await grant(berlin, BASIC)
    assert (await grant(berlin, recorded("bob"))).basis == INCLUDED


@pytest.mark.rule("K5")
async def test_recording_on_a_standby_needs_no_license(master: InProcess) -> None:
    pbxs = {"berlin": "slave 12 gateway", "spare": "standby:berlin 12 gateway"}
    await master.wire.apply(project({"PBX-Port12": 10}, pbxs=pbxs))
    berlin, spare = await opened(master.wire, "berlin"), await opened(master.wire, "spare")
    assert (await refuse(berlin, BASIC)).reason == Reason.REFUSAL_REASON_NONE_INSTALLED
    for granted_seat in await grant_all(spare, BASIC, recorded("alice")):
        assert granted_seat.basis == NOT_NEEDED
    assert await held(master.wire, spare) == set()
    await spare.open("9")  # which does not make old software record
    assert (await refuse(spare, BASIC)).reason == Reason.REFUSAL_REASON_SOFTWARE_TOO_OLD


# --- Queue Monitor, Operator, Softwarephone ---------------------------------------------------------------------------


@pytest.mark.rule("K6")
async def test_queue_monitor_counts_queues(master: InProcess) -> None:
    estate = project({"PBX-QueueMonitor12": 1})
    await master.wire.apply(estate)
    hq = await opened(master.wire, "hq", "9")
    support = seat("queue_monitor", "support", kind=QUEUE, app="12")
    assert (await grant(hq, support)).basis == DEBITED
    for _ in range(5):  # agents
        assert (await grant(hq, support)).already_held
    refusal = await refuse(hq, seat("queue_monitor", "sales", kind=QUEUE, app="12"))
    assert refusal.reason == Reason.REFUSAL_REASON_POOL_EXHAUSTED
    assert list(refusal.rules) == ["A1", "K6"]
    assert (await refuse(hq, seat("queue_monitor", "agent", app="12"))).reason == Reason.REFUSAL_REASON_HOLDER_KIND
    await master.wire.apply(with_more(estate, refusal, "PBX-QueueMonitor12"))
    await grant(hq, seat("queue_monitor", "sales", kind=QUEUE, app="12"))


@pytest.mark.rule("K6")
async def test_queue_monitor_needs_software_from_v9_on(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-QueueMonitor12": 1}))
    hq = await opened(master.wire, "hq", "8")
    refusal = await refuse(hq, seat("queue_monitor", "support", kind=QUEUE, app="12"))
    assert refusal.reason == Reason.REFUSAL_REASON_SOFTWARE_TOO_OLD
    assert list(refusal.rules) == ["K6"]
    await hq.open(refusal.remedy.version)
    await grant(hq, seat("queue_monitor", "support", kind=QUEUE, app="12"))


@pytest.mark.rule("K7")
async def test_operators_float_by_login(master: InProcess) -> None:
    estate = project({"PBX-Operator12": 2, "PBX-Port13": 1})
    await master.wire.apply(estate)
    hq, berlin = await opened(master.wire, "hq"), await opened(master.wire, "berlin")
    desks = [seat("operator", f"desk-{number}", kind=LOGIN, app="12r1") for number in range(4)]  # more than licenses
    assert (await grant(hq, desks[0])).reassignable
    await grant(berlin, desks[1])
    refusal = refused(await ask(hq, *desks[2:]))[0]
    assert refusal.reason == Reason.REFUSAL_REASON_POOL_EXHAUSTED
    assert list(refusal.rules) == ["A1", "K7"]
    assert (numbers(refusal), refusal.remedy.quantity) == ((2, 2, 2), 2)
    assert refusal.remedy.version == "12"  # the application's, not that of the PBX
    await give_back(berlin, desks[1])  # one logs off
    await grant(hq, desks[2])
    await master.wire.apply(with_more(estate, refusal, "PBX-Operator12"))
    await grant(hq, desks[3])


@pytest.mark.rule("K8")
@pytest.mark.parametrize("needed", ["mypbx", "uc"])
async def test_softphones_float_by_registration_and_need_mypbx(master: InProcess, needed: str) -> None:
    estate = project({"PBX SoftwarePhones12": 1, "PBX-myPBX12": 2, "PBX UC12": 2})
    await master.wire.apply(estate)
    hq = await opened(master.wire, "hq")
    missing = await refuse(hq, seat("softwarephone", "alice"))
    assert missing.reason == Reason.REFUSAL_REASON_REQUIREMENT_MISSING
    assert list(missing.rules) == ["K8"]
    await grant_all(hq, seat(needed, "alice"), seat(needed, "bob"))
    assert (await grant(hq, seat("softwarephone", "alice"))).reassignable
    refusal = await refuse(hq, seat("softwarephone", "bob"))
    assert refusal.reason == Reason.REFUSAL_REASON_POOL_EXHAUSTED
    assert [kept_seat.holder for kept_seat in (await keep(hq, seat(needed, "alice"))).seats] == ["alice"]
    await give_back(hq, seat("softwarephone", "alice"))
    await grant(hq, seat("softwarephone", "bob"))
    await give_back(hq, seat(needed, "alice"))
    await master.wire.apply(with_more(estate, refusal, "PBX SoftwarePhones12"))
    await refuse(hq, seat("softwarephone", "alice"))


@pytest.mark.rule("K2", "K3")
async def test_a_whole_recording_site_in_one_call_in_any_order(master: InProcess) -> None:
    await master.wire.apply(project({**RECORDING, "PBX-Recording12 User": 2}))
    hq = await opened(master.wire, "hq")
    users = ("alice", "bob", "carol")
    everything = [*(recorded(user) for user in users), *(seat("reporting", user) for user in users), LINE, BASIC]
    bases = [grant.basis for grant in await grant_all(hq, *everything)]
    assert bases == [INCLUDED, DEBITED, DEBITED, *[DEBITED] * 5]
    again = await hq.sync(*everything)
    assert all(grant.already_held for grant in granted(again.results))
    await give_back(hq, *reversed(everything))
    assert await holdings(master.wire) == []
    assert not (await hq.give_back(*seats("port", 1)))[0].returned
