"""The master's database goes back to an older state, again and again: the sites never use more than there is."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from licensemaster.v1 import project_pb2, status_pb2
from slave_client import HolderKind, LossCause, NoticeKind, Reason, SlaveClient, State, Want
from slave_client.values.seats import Lost, SeatChange
from tests.slave_client.conftest import PORTS, HeldClock, RestartableMaster, Vault
from tests.slave_client.test_never_too_many import ACTIONS, PHONES, Site, step
from tests.support.databases.truth import all_events
from tests.support.limits import HANG_SECONDS, LONG
from tests.support.masters import PROJECT, wire_to
from tests.support.waiting import until

SEEDS = 40 if LONG else 4
STEPS = 60
LEASE_SECONDS = 60


async def proven(master: RestartableMaster, site: Site) -> None:
    """Wait until a site that reaches the master has shown it what it holds."""
    site.client.look_again()
    name = site.config.pbx

    async def known() -> bool:
        async with wire_to(master.address) as wire:
            leases = (await wire.status.ListLeases(status_pb2.ListLeasesRequest(project=f"projects/{PROJECT}"))).leases
        (epoch,) = [lease.epoch for lease in leases if lease.pbx == name]
        return site.client.state is State.CONNECTED and site.client.report().epoch == epoch

    await until(known)


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_sites_never_use_more_than_there_is_whatever_is_restored(
    master: RestartableMaster, vault: Vault, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    time = HeldClock(master.clock)
    sites = [Site(master, pbx, tmp_path / pbx, time) for pbx in ("berlin", "rome")]
    for site in sites:
        await site.client.start()
        await site.judged()
    granted, restored = await step(sites[0], "acquire", chance, sites[0].wants), 0
    for _ in range(STEPS):
        site = chance.choice(sites)
        some = chance.sample(site.wants, chance.randint(1, PHONES))
        match chance.choice((*ACTIONS, *ACTIONS, "back up", "go back", "learn")):
            case "back up":
                vault.back_up()
            case "go back":
                if chance.random() < 0.5:
                    await step(site, "cut", chance, some)
                await vault.restore(chance.choice(vault.made))
                restored += 1
                for reached in (other_site for other_site in sites if not other_site.line.is_cut):
                    await proven(master, reached)
                    await step(reached, "acquire", chance, reached.wants)  # everything that it can get
            case "learn":
                time.advance(LEASE_SECONDS + 1)
                await until(master.learned)
            case action:
                granted += await step(site, action, chance, some)
        assert sum(site.in_use for site in sites) <= PORTS
    for site in sites:
        site.line.restore()
        site.client.look_again()
    time.advance(LEASE_SECONDS + 1)
    await until(master.learned)
    assert sum(site.in_use for site in sites) <= PORTS
    for site in sites:
        await site.restart(crash=False)
        await site.client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
    synced = [await site.client.sync(site.wants) for site in sites]
    assert sum(outcome.granted for each in synced for outcome in each.outcomes) == PORTS
    for site in sites:
        assert await master.holders(site.name) == {held.want.holder for held in site.client.held}
        await site.client.close()
    assert granted > 0
    assert restored > 0


@dataclass(slots=True)
class Phones:
    """A PBX's client with so many phones, and what it heard."""

    client: SlaveClient
    wants: list[Want]
    lost: list[LossCause] = field(default_factory=list)
    states: list[State] = field(default_factory=list)

    @classmethod
    async def at(cls, master: RestartableMaster, pbx: str, count: int, folder: Path, time: HeldClock) -> Phones:
        """Registered, each with a port, and their lease signed since."""
        collected: Phones

        def heard(_want: Want, change: SeatChange) -> None:
            if isinstance(change, Lost):
                collected.lost.append(change.cause)

        client = SlaveClient(
            master.config(pbx, state_dir=folder / pbx),
            clock=time,
            on_seat=heard,
            on_state=lambda _old, new, _why: collected.states.append(new),
        )
        collected = cls(client, [Want("port", HolderKind.USER, f"{pbx}-{number}") for number in range(count)])
        await client.start()
        await client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
        assert all(outcome.granted for outcome in await client.acquire_many(collected.wants))
        return collected

    async def renewed(self, time: HeldClock) -> None:
        """What it holds is signed."""
        before = self.client.report().lease_end
        time.advance(12)

        await until(lambda: self.client.report().lease_end != before)


async def test_a_site_keeps_its_phones_through_a_restore(
    master: RestartableMaster, vault: Vault, tmp_path: Path
) -> None:
    """The backup is older than the site itself."""
    time = HeldClock(master.clock)
    site = await Phones.at(master, "berlin", 3, tmp_path, time)
    await site.renewed(time)
    site.states.clear()
    await vault.restore(vault.made[0])
    assert await master.learning()
    site.client.look_again()

    async def entered() -> bool:
        return await master.holders("berlin") == {want.holder for want in site.wants}

    await until(entered)
    await site.client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
    assert site.lost == []
    assert State.EXPIRED not in site.states
    assert NoticeKind.LEARNING in {notice.kind for notice in site.client.notices}
    one_more = await site.client.acquire(Want("port", HolderKind.USER, "another"))
    assert not one_more.granted
    assert one_more.reason is Reason.LEARNING  # type: ignore[union-attr]
    await site.client.return_seat(site.wants[0])
    assert (await site.client.acquire(Want("port", HolderKind.USER, "another"))).granted
    await site.client.close()


async def test_a_site_keeps_its_phones_when_nobody_says_that_it_was_restored(
    master: RestartableMaster, vault: Vault, tmp_path: Path
) -> None:
    time = HeldClock(master.clock)
    site = await Phones.at(master, "berlin", 3, tmp_path, time)
    vault.back_up()
    await site.renewed(time)
    await vault.restore(vault.made[-1], said=False)
    site.client.look_again()
    await until(master.learning)
    await site.client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
    assert site.lost == []
    assert len(site.client.held) == 3
    await site.client.close()


async def test_an_operator_may_end_it(master: RestartableMaster, vault: Vault, tmp_path: Path) -> None:
    await vault.restore(vault.made[0])
    async with wire_to(master.address) as wire:
        request = project_pb2.EndLearningRequest(project=f"projects/{PROJECT}", reason="a test", request_id="end")
        assert (await wire.projects.EndLearning(request)).seats_at_risk == 0
    site = await Phones.at(master, "berlin", PORTS, tmp_path, HeldClock(master.clock))
    await site.client.close()


async def test_a_second_restore_by_a_clock_that_is_behind_the_first_one_ends(
    master: RestartableMaster, vault: Vault, tmp_path: Path
) -> None:
    """The PBX shows an epoch from after the first restore, above all that the clock of the second one makes."""
    time = HeldClock(master.clock)
    await vault.restore(vault.made[0])
    time.advance(LEASE_SECONDS + 1)
    await until(master.learned)
    async with SlaveClient(master.config(state_dir=tmp_path / "berlin"), clock=time) as client:
        await client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
        epoch = client.report().epoch
        master.clock.advance(-86_400)
        await vault.restore(vault.made[0])
        client.look_again()
        await until(lambda: (client.report().epoch or 0) > (epoch or 0))
        async with wire_to(master.address) as wire:
            assert len(await all_events(wire, "learning.began")) == 2
