"""Messages of Kamailio's evapi: JSON objects as netstrings, `12:{"code":200},`."""

from __future__ import annotations

import json
from asyncio import StreamReader
from typing import Any, Final

from licensemaster.values.bounded import Limits, read_json

_MESSAGE_MAX: Final = 65_536
_LIMITS: Final = Limits(size=_MESSAGE_MAX, depth=2, items=64)


async def read_message(reader: StreamReader) -> dict[str, Any]:
    """Read the next message.

    Raises:
        ValueError: it is none.
        EOFError: Kamailio has gone (asyncio.IncompleteReadError).
    """
    size = (await reader.readuntil(b":"))[:-1]
    if not size.isdigit() or len(size) > 5 or int(size) > _MESSAGE_MAX:
        raise ValueError(f"no netstring begins with {size[:20]!r}")
    body = await reader.readexactly(int(size) + 1)
    if body[-1:] != b",":
        raise ValueError("a netstring does not end with a comma")
    found = read_json(body[:-1].decode(), _LIMITS)
    if not isinstance(found, dict):
        raise ValueError("a message is no object")
    return found


def message(**fields: object) -> bytes:
    """A message as it is sent."""
    body = json.dumps(fields, separators=(",", ":")).encode()
    return b"%d:%b," % (len(body), body)
