"""The one way in which a file that a person hands in is read, and a file for programs is written.

Text may be UTF-8, with or without a byte order mark, or UTF-16 or UTF-32 with one; lines may end as on Windows or
an old Mac. Every complaint names the file, and the line where there is one. What is written is UTF-8 with "\\n",
whatever the machine's locale is, and stands there whole or not at all.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from licensemaster.files.writer import write_file

BYTES_MAX: Final = 1_048_576
"""The limit of a file where the caller gives none."""
_STDIN: Final = Path("-")
_MARKS: Final = (  # the longer ones first: that of UTF-32 begins like that of UTF-16
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xfe\xff", "utf-16"),
    (b"\xff\xfe", "utf-16"),
)
_OTHERS: Final = (
    (b"PK\x03\x04", "a ZIP archive, or a Word or Excel file"),
    (b"%PDF", "a PDF"),
    (b"{\\rtf", "an RTF file of a word processor"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\xd0\xcf\x11\xe0", "an old Word or Excel file"),
)
_SAVE_AS: Final = "save it as UTF-8 text"


class FileError(Exception):
    """Raised where a file cannot be read or used; names the file and says what was seen."""


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file to read from, or a pipe; a pipe that nobody writes into is empty, and not waited for. `-` is what is
    handed in on standard input.
    Raises OSError if the file does not exist, or this user may not read it."""

    def read_only(_: str, __: int) -> int:
        return os.open("/dev/stdin" if path == _STDIN else path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)

    with open(path, "rb", opener=read_only) as file:
        os.set_blocking(file.fileno(), True)
        yield file


def read_bytes(path: Path, *, most: int = BYTES_MAX) -> bytes:
    """Read the content, at most `most` bytes, of a file or of a pipe that somebody writes into.
    Raises FileError if the file does not exist, is no file, is too large, or may not be read by this user."""
    try:
        with opened(path) as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(most + 1)
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:  # a NUL in the name
        raise FileError(f"cannot read {str(path)!r}: no file can be called that") from error
    if stat.S_ISFIFO(mode) and not content:
        raise FileError(f"cannot read {path}: it is a pipe, and nobody writes into it")
    if len(content) > most:
        raise FileError(f"{path} is larger than {_size(most)}; check that it is the file you meant")
    return content


def read_text(path: Path, *, most: int = BYTES_MAX) -> str:
    """Read the text of a file; lines end with a newline alone.

    Raises:
        FileError: as `read_bytes`, and where the file is no text.
    """
    return decoded(read_bytes(path, most=most), source=str(path))


def decoded(content: bytes, *, source: str) -> str:
    """Decode a file's bytes as text; lines end with a newline alone. Complaints call the file `source`.
    Raises FileError if the bytes are no text, or in an encoding that no mark names, and says on which line what was
    seen."""
    for start, what in _OTHERS:
        if content.startswith(start):
            raise FileError(f"{source}: this is {what}, not text; {_SAVE_AS}")
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise FileError(_not_text(content, encoding, error, source)) from error
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        seen = "UTF-16 without a byte order mark?" if content[:64].count(0) > len(content[:64]) // 4 else "no text?"
        raise FileError(f"{source}:{line}: has a NUL character ({seen}); {_SAVE_AS}")
    return text


def write_text(path: Path, text: str) -> None:
    """Write a file for programs, whole or not at all, in place of an older one.
    Raises FileError if the file cannot be written; the older one stays."""
    try:
        write_file(path, text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise FileError(f"cannot write {path}: {error.strerror or error}") from error


def _not_text(content: bytes, encoding: str, error: UnicodeDecodeError, source: str) -> str:
    if encoding != "utf-8":
        name = encoding.removesuffix("-sig").upper()
        return f"{source}: begins with the byte order mark of {name}, and is not {name}: {error.reason}; {_SAVE_AS}"
    before = content[: error.start].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    line, column = before.count(b"\n") + 1, len(before.rpartition(b"\n")[2].decode("utf-8", "replace")) + 1
    byte = content[error.start : error.start + 1]
    meant = byte.decode("cp1252", "replace")
    guess = f": {meant!r} in Latin-1 or Windows-1252" if meant.isprintable() and meant != "\ufffd" else ""
    return f"{source}:{line}: not UTF-8 text (byte 0x{byte.hex()}) in column {column}{guess}; save the file as UTF-8"


def _size(count: int) -> str:
    return f"{count // 1024**2} MiB" if count >= 1024**2 else f"{count:,} bytes"
