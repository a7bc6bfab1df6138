"""Rule L8: license names are read in every spelling, and printed as the documents print them."""

from collections.abc import Iterable

import grpc
import pytest

from licensemaster.v1 import project_pb2
from tests.domain.catalog.test_catalog_names import OTHER_SPELLINGS, PRINTED
from tests.rpc.failures import failure
from tests.rules.asking import CHANNEL, INTERFACE, Action, Reason, grant, held, refuse, status, used
from tests.support.masters import PROJECT, InProcess
from tests.support.pbxs.pbx import opened, seat
from tests.support.projects.estates import project

RIVAL = "voicemail_user"  # cannot be in one project file with the other model (I3)
NAMES = [printed for printed, meaning in PRINTED.items() if meaning[0] != RIVAL]


def bought(names: Iterable[str]) -> dict[str, int]:
    """Enough of the lowest tiers that the higher ones may join them (E5)."""
    return {name: 1 if "%" in name else 5000 for name in names}


@pytest.mark.rule("L8")
async def test_every_printed_name_comes_back_as_printed(any_master: InProcess) -> None:
    await any_master.wire.apply(project(bought(NAMES), pbxs={"hq": "master 12 ipva"}))
    request = project_pb2.GetProjectRequest(name=f"projects/{PROJECT}")
    stored = (await any_master.wire.projects.GetProject(request)).project
    assert sorted(license.type for license in stored.licenses) == sorted(NAMES)
    pools = {pool.license_type: (pool.display_name, pool.capacity) for pool in (await status(any_master.wire)).pools}
    assert set(pools) == {PRINTED[printed][0] for printed in NAMES}
    assert pools["port"] == ("PBX-Port", 5004)
    assert pools["relay_bri"] == ("Relay BRIs", 5000)
    assert pools["recording_user"] == ("PBX-Recording User", 5000)


@pytest.mark.rule("L8")
async def test_other_spellings_mean_the_same_license(master: InProcess) -> None:
    spelled = {printed.replace("-", " ").upper(): printed for printed in NAMES} | OTHER_SPELLINGS
    await master.wire.apply(project(bought(spelled), pbxs={"hq": "master 12 ipva"}))
    request = project_pb2.GetProjectRequest(name=f"projects/{PROJECT}")
    stored = (await master.wire.projects.GetProject(request)).project
    assert sorted(license.type for license in stored.licenses) == sorted(spelled.values())


@pytest.mark.rule("L8")
@pytest.mark.parametrize(
    ("printed", "reason"),
    [
        ("PBX-Prot12", "'PBX-Prot12' is no license of the catalog 'innovaphone'; it has "),
        ("PBX-Port", "'PBX-Port' lacks its version; write it like 'PBX-Port12'"),
        ("PBX-Port 12%700", "'PBX-Port 12%700' has no price tier %700; the tiers are %500, %1000, %2000, %5000"),
        ("myPBX for Android", "'myPBX for Android' cannot exist: it needs no license of its own"),
    ],
)
async def test_other_names_are_refused(master: InProcess, printed: str, reason: str) -> None:
    failed = await failure(master.wire.apply(project({printed: 1})))
    assert failed.code is grpc.StatusCode.INVALID_ARGUMENT
    assert failed.message.startswith(reason)
    with pytest.raises(grpc.aio.AioRpcError):
        await status(master.wire)  # nothing was stored


@pytest.mark.rule("L8")
@pytest.mark.parametrize("spelling", ["port", "PBX-Port", "pbx port", "PBXPort", "P B X - p o r t"])
async def test_a_seat_is_named_in_any_spelling(master: InProcess, spelling: str) -> None:
    await master.wire.apply(project({"PBX-Port12": 1}))
    berlin = await opened(master.wire, "berlin")
    await grant(berlin, seat(spelling, "alice"))
    assert (await grant(berlin, seat("port", "alice"))).already_held
    assert await held(master.wire, berlin) == {("port", "alice")}
    assert [result.returned for result in await berlin.give_back(seat(spelling, "alice"))] == [True]
    assert await used(master.wire, "port") == (0, 1)


@pytest.mark.rule("L8")
@pytest.mark.parametrize("spelling", ["prot", "PBX-Port12x", "port' OR 1=1", "ポート"])
async def test_an_unknown_type_is_refused_with_those_that_exist(master: InProcess, spelling: str) -> None:
    await master.wire.apply(project({"PBX-Port12": 1}))
    berlin = await opened(master.wire, "berlin")
    refusal = await refuse(berlin, seat(spelling, "alice"))
    assert refusal.reason == Reason.REFUSAL_REASON_UNKNOWN_LICENSE_TYPE
    assert list(refusal.rules) == ["L8"]
    assert refusal.license_type == spelling
    assert refusal.remedy.action == Action.REMEDY_ACTION_CORRECT_REQUEST
    assert "port" in refusal.remedy.text.removeprefix("use one of ").split(", ")
    assert [result.returned for result in await berlin.give_back(seat(spelling, "alice"))] == [False]


@pytest.mark.rule("L8")
async def test_hardware_is_named_as_printed_too(master: InProcess) -> None:
    await master.wire.apply(project({"Relay BRIs": 1, "Relay PRIs": 1, "Relay channels": 1}))
    hq = await opened(master.wire, "hq")
    await grant(hq, seat("Relay BRIs", "one", kind=INTERFACE))
    await grant(hq, seat("relay-pris", "one", kind=INTERFACE))
    await grant(hq, seat("RELAY CHANNEL", "one", kind=CHANNEL))
    assert await held(master.wire, hq) == {("relay_bri", "one"), ("relay_pri", "one"), ("relay_channel", "one")}
