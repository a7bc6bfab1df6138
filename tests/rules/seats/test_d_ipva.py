"""Section D: IPVA seats beside Port seats on virtual machines."""

import pytest

from tests.rules.asking import (
    GROUP,
    Reason,
    ask,
    give_back,
    grant,
    grant_all,
    held,
    holders,
    licenses,
    numbers,
    promised,
    refuse,
    used,
    with_more,
)
from tests.support.masters import InProcess
from tests.support.pbxs.pbx import granted, opened, refused, seat, seats
from tests.support.projects.estates import project

VIRTUAL = {"hq": "master 12 ipva", "cloud": "slave 12 ipva", "berlin": "slave 12 gateway"}


@pytest.mark.rule("D1")
async def test_come_together_and_go_together(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 5, "PBX-IPVA12": 5}, pbxs=VIRTUAL))
    cloud = await opened(master.wire, "cloud")
    await grant(cloud, seat("port", "alice"))
    assert await held(master.wire, cloud) == {("port", "alice"), ("ipva", "alice")}
    assert (await grant(cloud, seat("port", "alice"))).already_held
    assert await promised(cloud) == {"port": 1, "ipva": 1}
    await give_back(cloud, seat("port", "alice"))
    assert await held(master.wire, cloud) == set()
    await grant_all(cloud, *seats("port", 3))
    assert (await cloud.close()).seats_returned == 6
    assert (await used(master.wire, "port"), await used(master.wire, "ipva")) == ((0, 5), (0, 5))


@pytest.mark.rule("D1")
async def test_only_on_virtual_machines(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 5}, pbxs=VIRTUAL))
    berlin, cloud = await opened(master.wire, "berlin"), await opened(master.wire, "cloud")
    await grant(berlin, seat("port", "alice"))
    assert (await refuse(cloud, seat("port", "alice"))).reason == Reason.REFUSAL_REASON_COMPANION_EXHAUSTED


@pytest.mark.rule("D1", "D2")
async def test_both_or_neither_when_ipva_runs_out(master: InProcess) -> None:
    estate = project({"PBX-Port12": 10, "PBX-IPVA12": 3}, pbxs=VIRTUAL)
    await master.wire.apply(estate)
    cloud, berlin = await opened(master.wire, "cloud"), await opened(master.wire, "berlin")
    await grant(cloud, seat("port", "phone-0"))
    results = await ask(cloud, *seats("port", 5))
    granted(results[:3])
    for refusal in refused(results[3:]):
        assert refusal.reason == Reason.REFUSAL_REASON_COMPANION_EXHAUSTED
        assert list(refusal.rules) == ["D1", "D2"]
        assert refusal.license_type == "ipva"
        assert refusal.device == "hq-box"
        assert numbers(refusal) == (3, 3, 4)
        assert holders(refusal) == [("cloud", "site-cloud", 3)]
        assert refusal.message == (
            "a PBX-Port seat on cloud needs a PBX-IPVA seat with it, and all 3 of those are in use"
        )
        assert (refusal.remedy.license_type, refusal.remedy.quantity) == ("ipva", 2)
    assert (await used(master.wire, "port"), await used(master.wire, "ipva")) == ((3, 10), (3, 3))
    await grant(berlin, seat("port", "bob"))  # a gateway needs none

    await give_back(cloud, seat("port", "phone-0"))  # one remedy: a seat comes back
    await grant(cloud, seat("port", "phone-3"))
    await master.wire.apply(with_more(estate, results[4].refused, "PBX-IPVA12"))  # the other: more licenses
    await grant_all(cloud, seat("port", "phone-0"), seat("port", "phone-4"))
    assert (await used(master.wire, "port"), await used(master.wire, "ipva")) == ((6, 10), (5, 5))


@pytest.mark.rule("D1")
async def test_both_or_neither_when_ports_run_out(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 2, "PBX-IPVA12": 5}, pbxs=VIRTUAL))
    cloud = await opened(master.wire, "cloud")
    results = await ask(cloud, *seats("port", 3))
    granted(results[:2])
    assert refused(results[2:])[0].reason == Reason.REFUSAL_REASON_POOL_EXHAUSTED  # named before the companion
    assert refused(results[2:])[0].license_type == "port"
    assert await used(master.wire, "ipva") == (2, 5)


@pytest.mark.rule("D2")
async def test_without_any_ipva_license_no_port_works(master: InProcess) -> None:
    estate = project({"PBX-Port12": 5}, pbxs=VIRTUAL)
    await master.wire.apply(estate)
    cloud = await opened(master.wire, "cloud")
    refusals = refused(await ask(cloud, *seats("port", 4)))
    for refusal in refusals:
        assert refusal.reason == Reason.REFUSAL_REASON_COMPANION_EXHAUSTED
        assert numbers(refusal) == (0, 0, 4)
        assert refusal.remedy.quantity == 4
    await grant(cloud, seat("port", "sales", kind=GROUP))  # a group needs neither
    await master.wire.apply(with_more(estate, refusals[0], "PBX-IPVA12"))
    await grant_all(cloud, *seats("port", 4))


@pytest.mark.rule("D1")
async def test_an_ipva_seat_is_never_asked_for_by_itself(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 5, "PBX-IPVA12": 5}, pbxs=VIRTUAL))
    cloud = await opened(master.wire, "cloud")
    await grant(cloud, seat("port", "alice"))
    for holder in ("alice", "bob"):
        refusal = await refuse(cloud, seat("ipva", holder))
        assert refusal.reason == Reason.REFUSAL_REASON_HOLDER_KIND
        assert refusal.remedy.text == "acquire the seat that it belongs to; this one is debited with it"
    assert [result.returned for result in await cloud.give_back(seat("ipva", "alice"))] == [False]
    assert await held(master.wire, cloud) == {("port", "alice"), ("ipva", "alice")}


