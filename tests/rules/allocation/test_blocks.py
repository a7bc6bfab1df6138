"""Blocks in advance: a PBX may hold seats ahead of need; they are counted until it has said that it goes by fewer."""

from __future__ import annotations

import pytest

from licensemaster.v1 import lease_pb2, seat_pb2
from tests.rpc.failures import failure
from tests.support.databases.truth import mismatches, used
from tests.support.masters import InProcess
from tests.support.pbxs.pbx import BarePbx, divided, granted, opened, seats
from tests.support.projects.allocations import Policy, Rule, lay_down
from tests.support.projects.estates import project

TTL, GRACE = 60, 600
SITES = {"berlin": "slave 12 gateway", "rome": "slave 12 gateway", "virtual": "slave 12 ipva"}
AHEAD = Policy(license_type="port", block_seats_max=12)


@pytest.fixture
async def hundred(master: InProcess) -> InProcess:
    """A pool of a hundred ports, of which a PBX may hold twelve ahead of need."""
    estate = project({"PBX-Port12": 100}, ttl_seconds=TTL, grace_seconds=GRACE, pbxs=SITES)
    await master.wire.apply(estate)
    await lay_down(master.wire, AHEAD)
    return master


def use(*, seats: int = 0, used: int = 0, acquired: int = 0) -> lease_pb2.BlockUse:
    return lease_pb2.BlockUse(license_type="port", seats=seats, used=used, acquired=acquired)


async def renewed(pbx: BarePbx, *blocks: lease_pb2.BlockUse, block_serial: int = 0) -> lease_pb2.RenewLeaseResponse:
    request = lease_pb2.RenewLeaseRequest(pbx=pbx.name, epoch=pbx.epoch, blocks=blocks, block_serial=block_serial)
    return await pbx.wire.leases.RenewLease(request)


def terms_of(answer: lease_pb2.RenewLeaseResponse) -> tuple[int, int]:
    """Seats in all of the block of ports, and the serial of the blocks."""
    terms = lease_pb2.LeaseTerms.FromString(answer.lease.signed.payload)
    return next((block.seats for block in terms.blocks), 0), terms.block_serial


async def _left_for_rome(hundred: InProcess) -> int:
    rome = await opened(hundred.wire, "rome")
    count, _ = divided(await rome.acquire(*seats("port", 100)))
    await rome.close()
    return count


async def _with_block(hundred: InProcess, held: int = 5) -> tuple[BarePbx, int, int]:
    """Berlin holds some seats, and has a block: its size and serial."""
    berlin = await opened(hundred.wire, "berlin")
    granted(await berlin.acquire(*seats("port", held)))
    return berlin, *terms_of(await renewed(berlin, use(used=held, acquired=held)))


async def test_a_block_follows_demand_and_is_counted(hundred: InProcess, either_database_url: str) -> None:
    berlin, size, serial = await _with_block(hundred)
    assert size == 5 + 10, "twice what was acquired"
    assert await _left_for_rome(hundred) == 85
    granted(await berlin.acquire(*seats("port", 10, "more")))
    assert (await used(hundred.wire))["port"] == 15, "what comes out of the block needs no license"
    hundred.clock.advance(20)
    size, _ = terms_of(await renewed(berlin, use(seats=size, used=15), block_serial=serial))
    assert size == 0, "nothing was acquired, and nothing lies idle"
    assert await mismatches(either_database_url) == []


async def test_idle_seats_are_taken_back_once_the_pbx_has_said_so(hundred: InProcess, either_database_url: str) -> None:
    berlin, size, serial = await _with_block(hundred)
    left = []
    while serial:
        hundred.clock.advance(20)
        offered, newest = terms_of(await renewed(berlin, use(seats=size, used=5), block_serial=serial))
        left.append(await _left_for_rome(hundred))
        size, serial = offered, newest
    assert left == [85, 90, 93, 94, 95], "each a renewal after it was offered to the PBX"
    assert await mismatches(either_database_url) == []


async def test_an_answer_that_was_lost_lowers_nothing(hundred: InProcess) -> None:
    berlin, size, serial = await _with_block(hundred)
    hundred.clock.advance(20)
    await renewed(berlin, use(seats=size, used=5), block_serial=serial)  # its answer is lost
    hundred.clock.advance(20)
    again = terms_of(await renewed(berlin, use(seats=size, used=5), block_serial=serial))
    assert again[1] > serial
    await renewed(berlin, use(), block_serial=serial)  # late, from before the PBX had any
    await berlin.renew()  # by a client that knows of no blocks
    assert await _left_for_rome(hundred) == 85


