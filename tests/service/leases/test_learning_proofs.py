"""What a restored master believes of a proof, and what it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest

from licensemaster.v1 import lease_pb2
from master.signing import Signer
from tests.service.leases.restored import (
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
from tests.support.masters import PROJECT, Clock
from tests.support.pbxs.pbx import granted, refused, seats
from tests.support.projects.estates import project

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.databases.restoring import BackUp


def altered(signed: lease_pb2.SignedLease) -> lease_pb2.SignedLease:
    terms = lease_pb2.LeaseTerms.FromString(signed.terms)
    terms.holdings[0].seats = 100
    return lease_pb2.SignedLease(terms=terms.SerializeToString(), signature=signed.signature, key_id=signed.key_id)


def foreign(signed: lease_pb2.SignedLease) -> lease_pb2.SignedLease:
    """Signed by another master's key, under its own name."""
    other = Signer(*Signer.fresh())
    return lease_pb2.SignedLease(terms=signed.terms, signature=other.sign(signed.terms), key_id=other.key_id)


def masked(signed: lease_pb2.SignedLease) -> lease_pb2.SignedLease:
    """Signed by another key, under the name of this master's."""
    other = Signer(*Signer.fresh())
    return lease_pb2.SignedLease(terms=signed.terms, signature=other.sign(signed.terms), key_id=signed.key_id)


@pytest.mark.parametrize("forge", [altered, masked])
async def test_a_forged_proof_is_refused(
    database_url: str, clock: Clock, back_up: BackUp, forge: Callable[..., lease_pb2.SignedLease]
) -> None:
    async with (
        an_older_backup(database_url, clock, back_up) as (backup, berlin, _, _),
        restored(backup, clock) as master,
    ):
        assert berlin.signed is not None
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await berlin.return_to(master, lease_pb2.LeaseProof(signed=forge(berlin.signed)))
        assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "proof.signed" in str(failed.value.details())
        assert await events(master, "lease.proven") == []


async def test_another_pbxs_proof_is_refused(database_url: str, clock: Clock, back_up: BackUp) -> None:
    async with (
        an_older_backup(database_url, clock, back_up) as (backup, berlin, bonn, _),
        restored(backup, clock) as master,
    ):
        with pytest.raises(grpc.aio.AioRpcError, match="is the lease of"):
            await berlin.return_to(master, bonn.proof())


async def test_proofs_that_prove_nothing_here(database_url: str, clock: Clock, back_up: BackUp) -> None:
    async with (
        an_older_backup(database_url, clock, back_up) as (backup, berlin, bonn, _),
        restored(backup, clock) as master,
    ):
        assert berlin.signed is not None
        holding = lease_pb2.Holding(license_type="port", seats=30)
        await berlin.return_to(master, lease_pb2.LeaseProof(signed=foreign(berlin.signed), in_use=[holding]))
        assert refused(await berlin.acquire(*seats("port", 1)))[0].reason == LEARNING
        clock.advance(TTL + GRACE)  # it has ended, though learning goes on a little
        await bonn.return_to(master)
        assert refused(await bonn.acquire(*seats("port", 1)))[0].reason == LEARNING
        assert await events(master, "lease.proven") == []


async def test_a_proof_shown_again_gives_nothing_more(database_url: str, clock: Clock, back_up: BackUp) -> None:
    async with (
        an_older_backup(database_url, clock, back_up) as (backup, berlin, _, _),
        restored(backup, clock) as master,
    ):
        old = berlin.proof(in_use=30)
        await berlin.return_to(master, berlin.proof(in_use=3))
        granted((await berlin.sync(*seats("port", 3))).results)
        await berlin.return_to(master, old)
        assert refused(await berlin.acquire(*seats("port", 1, "more")))[0].reason == LEARNING
        assert await used(master) == 3


async def test_proofs_beyond_what_is_installed_are_refused_and_told(
    database_url: str, clock: Clock, back_up: BackUp
) -> None:
    async with serving(database_url, clock) as master:
        await pool_of_100(master)
    backup = await back_up(database_url)
    async with serving(database_url, clock) as master:
        await master.wire.apply(project({"PBX-Port12": 150}, pbxs=ESTATE, ttl_seconds=TTL, grace_seconds=GRACE))
        berlin, bonn = await Site(master, "berlin").start(90), await Site(master, "bonn").start(50)
    async with restored(backup, clock) as master:
        await berlin.return_to(master)
        granted((await berlin.sync(*seats("port", 90))).results)
        await bonn.return_to(master)
        results = (await bonn.sync(*seats("port", 50))).results
        assert sum(result.HasField("granted") for result in results) == 10
        told = (await status_of(master)).learning
        assert (told.seats_proven, told.seats_unplaced) == (100, 40)
        page = await master.running.status.overview(PROJECT)
        assert page.learning is not None
        assert page.learning.seats_unplaced == 40
    await right(backup)
