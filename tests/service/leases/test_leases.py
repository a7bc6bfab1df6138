"""Leases end to end: what is signed, how long they last, how they end, who may go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from structlog.testing import capture_logs

from licensemaster.v1 import lease_pb2, status_pb2
from tests.rpc.failures import NAME, failure
from tests.support.databases.held import writer_held
from tests.support.databases.truth import all_events, held_by_pbx, mismatches, used
from tests.support.masters import Clock, InProcess, in_process_master
from tests.support.pbxs.pbx import BarePbx, granted, opened, seat, seats
from tests.support.projects.estates import project

ALLOWANCE = 5
LEASE = b"license-master v1 DOCUMENT_KIND_LEASE\0"


def _terms(lease: lease_pb2.Lease) -> lease_pb2.LeaseTerms:
    """The terms, their signature verified over exactly the bytes that came, as a PBX maker without this code does."""
    key = Ed25519PublicKey.from_public_bytes(lease.public_key)
    key.verify(lease.signed.signature, LEASE + lease.signed.payload)
    return lease_pb2.LeaseTerms.FromString(lease.signed.payload)


async def test_the_signed_terms(any_master: InProcess) -> None:
    wire, clock = any_master.wire, any_master.clock
    await wire.apply(
        project(
            {"PBX-Port12": 5, "PBX-IPVA12": 5}, pbxs={"hq": "master 12 ipva", "vm": "slave 12 ipva"}, grace_seconds=1000
        )
    )
    vm = await opened(wire, "vm")
    granted(await vm.acquire(*seats("port", 3)))
    clock.advance(10)
    lease = (await vm.renew()).lease
    terms = _terms(lease)
    assert (terms.pbx, terms.epoch) == (vm.name, 1)
    assert (terms.ttl_seconds, terms.grace_seconds) == (180, 1000)
    assert terms.issue_time.ToSeconds() == int(clock.now)
    assert terms.end_time.ToSeconds() == int(clock.now) + 180 + 1000
    assert {holding.license_type: holding.seats for holding in terms.holdings} == {"port": 3, "ipva": 3}
    assert len(lease.public_key) == 32
    forged = lease_pb2.LeaseTerms.FromString(lease.signed.payload)
    forged.holdings[0].seats += 1
    key = Ed25519PublicKey.from_public_bytes(lease.public_key)
    with pytest.raises(InvalidSignature):
        key.verify(lease.signed.signature, LEASE + forged.SerializeToString(deterministic=True))


async def test_the_key_survives_a_restart(database_url: str, clock: Clock) -> None:
    keys = set()
    for _ in range(2):
        async with in_process_master(database_url, clock) as master:
            await master.wire.apply(project({"PBX-Port12": 5}))
            lease = (await BarePbx(master.wire, "berlin").open()).lease
            _terms(lease)
            keys.add((lease.public_key, lease.signed.key_id))
    assert len(keys) == 1


async def test_ttl_and_grace_of_server_project_and_pbx(any_master: InProcess) -> None:
    message = project({"PBX-Port12": 5}, pbxs={"berlin": "slave 12 gateway", "paris": "slave 12 gateway"})
    await any_master.wire.apply(message)
    berlin, paris = [await opened(any_master.wire, name) for name in ("berlin", "paris")]
    assert [await _pace(pbx) for pbx in (berlin, paris)] == [(180, 86_400, 60)] * 2
    message.lease.ttl_seconds, message.lease.grace_seconds = 90, 600
    message.pbxs[1].lease.ttl_seconds = 30
    message.pbxs[2].lease.renew_every_seconds = 11
    await any_master.wire.apply(message)
    assert await _pace(berlin) == (30, 600, 10)
    assert await _pace(paris) == (90, 600, 11)


async def _pace(pbx: BarePbx) -> tuple[int, int, int]:
    """ttl, grace, and the renewal pace without its jitter of at most a tenth."""
    lease = (await pbx.renew()).lease
    terms = _terms(lease)
    expected = {180: 60, 30: 10, 90: 11}[terms.ttl_seconds]
    assert 0.9 * expected <= lease.renew_after_seconds <= 1.1 * expected
    return terms.ttl_seconds, terms.grace_seconds, expected


async def test_a_promise_once_signed_is_never_shortened(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 5}, ttl_seconds=600, grace_seconds=6000))
    berlin = await opened(master.wire, "berlin")
    promised = _terms((await berlin.renew()).lease).end_time.ToSeconds()
    await master.wire.apply(project({"PBX-Port12": 5}, ttl_seconds=10, grace_seconds=0))
    assert _terms((await berlin.renew()).lease).end_time.ToSeconds() == promised
    assert _terms((await berlin.open()).lease).end_time.ToSeconds() == promised
    master.clock.advance(-100)
    assert _terms((await berlin.renew()).lease).end_time.ToSeconds() == promised


async def test_an_opening_that_is_repeated_is_one(any_master: InProcess) -> None:
    await any_master.wire.apply(project({"PBX-Port12": 5}))
    berlin = BarePbx(any_master.wire, "berlin")
    answers = await asyncio.gather(*(berlin.open(request_id="once") for _ in range(5)))
    assert {answer.lease.epoch for answer in answers} == {1}
    assert (await berlin.open(request_id="twice")).lease.epoch == 2
    assert len(await all_events(any_master.wire, "lease.opened")) == 2


async def test_seats_stay_through_a_takeover(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 5}))
    old = await opened(master.wire, "berlin")
    granted(await old.acquire(*seats("port", 4)))
    new = BarePbx(master.wire, "berlin")
    assert (await new.open()).seats_held == 4
    assert (await failure(old.acquire(seat("port", "anna")))).reason == "LEASE_FENCED"
    synced = await new.sync(*seats("port", 2))
    assert synced.seats_returned == 2
    assert (await used(master.wire))["port"] == 2


async def test_a_lease_ends_after_grace_and_allowance(master: InProcess) -> None:
    wire, clock, look = master.wire, master.clock, master.running.expiry.run_once
    await wire.apply(project({"PBX-Port12": 5}, ttl_seconds=60, grace_seconds=100))
    berlin = await opened(wire, "berlin")
    granted(await berlin.acquire(*seats("port", 5)))
    for seconds, state in ((60, "ACTIVE"), (1, "OVERDUE"), (99, "OVERDUE"), (1, "EXPIRED"), (ALLOWANCE - 1, "EXPIRED")):
        clock.advance(seconds)
        assert await _state(master) == state
        assert await look() == 0
        assert (await used(wire))["port"] == 5, "until then they count as used"
    assert (await failure(berlin.renew())).reason == "LEASE_EXPIRED"
    clock.advance(1)
    assert await look() == 5
    assert (await used(wire))["port"] == 0
    assert await _state(master) == "EXPIRED"
    assert (await berlin.open()).seats_held == 0


async def _state(master: InProcess) -> str:
    listed = await master.wire.status.ListLeases(status_pb2.ListLeasesRequest(project=NAME))
    state = next(lease.state for lease in listed.leases if lease.pbx.endswith("/berlin"))
    return status_pb2.LeaseState.Name(state).removeprefix("LEASE_STATE_")


async def test_a_lease_renewed_at_the_last_moment_is_left_alone(any_master: InProcess) -> None:
    wire, clock, look = any_master.wire, any_master.clock, any_master.running.expiry.run_once
    await wire.apply(project({"PBX-Port12": 5}, ttl_seconds=60, grace_seconds=0))
    berlin = await opened(wire, "berlin")
    granted(await berlin.acquire(*seats("port", 5)))
    clock.advance(60)
    await berlin.renew()
    clock.advance(60)
    assert await look() == 0
    clock.advance(ALLOWANCE + 1)  # past its end: reopened while expiry looks, whichever comes first
    await asyncio.gather(look(), berlin.open())
    held = (await berlin.sync(*seats("port", 5))).results
    assert len(granted(held)) == 5
    assert (await used(wire))["port"] == 5


async def _until(is_so: Callable[[], bool]) -> None:
    """Let everything else go on until something is so."""
    while not is_so():  # noqa: ASYNC110  # what is waited for sets no event
        await asyncio.sleep(0)


async def test_expiry_goes_in_small_steps_and_the_living_are_served(database_url: str, clock: Clock) -> None:
    async with in_process_master(database_url, clock, expiry_holders_max=10) as master:
        described = {f"site-{n}": "slave 12 gateway" for n in range(4)}
        await master.wire.apply(project({"PBX-Port12": 1000}, pbxs=described, ttl_seconds=60, grace_seconds=0))
        dead = [await opened(master.wire, f"site-{n}") for n in range(3)]
        for pbx in dead:
            granted(await pbx.acquire(*seats("port", 95)))
        clock.advance(60 + ALLOWANCE + 1)
        living = await opened(master.wire, "site-3")
        async with writer_held(master, database_url):
            looking = asyncio.create_task(master.running.expiry.run_once())
            await _until(lambda: master.running.committer.is_busy and not len(master.running.committer))
            acquiring = asyncio.create_task(living.acquire(seat("port", "phone")))
            await _until(lambda: len(master.running.committer) == 1)
        granted(await acquiring)
        assert await looking == 3 * 95
        changes = [
            change.kind for change in reversed(await all_events(master.wire)) if change.kind.startswith("seats.")
        ]
        assert changes[3:5] == ["seats.reclaimed", "seats.acquired"], "who waits is served after the step under way"
        steps = await all_events(master.wire, "seats.reclaimed")
        assert len(steps) == 3 * 10
        assert len(await all_events(master.wire, "lease.expired")) == 3
        assert set(await held_by_pbx(master.wire)) == {living.name}
    assert await mismatches(database_url) == []


async def test_expiry_that_was_interrupted_goes_on_after_a_restart(tmp_path: Path, database_url: str) -> None:
    clock = Clock()
    async with in_process_master(database_url, clock, expiry_holders_max=5) as master:
        await master.wire.apply(project({"PBX-Port12": 100}, ttl_seconds=60, grace_seconds=0))
        berlin = await opened(master.wire, "berlin")
        granted(await berlin.acquire(*seats("port", 100)))
        clock.advance(60 + ALLOWANCE + 1)
        looking = asyncio.create_task(master.running.expiry.run_once())
        while (await used(master.wire))["port"] == 100:
            pass
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
    async with in_process_master(database_url, clock, expiry_holders_max=5) as master:
        while (await used(master.wire))["port"]:  # it looks by itself at its start; both may share the work
            await master.running.expiry.run_once()
        assert await held_by_pbx(master.wire) == {}
    assert await mismatches(database_url) == []


@pytest.mark.rule("D1")
async def test_a_step_of_expiry_never_parts_port_and_ipva(database_url: str, clock: Clock) -> None:
    async with in_process_master(database_url, clock, expiry_holders_max=1) as master:
        await master.wire.apply(
            project(
                {"PBX-Port12": 9, "PBX-IPVA12": 9},
                pbxs={"hq": "master 12 ipva", "vm": "slave 12 ipva"},
                ttl_seconds=60,
                grace_seconds=0,
            )
        )
        vm = await opened(master.wire, "vm")
        granted(await vm.acquire(*seats("port", 9)))
        clock.advance(60 + ALLOWANCE + 1)
        looking = asyncio.create_task(master.running.expiry.run_once())
        parted = False
        while not looking.done():
            held = (await held_by_pbx(master.wire)).get(vm.name, set())
            parted |= sum(kind == "port" for kind, _ in held) != sum(kind == "ipva" for kind, _ in held)
        assert not parted


@pytest.mark.rule("D1", "H2")
async def test_a_lease_opened_while_expiry_is_half_way_has_nothing_for_free(database_url: str, clock: Clock) -> None:
    async with in_process_master(database_url, clock, expiry_holders_max=1) as master:
        licenses = {"PBX-Port12": 2, "PBX-IPVA12": 2, "PBX UC12": 2, "PBX Video12": 2}
        await master.wire.apply(
            project(licenses, pbxs={"hq": "master 12 ipva", "vm": "slave 12 ipva"}, ttl_seconds=60, grace_seconds=0)
        )
        for _ in range(3):
            vm = await opened(master.wire, "vm")
            for user in ("first", "second"):
                granted(await vm.acquire(seat("port", user), seat("uc", user), seat("video", user)))
            clock.advance(60 + ALLOWANCE + 1)
            looking = asyncio.create_task(master.running.expiry.run_once())
            while len((await held_by_pbx(master.wire)).get(vm.name, set())) > 4:  # until the first user's went back
                pass
            await vm.open()
            await looking
            assert (await held_by_pbx(master.wire)).get(vm.name, set()) == set()
            await vm.close()


async def test_a_pbx_that_was_removed_and_comes_back_fences_its_old_lease(any_master: InProcess) -> None:
    await any_master.wire.apply(project({"PBX-Port12": 5}))
    old = await opened(any_master.wire, "berlin")
    await any_master.wire.apply(project({"PBX-Port12": 5}, pbxs={}))
    await any_master.wire.apply(project({"PBX-Port12": 5}))
    new = await opened(any_master.wire, "berlin")
    assert new.epoch > old.epoch
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await old.acquire(*seats("port", 1))
    assert ("error-reason", "LEASE_FENCED") in tuple(caught.value.trailing_metadata() or ())


async def test_three_takeovers_by_different_installations_look_like_a_copy(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 5}))
    bare_pbx, other = BarePbx(master.wire, "berlin"), BarePbx(master.wire, "berlin")
    collected = [[notice.kind for notice in (await pbx.open()).notices] for pbx in (bare_pbx, other, bare_pbx, other)]
    assert collected == [[], [], [], [lease_pb2.NOTICE_KIND_SUSPECTED_CLONE]]
    master.clock.advance(601)
    assert not (await other.renew()).notices


async def test_copies_without_end_do_not_fill_the_log(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 5}, pbxs={"berlin": "slave 12 gateway", "paris": "slave 13 ipva"}))
    bare_pbx, other = BarePbx(master.wire, "berlin"), BarePbx(master.wire, "berlin")
    with capture_logs() as logs:
        for _ in range(110):
            await bare_pbx.open()
            await other.open()
        await BarePbx(master.wire, "paris").open("13")
    named = [line["pbx"].rpartition("/")[2] for line in logs if line["event"] == "notice"]
    assert named == ["berlin"] * 200 + ["paris"]


async def test_restarts_of_one_installation_are_no_copies(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 5}))
    berlin = BarePbx(master.wire, "berlin")
    assert not any([(await berlin.open()).notices for _ in range(8)])


@pytest.mark.parametrize("later", ["acquire", "give_back", "sync"])
async def test_a_call_that_comes_after_later_ones_is_refused_and_changes_nothing(master: InProcess, later: str) -> None:
    await master.wire.apply(project({"PBX-Port12": 5}))
    anna, bob = seat("port", "anna"), seat("port", "bob")
    berlin, late = await opened(master.wire, "berlin"), BarePbx(master.wire, "berlin")
    late.epoch, berlin.unanswered_calls = berlin.epoch, 1
    granted(await late.acquire(anna))
    await getattr(berlin, later)(anna)
    held = await held_by_pbx(master.wire)
    for call in (late.acquire(bob), late.give_back(anna), late.sync(bob)):
        assert (await failure(call)).reason == "CALL_SUPERSEDED"
    assert await held_by_pbx(master.wire) == held
    await late.renew()
    await late.open()
    granted(await late.acquire(bob))
