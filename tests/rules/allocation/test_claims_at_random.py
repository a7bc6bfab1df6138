"""First claims, blocks and loans at random, over retries, expiry, ends and restarts: what is counted is never more than
is licensed, covers what each PBX may use, and agrees with what is there.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import uuid4

import grpc
import pytest

from licensemaster.v1 import lease_pb2, loan_pb2
from master.store.backends.database import Row, Tx
from tests.support.databases.truth import mismatches
from tests.support.masters import Clock, InProcess, in_process_master
from tests.support.pbxs.pbx import BarePbx, seats
from tests.support.projects.allocations import Policy, Rule, lay_down
from tests.support.projects.estates import project

TTL, GRACE, CAPACITY, STEPS = 60, 600, 30, 60
SITES = {"berlin": "slave 12 gateway", "rome": "slave 12 gateway"}
RULES = (
    Policy(license_type="port", first_claim_seconds=900, block_seats_max=8, loan_days_max=2),
    Rule(name="keep", site="site-rome", reserve={"port": 5}),
)


@dataclass(slots=True)
class Site:
    """A PBX, and by how many seats it may go: by number under its lease, and by its loan."""

    pbx: BarePbx
    block: int = 0
    serial: int = 0
    block_ends: float = 0.0
    loan: int = 0
    loan_ends: float = 0.0
    asked: list[loan_pb2.BorrowSeatsRequest] = field(default_factory=list)
    renewals: list[lease_pb2.RenewLeaseRequest] = field(default_factory=list)

    def entitled(self, now: float) -> int:
        """By how many seats it may go at least, whatever it holds by name."""
        return max(self.block if now <= self.block_ends else 0, self.loan if now <= self.loan_ends else 0)


class Walk:
    def __init__(self, master: InProcess, seed: int) -> None:
        self.master, self.chance = master, random.Random(seed)
        self.sites = [Site(BarePbx(master.wire, name)) for name in ("hq", "berlin", "rome")]

    async def step(self) -> None:
        site, now = self.chance.choice(self.sites), self.master.clock.now
        act = self.chance.choice(
            (
                "open",
                "acquire",
                "return",
                "renew",
                "renew",
                "renew",
                "late",
                "late",
                "borrow",
                "give",
                "wait",
                "lapse",
                "close",
                "end",
            )
        )
        some = seats("port", self.chance.randint(1, 12))
        match act:
            case "open":
                await site.pbx.open()
                site.serial = 0  # it has to hear anew
            case "acquire":
                await site.pbx.acquire(*some)
            case "return":
                await site.pbx.give_back(*some)
            case "renew":
                await self._renew(site)
            case "late":
                if site.renewals:  # it was on its way for long, and nobody waits for its answer
                    await self.master.wire.leases.RenewLease(self.chance.choice(site.renewals))
            case "borrow":
                again = site.asked and self.chance.random() < 0.3
                request = self.chance.choice(site.asked) if again else self._borrowing(site, now)
                lent = (await self.master.wire.loans.BorrowSeats(request)).loan
                if not again:
                    site.loan, site.loan_ends = lent.seats, float(lent.end_time.ToSeconds())
            case "give":
                kept = self.chance.randint(0, site.loan)
                returning = loan_pb2.ReturnLoanRequest(
                    pbx=site.pbx.name, license_type="port", seats_kept=kept, request_id=str(uuid4())
                )
                await self.master.wire.loans.ReturnLoan(returning)
                site.loan = kept
            case "wait":
                self.master.clock.advance(self.chance.uniform(1, 300))
            case "lapse":
                self.master.clock.advance(self.chance.choice((TTL + GRACE + 60, 1000, 90_000)))
                await self.master.running.expiry.run_once()
            case "close":
                await site.pbx.close()
                site.block = 0
            case _:
                ending = lease_pb2.EndLeaseRequest(pbx=site.pbx.name, reason="test", request_id=str(uuid4()))
                await self.master.wire.leases.EndLease(ending)
                site.block = 0

    async def _renew(self, site: Site) -> None:
        """What the PBX says is true; whether its answer arrives is another matter."""
        use = lease_pb2.BlockUse(
            license_type="port",
            seats=site.block,
            used=self.chance.randint(0, 12),
            acquired=self.chance.randint(0, 5),
        )
        request = lease_pb2.RenewLeaseRequest(
            pbx=site.pbx.name, epoch=site.pbx.epoch, blocks=[use], block_serial=site.serial
        )
        site.renewals.append(request)
        answer = await self.master.wire.leases.RenewLease(request)
        terms = lease_pb2.LeaseTerms.FromString(answer.lease.signed.payload)
        if self.chance.random() < 0.7:
            site.block = next((block.seats for block in terms.blocks), 0)
            site.serial, site.block_ends = terms.block_serial, float(terms.end_time.ToSeconds())

    def _borrowing(self, site: Site, now: float) -> loan_pb2.BorrowSeatsRequest:
        request = loan_pb2.BorrowSeatsRequest(
            pbx=site.pbx.name, license_type="port", seats=self.chance.randint(1, 10), request_id=str(uuid4())
        )
        request.end_time.FromSeconds(int(now + self.chance.uniform(600, 170_000)))
        site.asked.append(request)
        return request


def _counted(tx: Tx) -> Sequence[Row]:
    query = "SELECT pbx.name, pool_usage.counted FROM pool_usage JOIN pbx ON pbx.id = pool_usage.pbx_id"
    return tx.rows(query)


@pytest.mark.parametrize("seed", range(4))
async def test_never_more_is_counted_than_is_licensed(database_url: str, clock: Clock, seed: int) -> None:
    refusals = {grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.INVALID_ARGUMENT}
    async with in_process_master(database_url, clock) as master:
        await master.wire.apply(project({"PBX-Port12": CAPACITY}, ttl_seconds=TTL, grace_seconds=GRACE, pbxs=SITES))
        await lay_down(master.wire, *RULES)
        walk = Walk(master, seed)
        for _ in range(STEPS):
            try:
                await walk.step()
            except grpc.aio.AioRpcError as failure:
                if failure.code() not in refusals:
                    raise
            assert await mismatches(database_url) == []
            rows = await master.running.database.read(_counted)
            counted = {name: int(count) for name, count in rows}
            assert sum(counted.values()) <= CAPACITY
            for site in walk.sites:
                name = site.pbx.name.rpartition("/")[2]
                assert site.entitled(clock.now) <= counted.get(name, 0), f"{name} may go by more than is counted"
