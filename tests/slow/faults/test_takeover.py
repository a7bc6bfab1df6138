"""Two masters on PostgreSQL, one dies, hangs or loses its database: no site loses a seat, the other answers."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import AsyncExitStack

import pytest

from master.launch import MasterProcess, master_process
from slave_client import BlockingSlaveClient, Granted, HolderKind, SlaveClient, Source, State, Want
from tests.slave_client.conftest import client_config
from tests.support.databases.cluster import nodes, url_of
from tests.support.databases.truth import held_by_pbx, mismatches
from tests.support.limits import HANG_SECONDS
from tests.support.masters import Clock, Wire, in_process_master, upgraded, wire_to
from tests.support.network.balancer import balancer_before
from tests.support.pbxs.sites import Site, estate, working_sites
from tests.support.projects.estates import project


def port(holder: str) -> Want:
    return Want("port", HolderKind.USER, holder)


async def _until_books_agree(sites: list[Site], wire: Wire) -> None:
    """What a site counts on is there at once; what lost answers left open is settled by and by."""
    for site in sites:
        site.end()
    async with asyncio.timeout(HANG_SECONDS):
        while True:
            held = await held_by_pbx(wire)
            agree = []
            for site in sites:
                here = {held_seat.want.holder for held_seat in site.client.held}
                there = {holder for _, holder in held.get(site.client.config.pbx, set())}
                agree.append(here == there)
            if all(agree):
                return
            await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    ("number", "behind"),
    [(signal.SIGKILL, False), (signal.SIGKILL, True), (signal.SIGSTOP, False)],
    ids=["killed", "killed-behind-a-balancer", "hangs"],
)
@pytest.mark.rule("A1")
async def test_one_of_two_masters_goes(postgresql_database_url: str, number: signal.Signals, behind: bool) -> None:
    async with AsyncExitStack() as stack:
        masters = [await stack.enter_async_context(master_process(postgresql_database_url)) for _ in range(2)]
        living = await stack.enter_async_context(wire_to(masters[1].address))
        await living.apply(estate())
        addresses = [master.address for master in masters]
        if behind:
            addresses = [(await stack.enter_async_context(balancer_before(*addresses))).address]
        sites = await stack.enter_async_context(working_sites(addresses))
        moment = time.perf_counter()
        os.kill(masters[0].pid, number)
        seconds = await asyncio.gather(*(site.served_after(moment) for site in sites))
        print(f"answered by the other master after {max(seconds):.2f} s at the latest")
        _thaw(masters[0], number)
        await _until_books_agree(sites, living)
        assert not any(site.lost for site in sites)
        assert all(site.client.state is State.CONNECTED for site in sites)
        assert await mismatches(postgresql_database_url) == []


def _thaw(master: MasterProcess, number: signal.Signals) -> None:
    """What it was asked while it hung, it does now: late, and under leases that others renewed meanwhile."""
    if number is signal.SIGSTOP:
        os.kill(master.pid, signal.SIGCONT)


async def test_a_master_that_lost_its_database_is_left_for_one_that_has_it(clock: Clock) -> None:
    async with nodes(1) as (server,), AsyncExitStack() as stack:
        await server.make()
        url = await upgraded(url_of(server))
        line = await stack.enter_async_context(balancer_before(f"127.0.0.1:{server.port}"))
        lonely_url = url.replace(f"127.0.0.1:{server.port}", line.address)
        lonely = await stack.enter_async_context(
            in_process_master(lonely_url, clock, database_health_interval_seconds=0.1)
        )
        other = await stack.enter_async_context(in_process_master(url, clock))
        await other.wire.apply(project({"PBX-Port12": 50}))
        states: list[State] = []
        config = client_config(lonely.wire.address, addresses=(lonely.wire.address, other.wire.address))
        client = SlaveClient(config, on_state=lambda _old, new, _why: states.append(new))
        async with client:
            assert isinstance(await client.acquire(port("before")), Granted)
            await line.stop()
            outcome = await client.acquire(port("after"))
            assert isinstance(outcome, Granted)
            assert outcome.source is Source.MASTER
            assert states == [State.CONNECTED], "it never counted as offline"


async def test_the_blocking_client_finds_the_other_master(postgresql_database_url: str) -> None:
    async with master_process(postgresql_database_url) as first, master_process(postgresql_database_url) as second:
        async with wire_to(second.address) as wire:
            await wire.apply(project({"PBX-Port12": 5}))
        config = client_config(first.address, addresses=(first.address, second.address))

        def phones() -> list[Source]:
            with BlockingSlaveClient(config) as client:
                collected = [client.acquire(port("anna"))]
                os.kill(first.pid, signal.SIGKILL)
                collected.append(client.acquire(port("ben")))
                assert client.state is State.CONNECTED
                assert {held.want.holder for held in client.held} == {"anna", "ben"}
                return [each.source for each in collected if isinstance(each, Granted)]

        assert await asyncio.to_thread(phones) == [Source.MASTER] * 2
