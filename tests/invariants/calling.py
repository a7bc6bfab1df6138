"""What histories call: the masters of an arena, as the PBXs of one project."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from itertools import permutations
from typing import TypeVar

import grpc
import pytest
from hypothesis.stateful import invariant

from licensemaster.v1 import lease_pb2, lease_pb2_grpc, seat_pb2, status_pb2
from tests.invariants.arena import Arena, all_seats
from tests.invariants.balance import Key
from tests.invariants.changing import OVERDRAFT_SEATS_MAX, Changing
from tests.invariants.model.allocation import KINDS
from tests.invariants.model.model import Model
from tests.invariants.model.sharing import HOUR
from tests.invariants.model.values import PBXS, PRIMARY, STANDBY, Answer, No, Yes
from tests.support.databases.truth import adds_up, counted, reason_of
from tests.support.masters import InProcess
from tests.support.pbxs.pbx import seat

T = TypeVar("T")


HANDED_ON = lease_pb2.NOTICE_KIND_SEATS_HANDED_ON
AWAITED = lease_pb2.NOTICE_KIND_SEATS_AWAITED
WAITING = seat_pb2.REFUSAL_REASON_WAITING


def seats_of(keys: Sequence[Key]) -> list[seat_pb2.Seat]:
    return [seat(license_type, holder) for license_type, holder in keys]


def answer_of(result: seat_pb2.SeatResult) -> Answer:
    if result.WhichOneof("outcome") == "refused":
        refusal = result.refused
        assert refusal.message
        assert refusal.remedy.text
        return No(refusal.place, refusal.waiting) if refusal.reason == WAITING else No()
    grant = result.granted
    return Yes(already_held=grant.already_held, device=grant.device, included_in=grant.included_in)


class Calling(Changing):
    """One project of an arena, with the calls that its PBXs make, the model beside it, and what must always hold."""

    def __init__(self, arena: Arena) -> None:
        super().__init__()
        self.arena = arena
        self.message = arena.new_project()
        self.project = self.message.name
        self.model = Model(now=arena.clock.now)
        self.last: Callable[[], None] | None = None
        self.receipt = lease_pb2.StandbyLeaseReceipt(primary=self._name(PRIMARY))

    def _do(self, call: Callable[[], None]) -> None:
        self.last = call
        call()

    def _open(
        self,
        pbx: str,
        request_id: str,
        at: int,
        software: int = 12,
        keys: Sequence[Key] = (),
        wait: bool = False,
    ) -> None:
        def call() -> None:
            request = lease_pb2.OpenLeaseRequest(
                pbx=self._name(pbx),
                instance_id=f"instance-{pbx}",
                request_id=request_id,
                software_version=str(software),
                seats=seats_of(keys),
                wait=wait,
            )
            response = self._call(lambda: self._leases(at).OpenLease(request))
            is_repeated = self.model.open(pbx, request_id, self.arena.clock.now, software=software)
            assert response.lease.epoch == self.model.leases[pbx].epoch
            answers, held_before = self.model.acquire_with_opening(pbx, keys, is_repeated=is_repeated, wait=wait)
            assert [answer_of(result) for result in response.results] == answers
            assert response.seats_held == held_before
            terms = lease_pb2.LeaseTerms.FromString(response.lease.signed.payload)
            assert {holding.license_type: holding.seats for holding in terms.holdings} == self._debited(pbx)
            if pbx == STANDBY:
                self._keep(response.standby_leases)

        self._do(call)

    def _keep(self, offers: Sequence[lease_pb2.StandbyLeaseOffer]) -> None:
        """The standby has it on its disk, and it says what the model says."""
        signed = [offer.signed for offer in offers if offer.HasField("signed")]
        serials = [
            lease_pb2.StandbyLeaseTerms.FromString(signed_standby_lease.payload).serial
            for signed_standby_lease in signed
        ]
        if serials:
            assert serials == [self.model.standby_leases.serial]
            self.receipt.serial, self.receipt.discarded = serials[0], False

    def _acquire(self, pbx: str, at: int, keys: list[Key], wait: bool = False) -> None:
        request = lease_pb2.AcquireSeatsRequest(
            pbx=self._name(pbx), epoch=self._epoch(pbx), seats=seats_of(keys), wait=wait
        )
        response = self._under_lease(pbx, lambda: self._leases(at).AcquireSeats(request))
        if response is not None:
            assert [answer_of(result) for result in response.results] == self.model.acquire(pbx, keys, wait=wait)

    def _give_back(self, pbx: str, at: int, keys: list[Key]) -> None:
        request = lease_pb2.ReturnSeatsRequest(pbx=self._name(pbx), epoch=self._epoch(pbx), seats=seats_of(keys))
        response = self._under_lease(pbx, lambda: self._leases(at).ReturnSeats(request))
        if response is not None:
            collected = [None if result.HasField("refused") else result.returned for result in response.results]
            assert collected == self.model.give_back(pbx, keys)

    def _advance(self, seconds: int, *, is_step: bool = False) -> None:
        self._hand_on()
        self.model.pass_time(seconds)
        (self.arena.clock.set_forward if is_step else self.arena.clock.advance)(seconds)
        self.model.now += seconds
        self.model.stepped += seconds if is_step else 0
        self._hand_on()

    def _hand_on(self) -> None:
        """Have everything handed on, and all places told: masters do so at some moment by themselves."""
        if self.model.waiting:
            self._masters_hand_on()
            self.model.hand_on()

    def _masters_hand_on(self) -> None:
        for master in self.arena.masters:
            self.arena.run(master.running.leases.waiting.run_once())

    def _settle(self, pbx: str, keys: list[Key], received: tuple[list[Answer], int, set[Key]], *, wait: bool) -> None:
        """The master may try unwanted seats in any order; one of them must explain its answer, and what is held."""
        tried = []
        unwanted = self.model.unwanted(pbx, keys)
        whole = [key for key in unwanted if key[0] == "uc"]
        for order in permutations(whole):
            model = self.model.copy()
            order_tried = [key for key in unwanted if key not in whole] + list(order)
            tried.append((model.sync(pbx, keys, order_tried, wait=wait), model))
        if any(model.waiting for _, model in tried):  # what came back may have been handed on by now, or not yet
            self._masters_hand_on()
        listed = self._listed()
        for answer, model in tried:
            model.hand_on()
            if answer == received and expected(model) == listed:
                self.model = model
                return
        raise AssertionError(f"the master answered {received}; possible were {[answer for answer, _ in tried][:3]}")

    def _under_lease(self, pbx: str, call: Callable[[], Awaitable[T]]) -> T | None:
        reason = self.model.refusal_of_call(pbx, self._epoch(pbx))
        if not reason:
            return self._call(call)
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            self._call(call)
        assert reason_of(failed.value) == reason
        return None

    def _call(self, call: Callable[[], Awaitable[T]]) -> T:
        self._hand_on()
        return self.arena.run(awaited(call))

    def _master(self, at: int) -> InProcess:
        return self.arena.masters[at % len(self.arena.masters)]

    def _leases(self, at: int) -> lease_pb2_grpc.LeaseServiceAsyncStub:
        return self._master(at).wire.leases

    def _name(self, pbx: str) -> str:
        return f"projects/{self.project}/pbxs/{pbx}"

    def _epoch(self, pbx: str) -> int:
        return self.model.leases[pbx].epoch

    def _pools(self) -> dict[tuple[str, str], status_pb2.Pool]:
        request = status_pb2.GetStatusRequest(project=f"projects/{self.project}")
        status = self._call(lambda: self._master(1).wire.status.GetStatus(request))
        return {(pool.device, pool.license_type): pool for pool in status.pools}

    def _debited(self, pbx: str) -> dict[str, int]:
        collected: dict[str, int] = {}
        for (license_type, _), held in self.model.held[pbx].items():
            if held.pool is not None:
                collected[license_type] = collected.get(license_type, 0) + 1
        return collected

    def _listed(self) -> set[tuple[str, str, str, str, str]]:
        listed = self.arena.run(all_seats(self._master(0), self.project))
        collected = {
            (each.pbx.rpartition("/")[2], each.seat.license_type, each.seat.holder, each.device, each.included_in)
            for each in listed
        }
        assert len(collected) == len(listed)
        return collected

    # --- What must always hold --------------------------------------------------------------------------------------

    @invariant()
    def model_and_master_agree(self) -> None:
        self._hand_on()
        assert self._listed() == expected(self.model)

    @invariant()
    def no_pool_is_overdrawn_and_counters_are_right(self) -> None:
        pools = self._pools()
        assert {name: counted(pool) for name, pool in pools.items()} == self.model.used()
        assert {name: pool.used for name, pool in pools.items()} == self.model.seats()
        assert {name: pool.capacity for name, pool in pools.items()} == self.model.capacity()
        assert all(map(adds_up, pools.values()))
        assert self.arena.run(self.arena.mismatches(self.project)) == []
        for kind in KINDS:
            pool, idle = pools["hq-box", kind], self.model.idle(kind)
            assert (pool.held_idle, pool.borrowed, pool.first_claims) == (idle["block"], idle["loan"], idle["first"])
            assert pool.waiting == len(self.model.waiters(kind))
            assert pool.overdraft.seats == self.model.overdrawn(kind) <= OVERDRAFT_SEATS_MAX
            if self.model.policy(kind).overdraft_seats:
                assert pool.overdraft.budget_left_seat_hours == self.model.budget_left(kind) / HOUR

    @invariant()
    def nobody_waits_for_what_it_could_have(self) -> None:
        """No waiter starves while seats are free, and what is waited for is held by none of those who wait."""
        for kind in KINDS:
            pool = ("hq-box", kind)
            assert not self.model.turns(kind, self.model.free(pool) or self.model.room_above(pool))[0]
        assert not any(key in self.model.held[pbx] for pbx, key in self.model.waiting)

    @invariant()
    def port_and_ipva_go_together(self) -> None:
        assert all(self.model.is_reconciled(pbx) for pbx in PBXS)  # and the master agrees with the model

    def teardown(self) -> None:
        """Leave nothing to the next history; on the way everything comes home."""
        self.arena.clock.step_is_over()
        self.arena.clock.advance(1000)
        self.arena.run(self._master(0).running.expiry.run_once())
        assert self._listed() == set()
        assert self.arena.run(self.arena.mismatches(self.project)) == []


async def awaited(call: Callable[[], Awaitable[T]]) -> T:
    """A stub's call has to be made on the loop that waits for it."""
    return await call()


def expected(model: Model) -> set[tuple[str, str, str, str, str]]:
    return {
        (pbx, license_type, holder, held.pool[0] if held.pool else "", held.parent)
        for pbx, seats in model.held.items()
        for (license_type, holder), held in seats.items()
    }
