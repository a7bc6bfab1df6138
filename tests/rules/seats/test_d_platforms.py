"""Section D where devices change: licenses go onto virtual machines only, and a PBX comes onto one or leaves it."""

from __future__ import annotations

from pathlib import Path

import pytest

from licensemaster.v1 import license_pb2, project_pb2
from tests.rpc.failures import failure
from tests.rules.asking import GROUP, Reason, give_back, grant, grant_all, held, refuse, used, with_more
from tests.support.databases.truth import mismatches
from tests.support.masters import InProcess
from tests.support.pbxs.pbx import granted, opened, seat, seats
from tests.support.pbxs.standbys import standing_by
from tests.support.projects.estates import project
from tests.support.projects.plans import plan, rebind
from tests.support.projects.signed_documents import Vendor, bind, imported, moved
from tests.support.projects.signed_documents import refusal as refusal_of

VIRTUAL = {"hq": "master 12 ipva", "cloud": "slave 12 ipva", "berlin": "slave 12 gateway"}

# --- D4: onto virtual machines only -----------------------------------------------------------------------------------


@pytest.mark.rule("D4", "D5")
async def test_a_remedy_names_a_virtual_machine(master: InProcess) -> None:
    estate = project({"PBX-Port12": 5}, pbxs={"cloud": "slave 12 ipva"})  # the master is a gateway
    await master.wire.apply(estate)
    cloud = await opened(master.wire, "cloud")
    refusal = await refuse(cloud, seat("port", "alice"))
    assert (refusal.device, refusal.remedy.device) == ("cloud-box", "cloud-box")
    await master.wire.apply(with_more(estate, refusal, "PBX-IPVA12"))
    await grant(cloud, seat("port", "alice"))


@pytest.mark.rule("D4")
async def test_not_onto_a_gateway_by_any_way(master: InProcess, tmp_path: Path) -> None:
    wire, machine = master.wire, {"cloud": "slave 12 ipva", "sky": "slave 12 ipva"}
    failed = await failure(wire.apply(project({"PBX-IPVA12": 5}, pbxs=machine)))
    assert failed.fields == {
        "licenses[0].device": "PBX-IPVA12 goes onto devices of the platform ipva only, hq-box is a gateway (rule D4)"
    }
    declared = project({"PBX-IPVA12": (5, "cloud-box")}, pbxs=machine)
    await wire.apply(declared)
    await imported(wire, Vendor(), {"more": ("PBX-IPVA12", 3)}, now=master.clock.now)
    refused = refusal_of(await bind(wire, "hq-box", "more"))
    assert refused.problem == license_pb2.MOVE_PROBLEM_WRONG_PLATFORM
    assert list(refused.rules) == ["D4"]
    assert "a device of the platform ipva" in refused.remedy
    planned = await plan(wire, rebind("more", to="hq-box"))
    assert [obstacle.refusal.problem for obstacle in planned.obstacles] == [license_pb2.MOVE_PROBLEM_WRONG_PLATFORM]
    moved(await bind(wire, "sky-box", "more"))
    for name in ("cloud-box", "sky-box"):  # neither the declared nor the imported ones find themselves on a gateway
        changed = project_pb2.Project()
        changed.CopyFrom(declared)
        next(device for device in changed.devices if device.name == name).platform = "gateway"
        assert "rule D4" in (await failure(wire.apply(changed))).message


# --- D1, D2: a device becomes another one under seats that are held ---------------------------------------------------


def becoming(estate: project_pb2.Project, platform: str, *, device: str = "berlin-box") -> project_pb2.Project:
    """The project with a device of another platform."""
    changed = project_pb2.Project()
    changed.CopyFrom(estate)
    next(each for each in changed.devices if each.name == device).platform = platform
    return changed


def on_spare(estate: project_pb2.Project, platform: str) -> project_pb2.Project:
    """The project with Berlin's PBX moved to another device."""
    changed = project_pb2.Project()
    changed.CopyFrom(estate)
    changed.devices.add(name="spare-box", platform=platform)
    next(pbx for pbx in changed.pbxs if pbx.name == "berlin").device = "spare-box"
    return changed


@pytest.mark.rule("D1", "D2")
@pytest.mark.parametrize("way", ["platform", "device"])
async def test_a_pbx_that_moves_onto_a_virtual_machine(any_master: InProcess, database_url: str, way: str) -> None:
    """Its seats get their IPVA seats, all of them or the change is refused; off it they give them back."""
    wire = any_master.wire
    estate = project({"PBX-Port12": 10, "PBX-IPVA12": 3}, pbxs=VIRTUAL)
    await wire.apply(estate)
    berlin = await opened(wire, "berlin")
    await grant_all(berlin, *seats("port", 4), seat("port", "sales", kind=GROUP))
    change = becoming if way == "platform" else on_spare
    virtual = change(estate, "ipva")
    before = await held(wire, berlin)
    for dry_run in (True, False):
        failed = await failure(wire.apply(virtual, dry_run=dry_run))
        ((field, reason),) = failed.fields.items()
        assert field == ("devices[2].platform" if way == "platform" else "pbxs[2].device")
        assert "1 would have none (rules D1, D2)" in reason
        assert "bind 1 more PBX-IPVA license" in reason
        assert "or have 1 seats returned first" in reason
    assert await held(wire, berlin) == before

    await give_back(berlin, seat("port", "phone-0"))
    warnings = (await wire.apply(virtual, dry_run=True)).warnings
    assert await used(wire, "ipva") == (0, 3)
    assert (await wire.apply(virtual)).warnings == warnings
    assert any("3 companion seats are debited beside its 3 seats" in warning for warning in warnings)
    phones = {f"phone-{number}" for number in (1, 2, 3)}
    assert await held(wire, berlin) == {(kind, phone) for kind in ("port", "ipva") for phone in phones}
    assert await used(wire, "ipva") == (3, 3)
    assert (await refuse(berlin, seat("port", "one-more"))).reason == Reason.REFUSAL_REASON_COMPANION_EXHAUSTED
    await give_back(berlin, seat("port", "phone-1"))
    assert await used(wire, "ipva") == (2, 3)

    back = change(estate, "gateway")
    assert any(
        "0 companion seats are debited beside its 2 seats, 2 were" in warning
        for warning in (await wire.apply(back)).warnings
    )
    assert await used(wire, "ipva") == (0, 3)
    assert await used(wire, "port") == (2, 10)
    await grant(berlin, seat("port", "one-more"))
    assert await mismatches(database_url) == []


