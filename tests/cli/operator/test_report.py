"""`license-master report` against a real master: a table, CSV, JSON."""

from __future__ import annotations

import csv
import io
import json

from licensemaster.v1.allocation_pb2 import OverdraftPolicy, QueuePolicy
from tests.cli.command import Done, run
from tests.support.masters import InProcess
from tests.support.pbxs.pbx import granted, opened, refused, seat, seats
from tests.support.projects.allocations import Policy, lay_down
from tests.support.projects.estates import project


async def _report(master: InProcess, *arguments: str) -> Done:
    done = await run("report", *arguments, "--server", master.wire.address)
    assert done.code == 0, done.err
    return done


async def _day(master: InProcess) -> None:
    """Berlin has both ports, `=1+1` is denied one, nobody wants the UC licenses, hq was never heard of."""
    await master.wire.apply(project({"PBX-Port12": 2, "PBX UC12": 3}))
    berlin = await opened(master.wire, "berlin")
    granted(await berlin.acquire(*seats("port", 2)))
    refused(await berlin.acquire(seat("port", "=1+1")))
    await master.running.usage.run_once()
    master.clock.advance(1000)
    await master.running.usage.run_once()


async def test_a_table(master: InProcess) -> None:
    await _day(master)
    shown = (await _report(master)).out
    assert "acme, the last 30 days; 1 of 30 days are known" in shown
    for said in ("used up", "not enough data", "Peak 7 d", "16 min ago", "never"):
        assert said in shown
    assert "=1+1" not in shown
    with_holders = (await _report(master, "--holders", "--days", "7")).out
    assert "user =1+1" in with_holders
    assert "pool exhausted" in with_holders


async def test_csv(master: InProcess) -> None:
    await _day(master)
    rows = list(csv.DictReader(io.StringIO((await _report(master, "--format", "csv", "--holders")).out)))
    by_section = {row["section"]: row for row in rows}
    assert (by_section["site"]["site"], by_section["site"]["denied"]) == ("site-berlin", "1")
    assert [(row["license_type"], row["unused"], row["outlook"]) for row in rows if row["section"] == "pool"] == [
        ("uc", "3", "not_enough_data"),
        ("port", "0", "used_up"),
    ]
    assert by_section["denied"]["holder"] == "'=1+1"  # no formula
    assert {row["pbx"] for row in rows if row["section"] == "silent"} == {"berlin", "hq"}


async def test_json(master: InProcess) -> None:
    await _day(master)
    for option in ("--json", "--format=json"):
        shown = json.loads((await _report(master, option)).out)
        assert shown["days"] == 30
        assert shown["sites"][0]["denied"] == 1
        assert shown["denied"] == []


async def test_two_formats_at_once_are_refused(master: InProcess) -> None:
    done = await run("report", "--server", master.wire.address, "--format=csv", "--json")
    assert (done.code, done.out) == (1, "")
    assert "--format csv" in done.err


async def test_what_queues_and_overdrafts_gained_and_cost(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 2}, ttl_seconds=7200))
    assert not json.loads((await _report(master, "--json")).out).get("policies")
    overdraft = OverdraftPolicy(seats=1, budget_seat_hours=8, refill_seat_hours_per_day=1)
    await lay_down(master.wire, Policy(license_type="port", queue=QueuePolicy(length_max=10), overdraft=overdraft))
    berlin, hq = await opened(master.wire, "berlin"), await opened(master.wire, "hq")
    granted(await berlin.acquire(*seats("port", 3)))
    for holder in ("first", "second", "third"):
        refused(await hq.acquire(seat("port", holder), wait=True))
    await hq.give_back(seat("port", "second"))
    master.clock.advance(1800)
    await berlin.give_back(*seats("port", 1))
    await master.running.leases.waiting.run_once()
    master.clock.advance(600)
    await berlin.give_back(*seats("port", 3))
    await master.running.leases.waiting.run_once()
    (use,) = json.loads((await _report(master, "--json")).out)["policies"]
    assert (use["waited"], use["granted"], use["gave_up"]) == (3, 2, 1)
    assert (round(use["wait_seconds_median"]), round(use["wait_seconds_max"])) == (2100, 2400)
    assert "Queues and overdrafts" in (await _report(master)).out
    rows = list(csv.DictReader(io.StringIO((await _report(master, "--format", "csv")).out)))
    (policy,) = [row for row in rows if row["section"] == "policy"]
    assert (policy["granted"], policy["wait_seconds_max"], policy["overdrawn_seconds"]) == ("2", "2400", "2400")
    assert (policy["overdrawn_peak"], policy["overdrawn_seat_hours"]) == ("1", "0.667")
    assert policy["budget_left_seat_hours"] == "7.333"
