"""The strict reading of a request's path, query and body."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from aiohttp import web

from license_agent.http.problems import ProblemError
from license_agent.takeover import TakeoverRequest
from license_agent.views import holder_kind
from licensemaster.values.bounded import TextLimits, read_json
from slave_client import SeatKey, Want

SEATS_MAX: Final = 100_000
"""The most seats in one wanted set."""
_DETAILS: Final = ("user", "line", "application_version")
_SEAT: Final = ("license_type", "holder_kind", "holder", *_DETAILS)
_ITEMS_MAX: Final = SEATS_MAX * (len(_SEAT) + 1) + 16
_SMALL_BYTES_MAX: Final = 131_072
_QUERIES: Final = {"/v1/calls/allowed": ("kind", "holder", "license_type")}


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """Limits of a body: its bytes, the seconds in which it must arrive, the whole sets read at a time."""

    size: int
    seconds: float
    sets: asyncio.Semaphore

    @property
    def small(self) -> int:
        """The most bytes of a body that is no whole set."""
        return min(self.size, _SMALL_BYTES_MAX)


def seat_of_path(request: web.Request, details: Mapping[str, str] | None = None) -> Want:
    """Return the seat that a path names, with the details given.

    Raises:
        ProblemError: 422, a part of the path is not valid.
    """
    path = request.match_info
    return _want({**(details or {}), **{name: path[name] for name in ("license_type", "holder_kind", "holder")}})


def key_of_path(request: web.Request) -> SeatKey:
    """Return the name of the seat that a path names; raises as `seat_of_path`."""
    return seat_of_path(request).key


async def details_of_body(request: web.Request, limits: BodyLimits) -> tuple[dict[str, str], bool]:
    """Return the seat's details in a body (`user`, `line`, `application_version`) and whether it asks to `wait`; no
    details and False for an empty body.
    Raises ProblemError if the body is no such object."""
    body = await _body(request, limits.small, limits.seconds)
    if not body:
        return {}, False
    details = _json(body, limits.small)
    wait = details.pop("wait", False) if isinstance(details, dict) else False
    texts = _texts(details, _DETAILS, where="the body")
    if not isinstance(wait, bool):
        raise malformed("the body: wait must be true or false")
    return texts, wait


async def seats_of_body(request: web.Request, limits: BodyLimits) -> list[Want]:
    """Read a whole wanted set: `{"seats": [...]}`.

    Raises:
        ProblemError: the body is no such object; says which seat is wrong. 503: too many sets are being read.
    """
    if limits.sets.locked():
        raise ProblemError(503, "full", "too many whole sets of seats come in at the same time")
    async with limits.sets:
        body = await _body(request, limits.size, limits.seconds)
        return await asyncio.to_thread(_seats, body, limits.size)  # others are answered meanwhile


def _seats(body: bytes, size: int) -> list[Want]:
    found = _json(body, size)
    if not isinstance(found, dict) or set(found) != {"seats"} or not isinstance(found["seats"], list):
        raise malformed('the body must be an object {"seats": [...]}')
    if len(found["seats"]) > SEATS_MAX:
        raise malformed(f"seats: {len(found['seats']):,} are more than {SEATS_MAX:,}")
    return [
        _want(_texts(one, _SEAT, where=f"seats[{index}]"), where=f"seats[{index}]: ")
        for index, one in enumerate(found["seats"])
    ]


async def takeover_of_body(request: web.Request, limits: BodyLimits) -> TakeoverRequest:
    """Read which PBX to take over for, and why: `{"primary": ..., "reason": ..., "force": false}`.
    Raises ProblemError if the body is no such object."""
    found = _json(await _body(request, limits.small, limits.seconds), limits.small)
    force = found.pop("force", False) if isinstance(found, dict) else False
    texts = _texts(found, ("primary", "reason"), where="the body")
    if not isinstance(force, bool) or "primary" not in texts:
        raise malformed("the body: primary must be a text, and force true or false")
    return TakeoverRequest(texts["primary"], texts.get("reason", ""), force)


def check_target(request: web.Request) -> None:
    """Check that path and query are text, and that a request under /v1/ has no query parameter that would be ignored.

    Raises:
        ProblemError: 422, the path is not UTF-8, or a query parameter is not known, or given twice.
    """
    try:
        unquote_to_bytes(request.raw_path).decode()
    except UnicodeDecodeError as error:
        raise malformed(f"the path is not UTF-8, percent-encoded: {error}"[:500]) from None
    if not request.query or not request.path.startswith("/v1/"):  # health checks and scrapes may bring names of theirs
        return
    known = _QUERIES.get(request.path, ())
    for name in request.query:
        if name not in known:
            heeded = f"is none of {', '.join(known)}" if known else "is not heeded here; a body may say more"
            raise malformed(f"query: {name[:80]!r} {heeded}")
        if len(request.query.getall(name)) > 1:
            raise malformed(f"query: {name} stands there twice")


async def _body(request: web.Request, size: int, seconds: float) -> bytes:
    body = bytearray()
    if not request.body_exists:
        return b""
    if encoding := request.headers.get("Content-Encoding", "").strip():  # a little may become very much
        raise ProblemError(415, "encoding", f"Content-Encoding: {encoding[:80]!r} is not taken; send the body as it is")
    too_large = ProblemError(413, "too_large", f"the body has more than {size:,} bytes")
    if (request.content_length or 0) > size:
        raise too_large
    try:
        async with asyncio.timeout(seconds):
            async for piece in request.content.iter_any():
                body += piece
                if len(body) > size:
                    raise too_large
    except (web.RequestPayloadError, ConnectionResetError) as error:  # what is no chunk, say; or the caller has gone
        raise ProblemError(400, "no_body", f"the body cannot be read: {error}"[:500]) from None
    except TimeoutError:
        raise ProblemError(408, "slow", f"the body did not come within {seconds:g} seconds") from None
    return bytes(body)


def _json(body: bytes, size: int) -> Any:
    try:
        return read_json(body.decode(), TextLimits(size=size, depth=4, items=_ITEMS_MAX))
    except (ValueError, RecursionError) as error:
        raise ProblemError(400, "no_json", f"the body is no JSON that can be read: {error}"[:500]) from None


def _texts(found: object, known: tuple[str, ...], *, where: str) -> dict[str, str]:
    if not isinstance(found, dict):
        raise malformed(f"{where} must be an object")
    for name, value in found.items():
        if name not in known:
            raise malformed(f"{where}: {name[:80]!r} is none of {', '.join(known)}")
        if not isinstance(value, str):
            raise malformed(f"{where}: {name} must be a text")
    return found


def _want(said: Mapping[str, str], *, where: str = "") -> Want:
    given = dict(said)
    try:
        for name in ("license_type", "holder_kind", "holder"):
            if not given.get(name):
                raise ValueError(f"{name}: must not be empty")
        kind = holder_kind(given.pop("holder_kind"))
        return Want(given.pop("license_type"), kind, given.pop("holder"), **given)
    except ValueError as error:
        raise malformed(f"{where}{error}") from None


def malformed(detail: str) -> ProblemError:
    """Return the problem, 422, of a request that is not valid."""
    text = detail.encode("utf-8", "backslashreplace").decode()  # a lone surrogate that JSON may hold
    return ProblemError(422, "malformed", text)
