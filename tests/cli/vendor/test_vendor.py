"""`license-master vendor`: keys and files as a vendor makes them, bad ones of every kind."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from typer.testing import CliRunner, Result

from licensemaster.files.texts import FileError
from licensemaster.signing import documents
from licensemaster.v1 import document_pb2
from master.cli.main import app
from master.cli.output.failure import CommandFailed


def typed(*arguments: str | Path) -> Result:
    """A command that needs no master, in this process; failures end in `exception`."""
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(argument) for argument in arguments])


def failure(*arguments: str | Path) -> str:
    """What a command that fails says."""
    done = typed(*arguments)
    assert isinstance(done.exception, CommandFailed | FileError), done.output
    return "\n".join([str(done.exception), *getattr(done.exception, "lines", ())])


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A vendor's private key; the public half lies beside it."""
    assert typed("vendor", "keygen", "--out", tmp_path / "v.key").exit_code == 0
    return tmp_path / "v.key"


def issue(key: Path, *more: str | Path) -> tuple[str | Path, ...]:
    return ("vendor", "issue", "--key", key, "--project", "acme", *more)


def test_keys_are_made_once_and_kept_private(key: Path, tmp_path: Path) -> None:
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    before = key.read_bytes()
    assert "exists already; a key is never written over" in failure("vendor", "keygen", "--out", key)
    key.unlink()
    assert "v.key.pub exists already" in failure("vendor", "keygen", "--out", key)
    assert not key.exists()
    made = json.loads(typed("vendor", "keygen", "--out", tmp_path, "--json").output)
    assert made["private_key"] == str(tmp_path / "vendor.key")
    assert (tmp_path / "vendor.key").read_bytes() != before
    assert "cannot write" in failure("vendor", "keygen", "--out", "/proc/nowhere/v.key")


def test_a_file_says_what_was_bought(key: Path, tmp_path: Path) -> None:
    items = tmp_path / "items.toml"
    items.write_text(
        '[[licenses]]\nid = "new"\ntype = "PBX-Port12"\nquantity = 5\nreplaces = "old"\nagreement_end = 2027-06-30\n'
    )
    out = tmp_path / "bought.json"
    done = typed(*issue(key, "--from", items, "--license", "more=PBX-Port 12%500:7", "--id", "f-1", "--out", out))
    assert done.output == f"{out}: 2 license items for acme, to be imported within 30 days\n"
    shown = typed("vendor", "show", out, "--key", f"{key}.pub")
    assert shown.exit_code == 0
    for said in (
        "verified: signed by key",
        "new  PBX-Port12  5  old  2027-06-30T23:59:59Z",
        "more  PBX-Port 12%500  7",
    ):
        assert said in shown.output
    loaded = json.loads(typed("vendor", "show", out, "--key", f"{key}.pub", "--json").output)
    assert (loaded["kind"], loaded["verified"], loaded["problem"]) == ("DOCUMENT_KIND_LICENSE_FILE", True, "")
    assert loaded["says"]["licenses"][0]["quantity"] == 5


def test_without_a_name_for_the_file_the_document_is_printed(key: Path) -> None:
    document = documents.from_text(typed(*issue(key, "--license", "a=Relay BRIs:2")).output)
    said = documents.read_payload(document, document_pb2.LicenseFile)
    assert (said.project, said.licenses[0].type, said.licenses[0].quantity) == ("acme", "Relay BRIs", 2)


@pytest.mark.parametrize(
    ("license_text", "said"),
    [
        ("a", "'a' is not ID=TYPE:QUANTITY, e.g. ports=PBX-Port12:100"),
        ("a=PBX-Port12", "is not ID=TYPE:QUANTITY"),
        ("a=PBX-Port12:many", "is not ID=TYPE:QUANTITY"),
        ("a=PBX-Port12:0", "license 'a': 0 must be between 1 and 1,000,000"),
        ("a=PBX-Prot12:1", "license 'a': 'PBX-Prot12' is no license"),
        ("A=PBX-Port12:1", "license 'A': its id must be 1 to 63 of a-z"),
    ],
)
def test_what_no_master_would_take_is_not_issued(key: Path, tmp_path: Path, license_text: str, said: str) -> None:
    out = tmp_path / "bought.json"
    failed = failure(*issue(key, "--license", license_text, "--out", out))
    assert failed.startswith("nothing was issued")
    assert said in failed
    assert not out.exists()


