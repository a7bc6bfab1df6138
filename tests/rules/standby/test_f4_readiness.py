"""Rules F4 and F6: whether a standby is ready, a drill that proves it, and changes that warn."""

from pathlib import Path
from uuid import uuid4

import pytest

from licensemaster.v1 import license_pb2, standby_pb2, status_pb2
from tests.rpc.failures import failure
from tests.rules.asking import grant_all, licenses, without
from tests.rules.standby.pairs import GRACE, TTL
from tests.support.databases.truth import all_events
from tests.support.masters import PROJECT, InProcess
from tests.support.pbxs.pbx import granted, opened, seat, seats
from tests.support.pbxs.standbys import LICENSES, PAIR, by_kind, checked, standing_by
from tests.support.projects.estates import project
from tests.support.projects.signed_documents import Vendor, enrolled, imported

# --- F4: readiness ----------------------------------------------------------------------------------------------------


@pytest.mark.rule("F4")
async def test_readiness_from_never_seen_to_ready(master: InProcess) -> None:
    wire, clock = master.wire, master.clock
    await wire.apply(project(LICENSES, pbxs=PAIR, ttl_seconds=TTL, grace_seconds=GRACE))
    pair = await checked(wire)
    assert (pair.standby.rpartition("/")[2], pair.primary.rpartition("/")[2]) == ("spare", "berlin")
    assert (pair.standby_site, pair.primary_site) == ("site-spare", "site-berlin")
    assert list(by_kind(pair.problems)) == ["NOT_CONNECTED", "PRIMARY_NEVER_SEEN"]
    assert not pair.HasField("standby_contact_time")
    berlin = await opened(wire, "berlin", "12r1")
    granted(await berlin.acquire(*seats("port", 4)))
    clock.advance(10)
    spare = await standing_by(wire)
    pair = await checked(wire, "berlin")
    assert list(by_kind(pair.problems)) == ["NO_STANDBY_LEASE", "SOFTWARE_DIFFERS"]
    assert pair.issued_serial == 1
    assert not pair.ready
    await spare.renew()
    pair = await checked(wire)
    assert pair.ready
    assert list(by_kind(pair.problems)) == ["SOFTWARE_DIFFERS"]
    assert [(seat.license_type, seat.held, seat.covered) for seat in pair.seats] == [("port", 4, 4)]
    assert (pair.issued_serial, pair.acknowledged_serial) == (2, 1)
    assert pair.standby_lease_end_time.ToSeconds() == int(clock.now) + TTL + GRACE
    assert pair.primary_contact_time.ToSeconds() == int(clock.now) - 10
    assert pair.standby_contact_time.ToSeconds() == int(clock.now)
    granted(await berlin.acquire(*seats("port", 3, "more")))
    old = by_kind((await checked(wire)).problems)["STANDBY_LEASE_OLD"]
    assert (old.installed, old.needed, old.missing, old.blocking) == (4, 7, 3, False)
    clock.advance(TTL + 1)
    late = by_kind((await checked(wire)).problems)
    assert late["NOT_CONNECTED"].message == f"spare was last heard of {TTL + 1} s ago; it is not connected"
    clock.advance(GRACE + 10)
    assert "NO_STANDBY_LEASE" in by_kind((await checked(wire)).problems)


@pytest.mark.rule("F4")
async def test_readiness_of_the_license_master_and_of_the_estate(master: InProcess) -> None:
    wire = master.wire
    await wire.apply(project({"PBX-Port12": 700, "PBX-Standby12": 500, "PBX-Standby 12%500": 150}, pbxs=PAIR))
    check = await wire.standby.CheckStandby(standby_pb2.CheckStandbyRequest(project=f"projects/{PROJECT}"))
    on = check.licenses
    assert (on.device, on.license_type, on.installed, on.needed, on.on) == (
        "hq-box", "standby", 650, 700, False
    )  # fmt: skip
    assert licenses(on.licenses) == [
        ("PBX-Standby12", 500, "hq-box"),
        ("PBX-Standby 12%500", 150, "hq-box"),
    ]
    assert by_kind(check.pairs[0].problems)["LICENSES_SHORT"].missing == 50
    status = await wire.status.GetStatus(status_pb2.GetStatusRequest(project=f"projects/{PROJECT}"))
    (line,) = status.standby_pairs
    assert not line.ready
    assert len(line.problems) == 3
    assert (await failure(checked(wire, "nowhere"))).reason == "UNKNOWN_PBX"


