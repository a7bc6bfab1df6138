"""A master that dies with 1,000 ports out, and a standby that carries them: real processes, really killed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from slave_client import CallKind, Granted, HolderKind, SlaveClient, State, Want
from tests.slave_client.conftest import client_config
from tests.support.databases.truth import all_events, held_by_pbx, mismatches, used
from tests.support.limits import HANG_SECONDS
from tests.support.masters import PROJECT, MasterProcess, master_process, wire_to
from tests.support.pbxs.standbys import checked
from tests.support.projects.estates import project

PORTS = 1000
HQ = f"projects/{PROJECT}/pbxs/hq"
PHONES = tuple(Want("port", HolderKind.USER, f"phone-{number:04}") for number in range(PORTS))


def _client(process: MasterProcess, folder: Path, pbx: str) -> SlaveClient:
    return SlaveClient(client_config(process.address, pbx=pbx, state_dir=folder / pbx))


@pytest.mark.rule("F1", "F5")
async def test_the_license_master_and_its_pbx_die_with_1000_ports_out(database_url: str, tmp_path: Path) -> None:
    estate = project(
        {"PBX-Port12": PORTS + 50, "PBX-Standby12": PORTS + 50},
        pbxs={"hq-2": "standby:hq 12 gateway", "berlin": "slave 12 gateway"},
        ttl_seconds=5,
        grace_seconds=600,
        renew_every_seconds=1,
    )
    async with master_process(database_url) as process:
        async with wire_to(process.address) as wire:
            await wire.apply(estate)
        hq, berlin = _client(process, tmp_path, "hq"), _client(process, tmp_path, "berlin")
        async with berlin, _client(process, tmp_path, "hq-2") as standby:
            await hq.start()
            assert len((await hq.sync(PHONES)).outcomes) == PORTS
            await _covered(process)
            await hq.crash()
            await process.kill()

            carried = await standby.take_over(HQ)
            assert carried.state is State.OFFLINE
            outcomes = await carried.acquire_many(PHONES)
            assert all(isinstance(outcome, Granted) for outcome in outcomes), "nothing is lost"
            assert carried.call_allowed(kind=CallKind.NEW, holder="phone-0999")
            more = await carried.acquire(Want("port", HolderKind.USER, "one-more"))
            assert not isinstance(more, Granted), "nothing is doubled"

            await process.start()
            carried.look_again()
            await carried.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
            assert len(carried.held) == PORTS
            everyone = {("port", want.holder) for want in PHONES}
            async with wire_to(process.address) as wire:
                assert (await held_by_pbx(wire))[HQ] == everyone
                assert (await used(wire))["port"] == PORTS
                assert (await checked(wire, "hq")).carrying

            again = _client(process, tmp_path, "hq")
            async with again:
                await carried.wait_for_state(State.FENCED, timeout_seconds=HANG_SECONDS)
                await again.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
                assert {held.want for held in again.held} == set(PHONES), "it has its seats back"
                assert not carried.held
                async with wire_to(process.address) as wire:
                    assert (await held_by_pbx(wire))[HQ] == everyone
                    assert (await used(wire))["port"] == PORTS
                    assert await all_events(wire, "standby.two_claims") == []
                await again.stop()
    assert await mismatches(database_url) == []


async def _covered(process: MasterProcess) -> None:
    """Until the master knows that the standby has all seats on its disk; it renews every second."""
    async with asyncio.timeout(HANG_SECONDS), wire_to(process.address) as wire:
        while sum(seat.covered for seat in (await checked(wire, "hq")).seats) < PORTS:  # noqa: ASYNC110  # nothing tells
            await asyncio.sleep(0.1)