def test_all_that_is_wrong_is_told_at_once(key: Path) -> None:
    failed = failure(*issue(key, "--license", "a=PBX-Port12:0", "--license", "a=PBX-Prot12:1", "--id", "No Name"))
    assert [
        part in failed for part in ("id: 'No Name'", "license 'a': 0", "license 'a': given twice", "PBX-Prot12")
    ] == [True] * 4
    assert "licenses: 0 given" in failure(*issue(key))
    assert "there is no catalog 'nobody'; there are allworx, " in failure(*issue(key, "--catalog", "nobody"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nonsense", "Expected '=' after a key"),
        ("licences = []\n", "unknown key 'licences'"),
        ("licenses = 3\n", "it has no [[licenses]] tables"),
        ('[[licenses]]\nid = "a"\ntype = "x"\nquantity = "3"\n', ":4: licenses[0].quantity: must be a whole number"),
        ('[[licenses]]\nid = "a"\ntype = "x"\nquantity = 3\nends = 1\n', ":5: licenses[0].ends: unknown key"),
        (
            '[[licenses]]\nid = "a"\ntype = "x"\nquantity = 3\nagreement_end = "soon"\n',
            "must be a date, e.g. 2027-06-30",
        ),
        ('[[licenses]]\nid = "a"\ntype = "x"\nquantity = 3\nreplaces = 1\n', "must be the id of a license"),
        ('[[licenses]]\nid = "a"\n', ":1: licenses[0].type: must be a text"),
    ],
)
def test_items_files_with_mistakes(key: Path, tmp_path: Path, text: str, said: str) -> None:
    items = tmp_path / "items.toml"
    items.write_text(text)
    failed = failure(*issue(key, "--from", items))
    assert said in failed
    assert str(items) in failed


def test_keys_that_are_none(key: Path, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "out.json")
    missing = issue(tmp_path / "missing.key", *out)
    assert "missing.key: No such file or directory" in failure(*missing)
    assert "it is the public half" in failure(*issue(Path(f"{key}.pub"), *out))
    text = tmp_path / "text"
    text.write_text("hello")
    assert "it is no private key in PEM form" in failure(*issue(text, *out))
    other = tmp_path / "ec.key"
    curve = generate_private_key(SECP256R1())
    other.write_bytes(curve.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    assert "but no Ed25519 key" in failure(*issue(other, *out))
    introduce = ("vendor", "introduce", "--key", key, *out, "--new")
    assert "it is a private key, which stays with its owner" in failure(*introduce, key)
    assert "nor 64 hexadecimal digits" in failure(*introduce, text)
    other.write_bytes(curve.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    assert "it is a public key, but no Ed25519 key" in failure(*introduce, other)
    assert "the new key is the old one" in failure(*introduce, f"{key}.pub")
    assert "No such file" in failure(*introduce, tmp_path / "nothing")


def altered(file: Path) -> None:
    """One bit of the payload differs."""
    document = documents.from_text(file.read_text())
    document.payload = bytes([document.payload[0], document.payload[1], document.payload[2] ^ 1]) + document.payload[3:]
    file.write_text(documents.to_text(document))


def test_what_a_document_says_is_verified_or_said_not_to_be(key: Path, tmp_path: Path) -> None:
    out = tmp_path / "bought.json"
    typed(*issue(key, "--license", "a=PBX-Port12:1", "--id", "file-1", "--out", out))
    unknown = typed("vendor", "show", out)
    assert unknown.exit_code == 0
    assert "not verified: the public half of key" in unknown.output
    assert "PBX-Port12" in unknown.output
    altered(out)
    forged = typed("vendor", "show", out, "--key", f"{key}.pub")
    assert forged.exit_code == 1
    assert "the document is forged or altered" in forged.output


def test_files_that_are_no_documents(tmp_path: Path) -> None:
    file = tmp_path / "file"
    assert "cannot read" in failure("vendor", "show", file)
    assert "Is a directory" in failure("vendor", "show", tmp_path)
    for content in (
        b"",
        b"hello",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"kind": "DOCUMENT_KIND_NONSENSE"}',
        b"{}" * 2_000_000,
    ):
        file.write_bytes(content)
        failed = failure("vendor", "show", file)
        assert "this is no signed document" in failed or "larger than 2 MiB" in failed
    file.write_text('{"kind": "DOCUMENT_KIND_BINDING", "payload": "/////w=="}')
    assert "the payload cannot be read" in failure("vendor", "show", file)
    file.write_text("{}")
    assert "its kind 0 is not known here" in failure("vendor", "show", file)


def test_what_cannot_be_written_is_said(key: Path, tmp_path: Path) -> None:
    failed = failure(*issue(key, "--license", "a=PBX-Port12:1", "--out", tmp_path / "no" / "such" / "folder.json"))
    assert failed.startswith("cannot write ")
    assert failed.endswith("No such file or directory")