@pytest.mark.rule("D1", "D3")
async def test_ipva_licenses_that_are_too_old_settle_nothing(master: InProcess) -> None:
    estate = project({"PBX-Port12": 5, "PBX-IPVA11": (5, "spare-box")}, pbxs={**VIRTUAL, "spare": "slave 11 ipva"})
    await master.wire.apply(estate)
    berlin = await opened(master.wire, "berlin")
    await grant(berlin, seat("port", "alice"))
    exchanged = becoming(estate, "ipva")
    first, other = (next(pbx for pbx in exchanged.pbxs if pbx.name == name) for name in ("berlin", "spare"))
    first.device, other.device = other.device, first.device
    failed = await failure(master.wire.apply(exchanged))
    assert "berlin runs 12, but spare-box is licensed up to V11" in failed.message
    assert await held(master.wire, berlin) == {("port", "alice")}


# --- F1: on a virtual standby -----------------------------------------------------------------------------------------


@pytest.mark.rule("D1", "F1", "F5")
async def test_a_virtual_standby_uses_existing_seats_free_and_new_ones_with_ipva(
    master: InProcess, sqlite_database_url: str
) -> None:
    wire = master.wire
    pbxs = {"berlin": "slave 12 gateway", "spare": "standby:berlin 12 ipva"}
    licensed: dict[str, int | tuple[int, str]] = {"PBX-Port12": 10, "PBX-Standby12": 10, "PBX-IPVA12": (1, "spare-box")}
    await wire.apply(project(licensed, pbxs=pbxs, ttl_seconds=60, grace_seconds=3600))
    berlin = await opened(wire, "berlin")
    await grant_all(berlin, *seats("port", 3))
    spare = await standing_by(wire)
    master.clock.advance(61)
    await spare.renew()
    carried = await spare.take_over()
    granted((await carried.sync(*seats("port", 3))).results)
    assert await used(wire, "ipva", "spare-box") == (0, 1)
    await grant(carried, seat("port", "new"))
    assert await used(wire, "ipva", "spare-box") == (1, 1)
    refusal = await refuse(carried, seat("port", "newer"))
    assert refusal.reason == Reason.REFUSAL_REASON_COMPANION_EXHAUSTED
    assert refusal.remedy.device == "spare-box"

    await berlin.open()  # it is back on its gateway: what a virtual machine asks for goes as its seats are asked for
    synced = await berlin.sync(*seats("port", 3), seat("port", "new"))
    assert all(grant.already_held for grant in granted(synced.results))
    assert await used(wire, "ipva", "spare-box") == (1, 1)  # the standby may not have heard of it yet (F5)
    spare.receipt.released_epoch = carried.epoch
    await spare.renew()
    assert await used(wire, "ipva", "spare-box") == (0, 1)
    assert await used(wire, "port") == (4, 10)
    await grant(berlin, seat("port", "newer"))
    assert await mismatches(sqlite_database_url) == []


@pytest.mark.rule("D1", "F1")
async def test_on_a_gateway_that_stands_in_for_a_virtual_machine_they_stay(master: InProcess) -> None:
    """New seats come home to the virtual machine, so they are debited with IPVA at once."""
    wire = master.wire
    pbxs = {"berlin": "slave 12 ipva", "spare": "standby:berlin 12 gateway"}
    licensed: dict[str, int | tuple[int, str]] = {
        "PBX-Port12": 10,
        "PBX-Standby12": 10,
        "PBX-IPVA12": (2, "berlin-box"),
    }
    await wire.apply(project(licensed, pbxs=pbxs, ttl_seconds=60, grace_seconds=3600))
    berlin = await opened(wire, "berlin")
    await grant(berlin, seat("port", "phone-0"))
    spare = await standing_by(wire)
    master.clock.advance(61)
    await spare.renew()
    carried = await spare.take_over()
    granted((await carried.sync(seat("port", "phone-0"), seat("port", "new"))).results)
    assert await used(wire, "ipva", "berlin-box") == (2, 2)
    assert (await refuse(carried, seat("port", "newer"))).reason == Reason.REFUSAL_REASON_COMPANION_EXHAUSTED
    await berlin.open()
    assert await used(wire, "ipva", "berlin-box") == (2, 2)
