"""The write-ahead log that lies beside a SQLite file while that is closed: what it says of commits, and its damage.

SQLite goes on from a log as far as that is valid, and takes one whose header is not for an empty one, whatever was
committed (https://sqlite.org/walformat.html). No crash does that: the header is on the disk before the first page is
written, pages are before their commit is answered, and only then does the log's index (`-shm`) count them. After a loss
of power the index may be older than the log, never newer.
"""

from __future__ import annotations

import shutil
import sqlite3
import struct
import sys
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

COUNT_AT: Final = 60
"""The place of the count of commits in the first page, as four bytes (https://sqlite.org/fileformat.html)."""
_HEADER, _FRAME_HEADER, _INDEX_HEADER = 32, 24, 48
_MAGIC: Final = {b"\x37\x7f\x06\x82": "little", b"\x37\x7f\x06\x83": "big"}
"""How a log begins, and the order of bytes in which its sums are taken."""
_RESTARTS_MAX: Final = 2**20
"""How often a log can have begun anew since its index was last written to the disk; far more than it does."""
_WORDS: Final = 2**32


def logged_counts(log: str) -> list[int]:
    """Return the counts of commits in a log, without a look at its sums."""
    counts = []
    with suppress(FileNotFoundError), open(log, "rb") as file:
        header = file.read(_HEADER)
        page_bytes, salt = int.from_bytes(header[8:12], "big"), header[16:24]
        while len(frame := file.read(_FRAME_HEADER)) == _FRAME_HEADER and frame[8:16] == salt:
            page = file.read(page_bytes)
            if frame[:4] == b"\0\0\0\1" and len(page) == page_bytes:
                counts.append(int.from_bytes(page[COUNT_AT : COUNT_AT + 4], "big"))
    return counts


def damage_of_log(log: str, index: str) -> str | None:
    """Return what is wrong with a log that no crash does to it; None where nothing is, or nothing is certain.
    Raises OSError if the log cannot be read, or not be copied to be looked at."""
    with suppress(FileNotFoundError), open(log, "rb") as file:
        header = file.read(_HEADER)
        order = _MAGIC.get(header[:4]) if len(header) == _HEADER else None
        is_whole = order is not None and _sums(header[:24], order) == struct.unpack(">2I", header[24:])
        if not is_whole and file.read(1):
            return "its beginning is that of no write-ahead log"
        if (committed := _committed_frames(index)) is None:
            return None
        count, salt = committed
        if is_whole and 0 < (_first_salt(header[16:]) - _first_salt(salt)) % _WORDS < _RESTARTS_MAX:
            return None  # the index is older
        valid = _valid_frames(log) if is_whole and header[16:24] == salt else 0
        if valid < count:
            return f"{count} pages were committed in it, and only the first {valid} can be read"
    return None


def _committed_frames(index: str) -> tuple[int, bytes] | None:
    """Return how many frames were committed, and the salt of their log; None where the index does not tell, or all of
    them are in the database.
    """
    content = b""
    with suppress(FileNotFoundError), open(index, "rb") as file:
        content = file.read(2 * _INDEX_HEADER + 4)
    header = content[:_INDEX_HEADER]
    if len(content) < 2 * _INDEX_HEADER + 4 or content[_INDEX_HEADER : 2 * _INDEX_HEADER] != header:
        return None
    count, in_database = (struct.unpack("=I", content[at : at + 4])[0] for at in (16, 2 * _INDEX_HEADER))
    is_whole = _sums(header[:40], sys.byteorder) == struct.unpack("=2I", header[40:])
    return (count, header[32:40]) if is_whole and count > in_database else None


def _valid_frames(log: str) -> int:
    """Return how many frames of a log SQLite goes on from.

    A copy is opened, as SQLite forgets what is behind these; to be read only, as closing would else write all of them.
    """
    with TemporaryDirectory(prefix=f".{Path(log).name}.", dir=Path(log).parent) as folder:
        copy = Path(folder) / "copy"
        with closing(sqlite3.connect(copy)) as empty:
            empty.execute("PRAGMA journal_mode=WAL")
        shutil.copyfile(log, f"{copy}-wal")
        with closing(sqlite3.connect(f"{copy.as_uri()}?mode=ro", uri=True)) as database:
            with suppress(sqlite3.DatabaseError):  # pages that are not in the log are missing here
                database.execute("PRAGMA schema_version")
            committed = _committed_frames(f"{copy}-shm")
    return committed[0] if committed is not None else 0


def _first_salt(salt: bytes) -> int:
    return int.from_bytes(salt[:4], "big")


def _sums(data: bytes, order: str) -> tuple[int, int]:
    """Return SQLite's two sums over a header."""
    one = two = 0
    for a, b in struct.iter_unpack("<2I" if order == "little" else ">2I", data):
        one = (one + a + two) % _WORDS
        two = (two + b + one) % _WORDS
    return one, two
