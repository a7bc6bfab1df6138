"""Rules L1, L3, L4: price tiers, models and conversions move as the rules allow."""

from __future__ import annotations

from pathlib import Path

import pytest

from licensemaster.v1 import license_pb2
from tests.rpc.failures import NAME, everything, failure
from tests.rules.asking import Reason, grant, refuse, used
from tests.support.licenses.releasing import BOUND, FREE, released
from tests.support.masters import InProcess, Wire
from tests.support.pbxs.pbx import opened, seat
from tests.support.projects.estates import project
from tests.support.projects.signed_documents import (
    Vendor,
    bind,
    enrolled,
    imported,
    item,
    listed,
    moved,
    refusal,
    release,
)

YEAR = 31_536_000


# --- E4, E5: price tiers ----------------------------------------------------------------------------------------------


@pytest.mark.rule("E4", "E5")
async def test_a_tier_needs_what_it_counts_from(any_master: InProcess, tmp_path: Path) -> None:
    wire = any_master.wire
    await wire.apply(project({"PBX-Port12": 100}))
    licenses = {"base": ("PBX-Port12", 399), "one": ("PBX-Port13", 1), "from-500": ("PBX-Port 12%500", 500)}
    licenses |= {"from-1000": ("PBX-Port12%1000", 10), "standby": ("PBX-Standby12%500", 10)}
    await imported(wire, Vendor(), licenses, now=any_master.clock.now)
    key = await enrolled(wire, tmp_path, "hq-box")

    async def missing(*ids: str) -> list[int]:
        """What each still lacks; 0 where it was bound."""
        results = await bind(wire, "hq-box", *ids)
        for result in results:
            if result.HasField("refused"):
                assert result.refused.problem == license_pb2.MOVE_PROBLEM_TIER_TOO_EARLY
                assert "E5" in result.refused.rules
                assert f"{result.refused.quantity:,}" in result.refused.remedy
        return [result.refused.quantity for result in results]

    assert await missing("from-500") == [400]  # declared licenses count as well
    assert await missing("from-500", "base") == [400, 0]  # in order: what comes later does not help
    assert await missing("from-500") == [1]
    assert await missing("from-1000", "one", "from-500", "standby") == [501, 0, 0, 500]
    assert await missing("from-1000") == [0]
    assert await used(wire, "port") == (0, 1010)
    await enrolled(wire, tmp_path, "berlin-box")
    await released(wire, key, "from-1000")
    moved(await bind(wire, "berlin-box", "from-1000"))  # 1,000 are installed in the project, none on that device


@pytest.mark.rule("E4", "E5")
async def test_a_rebound_tier_is_judged_where_it_goes(any_master: InProcess, tmp_path: Path) -> None:
    wire = any_master.wire
    await wire.apply(project({"PBX-Port12": 500}))
    await imported(wire, Vendor(), {"big": ("PBX-Port 12%500", 5)}, now=any_master.clock.now)
    await enrolled(wire, tmp_path, "hq-box")
    moved(await bind(wire, "hq-box", "big"))
    await wire.apply(project({}))  # what it counted from is gone; what is bound stays
    refused = refusal(await release(wire, "big", to_device="berlin-box"))
    assert (refused.problem, refused.quantity) == (license_pb2.MOVE_PROBLEM_TIER_TOO_EARLY, 500)
    assert (await listed(wire))["big"].state == BOUND


@pytest.mark.rule("E4", "E5")
async def test_a_project_file_is_judged_by_tiers_too(master: InProcess) -> None:
    """Imported licenses count: what is counted is installed, wherever it came from."""
    wire = master.wire
    failed = await failure(wire.apply(project({"PBX-Port12": 499, "PBX-Port 12%500": 1})))
    assert (failed.reason, "1 are missing" in failed.message) == ("PROJECT_INVALID", True)
    await wire.apply(project({"PBX-Port12": 500, "PBX-Port 12%500": 1}))
    await wire.apply(project({"PBX-Port12": 10}))
    await imported(wire, Vendor(), {"base": ("PBX-Port12", 490)}, now=master.clock.now)
    moved(await bind(wire, "hq-box", "base"))
    await wire.apply(project({"PBX-Port12": 10, "PBX-Port 12%500": 7}))
    assert await used(wire, "port") == (0, 507)
    failed = await failure(wire.apply(project({"PBX-Port12": 9, "PBX-Port 12%500": 7})))
    assert "1 are missing" in failed.message


