"""Rules A5, C2, D4, E4, E5, I3, I4, L1, L3, L4, L6, L7: which licenses go where, and what stays with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from licensemaster.v1 import license_pb2, project_pb2
from tests.rpc.failures import everything, failure
from tests.rules.asking import GROUP, Action, Reason, grant, grant_all, refuse, used
from tests.support.licenses.releasing import BOUND, FREE, released
from tests.support.masters import InProcess
from tests.support.pbxs.pbx import opened, seat, seats
from tests.support.projects.estates import project
from tests.support.projects.signed_documents import Vendor, bind, enrolled, imported, listed, moved, refusal, release

# --- L1, L3, L7: the balance ------------------------------------------------------------------------------------------


@pytest.mark.rule("L1", "L3", "L7")
async def test_licenses_go_out_of_the_balance_and_come_back(any_master: InProcess, tmp_path: Path) -> None:
    wire, clock = any_master.wire, any_master.clock
    await wire.apply(project({}))
    arrived = await imported(wire, Vendor(), {"ports": ("PBX-Port12", 10)}, now=clock.now)
    (free,) = arrived.licenses
    assert (free.state, free.device, free.binding, free.HasField("first_bind_time")) == (FREE, "", 0, False)
    hq, berlin_box = [await enrolled(wire, tmp_path, device) for device in ("hq-box", "berlin-box")]
    berlin = await opened(wire, "berlin")
    assert (await refuse(berlin, seat("port", "alice"))).reason == Reason.REFUSAL_REASON_NONE_INSTALLED
    (result,) = await bind(wire, "hq-box", "ports")
    assert (result.moved.state, result.moved.device, result.moved.binding) == (BOUND, "hq-box", 1)
    assert hq.accept_binding(result.binding).quantity == 10
    first = result.moved.first_bind_time
    assert first.seconds == int(clock.now)
    await grant_all(berlin, *seats("port", 10))
    await berlin.give_back(*seats("port", 10))
    clock.advance(1000)
    assert (await released(wire, hq, "ports")).state == FREE
    assert await used(wire, "port") == (0, 0)
    moved(await bind(wire, "berlin-box", "ports"))  # any device of the project
    assert await used(wire, "port", "berlin-box") == (0, 10)
    clock.advance(1000)
    back = await released(wire, berlin_box, "ports", to_device="hq-box")
    assert (back.device, back.binding, back.first_bind_time) == ("hq-box", 3, first)
    assert back.bind_time.seconds == int(clock.now)


@pytest.mark.rule("L1", "L3")
async def test_what_cannot_be_bound(any_master: InProcess, tmp_path: Path) -> None:
    wire = any_master.wire
    estate = project({})
    estate.devices.add(name="idle-box", platform="gateway")
    await wire.apply(estate)
    other = project({})
    other.name = "other"
    other.devices[0].name = other.pbxs[0].device = "their-box"
    await wire.apply(other)
    await imported(wire, Vendor(), {"ports": ("PBX-Port12", 10), "more": ("PBX-Port12", 1)}, now=any_master.clock.now)
    moved(await bind(wire, "hq-box", "more"))
    before = await everything(wire)
    for device, license_id, problem in (
        ("attic-box", "ports", license_pb2.MOVE_PROBLEM_UNKNOWN_DEVICE),
        ("their-box", "ports", license_pb2.MOVE_PROBLEM_UNKNOWN_DEVICE),
        ("idle-box", "ports", license_pb2.MOVE_PROBLEM_DEVICE_WITHOUT_PBX),
        ("hq-box", "more", license_pb2.MOVE_PROBLEM_ALREADY_THERE),
        ("berlin-box", "more", license_pb2.MOVE_PROBLEM_ALREADY_BOUND),
        ("hq-box", "no-such", license_pb2.MOVE_PROBLEM_UNKNOWN_LICENSE),
    ):
        assert refusal(await bind(wire, device, license_id)).problem == problem
    assert "berlin-box, hq-box" in refusal(await bind(wire, "attic-box", "ports")).remedy
    for to_device in ("", "hq-box"):
        refused = refusal(await release(wire, "ports", to_device=to_device))
        assert refused.problem == license_pb2.MOVE_PROBLEM_NOT_BOUND
    there = refusal(await release(wire, "more", to_device="hq-box"))
    assert there.problem == license_pb2.MOVE_PROBLEM_ALREADY_THERE
    for request in (
        license_pb2.BindLicensesRequest(project="projects/other", licenses=["ports"], device="their-box"),
        license_pb2.BindLicensesRequest(project="projects/other", licenses=["ports"], device="hq-box"),
    ):
        request.request_id = request.device
        (result,) = (await wire.licenses.BindLicenses(request)).results
        assert result.HasField("refused")
    after = await everything(wire)
    assert [line for line in after if "license" in line] != []
    assert after[-3:] == before[-3:]
    moved(await bind(wire, "berlin-box", "ports"))


@pytest.mark.rule("L1")
async def test_declared_licenses_move_in_the_project_file_only(master: InProcess, tmp_path: Path) -> None:
    wire = master.wire
    await wire.apply(project({"PBX-Port12": 5, "PBX-Port 12": (5, "")}))
    await enrolled(wire, tmp_path, "hq-box")
    before = (await listed(wire)).values()
    assert {license.origin for license in before} == {license_pb2.LICENSE_ORIGIN_DECLARED}
    for results in (await release(wire, "license-1"), await bind(wire, "hq-box", "license-2")):
        refused = refusal(results)
        assert refused.problem == license_pb2.MOVE_PROBLEM_DECLARED_IN_FILE
        assert "project file" in refused.remedy
    assert list((await listed(wire)).values()) == list(before)
    await wire.apply(project({"PBX-Port12": (5, "berlin-box"), "PBX-Port 12": (5, "")}))
    assert await used(wire, "port", "berlin-box") == (0, 5)


@pytest.mark.rule("L1")
async def test_a_project_file_takes_nothing_away_from_imported_licenses(any_master: InProcess, tmp_path: Path) -> None:
    wire = any_master.wire
    await wire.apply(project({"PBX-Port12": 5}))
    await imported(wire, Vendor(), {"ports": ("PBX-Port12", 10), "free": ("PBX-Port12", 1)}, now=any_master.clock.now)
    key = await enrolled(wire, tmp_path, "berlin-box")
    moved(await bind(wire, "berlin-box", "ports"))
    without_berlin = project({"PBX-Port12": 5}, pbxs={})
    clashing = project({"PBX-Port12": 5})
    clashing.licenses[0].id = "free"
    before = await everything(wire)
    for wrong, named in ((without_berlin, "ports"), (clashing, "free")):
        failed = await failure(wire.apply(wrong))
        assert (failed.reason, named in failed.message) == ("PROJECT_INVALID", True)
        assert await everything(wire) == before
    await wire.apply(project({}))  # what the file does not name is not the file's to remove
    assert [*await listed(wire)] == ["free", "ports"]
    await released(wire, key, "ports")
    await wire.apply(without_berlin)
    assert (await listed(wire))["ports"].state == FREE


# --- A5: from local to central ----------------------------------------------------------------------------------------


@pytest.mark.rule("A5", "L3")
async def test_a_local_site_becomes_central(master: InProcess, tmp_path: Path) -> None:
    wire = master.wire
    await wire.apply(project({"PBX-Port12": 2}))
    await imported(wire, Vendor(), {"berlins": ("PBX-Port12", 3)}, now=master.clock.now)
    key = await enrolled(wire, tmp_path, "berlin-box")
    moved(await bind(wire, "berlin-box", "berlins"))
    berlin = await opened(wire, "berlin")
    await grant_all(berlin, *seats("port", 3))
    assert (await refuse(berlin, seat("port", "fourth"))).reason == Reason.REFUSAL_REASON_LOCAL_LICENSES_ONLY  # A3
    await berlin.give_back(*seats("port", 3))
    assert (await released(wire, key, "berlins")).state == FREE
    moved(await bind(wire, "hq-box", "berlins"))
    for granted in await grant_all(berlin, *seats("port", 5)):
        assert granted.device == "hq-box"
    assert await used(wire, "port") == (5, 5)


@pytest.mark.rule("A5", "L4")
@pytest.mark.parametrize(("software", "allowed"), [("6", False), ("7", False), ("7r2", False), ("8", True)])
async def test_old_firmware_gives_nothing_back(master: InProcess, tmp_path: Path, software: str, allowed: bool) -> None:
    wire = master.wire
    await wire.apply(project({}, pbxs={"berlin": f"slave {software} gateway"}))
    await imported(wire, Vendor(), {"berlins": ("PBX-Port12", 3)}, now=master.clock.now)
    key = await enrolled(wire, tmp_path, "berlin-box")
    moved(await bind(wire, "berlin-box", "berlins"))
    if allowed:
        assert (await released(wire, key, "berlins", to_device="hq-box")).device == "hq-box"
        return
    before = await everything(wire)
    for to_device in ("", "hq-box"):
        result = await release(wire, "berlins", to_device=to_device, in_use=license_pb2.IN_USE_FORCE)
        refused = refusal(result)
        assert (refused.problem, refused.device) == (license_pb2.MOVE_PROBLEM_FIRMWARE_TOO_OLD, "berlin-box")
        assert "L4" in refused.rules
        assert "8" in refused.remedy
    assert (await everything(wire))[-3:] == before[-3:]
    await opened(wire, "berlin", "8")  # upgraded: what it says it runs counts
    assert (await released(wire, key, "berlins")).state == FREE


def placed(software: str, *licenses: tuple[str, str, int, str]) -> project_pb2.Project:
    """Berlin runs that software; licenses are (id, printed name, quantity, device)."""
    made = project({}, pbxs={"berlin": f"slave {software} gateway"})
    for license_id, printed, quantity, device in licenses:
        made.licenses.add(id=license_id, type=printed, quantity=quantity, device=device)
    return made


@pytest.mark.rule("L4", "C2")
@pytest.mark.parametrize("printed", ["PBX-Port8", "Relay BRIs"])
async def test_no_way_round_it_by_a_project_file(master: InProcess, printed: str) -> None:
    """Not to another device nor into the balance, by its id, under another id, or bit by bit; not by a word either."""
    wire, software = master.wire, "7" if printed == "PBX-Port8" else "12"
    await wire.apply(placed(software, ("mine", printed, 5, "berlin-box"), ("other", printed, 2, "hq-box")))
    stays = ("mine", printed, 5, "berlin-box"), ("other", printed, 2, "hq-box")
    for moving in (
        [("mine", printed, 5, "hq-box"), stays[1]],
        [("mine", printed, 5, ""), stays[1]],
        [("renamed", printed, 5, "hq-box"), stays[1]],
        [("mine", printed, 3, "berlin-box"), stays[1], ("rest", printed, 2, "")],
        [("mine", printed, 4, "berlin-box"), ("other", printed, 3, "hq-box")],
    ):
        failed = await failure(wire.apply(placed(software, *moving)))
        ((field, reason),) = failed.fields.items()
        assert field.startswith("licenses[")
        assert "L4" in reason
        assert "bound to berlin-box for good" in reason
    if software == "7":  # said and moved in one breath
        assert "L4" in (await failure(wire.apply(placed("8", ("mine", printed, 5, "hq-box"), stays[1])))).message
    assert await used(wire, {"PBX-Port8": "port", "Relay BRIs": "relay_bri"}[printed], "berlin-box") == (0, 5)
    await wire.apply(placed(software, stays[1], ("bought", printed, 9, "berlin-box")))  # it was 9 from the start
    await wire.apply(placed(software, stays[1]))  # and is not there at all: a declaration is corrected


@pytest.mark.rule("L4")
async def test_what_a_pbx_says_it_runs_counts_for_a_project_file(master: InProcess) -> None:
    wire = master.wire
    await wire.apply(placed("7", ("mine", "PBX-Port8", 5, "berlin-box")))
    await opened(wire, "berlin", "8")
    await wire.apply(placed("8", ("mine", "PBX-Port8", 5, "hq-box")))
    assert await used(wire, "port") == (0, 5)


@pytest.mark.rule("A5", "A2")
@pytest.mark.parametrize(("software", "may"), [("6", False), ("7r3", False), ("8", True)])
async def test_old_software_draws_on_no_pool(master: InProcess, software: str, may: bool) -> None:
    wire = master.wire
    estate = project({"PBX-Port12": 5}, pbxs={"berlin": f"slave {software} gateway"})
    warnings = list((await wire.apply(estate)).warnings)
    assert any("gets nothing new from the pool" in warning and "rule A5" in warning for warning in warnings) is not may
    berlin, hq = await opened(wire, "berlin", software), await opened(wire, "hq", software)
    await grant_all(hq, seat("port", "boss"))  # the master's own PBX is where its licenses are
    await grant_all(berlin, seat("port", "sales", kind=GROUP))  # what needs no license draws on nothing
    if may:
        await grant(berlin, seat("port", "alice"))
        return
    refused = await refuse(berlin, seat("port", "alice"))
    assert refused.reason == Reason.REFUSAL_REASON_SOFTWARE_TOO_OLD
    assert list(refused.rules) == ["A5", "L4"]
    assert (refused.remedy.action, refused.remedy.version) == (Action.REMEDY_ACTION_UPGRADE_SOFTWARE, "8")
    estate.licenses.add(id="own", type="PBX-Port8", quantity=1, device="berlin-box")
    await wire.apply(estate)  # licenses of its own need no pool
    await grant(berlin, seat("port", "alice"))
    await berlin.open("8")


@pytest.mark.rule("L5")
async def test_a_project_file_that_takes_what_is_in_use_hears_who_has_it(master: InProcess) -> None:
    wire = master.wire
    await wire.apply(project({"PBX-Port12": 9}))
    berlin, hq = await opened(wire, "berlin"), await opened(wire, "hq")
    await grant_all(berlin, *seats("port", 3))
    await grant_all(hq, *seats("port", 4))
    failed = await failure(wire.apply(project({"PBX-Port12": 5})))
    assert "7 are in use (rule L5), most by hq (4), berlin (3); return 2 seats first" in failed.message


# --- C2, D4, L4: for good ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("printed", "rule"),
    [
        pytest.param("Relay BRIs", "C2", marks=pytest.mark.rule("C2", "L4")),
        pytest.param("Relay PRIs", "C2", marks=pytest.mark.rule("C2", "L4")),
        pytest.param("Relay channels", "C2", marks=pytest.mark.rule("C2", "L4")),
        pytest.param("PBX-IPVA12", "D4", marks=pytest.mark.rule("D4", "L4")),
    ],
)
async def test_bound_for_good(master: InProcess, tmp_path: Path, printed: str, rule: str) -> None:
    wire = master.wire
    machines = {"hq": "master 12 ipva", "vm": "slave 12 ipva"}
    await wire.apply(project({printed: (2, "vm-box")}, pbxs=machines))
    await imported(wire, Vendor(), {"mine": (printed, 4)}, now=master.clock.now)
    await enrolled(wire, tmp_path, "vm-box")
    assert moved(await bind(wire, "vm-box", "mine")).state == BOUND  # while it is free it may go anywhere
    before = await everything(wire)
    for in_use in license_pb2.InUse.values():
        for to_device in ("", "hq-box"):
            refused = refusal(await release(wire, "mine", in_use=in_use, to_device=to_device))
            assert (refused.problem, refused.device) == (license_pb2.MOVE_PROBLEM_NOT_RELEASABLE, "vm-box")
            assert rule in refused.rules
    dead = refusal(await release(wire, "mine", device_dead=True))
    assert dead.problem == license_pb2.MOVE_PROBLEM_NOT_RELEASABLE
    for elsewhere in (project({printed: (2, "hq-box")}, pbxs=machines), project({printed: (2, "")})):
        failed = await failure(wire.apply(elsewhere))
        assert failed.reason == "PROJECT_INVALID"
        assert "for good" in failed.message or "vm-box" in failed.message
    assert (await everything(wire))[-3:] == before[-3:]
