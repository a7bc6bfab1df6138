"""What a vendor does: makes keys, introduces the next one, issues signed license files.

Decides: how keys are kept (PKCS #8 PEM, readable by the owner only; the public half beside it as PEM), and what a
license file must have before it is signed, so that a vendor hears of a mistake before a customer does. Leaves to
others: whether a project trusts the key and takes the file (`service/licenses/imports.py`). Time and ids come in as
arguments.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from google.protobuf.timestamp_pb2 import Timestamp

from licensemaster.files.texts import FileError, read_text
from licensemaster.files.writer import Before, Readers, write_file
from licensemaster.signing import documents
from licensemaster.v1 import document_pb2
from licensemaster.values import BadValueError, key_text, license_name, plain, public_key, resource, whole_number
from licensemaster.values.bounded import OverLimitError, TextLimits, read_toml
from licensemaster.values.toml_lines import TomlLines, path_text
from master.cli.output.failure import CommandFailed
from master.domain.catalog.catalog import Catalog, UnknownLicenseNameError
from master.domain.estate.project import FILE_ITEMS_MAX, QUANTITY_MAX, is_name
from master.values import Value

KEY_NAME: Final = "vendor.key"
PUBLIC_SUFFIX: Final = ".pub"
_FILE_BYTES_MAX: Final = 1_048_576
_LIMITS: Final = TextLimits(size=_FILE_BYTES_MAX, depth=4, items=200_000)
_HEX: Final = re.compile(r"[0-9a-fA-F]{64}")
_ITEM_KEYS: Final = {"id", "type", "quantity", "replaces", "agreement_end"}


class VendorError(CommandFailed):
    """A key or a license file cannot be made or read; the message says which, why, and what to do."""


class Item(Value):
    """One purchased item; `type` is its printed name, `agreement_end` the last moment of its service agreement."""

    id: str
    type: str
    quantity: int
    replaces: str = ""
    agreement_end: datetime | None = None


class KeyFiles(Value):
    """The files of a new key pair, and the id of the key."""

    private: Path
    public: Path
    key_id: str


# --- Keys -------------------------------------------------------------------------------------------------------------


def generate(out: Path) -> KeyFiles:
    """Write a new key pair: in a folder as `vendor.key` and `vendor.key.pub`, else as the name given and with `.pub`.

    Raises:
        VendorError: one of the files exists already; nothing was written.
        OSError: the files cannot be written.
    """
    private = out / KEY_NAME if out.is_dir() else out
    public = private.with_name(private.name + PUBLIC_SUFFIX)
    for file in (private, public):
        if file.exists():
            raise VendorError(f"{file} exists already; a key is never written over. Name another file")
    private.parent.mkdir(parents=True, exist_ok=True)
    key = Ed25519PrivateKey.generate()
    raw = documents.public_key_of(key)
    write_file(private, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), before=Before.KEPT)
    write_file(public, public_pem(raw), readers=Readers.ALL, before=Before.KEPT)
    return KeyFiles(private, public, documents.key_id_of(raw))


def read_private_key(file: Path) -> Ed25519PrivateKey:
    """Read a vendor's private key. Raises VendorError if the file cannot be read, or holds no private Ed25519 key."""
    content = _read(file)
    try:
        key = load_pem_private_key(content.encode(), password=None)
    except (ValueError, TypeError) as error:
        hint = "it is the public half" if "PUBLIC KEY" in content else "it is no private key in PEM form"
        raise VendorError(f"{file}: {hint}; name the file that `vendor keygen` made") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise VendorError(f"{file}: it is a private key, but no Ed25519 key; make one with `vendor keygen`")
    return key


def read_public_key(file_or_hex: str) -> bytes:
    """Read a public key, raw 32 bytes: from a PEM file, or written as 64 hexadecimal digits.
    Raises VendorError if the file cannot be read, or holds no public Ed25519 key."""
    if _HEX.fullmatch(in_hex := key_text(file_or_hex)):
        return _checked(file_or_hex, bytes.fromhex(in_hex))
    content = _read(Path(file_or_hex))
    if "PRIVATE KEY" in content:
        raise VendorError(f"{file_or_hex}: it is a private key, which stays with its owner; name the .pub file")
    try:
        key = load_pem_public_key(content.encode())
    except ValueError as error:
        if _HEX.fullmatch(text := key_text(content)):
            return _checked(file_or_hex, bytes.fromhex(text))
        raise VendorError(f"{file_or_hex}: it is no public key in PEM form, nor 64 hexadecimal digits") from error
    if not isinstance(key, Ed25519PublicKey):
        raise VendorError(f"{file_or_hex}: it is a public key, but no Ed25519 key")
    return _checked(file_or_hex, key.public_bytes(Encoding.Raw, PublicFormat.Raw))


def _checked(file_or_hex: str, key: bytes) -> bytes:
    try:
        return public_key(key)
    except BadValueError as error:
        raise VendorError(f"{file_or_hex}: {error}") from error


def public_pem(raw: bytes) -> bytes:
    key = Ed25519PublicKey.from_public_bytes(raw)
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


# --- Documents --------------------------------------------------------------------------------------------------------


def introduce(
    new_key: bytes, *, signed_with: Ed25519PrivateKey, display_name: str, retire_previous: datetime | None
) -> document_pb2.SignedDocument:
    """Return a document for the vendor's next key, signed with the previous key.
    Raises VendorError if both keys are the same."""
    if documents.public_key_of(signed_with) == new_key:
        raise VendorError("the new key is the old one; make another with `vendor keygen`")
    said = document_pb2.VendorKey(
        public_key=new_key,
        display_name=display_name,
        retire_previous_time=_timestamp(retire_previous) if retire_previous is not None else None,
    )
    return documents.sign(document_pb2.DOCUMENT_KIND_VENDOR_KEY, said, signed_with)


