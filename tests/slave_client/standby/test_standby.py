"""A standby's program: standby leases on disk, taking over with and without a master, handing back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from licensemaster.signing.documents import Kind
from licensemaster.signing.verified_lease import LeaseVerificationError, verify, verify_standby_lease
from licensemaster.v1 import document_pb2, lease_pb2, project_pb2
from master.domain.leases.presence import HEARD_SECONDS, RECONNECT_SECONDS
from slave_client import (
    BlockingSlaveClient,
    ClientConfig,
    Granted,
    HolderKind,
    LossCause,
    Lost,
    Reason,
    Refused,
    SeatChange,
    SlaveClient,
    StandbyProblemKind,
    State,
    TakeoverError,
    Want,
)
from tests.slave_client.conftest import RestartableMaster
from tests.support.databases.truth import all_events, used
from tests.support.limits import HANG_SECONDS
from tests.support.masters import PROJECT, Clock, wire_to
from tests.support.pbxs.pbx import opened, seats
from tests.support.pbxs.standbys import LICENSES, PAIR, BareStandby, checked, standing_by
from tests.support.projects.estates import project
from tests.support.waiting import until

BERLIN, SPARE = f"projects/{PROJECT}/pbxs/berlin", f"projects/{PROJECT}/pbxs/spare"
PHONES = tuple(Want("port", HolderKind.USER, f"phone-{number}") for number in range(6))


def _estate(ports: int = 10) -> project_pb2.Project:
    licenses = {**LICENSES, "PBX-Port12": ports}
    return project(licenses, pbxs=PAIR, ttl_seconds=30, grace_seconds=300, renew_every_seconds=1)


@pytest.fixture
async def pair(sqlite_database_url: str, clock: Clock) -> AsyncIterator[RestartableMaster]:
    """A master that serves a pair."""
    restartable_master = RestartableMaster(sqlite_database_url, clock)
    await restartable_master.start()
    await restartable_master.apply(_estate())
    yield restartable_master
    await restartable_master.stop()


async def _ready(master: RestartableMaster, *clients: SlaveClient) -> None:
    """Berlin holds its seats, and the master knows that the standby's disk has a standby lease that covers them."""
    for client in clients:
        await client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
    async with asyncio.timeout(HANG_SECONDS), wire_to(master.address) as wire:
        while True:
            standby_pair = await checked(wire)
            if standby_pair.seats and all(seat.held == seat.covered for seat in standby_pair.seats):
                assert standby_pair.ready, standby_pair
                return
            for client in clients:
                client.look_again()
            await asyncio.sleep(0.02)


async def _refused_saying(spare: BareStandby, words: str) -> None:
    """A takeover is refused, and its reason says so by now."""
    async with asyncio.timeout(HANG_SECONDS):
        while True:
            if words in (await spare.refused())["PRIMARY_ACTIVE"].message:
                return
            await asyncio.sleep(0.02)


@pytest.mark.rule("F5")
async def test_a_living_primary_renews_as_its_standby_asks(pair: RestartableMaster) -> None:
    await pair.apply(project(LICENSES, pbxs=PAIR, ttl_seconds=3600))  # by itself it would not for long
    async with SlaveClient(pair.config()) as berlin, wire_to(pair.address) as wire:
        spare = await standing_by(wire)
        await _refused_saying(spare, "its stream is open")
        pair.clock.advance(HEARD_SECONDS)
        await _refused_saying(spare, "renewed its lease 0 s ago")
        assert berlin.state is State.CONNECTED


@pytest.mark.rule("F1", "F5")
async def test_takes_over_from_a_pbx_that_died_and_hands_back(pair: RestartableMaster, tmp_path: Path) -> None:
    berlin = SlaveClient(pair.config(state_dir=tmp_path / "berlin"))
    changes: list[SeatChange] = []
    async with SlaveClient(pair.config("spare", state_dir=tmp_path / "spare")) as spare:
        await berlin.start()
        await berlin.sync(PHONES)
        await _ready(pair, berlin, spare)
        with pytest.raises(TakeoverError) as refused:
            await spare.take_over(BERLIN, wait_seconds=0)
        assert [problem.kind for problem in refused.value.problems] == [StandbyProblemKind.PRIMARY_ACTIVE]
        assert refused.value.retry_at is not None
        await berlin.crash()
        pair.clock.advance(31)
        spare.look_again()
        carried = await spare.take_over(BERLIN, on_seat=lambda want, change: changes.append(change))
        assert carried.state is State.CONNECTED
        assert await spare.take_over(BERLIN) is carried
        synced = await carried.sync(PHONES)
        assert all(isinstance(outcome, Granted) for outcome in synced.outcomes)
        assert await pair.holders("berlin") == {want.holder for want in PHONES}
        back = SlaveClient(pair.config(state_dir=tmp_path / "berlin"))
        async with back:
            await carried.wait_for_state(State.FENCED, timeout_seconds=HANG_SECONDS)
            assert {change.cause for change in changes if isinstance(change, Lost)} == {LossCause.HANDED_BACK}
            assert not carried.held
            assert spare.state is State.CONNECTED
            await back.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
            assert {held.want for held in back.held} == set(PHONES)
            await back.stop()
        pair.clock.advance(31)
        again = await spare.take_over(BERLIN)
        assert again is not carried
        assert again.state is State.CONNECTED


