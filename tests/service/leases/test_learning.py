"""After a restore the master learns: proofs of what is out, nothing beyond them, and its end."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING

import grpc
import pytest

from licensemaster.v1 import lease_pb2, project_pb2, seat_pb2, status_pb2
from tests.rpc.failures import seen
from tests.rules.seats.test_refusals import MESSAGES
from tests.service.leases.restored import (
    ALLOWANCE,
    ESTATE,
    GRACE,
    LEARNING,
    TTL,
    Site,
    an_older_backup,
    events,
    pool_of_100,
    restored,
    right,
    serving,
    status_of,
    used,
)
from tests.support.limits import HANG_SECONDS
from tests.support.masters import PROJECT, Clock
from tests.support.pbxs.pbx import granted, opened, refused, seats
from tests.support.projects.estates import project
from tests.support.projects.signed_documents import Vendor, bind, certify, enrolled, imported, listed, moved, release

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.databases.restoring import BackUp

MOMENT = r"[0-9]{4}-[0-9-]+ [0-9:]+"


async def test_sites_go_on_with_what_they_prove_and_nothing_more_is_granted(
    database_url: str, clock: Clock, back_up: BackUp
) -> None:
    async with (
        an_older_backup(database_url, clock, back_up) as (backup, berlin, bonn, ulm),
        restored(backup, clock) as master,
    ):
        assert await used(master) == 0
        for site, ports in ((berlin, 30), (ulm, 20), (bonn, 50)):
            await site.return_to(master)
            granted((await site.sync(*seats("port", ports))).results)
            await right(backup)
        assert await used(master) == 100
        more = refused(await berlin.acquire(*seats("port", 1, "more")))
        assert (more[0].reason, more[0].remedy.action) == (LEARNING, seat_pb2.REMEDY_ACTION_WAIT)
        assert re.sub(MOMENT, "", more[0].message) == re.sub(MOMENT, "", MESSAGES["LEARNING"])
        learning = (await status_of(master)).learning
        assert (learning.pbxs_silent, learning.seats_known, learning.seats_proven, learning.seats_unplaced) == (
            0,
            100,
            100,
            0,
        )
        assert learning.why == "restored from a backup"


async def test_what_was_given_up_since_the_signing_is_not_proven_again(
    database_url: str, clock: Clock, back_up: BackUp
) -> None:
    async with (
        an_older_backup(database_url, clock, back_up) as (backup, berlin, _, _),
        restored(backup, clock) as master,
    ):
        await berlin.return_to(master, berlin.proof(in_use=5))
        granted(await berlin.acquire(*seats("port", 5)))
        assert refused(await berlin.acquire(*seats("port", 1, "sixth")))[0].reason == LEARNING
        await berlin.give_back(*seats("port", 5))
        granted(await berlin.acquire(*seats("port", 5, "others")))


async def test_seats_that_the_backup_knows_stay_although_they_were_not_signed(
    database_url: str, clock: Clock, back_up: BackUp
) -> None:
    async with serving(database_url, clock) as master:
        await pool_of_100(master)
        site = Site(master, "berlin")
        site.signed = (await site.open()).lease.signed
        granted(await site.acquire(*seats("port", 9)))
    async with restored(database_url, clock) as master:
        await site.return_to(master, site.proof(in_use=9))
        granted((await site.sync(*seats("port", 9))).results)


async def test_a_pbx_without_a_proof_gets_nothing_until_learning_ends(
    database_url: str, clock: Clock, back_up: BackUp
) -> None:
    async with (
        an_older_backup(database_url, clock, back_up) as (backup, _, _, _),
        restored(backup, clock) as master,
    ):
        blank = await opened(master.wire, "berlin")
        assert refused(await blank.acquire(*seats("port", 1)))[0].reason == LEARNING
        request = status_pb2.ExplainSeatsRequest(pbx=blank.name, seats=seats("port", 1))
        explained = await master.wire.status.ExplainSeats(request)
        assert refused(explained.results)[0].reason == LEARNING
        clock.advance(TTL + GRACE + ALLOWANCE)
        await master.running.learning.run_once()
        await blank.open()
        granted(await blank.acquire(*seats("port", 100)))
        assert not (await status_of(master)).HasField("learning")
        (ended,) = await events(master, "learning.ended")
        assert json.loads(ended.details)["early"] is False


async def test_leases_from_before_are_to_be_opened_anew_and_seats_are_kept_meanwhile(
    database_url: str, clock: Clock, back_up: BackUp
) -> None:
    async with (
        an_older_backup(database_url, clock, back_up) as (backup, berlin, _, ulm),
        restored(backup, clock) as master,
    ):
        berlin.wire = ulm.wire = master.wire
        for call, reason in (
            (berlin.renew, "LEASE_UNPROVEN"),
            (lambda: berlin.acquire(*seats("port", 1)), "LEASE_UNPROVEN"),
            (ulm.renew, "LEASE_NOT_OPEN"),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await call()
            assert seen(failed.value).reason == reason


async def test_expiry_takes_nothing_back_while_learning(database_url: str, clock: Clock, back_up: BackUp) -> None:
    async with (
        an_older_backup(database_url, clock, back_up) as (backup, berlin, _, _),
        restored(backup, clock) as master,
    ):
        await berlin.return_to(master)
        granted((await berlin.sync(*seats("port", 30))).results)
        clock.advance(TTL + GRACE - 1)
        assert await master.running.expiry.run_once() == 0
        assert await used(master) == 30


@pytest.mark.parametrize("shown_by", ["a newer epoch", "a later end", "a renewal", "a PBX that is new"])
async def test_the_master_finds_out_by_itself(database_url: str, clock: Clock, back_up: BackUp, shown_by: str) -> None:
    async with (
        an_older_backup(database_url, clock, back_up) as (backup, berlin, bonn, ulm),
        restored(backup, clock, said=False) as master,
    ):
        assert not (await status_of(master)).HasField("learning")
        if shown_by == "a renewal":
            berlin.wire = master.wire
            assert berlin.signed is not None
            terms = lease_pb2.LeaseTerms.FromString(berlin.signed.payload)
            request = lease_pb2.RenewLeaseRequest(pbx=berlin.name, epoch=berlin.epoch, end_time=terms.end_time)
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await master.wire.leases.RenewLease(request)
            assert seen(failed.value).reason == "LEASE_UNPROVEN"
        await (ulm if shown_by == "a PBX that is new" else berlin).return_to(master)
        learning = (await status_of(master)).learning
        assert learning.why.startswith("ulm: it shows" if shown_by == "a PBX that is new" else "berlin: it shows")
        bonn.wire = master.wire
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await bonn.renew()
        assert seen(failed.value).reason == "LEASE_UNPROVEN"
        (began,) = await events(master, "learning.began")
        assert began.caller == "master:learning"


async def test_many_find_it_out_at_once(database_url: str, clock: Clock, back_up: BackUp) -> None:
    async with (
        an_older_backup(database_url, clock, back_up) as (backup, berlin, bonn, ulm),
        restored(backup, clock, said=False) as master,
    ):
        await asyncio.gather(*(site.return_to(master) for site in (berlin, bonn, ulm)))
        for site, ports in ((berlin, 30), (bonn, 50), (ulm, 20)):
            granted((await site.sync(*seats("port", ports))).results)
        assert len(await events(master, "learning.began")) == 1
    await right(backup)


async def test_a_database_that_knows_all_learns_nothing(database_url: str, clock: Clock) -> None:
    async with serving(database_url, clock) as master:
        await pool_of_100(master)
        site = await Site(master, "berlin").start(5)
        clock.advance(5)
        await site.return_to(master)
        assert not (await status_of(master)).HasField("learning")
        granted(await site.acquire(*seats("port", 6)))


async def test_a_lease_that_lasts_longer_extends_learning(database_url: str, clock: Clock, back_up: BackUp) -> None:
    async with serving(database_url, clock) as master:
        await pool_of_100(master)
    backup = await back_up(database_url)
    async with serving(database_url, clock) as master:
        await master.wire.apply(project({"PBX-Port12": 100}, pbxs=ESTATE, ttl_seconds=TTL, grace_seconds=10 * GRACE))
        site = await Site(master, "berlin").start(5)
    async with restored(backup, clock) as master:
        before = (await status_of(master)).learning.end_time.seconds
        await site.return_to(master)
        after = (await status_of(master)).learning.end_time.seconds
        assert after >= clock.now + 10 * GRACE > before
        assert len(await events(master, "learning.extended")) == 1
        granted((await site.sync(*seats("port", 5))).results)


async def test_an_operator_ends_it_early_and_is_told_the_risk(database_url: str, clock: Clock, back_up: BackUp) -> None:
    async with (
        an_older_backup(database_url, clock, back_up) as (backup, berlin, bonn, _),
        restored(backup, clock) as master,
    ):
        await bonn.return_to(master)
        granted((await bonn.sync(*seats("port", 50))).results)
        request = project_pb2.EndLearningRequest(
            project=f"projects/{PROJECT}", reason="berlin is shut", request_id="end-1"
        )
        ended = await master.wire.projects.EndLearning(request)
        assert (ended.pbxs_silent, ended.seats_at_risk) == (1, 60)
        assert await master.wire.projects.EndLearning(request) == ended
        (event,) = await events(master, "learning.ended")
        assert event.reason == "berlin is shut"
        granted(await bonn.acquire(*seats("port", 100)))
        request.request_id = "end-2"
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await master.wire.projects.EndLearning(request)
        assert seen(failed.value).reason == "NOT_LEARNING"
        berlin.wire = master.wire
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await berlin.renew()
        assert seen(failed.value).reason == "LEASE_UNPROVEN"
        await berlin.return_to(master)
        assert refused(await berlin.acquire(*seats("port", 1)))[0].reason == seat_pb2.REFUSAL_REASON_POOL_EXHAUSTED


async def test_a_backup_made_while_learning_is_learned_from_anew(
    database_url: str, clock: Clock, back_up: BackUp
) -> None:
    async with an_older_backup(database_url, clock, back_up) as (backup, berlin, _, _):
        async with restored(backup, clock) as master:
            await berlin.return_to(master)
            granted((await berlin.sync(*seats("port", 30))).results)
            berlin.signed = (await berlin.renew()).lease.signed
        again = await back_up(backup)
        clock.advance(20)
        async with serving(backup, clock) as master:
            berlin.wire = master.wire
            berlin.signed = (await berlin.renew()).lease.signed
        async with restored(again, clock, said=False) as master:
            await berlin.return_to(master)
            assert len(await events(master, "learning.began")) == 2
            granted((await berlin.sync(*seats("port", 30))).results)


async def test_a_watcher_is_told_to_open_its_lease_anew(database_url: str, clock: Clock, back_up: BackUp) -> None:
    async with (
        an_older_backup(database_url, clock, back_up) as (backup, berlin, bonn, _),
        restored(backup, clock, said=False) as master,
    ):
        request = lease_pb2.WatchLeaseRequest(pbx=bonn.name, epoch=bonn.epoch)
        stream = master.wire.leases.WatchLease(request)
        await stream.read()
        await berlin.return_to(master)
        async with asyncio.timeout(HANG_SECONDS):
            answer = await stream.read()
        assert isinstance(answer, lease_pb2.WatchLeaseResponse)
        assert [notice.kind for notice in answer.notices] == [lease_pb2.NOTICE_KIND_UNPROVEN]


async def test_nothing_is_taken_away_that_may_be_in_use(database_url: str, clock: Clock, back_up: BackUp) -> None:
    async with (
        an_older_backup(database_url, clock, back_up) as (backup, berlin, _, _),
        restored(backup, clock) as master,
    ):
        fewer = project({"PBX-Port12": 99}, pbxs=ESTATE, ttl_seconds=TTL, grace_seconds=GRACE)
        with pytest.raises(grpc.aio.AioRpcError, match="99 are too few while the master learns"):
            await master.wire.apply(fewer)
        without_ulm = {name: what for name, what in ESTATE.items() if name != "ulm"}
        smaller = project({"PBX-Port12": 100}, pbxs=without_ulm, ttl_seconds=TTL, grace_seconds=GRACE)
        with pytest.raises(grpc.aio.AioRpcError, match="ulm cannot be removed while the master learns"):
            await master.wire.apply(smaller)
        await master.wire.apply(project({"PBX-Port12": 101}, pbxs=ESTATE, ttl_seconds=TTL, grace_seconds=GRACE))
        await berlin.return_to(master)
        granted((await berlin.sync(*seats("port", 30))).results)
        clock.advance(TTL + GRACE + ALLOWANCE)
        await master.running.learning.run_once()
        await master.wire.apply(fewer)


async def test_a_release_is_complete_only_when_it_is_known_who_uses_the_license(
    database_url: str, clock: Clock, tmp_path: Path, back_up: BackUp
) -> None:
    async with serving(database_url, clock) as master:
        await pool_of_100(master)
        await imported(master.wire, Vendor(), {"more": ("PBX-Port12", 10)}, now=clock.now)
        key = await enrolled(master.wire, tmp_path, "hq-box")
        moved(await bind(master.wire, "hq-box", "more"))
    async with restored(database_url, clock) as master:
        asked = moved(await release(master.wire, "more"))
        await certify(master.wire, key, asked.release.request)
        assert (await listed(master.wire))["more"].device == "hq-box"
        clock.advance(TTL + GRACE + ALLOWANCE)
        await master.running.learning.run_once()
        assert await master.running.releases.run_once() == 1
        assert (await listed(master.wire))["more"].device == ""
