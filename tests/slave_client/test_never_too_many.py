"""Whatever breaks, restarts, runs out or is taken away: the sites never use more seats than there are licenses."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from grpc import StatusCode
from grpc.aio import AioRpcError

from licensemaster.v1 import license_pb2
from slave_client import HolderKind, NetworkSwitch, SlaveClient, State, Want
from tests.slave_client.conftest import PORTS, HeldClock, RestartableMaster
from tests.slave_client.loans.lending import DAY, allow_loans, hears_of, lend, sail
from tests.slave_client.operating import Operator, operator_of
from tests.support.limits import HANG_SECONDS, LONG
from tests.support.waiting import until

PHONES = 4
MORE = 2
"""Ports that an operator lends and takes away again."""
SEEDS = 40 if LONG else 4
STEPS = 60
ACTIONS = [
    *("acquire", "acquire", "acquire", "return", "sync"),
    *("cut", "restore", "restore", "restore", "tear"),
    *("crash", "stop", "wait"),
]
WITHOUT_MASTER = (State.OFFLINE, State.BORROWING, State.EXPIRED, State.STARTING)
MOVES = ("move", "move", "move", "move", "cancel")


class Site:
    """One PBX that may be cut off, killed and started again; its line breaks in the middle of calls, too."""

    def __init__(self, master: RestartableMaster, pbx: str, state_dir: Path, time: HeldClock) -> None:
        self.config = master.config(pbx, state_dir=state_dir, seats_per_call_max=3, call_timeout_seconds=2.0)
        self.name = pbx
        self.time = time
        self.line = NetworkSwitch()
        self.wants = [Want("port", HolderKind.USER, f"{pbx}-{number}") for number in range(PHONES)]
        self.client = self.fresh()

    def fresh(self) -> SlaveClient:
        return SlaveClient(self.config, network=self.line, clock=self.time)

    @property
    def in_use(self) -> int:
        return len(self.client.held) if self.client.state.has_seats else 0

    async def restart(self, *, crash: bool) -> None:
        await (self.client.crash() if crash else self.client.stop())
        self.client = self.fresh()
        await self.client.start()

    async def judged(self) -> None:
        """Wait until the client has noticed how its line is."""
        self.client.look_again()
        if self.line.is_cut:
            await self.client.wait_for_state(*WITHOUT_MASTER, timeout_seconds=HANG_SECONDS)
        else:
            await self.client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)


async def started(master: RestartableMaster, folder: Path, time: HeldClock) -> list[Site]:
    """Start two sites, which have a lease each then."""
    sites = [Site(master, pbx, folder / pbx, time) for pbx in ("berlin", "rome")]
    for site in sites:
        await site.client.start()
        await site.judged()
    return sites


async def reconciled_and_closed(master: RestartableMaster, sites: list[Site]) -> None:
    """Reach the master again, hold what it counts and nothing else, and close."""
    for site in sites:
        site.line.restore()
        await site.judged()
        assert await master.holders(site.name) == {held.want.holder for held in site.client.held}
        await site.client.close()


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_sites_never_use_more_than_there_is(master: RestartableMaster, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    time = HeldClock(master.clock)
    sites = await started(master, tmp_path, time)
    granted = 0
    for _ in range(STEPS):
        site = chance.choice(sites)
        some = chance.sample(site.wants, chance.randint(1, PHONES))
        granted += await step(site, chance.choice(ACTIONS), chance, some)
        assert sum(site.in_use for site in sites) <= PORTS
    await reconciled_and_closed(master, sites)
    assert granted > 0


async def step(
    site: Site, action: str, chance: random.Random, some: list[Want], operator: Operator | None = None
) -> int:
    """Do one thing at a site, or as the operator; returns how many seats were granted."""
    match action:
        case "acquire":
            return sum(outcome.granted for outcome in await site.client.acquire_many(some))
        case "return":
            await site.client.return_seats(some)
        case "sync":
            await site.client.sync(some)
        case "cut":
            site.line.cut()
            await site.judged()
        case "restore":
            site.line.restore()
            await site.judged()
        case "tear":  # the answer of a call under way is lost
            await _torn(site, chance, some)
        case "crash" | "stop":
            await site.restart(crash=action == "crash")
            outcomes, _ = await asyncio.gather(site.client.acquire_many(some), site.judged())
            return sum(outcome.granted for outcome in outcomes)
        case "wait":
            site.time.advance(chance.choice((1.0, 12.0, 35.0, 70.0)))
        case "move" if operator is not None:
            await _move(operator)
        case "cancel" if operator is not None:
            await operator.cancel()
        case _:
            raise AssertionError(action)
    return 0


@pytest.mark.rule("L5")
@pytest.mark.parametrize("seed", range(SEEDS))
async def test_what_is_taken_away_and_released_is_used_by_nobody(
    master: RestartableMaster, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    time = HeldClock(master.clock)
    operator = await operator_of(master.address, tmp_path / "keys", now=master.clock(), ports=MORE)
    sites = await started(master, tmp_path, time)
    for _ in range(STEPS):
        site = chance.choice(sites)
        some = chance.sample(site.wants, chance.randint(1, PHONES))
        await step(site, chance.choice([*ACTIONS, *MOVES]), chance, some, operator)
        installed = PORTS if await operator.is_free() else PORTS + MORE
        assert sum(site.in_use for site in sites) <= installed
    if not await operator.is_free():
        await operator.revoke()
        await operator.certify()
    for site in sites:
        site.line.restore()
        await site.judged()

    async def books_agree() -> bool:
        held = [await operator.holders(site.name) == {seat.want.holder for seat in site.client.held} for site in sites]
        return all(held)

    await until(books_agree)
    await until(operator.is_free)
    assert sum(site.in_use for site in sites) <= PORTS
    for site in sites:
        await site.client.close()


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_what_is_borrowed_is_never_used_beyond_what_is_lent(
    master: RestartableMaster, tmp_path: Path, seed: int
) -> None:
    """Loans begin, grow, and come to their end; at sea, after a crash, and while the other site wants everything."""
    chance = random.Random(seed)
    time = HeldClock(master.clock)
    await allow_loans(master)
    sites = await started(master, tmp_path, time)
    for site in sites:
        await _lend(master, site, chance)
    borrowing = 0
    for _ in range(STEPS):
        site = chance.choice(sites)
        some = chance.sample(site.wants, chance.randint(1, PHONES))
        match chance.choice([*ACTIONS, "lend", "lend", "sail", "sail"]):
            case "lend":
                await _lend(master, site, chance)
            case "sail":
                await step(site, "cut", chance, some)
                sail(time)
            case action:
                await step(site, action, chance, some)
        borrowing += sum(site.client.state is State.BORROWING and bool(site.client.held) for site in sites)
        assert sum(site.in_use for site in sites) <= PORTS
    await reconciled_and_closed(master, sites)
    assert borrowing > 0


async def _lend(master: RestartableMaster, site: Site, chance: random.Random) -> None:
    """Lend a site that is there some seats more, for minutes to come, or as many as there are."""
    seats = sum(loan.seats for loan in site.client.report().loans) + chance.randint(1, 2)
    try:
        await lend(master, seats, days=600 / DAY, pbx=site.name)
    except AioRpcError as error:
        if error.code() is not StatusCode.FAILED_PRECONDITION:  # none is free, it would be shorter, it is away
            raise
    else:
        if site.client.state is State.CONNECTED:
            await hears_of(site.client, seats)


async def _move(operator: Operator) -> None:
    """What comes next in the life of a license: it is lent, taken away, certified; it is free when nobody uses it."""
    license_ = await operator.license()
    if license_.state == license_pb2.LICENSE_STATE_FREE:
        await operator.bind()
    elif license_.state == license_pb2.LICENSE_STATE_BOUND:
        await operator.revoke()
    elif not license_.release.certified:
        await operator.certify()


async def _torn(site: Site, chance: random.Random, some: list[Want]) -> None:
    """Cut the line some moments after a call went out, so that the master may or may not have done its part."""
    call = site.client.acquire_many if chance.random() < 0.5 else site.client.return_seats
    under_way = asyncio.ensure_future(call(some))
    await asyncio.sleep(chance.choice((0.0, 0.001, 0.002, 0.004)))
    site.line.cut()
    await under_way
    await site.judged()
