"""Signed documents: how they are signed, verified, and written as files.

Everything that is signed with Ed25519 here is signed and verified by this module, in one way (document.proto).

Decides: whether a document is genuine. The signature is checked before the payload is read, and the kind is part of
what is signed, so that no document passes for one of another kind. Pure: bytes and keys come in as arguments. Leaves
to others: whose key it is and whether it is trusted, and what the payload means to them.
"""

from __future__ import annotations

import hashlib
import re
from itertools import islice
from typing import Final, TypeAlias, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message

from licensemaster import values
from licensemaster.elements import MalformedError, fields_of
from licensemaster.files.texts import FileError, decoded
from licensemaster.v1 import document_pb2, lease_pb2
from licensemaster.values.bounded import OverLimitError, TextLimits, check_json

PAYLOAD_BYTES_MAX: Final = 1_048_576
_SMALL_PAYLOAD_BYTES_MAX: Final = 16_384
_LARGE: Final = (document_pb2.LicenseFile, lease_pb2.LeaseTerms, lease_pb2.StandbyLeaseTerms)
ELEMENTS_MAX: Final = 20_000
"""The most fields and licenses of a payload: an empty license takes two bytes, and a hundred once it is read."""
_FILE: Final = TextLimits(size=2 * PAYLOAD_BYTES_MAX, depth=1, items=8)
_SPACES: Final = re.compile(r"[\s\u00ad\u200b-\u200f\u2060\ufeff]+")
"""White space and other invisible characters that editors insert."""
_SOFT_BREAK: Final = re.compile(r"=\n(?=[^\s\"=])")
_QUOTED: Final = re.compile(r"=22|=7B|=0A")
_ENTITY: Final = re.compile(r"&quot;|&#34;")
_TYPOGRAPHIC: Final = re.compile("[\u201c-\u201f\u00ab\u00bb]")
_REPLY: Final = re.compile(r"^[^\S\n]*+>", re.MULTILINE)  # looks at each character once
Payload = TypeVar("Payload", bound=Message)
Kind: TypeAlias = document_pb2.DocumentKind.ValueType


class DocumentError(Exception):
    """Raised for a document that must not be relied on; `reason` is a word for programs, the text says why."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def key_id_of(public_key: bytes) -> str:
    """Return the name of a public key: the first 16 hex digits of its SHA-256."""
    return hashlib.sha256(public_key).hexdigest()[:16]


def public_key_of(private_key: Ed25519PrivateKey) -> bytes:
    """Return the public half of a key, raw 32 bytes."""
    return private_key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def signed_bytes(kind: Kind, payload: bytes) -> bytes:
    """Return the bytes that a document's signature signs."""
    return b"license-master v1 " + document_pb2.DocumentKind.Name(kind).encode() + b"\0" + payload


def sign(
    kind: Kind, payload: Message, private_key: Ed25519PrivateKey, *, key_id: str = ""
) -> document_pb2.SignedDocument:
    return sealed(kind, payload.SerializeToString(deterministic=True), private_key, key_id=key_id)


def sealed(
    kind: Kind, payload: bytes, private_key: Ed25519PrivateKey, *, key_id: str = ""
) -> document_pb2.SignedDocument:
    """Return the signed document of a payload; `key_id` is the key's id, where it is known already."""
    return document_pb2.SignedDocument(
        kind=kind,
        payload=payload,
        signature=private_key.sign(signed_bytes(kind, payload)),
        key_id=key_id or key_id_of(public_key_of(private_key)),
    )


def is_signed(kind: Kind, payload: bytes, *, signature: bytes, public_key: bytes) -> bool:
    """Tell whether a raw public key has signed exactly these bytes as a document of that kind.

    Bytes that are no key, or a key that anyone can sign for, give False.
    """
    try:
        key = Ed25519PublicKey.from_public_bytes(values.public_key(public_key))
        key.verify(signature, signed_bytes(kind, payload))
    except (InvalidSignature, ValueError):
        return False
    return True


