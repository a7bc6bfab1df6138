"""An operator who lends a PBX ports of the estate for days, and takes them back."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

from licensemaster.v1 import document_pb2, loan_pb2
from slave_client import SlaveClient
from tests.slave_client.conftest import HeldClock, RestartableMaster
from tests.support.masters import PROJECT, wire_to
from tests.support.projects.allocations import Policy, lay_down
from tests.support.waiting import until

DAY = 86_400.0


async def allow_loans(master: RestartableMaster) -> None:
    """Let ports be lent for thirty days at most."""
    async with wire_to(master.address) as wire:
        await lay_down(wire, Policy(license_type="port", loan_days_max=30))


async def lend(
    master: RestartableMaster, seats: int, *, days: float = 3, pbx: str = "berlin"
) -> document_pb2.SignedDocument:
    """Lend a PBX so many ports in all; its lease is running."""
    request = loan_pb2.BorrowSeatsRequest(
        pbx=f"projects/{PROJECT}/pbxs/{pbx}", license_type="port", seats=seats, request_id=str(uuid4())
    )
    request.end_time.FromDatetime(datetime.fromtimestamp(master.clock() + days * DAY, UTC))
    async with wire_to(master.address) as wire:
        return (await wire.loans.BorrowSeats(request)).signed


async def take_back(master: RestartableMaster, kept: int = 0, *, pbx: str = "berlin") -> loan_pb2.ReturnLoanResponse:
    """Take borrowed ports back before their day, as an operator does."""
    request = loan_pb2.ReturnLoanRequest(
        pbx=f"projects/{PROJECT}/pbxs/{pbx}", license_type="port", seats_kept=kept, request_id=str(uuid4())
    )
    async with wire_to(master.address) as wire:
        return await wire.loans.ReturnLoan(request)


async def hears_of(client: SlaveClient, seats: int) -> None:
    """Wait until a client that is there goes by a loan of so many ports, 0 for none, and has it on disk."""

    async def has_heard() -> bool:
        client.look_again()
        return sum(loan.seats for loan in client.report().loans) == seats

    await until(has_heard)
    await client._runtime.check_connection()  # the call that brought it is over once it is written


def sail(time: HeldClock, days: float = 0) -> None:
    """Let the lease run out, and so many days pass."""
    time.advance(61 + days * DAY)
