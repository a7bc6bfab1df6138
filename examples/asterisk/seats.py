#!/opt/license-agent/bin/python
"""Seats for the phones that are registered at an Asterisk: reads its manager's events, asks the agent's socket.

    MANAGER_SECRET=... seats.py /run/license-agent/socket license        (the account of manager.conf)

One seat for each endpoint with a contact, however many it has (rule E3). A phone whose seat is refused has the device
state `Custom:license-ENDPOINT` UNAVAILABLE, for a hint; its calls are refused by the dialplan (extensions.conf). Each
minute, and at its start, this tells the agent who is registered. It ends when either side goes away;
license-seats.service starts it again.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import aiohttp

COMPARE_SECONDS = 60


class Manager:
    """A connection to Asterisk's manager interface."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def act(self, action: str, **fields: str) -> None:
        lines = [f"Action: {action}", *(f"{name}: {value}" for name, value in fields.items())]
        self._writer.write("".join(f"{line}\r\n" for line in [*lines, ""]).encode())
        await self._writer.drain()

    async def messages(self) -> AsyncIterator[dict[str, str]]:
        while True:
            block = (await self._reader.readuntil(b"\r\n\r\n")).decode(errors="replace")
            yield dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)


class Seats:
    def __init__(self, session: aiohttp.ClientSession, manager: Manager) -> None:
        self._session, self._manager = session, manager
        self.contacts: dict[str, set[str]] = defaultdict(set)

    async def changed(self, endpoint: str, contact: str, *, is_gone: bool) -> None:
        before = bool(self.contacts[endpoint])
        (self.contacts[endpoint].discard if is_gone else self.contacts[endpoint].add)(contact)
        after = bool(self.contacts[endpoint])
        if before != after:
            url = f"http://agent/v1/seats/port/user/{quote(endpoint, safe='')}"
            async with self._session.request("PUT" if after else "DELETE", url) as answer:
                await self._tell(endpoint, answer.status == 403, await answer.json(content_type=None))

    async def compare(self) -> None:
        """Tell the agent the whole set."""
        wanted = [
            {"license_type": "port", "holder_kind": "user", "holder": endpoint}
            for endpoint, contacts in self.contacts.items()
            if contacts
        ]
        async with self._session.put("http://agent/v1/seats", json={"seats": wanted}) as answer:
            answer.raise_for_status()
            for outcome in (await answer.json())["outcomes"]:
                later = outcome.get("reason") in ("offline", "no_lease", "no_answer", "learning")
                await self._tell(outcome["seat"]["holder"], not outcome["granted"] and not later, outcome)

    async def _tell(self, endpoint: str, is_refused: bool, answer: dict[str, Any]) -> None:
        if is_refused:
            print(f"{endpoint}: {answer['detail']}", file=sys.stderr)
        state = "UNAVAILABLE" if is_refused else "NOT_INUSE"
        await self._manager.act("Setvar", Variable=f"DEVICE_STATE(Custom:license-{endpoint})", Value=state)


async def main(socket: str, user: str, host: str = "127.0.0.1", port: str = "5038") -> None:
    reader, writer = await asyncio.open_connection(host, int(port))
    await reader.readline()  # Asterisk Call Manager/...
    manager = Manager(reader, writer)
    await manager.act("Login", Username=user, Secret=os.environ["MANAGER_SECRET"], Events="system")
    await manager.act("PJSIPShowContacts")
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(socket)) as session, asyncio.TaskGroup() as tasks:
        seats = Seats(session, manager)
        async for message in manager.messages():
            match message.get("Event"):
                case "ContactList":
                    seats.contacts[message["Endpoint"]].add(message["Uri"])
                case "ContactListComplete":
                    tasks.create_task(_compare_again_and_again(seats))
                case "ContactStatus" if endpoint := message.get("EndpointName"):
                    await seats.changed(endpoint, message["URI"], is_gone=message["ContactStatus"] == "Removed")
            if message.get("Response") == "Error" and "Authentication" in message.get("Message", ""):
                raise SystemExit(json.dumps(message))


async def _compare_again_and_again(seats: Seats) -> None:
    while True:
        await seats.compare()
        await asyncio.sleep(COMPARE_SECONDS)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
