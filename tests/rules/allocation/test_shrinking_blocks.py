"""Pools that become smaller while seats are held ahead of need: these go before used ones, and used ones in time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from licensemaster.v1 import lease_pb2, license_pb2, loan_pb2
from tests.rules.allocation.test_blocks import renewed, terms_of, use
from tests.rules.allocation.test_loans import borrowing
from tests.rules.allocation.test_overdraft import HOUR, overdraft, ports
from tests.support.databases.truth import all_events, mismatches
from tests.support.masters import InProcess
from tests.support.pbxs.pbx import BarePbx, granted, opened, seats
from tests.support.pbxs.standbys import LICENSES, PAIR, standing_by
from tests.support.projects.allocations import Policy, lay_down
from tests.support.projects.estates import project
from tests.support.projects.signed_documents import Vendor, bind, enrolled, imported, release

STAY, LEAVE = 12, 18
LASTS = 3600


async def told(pbx: BarePbx) -> list[str]:
    """Whose seats a PBX has to give back."""
    return [
        seat.holder
        for notice in (await pbx.renew()).notices
        if notice.kind == lease_pb2.NOTICE_KIND_SEATS_REVOKED
        for seat in notice.seats
    ]


async def obey(pbx: BarePbx) -> None:
    """Give back what was taken away."""
    for notice in (await pbx.renew()).notices:
        if notice.seats:
            await pbx.give_back(*notice.seats)


async def counted(master: InProcess) -> int:
    pool = await ports(master.wire)
    return pool.used + pool.held_idle + pool.borrowed + pool.promised


async def look(master: InProcess) -> int:
    """How many seats the master takes away as it looks again."""
    return await master.running.licenses.shrink_pools()


async def let_go(master: InProcess, in_use: license_pb2.InUse.ValueType = license_pb2.IN_USE_REVOKE) -> int:
    """Release what can leave; how many seats were taken away at once."""
    (result,) = await release(master.wire, "more", in_use=in_use)
    return result.seats_revoked


async def pool_of(master: InProcess, folder: Path, licenses: dict[str, int | tuple[int, str]], more: int) -> None:
    """Install so many ports more than others, which can leave."""
    wire = master.wire
    pbxs = PAIR if "PBX-Standby12" in licenses else dict.fromkeys(("berlin", "rome"), "slave 12 gateway")
    await wire.apply(project(licenses, pbxs=pbxs, ttl_seconds=LASTS, grace_seconds=LASTS))
    await imported(wire, Vendor(), {"more": ("PBX-Port12", more)}, now=master.clock.now)
    await enrolled(wire, folder, "hq-box")
    await bind(wire, "hq-box", "more")


@dataclass
class Thirty:
    """Thirty ports of which eighteen can leave. Berlin holds 5 and has 10 more in a block; Rome holds 13."""

    master: InProcess
    berlin: BarePbx
    rome: BarePbx
    serial: int
    """Of Berlin's block of 15."""

    async def shrink_block(self, *, used: int = 5, to: int = 0) -> None:
        """Berlin hears of a smaller block, and says that it goes by it."""
        self.master.clock.advance(10)
        size, serial = terms_of(await renewed(self.berlin, use(seats=15, used=used), block_serial=self.serial))
        assert size == to
        await renewed(self.berlin, use(seats=size, used=used), block_serial=serial)


@pytest.fixture
async def thirty(any_master: InProcess, tmp_path: Path) -> Thirty:
    await pool_of(any_master, tmp_path, {"PBX-Port12": STAY}, LEAVE)
    await lay_down(any_master.wire, Policy(license_type="port", block_seats_max=12, loan_days_max=30))
    berlin, rome = await opened(any_master.wire, "berlin"), await opened(any_master.wire, "rome")
    granted(await berlin.acquire(*seats("port", 5, "old")))
    size, serial = terms_of(await renewed(berlin, use(used=5, acquired=5)))
    assert size == 15
    any_master.clock.advance(1)
    granted(await rome.acquire(*seats("port", 13, "rome")))
    any_master.clock.advance(1)
    return Thirty(any_master, berlin, rome, serial)


@pytest.mark.rule("L5")
async def test_a_block_goes_before_what_is_used_and_to_nothing_at_once(thirty: Thirty, database_url: str) -> None:
    master = thirty.master
    assert await let_go(master) == 13 + 5 - STAY, "as many as do not fit without what lies idle"
    assert (len(await told(thirty.rome)), await told(thirty.berlin)) == (6, [])
    assert await look(master) == 0, "what was taken away counts as given back"
    await obey(thirty.rome)
    assert await look(master) == 0, "what lies idle goes by itself"
    await thirty.shrink_block()
    assert await counted(master) == STAY
    assert await look(master) == 0
    assert await mismatches(database_url) == []


