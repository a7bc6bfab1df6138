"""Section A: the pool of the license master, and PBXs with licenses of their own."""

import pytest

from tests.rules.asking import (
    DEBITED,
    INTERFACE,
    Action,
    Reason,
    ask,
    give_back,
    grant,
    grant_all,
    holders,
    licenses,
    numbers,
    promised,
    refuse,
    used,
    with_more,
    without,
)
from tests.support.masters import InProcess
from tests.support.pbxs.pbx import granted, opened, refused, seat, seats
from tests.support.projects.estates import project

TWO_SLAVES = {"berlin": "slave 12 gateway", "madrid": "slave 12 gateway"}


@pytest.mark.rule("A1")
async def test_slaves_share_the_pool_of_the_master(master: InProcess) -> None:
    estate = project({"PBX-Port12": 5}, pbxs=TWO_SLAVES)
    await master.wire.apply(estate)
    hq, berlin, madrid = [await opened(master.wire, name) for name in ("hq", "berlin", "madrid")]
    taken = [*await grant_all(berlin, *seats("port", 3)), *await grant_all(madrid, *seats("port", 1))]
    assert {(grant.basis, grant.device, grant.reassignable) for grant in taken} == {(DEBITED, "hq-box", True)}
    await grant(hq, seat("port", "boss"))

    refusal = await refuse(madrid, seat("port", "phone-1"))
    assert refusal.reason == Reason.REFUSAL_REASON_POOL_EXHAUSTED
    assert refusal.license_type == "port"
    assert refusal.device == "hq-box"
    assert numbers(refusal) == (5, 5, 1)
    assert list(refusal.rules) == ["A1", "E1", "E2"]
    assert holders(refusal)[0] == ("berlin", "site-berlin", 3)
    assert sorted(holders(refusal)[1:]) == [("hq", "site-hq", 1), ("madrid", "site-madrid", 1)]
    assert refusal.message == "all 5 PBX-Port licenses on hq-box are in use"
    assert (refusal.remedy.license_type, refusal.remedy.quantity, refusal.remedy.device) == ("port", 1, "hq-box")
    assert refusal.remedy.version == "12"
    assert refusal.remedy.text.startswith("bind 1 more PBX-Port license of V12 or newer to hq-box")

    await master.wire.apply(with_more(estate, refusal, "PBX-Port12"))
    await grant(madrid, seat("port", "phone-1"))
    assert await used(master.wire, "port") == (6, 6)


@pytest.mark.rule("A1")
async def test_what_one_slave_returns_another_can_have(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 1}, pbxs=TWO_SLAVES))
    berlin, madrid = await opened(master.wire, "berlin"), await opened(master.wire, "madrid")
    await grant(berlin, seat("port", "alice"))
    refusal = await refuse(madrid, seat("port", "bob"))
    assert holders(refusal) == [("berlin", "site-berlin", 1)]
    assert refusal.remedy.text.endswith("or wait until 1 PBX-Port seat on hq-box comes back")
    await give_back(berlin, seat("port", "alice"))
    await grant(madrid, seat("port", "bob"))
    assert await promised(berlin) == {}
    assert await promised(madrid) == {"port": 1}


@pytest.mark.rule("A1")
async def test_a_type_that_nobody_bought(master: InProcess) -> None:
    estate = project({"PBX-Port12": 5})
    await master.wire.apply(estate)
    berlin = await opened(master.wire, "berlin")
    refusals = refused(await ask(berlin, *seats("mypbx", 3, "user")))
    for refusal in refusals:
        assert refusal.reason == Reason.REFUSAL_REASON_NONE_INSTALLED
        assert list(refusal.rules) == ["A1", "H1"]
        assert refusal.message == "no PBX-myPBX license is installed on hq-box"
        assert numbers(refusal) == (0, 0, 3)
        assert (refusal.remedy.quantity, refusal.remedy.device) == (3, "hq-box")
        assert refusal.remedy.text == "bind 3 more PBX-myPBX licenses of V12 or newer to hq-box"  # nothing to wait for
    await master.wire.apply(with_more(estate, refusals[0], "PBX-myPBX12"))
    await grant_all(berlin, *seats("mypbx", 3, "user"))


