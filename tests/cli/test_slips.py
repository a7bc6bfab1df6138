"""What cannot be undone is told first and confirmed; slips can be undone."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from master.cli.operator.projects.message_toml import message_toml
from tests.cli.conftest import Cli
from tests.support.masters import InProcess
from tests.support.pbxs.pbx import granted, opened, seats
from tests.support.projects.estates import project


async def _busy(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 10}))
    berlin = await opened(master.wire, "berlin")
    granted(await berlin.acquire(*seats("port", 4)))
    master.clock.advance(3600)


async def test_a_dead_sites_lease_is_ended_knowingly(today: Cli, today_master: InProcess) -> None:
    await _busy(today_master)
    end = ("leases", "end", "berlin", "--reason", "site closed")
    assert (await today("leases", "end", "berlin")).code == 2, "a reason must be given"
    dry = await today(*end, "--dry-run")
    assert (dry.code, dry.out.count("would")) == (0, 2)
    unconfirmed = await today(*end)
    assert unconfirmed.code == 1
    for said in (dry.out, unconfirmed.err):
        assert "4 seats (4 port) may stay in use and be granted to others as well" in said
    assert "--yes" in unconfirmed.err
    assert "overdue" in (await today("leases", "--state", "overdue")).out
    ended = json.loads((await today(*end, "--yes", "--json")).out)
    assert (ended["seats_at_risk"], ended["connected"]) == (4, False)
    assert (await today(*end, "--yes")).code == 1
    (event,) = json.loads((await today("events", "--kind", "lease.ended", "--json")).out)["events"]
    assert event["reason"] == "site closed"  # not in the table, whose columns are as wide as this user's name leaves


@pytest.mark.parametrize(("typed", "code"), [(b"n\n", 1), (b"y\n", 0)])
async def test_a_project_under_a_mistyped_name_is_deleted(
    today: Cli, today_master: InProcess, typed: bytes, code: int
) -> None:
    estate = project({"PBX-Port12": 10})
    estate.name = "acmee"
    await today_master.wire.apply(estate)
    delete = ("project", "delete", "acmee", "--reason", "mistyped acme")
    assert "--yes" in (await today(*delete)).err
    keyboard, terminal = os.openpty()
    try:
        os.write(keyboard, typed)
        done = await today(*delete, stdin=terminal)
    finally:
        os.close(keyboard)
        os.close(terminal)
    assert (done.code, "2 PBXs, 2 devices, 1 license item" in done.err) == (code, True)
    assert (await today("project", "list")).out == ("acmee\n" if code else "")
    if code == 0:
        assert "mistyped acme" in (await today("events", "--project", "acmee")).out
        assert (await today("audit", "verify", "--project", "acmee")).code == 0


async def test_what_stands_in_the_way_of_deleting_is_listed(today: Cli, today_master: InProcess) -> None:
    await _busy(today_master)
    refused = await today("project", "delete", "acme", "--reason", "x", "--yes")
    assert refused.code == 1
    assert "license-master leases end berlin" in refused.err.replace("\n", " ")


async def test_without_a_terminal_nothing_is_removed_unasked(
    today: Cli, today_master: InProcess, tmp_path: Path
) -> None:
    file = tmp_path / "acme.toml"
    full = project({"PBX-Port12": 10}, pbxs={"berlin": "slave 12 gateway", "paris": "slave 12 gateway"})
    file.write_text(message_toml(full), encoding="utf-8")
    assert (await today("project", "apply", file)).code == 0, "what only adds needs no word"
    file.write_text(message_toml(project({"PBX-Port12": 20})), encoding="utf-8")
    for options in ((), ("--json",)):
        refused = await today("project", "apply", file, *options)
        assert refused.code == 1
        assert "--yes" in refused.err
    listed = [line.split()[:3] for line in (await today("project", "apply", file, "--dry-run")).out.splitlines()[1:]]
    marks = [line[0] for line in listed if line and line[0] in "+-~"]
    assert marks == sorted(marks, key=lambda mark: mark != "-"), "what goes is listed first"
    assert {"paris", "paris-box", "site-paris"} == {line[2] for line in listed if line and line[0] == "-"}
    assert "paris" in (await today("project", "show")).out
    assert (await today("project", "apply", file, "--yes")).code == 0
    assert "paris" not in (await today("project", "show")).out
