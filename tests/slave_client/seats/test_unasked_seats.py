"""Seats of a block are used without a call, kept on disk, and told to the master; never more than it counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from licensemaster.api_enums import HolderKind
from slave_client import Granted, NetworkSwitch, Refused, SlaveClient, Source, State, Want
from slave_client.storage.journal import Journal
from tests.slave_client.conftest import RestartableMaster
from tests.support.limits import HANG_SECONDS
from tests.support.masters import wire_to
from tests.support.pbxs.pbx import divided, opened, seats
from tests.support.projects.allocations import Policy, lay_down
from tests.support.projects.estates import project
from tests.support.waiting import until


def _want(holder: str) -> Want:
    return Want("port", HolderKind.USER, holder)


async def _with_block(master: RestartableMaster, client: SlaveClient) -> None:
    """The client holds four seats and has a block, by what it acquired lately."""
    async with wire_to(master.address) as wire:
        await lay_down(wire, Policy(license_type="port", block_seats_max=6))
    await client.acquire_many([_want(f"early-{number}") for number in range(4)])
    for _ in range(3):  # its lease says that it holds ports, then that it may use more
        await _renewed(client)


async def _renewed(client: SlaveClient) -> None:
    await client._runtime.check_connection()


async def _told(master: RestartableMaster, *holders: str) -> None:
    async def are_counted() -> bool:
        return set(holders) <= await master.holders("berlin")

    await until(are_counted)


@pytest.fixture
async def estate(master: RestartableMaster) -> RestartableMaster:
    await master.apply(project({"PBX-Port12": 40}))
    return master


async def test_a_seat_of_the_block_needs_no_call_and_the_master_hears_of_it(
    estate: RestartableMaster, tmp_path: Path
) -> None:
    async with SlaveClient(estate.config(state_dir=tmp_path)) as client:
        await _with_block(estate, client)
        outcome = await client.acquire(_want("local"))
        assert isinstance(outcome, Granted)
        assert (outcome.source, outcome.already_held) == (Source.LOCAL, False)
        await _told(estate, "local")
        await client.return_seat(_want("local"))
        assert "local" not in await estate.holders("berlin")


async def test_offline_the_whole_block_may_be_used_and_no_more(estate: RestartableMaster, tmp_path: Path) -> None:
    network = NetworkSwitch()
    async with SlaveClient(estate.config(state_dir=tmp_path), network=network) as client:
        await _with_block(estate, client)
        network.cut()
        await client.wait_for_state(State.OFFLINE, timeout_seconds=HANG_SECONDS)
        outcomes = [await client.acquire(_want(f"late-{number}")) for number in range(10)]
        used = 4 + sum(isinstance(outcome, Granted) for outcome in outcomes)
        assert 4 < used <= 10
        assert isinstance(outcomes[-1], Refused)
        async with wire_to(estate.address) as wire:
            rome = await opened(wire, "hq")
            assert divided(await rome.acquire(*seats("port", 40)))[0] <= 40 - used
        network.restore()
        await client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
        await _told(estate, "late-0")
        assert len(client.held) == used
        assert len(await estate.holders("berlin")) == used


async def test_a_killed_process_finds_again_what_it_used(estate: RestartableMaster, tmp_path: Path) -> None:
    network = NetworkSwitch()
    async with SlaveClient(estate.config(state_dir=tmp_path, save_every_seconds=3600.0), network=network) as client:
        await _with_block(estate, client)
        network.cut()
        await client.wait_for_state(State.OFFLINE, timeout_seconds=HANG_SECONDS)
        assert isinstance(await client.acquire(_want("local")), Granted)
        await client.crash()
    async with SlaveClient(estate.config(state_dir=tmp_path), network=network) as again:
        await again.wait_for_state(State.OFFLINE, timeout_seconds=HANG_SECONDS)
        assert {held.want.holder for held in again.held} >= {"local"}
        network.restore()
        await again.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
        await _told(estate, "local")


def test_a_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    first = journal.begin()
    journal.append("one", "two")
    journal.close()
    file = tmp_path / f"granted-{first}"
    file.write_bytes(file.read_bytes() + b"thr")
    second = Journal(tmp_path)
    assert second.lines(0) == ["one", "two"]
    after = second.begin()
    second.append("four")
    assert (second.lines(first), second.lines(after)) == (["one", "two", "four"], ["four"])
    second.forget_before(after)
    assert second.lines(0) == ["four"]
