"""Signed documents come back from editors and mail programs as they do, and are read; damage is said."""

from __future__ import annotations

import textwrap

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from licensemaster.signing import documents
from licensemaster.v1 import document_pb2
from slave_client import DocumentError

KIND = document_pb2.DOCUMENT_KIND_ENROLLMENT
DOCUMENT = documents.sign(
    KIND,
    document_pb2.Enrollment(device="projects/acme/devices/" + "x" * 60, token="t" * 61),
    Ed25519PrivateKey.generate(),
)
TEXT = documents.to_text(DOCUMENT)


def _folded(width: int) -> str:
    return "\n".join(line[at : at + width] for line in TEXT.splitlines() for at in range(0, len(line), width))


@pytest.mark.parametrize("width", [10, 72, 76, 77, 78])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r", " \r\n    "])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_wrapped_by_a_mail_program_in_any_encoding(width: int, ending: str, encoding: str) -> None:
    assert documents.from_text(_folded(width).replace("\n", ending).encode(encoding)) == DOCUMENT
    assert documents.from_text(textwrap.indent(TEXT, "\u00a0 ")) == DOCUMENT
    assert documents.from_text(f"\u200b{TEXT}\u2060\ufeff") == DOCUMENT


@pytest.mark.parametrize(
    ("damaged", "said"),
    [
        (TEXT.replace("\n", "=\nx", 1), "quoted-printable: lines end with '='"),
        (TEXT.replace('"', "=22"), "quoted-printable: '=22'"),
        (TEXT.replace('"', "&quot;"), "HTML"),
        (TEXT.replace('"', "\u201d"), "typographic quotation marks"),
        (textwrap.indent(TEXT, "> "), "as in a reply"),
    ],
)
def test_what_a_mail_program_damaged_is_said(damaged: str, said: str) -> None:
    with pytest.raises(DocumentError, match="a mail program has damaged it") as refused:
        documents.from_text(damaged)
    assert said in str(refused.value)
    assert refused.value.reason == "UNREADABLE"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "the file is empty"),
        (" \n", "the file is empty"),
        (TEXT[:99], "its end is missing"),
        (TEXT + TEXT, "more than one in the file"),
        (f"```json\n{TEXT}```\n", "other text stands around it"),
        (f"Dear customer,\n{TEXT}", "other text stands around it"),
        (f"{TEXT}-- \nBob\n", "other text stands around it"),
        (f"[{TEXT}]", "other text stands around it"),
    ],
)
def test_what_stands_around_a_document_is_said(content: str, said: str) -> None:
    with pytest.raises(DocumentError, match=f"this is no signed document: .*{said}"):
        documents.from_text(content)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xfc", "not UTF-8 text"),
        (b"PK\x03\x04", "ZIP archive"),
        (b"", "no signed document"),
        (b"[" * 9999, ""),
        (b'{"a": {}}', "nested"),
    ],
)
def test_what_is_no_document(content: bytes, said: str) -> None:
    with pytest.raises(DocumentError, match="this is no signed document") as refused:
        documents.from_text(content)
    assert said in str(refused.value)
