"""`license-master standby` against a real master: what is said, and how it ends."""

from __future__ import annotations

import json

import pytest

from tests.cli.command import Done, run
from tests.support.masters import InProcess
from tests.support.pbxs.pbx import granted, opened, seats
from tests.support.pbxs.standbys import LICENSES, PAIR, standing_by
from tests.support.projects.estates import project


async def _standby(master: InProcess, *arguments: str) -> Done:
    return await run("standby", *arguments, "--server", master.wire.address)


@pytest.mark.rule("F4")
async def test_check_says_what_is_missing_and_ends_with_1(master: InProcess) -> None:
    await master.wire.apply(project({**LICENSES, "PBX-Port12": 12}, pbxs=PAIR))
    done = await _standby(master, "check")
    assert done.code == 1
    for said in (
        "standby is off: 10 standby licenses on hq-box, 12 needed",
        "not ready",
        "spare: PBX-Standby is off on hq-box: 10 installed for 12 PBX-Port;"
        " bind 2 more of V12 or newer to hq-box (F1, F2)",
        "berlin never opened a lease",
    ):
        assert said in done.out
    status = await run("status", "--server", master.wire.address)
    assert "spare could not take over for berlin: PBX-Standby is off" in status.out


@pytest.mark.rule("F4", "F5")
async def test_check_drill_and_what_a_takeover_looks_like(master: InProcess) -> None:
    await master.wire.apply(project(LICENSES, pbxs=PAIR))
    berlin = await opened(master.wire, "berlin")
    granted(await berlin.acquire(*seats("port", 4)))
    spare = await standing_by(master.wire)
    await spare.renew()
    done = await _standby(master, "check", "--json")
    assert done.code == 0
    (pair,) = json.loads(done.out)["pairs"]
    assert pair["ready"]
    assert pair["seats"] == [{"license_type": "port", "held": 4, "covered": 4}]
    done = await _standby(master, "drill", "spare")
    assert done.code == 0, done
    assert "could take over; nothing was changed" in done.out
    assert "failed" not in done.out
    assert (await _standby(master, "drill", "berlin")).code == 1
    await spare.take_over(spare.takeover(force=True))
    done = await _standby(master, "check", "--pair", "berlin")
    assert "carrying" in done.out
    assert (await _standby(master, "drill", "spare")).code == 1
    assert "carried by spare" in (await run("leases", "--server", master.wire.address)).out
    assert "spare carries the seats of berlin" in (await run("status", "--server", master.wire.address)).out
    missing = await _standby(master, "check", "--pair", "nowhere")
    assert missing.code == 1
    assert "unknown" in missing.err
