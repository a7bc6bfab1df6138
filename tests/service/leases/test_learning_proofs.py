"""What a restored master believes of a proof, and what it does not."""

from __future__ import annotations

from collections.abc import Callable

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from licensemaster.signing import documents
from licensemaster.v1 import document_pb2, lease_pb2
from tests.rpc.failures import failure
from tests.rules.asking import status
from tests.service.leases.restored import (
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
from tests.support.masters import PROJECT, Clock, InProcess
from tests.support.pbxs.pbx import granted, refused, seats
from tests.support.projects.estates import project


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
    older: OlderBackup, learning: InProcess, forge: Callable[..., document_pb2.SignedDocument]
) -> None:
    assert older.berlin.signed is not None
    failed = await failure(older.berlin.return_to(learning, lease_pb2.LeaseProof(signed=forge(older.berlin.signed))))
    assert failed.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "proof.signed" in failed.message
    assert await all_events(learning.wire, "lease.proven") == []


async def test_another_pbxs_proof_is_refused(older: OlderBackup, learning: InProcess) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match="is the lease of"):
        await older.berlin.return_to(learning, older.bonn.proof())


async def test_proofs_that_prove_nothing_here(older: OlderBackup, learning: InProcess, clock: Clock) -> None:
    assert older.berlin.signed is not None
    holding = lease_pb2.Holding(license_type="port", seats=30)
    await older.berlin.return_to(learning, lease_pb2.LeaseProof(signed=foreign(older.berlin.signed), in_use=[holding]))
    assert refused(await older.berlin.acquire(*seats("port", 1)))[0].reason == LEARNING
    clock.advance(TTL + GRACE)  # it has ended, though learning goes on a little
    await older.bonn.return_to(learning)
    assert refused(await older.bonn.acquire(*seats("port", 1)))[0].reason == LEARNING
    assert await all_events(learning.wire, "lease.proven") == []


async def test_a_proof_shown_again_gives_nothing_more(older: OlderBackup, learning: InProcess) -> None:
    old = older.berlin.proof(in_use=30)
    await older.berlin.return_to(learning, older.berlin.proof(in_use=3))
    granted((await older.berlin.sync(*seats("port", 3))).results)
    await older.berlin.return_to(learning, old)
    assert refused(await older.berlin.acquire(*seats("port", 1, "more")))[0].reason == LEARNING
    assert await used(learning) == 3


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
        learning = (await status(master.wire)).learning
        assert (learning.seats_proven, learning.seats_unplaced) == (100, 40)
        page = await master.running.status.overview(PROJECT)
        assert page.learning is not None
        assert page.learning.seats_unplaced == 40
    await right(backup)
