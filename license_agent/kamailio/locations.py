"""Who is registered, as Kamailio's usrloc has it: asked and changed over JSON-RPC."""

from __future__ import annotations

from typing import Any, Final

import aiohttp

from licensemaster.values.bounded import Limits, read_json

_TABLE: Final = "location"
_SECONDS: Final = 10.0
_BYTES_MAX: Final = 64 * 1024 * 1024
_LIMITS: Final = Limits(size=_BYTES_MAX, depth=16, items=5_000_000)


class LocationsError(Exception):
    """Kamailio does not say."""


class Locations:
    """The location table of one Kamailio, over `url`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session: aiohttp.ClientSession | None = None

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

    async def close(self) -> None:
        """Close the connection."""
        if self._session is not None:
            await self._session.close()

    async def _call(self, method: str, *parameters: str) -> Any:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(_SECONDS))
        try:
            asked = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
            async with self._session.post(self._url, json=asked) as answer:
                text = (await answer.read()).decode()
        except (aiohttp.ClientError, TimeoutError, OSError, UnicodeDecodeError) as error:
            raise LocationsError(f"{self._url}: {error!r}") from error
        try:
            found = read_json(text, _LIMITS)
            if "error" in found:
                said = str(found["error"].get("message", ""))
                raise (_NotFoundError if "not found" in said.lower() else LocationsError)(f"{method}: {said}")
            return found["result"]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise LocationsError(f"{self._url}: no JSON-RPC: {text[:200]!r}") from error


class _NotFoundError(LocationsError):
    """There is no such address of record."""
