"""A site: Kamailio, and the license agent beside it."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import Awaitable, Mapping
from pathlib import Path

import aiohttp

from licensemaster.files.writer import write_file
from simulator.sip.programs import Program, free_port


class Kamailio(Program):
    """One Kamailio on 127.0.0.1 with a configuration file, whose `defines` are added to.

    `shared_megabytes` is the memory for all phones, about 2 kB each.
    """

    def __init__(
        self, folder: Path, config: Path, *, defines: Mapping[str, str] | None = None, shared_megabytes: int = 64
    ) -> None:
        self.sip_port, self.evapi_port = free_port(), free_port()
        self.token = secrets.token_hex(16)
        given = {"LICENSE_EVAPI": f'"{self.evapi}"', "LICENSE_TOKEN": f'"{self.token}"', **(defines or {})}
        listening = f"127.0.0.1:{self.sip_port}"
        super().__init__(
            [
                *("kamailio", "-f", str(config), "-DD", "-E", "-e"),
                *(word for name, value in given.items() for word in ("-A", f"{name}={value}" if value else name)),
                *("-l", f"udp:{listening}", "-l", f"tcp:{listening}"),
                *("-Y", str(folder), "-P", str(folder / "kamailio.pid")),
                *("-m", str(shared_megabytes), "-M", "32", "-x", "tlsf"),
            ],
            log=folder / "kamailio.log",
        )

    @property
    def evapi(self) -> str:
        """Where the agent is told of registrations."""
        return f"127.0.0.1:{self.evapi_port}"

    @property
    def rpc(self) -> str:
        """Where the agent asks who is registered."""
        return f"http://127.0.0.1:{self.sip_port}/license-rpc"

    async def registered(self) -> set[str]:
        """Who is registered. Raises OSError, or what aiohttp raises where it does not answer."""
        asked = {"jsonrpc": "2.0", "id": 1, "method": "ul.dump", "params": ["brief"]}
        headers = {"Authorization": f"Bearer {self.token}"}
        async with aiohttp.ClientSession(headers=headers) as session, session.post(self.rpc, json=asked) as answer:
            domains = (await answer.json(content_type=None))["result"]["Domains"]
        return {aor["AoR"] for domain in domains for aor in domain["Domain"].get("AoRs", ())}

    async def is_ready(self) -> bool:
        """Whether it takes connections, of phones and of an agent: different processes of it listen for them."""
        ports = self.sip_port, self.evapi_port
        return all([await _comes_about(asyncio.open_connection("127.0.0.1", port)) for port in ports])


class AgentProcess(Program):
    """One `license-agent serve` beside a Kamailio; `settings` are those of `docs/agent-settings.md`.

    `socket` is its local API's.
    """

    def __init__(self, folder: Path, kamailio: Kamailio, **settings: object) -> None:
        self.socket = folder / "agent.sock"
        token_file = folder / "token"
        write_file(token_file, kamailio.token.encode())
        given = {
            "state_dir": folder / "agent",
            "socket": self.socket,
            "software_version": "12r1",
            "plaintext": True,
            "kamailio": kamailio.evapi,
            "kamailio_rpc": kamailio.rpc,
            "token_file": token_file,
            **settings,
        }
        super().__init__(
            [sys.executable, "-c", "from license_agent.commands import main; main()", "serve"],
            log=folder / "agent.log",
            environment={f"LICENSE_AGENT_{name.upper()}": str(value) for name, value in given.items()},
        )

    async def holders(self) -> set[str]:
        """Who has a seat. Raises OSError, or what aiohttp raises where it does not answer."""
        connector = aiohttp.UnixConnector(str(self.socket))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get("http://agent/v1/seats") as answer,
        ):
            return {held["seat"]["holder"] for held in (await answer.json())["seats"]}

    async def is_ready(self) -> bool:
        """Whether its local API answers."""
        return await _comes_about(asyncio.open_unix_connection(self.socket))


async def _comes_about(connecting: Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]) -> bool:
    """Whether a connection is taken; it is closed again."""
    try:
        _, writer = await connecting
    except OSError:
        return False
    writer.close()
    return True
