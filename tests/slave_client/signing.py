"""A key pair and genuine leases for tests of what a client does with them."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.protobuf.timestamp_pb2 import Timestamp

from licensemaster.signing import documents
from licensemaster.v1 import document_pb2, lease_pb2

PBX = "projects/acme/pbxs/berlin"
ISSUED = 1_000_000
ENDS = 1_000_600


class Signer:
    """Signs leases as a master does."""

    def __init__(self) -> None:
        self._private = Ed25519PrivateKey.generate()
        self.public_key = self._private.public_key().public_bytes_raw()

    def sign(
        self, *, pbx: str = PBX, epoch: int = 3, issued: int = ISSUED, ends: int = ENDS
    ) -> document_pb2.SignedDocument:
        terms = lease_pb2.LeaseTerms(
            pbx=pbx,
            epoch=epoch,
            issue_time=Timestamp(seconds=issued),
            end_time=Timestamp(seconds=ends),
            ttl_seconds=60,
            grace_seconds=540,
        )
        return documents.sign(document_pb2.DOCUMENT_KIND_LEASE, terms, self._private)