@pytest.mark.rule("D3")
async def test_held_against_the_software_too(master: InProcess) -> None:
    estate = project({"PBX-Port12": 5, "PBX-IPVA11": (5, "cloud-box")}, pbxs=VIRTUAL)
    await master.wire.apply(estate)
    cloud, berlin = await opened(master.wire, "cloud", "12"), await opened(master.wire, "berlin", "12")
    refusal = await refuse(cloud, seat("port", "alice"))
    assert refusal.reason == Reason.REFUSAL_REASON_VERSION_LIMIT
    assert list(refusal.rules) == ["B3", "B5", "D3"]
    assert refusal.license_type == "ipva"
    assert refusal.device == "cloud-box"
    assert licenses(refusal.licenses) == [("PBX-IPVA11", 5, "cloud-box")]
    await grant(berlin, seat("port", "alice"))  # the pool itself is not limited by them
    await cloud.open("11")
    await grant(cloud, seat("port", "alice"))


@pytest.mark.rule("D3")
async def test_in_the_pool_they_limit_the_installation(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 5, "PBX-IPVA11": 5}, pbxs=VIRTUAL))
    berlin = await opened(master.wire, "berlin", "12")
    refusal = await refuse(berlin, seat("port", "alice"))
    assert licenses(refusal.licenses) == [("PBX-IPVA11", 5, "hq-box")]
    await berlin.open("11")
    await grant(berlin, seat("port", "alice"))


@pytest.mark.rule("D5")
async def test_own_ones_first_then_the_pool(master: InProcess) -> None:
    pbxs = {"hq": "master 12 ipva", "cloud": "slave 12 ipva", "sky": "slave 12 ipva"}
    licensed: dict[str, int | tuple[int, str]] = {"PBX-Port12": 10, "PBX-IPVA12": 2}
    licensed |= {"PBX-IPVA11": (2, "cloud-box"), "PBX-IPVA13": (1, "sky-box")}
    estate = project(licensed, pbxs=pbxs)
    await master.wire.apply(estate)
    hq, cloud, sky = [await opened(master.wire, name, "11") for name in ("hq", "cloud", "sky")]
    taken = await grant_all(cloud, *seats("port", 3))
    assert {grant.device for grant in taken} == {"hq-box"}  # having IPVA licenses makes nobody local
    assert await used(master.wire, "ipva", "cloud-box") == (2, 2)
    assert await used(master.wire, "ipva") == (1, 2)
    await grant(sky, seat("port", "alice"))
    assert await used(master.wire, "ipva", "sky-box") == (1, 1)
    await grant(hq, seat("port", "boss"))  # the master's own are the pool's
    for pbx in (sky, cloud, hq):
        refusal = await refuse(pbx, seat("port", "one-more"))
        assert refusal.reason == Reason.REFUSAL_REASON_COMPANION_EXHAUSTED
        assert refusal.device == "hq-box"
    assert numbers(await refuse(sky, seat("port", "one-more"))) == (3, 3, 1)  # its own and the pool's

    await give_back(cloud, seat("port", "phone-0"))  # frees one of cloud's own: no use to sky
    assert (await refuse(sky, seat("port", "bob"))).reason == Reason.REFUSAL_REASON_COMPANION_EXHAUSTED
    await grant(cloud, seat("port", "phone-0"))


@pytest.mark.rule("D5")
async def test_own_ones_that_are_too_old_leave_the_pools(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 5, "PBX-IPVA12": 1, "PBX-IPVA11": (5, "cloud-box")}, pbxs=VIRTUAL))
    cloud = await opened(master.wire, "cloud", "12")
    await grant(cloud, seat("port", "alice"))
    assert await used(master.wire, "ipva") == (1, 1)
    assert numbers(await refuse(cloud, seat("port", "bob"))) == (1, 1, 1)
    await cloud.open("11")
    await grant(cloud, seat("port", "bob"))
    assert await used(master.wire, "ipva", "cloud-box") == (1, 5)


# --- D3, A3: refusals name the licenses that are the reason -----------------------------------------------------------


@pytest.mark.rule("D3", "D5")
async def test_used_up_in_the_pool_and_too_old_on_its_own_machine(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 5, "PBX-IPVA12": 1, "PBX-IPVA11": (5, "cloud-box")}, pbxs=VIRTUAL))
    cloud = await opened(master.wire, "cloud", "12")
    await grant(cloud, seat("port", "alice"))
    refusal = await refuse(cloud, seat("port", "bob"))
    assert refusal.reason == Reason.REFUSAL_REASON_COMPANION_EXHAUSTED
    assert list(refusal.rules) == ["D1", "D2", "B2", "D3"]
    assert licenses(refusal.licenses) == [("PBX-IPVA11", 5, "cloud-box")]
    assert "too old for its software: 5 x PBX-IPVA11" in refusal.message


@pytest.mark.rule("A3", "D2")
async def test_a_local_machine_hears_that_the_pool_is_closed_to_it(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": (5, "cloud-box"), "PBX-IPVA12": 9}, pbxs=VIRTUAL))
    cloud = await opened(master.wire, "cloud")
    refusal = await refuse(cloud, seat("port", "alice"))
    assert refusal.reason == Reason.REFUSAL_REASON_COMPANION_EXHAUSTED
    assert list(refusal.rules) == ["D1", "D2", "A3"]
    assert licenses(refusal.licenses) == [("PBX-Port12", 5, "cloud-box")]
    assert refusal.remedy.device == "cloud-box"
