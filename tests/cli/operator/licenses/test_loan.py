"""`license-master loan` against a real master: what is lent, listed, taken back, and how a refusal ends."""

from __future__ import annotations

import json

from tests.cli.conftest import Cli
from tests.support.masters import InProcess
from tests.support.pbxs.pbx import granted, opened, seats
from tests.support.projects.allocations import Policy, lay_down
from tests.support.projects.estates import project


async def test_a_loan_from_its_opening_to_its_return(today: Cli, today_master: InProcess) -> None:
    wire = today_master.wire
    await wire.apply(project({"PBX-Port12": 10}, pbxs={"ship": "slave 12 gateway"}))
    granted(await (await opened(wire, "ship")).acquire(*seats("port", 2)))
    lending = ("loan", "open", "ship", "PBX-Port", "6", "--days", "30", "--reason", "voyage 12")
    for refused in (await today(*lending), await today(*lending, "--dry-run")):
        assert (refused.code, "loan_days_max" in refused.err) == (1, True)
    await lay_down(wire, Policy(license_type="port", loan_days_max=30))
    dry = await today(*lending, "--dry-run")
    assert (dry.code, dry.out.startswith("ship would have borrowed 6 port until ")) == (0, True), dry.err
    rows = [line.split() for line in dry.out.splitlines()]
    assert ["site-ship", "port", "2", "→", "6", "8", "4", "-4", "2", "→", "6"] in rows
    assert ["site-hq", "port", "0", "8", "4", "-4", "0"] in rows
    told = json.loads((await today(*lending, "--dry-run", "--json")).out)
    assert (told["loan"]["seats"], len(told["outlooks"])) == (6, 2)
    assert (await today("loan", "list")).err == "nothing is borrowed\n"
    lent = await today(*lending)
    assert (lent.code, lent.out.startswith("ship has borrowed 6 port until ")) == (0, True), lent.err
    listed = await today("loan", "list")
    assert [line.split()[:4] for line in listed.out.splitlines() if line.startswith("ship")] == [
        ["ship", "port", "6", "2"]
    ]
    back = ("loan", "return", "ship", "port", "--keep", "5", "--reason", "one fewer")
    assert (await today(*back)).code != 0, "it has to be confirmed"
    done = await today(*back, "--yes")
    assert done.out.splitlines()[0] == "ship: 5 port stays borrowed"
    assert "1 seats may stay in use and be granted to others as well" in " ".join(done.out.split())
    kept = json.loads((await today("loan", "list", "--json")).out)
    assert [(loan["pbx"], loan["seats"]) for loan in kept["loans"]] == [("projects/acme/pbxs/ship", 5)]
    gone = await today("loan", "return", "ship", "port", "--reason", "home again", "--yes")
    assert gone.out.splitlines()[0] == "ship: nothing stays borrowed"
    assert (await today("loan", "list")).err == "nothing is borrowed\n"


async def test_a_loan_to_a_pbx_without_a_lease_says_who_opens_one(today: Cli, today_master: InProcess) -> None:
    wire = today_master.wire
    await wire.apply(project({"PBX-Port12": 10}, pbxs={"ship": "slave 12 gateway"}))
    await lay_down(wire, Policy(license_type="port", loan_days_max=30))
    done = await today("loan", "open", "ship", "port", "6", "--days", "30", "--reason", "voyage 12")
    assert (done.code, "reason: LEASE_NOT_OPEN" in done.err) == (1, True)
    assert "a PBX opens its lease by itself; `license-master leases` shows whether it has" in done.err