@pytest.mark.rule("L5")
async def test_a_block_that_was_used_meanwhile_is_looked_at_again(thirty: Thirty, database_url: str) -> None:
    """Its PBX was signed so many seats, and may use them until it hears."""
    master = thirty.master
    await let_go(master)
    await obey(thirty.rome)
    granted(await thirty.berlin.acquire(*seats("port", 10, "new")))
    assert await counted(master) == STAY + 10
    assert await look(master) == 10
    assert sorted(await told(thirty.berlin)) == [f"new-{number}" for number in range(10)], "the newest"
    assert await look(master) == 0
    await obey(thirty.berlin)
    assert await look(master) == 0, "they are in the block again, and idle"
    await thirty.shrink_block()
    assert await counted(master) == STAY
    newest, _ = await all_events(master.wire, "seats.revoked")
    assert newest.caller == "master:shrink"
    assert await mismatches(database_url) == []


@pytest.mark.rule("L5")
async def test_a_release_that_waits_takes_nothing_however_often_it_is_looked_at(thirty: Thirty) -> None:
    assert await let_go(thirty.master, license_pb2.IN_USE_DRAIN) == 0
    granted(await thirty.berlin.acquire(*seats("port", 10, "new")))
    assert await look(thirty.master) == 0
    assert (await told(thirty.rome), await told(thirty.berlin)) == ([], [])


@pytest.mark.rule("L5")
async def test_what_is_lent_no_longer_is_taken_then(thirty: Thirty, database_url: str) -> None:
    master = thirty.master
    await master.wire.loans.BorrowSeats(borrowing(master, "rome", 13, days=20))
    assert await let_go(master) == 5, "all that is neither lent nor idle, although 13 stay"
    await obey(thirty.berlin)
    await thirty.shrink_block(used=0)
    assert (await counted(master), await look(master)) == (13, 0)
    request = loan_pb2.ReturnLoanRequest(pbx=thirty.rome.name, license_type="port", seats_kept=10, request_id="early")
    await master.wire.loans.ReturnLoan(request)
    assert await look(master) == 13 - STAY
    await obey(thirty.rome)
    assert (await counted(master), await look(master)) == (STAY, 0)
    assert await mismatches(database_url) == []


async def test_an_overdraft_that_idle_seats_make_up_for_takes_nothing(thirty: Thirty, database_url: str) -> None:
    master, policy = thirty.master, overdraft(6, 8, 24)
    policy.block_seats_max = 12
    await lay_down(master.wire, policy)
    granted(await thirty.rome.acquire(*seats("port", 6, "more")))
    assert (await ports(master.wire)).overdraft.seats == 4
    for _ in range(4):
        master.clock.advance(HOUR / 2)
        await thirty.rome.renew()
        await thirty.berlin.renew()
    assert await look(master) == 0
    assert await all_events(master.wire, "pool.overdraft_spent") == []
    await thirty.shrink_block(to=5 + 1)
    pool = await ports(master.wire)
    assert (pool.overdraft.seats, await counted(master)) == (0, 5 + 1 + 19)
    assert await mismatches(database_url) == []


@pytest.mark.rule("F5")
@pytest.mark.rule("L5")
async def test_what_a_standby_may_not_have_heard_of_costs_nobody_else_a_seat(
    master: InProcess, tmp_path: Path, either_database_url: str
) -> None:
    await pool_of(master, tmp_path, LICENSES | {"PBX-Port12": 6}, 4)
    berlin, paris = await opened(master.wire, "berlin"), await opened(master.wire, "paris")
    granted(await paris.acquire(*seats("port", 2, "paris")))
    master.clock.advance(1)
    granted(await berlin.acquire(*seats("port", 8)))
    spare = await standing_by(master.wire)
    assert spare.covered == {"port": 8}
    assert await let_go(master) == 4
    await obey(berlin)
    assert (await counted(master), await look(master)) == (10, 0), "the standby has a lease of eight"
    assert await told(paris) == []
    for _ in range(2):  # it hears, and says so
        master.clock.advance(10)
        await berlin.renew()
        await spare.renew()
    assert (await counted(master), await look(master)) == (6, 0)
    assert await mismatches(either_database_url) == []
