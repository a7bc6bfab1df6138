"""After a restore the master learns: proofs of what is out, nothing beyond them, and its end."""

from __future__ import annotations

import asyncio
import json
import re
from decimal import Decimal
from pathlib import Path

import grpc
import pytest
from structlog.testing import capture_logs

from licensemaster.daemon.settings import load
from licensemaster.v1 import agreement_order_pb2 as orders
from licensemaster.v1 import lease_pb2, project_pb2, seat_pb2, status_pb2
from master.catalogs import load_catalogs
from master.domain.estate.estate import Estate
from master.service.batch.answers import DatabaseOutdatedError
from master.service.estates.estate_cache import EstateCache, read_estate
from master.settings import Settings
from master.store.backends.database import Tx
from master.store.backends.opening import open_database
from tests.rpc.failures import failure
from tests.rules.asking import status
from tests.rules.seats.test_refusals import MESSAGES
from tests.service.leases.restored import (
    ALLOWANCE,
    ESTATE,
    GRACE,
    LEARNING,
    TTL,
    OlderBackup,
    Site,
    pool_of_100,
    restored,
    right,
    serving,
    used,
)
from tests.support.databases.restoring import BackUp
from tests.support.databases.truth import all_events
from tests.support.limits import HANG_SECONDS
from tests.support.masters import PROJECT, Clock, InProcess
from tests.support.pbxs.pbx import granted, opened, refused, seats
from tests.support.projects.agreements import AgreementOrders
from tests.support.projects.estates import project
from tests.support.projects.signed_documents import Vendor, bind, certify, enrolled, imported, listed, moved, release

MOMENT = r"[0-9]{4}-[0-9-]+ [0-9:]+"


async def test_sites_go_on_with_what_they_prove_and_nothing_more_is_granted(
    older: OlderBackup, learning: InProcess
) -> None:
    assert await used(learning) == 0
    for site, ports in ((older.berlin, 30), (older.ulm, 20), (older.bonn, 50)):
        await site.return_to(learning)
        granted((await site.sync(*seats("port", ports))).results)
        await right(older.url)
    assert await used(learning) == 100
    more = refused(await older.berlin.acquire(*seats("port", 1, "more")))
    assert (more[0].reason, more[0].remedy.action) == (LEARNING, seat_pb2.REMEDY_ACTION_WAIT)
    assert re.sub(MOMENT, "", more[0].message) == re.sub(MOMENT, "", MESSAGES["LEARNING"])
    told = (await status(learning.wire)).learning
    assert (told.pbxs_silent, told.seats_known, told.seats_proven, told.seats_unplaced) == (0, 100, 100, 0)
    assert told.why == "restored from a backup"


async def test_what_was_given_up_since_the_signing_is_not_proven_again(older: OlderBackup, learning: InProcess) -> None:
    await older.berlin.return_to(learning, older.berlin.proof(in_use=5))
    granted(await older.berlin.acquire(*seats("port", 5)))
    assert refused(await older.berlin.acquire(*seats("port", 1, "sixth")))[0].reason == LEARNING
    await older.berlin.give_back(*seats("port", 5))
    granted(await older.berlin.acquire(*seats("port", 5, "others")))


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
    older: OlderBackup, learning: InProcess, clock: Clock
) -> None:
    blank = await opened(learning.wire, "berlin")
    assert refused(await blank.acquire(*seats("port", 1)))[0].reason == LEARNING
    request = status_pb2.ExplainSeatsRequest(pbx=blank.name, seats=seats("port", 1))
    explained = await learning.wire.status.ExplainSeats(request)
    assert refused(explained.results)[0].reason == LEARNING
    clock.advance(TTL + GRACE + ALLOWANCE)
    await learning.running.learnings.end_what_is_over()
    await blank.open()
    granted(await blank.acquire(*seats("port", 100)))
    assert not (await status(learning.wire)).HasField("learning")
    (ended,) = await all_events(learning.wire, "learning.ended")
    assert json.loads(ended.details)["early"] is False


async def test_leases_from_before_are_to_be_opened_anew_and_seats_are_kept_meanwhile(
    older: OlderBackup, learning: InProcess
) -> None:
    older.berlin.wire = older.ulm.wire = learning.wire
    for call, reason in (
        (older.berlin.renew, "LEASE_UNPROVEN"),
        (lambda: older.berlin.acquire(*seats("port", 1)), "LEASE_UNPROVEN"),
        (older.ulm.renew, "LEASE_NOT_OPEN"),
    ):
        assert (await failure(call())).reason == reason


async def test_expiry_takes_nothing_back_while_learning(older: OlderBackup, learning: InProcess, clock: Clock) -> None:
    await older.berlin.return_to(learning)
    granted((await older.berlin.sync(*seats("port", 30))).results)
    clock.advance(TTL + GRACE - 1)
    assert await learning.running.expiry.run_once() == 0
    assert await used(learning) == 30