@pytest.mark.rule("F5")
async def test_a_standby_that_is_started_again_leaves_alone_what_it_does_not_know_of(
    pair: RestartableMaster, tmp_path: Path
) -> None:
    berlin, config = SlaveClient(pair.config()), pair.config("spare", state_dir=tmp_path / "spare")
    async with SlaveClient(config) as spare:
        await berlin.start()
        await berlin.sync(PHONES)
        await _ready(pair, berlin, spare)
        await berlin.crash()
        pair.clock.advance(31)
        carried = await spare.take_over(BERLIN)
        await carried.acquire_many(PHONES[:2])
        await carried.return_seat(PHONES[1])
    async with SlaveClient(config) as again:
        carried = await again.take_over(BERLIN)
        assert {held.want for held in carried.held} == {PHONES[0]}
        assert await pair.holders("berlin") == {want.holder for want in (PHONES[0], *PHONES[2:])}
        assert (await carried.sync(PHONES[:2])).seats_returned == len(PHONES[2:])
        assert await pair.holders("berlin") == {want.holder for want in PHONES[:2]}


class _Blocking:
    """A blocking client, driven from this test's loop: each call in a thread."""

    def __init__(self, config: ClientConfig) -> None:
        self._client = BlockingSlaveClient(config)

    async def __aenter__(self) -> _Blocking:
        await asyncio.to_thread(self._client.start)
        return self

    async def __aexit__(self, *raised: object) -> None:
        await asyncio.to_thread(self._client.stop)

    async def take_over(self, primary: str) -> tuple[State, set[str]]:
        def work() -> tuple[State, set[str]]:
            carried = self._client.take_over(primary)
            assert self._client.take_over(primary) is carried
            carried.sync(PHONES)
            return carried.state, {held.want.holder for held in carried.held}

        return await asyncio.to_thread(work)


class _Async(SlaveClient):
    async def carries(self, primary: str) -> tuple[State, set[str]]:
        carried = await self.take_over(primary)
        await carried.sync(PHONES)
        return carried.state, {held.want.holder for held in carried.held}


@pytest.mark.rule("F5")
@pytest.mark.parametrize("blocking", [False, True], ids=["async", "blocking"])
async def test_waits_for_a_primary_that_may_be_alive_and_takes_over_when_it_dies(
    pair: RestartableMaster, tmp_path: Path, blocking: bool
) -> None:
    await pair.apply(project(LICENSES, pbxs=PAIR, ttl_seconds=180, grace_seconds=300))  # renewals every minute
    berlin = SlaveClient(pair.config(state_dir=tmp_path / "berlin"))
    await berlin.start()
    await berlin.sync(PHONES)
    config = pair.config("spare", state_dir=tmp_path / "spare")
    pair.clock.advance(RECONNECT_SECONDS)  # the master has served for long enough to know
    async with AsyncExitStack() as stack:
        if blocking:
            waiting = asyncio.create_task((await stack.enter_async_context(_Blocking(config))).take_over(BERLIN))
        else:
            waiting = asyncio.create_task((await stack.enter_async_context(_Async(config))).carries(BERLIN))
        refused = pair.running.metrics.takeovers.labels("refused")
        await until(lambda: refused._value.get() or waiting.done())
        assert not waiting.done(), await waiting
        await berlin.crash()
        async with asyncio.timeout(HANG_SECONDS):
            while not waiting.done():
                pair.clock.advance(0.1)  # far from the ttl when the reconcile time is over
                await asyncio.sleep(0.05)
        assert await waiting == (State.CONNECTED, {want.holder for want in PHONES})
        async with wire_to(pair.address) as wire:
            (event,) = await all_events(wire, "lease.taken_over")
        assert '"evidence":"stream_lost"' in event.details


