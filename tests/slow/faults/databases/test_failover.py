"""PostgreSQL fails over to its synchronous replica under load: nothing acknowledged is lost, masters follow.

TESTS_LONG=1 fails over many more times.
"""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from functools import partial

import pytest

from slave_client import Granted, HolderKind, SlaveClient, Source, State, Want
from tests.slave_client.conftest import client_config
from tests.slow.faults.databases.serving import answered
from tests.slow.faults.databases.storm import Ledger, Storm, retry_what_is_unsure, until_gone
from tests.support.databases.cluster import Node, nodes, url_of
from tests.support.databases.truth import held_by_pbx, mismatches, used
from tests.support.limits import HANG_SECONDS, LONG
from tests.support.masters import MasterProcess, Wire, master_process, upgraded, wire_to
from tests.support.pbxs.pbx import opened
from tests.support.projects.estates import project

ROUNDS = 12 if LONG else 2
PBXS = {f"site-{number}": "slave 12 gateway" for number in range(6)}
PORTS = 100_000


async def _acknowledged_is_there(wire: Wire, ledgers: list[Ledger]) -> None:
    held = await held_by_pbx(wire)
    for ledger in ledgers:
        ports = {holder for _, holder in held.get(ledger.pbx.name, set())}
        assert ledger.holds <= ports, "an acknowledged seat was lost"
        assert ports <= ledger.holds | ledger.unsure, "a seat is there that nobody asked for, or that was returned"


def _client(masters: list[MasterProcess]) -> SlaveClient:
    config = client_config(masters[0].address, addresses=tuple(master.address for master in masters))
    return SlaveClient(config)


async def _granted(client: SlaveClient, holder: str) -> Source:
    outcome = await client.acquire(Want("port", HolderKind.USER, holder))
    assert isinstance(outcome, Granted), outcome
    return outcome.source


@pytest.mark.timeout(3600)
@pytest.mark.rule("A1")
async def test_failover_to_the_synchronous_replica() -> None:
    async with nodes(2) as (primary, replica), AsyncExitStack() as stack:
        await primary.make()
        url = await upgraded(url_of(primary, replica))
        masters = [
            await stack.enter_async_context(
                master_process(url, database_health_interval_seconds=0.2, database_timeout_seconds=2, drain_seconds=1)
            )
            for _ in range(2)
        ]
        wires = [await stack.enter_async_context(wire_to(master.address)) for master in masters]
        estate = project({"PBX-Port12": PORTS}, pbxs={**PBXS, "berlin": "slave 12 gateway"})
        await answered(lambda wire: wire.apply(estate), *wires)
        ledgers = [Ledger(await answered(partial(opened, name=name), wires[0])) for name in PBXS]
        berlin = await stack.enter_async_context(_client(masters))
        seconds = []
        for number in range(ROUNDS):
            await replica.make_replica_of(primary, name="replica")
            await primary.wait_for_replica("replica")
            assert await _granted(berlin, f"before-{number}") is Source.MASTER
            seconds.append(await _fail_over(primary, replica, wires, ledgers))
            await berlin.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
            assert await _granted(berlin, f"after-{number}") is Source.MASTER
            primary, replica = replica, primary
            await replica.forget()
        held = {holder for _, holder in (await held_by_pbx(wires[1]))["projects/acme/pbxs/berlin"]}
        assert held == {held_seat.want.holder for held_seat in berlin.held}
        assert len(held) == 2 * ROUNDS
        assert await mismatches(url) == []
        print(f"first grant after the promotion, seconds: {', '.join(f'{second:.2f}' for second in seconds)}")


async def _fail_over(primary: Node, replica: Node, wires: list[Wire], ledgers: list[Ledger]) -> float:
    """Kill the primary in the thick of it and promote the replica; seconds from then to the first grant."""
    for at, ledger in enumerate(ledgers):
        ledger.pbx.wire = wires[at % len(wires)]
    await until_gone(Storm(enough=60), ledgers, primary.kill)
    await replica.promote()
    promoted = time.perf_counter()
    await answered(lambda wire: _acknowledged_is_there(wire, ledgers), *wires)
    for ledger in ledgers:
        ledger.unsure.add(f"after-{promoted}")
    await answered(partial(retry_what_is_unsure, ledgers[0]), *wires)
    seconds = time.perf_counter() - promoted
    for ledger in ledgers:
        await answered(partial(retry_what_is_unsure, ledger), *wires)
    await _acknowledged_is_there(wires[1], ledgers)
    counted = sum(len(seats) for seats in (await held_by_pbx(wires[0])).values())
    assert (await used(wires[0]))["port"] == counted
    return seconds