def verified(
    document: document_pb2.SignedDocument, *, kind: Kind, public_key: bytes, payload: type[Payload]
) -> Payload:
    """Return a document's payload after its kind and signature were checked.
    Raises DocumentError (WRONG_KIND, BAD_SIGNATURE or UNREADABLE)."""
    check_kind(document, kind)
    if not is_signed(kind, document.payload, signature=document.signature, public_key=public_key):
        raise DocumentError(
            "BAD_SIGNATURE",
            f"the signature is not that of key {key_id_of(public_key)}: the document is forged or altered",
        )
    return read_payload(document, payload)


def check_kind(document: document_pb2.SignedDocument, kind: Kind) -> None:
    """Check that a document claims to be of a kind, before anything else is done with it.
    Raises DocumentError (WRONG_KIND)."""
    if document.kind != kind:
        raise DocumentError("WRONG_KIND", f"this is {_words(document.kind)}, not {_words(kind)}")


def read_payload(document: document_pb2.SignedDocument, payload: type[Payload]) -> Payload:
    """Return a document's payload without checking its signature. Raises DocumentError (UNREADABLE)."""
    most = PAYLOAD_BYTES_MAX if payload in _LARGE else _SMALL_PAYLOAD_BYTES_MAX
    if len(document.payload) > most:
        raise DocumentError("UNREADABLE", f"the payload is longer than {most:,} bytes")
    try:
        counted = islice(fields_of(document.payload, 0, len(document.payload)), ELEMENTS_MAX + 1)
        if sum(1 for _ in counted) > ELEMENTS_MAX:
            raise DocumentError("UNREADABLE", f"the payload has more than {ELEMENTS_MAX:,} elements")
        return payload.FromString(document.payload)
    except (MalformedError, DecodeError) as failure:
        raise DocumentError("UNREADABLE", "the payload cannot be read") from failure


def to_text(document: document_pb2.SignedDocument) -> str:
    """Write a document as the text of a file."""
    return json_format.MessageToJson(document) + "\n"


def from_text(text: str | bytes) -> document_pb2.SignedDocument:
    """Read a document from a file's text: in any encoding with a byte order mark, or wrapped by a mail program.
    Raises DocumentError (UNREADABLE)."""
    if len(text) > _FILE.size:
        raise DocumentError("UNREADABLE", f"the file is longer than {_FILE.size:,} bytes")
    try:
        plain = text if isinstance(text, str) else decoded(text, source="the file")
        if damage := _mail_damage(plain):
            raise DocumentError("UNREADABLE", f"a mail program has damaged it ({damage}); ask for it as an attachment")
        # No value of a document has white space, and it is not signed: a mail program may have broken it anywhere.
        joined = _SPACES.sub("", plain)
        if around := _around_it(joined):
            raise DocumentError("UNREADABLE", f"this is no signed document: {around}")
        check_json(joined, _FILE)
        return json_format.Parse(joined, document_pb2.SignedDocument())
    except (FileError, OverLimitError, json_format.ParseError) as failure:
        raise DocumentError("UNREADABLE", f"this is no signed document: {failure}") from failure


def _mail_damage(text: str) -> str:
    """Return what a mail program seems to have changed in a document's text; empty where nothing is seen."""
    for sign, what in (
        (_SOFT_BREAK, "quoted-printable: lines end with '='"),
        (_QUOTED, "quoted-printable: '=22' stands for a quotation mark"),
        (_ENTITY, "HTML: '&quot;' stands for a quotation mark"),
        (_TYPOGRAPHIC, "typographic quotation marks"),
        (_REPLY, "lines begin with '>' as in a reply"),
    ):
        if sign.search(text):
            return what
    return ""


def _around_it(joined: str) -> str:
    """Return what is wrong with the beginning or end of a document's text; empty where nothing is seen."""
    if not joined:
        return "the file is empty"
    if "{" not in joined:
        return ""
    if "}" not in joined:
        return "its end is missing; ask for it as an attachment"
    if "}{" in joined:
        return "there is more than one in the file; give each a file of its own"
    if not joined.startswith("{") or not joined.endswith("}"):
        return "other text stands around it; leave what stands from { to }, with these two"
    return ""


def _words(kind: int) -> str:
    try:
        name = document_pb2.DocumentKind.Name(kind)  # type: ignore[arg-type]
    except ValueError:
        return f"a document of the unknown kind {kind}"
    words = name.removeprefix("DOCUMENT_KIND_").replace("_", " ").lower()
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
