"""Kamailio's registrations and calls, read and changed over JSON-RPC."""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import unquote

import aiohttp

from licensemaster.values.bounded import TextLimits, read_json

_TABLE: Final = "location"
_ENDED: Final = 5
"""The dialog module's state of a call that is over."""
_SECONDS: Final = 30.0
_BYTES_MAX: Final = 64 * 1024 * 1024
_LIMITS: Final = TextLimits(size=_BYTES_MAX, depth=16, items=5_000_000)
AS_BYTES: Final = "surrogateescape"
"""How bytes of SIP that are no UTF-8, in names that phones choose, are read and written: none keeps others from it."""
_URI: Final = re.compile(r"[^:]*:([^:@]*)(?::[^@]*)?@(\[[^]]*\]|[^:;?]*)")
"""A SIP URI's user, without a password, and its host, without the port."""
_ABSENT: Final = re.compile("not found|doesn't exist", re.IGNORECASE)
"""Error messages of Kamailio's modules for things that do not exist."""


class LocationsError(Exception):
    """Raised where Kamailio cannot be asked, or its answer cannot be read."""


class Locations:
    """The location table of one Kamailio, over `url`, which asks for the `token`."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"}
        self._session: aiohttp.ClientSession | None = None
        self._is_closed = False

    async def holders(self) -> set[str]:
        """Return every address of record that has a contact. Raises LocationsError."""
        found = await self._call("ul.dump", "brief")
        try:
            return {str(aor["AoR"]) for domain in found["Domains"] for aor in domain["Domain"].get("AoRs", ())}
        except (KeyError, TypeError, AttributeError) as error:
            raise LocationsError(f"ul.dump answered something else: {error!r}") from error

    async def has_contacts(self, holder: str) -> bool:
        """Tell whether an address of record has a contact. Raises LocationsError."""
        try:
            return bool(await self._call("ul.lookup", _TABLE, holder))
        except _NotFoundError:
            return False

    async def remove(self, holder: str) -> None:
        """Remove all contacts of an address of record. Raises LocationsError."""
        try:
            await self._call("ul.rm", _TABLE, holder)
        except _NotFoundError:
            return

    async def in_call(self) -> set[str]:
        """Return the names of all who take part in calls that are not over, as user and as `user@domain`, as dialled
        and in small letters (as usrloc has them). Raises LocationsError.
        """
        dialogs = await self._call("dlg.list")
        try:
            uris = [uri for dialog in dialogs if int(dialog["state"]) < _ENDED for uri in _uris_of(dialog)]
        except (KeyError, TypeError, ValueError) as error:
            raise LocationsError(f"dlg.list answered something else: {error!r}") from error
        names = {name for uri in uris for name in _names_of(uri)}
        return names | {name.lower() for name in names}

    async def forget_licensed(self) -> None:
        """Have Kamailio ask the agent again about every refreshed registration. Raises LocationsError."""
        await self._call("htable.flush", "license_held")

    async def unanswered(self) -> int:
        """Return how many messages Kamailio counts as unanswered. Raises LocationsError."""
        try:
            return int((await self._call("htable.get", "license", "unanswered"))["item"]["value"])
        except _NotFoundError:
            return 0
        except (KeyError, TypeError, ValueError) as error:
            raise LocationsError(f"htable.get answered something else: {error!r}") from error

    async def close(self) -> None:
        """Close the connection; what is asked afterwards fails."""
        self._is_closed = True
        if self._session is not None:
            await self._session.close()

    async def _call(self, method: str, *parameters: str) -> Any:
        if self._is_closed:
            raise LocationsError("the agent stops")
        if self._session is None:
            self._session = aiohttp.ClientSession(headers=self._headers, timeout=aiohttp.ClientTimeout(_SECONDS))
        try:
            asked = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}, ensure_ascii=False)
            async with self._session.post(self._url, data=asked.encode(errors=AS_BYTES)) as answer:
                if answer.status == HTTPStatus.NOT_FOUND:  # as license.cfg answers who shows no token of its own
                    raise LocationsError(f"{self._url}: not found; is Kamailio's LICENSE_TOKEN the word in token_file?")
                text = (await self._read(answer)).decode(errors=AS_BYTES)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise LocationsError(f"{self._url}: {error!r}") from error
        try:
            found = read_json(text, _LIMITS)
            if "error" in found:
                said = str(found["error"].get("message", ""))
                raise (_NotFoundError if _ABSENT.search(said) else LocationsError)(f"{method}: {said}")
            return found["result"]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise LocationsError(f"{self._url}: no JSON-RPC: {text[:200]!r}") from error

    async def _read(self, answer: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for piece in answer.content.iter_any():
            body += piece
            if len(body) > _BYTES_MAX:
                raise LocationsError(f"{self._url}: the answer has more than {_BYTES_MAX:,} bytes")
        return bytes(body)


def _uris_of(dialog: dict[str, Any]) -> tuple[str, ...]:
    """Return the URIs of a dialog's participants: as dialled, and as reached through a group or a forward."""
    contacts = (dialog[leg].get("contact", "") for leg in ("caller", "callee"))
    return (dialog["from_uri"], dialog["to_uri"], dialog.get("req_uri", ""), *contacts)


def _names_of(uri: str) -> tuple[str, ...]:
    """Return the names under which usrloc may have a URI, `sip:4711@example.com:5060;user=phone`."""
    found = _URI.match(uri)
    if found is None:
        return ()
    user = unquote(found[1], errors=AS_BYTES)
    return (user, f"{user}@{found[2]}")


class _NotFoundError(LocationsError):
    """Raised where Kamailio has no such address of record, or no such key."""
