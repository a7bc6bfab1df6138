"""Messages of Kamailio's evapi: words as netstrings, `11:200|17|4711,`."""

from __future__ import annotations

from typing import Final

MARK: Final = "|"
"""The separator of words, which no word has."""
_MESSAGE_MAX: Final = 65_536
_SIZE_DIGITS: Final = len(str(_MESSAGE_MAX))


class MessageReader:
    """Splits arriving bytes into messages."""

    def __init__(self) -> None:
        self._begun = b""

    def feed(self, data: bytes) -> list[list[str]]:
        """Return the words of each message that ends in `data`; keep the rest for the next piece.
        Raises ValueError if the data is no message."""
        data = self._begun + data
        messages, at = [], 0
        while (colon := data.find(b":", at, at + _SIZE_DIGITS + 1)) >= 0:
            size = data[at:colon]
            if not size.isdigit() or int(size) > _MESSAGE_MAX:
                raise ValueError(f"no netstring begins with {size!r}")
            end = colon + 1 + int(size)
            if end >= len(data):
                break
            if data[end : end + 1] != b",":
                raise ValueError("a netstring does not end with a comma")
            messages.append(data[colon + 1 : end].decode().split(MARK))
            at = end + 1
        self._begun = begun = data[at:]
        if colon < 0 and begun and not (begun.isdigit() and len(begun) <= _SIZE_DIGITS):
            raise ValueError(f"no netstring begins with {begun[:20]!r}")
        return messages


def message(*words: object) -> bytes:
    """Return the bytes of a message with these words."""
    body = MARK.join(map(str, words)).encode()
    return b"%d:%b," % (len(body), body)
