"""What PBXs and operators do about pools that are short, in the same histories: borrow, hold ahead of need, wait.

Rules about it are laid down in `changing.py`; here is what is done under them, over retries and lost answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any
from uuid import uuid4

import grpc
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from licensemaster.v1 import allocation_pb2, document_pb2, lease_pb2, loan_pb2
from tests.invariants.arena import Arena
from tests.invariants.balance import Key
from tests.invariants.calling import AWAITED, HANDED_ON, Calling, answer_of, seats_of
from tests.invariants.model.sharing import PORTS
from tests.invariants.model.values import PBXS, Answer
from tests.invariants.moving import masters
from tests.support.databases.truth import reason_of

pbxs = st.sampled_from(PBXS)
ports = st.lists(
    st.sampled_from([("port", name) for name in ("anna", "ben", "cleo", "dora")]), min_size=1, max_size=4, unique=True
)
borrowers = st.sampled_from(("paris", "paris", "spare", "berlin", "rome", "vm"))


class Sharing(Calling):
    """Loans, blocks, queues and overdrafts."""

    def __init__(self, arena: Arena) -> None:
        super().__init__(arena)
        self.blocks = dict.fromkeys(PBXS, (0, 0))
        """By how many ports each PBX may go by number, and the serial of the block that says so."""
        self.renewals: list[tuple[str, lease_pb2.RenewLeaseRequest]] = []
        self.loan_serials = dict.fromkeys(PBXS, 0)

    # --- Blocks -------------------------------------------------------------------------------------------------------

    @rule(
        pbx=st.sampled_from(("paris", "berlin", "paris", *PBXS)),
        at=masters,
        used=st.integers(0, 4),
        acquired=st.integers(0, 3),
        is_heard=st.sampled_from((True, True, True, False)),
    )
    def renew_with_blocks(self, pbx: str, at: int, used: int, acquired: int, is_heard: bool) -> None:
        """What the PBX says of its block is true; whether it hears of the next one is another matter."""
        goes_by, serial = self.blocks[pbx]
        use = lease_pb2.BlockUse(license_type="port", seats=goes_by, used=used, acquired=acquired)
        request = lease_pb2.RenewLeaseRequest(
            pbx=self._name(pbx), epoch=self._epoch(pbx), blocks=[use], block_serial=serial
        )
        self.renewals.append((pbx, request))
        self._renew(pbx, request, at, is_heard=is_heard)

    @precondition(lambda self: self.renewals)
    @rule(data=st.data(), at=masters)
    def a_renewal_comes_late(self, data: st.DataObject, at: int) -> None:
        """It was on its way for long, and nobody waits for its answer: it lowers no block that was signed since."""
        pbx, request = data.draw(st.sampled_from(self.renewals[-5:]))
        if request.epoch == self._epoch(pbx):
            self._renew(pbx, request, at, is_heard=False)

    def _renew(self, pbx: str, request: lease_pb2.RenewLeaseRequest, at: int, *, is_heard: bool) -> None:
        response = self._under_lease(pbx, lambda: self._leases(at).RenewLease(request))
        if response is None:
            return
        (use,) = request.blocks
        self.model.renew(pbx, self.arena.clock.now)
        self.model.goes_by(pbx, use.seats, request.block_serial)
        offered = 0
        if self.model.user_of(pbx) == pbx:
            offered = self.model.offers(pbx, use.used, use.acquired, self.model.leases[pbx].ends_at)
        terms = lease_pb2.LeaseTerms.FromString(response.lease.signed.payload)
        assert {block.license_type: block.seats for block in terms.blocks} == ({"port": offered} if offered else {})
        if (block := self.model.kept.get((pbx, "block", PORTS))) is not None and terms.block_serial:
            block.serial = terms.block_serial
        if is_heard:
            self.blocks[pbx] = (offered, terms.block_serial)

    # --- Loans --------------------------------------------------------------------------------------------------------

    @rule(pbx=borrowers, at=masters, seats=st.integers(1, 3), seconds=st.sampled_from((40, 300, 5000)))
    def borrow(self, pbx: str, at: int, seats: int, seconds: int) -> None:
        request = loan_pb2.BorrowSeatsRequest(
            pbx=self._name(pbx), license_type="port", seats=seats, request_id=str(uuid4())
        )
        request.end_time.FromSeconds(int(self.arena.clock.now) + seconds)
        ends_at = float(request.end_time.ToSeconds())
        self._hand_on()
        lease = self.model.refusal_of_call(pbx, self._epoch(pbx))
        if reason := lease or self.model.borrow(pbx, seats, ends_at):
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                self._call(lambda: self._master(at).wire.loans.BorrowSeats(request))
            assert reason_of(failed.value) == reason
            return
        lent = self._call(lambda: self._master(at).wire.loans.BorrowSeats(request))
        assert (lent.loan.seats, lent.loan.end_time) == (seats, request.end_time)
        self._hears_of_loan(pbx, [lent.signed])
        assert self._call(lambda: self._master(at).wire.loans.BorrowSeats(request)) == lent, "a retry lends once"

    @rule(pbx=borrowers, at=masters, seats_kept=st.integers(0, 2), is_heard=st.booleans())
    def return_the_loan(self, pbx: str, at: int, seats_kept: int, is_heard: bool) -> None:
        """Before its day, all or part of it; by the PBX itself, or by an operator whom it has not heard."""
        request = loan_pb2.ReturnLoanRequest(
            pbx=self._name(pbx), license_type="port", seats_kept=seats_kept, request_id=str(uuid4())
        )
        request.released_serial = self.loan_serials[pbx] if is_heard else 0
        self._hand_on()
        at_risk = self.model.return_loan(pbx, seats_kept, is_heard=is_heard)
        if at_risk is None:
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                self._call(lambda: self._master(at).wire.loans.ReturnLoan(request))
            assert reason_of(failed.value) == "LOAN_UNKNOWN"
            return
        returned = self._call(lambda: self._master(at).wire.loans.ReturnLoan(request))
        assert (returned.seats_at_risk, returned.loan.seats) == (at_risk, seats_kept)
        self._hears_of_loan(pbx, [returned.signed] if returned.HasField("signed") else [])
        assert self._call(lambda: self._master(at).wire.loans.ReturnLoan(request)) == returned

    def _hears_of_loan(self, pbx: str, signed: Collection[document_pb2.SignedDocument]) -> None:
        terms = [loan_pb2.LoanTerms.FromString(document.payload) for document in signed]
        lent = self.model.keeps(pbx, "loan")
        assert [loan.seats for loan in terms] == ([lent] if lent else [])
        self.loan_serials[pbx] = terms[0].serial if terms else 0

    # --- Waiting ------------------------------------------------------------------------------------------------------

    @rule(pbx=pbxs, at=masters)
    def renew_and_hear(self, pbx: str, at: int) -> None:
        """It is told what it waits for, at which places, what was handed on to it, and what it has borrowed."""
        request = lease_pb2.RenewLeaseRequest(pbx=self._name(pbx), epoch=self._epoch(pbx))
        response = self._under_lease(pbx, lambda: self._leases(at).RenewLease(request))
        if response is None:
            return
        self.model.renew(pbx, self.arena.clock.now)
        told = {
            (notice.kind, seat.license_type, seat.holder): place
            for notice in response.notices
            if notice.kind in (AWAITED, HANDED_ON)
            for seat, place in zip(notice.seats, notice.places or [0] * len(notice.seats), strict=True)
        }
        places = {kind: self.model.line(kind) for kind, _ in (key for _, key in self.model.waiting)}
        assert told == {(HANDED_ON, *key): 0 for name, key in self.model.handed_on if name == pbx} | {
            (AWAITED, *key): places[key[0]][pbx, key] for name, key in self.model.waiting if name == pbx
        }
        if self.model.user_of(pbx) == pbx:
            self._hears_of_loan(pbx, response.loans)

    @rule(back=pbxs, asks=pbxs, keys=ports, wait=st.booleans())
    def seats_come_back_as_others_ask(self, back: str, asks: str, keys: list[Key], wait: bool) -> None:
        """Both at once, while some wait: whoever asks anew gets what those leave who wait, handed on by then or not."""
        if back == asks or any(self.model.refusal_of_call(pbx, self._epoch(pbx)) for pbx in (back, asks)):
            return
        self._hand_on()
        held = sorted(key for key in self.model.held[back] if key[0] == "port")
        returning = lease_pb2.ReturnSeatsRequest(
            pbx=self._name(back), epoch=self._epoch(back), seats=seats_of(held or keys)
        )
        asking = lease_pb2.AcquireSeatsRequest(
            pbx=self._name(asks), epoch=self._epoch(asks), seats=seats_of(keys), wait=wait
        )

        async def race() -> tuple[list[bool | None], list[Answer]]:
            returned, acquired = await asyncio.gather(
                self._leases(0).ReturnSeats(returning), self._leases(1).AcquireSeats(asking)
            )
            gone = [None if result.HasField("refused") else result.returned for result in returned.results]
            return gone, [answer_of(result) for result in acquired.results]

        received = self.arena.run(race())
        for order in ("return, ask", "return, hand on, ask", "ask, return"):
            model, said = self.model.copy(), dict[str, Any]()
            for step in order.split(", "):
                if step == "hand on":
                    model.hand_on()
                elif step == "return":
                    said[step] = model.give_back(back, held or keys)
                else:
                    said[step] = model.acquire(asks, keys, wait=wait)
            if (said["return"], said["ask"]) == received:
                self.model = model
                return
        raise AssertionError(f"no order explains {received}")

    @rule(pbx=pbxs, at=masters, license_type=st.sampled_from(("", "port", "PBX UC")))
    def an_operator_has_it_wait_no_longer(self, pbx: str, at: int, license_type: str) -> None:
        request = allocation_pb2.DropWaitingRequest(
            pbx=self._name(pbx), license_type=license_type, reason="asks for ever", request_id=str(uuid4())
        )
        kinds = {"": ("port", "uc"), "port": ("port",), "PBX UC": ("uc",)}[license_type]
        dropped = self._call(lambda: self._master(at).wire.allocations.DropWaiting(request)).seats
        keys = [key for name, key in self.model.waiting if name == pbx and key[0] in kinds]
        for key in keys:
            del self.model.waiting[pbx, key]
        assert dropped == len(keys)
        assert self._call(lambda: self._master(at).wire.allocations.DropWaiting(request)).seats == dropped

    # --- Overdrafts, and time -----------------------------------------------------------------------------------------

    @rule(at=masters)
    def look_again(self, at: int) -> None:
        """What is overdrawn without a budget, or in the way of a license that leaves, is taken back in order."""
        self._hand_on()
        self.arena.run(self._master(at).running.licenses.shrink_pools())
        self.model.look_again()

    @precondition(lambda self: not self.model.stepped)
    @rule(seconds=st.sampled_from((4, 100, 4000, 8000)))
    def the_clock_is_set_forward(self, seconds: int) -> None:
        """PBXs know nothing of it: what was signed lasts as long as before."""
        self._advance(seconds, is_step=True)

    @precondition(lambda self: self.model.stepped)
    @rule()
    def the_step_is_over(self) -> None:
        """Masters wait for ends that were signed before it no longer."""
        self._hand_on()
        self.arena.clock.step_is_over()
        self.model.stepped = 0.0