@pytest.mark.rule("F5")
async def test_carries_without_a_master_and_takes_over_when_one_answers(
    pair: RestartableMaster, tmp_path: Path
) -> None:
    berlin = SlaveClient(pair.config(state_dir=tmp_path / "berlin"))
    async with SlaveClient(pair.config("spare", state_dir=tmp_path / "spare")) as spare:
        await berlin.start()
        await berlin.sync(PHONES)
        await _ready(pair, berlin, spare)
        await pair.stop()
        await berlin.crash()
        carried = await spare.take_over(BERLIN)
        assert carried.state is State.OFFLINE
        for want in PHONES[:4]:
            assert isinstance(await carried.acquire(want), Granted)
        guests = [Want("port", HolderKind.USER, name) for name in ("guest-1", "guest-2", "guest-3")]
        outcomes = await carried.acquire_many(guests)
        assert [isinstance(outcome, Granted) for outcome in outcomes] == [True, True, False], "six were promised"
        assert isinstance(outcomes[2], Refused)
        assert outcomes[2].reason is Reason.OFFLINE
        await carried.return_seat(guests[1])
        assert isinstance(await carried.acquire(guests[2]), Granted)
        assert isinstance(await carried.acquire(guests[1]), Refused)
        pair.clock.advance(31)
        await pair.start()
        carried.look_again()
        await carried.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
        expected = {want.holder for want in (*PHONES, guests[0], guests[2])}
        assert await pair.holders("berlin") == expected, "what it does not know of yet is left alone"
        await carried.sync(PHONES)
        async with wire_to(pair.address) as wire:
            assert (await all_events(wire, "standby.two_claims")) == []
            (event,) = await all_events(wire, "lease.taken_over")
            assert "carried_seconds" in event.details
        assert await pair.holders("berlin") == {want.holder for want in PHONES}


@pytest.mark.rule("F5")
async def test_a_standby_lease_survives_a_restart_of_the_standby(pair: RestartableMaster, tmp_path: Path) -> None:
    berlin = SlaveClient(pair.config(state_dir=tmp_path / "berlin"))
    spare = SlaveClient(pair.config("spare", state_dir=tmp_path / "spare"))
    await berlin.start()
    await spare.start()
    await berlin.sync(PHONES)
    await _ready(pair, berlin, spare)
    await spare.crash()
    await berlin.crash()
    await pair.stop()
    async with SlaveClient(pair.config("spare", state_dir=tmp_path / "spare")) as restarted:
        carried = await restarted.take_over(BERLIN)
        assert carried.state is State.OFFLINE
        assert all(isinstance(outcome, Granted) for outcome in await carried.acquire_many(PHONES))
        await carried.stop()
        await restarted.stop()
    kept = tmp_path / "spare" / "standby-berlin"
    content = kept.read_bytes()
    for broken in (content[:-20], content.replace(b'"payload"', b'"peyload"'), b""):
        assert broken != content
        kept.write_bytes(broken)
        bad = SlaveClient(pair.config("spare", state_dir=tmp_path / "spare"))
        await bad.start()
        with pytest.raises(TakeoverError, match=r"no standby lease for .* is in force"):
            await bad.take_over(BERLIN)
        assert any("cannot be used" in notice.message for notice in bad.notices)
        await bad.stop()


async def test_a_takeover_of_a_pbx_that_no_master_knows_says_so(pair: RestartableMaster) -> None:
    async with SlaveClient(pair.config("spare")) as spare:
        with pytest.raises(TakeoverError, match=r"^no master has let it take over, .*is unknown") as refused:
            await spare.take_over(BERLIN.replace("berlin", "nobody"))
        assert refused.value.problems == ()
        assert (len(spare._carrying), len(spare._taking_over)) == (0, 0), "however many names are tried"


