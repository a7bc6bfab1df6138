"""Seats are handed on at once, whatever frees them: the master looks by itself once an hour here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import uuid4

import pytest

from licensemaster.v1 import allocation_pb2, lease_pb2, loan_pb2
from tests.rules.allocation.test_blocks import renewed, terms_of, use
from tests.rules.allocation.test_loans import borrowing
from tests.rules.allocation.test_waiting import told
from tests.support.masters import InProcess
from tests.support.pbxs.pbx import BarePbx, granted, opened, refused, seat, seats
from tests.support.projects.allocations import Policy, Rule, lay_down
from tests.support.projects.estates import project
from tests.support.waiting import until

PORTS = 20
SITES = {"berlin": "slave 12 gateway", "rome": "slave 12 gateway", "oslo": "slave 12 gateway"}
Freeing = Callable[[InProcess, BarePbx], Awaitable[Callable[[], Awaitable[object]]]]
"""Has Rome take all ports; returns what frees one again."""


def policy() -> allocation_pb2.TypePolicy:
    """Ports may be waited for, held ahead of need, and lent."""
    queue = allocation_pb2.QueuePolicy(length_max=10)
    return Policy(license_type="port", queue=queue, block_seats_max=6, loan_days_max=30)


async def asleep(master: InProcess) -> None:
    """Wait until whoever hands on has seen who waits, and looks again only when it is woken."""
    waiting = master.running.leases.waiting

    await until(lambda: not waiting._woken.is_set())
    await waiting.run_once()


async def _returned(_: InProcess, rome: BarePbx) -> Callable[[], Awaitable[object]]:
    granted(await rome.acquire(*seats("port", PORTS)))
    return lambda: rome.give_back(*seats("port", 1))


async def _synced(_: InProcess, rome: BarePbx) -> Callable[[], Awaitable[object]]:
    granted(await rome.acquire(*seats("port", PORTS)))
    return lambda: rome.sync(*seats("port", PORTS - 1))


async def _closed(_: InProcess, rome: BarePbx) -> Callable[[], Awaitable[object]]:
    granted(await rome.acquire(*seats("port", PORTS)))
    return rome.close


async def _ended(master: InProcess, rome: BarePbx) -> Callable[[], Awaitable[object]]:
    granted(await rome.acquire(*seats("port", PORTS)))
    request = lease_pb2.EndLeaseRequest(pbx=rome.name, reason="stolen", request_id=str(uuid4()))
    return lambda: master.wire.leases.EndLease(request)


async def _loan_returned(master: InProcess, rome: BarePbx) -> Callable[[], Awaitable[object]]:
    await master.wire.loans.BorrowSeats(borrowing(master, "rome", PORTS))
    request = loan_pb2.ReturnLoanRequest(pbx=rome.name, license_type="port", seats_kept=9, request_id=str(uuid4()))
    return lambda: master.wire.loans.ReturnLoan(request)


async def _block_shrinks(master: InProcess, rome: BarePbx) -> Callable[[], Awaitable[object]]:
    granted(await rome.acquire(*seats("port", 5)))
    size, serial = terms_of(await renewed(rome, use(used=5, acquired=5)))
    assert size > 5
    granted(await (await opened(master.wire, "berlin")).acquire(*seats("port", PORTS - size)))

    async def shrinks() -> None:
        offered, newest = terms_of(await renewed(rome, use(seats=size, used=5), block_serial=serial))
        assert offered == 0, "somebody waits"
        await renewed(rome, use(used=5), block_serial=newest)

    return shrinks


async def _rule_is_gone(master: InProcess, rome: BarePbx) -> Callable[[], Awaitable[object]]:
    await lay_down(master.wire, policy(), Rule(name="keep", site="site-hq", reserve={"port": 5}))
    granted(await rome.acquire(*seats("port", PORTS - 5)))
    return lambda: lay_down(master.wire, policy())


async def _more_is_installed(master: InProcess, rome: BarePbx) -> Callable[[], Awaitable[object]]:
    granted(await rome.acquire(*seats("port", PORTS)))
    return lambda: master.wire.apply(project({"PBX-Port12": PORTS + 1}, pbxs=SITES))


@pytest.mark.parametrize(
    "freeing",
    [_returned, _synced, _closed, _ended, _loan_returned, _block_shrinks, _rule_is_gone, _more_is_installed],
    ids=lambda freeing: freeing.__name__.strip("_"),
)
async def test_what_comes_free_is_handed_on_without_waiting_for_the_next_look(
    any_master: InProcess, freeing: Freeing
) -> None:
    await any_master.wire.apply(project({"PBX-Port12": PORTS}, pbxs=SITES))
    await lay_down(any_master.wire, policy())
    rome, oslo = await opened(any_master.wire, "rome"), await opened(any_master.wire, "oslo")
    free = await freeing(any_master, rome)
    refused(await oslo.acquire(seat("port", "waits"), wait=True))
    await asleep(any_master)
    await free()

    async def has_heard() -> bool:
        return "HANDED_ON" in await told(oslo)

    await until(has_heard)


async def test_who_gives_up_lets_others_move_up_at_once(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 1}, pbxs=SITES))
    await lay_down(master.wire, policy())
    rome, berlin, oslo = [await opened(master.wire, name) for name in ("rome", "berlin", "oslo")]
    granted(await rome.acquire(seat("port", "only")))
    refused(await berlin.acquire(seat("port", "first"), wait=True))
    master.clock.advance(1)
    refused(await oslo.acquire(seat("port", "second"), wait=True))
    await asleep(master)
    await berlin.give_back(seat("port", "first"))

    async def has_heard() -> bool:
        return await told(oslo) == {"AWAITED": ["second@1"]}

    await until(has_heard)
