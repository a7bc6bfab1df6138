"""Messages of Kamailio's evapi: JSON objects as netstrings, `12:{"code":200},`."""

from __future__ import annotations

import json
from typing import Any, Final

from licensemaster.values.bounded import Limits, read_json

_MESSAGE_MAX: Final = 65_536
_SIZE_DIGITS: Final = len(str(_MESSAGE_MAX))
_LIMITS: Final = Limits(size=_MESSAGE_MAX, depth=2, items=64)
_json: Final = json.JSONEncoder(separators=(",", ":")).encode


class MessageReader:
    """Cuts what arrives into messages."""

    def __init__(self) -> None:
        self._begun = b""

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """Return the messages that end in `data`; what begins there is kept for the next piece.

        Raises:
            ValueError: that is no message.
        """
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
            messages.append(_object(data[colon + 1 : end]))
            at = end + 1
        self._begun = begun = data[at:]
        if colon < 0 and begun and not (begun.isdigit() and len(begun) <= _SIZE_DIGITS):
            raise ValueError(f"no netstring begins with {begun[:20]!r}")
        return messages


def message(**fields: object) -> bytes:
    """A message as it is sent."""
    body = _json(fields).encode()
    return b"%d:%b," % (len(body), body)


def _object(body: bytes) -> dict[str, Any]:
    found = read_json(body.decode(), _LIMITS)
    if not isinstance(found, dict):
        raise ValueError("a message is no object")
    return found
