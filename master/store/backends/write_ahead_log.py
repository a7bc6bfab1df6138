"""The write-ahead log that lies beside a SQLite file while that is closed: what it says of commits, and its damage.

SQLite goes on from a log as far as that is valid, and takes one whose header is not for an empty one, whatever was
committed (https://sqlite.org/walformat.html). No crash does that: the header is on the disk before the first page is
written, pages are before their commit is answered, and only then does the log's index (`-shm`) count them. After a loss
of power the index may be older than the log, never newer.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from operator import mul
from typing import BinaryIO, Final

_COUNT_AT: Final = 60
"""The place of the count of commits in the first page."""
_HEADER, _FRAME_HEADER, _INDEX_HEADER = 32, 24, 48
_MAGIC: Final = {b"\x37\x7f\x06\x82": "little", b"\x37\x7f\x06\x83": "big"}
"""How a log begins, and the order of bytes in which its sums are taken."""
_RESTARTS_MAX: Final = 2**20
"""How often a log can have begun anew since its index was last written to the disk; far more than it does."""
_WORDS: Final = 2**32
_Sums = tuple[int, int]


def logged_counts(log: str) -> list[int]:
    """Return the counts of commits in a log, without a look at its sums."""
    counts = []
    with suppress(FileNotFoundError), open(log, "rb") as file:
        header = file.read(_HEADER)
        page_bytes, salt = int.from_bytes(header[8:12], "big"), header[16:24]
        while len(frame := file.read(_FRAME_HEADER)) == _FRAME_HEADER and frame[8:16] == salt:
            page = file.read(page_bytes)
            if frame[:4] == b"\0\0\0\1" and len(page) == page_bytes:
                counts.append(int.from_bytes(page[_COUNT_AT : _COUNT_AT + 4], "big"))
    return counts


def damage_of_log(log: str, index: str) -> str | None:
    """Return what is wrong with a log that no crash does to it; None where nothing is, or nothing is certain."""
    with suppress(FileNotFoundError), open(log, "rb") as file:
        header = file.read(_HEADER)
        order = _MAGIC.get(header[:4]) if len(header) == _HEADER else None
        is_whole = order is not None and _sums(header[:24], order) == _numbers(header[24:])
        if not is_whole and file.read(1):
            return "its beginning is that of no write-ahead log"
        if (committed := _committed_frames(index)) is None:
            return None
        count, salt = committed
        if is_whole and 0 < (_numbers(header[16:])[0] - _numbers(salt)[0]) % _WORDS < _RESTARTS_MAX:
            return None  # the index is older
        valid = _valid_frames(file, count, header, order) if order and is_whole and header[16:24] == salt else 0
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


def _valid_frames(file: BinaryIO, most: int, header: bytes, order: str) -> int:
    """Return how many frames are valid, from the first one on, up to `most`."""
    frame_bytes, sums = _FRAME_HEADER + int.from_bytes(header[8:12], "big"), _numbers(header[24:])
    for valid in range(most):
        frame = file.read(frame_bytes)
        if len(frame) < frame_bytes or frame[8:16] != header[16:24]:
            return valid
        sums = _sums(frame[:8] + frame[_FRAME_HEADER:], order, sums)
        if sums != _numbers(frame[16:]):
            return valid
    return most


def _numbers(data: bytes) -> _Sums:
    return struct.unpack(">2I", data[:8])


def _sums(data: bytes, order: str, before: _Sums = (0, 0)) -> _Sums:
    """Return SQLite's two sums over data, continued from those before: for each pair of words, a and b, one becomes
    one + a + two, then two becomes two + b + one.
    """
    words = array("I", data)
    if order != sys.byteorder:
        words.byteswap()
    continued = (before[0], before[1] - before[0], *words)
    one, two = (sum(map(mul, weights, continued)) % _WORDS for weights in _weights(len(continued) // 2))
    return one, two


@cache
def _weights(pairs: int) -> tuple[Sequence[int], Sequence[int]]:
    """Return how often each word counts in either sum over so many pairs: several times faster than adding them up."""
    a, b = (1, 1), (0, 1)
    in_one, in_two = list[int](), list[int]()
    for _ in range(pairs):
        in_one += (b[0], a[0])
        in_two += (b[1], a[1])
        a, b = (((one + two) % _WORDS, (one + 2 * two) % _WORDS) for one, two in (a, b))
    return in_one[::-1], in_two[::-1]
