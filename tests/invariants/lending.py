"""Random histories through the wire, against the model: at every step both must say the same."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Set
from contextlib import closing
from itertools import permutations
from typing import TypeVar
from uuid import uuid4

import grpc
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule, run_state_machine_as_test

from licensemaster.v1 import lease_pb2, status_pb2
from tests.invariants.arena import Arena
from tests.invariants.balance import Key
from tests.invariants.calling import answer_of, awaited, expected, seats_of
from tests.invariants.model.values import PBXS, PRIMARY, STANDBY, Answer, Yes
from tests.invariants.sharing import Sharing
from tests.support.databases.truth import reason_of

T = TypeVar("T")
USERS = ("anna", "ben")
KEYS: list[Key] = [
    *(("port", holder) for holder in (*USERS, "cleo", "dora")),
    *((kind, user) for kind in ("uc", "mypbx", "video") for user in USERS),
]
pbxs = st.sampled_from(PBXS)
ports = st.lists(st.sampled_from(KEYS[:4]), min_size=1, max_size=4, unique=True)
anything = st.lists(st.sampled_from(KEYS), min_size=1, max_size=6, unique=True)
wanted = ports | anything
masters = st.integers(0, 1)
waits = st.booleans()


class Lending(Sharing):
    """PBXs that do anything in any order, while operators move licenses."""

    # --- Leases -----------------------------------------------------------------------------------------------------

    @initialize(odd=st.sampled_from(("", "", "berlin", "paris", "vm", "rome")), software=st.sampled_from((13, 11, 7)))
    def open_all(self, odd: str, software: int) -> None:
        for pbx in PBXS:
            self._open(pbx, str(uuid4()), at=0, software=software if pbx == odd else 12)

    @rule(pbx=pbxs, at=masters, software=st.sampled_from((12, 12, 13, 11, 7)), keys=st.just([]) | wanted, wait=waits)
    def open_lease(self, pbx: str, at: int, software: int, keys: list[Key], wait: bool) -> None:
        """B10: what it held under older or newer software goes on."""
        self._open(pbx, str(uuid4()), at, 12 if pbx == STANDBY else software, keys, wait)

    @precondition(lambda self: any(lease.request_id for lease in self.model.leases.values()))
    @rule(data=st.data(), at=masters, keys=st.just([]) | wanted)
    def open_again_with_the_same_request_id(self, data: st.DataObject, at: int, keys: list[Key]) -> None:
        pbx = data.draw(st.sampled_from([pbx for pbx in PBXS if self.model.leases[pbx].request_id]))
        self._open(pbx, self.model.leases[pbx].request_id, at, keys=keys)

    @rule(pbx=pbxs, at=masters)
    def renew(self, pbx: str, at: int) -> None:
        def call() -> None:
            request = lease_pb2.RenewLeaseRequest(pbx=self._name(pbx), epoch=self._epoch(pbx))
            response = self._under_lease(pbx, lambda: self._leases(at).RenewLease(request))
            if response is not None:
                self.model.renew(pbx, self.arena.clock.now)
                terms = lease_pb2.LeaseTerms.FromString(response.lease.signed.payload)
                assert terms.end_time.ToSeconds() == int(self.model.leases[pbx].ends_at)
                assert {holding.license_type: holding.seats for holding in terms.holdings} == self._debited(pbx)

        self._do(call)

    # --- The standby ------------------------------------------------------------------------------------------------

    @rule(at=masters, answer_lost=st.booleans(), discard=st.booleans())
    def renew_the_standby(self, at: int, answer_lost: bool, discard: bool) -> None:
        """It says what it has on its disk; what is sent to it may get lost."""
        if discard and self.receipt.serial:
            self.receipt.discarded = True

        def call() -> None:
            receipt = lease_pb2.StandbyLeaseReceipt()
            receipt.CopyFrom(self.receipt)
            request = lease_pb2.RenewLeaseRequest(
                pbx=self._name(STANDBY), epoch=self._epoch(STANDBY), standby_receipts=[receipt]
            )
            response = self._under_lease(STANDBY, lambda: self._leases(at).RenewLease(request))
            if response is not None:
                self.model.renew(
                    STANDBY,
                    self.arena.clock.now,
                    serial=receipt.serial,
                    discarded=receipt.discarded,
                    released=receipt.released_epoch,
                )
                if not answer_lost:
                    self._keep(response.standby_leases)

        self._do(call)

    @rule(at=masters, force=st.booleans())
    def take_over(self, at: int, force: bool) -> None:
        request = lease_pb2.TakeOverLeaseRequest(
            standby=self._name(STANDBY),
            standby_epoch=self._epoch(STANDBY),
            primary=self._name(PRIMARY),
            instance_id=f"instance-{STANDBY}",
            request_id=str(uuid4()),
            software_version="12",
            force=force,
        )

        def call() -> None:
            lease, now = self.model.leases[PRIMARY], self.arena.clock.now
            retry = lease.phase == "open" and (lease.request_id, lease.user) == (request.request_id, STANDBY)
            stale = request.standby_epoch != self._epoch(STANDBY)
            response = self._call(lambda: self._leases(at).TakeOverLease(request))
            since = self.arena.serving_since[at % len(self.arena.masters)]
            if not retry and (stale or self.model.refuses_takeover(now, force=force, serving_since=since)):
                assert response.problems
                return
            assert not response.problems, response.problems
            self.model.open(PRIMARY, request.request_id, now, user=STANDBY)
            assert response.lease.epoch == self.model.leases[PRIMARY].epoch
            assert response.seats_held == sum(self._debited(PRIMARY).values())

        self._do(call)

    @precondition(lambda self: self.model.leases[PRIMARY].user == PRIMARY)
    @rule(at=masters)
    def the_line_of_the_primary_breaks(self, at: int) -> None:
        """Its stream is opened and breaks."""
        epoch, master = self._epoch(PRIMARY), self._master(at)
        request = lease_pb2.WatchLeaseRequest(pbx=self._name(PRIMARY), epoch=epoch)

        async def broken() -> bool:
            stream = master.wire.leases.WatchLease(request)
            await stream.read()
            stream.cancel()
            while len(master.running.hub):  # noqa: ASYNC110  # nothing tells
                await asyncio.sleep(0.001)
            await master.running.stream_recorder.run_once()
            return True

        if self._under_lease(PRIMARY, broken):
            self.model.broken_at, self.model.broken_epoch = self.arena.clock.now, epoch

    @precondition(lambda self: self.model.leases[PRIMARY].user != STANDBY)
    @rule()
    def the_standby_has_stopped_carrying(self) -> None:
        self.receipt.released_epoch = self._epoch(PRIMARY) - 1

    @rule(pbx=pbxs, at=masters)
    def close(self, pbx: str, at: int) -> None:
        def call() -> None:
            request = lease_pb2.CloseLeaseRequest(pbx=self._name(pbx), epoch=self._epoch(pbx))
            if self.model.leases[pbx].phase == "closed":  # a retry
                assert self._call(lambda: self._leases(at).CloseLease(request)).seats_returned == 0
                return
            response = self._under_lease(pbx, lambda: self._leases(at).CloseLease(request))
            if response is not None:
                assert response.seats_returned == self.model.close(pbx)

        self._do(call)

    @rule(pbx=pbxs, at=masters, dry_run=st.booleans())
    def an_operator_ends_its_lease(self, pbx: str, at: int, dry_run: bool) -> None:
        request = lease_pb2.EndLeaseRequest(
            pbx=self._name(pbx), reason="gone", request_id=str(uuid4()), dry_run=dry_run
        )
        model = self.model.copy() if dry_run else self.model
        expected = model.end(pbx, self.arena.clock.now)
        if expected is None:
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                self._call(lambda: self._leases(at).EndLease(request))
            assert reason_of(failed.value) == "NO_LEASE_TO_END"
            return
        ended = self._call(lambda: self._leases(at).EndLease(request))
        assert (ended.seats_returned, ended.seats_at_risk) == expected
        if not dry_run:
            assert self._call(lambda: self._leases(at).EndLease(request)) == ended, "a retry is answered alike"

    @rule(pbx=pbxs, at=masters, step=st.sampled_from((-1, 1)), keys=wanted)
    def call_under_another_epoch(self, pbx: str, at: int, step: int, keys: list[Key]) -> None:
        epoch = self._epoch(pbx) + step
        reason = self.model.refusal_of_call(pbx, epoch) if epoch > 0 else "INVALID_ARGUMENT"
        assert reason in ("LEASE_FENCED", "LEASE_CARRIED", "LEASE_NOT_OPEN", "INVALID_ARGUMENT")
        name, seats = self._name(pbx), seats_of(keys)
        stub = self._leases(at)
        calls: tuple[Callable[[], Awaitable[object]], ...] = (
            lambda: stub.RenewLease(lease_pb2.RenewLeaseRequest(pbx=name, epoch=epoch)),
            lambda: stub.CloseLease(lease_pb2.CloseLeaseRequest(pbx=name, epoch=epoch)),
            lambda: stub.AcquireSeats(lease_pb2.AcquireSeatsRequest(pbx=name, epoch=epoch, seats=seats)),
            lambda: stub.ReturnSeats(lease_pb2.ReturnSeatsRequest(pbx=name, epoch=epoch, seats=seats)),
            lambda: stub.SyncSeats(lease_pb2.SyncSeatsRequest(pbx=name, epoch=epoch, seats=seats)),
        )
        for call in calls:
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                self._call(call)
            assert reason_of(failed.value) == reason

    # --- Seats ------------------------------------------------------------------------------------------------------

    @rule(pbx=pbxs, at=masters, keys=wanted, wait=waits)
    def acquire(self, pbx: str, at: int, keys: list[Key], wait: bool) -> None:
        self._do(lambda: self._acquire(pbx, at, keys, wait))

    @rule(pbx=pbxs, at=masters, keys=wanted)
    def give_back(self, pbx: str, at: int, keys: list[Key]) -> None:
        self._do(lambda: self._give_back(pbx, at, keys))

    @rule(pbx=pbxs, at=masters, keys=wanted | st.just([]), wait=waits)
    def sync(self, pbx: str, at: int, keys: list[Key], wait: bool) -> None:
        def call() -> None:
            request = lease_pb2.SyncSeatsRequest(
                pbx=self._name(pbx), epoch=self._epoch(pbx), seats=seats_of(keys), wait=wait
            )
            response = self._under_lease(pbx, lambda: self._leases(at).SyncSeats(request))
            if response is not None:
                answers = [answer_of(result) for result in response.results]
                kept = {(kept_seat.seat.license_type, kept_seat.seat.holder) for kept_seat in response.kept}
                self._settle(pbx, keys, (answers, response.seats_returned, kept), wait=wait)

        self._do(call)

    @rule(keys=wanted, wait=waits)
    def acquire_all_at_once(self, keys: list[Key], wait: bool) -> None:
        """Through all masters at the same time; some order must explain all answers."""
        self._hand_on()
        able = [pbx for pbx in PBXS if not self.model.refusal_of_call(pbx, self._epoch(pbx))]

        async def race() -> list[list[Answer]]:
            calls = [
                self._leases(at).AcquireSeats(
                    lease_pb2.AcquireSeatsRequest(
                        pbx=self._name(pbx), epoch=self._epoch(pbx), seats=seats_of(keys), wait=wait
                    )
                )
                for at, pbx in enumerate(able)
            ]
            return [[answer_of(result) for result in (await call).results] for call in calls]

        answer = dict(zip(able, self.arena.run(race()), strict=True))
        for order in permutations(able):
            model = self.model.copy()
            if all(model.acquire(pbx, keys, wait=wait) == answer[pbx] for pbx in order):
                self.model = model
                return
        raise AssertionError(f"no order explains {answer}")

    @precondition(lambda self: self.last is not None)
    @rule()
    def retry(self) -> None:
        assert self.last is not None
        self.last()

    @rule(pbx=pbxs, at=masters)
    def ask_for_more_than_is_free(self, pbx: str, at: int) -> None:
        """What is explained is what would be granted, exactly."""
        fresh = [("port", f"fresh-{number}") for number in range(20)]
        request = status_pb2.ExplainSeatsRequest(pbx=self._name(pbx), seats=seats_of(fresh))
        explained = self._call(lambda: self._master(at).wire.status.ExplainSeats(request))
        granted = [result.granted.device for result in explained.results if result.HasField("granted")]
        answers = self.model.copy().acquire(pbx, fresh)
        assert granted == [answer.device for answer in answers if isinstance(answer, Yes)]

    # --- Time and faults --------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from((1, 4, 20, 59, 61, 119, 121, 126)))
    def let_time_pass(self, seconds: int) -> None:
        self._advance(seconds)

    @rule(at=masters)
    def expire(self, at: int) -> None:
        self._hand_on()
        self.model.expire()
        self.arena.run(self._master(at).running.expiry.run_once())

    @rule(at=masters)
    def crash(self, at: int) -> None:
        self.look_again(at)  # a new master does so at some moment, before or after it lets leases expire
        self._hand_on()
        self.arena.run(self.arena.restart(at % len(self.arena.masters)))
        self._a_master_has_started()

    def _a_master_has_started(self) -> None:
        self.model.expire()
        self.model.look()
        self._hand_on()

    @rule(pbx=pbxs, at=masters, keys=wanted)
    def crash_with_a_call_under_way(self, pbx: str, at: int, keys: list[Key]) -> None:
        """Whether it was committed is open until it is asked again; asked again, it is answered as if once."""
        request = lease_pb2.AcquireSeatsRequest(pbx=self._name(pbx), epoch=self._epoch(pbx), seats=seats_of(keys))

        async def crash() -> bool:
            task = asyncio.ensure_future(awaited(lambda: self._leases(at).AcquireSeats(request)))
            await asyncio.sleep(0)
            await self.arena.restart(at % len(self.arena.masters))
            return not isinstance((await asyncio.gather(task, return_exceptions=True))[0], BaseException)

        self.look_again(at)
        self._hand_on()
        answered = self.arena.run(crash())
        before, done = self.model, self.model.copy()
        if not done.refusal_of_call(pbx, self._epoch(pbx)):
            done.acquire(pbx, keys)
        else:
            assert not answered
        for self.model in (before, done):
            self._a_master_has_started()
        held = self._listed()
        assert held == expected(done) or (not answered and held == expected(before))
        if held != expected(done):
            self.model = before
        self._acquire(pbx, at, keys)


def agree_at_every_step(database_url: str, *, histories: int, steps: int, phases: Set[Phase]) -> None:
    """Play random histories on one master on SQLite, or on two on PostgreSQL, and assert that the model foretells each
    answer."""
    profile = settings(max_examples=histories, stateful_step_count=steps, print_blob=True, phases=phases)
    with closing(Arena(database_url, masters=2 if database_url.startswith("postgresql") else 1)) as arena:

        class OnThisArena(Lending):
            def __init__(self) -> None:
                super().__init__(arena)

        run_state_machine_as_test(OnThisArena, settings=profile)
