"""GetUsageReport over the wire: what days came to, in numbers that the test made happen."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
import pytest

from licensemaster.v1 import report_pb2, seat_pb2, status_pb2
from licensemaster.v1.allocation_pb2 import OverdraftPolicy
from master.domain.monitoring.usage import DAY_SECONDS
from tests.rpc.failures import NAME, failure
from tests.support.masters import Clock, InProcess, in_process_master
from tests.support.pbxs.pbx import BarePbx, divided, granted, opened, seat, seats
from tests.support.projects.allocations import Policy, Rule, lay_down
from tests.support.projects.estates import project

PBXS = {"berlin": "slave 12 gateway", "paris": "slave 12 gateway"}
MINUTES, HOURS = 60, 3600


@pytest.fixture
async def master(database_url: str) -> AsyncIterator[InProcess]:
    """Its day begins with the test."""
    async with in_process_master(database_url, Clock(20_900 * DAY_SECONDS)) as running:
        yield running


async def _report(master: InProcess, days: int = 0, *, holders: bool = False) -> report_pb2.GetUsageReportResponse:
    request = report_pb2.GetUsageReportRequest(project=NAME, days=days, include_holders=holders)
    return await master.wire.reports.GetUsageReport(request)


def _pool(report: report_pb2.GetUsageReportResponse, device: str, license_type: str) -> report_pb2.PoolHistory:
    (pool_history,) = [pool for pool in report.pools if (pool.device, pool.license_type) == (device, license_type)]
    return pool_history


async def _grow(master: InProcess, days: int) -> BarePbx:
    """Berlin has 10 ports at first, and one more each day; of 40 ports, 5 UC licenses and 7 free ones."""
    licenses: dict[str, int | tuple[int, str]] = {"PBX-Port12": 40, "PBX-Standby12": 40, "PBX UC12": 5}
    licenses["PBX-Fax12"] = (7, "")
    await master.wire.apply(project(licenses, pbxs=PBXS, ttl_seconds=86_400, grace_seconds=2_592_000))
    berlin = await opened(master.wire, "berlin")
    granted(await berlin.acquire(*seats("port", 9)))
    for day in range(days):
        granted(await berlin.acquire(seat("port", f"new-{day}")))
        await master.running.usage.run_once()
        master.clock.advance(DAY_SECONDS)
        await berlin.renew()
    return berlin


async def test_a_pool_that_grows_gets_a_date(master: InProcess) -> None:
    """10 on the first day, one more each day: 40 on day 30 from the first, whatever today is."""
    await _grow(master, 20)
    await master.running.usage.run_once()
    report = await _report(master)
    port = _pool(report, "hq-box", "port")
    assert (port.capacity, port.used, port.peak, port.peak_seven_days, port.unused) == (40, 29, 29, 29, 11)
    assert port.outlook == report_pb2.OUTLOOK_RUNS_OUT
    assert port.run_out_time.seconds == (20_900 + 30) * DAY_SECONDS
    assert port.seats_per_day == pytest.approx(1)
    assert (report.days, report.days_known) == (30, 21)
    (site,) = report.sites
    assert (site.site, site.peak, site.peak_seven_days, site.refused) == ("site-berlin", 29, 29, 0)
    assert site.peak_time.seconds == (20_900 + 20) * DAY_SECONDS


async def test_what_lies_unused_and_what_works_by_being_there(master: InProcess) -> None:
    await _grow(master, 3)
    await master.running.usage.run_once()
    report = await _report(master)
    uc, fax, standby = (_pool(report, *of) for of in (("hq-box", "uc"), ("", "fax"), ("hq-box", "standby")))
    assert (uc.capacity, uc.unused, uc.outlook) == (5, 5, report_pb2.OUTLOOK_NOT_ENOUGH_DATA)
    assert (fax.capacity, fax.unused, fax.outlook) == (7, 7, report_pb2.OUTLOOK_UNSPECIFIED)
    assert (standby.capacity, standby.unused, standby.outlook) == (40, 0, report_pb2.OUTLOOK_UNSPECIFIED)


async def test_licenses_that_were_used_once_are_not_unused(master: InProcess) -> None:
    berlin = await _grow(master, 2)
    granted(await berlin.acquire(seat("uc", "anna"), seat("uc", "bert")))
    await master.running.usage.run_once()
    await berlin.give_back(seat("uc", "anna"), seat("uc", "bert"))
    await master.running.usage.run_once()
    assert _pool(await _report(master), "hq-box", "uc").unused == 3
    master.clock.advance(2 * DAY_SECONDS)
    await master.running.usage.run_once()
    assert _pool(await _report(master, days=2), "hq-box", "uc").unused == 5


async def test_a_pool_without_a_free_seat_is_used_up(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 2}))
    granted(await (await opened(master.wire, "berlin")).acquire(*seats("port", 2)))
    assert _pool(await _report(master), "hq-box", "port").outlook == report_pb2.OUTLOOK_USED_UP


async def test_denied_holders_are_named_on_request_only(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 1}, pbxs=PBXS, ttl_seconds=86_400))
    berlin = await opened(master.wire, "berlin")
    granted((await berlin.acquire(seat("port", "anna"), seat("port", "carl")))[:1])
    refused_at = master.clock.now
    for minutes in (0, 16):
        master.clock.advance(minutes * MINUTES)
        await master.running.usage.run_once()
    report = await _report(master)
    (site,) = report.sites
    assert (site.refused, site.denied) == (1, 1)
    assert "carl" not in str(report)
    (denied,) = (await _report(master, holders=True)).denied
    assert (denied.pbx, denied.site, denied.holder) == (f"{NAME}/pbxs/berlin", "site-berlin", "carl")
    assert (denied.license_type, denied.holder_kind) == ("port", seat_pb2.HOLDER_KIND_USER)
    assert denied.reason == seat_pb2.REFUSAL_REASON_POOL_EXHAUSTED
    assert denied.refuse_time.seconds == refused_at


async def test_silent_sites_the_longest_first(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 9}, pbxs={**PBXS, "rome": "slave 12 gateway"}))
    paris = await opened(master.wire, "paris")
    granted(await paris.acquire(*seats("port", 2)))
    heard = master.clock.now
    master.clock.advance(100)
    await opened(master.wire, "berlin")
    master.clock.advance(3600)
    await opened(master.wire, "hq")
    silent = (await _report(master)).silent
    assert [(silent_pbx.site, silent_pbx.state, silent_pbx.seats) for silent_pbx in silent] == [
        ("site-paris", status_pb2.LEASE_STATE_OVERDUE, 2),
        ("site-berlin", status_pb2.LEASE_STATE_OVERDUE, 0),
        ("site-rome", status_pb2.LEASE_STATE_NONE, 0),
    ]
    assert silent[0].contact_time.seconds == heard
    assert not silent[2].HasField("contact_time")


@pytest.mark.parametrize("days", [-1, 3651])
async def test_days_that_are_none(master: InProcess, days: int) -> None:
    await master.wire.apply(project({"PBX-Port12": 1}))
    seen = await failure(_report(master, days))
    assert seen.code is grpc.StatusCode.INVALID_ARGUMENT
    assert seen.fields == {"days": f"{days} is not between 1 and 3650; 0 means 30"}


async def test_a_project_that_there_is_not(master: InProcess) -> None:
    assert (await failure(_report(master))).reason == "UNKNOWN_PROJECT"


async def test_what_rules_gained_and_cost(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 10}, pbxs=PBXS))
    await lay_down(
        master.wire,
        Rule(name="keep", site="site-paris", reserve={"port": 5}),
        Rule(name="less", site="site-berlin", maximum={"port": 5}),
    )
    berlin, paris = await opened(master.wire, "berlin"), await opened(master.wire, "paris")
    assert divided(await berlin.acquire(*seats("port", 7)))[0] == 5
    granted(await paris.acquire(*seats("port", 3)))
    await master.running.usage.run_once()
    await paris.give_back(*seats("port", 1))
    master.clock.advance(MINUTES)
    await berlin.give_back(*seats("port", 2))
    await lay_down(master.wire, Rule(name="keep", site="site-paris", reserve={"port": 7}))
    assert divided(await berlin.acquire(*seats("port", 2, "desk")))[0] == 0
    await master.running.usage.run_once()
    rules = [(rule.rule, rule.used, rule.unused, rule.refused) for rule in (await _report(master)).rules]
    assert rules == [("keep", 3, 2, 2), ("less", 0, 0, 2)]


async def test_an_overdraft_that_goes_on_costs_what_it_cost_until_now(master: InProcess) -> None:
    """Also where it began before the days that are asked for, and where nothing changed in them."""
    await master.wire.apply(project({"PBX-Port12": 10}, pbxs=PBXS, ttl_seconds=86_400, grace_seconds=30 * 86_400))
    policy = OverdraftPolicy(seats=3, budget_seat_hours=300)
    await lay_down(master.wire, Policy(license_type="port", overdraft=policy))
    assert not (await _report(master)).policies
    berlin = await opened(master.wire, "berlin")
    granted(await berlin.acquire(*seats("port", 12)))
    master.clock.advance(2 * HOURS)
    granted(await berlin.acquire(*seats("port", 1, "more")))
    master.clock.advance(HOURS)
    assert _cost(await _report(master)) == (3 * HOURS, 3, 7.0, 293.0)
    await berlin.give_back(*seats("port", 2))
    await berlin.renew()
    master.clock.advance(21 * HOURS)  # midnight
    assert _cost(await _report(master, days=2)) == (24 * HOURS, 3, 28.0, 272.0)
    assert _cost(await _report(master, days=1)) == (0, 1, 0.0, 272.0)
    master.clock.advance(HOURS)
    assert _cost(await _report(master, days=1)) == (HOURS, 1, 1.0, 271.0)
    await berlin.give_back(*seats("port", 1, "more"))
    master.clock.advance(HOURS)
    assert _cost(await _report(master, days=1)) == (HOURS, 1, 1.0, 271.0)


def _cost(report: report_pb2.GetUsageReportResponse) -> tuple[float, int, float, float]:
    (use,) = report.policies
    return (
        round(use.overdrawn_seconds),
        use.overdrawn_peak,
        round(use.overdrawn_seat_hours, 3),
        round(use.budget_left_seat_hours, 3),
    )
