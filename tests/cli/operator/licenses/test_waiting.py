"""`license-master waiting` against a real master: who waits, and who is made to wait no longer."""

from __future__ import annotations

import json

from licensemaster.v1 import allocation_pb2, seat_pb2
from tests.cli.conftest import Cli
from tests.support.databases.truth import all_events
from tests.support.masters import InProcess
from tests.support.pbxs.pbx import granted, opened, refused, seat, seats
from tests.support.projects.allocations import Policy, lay_down
from tests.support.projects.estates import project


async def test_who_waits_is_listed_and_dropped(today: Cli, today_master: InProcess) -> None:
    wire = today_master.wire
    await wire.apply(project({"PBX-Port12": 3}, pbxs={"rome": "slave 12 gateway", "oslo": "slave 12 gateway"}))
    await lay_down(wire, Policy(license_type="port", queue=allocation_pb2.QueuePolicy(length_max=10)))
    empty = await today("waiting")
    assert (empty.code, empty.out, empty.err) == (0, "", "nobody waits\n")
    rome, oslo = await opened(wire, "rome"), await opened(wire, "oslo")
    granted(await rome.acquire(*seats("port", 3)))
    refused(await oslo.acquire(seat("port", "desk"), wait=True))
    refused(await rome.acquire(seat("port", "hall"), wait=True))
    listed = await today("waiting", "--type", "PBX-Port")
    rows = [line.split() for line in listed.out.splitlines() if line.split()[:1] in (["1"], ["2"])]
    assert [row[:5] for row in rows] == [
        ["1", "port", "oslo", "site-oslo", "desk"],
        ["2", "port", "rome", "site-rome", "hall"],
    ], listed.out
    (first, _) = json.loads((await today("waiting", "--json")).out)["waiting"]
    assert (first["pbx"], first["place"], first["connected"]) == ("projects/acme/pbxs/oslo", 1, True)
    dropping = ("waiting", "drop", "oslo", "--reason", "asks without need")
    assert (await today(*dropping)).code != 0, "it has to be confirmed"
    dropped = await today(*dropping, "--yes")
    assert dropped.out == "oslo: 1 seats are waited for no longer\n"
    (refusal,) = refused(await rome.acquire(seat("port", "hall"), wait=True))
    assert (refusal.reason, refusal.place) == (seat_pb2.REFUSAL_REASON_WAITING, 1)
    kinds = [event.kind for event in await all_events(wire)]
    assert kinds.count("seats.awaited") == 2
    assert "waiting.dropped" in kinds