async def test_it_ends_with_the_lease_and_counts_offline_until_then(
    hundred: InProcess, either_database_url: str
) -> None:
    await _with_block(hundred)
    hundred.clock.advance(TTL + GRACE - 1)
    await hundred.running.expiry.run_once()
    assert await _left_for_rome(hundred) == 85
    hundred.clock.advance(60)
    await hundred.running.expiry.run_once()
    assert await _left_for_rome(hundred) == 100
    assert await mismatches(either_database_url) == []


async def test_a_lease_that_is_closed_gives_its_block_back(hundred: InProcess) -> None:
    berlin, _, _ = await _with_block(hundred)
    await berlin.close()
    assert await _left_for_rome(hundred) == 100


async def test_another_lease_of_the_pbx_keeps_it_counted_until_it_says_so(hundred: InProcess) -> None:
    berlin, _, serial = await _with_block(hundred)
    await berlin.open()
    assert await _left_for_rome(hundred) == 85
    assert terms_of(await renewed(berlin, use())) == (10, serial + 1), "half of what lies idle"
    assert await _left_for_rome(hundred) == 85
    await berlin.sync()
    await renewed(berlin, use(), block_serial=serial + 1)
    assert await _left_for_rome(hundred) == 100


async def test_blocks_shrink_to_nothing_as_the_pool_runs_short(hundred: InProcess) -> None:
    berlin, size, serial = await _with_block(hundred)
    rome = await opened(hundred.wire, "rome")
    granted(await rome.acquire(*seats("port", 77)))
    hundred.clock.advance(20)
    size, serial = terms_of(await renewed(berlin, use(seats=size, used=5, acquired=50), block_serial=serial))
    assert size == 5 + 4, "half of what is beyond a tenth of the pool"
    hundred.clock.advance(20)
    await renewed(berlin, use(seats=size, used=5, acquired=50), block_serial=serial)
    granted(await rome.acquire(*seats("port", 10, "more")))
    hundred.clock.advance(20)
    offered, serial = terms_of(
        await renewed(berlin, use(seats=size, used=5, acquired=50), block_serial=serial + 20_000)
    )
    assert offered == 0


async def test_no_block_is_made_of_what_is_reserved_for_others(hundred: InProcess) -> None:
    await lay_down(hundred.wire, AHEAD, Rule(name="keep", site="site-rome", reserve={"port": 84}))
    _, size, _ = await _with_block(hundred)
    assert size == 0
    assert await _left_for_rome(hundred) == 95


async def test_no_block_where_more_than_the_pool_decides(hundred: InProcess) -> None:
    virtual = await opened(hundred.wire, "virtual")
    assert terms_of(await renewed(virtual, use(used=5, acquired=5))) == (0, 0)


async def test_who_may_hold_a_seat_unasked_is_signed(hundred: InProcess) -> None:
    await lay_down(
        hundred.wire,
        AHEAD,
        Rule(name="no-trunks", deny=["port"], holder_kinds=[seat_pb2.HOLDER_KIND_TRUNK]),
    )
    berlin = await opened(hundred.wire, "berlin")
    answer = await renewed(berlin, use(acquired=2))
    (block,) = lease_pb2.LeaseTerms.FromString(answer.lease.signed.payload).blocks
    assert {*block.holder_kinds} == {
        seat_pb2.HOLDER_KIND_USER, seat_pb2.HOLDER_KIND_EXECUTIVE, seat_pb2.HOLDER_KIND_GATEWAY
    }  # fmt: skip


async def test_a_number_that_makes_no_sense_is_refused(hundred: InProcess) -> None:
    berlin = await opened(hundred.wire, "berlin")
    assert [*(await failure(renewed(berlin, use(used=-1)))).fields] == ["blocks[0].used"]
    assert [*(await failure(renewed(berlin, use(), use()))).fields] == ["blocks"]
    assert terms_of(await renewed(berlin, use(used=1_000_000, acquired=1)))[0] == 2, "what it uses is what is counted"
