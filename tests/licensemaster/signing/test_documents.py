"""One envelope for everything signed: no kind passes for another, and nothing of it is altered unnoticed."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from google.protobuf.message import DecodeError, Message

from licensemaster.signing import documents
from licensemaster.signing.documents import DocumentError, Kind
from licensemaster.v1 import document_pb2, lease_pb2, loan_pb2

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = documents.public_key_of(KEY)
PAYLOADS: dict[Kind, type[Message]] = {
    document_pb2.DOCUMENT_KIND_LICENSE_FILE: document_pb2.LicenseFile,
    document_pb2.DOCUMENT_KIND_VENDOR_KEY: document_pb2.VendorKey,
    document_pb2.DOCUMENT_KIND_ENROLLMENT: document_pb2.Enrollment,
    document_pb2.DOCUMENT_KIND_ENROLLMENT_ANSWER: document_pb2.EnrollmentAnswer,
    document_pb2.DOCUMENT_KIND_BINDING: document_pb2.Binding,
    document_pb2.DOCUMENT_KIND_RELEASE_REQUEST: document_pb2.ReleaseRequest,
    document_pb2.DOCUMENT_KIND_SECURITY_CERTIFICATE: document_pb2.SecurityCertificate,
    document_pb2.DOCUMENT_KIND_LEASE: lease_pb2.LeaseTerms,
    document_pb2.DOCUMENT_KIND_STANDBY_LEASE: lease_pb2.StandbyLeaseTerms,
    document_pb2.DOCUMENT_KIND_LOAN: loan_pb2.LoanTerms,
}
CHECKPOINT = document_pb2.DOCUMENT_KIND_AUDIT_CHECKPOINT
KINDS = [*PAYLOADS, CHECKPOINT]
PAYLOAD = b"\x0a\x02\x0a\x00"
"""A first field that is a text and a message alike: each of the messages can be read from it."""


def _readable(kind: Kind, document: document_pb2.SignedDocument) -> bool:
    """Whether a receiver that expects a kind believes a document."""
    try:
        documents.verified(document, kind=kind, public_key=PUBLIC, payload=PAYLOADS.get(kind, document_pb2.Binding))
    except DocumentError:
        return False
    return True


def test_every_kind_is_in_this_table() -> None:
    assert set(KINDS) == set(document_pb2.DocumentKind.values()) - {document_pb2.DOCUMENT_KIND_UNSPECIFIED}


@pytest.mark.parametrize("kind", KINDS, ids=document_pb2.DocumentKind.Name)
def test_what_is_signed(kind: Kind) -> None:
    """By the format that document.proto describes, and by nothing of this code."""
    document = documents.sealed(kind, PAYLOAD, KEY)
    name = document_pb2.DocumentKind.Name(kind).encode()
    Ed25519PublicKey.from_public_bytes(PUBLIC).verify(
        document.signature, b"license-master v1 " + name + b"\0" + document.payload
    )


@pytest.mark.parametrize("expected", KINDS, ids=document_pb2.DocumentKind.Name)
@pytest.mark.parametrize("kind", document_pb2.DocumentKind.values(), ids=document_pb2.DocumentKind.Name)
def test_no_kind_passes_for_another(kind: Kind, expected: Kind) -> None:
    document = documents.sealed(kind, PAYLOAD, KEY)
    assert _readable(expected, document) == (kind == expected)
    document.kind = expected
    assert _readable(expected, document) == (kind == expected)
    signed = documents.is_signed(expected, PAYLOAD, signature=document.signature, public_key=PUBLIC)
    assert signed == (kind == expected)


@pytest.mark.parametrize("kind", PAYLOADS, ids=document_pb2.DocumentKind.Name)
def test_a_bit_that_is_flipped_anywhere_is_noticed_or_changes_nothing(kind: Kind) -> None:
    genuine = documents.sealed(kind, PAYLOAD, KEY)
    wire = genuine.SerializeToString()
    believed = 0
    for bit in range(8 * len(wire)):
        flipped = bytearray(wire)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            document = document_pb2.SignedDocument.FromString(bytes(flipped))
        except DecodeError:
            continue
        if _readable(kind, document):
            believed += 1
            assert (document.kind, document.payload) == (genuine.kind, genuine.payload)
            assert document.signature == genuine.signature
    assert believed > 0  # in the key's id, which is not signed


@pytest.mark.parametrize("kind", PAYLOADS, ids=document_pb2.DocumentKind.Name)
def test_unknown_fields_beside_what_is_signed_change_nothing(kind: Kind) -> None:
    genuine = documents.sealed(kind, PAYLOAD, KEY)
    document = document_pb2.SignedDocument.FromString(genuine.SerializeToString() + b"\xfa\x3e\x01x")
    assert _readable(kind, document)
    assert document.payload == genuine.payload


@pytest.mark.parametrize("kind", PAYLOADS, ids=document_pb2.DocumentKind.Name)
def test_another_key_has_not_signed_it(kind: Kind) -> None:
    other = documents.sealed(kind, PAYLOAD, Ed25519PrivateKey.generate())
    other.key_id = documents.key_id_of(PUBLIC)
    assert not _readable(kind, other)


@pytest.mark.parametrize("kind", PAYLOADS, ids=document_pb2.DocumentKind.Name)
def test_how_long_a_payload_may_be(kind: Kind) -> None:
    large = {
        document_pb2.DOCUMENT_KIND_LICENSE_FILE,
        document_pb2.DOCUMENT_KIND_LEASE,
        document_pb2.DOCUMENT_KIND_STANDBY_LEASE,
    }
    most = 1_048_576 if kind in large else 16_384
    for length, readable in ((most, True), (most + 1, False)):
        size = length - 5  # of an unknown field
        field = b"\xfa\x3e" + bytes([size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14]) + bytes(size)
        assert _readable(kind, documents.sealed(kind, field, KEY)) == readable