@pytest.mark.parametrize("shown_by", ["a newer epoch", "a later end", "a renewal", "a PBX that is new"])
async def test_the_master_finds_out_by_itself(older: OlderBackup, clock: Clock, shown_by: str) -> None:
    async with restored(older.url, clock, said=False) as master:
        assert not (await status(master.wire)).HasField("learning")
        if shown_by == "a renewal":
            older.berlin.wire = master.wire
            assert older.berlin.signed is not None
            terms = lease_pb2.LeaseTerms.FromString(older.berlin.signed.payload)
            request = lease_pb2.RenewLeaseRequest(
                pbx=older.berlin.name, epoch=older.berlin.epoch, end_time=terms.end_time
            )
            assert (await failure(master.wire.leases.RenewLease(request))).reason == "LEASE_UNPROVEN"
        await (older.ulm if shown_by == "a PBX that is new" else older.berlin).return_to(master)
        learning = (await status(master.wire)).learning
        assert learning.why.startswith("ulm: it shows" if shown_by == "a PBX that is new" else "berlin: it shows")
        older.bonn.wire = master.wire
        assert (await failure(older.bonn.renew())).reason == "LEASE_UNPROVEN"
        (began,) = await all_events(master.wire, "learning.began")
        assert began.caller == "master:learning"


async def test_many_find_it_out_at_once(older: OlderBackup, clock: Clock) -> None:
    async with restored(older.url, clock, said=False) as master:
        await asyncio.gather(*(site.return_to(master) for site in (older.berlin, older.bonn, older.ulm)))
        for site, ports in ((older.berlin, 30), (older.bonn, 50), (older.ulm, 20)):
            granted((await site.sync(*seats("port", ports))).results)
        assert len(await all_events(master.wire, "learning.began")) == 1
        assert not await all_events(master.wire, "pool.overdraft_ended"), "nothing was overdrawn"
    await right(older.url)


async def test_a_database_that_knows_all_learns_nothing(database_url: str, clock: Clock) -> None:
    async with serving(database_url, clock) as master:
        await pool_of_100(master)
        site = await Site(master, "berlin").start(5)
        clock.advance(5)
        await site.return_to(master)
        assert not (await status(master.wire)).HasField("learning")
        granted(await site.acquire(*seats("port", 6)))


async def test_a_lease_that_lasts_longer_extends_learning(database_url: str, clock: Clock, back_up: BackUp) -> None:
    async with serving(database_url, clock) as master:
        await pool_of_100(master)
    backup = await back_up(database_url)
    async with serving(database_url, clock) as master:
        await master.wire.apply(project({"PBX-Port12": 100}, pbxs=ESTATE, ttl_seconds=TTL, grace_seconds=10 * GRACE))
        site = await Site(master, "berlin").start(5)
    async with restored(backup, clock) as master:
        before = (await status(master.wire)).learning.end_time.seconds
        await site.return_to(master)
        after = (await status(master.wire)).learning.end_time.seconds
        assert after >= clock.now + 10 * GRACE > before
        assert len(await all_events(master.wire, "learning.extended")) == 1
        granted((await site.sync(*seats("port", 5))).results)


async def test_an_operator_ends_it_early_and_is_told_the_risk(older: OlderBackup, learning: InProcess) -> None:
    await older.bonn.return_to(learning)
    granted((await older.bonn.sync(*seats("port", 50))).results)
    request = project_pb2.EndLearningRequest(project=f"projects/{PROJECT}", reason="berlin is shut", request_id="end-1")
    ended = await learning.wire.projects.EndLearning(request)
    assert (ended.pbxs_silent, ended.seats_at_risk) == (1, 60)
    assert await learning.wire.projects.EndLearning(request) == ended
    (event,) = await all_events(learning.wire, "learning.ended")
    assert event.reason == "berlin is shut"
    granted(await older.bonn.acquire(*seats("port", 100)))
    request.request_id = "end-2"
    assert (await failure(learning.wire.projects.EndLearning(request))).reason == "NOT_LEARNING"
    older.berlin.wire = learning.wire
    assert (await failure(older.berlin.renew())).reason == "LEASE_UNPROVEN"
    await older.berlin.return_to(learning)
    assert refused(await older.berlin.acquire(*seats("port", 1)))[0].reason == seat_pb2.REFUSAL_REASON_POOL_EXHAUSTED


async def test_a_backup_made_while_learning_is_learned_from_anew(
    older: OlderBackup, clock: Clock, back_up: BackUp
) -> None:
    berlin = older.berlin
    async with restored(older.url, clock) as master:
        await berlin.return_to(master)
        granted((await berlin.sync(*seats("port", 30))).results)
        berlin.signed = (await berlin.renew()).lease.signed
    again = await back_up(older.url)
    clock.advance(20)
    async with serving(older.url, clock) as master:
        berlin.wire = master.wire
        berlin.signed = (await berlin.renew()).lease.signed
    async with restored(again, clock, said=False) as master:
        await berlin.return_to(master)
        assert len(await all_events(master.wire, "learning.began")) == 2
        granted((await berlin.sync(*seats("port", 30))).results)


