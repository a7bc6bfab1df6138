"""The database's clock is set forward while leases run: PBXs go by clocks of their own: nothing of theirs is over.

Each test moves time on by the length of the step alone; what may end, ends when as much time has passed besides.
"""

from __future__ import annotations

from uuid import uuid4

import pytest

from licensemaster.v1 import lease_pb2, project_pb2, standby_pb2
from master.domain.catalog.versions import Version
from master.domain.catalog.words import LeaseState
from master.domain.estate.lease_time import LeaseTime
from master.domain.leases.leases import software_in_use
from master.store.backends.clock import last_signed_end
from master.store.backends.opening import open_database
from tests.domain.leases.test_leases import NOW, opening
from tests.rpc.failures import NAME, everything, failure
from tests.rules.asking import status, used
from tests.service.leases.restored import ALLOWANCE, GRACE, LEARNING, TTL, OlderBackup
from tests.support.databases.truth import all_events, mismatches
from tests.support.masters import PROJECT, Clock, InProcess
from tests.support.pbxs.pbx import BarePbx, granted, opened, refused, seats
from tests.support.pbxs.standbys import LICENSES, PAIR, BareStandby, checked, standing_by
from tests.support.projects.estates import project

HOUR = 3600.0
LONG = TTL + GRACE + ALLOWANCE + 1


async def _berlin(master: InProcess, ports: int = 6) -> BarePbx:
    """Berlin holds some of ten ports; it may have a standby."""
    await master.wire.apply(project(LICENSES, pbxs=PAIR, ttl_seconds=TTL, grace_seconds=GRACE))
    berlin = await opened(master.wire, "berlin")
    if ports:
        granted(await berlin.acquire(*seats("port", ports)))
    return berlin


async def _pair(master: InProcess) -> tuple[BarePbx, BareStandby]:
    berlin = await _berlin(master)
    return berlin, await standing_by(master.wire)


def _ending(pbx: str, *, dry_run: bool = False) -> lease_pb2.EndLeaseRequest:
    return lease_pb2.EndLeaseRequest(pbx=pbx, reason="closed", request_id=str(uuid4()), dry_run=dry_run)


def _deletion() -> project_pb2.DeleteProjectRequest:
    return project_pb2.DeleteProjectRequest(name=NAME, reason="mistyped", request_id=str(uuid4()))


@pytest.mark.rule("F4", "F5")
async def test_the_standby_of_a_silent_primary_is_offered_its_seats(master: InProcess) -> None:
    _, spare = await _pair(master)
    spare.kept = None
    master.clock.set_forward(HOUR)
    await spare.renew()
    assert spare.covered == {"port": 6}
    await spare.renew()
    assert (await checked(master.wire)).ready
    master.clock.advance(LONG)
    await master.running.expiry.run_once()
    spare.kept = None
    await spare.open()
    assert spare.kept is None or not spare.covered, "berlin has ended by its own clock too"


@pytest.mark.rule("F4")
async def test_a_standby_lease_is_in_force_until_it_ends_by_the_standbys_clock(master: InProcess) -> None:
    """It was acknowledged before the step; then nothing is heard of either."""
    _, spare = await _pair(master)
    await spare.renew()
    master.clock.set_forward(HOUR)
    kinds = {problem.kind for problem in (await checked(master.wire)).problems}
    assert standby_pb2.STANDBY_PROBLEM_KIND_NO_STANDBY_LEASE not in kinds
    master.clock.advance(LONG)
    kinds = {problem.kind for problem in (await checked(master.wire)).problems}
    assert standby_pb2.STANDBY_PROBLEM_KIND_NO_STANDBY_LEASE in kinds


@pytest.mark.rule("F5")
async def test_a_takeover_and_its_drill_find_the_lease_running(master: InProcess, either_database_url: str) -> None:
    berlin, spare = await _pair(master)
    await spare.renew()
    master.clock.set_forward(HOUR)
    await spare.renew()
    report = await master.wire.standby.DrillStandby(standby_pb2.DrillStandbyRequest(standby=spare.name))
    assert report.passed, report
    carried = await spare.take_over()
    assert (await failure(berlin.renew())).reason == "LEASE_CARRIED"
    granted((await carried.sync(*seats("port", 6))).results)
    await carried.close()
    assert await used(master.wire, "port") == (6, 10), "berlin may not have heard of it"
    assert await mismatches(either_database_url) == []