@pytest.mark.rule("A1")
async def test_free_licenses_and_those_of_other_slaves_are_no_pool(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": (5, ""), "PBX-Port11": (5, "madrid-box")}, pbxs=TWO_SLAVES))
    berlin = await opened(master.wire, "berlin")
    assert (await refuse(berlin, seat("port", "alice"))).reason == Reason.REFUSAL_REASON_NONE_INSTALLED


@pytest.mark.rule("A2", "A3", "A4")
async def test_a_local_pbx_has_its_own_licenses_and_no_others(master: InProcess) -> None:
    estate = project({"PBX-Port12": 10, "PBX-myPBX12": 10, "PBX-Port11": (2, "berlin-box")}, pbxs=TWO_SLAVES)
    await master.wire.apply(estate)
    berlin, madrid = await opened(master.wire, "berlin", "11"), await opened(master.wire, "madrid")
    for granted_seat in await grant_all(berlin, *seats("port", 2)):
        assert granted_seat.device == "berlin-box"  # A2

    refusals = refused(await ask(berlin, seat("port", "carol"), seat("port", "dave")))
    for refusal in refusals:
        assert refusal.reason == Reason.REFUSAL_REASON_LOCAL_LICENSES_ONLY
        assert list(refusal.rules) == ["A2", "A3"]
        assert refusal.device == "berlin-box"
        assert numbers(refusal) == (2, 2, 2)
        assert holders(refusal) == [("berlin", "site-berlin", 2)]
        assert licenses(refusal.licenses) == [("PBX-Port11", 2, "berlin-box")]
        assert (refusal.remedy.quantity, refusal.remedy.device) == (2, "berlin-box")
        assert "release 2 x PBX-Port11 (license-3) from berlin-box" in refusal.remedy.text
    assert await used(master.wire, "port") == (0, 10)

    for granted_seat in await grant_all(madrid, *seats("port", 3)):  # A4: its neighbour is central
        assert granted_seat.device == "hq-box"
    assert await used(master.wire, "port") == (3, 10)
    assert await used(master.wire, "port", "berlin-box") == (2, 2)

    await master.wire.apply(with_more(estate, refusals[0], "PBX-Port11"))
    await grant_all(berlin, seat("port", "carol"), seat("port", "dave"))


@pytest.mark.rule("A3")
async def test_the_pool_is_closed_also_for_types_without_local_licenses(master: InProcess) -> None:
    estate = project({"PBX-Port12": 10, "PBX-myPBX12": 10, "PBX-Port11": (2, "berlin-box")}, pbxs=TWO_SLAVES)
    await master.wire.apply(estate)
    berlin = await opened(master.wire, "berlin", "11")
    refusals = refused(await ask(berlin, *seats("mypbx", 2, "user")))
    for refusal in refusals:
        assert refusal.reason == Reason.REFUSAL_REASON_LOCAL_LICENSES_ONLY
        assert numbers(refusal) == (0, 0, 2)
        assert licenses(refusal.licenses) == [("PBX-Port11", 2, "berlin-box")]
        assert (refusal.remedy.quantity, refusal.remedy.device) == (2, "berlin-box")
    await master.wire.apply(with_more(estate, refusals[0], "PBX-myPBX11"))
    assert {grant.device for grant in await grant_all(berlin, *seats("mypbx", 2, "user"))} == {"berlin-box"}


@pytest.mark.rule("A3", "A4")
async def test_the_other_remedy_is_to_move_to_the_pool(master: InProcess) -> None:
    estate = project({"PBX-Port12": 10, "PBX-Port11": (1, "berlin-box")})
    await master.wire.apply(estate)
    berlin = await opened(master.wire, "berlin", "11")
    await grant(berlin, seat("port", "alice"))
    assert (await refuse(berlin, seat("port", "bob"))).reason == Reason.REFUSAL_REASON_LOCAL_LICENSES_ONLY
    await give_back(berlin, seat("port", "alice"))
    await master.wire.apply(without(estate, "PBX-Port11"))
    assert {grant.device for grant in await grant_all(berlin, seat("port", "alice"), seat("port", "bob"))} == {"hq-box"}


@pytest.mark.rule("A2")
async def test_local_licenses_serve_nobody_else(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": (5, "berlin-box")}, pbxs=TWO_SLAVES))
    hq, berlin, madrid = [await opened(master.wire, name) for name in ("hq", "berlin", "madrid")]
    for pbx in (hq, madrid):
        refusal = await refuse(pbx, seat("port", "alice"))
        assert refusal.reason == Reason.REFUSAL_REASON_NONE_INSTALLED
        assert refusal.device == "hq-box"
    assert (await grant(berlin, seat("port", "alice"))).device == "berlin-box"


@pytest.mark.rule("A6")
async def test_hardware_licenses_do_not_make_a_pbx_local(master: InProcess) -> None:
    estate = project({"PBX-Port12": 1, "Relay BRIs": (2, "berlin-box")}, pbxs=TWO_SLAVES)
    await master.wire.apply(estate)
    berlin, madrid = await opened(master.wire, "berlin"), await opened(master.wire, "madrid")
    assert (await grant(berlin, seat("port", "alice"))).device == "hq-box"
    assert (await grant(berlin, seat("relay_bri", "bri-1", kind=INTERFACE))).device == "berlin-box"
    exhausted = await refuse(berlin, seat("port", "bob"))
    assert exhausted.reason == Reason.REFUSAL_REASON_POOL_EXHAUSTED  # and not for being local
    elsewhere = await refuse(madrid, seat("relay_bri", "bri-1", kind=INTERFACE))
    assert elsewhere.reason == Reason.REFUSAL_REASON_NONE_INSTALLED
    assert elsewhere.device == "madrid-box"
    assert list(elsewhere.rules) == ["C1"]


@pytest.mark.rule("A6", "C1")
async def test_a_local_pbx_short_of_hardware_is_told_of_its_box_alone(master: InProcess) -> None:
    estate = project({"PBX-Port12": (1, "berlin-box"), "Relay BRIs": (1, "berlin-box")})
    await master.wire.apply(estate)
    berlin = await opened(master.wire, "berlin")
    await grant(berlin, seat("relay_bri", "bri-1", kind=INTERFACE))
    refusal = await refuse(berlin, seat("relay_bri", "bri-2", kind=INTERFACE))
    assert refusal.reason == Reason.REFUSAL_REASON_POOL_EXHAUSTED
    assert list(refusal.rules) == ["C1"]
    assert not refusal.licenses
    await master.wire.apply(with_more(estate, refusal, "Relay BRIs"))
    await grant(berlin, seat("relay_bri", "bri-2", kind=INTERFACE))


@pytest.mark.rule("A1")
async def test_asking_and_returning_twice_changes_nothing(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 5}))
    berlin = await opened(master.wire, "berlin")
    assert not (await grant(berlin, seat("port", "alice"))).already_held
    again = await grant(berlin, seat("PBX Port", "alice"))
    assert again.already_held
    assert (again.basis, again.device, again.reassignable) == (DEBITED, "hq-box", True)
    assert await used(master.wire, "port") == (1, 5)
    await give_back(berlin, seat("port", "alice"))
    assert [result.returned for result in await berlin.give_back(seat("port", "alice"))] == [False]
    assert await used(master.wire, "port") == (0, 5)


