"""Signed documents as files: read, written, and said in words. Verifying them is for those who have the key."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

from licensemaster.files.texts import FileError, read_bytes, write_text
from licensemaster.v1 import document_pb2
from master.cli.output.failure import CommandFailed

if TYPE_CHECKING:
    from licensemaster.signing.documents import Kind

_BYTES_MAX = 2_097_152


def read_document(file: Path, kind: Kind | None = None) -> document_pb2.SignedDocument:
    """The document in a file, claiming to be of a kind.
    Raises CommandFailed if it cannot be read, or claims to be something else."""
    from licensemaster.signing import documents

    try:
        content = read_bytes(file, most=_BYTES_MAX)
    except FileError as error:
        raise CommandFailed(str(error)) from error
    try:
        document = documents.from_text(content)
    except documents.DocumentError as error:
        raise CommandFailed(f"{file}: {error}", remedy="get the file again as whoever signed it wrote it") from error
    try:
        if kind is not None:
            documents.check_kind(document, kind)
    except documents.DocumentError as error:
        raise CommandFailed(f"{file}: {error}", remedy=f"license-master vendor show {file}") from error
    return document


def write_document(file: Path, document: document_pb2.SignedDocument) -> None:
    """Write a document, whole or not at all, over what was there. Raises FileError if it cannot be written."""
    from licensemaster.signing import documents

    write_text(file, documents.to_text(document))


def folder_for(out: Path) -> Path:
    """A folder to write documents into. Where there is none it is made with the first of them: a command that fails
    before leaves none.
    Raises CommandFailed if it cannot be made."""
    there = next(path for path in (out.absolute(), *out.absolute().parents) if os.path.lexists(path))
    if not there.is_dir():
        cause: OSError = NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(out / "file"))
        raise CommandFailed(f"cannot make the folder {out}: {there} is no folder") from cause
    if not os.access(there, os.W_OK | os.X_OK):
        why = errno.EROFS if os.statvfs(there).f_flag & os.ST_RDONLY else errno.EACCES
        cause = OSError(why, os.strerror(why), str(out))
        raise CommandFailed(f"cannot write into the folder {there}: {cause.strerror}") from cause
    return out


def binding_file(folder: Path, license_id: str) -> Path:
    """Where the statement of a license's binding goes."""
    return _made(folder) / f"{license_id}.binding.json"


def request_file(folder: Path, license_id: str) -> Path:
    """Where the request to certify a license's release goes."""
    return _made(folder) / f"{license_id}.release-request.json"


def certificate_file(folder: Path, license_id: str) -> Path:
    """Where a device's certificate for a license goes."""
    return _made(folder) / f"{license_id}.certificate.json"


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