def issue(
    items: Sequence[Item],
    *,
    file_id: str,
    project: str,
    catalog: Catalog,
    issued: datetime,
    expires: datetime,
    key: Ed25519PrivateKey,
) -> document_pb2.SignedDocument:
    """Sign a license file.
    Raises VendorError if every master would refuse something in the file, and says all that is wrong, one line each."""
    problems = list(_problems(items, file_id=file_id, project=project, catalog=catalog))
    if expires <= issued:
        problems.append("it would be out of date as soon as it is issued; give it at least a day")
    if problems:
        raise VendorError("\n".join(problems))
    said = document_pb2.LicenseFile(
        id=file_id,
        catalog=catalog.name,
        project=project,
        issue_time=_timestamp(issued),
        expire_time=_timestamp(expires),
        licenses=[
            document_pb2.LicenseItem(
                id=license.id,
                type=license.type,
                quantity=license.quantity,
                replaces=license.replaces,
                agreement_end_time=_timestamp(license.agreement_end) if license.agreement_end is not None else None,
            )
            for license in items
        ],
    )
    return documents.sign(document_pb2.DOCUMENT_KIND_LICENSE_FILE, said, key)


_ITEM_FORM: Final = "ID=TYPE:QUANTITY, e.g. ports=PBX-Port12:100"


def parse_item(text: str) -> Item:
    """Read an item written as ID=TYPE:QUANTITY, e.g. "ports=PBX-Port 12%500:100".
    Raises VendorError if the text is not of that form."""
    name, equals, rest = text.partition("=")
    printed, colon, quantity = rest.rpartition(":")
    try:
        if equals and colon and name and printed:
            return Item(resource(name), license_name(printed), whole_number(quantity))
    except BadValueError as error:
        raise VendorError(f"{text!r} is not {_ITEM_FORM}: {error}") from error
    raise VendorError(f"{text!r} is not {_ITEM_FORM}")


def read_items(file: Path) -> list[Item]:
    """Read items from a TOML file with `[[licenses]]` tables: id, type, quantity; where wanted replaces, agreement_end.
    Raises VendorError if the file cannot be read, and says where."""
    try:
        text = _read(file)
        content = read_toml(text, _LIMITS)
    except (tomllib.TOMLDecodeError, OverLimitError) as error:
        raise VendorError(f"{file}: it {error}" if isinstance(error, OverLimitError) else f"{file}: {error}") from error
    if unknown := sorted(content.keys() - {"licenses"}):
        raise VendorError(f"{file}: unknown key {unknown[0]!r}; only [[licenses]] tables may be")
    tables = content.get("licenses")
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise VendorError(f"{file}: it has no [[licenses]] tables")
    problems, lines = [], TomlLines(text)
    for at, table in enumerate(tables):
        for key, problem in _item_problems(table):
            path = ("licenses", at, key)
            problems.append(f"{file}:{lines.line_of(path)}: {path_text(path)}: {problem}")
    if problems:
        raise VendorError("\n".join(problems))
    return [_item(table) for table in tables]


def _item_problems(table: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for key in sorted(table.keys() - _ITEM_KEYS):
        yield key, f"unknown key; there are {', '.join(sorted(_ITEM_KEYS))}"
    for key, kind, words in (("id", str, "a text"), ("type", str, "a text"), ("quantity", int, "a whole number")):
        if type(table.get(key)) is not kind:
            yield key, f"must be {words}"
    if not isinstance(table.get("replaces", ""), str):
        yield "replaces", "must be the id of a license"
    if not isinstance(table.get("agreement_end", date.min), date):
        yield "agreement_end", "must be a date, e.g. 2027-06-30"


def _item(table: dict[str, Any]) -> Item:
    end = table.get("agreement_end")
    ends = None if end is None else last_moment(end)
    replaces = resource(table.get("replaces", ""))
    return Item(resource(table["id"]), plain(table["type"]), table["quantity"], replaces, ends)


def last_moment(day: date) -> datetime:
    """Return a moment unchanged (in UTC if it has no zone), or the last second of a day, in UTC."""
    if isinstance(day, datetime):
        return day if day.tzinfo else day.replace(tzinfo=UTC)
    return datetime(day.year, day.month, day.day, 23, 59, 59, tzinfo=UTC)


def _problems(items: Sequence[Item], *, file_id: str, project: str, catalog: Catalog) -> Collection[str]:
    problems = []
    if not is_name(file_id):
        problems.append(f"id: {file_id!r} must be 1 to 63 of a-z, 0-9 and '-'")
    if not is_name(project):
        problems.append(f"project: {project!r} must be 1 to 63 of a-z, 0-9 and '-'")
    if not 1 <= len(items) <= FILE_ITEMS_MAX:
        problems.append(f"licenses: {len(items)} given; 1 to {FILE_ITEMS_MAX:,} may be in a file")
    seen: set[str] = set()
    for license in items:
        if not is_name(license.id):
            problems.append(f"license {license.id!r}: its id must be 1 to 63 of a-z, 0-9 and '-'")
        if license.id in seen:
            problems.append(f"license {license.id!r}: given twice")
        seen.add(license.id)
        if not 1 <= license.quantity <= QUANTITY_MAX:
            problems.append(f"license {license.id!r}: {license.quantity} must be between 1 and {QUANTITY_MAX:,}")
        try:
            catalog.read_name(license.type)
        except UnknownLicenseNameError as error:
            problems.append(f"license {license.id!r}: {error}")
    return problems


def _timestamp(at: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(at)
    return timestamp


def _read(file: Path) -> str:
    try:
        return read_text(file, most=_FILE_BYTES_MAX)
    except FileError as error:
        raise VendorError(str(error)) from error