# --- I3, I4: two models of voicemail ----------------------------------------------------------------------------------


@pytest.mark.rule("I3")
@pytest.mark.parametrize(
    ("there", "coming"), [("PBX-Voicemail12", "PBX-VoicemailUser12"), ("PBX-VoicemailUser12", "PBX-Voicemail12")]
)
async def test_two_models_do_not_meet_on_one_device(master: InProcess, tmp_path: Path, there: str, coming: str) -> None:
    wire = master.wire
    await wire.apply(project({}))
    await imported(wire, Vendor(), {"old": (there, 5), "new": (coming, 5)}, now=master.clock.now)
    hq, _ = [await enrolled(wire, tmp_path, device) for device in ("hq-box", "berlin-box")]
    moved(await bind(wire, "hq-box", "old"))
    refused = refusal(await bind(wire, "hq-box", "new"))
    assert refused.problem == license_pb2.MOVE_PROBLEM_MODEL_EXCLUDED
    assert list(refused.rules) == ["I3"]
    assert [license.license for license in refused.licenses] == ["old"]
    moved(await bind(wire, "berlin-box", "new"))
    refused = refusal(await release(wire, "new", to_device="hq-box"))
    assert refused.problem == license_pb2.MOVE_PROBLEM_MODEL_EXCLUDED
    failed = await failure(wire.apply(project({coming: 1})))
    assert (failed.reason, "I3" in failed.message) == ("PROJECT_INVALID", True)
    await released(wire, hq, "old")
    moved(await bind(wire, "hq-box", "old"))


async def _import_refused(wire: Wire, vendor: Vendor, file_item: object, now: float) -> str:
    file = vendor.issue({"new": file_item}, now=now)  # type: ignore[dict-item]
    failed = await failure(wire.licenses.ImportLicenses(license_pb2.ImportLicensesRequest(project=NAME, file=file)))
    assert failed.reason == "DOCUMENT_CONTENT_INVALID"
    return failed.message


@pytest.mark.rule("I3", "I4", "L6")
async def test_a_conversion_changes_the_version_and_nothing_else(master: InProcess) -> None:
    wire, vendor, now = master.wire, Vendor(), master.clock.now
    await wire.apply(project({"PBX-VoicemailUser12": 1}))
    licenses = {"users": ("PBX-VoicemailUser10", 5), "voicemail": ("PBX-Voicemail10", 5), "ports": ("PBX-Port10", 5)}
    await imported(wire, vendor, {**licenses, "bound": ("PBX-Port10", 5)}, now=now)
    moved(await bind(wire, "hq-box", "bound"))
    before = await everything(wire)
    for wrong, why in (
        (item("new", "PBX-VoicemailUser12", 5, replaces="voicemail"), "I3"),  # never the model
        (item("new", "PBX-Voicemail12", 5, replaces="users"), "I3"),
        (item("new", "PBX-VoicemailUser9", 5, replaces="users"), "start at version 10"),  # I4
        (item("new", "PBX-VoicemailUser9", 5), "start at version 10"),
        (item("new", "PBX-Port12", 6, replaces="ports"), "L6"),
        (item("new", "PBX-Port12%500", 5, replaces="ports"), "L6"),
        (item("new", "PBX Video12", 5, replaces="ports"), "L6"),
        (item("new", "PBX-Port12", 5, replaces="bound"), "release it first"),
        (item("new", "PBX-VoicemailUser12", 1, replaces="license-1"), "no imported license"),
    ):
        assert why in await _import_refused(wire, vendor, wrong, now)
        assert await everything(wire) == before
    await imported(wire, vendor, {"new": item("new", "PBX-VoicemailUser12", 5, replaces="users")}, now=now)
    assert sorted(await listed(wire)) == ["bound", "license-1", "new", "ports", "voicemail"]


