"""One viewer that asks without end: it is told when to come back, and everybody else is served meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from licensemaster.v1 import audit_pb2, plan_pb2, report_pb2, status_pb2
from tests.auth.pki import Pki, shown_to
from tests.rpc.failures import seen
from tests.support.asking import all_asked
from tests.support.masters import Clock, InProcess, Wire, in_process_master
from tests.support.pbxs.pbx import BarePbx, granted, opened, seats
from tests.support.projects.estates import project
from tests.support.projects.plans import plan, site
from tests.support.waiting import until

NAME = "projects/acme"
_STATUS = status_pb2.GetStatusRequest(project=NAME)


@dataclass(frozen=True, slots=True)
class Estate:
    """A master with a project large enough that a plan takes a while, and who asks it."""

    master: InProcess
    mad: Wire
    """A viewer confined to that project."""
    calm: Wire
    """Another one."""
    rome: BarePbx
    """A PBX of another project."""


_CALLS = {"caller_calls_per_second": 1000, "caller_calls_max": 1000, "connection_calls_max": 1000}
"""More calls than a caller has by default: what it may ask is what these tests are about."""


@pytest.fixture
async def estate(database_url: str, pki: Pki) -> AsyncIterator[Estate]:
    async with AsyncExitStack() as stack:
        settings = pki.serve(pki.server_key())
        clock = Clock(time.time())
        master = await stack.enter_async_context(
            in_process_master(database_url, clock, metrics_listen="127.0.0.1:0", **_CALLS, **settings)
        )

        async def shows(uri: str) -> Wire:
            credentials = pki.certified_key(uri).credentials
            return await stack.enter_async_context(shown_to(f"127.0.0.1:{master.running.port}", credentials))

        anna = await shows("operators/anna")
        await anna.apply(project({"PBX-Port12": 12_000, "PBX-Port10": 3_000}))
        other = project({"PBX-Port12": 5}, pbxs={"rome": "slave 12 gateway"})
        other.name = "other"
        await anna.apply(other)
        berlin = await opened(await shows(f"{NAME}/pbxs/berlin"), "berlin", "10")
        granted(await berlin.acquire(*seats("port", 5_000)))
        rome = BarePbx(await shows("projects/other/pbxs/rome"), "rome")
        rome.name = "projects/other/pbxs/rome"
        await rome.open()
        mad, calm = await shows(f"{NAME}/viewers/mad"), await shows("viewers/calm")
        yield Estate(InProcess(anna, master.running, clock), mad, calm, rome)


def _plan(wire: Wire) -> asyncio.Task[plan_pb2.PlanChangesResponse]:
    return asyncio.ensure_future(plan(wire, site("paris", port=10_000)))


@asynccontextmanager
async def _given_up(calls: Sequence[asyncio.Future[Any]]) -> AsyncIterator[None]:
    try:
        yield
    finally:
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)


def _refusals(calls: Sequence[asyncio.Future[Any]]) -> list[Any]:
    failed = [call.exception() for call in calls if call.done()]
    return [seen(error) for error in failed if isinstance(error, grpc.aio.AioRpcError)]


async def _refused(calls: Sequence[asyncio.Future[Any]], count: int) -> list[Any]:
    """So many refusals, as soon as they are there."""
    pending = set(calls)
    while len(_refusals(calls)) < count:
        _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
    return _refusals(calls)


async def _until_nothing_is_asked(estate: Estate) -> None:
    await until(lambda: not len(estate.master.running.questions))


def _denied(master: InProcess) -> float:
    actual = master.running.metrics.registry.get_sample_value(
        "license_master_calls_denied_total", {"reason": "CALLER_LIMIT"}
    )
    return actual or 0


async def _others_are_served(estate: Estate) -> None:
    for _ in range(20):
        await estate.rome.renew()
    health: Any = health_pb2_grpc.HealthStub(estate.calm.channel)  # its stubs name no methods
    answer = await health.Check(health_pb2.HealthCheckRequest())
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def _told_when_to_come_back(refused: Sequence[Any]) -> None:
    assert {(refusal.code, refusal.reason) for refusal in refused} == {
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "CALLER_LIMIT")
    }
    assert all("questions of this caller" in refusal.message and refusal.retry_after_ms > 0 for refusal in refused)


async def test_sixty_plans_of_one_viewer_stop_nobody_else(estate: Estate) -> None:
    async with AsyncExitStack() as stack:
        async with all_asked(estate.master.running.database):
            calls = [_plan(estate.mad) for _ in range(60)]
            await stack.enter_async_context(_given_up(calls))
            _told_when_to_come_back(await _refused(calls, 44))
            assert _denied(estate.master) == 44
            await _others_are_served(estate)
        assert (await plan(estate.calm, site("paris", port=10))).pools
        assert (await estate.calm.status.GetStatus(_STATUS)).pools
        await _others_are_served(estate)
        assert len(_refusals(calls)) == 44, "what was let in is not refused"
    assert (await plan(estate.mad, site("paris", port=10))).pools


async def test_four_hundred_questions_of_one_viewer_stop_nobody_else(estate: Estate) -> None:
    async with all_asked(estate.master.running.database):
        calls = [asyncio.ensure_future(estate.mad.status.GetStatus(_STATUS)) for _ in range(400)]
        _told_when_to_come_back(await _refused(calls, 384))
        other = asyncio.ensure_future(estate.calm.status.GetStatus(_STATUS))
        await _others_are_served(estate)
    assert (await other).pools
    await asyncio.wait(calls)
    assert len(_refusals(calls)) == 384
    assert (await estate.mad.status.GetStatus(_STATUS)).pools


async def test_questions_that_are_given_up_again_and_again_leave_nothing_behind(estate: Estate) -> None:
    for _ in range(5):
        calls = [_plan(estate.mad) for _ in range(8)]
        async with _given_up(calls):
            await estate.mad.status.GetStatus(_STATUS)
    await _until_nothing_is_asked(estate)
    assert (await plan(estate.mad, site("paris", port=10))).pools


async def test_three_dashboards_of_one_viewer_are_answered(estate: Estate) -> None:
    """Five panels each, all asked anew at the same moment, while a plan is worked out for somebody else."""
    wire = estate.calm

    def panels() -> list[asyncio.Future[Any]]:
        return [
            asyncio.ensure_future(call)
            for call in (
                wire.status.GetStatus(_STATUS),
                wire.status.ListLeases(status_pb2.ListLeasesRequest(project=NAME)),
                wire.status.ListSeats(status_pb2.ListSeatsRequest(project=NAME, page_size=100)),
                wire.reports.GetUsageReport(report_pb2.GetUsageReportRequest(project=NAME, days=7)),
                wire.audit.VerifyAudit(audit_pb2.VerifyAuditRequest(project=NAME)),
            )
        ]

    calls = [_plan(estate.mad)]
    async with _given_up(calls):
        for _ in range(3):
            await asyncio.gather(*panels(), *panels(), *panels())
