"""`license-master plan` as an operator runs it."""

import json

import pytest

from master.cli.operator.projects.message_file import PROJECT, read_file
from tests.cli.conftest import Cli
from tests.cli.test_end_to_end import example
from tests.support.masters import InProcess
from tests.support.pbxs.pbx import granted, opened, seats
from tests.support.projects.estates import project


@pytest.mark.rule("B6", "B7")
async def test_the_documents_mix_before_its_upgrade(cli: Cli, master: InProcess) -> None:
    await master.wire.apply(read_file(example("v10-v12-mix"), PROJECT).message)
    blocked = await cli("plan", "upgrade", "--to", "12r1")
    assert (blocked.code, blocked.err) == (1, "")
    for said in [
        "● not possible  upgrade of all PBXs to 12r1",
        "100 PBX-Port10 (ports-v10)",
        "→ release 100 x PBX-Port10 (ports-v10) from 00-90-33-0a-10-01, or replace by V12 licenses",
    ]:
        assert said in blocked.out
    free = await cli("plan", "upgrade", "--to", "12r1", "--release", "ports-v10", "--json")
    assert (free.code, json.loads(free.out)["verdict"]) == (0, "PLAN_VERDICT_OK")


async def test_who_would_be_refused_is_shown(cli: Cli, master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port10": 1500, "PBX-Port12": 1500}))
    berlin = await opened(master.wire, "berlin", "10")
    granted(await berlin.acquire(*seats("port", 2000)))
    await berlin.give_back(*seats("port", 200))
    shown = await cli("plan", "release", "license-2")
    assert shown.code == 1
    for said in [
        "300 seats at site-berlin would be refused",
        "300 must go first (L5)",
        "and 296 more",
        "have 300 PBX-Port seats returned first, or ask to drain or to revoke them",
        "add 500 to have enough for 2,000 at the peak",
        "3,000   1,500",
    ]:
        assert said in shown.out
    kept = await cli("plan", "upgrade", "--to", "12", "--site", "site-berlin")
    assert "1,800 stay until returned (B10)" in kept.out


async def test_every_kind_of_change_can_be_asked_about(cli: Cli, master: InProcess) -> None:
    await master.wire.apply(
        project({"PBX-Port12": 10, "PBX-Port13": (5, "berlin-box"), "Relay BRIs": (1, "berlin-box")})
    )
    central = await cli("plan", "central", "berlin")
    assert (central.code, "draws on the pool from then on: berlin" in central.out) == (0, True)
    assert "Stays on its box for good" in central.out
    rebound = await cli("plan", "rebind", "license-3", "--to", "hq-box")
    assert (rebound.code, "not releasable (L4, C2)" in rebound.out) == (1, True)
    fits = await cli("plan", "site", "paris", "--need", "port=10", "--platform", "gateway")
    assert (fits.code, "● possible  new site paris with port=10" in fits.out) == (0, True)
    short = await cli("plan", "site", "paris", "--need", "port=11", "--need", "PBX-myPBX=2")
    assert (short.code, "→ add 1 PBX-Port license of V12 or newer to hq-box" in short.out) == (1, True)
    assert "→ add 2 PBX-myPBX licenses" in short.out


@pytest.mark.parametrize("need", ["port", "port=", "=5", "port=many", "port=-1", "port=²"])
async def test_a_need_that_is_none(cli: Cli, need: str) -> None:
    done = await cli("plan", "site", "paris", "--need", need)
    assert done.code == 1
    assert "is not of the form TYPE=SEATS" in done.err


async def test_what_is_unknown_is_named(cli: Cli, master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 10}))
    done = await cli("plan", "release", "gone")
    assert done.code == 1
    assert "'gone' is no license of project acme" in done.err


async def test_a_long_mistake_is_told_once(today: Cli, today_master: InProcess) -> None:
    await today_master.wire.apply(project({"PBX-Port12": 10}))
    done = await today("plan", "site", "rome", "--need", f"{'x' * 120}=1", COLUMNS="2000")
    assert (done.code, done.err.count("x" * 120)) == (1, 1), done.err