# --- L6, L7: what stays with a license --------------------------------------------------------------------------------


@pytest.mark.rule("L6", "L7")
async def test_rebinding_keeps_the_agreement_and_conversion_ends_it(any_master: InProcess, tmp_path: Path) -> None:
    wire, clock, vendor = any_master.wire, any_master.clock, Vendor()
    await wire.apply(project({}))
    ends = clock.now + YEAR
    await imported(wire, vendor, {"ports": item("ports", "PBX-Port10", 5, agreement=ends)}, now=clock.now)
    hq, berlin = [await enrolled(wire, tmp_path, device) for device in ("hq-box", "berlin-box")]
    first = moved(await bind(wire, "hq-box", "ports")).first_bind_time
    clock.advance(100)
    rebound = await released(wire, hq, "ports", to_device="berlin-box")
    assert (rebound.device, rebound.agreement_end_time.seconds, rebound.first_bind_time) == (
        "berlin-box",
        int(ends),
        first,
    )
    freed = await released(wire, berlin, "ports")
    assert (freed.agreement_end_time.seconds, freed.first_bind_time) == (int(ends), first)
    later = clock.now + 2 * YEAR
    conversion = item("ports-12", "PBX-Port12", 5, replaces="ports", agreement=later)
    (converted,) = (await imported(wire, vendor, {"ports-12": conversion}, now=clock.now)).licenses
    assert (converted.type, converted.agreement_end_time.seconds) == ("PBX-Port12", int(later))
    assert converted.first_bind_time == first
    assert [*await listed(wire)] == ["ports-12"]
    void = item("ports-13", "PBX-Port13", 5, replaces="ports-12")
    (converted,) = (await imported(wire, vendor, {"ports-13": void}, now=clock.now)).licenses
    assert not converted.HasField("agreement_end_time")
    clock.advance(100)
    assert moved(await bind(wire, "hq-box", "ports-13")).first_bind_time == first


@pytest.mark.rule("L6")
async def test_a_conversion_does_not_shorten_the_waiting(any_master: InProcess) -> None:
    """What a dead device held cannot be bound under another name either."""
    wire, clock, vendor = any_master.wire, any_master.clock, Vendor()
    await wire.apply(project({}))
    await imported(wire, vendor, {"ports": ("PBX-Port10", 5)}, now=clock.now)
    moved(await bind(wire, "hq-box", "ports"))
    await release(wire, "ports", device_dead=True, caller="anna")
    request = license_pb2.ApproveReleasesRequest(project=NAME, licenses=["ports"], request_id="a")
    await wire.licenses.ApproveReleases(request, metadata=(("caller", "ben"),))
    await imported(wire, vendor, {"new": item("new", "PBX-Port12", 5, replaces="ports")}, now=clock.now)
    assert refusal(await bind(wire, "hq-box", "new")).problem == license_pb2.MOVE_PROBLEM_COOLING_OFF


@pytest.mark.rule("B6", "L3")
async def test_releasing_the_oldest_lifts_the_limit(master: InProcess, tmp_path: Path) -> None:
    wire = master.wire
    await wire.apply(project({"PBX-Port12": 5}))
    await imported(wire, Vendor(), {"old": ("PBX-Port10", 5)}, now=master.clock.now)
    key = await enrolled(wire, tmp_path, "hq-box")
    moved(await bind(wire, "hq-box", "old"))
    berlin = await opened(wire, "berlin", "12")
    assert (await refuse(berlin, seat("port", "alice"))).reason == Reason.REFUSAL_REASON_VERSION_LIMIT
    assert (await released(wire, key, "old")).state == FREE
    await grant(berlin, seat("port", "alice"))
