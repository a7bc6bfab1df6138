"""Seats over the local API, down to a real master over real gRPC."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from license_agent.http.unix_socket import unix_socket
from licensemaster.v1 import allocation_pb2
from slave_client import State
from tests.license_agent.conftest import PORTS, Pbx, agent_settings, port, running_agent
from tests.slave_client.conftest import RestartableMaster
from tests.support.limits import HANG_SECONDS
from tests.support.masters import wire_to
from tests.support.projects.allocations import Policy, lay_down
from tests.support.waiting import until


@pytest.mark.rule("A1", "E1")
async def test_a_phone_has_a_seat_while_it_is_registered(pbx: Pbx, master: RestartableMaster) -> None:
    granted = await pbx.ask("PUT", port("4711"))
    assert (granted.status, granted.body["basis"], granted.body["source"]) == (200, "debited", "master")
    assert granted.body["seat"]["holder"] == "4711"
    assert await master.holders("berlin") == {"4711"}
    shown = await pbx.ask("GET", port("4711"))
    assert (shown.status, shown.body["seat"]["holder"]) == (200, "4711")
    returned = await pbx.ask("DELETE", port("4711"))
    assert (returned.status, returned.body["held"]) == (200, True)
    assert await master.holders("berlin") == set()
    assert (await pbx.ask("GET", port("4711"))).status == 404


async def test_asking_again_changes_nothing(pbx: Pbx, master: RestartableMaster) -> None:
    await pbx.register("4711")
    again = await pbx.ask("PUT", port("4711"))
    assert (again.status, again.body["already_held"], again.body["source"]) == (200, True, "local")
    assert [(await pbx.ask("DELETE", port("4711"))).body["held"] for _ in range(2)] == [True, False]


@pytest.mark.rule("E1")
async def test_a_refusal_says_all_that_is_needed_to_act(pbx: Pbx) -> None:
    assert await pbx.register(*(f"p{number}" for number in range(PORTS))) == [200] * PORTS
    refused = await pbx.ask("PUT", port("one-too-many"))
    assert (refused.status, refused.headers["Content-Type"]) == (403, "application/problem+json")
    body = refused.body
    assert (body["type"], body["title"]) == ("urn:license-agent:problem:refused", "Forbidden")
    assert (body["reason"], body["detail"] != "", body["remedy"]["text"] != "") == ("pool_exhausted", True, True)
    assert (body["numbers"]["capacity"], body["numbers"]["in_use"]) == (PORTS, PORTS)
    assert [(held["pbx"], held["seats"]) for held in body["holders"]] == [("projects/acme/pbxs/berlin", PORTS)]
    assert body["rules"]


async def test_a_seat_that_is_short_is_waited_for(pbx: Pbx, master: RestartableMaster) -> None:
    async with wire_to(master.address) as wire:
        await lay_down(wire, Policy(license_type="port", queue=allocation_pb2.QueuePolicy(length_max=10)))
    await pbx.register(*(f"p{number}" for number in range(PORTS)))
    waiting = await pbx.ask("PUT", port("late"), json={"wait": True})
    assert (waiting.status, waiting.body["reason"], waiting.body["numbers"]["place"]) == (403, "waiting", 1)
    shown = await pbx.ask("GET", port("late"))
    assert (shown.status, shown.body["type"], shown.body["place"]) == (404, "urn:license-agent:problem:waiting", 1)
    assert (await pbx.ask("PUT", port("late"), json={"wait": "yes"})).status == 422
    await pbx.ask("DELETE", port("p0"))

    async def has_it() -> bool:
        return (await pbx.ask("GET", port("late"))).status == 200

    await until(has_it)
    assert "late" in await master.holders("berlin")


async def test_asks_of_one_moment_are_joined(pbx: Pbx, master: RestartableMaster) -> None:
    answers = await asyncio.gather(*(pbx.ask("PUT", port(f"p{number}")) for number in range(40)))
    statuses = [answer.status for answer in answers]
    assert (statuses.count(200), statuses.count(403)) == (PORTS, 40 - PORTS)
    assert len(await master.holders("berlin")) == PORTS


async def test_a_whole_wanted_set(pbx: Pbx, master: RestartableMaster) -> None:
    await pbx.register("gone")
    wanted = [{"license_type": "port", "holder_kind": "user", "holder": f"p{n}"} for n in range(PORTS + 1)]
    synced = await pbx.ask("PUT", "/v1/seats", json={"seats": wanted})
    assert synced.status == 200
    assert [outcome["granted"] for outcome in synced.body["outcomes"]] == [True] * PORTS + [False]
    assert synced.body["outcomes"][-1]["reason"] == "pool_exhausted"
    assert synced.body["seats_returned"] == 1
    listed = await pbx.ask("GET", "/v1/seats")
    assert {held["seat"]["holder"] for held in listed.body["seats"]} == await master.holders("berlin")


async def test_phones_go_on_while_the_master_is_away(pbx: Pbx, master: RestartableMaster) -> None:
    await pbx.register("4711")
    await master.stop()
    offline = asyncio.create_task(pbx.agent.client.wait_for_state(State.OFFLINE, timeout_seconds=HANG_SECONDS))
    refused = await pbx.ask("PUT", port("new"))
    assert (refused.status, refused.reason) == (503, "offline")
    assert int(refused.headers["Retry-After"]) > 0
    await offline
    assert await pbx.register("4711") == [200]
    lease = await pbx.ask("GET", "/v1/lease")
    assert (lease.body["state"], lease.body["seats_held"]) == ("offline", 1)
    assert (await pbx.ask("GET", "/healthz")).body == {"status": "ok", "state": "offline"}
    await master.start()


async def test_calls_never_wait_for_a_license(pbx: Pbx) -> None:
    await pbx.register("4711")

    async def allowed(query: str) -> bool:
        return bool((await pbx.ask("GET", f"/v1/calls/allowed?{query}")).body["allowed"])

    assert await allowed("kind=new&holder=4711&license_type=port")
    assert not await allowed("kind=new&holder=4712")
    assert await allowed("kind=emergency&holder=4712")
    assert await allowed("kind=running")


async def test_a_holder_who_calls_is_known_however_its_name_is_spelt(pbx: Pbx) -> None:
    """As where its seat is asked for: white space around it, and how Unicode composes it, make no other one."""
    assert await pbx.register("Mu%CC%88ller") == [200]
    for holder, may in (("Mu%CC%88ller", True), ("M%C3%BCller", True), ("%20M%C3%BCller", True), ("muller", False)):
        answer = await pbx.ask("GET", f"/v1/calls/allowed?holder={holder}&license_type=port")
        assert answer.body == {"allowed": may}, holder


async def test_a_restart_carries_on(master: RestartableMaster, tmp_path: Path) -> None:
    settings = agent_settings(master.address, tmp_path)
    async with running_agent(settings) as pbx:
        assert await pbx.register("4711", "4712") == [200, 200]
    async with running_agent(settings) as pbx:
        await pbx.agent.client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
        assert {held["seat"]["holder"] for held in (await pbx.ask("GET", "/v1/seats")).body["seats"]} == {
            "4711",
            "4712",
        }
    assert await master.holders("berlin") == {"4711", "4712"}


async def test_who_may_connect(pbx: Pbx, master: RestartableMaster, tmp_path: Path) -> None:
    assert stat.S_IMODE(os.stat(tmp_path / "socket").st_mode) == 0o660
    other = agent_settings(master.address, tmp_path, state_dir=tmp_path / "other")
    with pytest.raises(OSError, match=f"another agent, process {os.getpid()}, has .*socket; stop that one first"):
        async with running_agent(other):
            pass
    assert await pbx.register("4711") == [200]


def test_of_agents_that_start_at_once_one_has_the_socket(tmp_path: Path) -> None:
    together, over = Barrier(4), Barrier(4)

    def try_it(_: int) -> str:
        together.wait(HANG_SECONDS)
        try:
            with unix_socket(tmp_path / "socket", 0o660, None):
                over.wait(HANG_SECONDS)
                return "has it"
        except OSError as error:
            over.wait(HANG_SECONDS)
            return str(error)

    with ThreadPoolExecutor(4) as threads:
        for _ in range(25):
            said = list(threads.map(try_it, range(4)))
            assert said.count("has it") == 1, said
            assert sum("another agent" in text for text in said) == 3, said


def test_a_folder_is_no_name_of_a_socket() -> None:
    with pytest.raises(OSError, match=r"^socket: \. is no name"), unix_socket(Path("."), 0o660, None):
        pass


async def test_a_socket_that_nobody_listens_on_is_replaced(master: RestartableMaster, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "socket"))
    async with running_agent(agent_settings(master.address, tmp_path)) as pbx:
        assert (await pbx.ask("GET", "/healthz")).status == 200


async def test_a_full_queue_says_when_to_come_back(master: RestartableMaster, tmp_path: Path) -> None:
    async with running_agent(agent_settings(master.address, tmp_path, asks_waiting_max=1)) as pbx:
        await pbx.register("4711")
        answers = await asyncio.gather(*(pbx.ask("PUT", port(f"p{number}")) for number in range(10)))
        full = [answer for answer in answers if answer.status == 503]
        assert full
        assert {answer.body["type"] for answer in full} == {"urn:license-agent:problem:full"}
        assert {answer.headers["Retry-After"] for answer in full} == {"5"}
        assert (await pbx.register("4711")) == [200]
