"""State files: each is written as a whole, and read only where it can be relied on.

A file is one header line (format, version, name, SHA-256 of the rest) and JSON, so that an operator can read it. It is
written to a temporary name, synced, renamed, and the directory synced.

Decides: whether a file can be relied on. A truncated, altered or unreadable one raises StateDirError. Leaves to others:
what is in it (`state_dir`).
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any, Final

from licensemaster.files.writer import sync_folder, write_file
from licensemaster.signing import documents
from licensemaster.signing.documents import DocumentError
from licensemaster.signing.verified_lease import ClockReading
from licensemaster.v1 import document_pb2

FORMAT: Final = "license-master-slave-state"
VERSION: Final = 1


class StateDirError(Exception):
    """Raised for a file of the state directory that cannot be relied on: names the file, the reason and the remedy."""

    def __init__(self, path: Path, problem: str, remedy: str) -> None:
        super().__init__(f"{path}: {problem}. {remedy}")
        self.path = path
        self.problem = problem
        self.remedy = remedy


class StateFiles:
    """The files in one folder, by name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, name: str) -> Path:
        return self._folder / name

    def read(self, name: str) -> dict[str, Any] | None:
        """Return the fields of a file, None where there is no such file. Raises StateDirError."""
        file = self.path(name)
        try:
            content = file.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as failure:
            raise StateDirError(
                file, f"cannot be read ({failure.strerror})", "Give the PBX's user access to the state directory."
            ) from failure
        header, _, body = content.partition(b"\n")
        words = header.decode("ascii", "replace").split(" ")
        if len(words) != 4 or words[0] != FORMAT:
            raise corrupt(file, "it is not a state file")
        if words[1] != str(VERSION):
            raise corrupt(file, f"it has format version {words[1]}, this client reads {VERSION}")
        if words[2] != name or words[3] != hashlib.sha256(body).hexdigest():
            raise corrupt(file, "its checksum is wrong: it was truncated or altered")
        try:
            fields = json.loads(body)
        except ValueError as failure:
            raise corrupt(file, "it is not JSON") from failure
        if not isinstance(fields, dict):
            raise corrupt(file, "its content makes no sense")
        return fields

    def write(self, name: str, json_text: str) -> None:
        """Write JSON to a file; make the folder where there is none. Raises OSError."""
        body = json_text.encode() + b"\n"
        header = f"{FORMAT} {VERSION} {name} {hashlib.sha256(body).hexdigest()}\n".encode()
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_file(self.path(name), header + body)

    def remove(self, name: str) -> None:
        """Remove a file if there is one. Raises OSError."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            self.path(name).lstat()  # a read-only file system refuses to remove even what is not there
            self.path(name).unlink()
        if self._folder.is_dir():
            sync_folder(self._folder)

    def set_aside(self, name: str) -> Path:
        """Rename a file to `*.corrupt` (replacing an older one) and return its new path. Raises OSError."""
        aside = self.path(f"{name}.corrupt")
        os.replace(self.path(name), aside)
        return aside


def corrupt(file: Path, problem: str) -> StateDirError:
    """Return the StateDirError for a file whose content is not what was written."""
    return StateDirError(
        file,
        problem,
        "Nothing is to be done while the master can be reached: the PBX gets a new lease and its seats from there. "
        "If it happens again, check the disk, and that no two PBXs share this directory.",
    )


as_json: Final = json.JSONEncoder(separators=(",", ":")).encode


def text(value: object) -> str:
    """Return a field's text; raises TypeError for any other type."""
    if not isinstance(value, str):
        raise TypeError("a text was expected")
    return value


def raw_bytes(value: object) -> bytes:
    """Return the bytes of a base64 field; raises TypeError and ValueError."""
    try:
        return base64.b64decode(text(value), validate=True)
    except binascii.Error as failure:
        raise ValueError("base64 was expected") from failure


def clock_fields(saved: ClockReading) -> dict[str, object]:
    """Return as JSON fields what the clocks showed when a file was written."""
    return {"saved_wall": saved.wall, "saved_steady": saved.steady, "saved_boot": saved.boot}


def clock_reading_of(fields: dict[str, Any]) -> ClockReading:
    """Return what the clocks showed when a file was written; files of older versions have the wall clock alone.

    Raises KeyError, TypeError and ValueError.
    """
    return ClockReading(
        wall=float(fields["saved_wall"]),
        steady=float(fields.get("saved_steady", 0.0)),
        boot=text(fields.get("saved_boot", "")),
    )


def document_fields(document: document_pb2.SignedDocument) -> object:
    """Return a signed document as JSON fields, as in a document file."""
    return json.loads(documents.to_text(document))


def document_of(fields: object) -> document_pb2.SignedDocument:
    """Return the signed document from JSON fields, not verified; raises ValueError where they are no document."""
    try:
        return documents.from_text(json.dumps(fields))
    except DocumentError as failure:
        raise ValueError(str(failure)) from failure