@pytest.mark.rule("F4", "F5")
async def test_a_drill_proves_it_and_leaves_nothing_changed(any_master: InProcess, database_url: str) -> None:
    wire = any_master.wire
    licenses_ = {**LICENSES, "PBX UC12": 5, "PBX-myPBX12": 5, "PBX Video12": 5}
    await wire.apply(project(licenses_, pbxs=PAIR, ttl_seconds=TTL, grace_seconds=GRACE))
    berlin = await opened(wire, "berlin")
    await grant_all(
        berlin, *seats("port", 6), seat("uc", "phone-1"), seat("video", "phone-1"), seat("mypbx", "phone-2")
    )
    spare = await standing_by(wire)
    request = standby_pb2.DrillStandbyRequest(standby=spare.name)
    unready = await wire.standby.DrillStandby(request)
    assert not unready.passed
    assert [step.passed for step in unready.steps] == [False]
    assert "not known to have a standby lease" in unready.steps[0].message
    await spare.renew()
    before = await _everything(database_url)
    report = await wire.standby.DrillStandby(request)
    assert report.passed, report
    assert [step.name for step in report.steps] == [
        "check", "standby lease", "take over", "fence", "renew", "reconcile", "return", "compare"
    ]  # fmt: skip
    assert report.steps[2].message == f"spare carries 8 seats under epoch {berlin.epoch + 1}, none of them new"
    assert await _everything(database_url) == before
    await berlin.renew()  # nobody was fenced
    (event, _) = await all_events(wire, "standby.drilled")
    assert '"passed":true' in event.details
    request.standby = berlin.name
    assert (await failure(wire.standby.DrillStandby(request))).reason == "NO_STANDBY_PAIR"


async def _everything(database_url: str) -> dict[str, list[object]]:
    """All tables but the audit."""

    from master.store.backends.database import Tx
    from master.store.backends.opening import open_database
    from master.store.tables.names import TABLES

    def look(tx: Tx) -> dict[str, list[object]]:
        return {
            table: sorted((tuple(row) for row in tx.rows(f"SELECT * FROM {table}")), key=repr)
            for table in TABLES
            if table not in ("event", "audit_head")
        }

    database = open_database(database_url)
    try:
        return await database.read(look)
    finally:
        await database.close()


# --- F6: warned before ------------------------------------------------------------------------------------------------


@pytest.mark.rule("F6")
async def test_a_change_that_breaks_a_pair_warns_before_and_after(master: InProcess) -> None:
    wire = master.wire
    estate = project({**LICENSES, "PBX-Fax12": 1}, pbxs=PAIR)
    assert not (await wire.apply(estate)).warnings
    broken = without(estate, "PBX-Standby12")
    warning = (
        "spare cannot take over for berlin: PBX-Standby is off on hq-box: 0 installed for 10 PBX-Port;"
        " bind 10 more of V12 or newer to hq-box (F1, F2)"
    )
    assert list((await wire.apply(broken, dry_run=True)).warnings) == [warning]
    assert (await checked(wire)).problems[0].kind != standby_pb2.STANDBY_PROBLEM_KIND_LICENSES_SHORT, "only asked"
    assert list((await wire.apply(broken)).warnings) == [warning]
    upgraded_pbx = project({**LICENSES, "PBX-Fax12": 1}, pbxs={**PAIR, "spare": "standby:berlin 13 gateway"})
    warnings = list((await wire.apply(upgraded_pbx, dry_run=True)).warnings)
    assert any(each.startswith("spare cannot take over for berlin: spare runs 13") for each in warnings)


@pytest.mark.rule("F6")
async def test_a_license_that_moves_and_breaks_a_pair_warns(master: InProcess, tmp_path: Path) -> None:
    wire, clock = master.wire, master.clock
    await wire.apply(project({"PBX-Port12": 4}, pbxs=PAIR))
    licenses_ = {"spares": ("PBX-Standby12", 4), "more-ports": ("PBX-Port12", 3)}
    await imported(wire, Vendor(), licenses_, now=clock.now)
    await enrolled(wire, tmp_path, "hq-box")

    async def binding(name: str, *, dry_run: bool) -> list[str]:
        request = license_pb2.BindLicensesRequest(
            project=f"projects/{PROJECT}", licenses=[name], device="hq-box", request_id=str(uuid4()), dry_run=dry_run
        )
        return [
            license for license in (await wire.licenses.BindLicenses(request)).warnings if "take over for" in license
        ]

    assert await binding("spares", dry_run=False) == []
    assert "LICENSES_SHORT" not in by_kind((await checked(wire)).problems)
    for dry_run in (True, False):
        (warning,) = await binding("more-ports", dry_run=dry_run)
        assert "4 installed for 7 PBX-Port; bind 3 more of V12 or newer to hq-box" in warning
    assert by_kind((await checked(wire)).problems)["LICENSES_SHORT"].missing == 3
