"""The examples for Asterisk and FreeSWITCH, as far as they go without either: each talks to a real agent, and what the
PBX would say is what its documentation says.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from xml.etree import ElementTree

import pytest

from slave_client import State
from tests.license_agent.conftest import PORTS, Pbx, agent_settings, port, running_agent
from tests.slave_client.conftest import RestartableMaster
from tests.support.limits import HANG_SECONDS
from tests.support.waiting import until

EXAMPLES = Path(__file__).parents[3] / "examples"
TOKEN = "correct-horse-battery-staple"


class Asterisk:
    """The manager interface of an Asterisk: says who is registered, and what changes."""

    def __init__(self, *registered: str) -> None:
        self._registered = registered
        self.device_states: dict[str, str] = {}
        self.has_logged_in = False

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            yield server.sockets[0].getsockname()[1]
            self._writer.close()

    def contact(self, endpoint: str, status: str, *, number: int = 1) -> None:
        self._say(Event="ContactStatus", URI=f"sip:{endpoint}@{number}", ContactStatus=status, EndpointName=endpoint)

    async def state_of(self, endpoint: str, state: str) -> None:
        await until(lambda: self.device_states.get(f"DEVICE_STATE(Custom:license-{endpoint})") == state)

    def _say(self, **fields: str) -> None:
        self._writer.write(("".join(f"{name}: {value}\r\n" for name, value in fields.items()) + "\r\n").encode())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        writer.write(b"Asterisk Call Manager/5.0.1\r\n")
        while block := await _block(reader):
            match block["Action"]:
                case "Login":
                    self.has_logged_in = (block["Username"], block["Secret"]) == ("license", "secret")
                    self._say(Response="Success", Message="Authentication accepted")
                case "PJSIPShowContacts":
                    self._say(Response="Success", EventList="start")
                    for endpoint in self._registered:
                        self._say(Event="ContactList", ObjectType="contact", Endpoint=endpoint, Uri=f"sip:{endpoint}@1")
                    self._say(Event="ContactListComplete", EventList="Complete")
                case "Setvar":
                    self.device_states[block["Variable"]] = block["Value"]


async def _block(reader: asyncio.StreamReader) -> dict[str, str]:
    try:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
    except (asyncio.IncompleteReadError, ConnectionError):
        return {}
    return dict(line.split(": ", 1) for line in lines if line)


async def test_an_asterisk_has_a_seat_for_each_endpoint(pbx: Pbx, master: RestartableMaster, tmp_path: Path) -> None:
    await pbx.register("from-before")
    asterisk = Asterisk("p1", "p2")
    async with asterisk.listening() as manager_port:
        program = await asyncio.create_subprocess_exec(
            sys.executable, EXAMPLES / "asterisk" / "seats.py",
            tmp_path / "socket", "license", "127.0.0.1", str(manager_port),
            env={**os.environ, "MANAGER_SECRET": "secret"}, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        await asterisk.state_of("p2", "NOT_INUSE")
        assert asterisk.has_logged_in
        assert await master.holders("berlin") == {"p1", "p2"}
        for number in range(3, PORTS + 2):
            asterisk.contact(f"p{number}", "NonQualified")
        await asterisk.state_of(f"p{PORTS + 1}", "UNAVAILABLE")
        assert await master.holders("berlin") == {f"p{number}" for number in range(1, PORTS + 1)}
        asterisk.contact("p1", "Reachable", number=2)
        asterisk.contact("p1", "Removed", number=1)
        asterisk.contact("p2", "Removed")
        asterisk.contact("p9/ü", "Reachable")
        await asterisk.state_of("p9/ü", "NOT_INUSE")
        assert await master.holders("berlin") == {"p1", "p3", "p4", "p5", "p9/ü"}
    _, said = await program.communicate()
    assert program.returncode != 0, "it ends with Asterisk, and is started again"
    assert f"p{PORTS + 1}: ".encode() in said


_SWITCH = """
local headers = {["Event-Subclass"] = arg[1], ["from-user"] = arg[2], ["from-host"] = "example.com"}
event = {getHeader = function(_, name) return headers[name] end}
freeswitch = {
    consoleLog = function(level, text) io.write(level, " ", text) end,
    API = function() return {executeString = function(_, text)
        io.write("api ", text, "\\n")
        return text:find("^sofia_contact") and arg[3] or "+OK"
    end} end,
}
dofile(arg[0])
"""


async def test_a_freeswitch_has_a_seat_for_each_user(pbx: Pbx, master: RestartableMaster, tmp_path: Path) -> None:
    for needed in ("lua5.4", "curl"):
        if shutil.which(needed) is None:
            pytest.skip(f"{needed} is not installed")
    script = tmp_path / "license.lua"
    there = (EXAMPLES / "freeswitch" / "license.lua").read_text()
    script.write_text(there.replace("/run/license-agent/socket", str(tmp_path / "socket")))
    (tmp_path / "switch.lua").write_text(_SWITCH.replace("arg[0]", f'"{script}"'))

    async def happens(kind: str, user: str, contact: str = "") -> str:
        process = await asyncio.create_subprocess_exec(
            "lua5.4", tmp_path / "switch.lua", f"sofia::{kind}", user, contact, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
        assert process.returncode == 0
        return out.decode()

    assert await happens("register", "ü'; touch x/4711") == ""
    assert await master.holders("berlin") == {"ü'; touch x/4711"}
    await happens("unregister", "ü'; touch x/4711", "sofia/internal/sip:4711@second-phone")
    assert await master.holders("berlin") == {"ü'; touch x/4711"}
    await happens("expire", "ü'; touch x/4711", "error/user_not_registered")
    assert await master.holders("berlin") == set()
    await pbx.register(*(f"p{number}" for number in range(PORTS)))
    told = await happens("register", "4712")
    assert "api sofia profile internal flush_inbound_reg 4712@example.com\n" in told
    assert "refused" in told


async def test_what_the_dialplans_ask_is_answered(master: RestartableMaster, tmp_path: Path) -> None:
    """Their addresses, with a holder put in: only a clear no has what both look for."""
    extensions = (EXAMPLES / "asterisk" / "extensions.conf").read_text()
    dialplan = ElementTree.parse(EXAMPLES / "freeswitch" / "license.xml")
    ElementTree.parse(EXAMPLES / "freeswitch" / "lua.conf.xml")
    [emergency, asks] = dialplan.iter("condition")
    assert (emergency.get("expression"), emergency.get("break")) == ("^(110|112|911)$", "on-true")
    assert re.findall(r"^exten => (\d+),1,Goto\(from-phones", extensions, flags=re.MULTILINE) == ["110", "112", "911"]
    addresses = [
        *re.findall(r"\$\{CURL\((\S+?=)\$\{URIENCODE", extensions),
        *re.findall(r"curl\((\S+)\$\{user_name} get\)", asks.get("field", "")),
    ]
    assert len(addresses) == 2
    (tmp_path / "token").write_text(TOKEN)
    settings = agent_settings(master.address, tmp_path, listen="127.0.0.1:0", token_file=tmp_path / "token")
    async with running_agent(settings) as pbx:
        await pbx.agent.client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
        assert (await pbx.ask("PUT", port("4711"))).status == 200
        for address in addresses:
            url = address.replace("$${license_token}", TOKEN).replace(":7610/", f":{pbx.server.port}/")
            for holder, expected in (("4711", False), ("4712", True)):
                curl = await asyncio.create_subprocess_exec(
                    "curl", "--silent", "--user", f"agent:{TOKEN}", f"{url}{holder}", stdout=asyncio.subprocess.PIPE
                )
                answer = (await curl.communicate())[0].decode()
                assert bool(re.search(asks.get("expression", ""), answer)) is expected, answer
    assert f'REGEX("{asks.get("expression")}" ' in extensions
