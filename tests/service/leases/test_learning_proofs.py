"""What a restored master believes of a proof, and what it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from licensemaster.signing import documents
from licensemaster.v1 import document_pb2, lease_pb2
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


def changed(signed: document_pb2.SignedDocument, **fields: bytes) -> document_pb2.SignedDocument:
    copy = document_pb2.SignedDocument()
    copy.CopyFrom(signed)
    copy.MergeFrom(document_pb2.SignedDocument(**fields))  # type: ignore[arg-type]
    return copy


def altered(signed: document_pb2.SignedDocument) -> document_pb2.SignedDocument:
    terms = lease_pb2.LeaseTerms.FromString(signed.payload)
    terms.holdings[0].seats = 100
    return changed(signed, payload=terms.SerializeToString())


def foreign(signed: document_pb2.SignedDocument) -> document_pb2.SignedDocument:
    """Signed by another master's key, under its own name."""
    return documents.sealed(signed.kind, signed.payload, Ed25519PrivateKey.generate())


def masked(signed: document_pb2.SignedDocument) -> document_pb2.SignedDocument:
    """Signed by another key, under the name of this master's."""
    return changed(signed, signature=foreign(signed).signature)


@pytest.mark.parametrize("forge", [altered, masked])
async def test_a_forged_proof_is_refused(
    database_url: str, clock: Clock, back_up: BackUp, forge: Callable[..., document_pb2.SignedDocument]
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
        learning = (await status_of(master)).learning
        assert (learning.seats_proven, learning.seats_unplaced) == (100, 40)
        page = await master.running.status.overview(PROJECT)
        assert page.learning is not None
        assert page.learning.seats_unplaced == 40
    await right(backup)