async def test_a_silent_lease_shows_as_overdue(master: InProcess) -> None:
    await _berlin(master)
    status = master.running.status
    for _ in range(2):
        master.clock.set_forward(HOUR)
        views = await status.list_leases(PROJECT, after="", limit=1)
        assert [(view.pbx.name, view.state) for view in views] == [("berlin", LeaseState.OVERDUE)]
        assert (await status.overview(PROJECT)).leases[LeaseState.OVERDUE] == 1
    master.clock.advance(LONG)
    assert (await status.overview(PROJECT)).leases[LeaseState.EXPIRED] == 1


async def test_ending_a_lease_tells_the_same_risk_dry_or_not(master: InProcess) -> None:
    berlin = await _berlin(master)
    master.clock.set_forward(HOUR)
    would = await master.wire.leases.EndLease(_ending(berlin.name, dry_run=True))
    assert would.seats_at_risk == 6
    assert await master.wire.leases.EndLease(_ending(berlin.name)) == would


async def test_a_project_is_not_deleted_under_a_running_lease(master: InProcess) -> None:
    berlin = await _berlin(master, ports=0)
    master.clock.set_forward(HOUR)
    before = await everything(master.wire)
    seen = await failure(master.wire.projects.DeleteProject(_deletion()))
    assert list(seen.fields) == ["pbxs/berlin"]
    assert await everything(master.wire) == before
    master.clock.advance(LONG)
    await master.running.expiry.run_once()
    await master.wire.projects.DeleteProject(_deletion())
    assert (await failure(berlin.renew())).reason == "UNKNOWN_PBX"


def test_the_software_of_a_running_lease_counts() -> None:
    lease = opening(software="13")
    assert software_in_use({7: lease}, LeaseTime.at(NOW + HOUR, stepped_seconds=HOUR)) == {7: Version(13)}
    assert software_in_use({7: lease}, LeaseTime.at(NOW + HOUR)) == {}


# --- after a restore --------------------------------------------------------------------------------------------------


async def test_learning_lasts_until_every_lease_of_before_is_over(
    older: OlderBackup, learning: InProcess, clock: Clock
) -> None:
    clock.set_forward(HOUR)
    assert await learning.running.learnings.end_what_is_over() == []
    await older.bonn.return_to(learning)
    granted((await older.bonn.sync(*seats("port", 50))).results)
    assert refused(await older.bonn.acquire(*seats("port", 1, "more")))[0].reason == LEARNING, "berlin uses 30 of them"
    assert (await status(learning.wire)).learning.seats_proven == 50
    await older.berlin.return_to(learning)
    await older.ulm.return_to(learning)
    granted((await older.berlin.sync(*seats("port", 30))).results)
    granted((await older.ulm.sync(*seats("port", 20))).results)
    clock.advance(LONG)
    assert await learning.running.learnings.end_what_is_over() == [PROJECT]


async def test_what_was_proven_is_let_go_of_when_learning_ends_early(
    older: OlderBackup, learning: InProcess, clock: Clock
) -> None:
    await older.bonn.return_to(learning)
    assert await used(learning.wire, "port") == (50, 100)
    clock.set_forward(HOUR)
    request = project_pb2.EndLearningRequest(project=NAME, reason="berlin is shut", request_id="end")
    await learning.wire.projects.EndLearning(request)
    await learning.running.expiry.run_once()
    assert await used(learning.wire, "port") == (0, 100), "it used none of them"
    assert len(await all_events(learning.wire, "claims.ended")) == 1


async def test_a_step_is_remembered_for_as_long_as_learning_lasts(
    older: OlderBackup, learning: InProcess, clock: Clock
) -> None:
    """The leases that it waits for are in force, and in no database."""
    database = open_database(older.url)
    try:
        assert await database.read(last_signed_end) == clock.now + TTL + GRACE + ALLOWANCE
    finally:
        await database.close()