@pytest.mark.rule("F2", "F5")
async def test_a_standby_that_must_not_stand_in_drops_its_standby_lease(
    pair: RestartableMaster, tmp_path: Path
) -> None:
    berlin = SlaveClient(pair.config(state_dir=tmp_path / "berlin"))
    async with berlin, SlaveClient(pair.config("spare", state_dir=tmp_path / "spare")) as spare:
        await berlin.sync(PHONES)
        await _ready(pair, berlin, spare)
        await pair.apply(_estate(ports=11))
        async with asyncio.timeout(HANG_SECONDS):
            while (tmp_path / "spare" / "standby-berlin").exists():
                spare.look_again()
                await asyncio.sleep(0.02)
        assert any("PBX-Standby is off" in notice.message for notice in spare.notices)
        async with asyncio.timeout(HANG_SECONDS), wire_to(pair.address) as wire:
            while (await checked(wire)).acknowledged_serial:
                spare.look_again()
                await asyncio.sleep(0.02)
        with pytest.raises(TakeoverError) as refused:
            await spare.take_over(BERLIN, force=True)
        assert [(problem.kind, problem.missing) for problem in refused.value.problems] == [
            (StandbyProblemKind.LICENSES_SHORT, 1)
        ]


@pytest.mark.rule("F5")
async def test_a_primary_that_was_only_cut_off_takes_its_seats_back(pair: RestartableMaster, tmp_path: Path) -> None:
    from slave_client import NetworkSwitch

    line = NetworkSwitch()
    async with (
        SlaveClient(pair.config(state_dir=tmp_path / "berlin"), network=line) as berlin,
        SlaveClient(pair.config("spare", state_dir=tmp_path / "spare")) as spare,
    ):
        await berlin.sync(PHONES)
        await _ready(pair, berlin, spare)
        line.cut()
        berlin.look_again()
        await berlin.wait_for_state(State.OFFLINE, timeout_seconds=HANG_SECONDS)
        carried = await spare.take_over(BERLIN, force=True)
        await carried.sync(PHONES)
        line.restore()
        berlin.look_again()
        await carried.wait_for_state(State.FENCED, timeout_seconds=HANG_SECONDS)
        await berlin.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
        assert {held.want for held in berlin.held} == set(PHONES)
        async with wire_to(pair.address) as wire:
            assert await used(wire) == {"port": 6, "standby": 0}


def relabelled(signed: document_pb2.SignedDocument, kind: Kind) -> document_pb2.SignedDocument:
    copy = document_pb2.SignedDocument()
    copy.CopyFrom(signed)
    copy.kind = kind
    return copy


@pytest.mark.rule("F5")
async def test_neither_kind_of_lease_passes_for_the_other(pair: RestartableMaster) -> None:
    async with wire_to(pair.address) as wire:
        berlin = await opened(wire, "berlin")
        await berlin.acquire(*seats("port", 3))
        spare = await standing_by(wire)
        renewed = await spare.renew()
    assert spare.kept is not None
    key = renewed.lease.public_key
    genuine = verify_standby_lease(spare.kept, standby=SPARE, primary=BERLIN, trusted_keys=(key,))
    assert genuine.seats == {"port": 3}
    ordinary = renewed.lease.signed
    for as_standby in (ordinary, relabelled(ordinary, document_pb2.DOCUMENT_KIND_STANDBY_LEASE)):
        with pytest.raises(LeaseVerificationError, match="does not verify"):
            verify_standby_lease(as_standby, standby=SPARE, primary=BERLIN, trusted_keys=(key,))
    for as_lease in (spare.kept, relabelled(spare.kept, document_pb2.DOCUMENT_KIND_LEASE)):
        for pbx in (SPARE, BERLIN):
            with pytest.raises(LeaseVerificationError, match="does not verify"):
                verify(as_lease, pbx=pbx, public_key=key)
    for standby, primary in ((BERLIN, SPARE), (SPARE, "projects/acme/pbxs/paris")):
        with pytest.raises(LeaseVerificationError, match="is for"):
            verify_standby_lease(spare.kept, standby=standby, primary=primary, trusted_keys=(key,))
    with pytest.raises(LeaseVerificationError, match="does not verify"):
        verify_standby_lease(spare.kept, standby=SPARE, primary=BERLIN, trusted_keys=(bytes(32),))
    with pytest.raises(LeaseVerificationError, match="does not verify"):
        verify_standby_lease(spare.kept, standby=SPARE, primary=BERLIN, trusted_keys=())
    terms = lease_pb2.StandbyLeaseTerms.FromString(spare.kept.payload)
    terms.holdings[0].seats = 1000
    forged = relabelled(spare.kept, spare.kept.kind)
    forged.payload = terms.SerializeToString()
    with pytest.raises(LeaseVerificationError, match="does not verify"):
        verify_standby_lease(forged, standby=SPARE, primary=BERLIN, trusted_keys=(key,))