@pytest.mark.rule("A1", "A3")
async def test_one_call_mixes_grants_and_refusals(master: InProcess) -> None:
    estate = project({"PBX-Port12": 4, "PBX-myPBX12": 1}, pbxs=TWO_SLAVES)
    await master.wire.apply(estate)
    berlin, madrid = await opened(master.wire, "berlin"), await opened(master.wire, "madrid")
    await grant(madrid, seat("port", "phone-0"))
    await grant(berlin, seat("port", "phone-0"))
    results = await ask(
        berlin,
        seat("port", "phone-0"),  # held already
        seat("mypbx", "user-0"),
        seat("port", "phone-1"),
        seat("unheard of", "x"),
        seat("port", "phone-2"),
        seat("port", "phone-3"),
        seat("mypbx", "user-1"),
        seat("port", "phone-4"),
        seat("port", "phone-5"),
    )
    outcomes = [result.WhichOneof("outcome") for result in results]
    assert [number for number, outcome in enumerate(outcomes) if outcome == "granted"] == [0, 1, 2, 4]
    ports = refused([results[5], results[7], results[8]])
    assert [numbers(refusal) for refusal in ports] == [(4, 4, 5)] * 3  # phone-0 is not new
    assert [refusal.remedy.quantity for refusal in ports] == [3] * 3
    assert holders(ports[0]) == [("berlin", "site-berlin", 3), ("madrid", "site-madrid", 1)]
    assert numbers(results[6].refused) == (1, 1, 2)
    assert results[6].refused.remedy.quantity == 1
    assert results[3].refused.reason == Reason.REFUSAL_REASON_UNKNOWN_LICENSE_TYPE
    assert results[3].refused.remedy.action == Action.REMEDY_ACTION_CORRECT_REQUEST
    await master.wire.apply(with_more(estate, ports[0], "PBX-Port12"))
    granted(await ask(berlin, *(seat("port", f"phone-{number}") for number in range(6))))
