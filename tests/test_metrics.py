"""The metrics page as Prometheus sees it: it parses, says what happened, and stays small."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from master.domain.monitoring.overview import Overview
from master.metrics import SITES_MAX, EstateCollector, Metrics
from tests.support.limits import HANG_SECONDS
from tests.support.masters import Clock, InProcess, Wire, in_process_master
from tests.support.network.prometheus import program, running_prometheus
from tests.support.pbxs.pbx import granted, opened, refused, seat, seats
from tests.support.projects.estates import project


@pytest.fixture
async def master(sqlite_database_url: str, clock: Clock) -> AsyncIterator[InProcess]:
    """A master that is scraped."""
    async with in_process_master(sqlite_database_url, clock, metrics_listen="127.0.0.1:0") as scraped:
        yield scraped


async def _page(master: InProcess) -> str:
    address = f"http://127.0.0.1:{master.running.metrics_port}/metrics"

    def get() -> str:
        with urllib.request.urlopen(address) as response:
            return str(response.read().decode())

    return await asyncio.to_thread(get)


async def _families(master: InProcess) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(await _page(master))}


def _value(families: dict[str, Metric], name: str, **labels: str) -> float:
    """The one sample of that name and those labels."""
    collected = [
        sample.value
        for family in families.values()
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    assert len(collected) == 1, (name, labels, collected)
    return collected[0]


async def _known_actions(wire: Wire) -> None:
    """5 Port seats of berlin, 2 refused for want, 1 unknown type, 1 returned, one lease closed."""
    pbxs = {"berlin": "slave 12 gateway", "paris": "slave 12 gateway", "old": "slave 13 gateway"}
    await wire.apply(project({"PBX-Port12": 5, "PBX UC12": 3}, pbxs=pbxs))
    berlin, paris = await opened(wire, "berlin"), await opened(wire, "paris")
    granted((await berlin.acquire(*seats("port", 7)))[:5])
    refused(await berlin.acquire(seat("no-such-type", "anna")))
    await berlin.give_back(seat("port", "phone-0"))
    await berlin.renew()
    granted(await paris.acquire(seat("uc", "anna")))
    await paris.close()


async def test_values_after_known_actions(master: InProcess) -> None:
    await _known_actions(master.wire)
    families = await _families(master)
    pool = {"project": "acme", "device": "hq-box", "type": "port"}
    assert _value(families, "license_master_up") == 1
    assert _value(families, "license_master_pool_capacity", **pool) == 5
    assert _value(families, "license_master_pool_used", **pool) == 4
    assert _value(families, "license_master_pool_free", **pool) == 1
    assert _value(families, "license_master_pool_used", device="hq-box", type="uc") == 0
    assert _value(families, "license_master_site_seats", site="site-berlin", type="port") == 4
    assert _value(families, "license_master_leases", project="acme", state="active") == 1
    assert _value(families, "license_master_leases", project="acme", state="closed") == 1
    assert _value(families, "license_master_leases", project="acme", state="none") == 2
    assert _value(families, "license_master_version_limit", device="hq-box") == 12
    assert _value(families, "license_master_pbxs_above_version_limit", device="hq-box") == 1
    assert _value(families, "license_master_seats_acquired_total", type="port") == 5
    assert _value(families, "license_master_seats_acquired_total", type="uc") == 1
    assert _value(families, "license_master_seats_returned_total") == 2
    assert _value(families, "license_master_seats_reclaimed_total") == 0
    assert _value(families, "license_master_refusals_total", reason="POOL_EXHAUSTED", type="port") == 2
    assert _value(families, "license_master_refusals_total", reason="UNKNOWN_LICENSE_TYPE", type="unknown") == 1
    assert _value(families, "license_master_site_refusals_total", project="acme", site="site-berlin") == 3
    assert _value(families, "license_master_leases_opened_total") == 2
    assert _value(families, "license_master_leases_renewed_total") == 1
    assert _value(families, "license_master_queue_length") == 0
    assert _value(families, "license_master_batch_requests_count") == 8
    calls = {"grpc_service": "licensemaster.v1.LeaseService", "grpc_code": "OK"}
    assert _value(families, "grpc_server_handled_total", grpc_method="AcquireSeats", **calls) == 3
    assert _value(families, "grpc_server_handling_seconds_count", grpc_method="AcquireSeats") == 3


async def test_no_label_takes_what_callers_write(master: InProcess) -> None:
    await _known_actions(master.wire)
    before = len((await _page(master)).splitlines())
    berlin = await opened(master.wire, "berlin")
    for number in range(50):
        await berlin.acquire(seat(f"type-{number}", f"user-{number}"))
    page = await _page(master)
    assert "type-7" not in page
    assert "user-7" not in page
    assert len(page.splitlines()) - before < 30


def test_sites_beyond_the_bound_are_added_up() -> None:
    seats_by_site = {(f"site-{number:05}", "port"): number + 1 for number in range(SITES_MAX + 200)}
    estate = Overview(
        project_id=1, project="acme", revision=1, pools=(), limits=(), site_seats=seats_by_site, leases={}
    )
    (family,) = [
        metric for metric in EstateCollector(lambda: [estate]).collect() if metric.name == "license_master_site_seats"
    ]
    assert len(family.samples) == SITES_MAX + 1
    others = [sample.value for sample in family.samples if sample.labels["site"] == "_other"]
    assert others == [sum(range(1, 201))]
    assert sum(sample.value for sample in family.samples) == sum(seats_by_site.values())


def test_refusals_to_sites_beyond_the_bound_are_added_up() -> None:
    metrics = Metrics()
    for number in range(SITES_MAX + 200):
        metrics.site_refused("acme", f"site-{number:05}", 2)
    metrics.site_refused("acme", "site-00000", 1)
    (family,) = metrics.site_refusals.collect()
    seats = {sample.labels["site"]: sample.value for sample in family.samples if sample.name.endswith("_total")}
    assert len(seats) == SITES_MAX + 1
    assert seats["_other"] == 400
    assert seats["site-00000"] == 3


def test_the_sites_that_are_silent_longest_are_shown() -> None:
    since = {f"site-{number:05}": 1000.0 + number for number in range(SITES_MAX + 1)}
    estate = Overview(
        project_id=1, project="acme", revision=1, pools=(), limits=(), site_seats={}, leases={}, silent_since=since
    )
    name = "license_master_site_silent_since_timestamp_seconds"
    (family,) = [metric for metric in EstateCollector(lambda: [estate]).collect() if metric.name == name]
    assert {sample.labels["site"]: sample.value for sample in family.samples} == dict(list(since.items())[:SITES_MAX])


async def test_a_database_that_does_not_answer_shows(master: InProcess, tmp_path: Path) -> None:
    await master.wire.apply(project({"PBX-Port12": 5}))
    with sqlite3.connect(tmp_path / "license-master.db") as other:
        other.execute("ALTER TABLE lease RENAME TO gone")
    families = await _families(master)
    assert _value(families, "license_master_up") == 0
    assert "license_master_batch_requests" in families


async def test_promtool_finds_nothing_to_criticise(master: InProcess) -> None:
    promtool = program("promtool")
    await _known_actions(master.wire)
    check = await asyncio.create_subprocess_exec(
        promtool,
        "check",
        "metrics",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await check.communicate((await _page(master)).encode())
    ours = [line for line in said.decode().splitlines() if line.startswith(("license_master", "grpc_server"))]
    assert ours == []


async def test_a_real_prometheus_scrapes_and_answers(master: InProcess, tmp_path: Path) -> None:
    await _known_actions(master.wire)
    async with running_prometheus(tmp_path, metrics_port=master.running.metrics_port) as prometheus:
        query = 'license_master_pool_used{type="port"} / license_master_pool_capacity{type="port"}'
        (answer,) = await prometheus.until_answered(query)
        assert answer["metric"]["device"] == "hq-box"
        assert float(answer["value"][1]) == 0.8
        (refusals,) = await prometheus.until_answered('sum(license_master_refusals_total{reason="POOL_EXHAUSTED"})')
        assert float(refusals["value"][1]) == 2


def test_metrics_are_kept_in_memory_whatever_the_environment_says() -> None:
    """Files of metrics would be another way in which what is told beside the work can fail it."""
    code = "from master.metrics import Metrics; Metrics().leases_opened.inc()"
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": "/nowhere"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=HANG_SECONDS)