async def test_a_watcher_is_told_to_open_its_lease_anew(older: OlderBackup, clock: Clock) -> None:
    async with restored(older.url, clock, said=False) as master:
        request = lease_pb2.WatchLeaseRequest(pbx=older.bonn.name, epoch=older.bonn.epoch)
        stream = master.wire.leases.WatchLease(request)
        await stream.read()
        await older.berlin.return_to(master)
        async with asyncio.timeout(HANG_SECONDS):
            answer = await stream.read()
        assert isinstance(answer, lease_pb2.WatchLeaseResponse)
        assert [notice.kind for notice in answer.notices] == [lease_pb2.NOTICE_KIND_UNPROVEN]


@pytest.mark.parametrize("gives_up", [1, 2])
async def test_what_a_pbx_has_shown_is_learned_and_told_though_it_has_gone(
    older: OlderBackup, clock: Clock, gives_up: int
) -> None:
    """However often it gives up: its call may have ended, and its connection then."""
    async with restored(older.url, clock, said=False) as master:
        request = lease_pb2.WatchLeaseRequest(pbx=older.bonn.name, epoch=older.bonn.epoch)
        stream = master.wire.leases.WatchLease(request)
        await stream.read()
        until = clock.now + TTL + GRACE
        shown = DatabaseOutdatedError(PROJECT, "berlin: it shows", number=1, until=until, is_news=True, learning=None)
        with capture_logs() as lines:
            learns = asyncio.create_task(master.running.learnings.learn_from(shown))
            for _ in range(gives_up):
                await asyncio.sleep(0)
                learns.cancel()
            async with asyncio.timeout(HANG_SECONDS):
                answer = await stream.read()
            await asyncio.wait([learns])
        assert isinstance(answer, lease_pb2.WatchLeaseResponse)
        assert [notice.kind for notice in answer.notices] == [lease_pb2.NOTICE_KIND_UNPROVEN]
        assert learns.cancelled()
        assert [line["why"] for line in lines if line["event"] == "learning"] == ["berlin: it shows"]
        for site in (older.ulm, older.berlin):
            await site.return_to(master)
        assert len(await all_events(master.wire, "learning.began")) == 1
    await right(older.url)


async def test_nothing_is_taken_away_that_may_be_in_use(older: OlderBackup, learning: InProcess, clock: Clock) -> None:
    fewer = project({"PBX-Port12": 99}, pbxs=ESTATE, ttl_seconds=TTL, grace_seconds=GRACE)
    with pytest.raises(grpc.aio.AioRpcError, match="99 are too few while the master learns"):
        await learning.wire.apply(fewer)
    without_ulm = {name: what for name, what in ESTATE.items() if name != "ulm"}
    smaller = project({"PBX-Port12": 100}, pbxs=without_ulm, ttl_seconds=TTL, grace_seconds=GRACE)
    with pytest.raises(grpc.aio.AioRpcError, match="ulm cannot be removed while the master learns"):
        await learning.wire.apply(smaller)
    await learning.wire.apply(project({"PBX-Port12": 101}, pbxs=ESTATE, ttl_seconds=TTL, grace_seconds=GRACE))
    await older.berlin.return_to(learning)
    granted((await older.berlin.sync(*seats("port", 30))).results)
    clock.advance(TTL + GRACE + ALLOWANCE)
    await learning.running.learnings.end_what_is_over()
    await learning.wire.apply(fewer)


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
        await master.running.learnings.end_what_is_over()
        assert await master.running.licenses.complete_releases() == 1
        assert (await listed(master.wire))["more"].device == ""


async def test_a_master_that_served_what_was_lost_reads_what_was_restored(
    postgresql_database_url: str, clock: Clock
) -> None:
    """It knows a later revision and ledger, whose numbers are given anew: masters may serve on where a server is set
    back."""
    settings = load(Settings, None, database_url=postgresql_database_url)
    database, estates = open_database(postgresql_database_url), EstateCache(load_catalogs(settings), settings.pace)

    def known(tx: Tx) -> tuple[Estate, Decimal]:
        estate = read_estate(tx, estates, "acme")
        return estate, estates.ledgers.state(tx, estate.project_id).balance

    try:
        async with serving(postgresql_database_url, clock) as master:
            await master.wire.apply(project({"PBX-Port12": 5}))
            await AgreementOrders(master).place(orders.AddCredits(amount="1000"))
        lost, credits_lost = await database.read(known)
        await database.transact(lambda tx: tx.rows("DELETE FROM agreement_entry"))
        await database.transact(lambda tx: tx.rows("UPDATE project SET revision = revision - 1"))
        async with restored(postgresql_database_url, clock) as master:
            await AgreementOrders(master).place(orders.AddCredits(amount="10"))
            estate, credits = await database.read(known)
        assert (estate.revision, lost.learning) == (lost.revision, None)
        assert estate.learning is not None
        assert (credits_lost, credits) == (Decimal(1000), Decimal(10))
    finally:
        await database.close()
