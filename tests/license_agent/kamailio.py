"""A real Kamailio with license.cfg, and phones that speak SIP to it over UDP."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from tests.support.limits import HANG_SECONDS
from tests.support.network.ports import free_port

INCLUDED = Path(__file__).parents[2] / "examples" / "kamailio" / "license.cfg"
_CFG = """
listen=udp:127.0.0.1:{sip}
listen=tcp:127.0.0.1:{sip}
children=2
tcp_children=2
log_stderror=yes
debug=1
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/"
loadmodule "jsonrpcs.so"
loadmodule "tm.so"
loadmodule "tmx.so"
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "xhttp.so"
loadmodule "rr.so"
modparam("usrloc", "timer_interval", 1)
modparam("registrar", "max_expires", 3600)
modparam("tm", "fr_timer", 2000)
#!define LICENSE_EVAPI "127.0.0.1:{evapi}"
{defines}
include_file "{included}"
request_route {{
    if (is_method("REGISTER")) {{ route(LICENSE_REGISTER); exit; }}
    if (is_method("INVITE|ACK|BYE|CANCEL")) {{
        if (lookup("location") || is_method("ACK|BYE")) {{ t_relay(); }} else {{ sl_send_reply("404", "Not Found"); }}
    }}
}}
"""


@dataclass
class Kamailio:
    sip_port: int
    evapi_port: int

    @property
    def evapi(self) -> str:
        return f"127.0.0.1:{self.evapi_port}"

    @property
    def rpc(self) -> str:
        return f"http://127.0.0.1:{self.sip_port}/license-rpc"


@asynccontextmanager
async def running_kamailio(folder: Path, *, defines: str = "") -> AsyncIterator[Kamailio]:
    """Kamailio in the foreground, its processes a group of their own; skips by name where it is not installed."""
    program = shutil.which("kamailio")
    if program is None:
        pytest.skip("kamailio is not installed")
    found = Kamailio(free_port(), free_port())
    file = folder / "kamailio.cfg"
    file.write_text(_CFG.format(sip=found.sip_port, evapi=found.evapi_port, defines=defines, included=INCLUDED))
    process = await asyncio.create_subprocess_exec(
        program, "-f", str(file), "-DD", "-E", "-Y", str(folder), "-P", str(folder / "pid"), "-m", "64", "-M", "16",
        stderr=(folder / "kamailio.log").open("wb"), stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(HANG_SECONDS):
            for port in (found.sip_port, found.evapi_port):
                while process.returncode is None:
                    try:
                        (await asyncio.open_connection("127.0.0.1", port))[1].close()
                        break
                    except OSError:
                        await asyncio.sleep(0.1)
        assert process.returncode is None, (folder / "kamailio.log").read_text()
        yield found
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@dataclass
class Reply:
    code: int
    reason: str
    headers: dict[str, str]


_numbers = count(1)


class Phone(asyncio.DatagramProtocol):
    """One phone: a UDP socket that registers, calls, and answers calls."""

    def __init__(self, user: str, kamailio: Kamailio) -> None:
        self.user, self._kamailio = user, kamailio
        self._replies: asyncio.Queue[Reply] = asyncio.Queue()
        self.called: asyncio.Event = asyncio.Event()

    async def open(self) -> Phone:
        self._transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: self, remote_addr=("127.0.0.1", self._kamailio.sip_port)
        )
        self.port = self._transport.get_extra_info("sockname")[1]
        return self

    def close(self) -> None:
        self._transport.close()

    def datagram_received(self, data: bytes, addr: object) -> None:
        first, *lines = data.decode().split("\r\n")
        if first.startswith("SIP/2.0 "):
            code, _, reason = first.removeprefix("SIP/2.0 ").partition(" ")
            headers = dict(line.split(": ", 1) for line in lines if ": " in line)
            if int(code) >= 200:
                self._replies.put_nowait(Reply(int(code), reason, headers))
        elif first.startswith("INVITE "):
            self.called.set()
            kept = [line for line in lines if line.startswith(("Via", "From", "Call-ID", "CSeq", "Record-Route"))]
            to = next(line for line in lines if line.startswith("To: "))
            answer = ["SIP/2.0 200 OK", *kept, f"{to};tag=callee", f"Contact: <sip:127.0.0.1:{self.port}>"]
            self._transport.sendto("\r\n".join([*answer, "Content-Length: 0", "", ""]).encode())

    async def register(self, *, expires: int = 600, user: str | None = None) -> Reply:
        user = user or self.user
        return await self._ask(
            "REGISTER", "sip:127.0.0.1", to=user, contact=f"<sip:{self.user}@127.0.0.1:{self.port}>", expires=expires
        )

    async def call(self, user: str) -> Reply:
        """Call somebody; the first final answer."""
        return await self._ask("INVITE", f"sip:{user}@127.0.0.1", to=user, contact=f"<sip:127.0.0.1:{self.port}>")

    async def _ask(self, method: str, target: str, *, to: str, contact: str, expires: int | None = None) -> Reply:
        number = next(_numbers)
        lines = [
            f"{method} {target} SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:{self.port};branch=z9hG4bK{number};rport",
            "Max-Forwards: 70",
            f"From: <sip:{self.user}@127.0.0.1>;tag=t{number}",
            f"To: <sip:{to}@127.0.0.1>",
            f"Call-ID: c{number}@127.0.0.1",
            f"CSeq: 1 {method}",
            f"Contact: {contact}",
            *([] if expires is None else [f"Expires: {expires}"]),
            "Content-Length: 0",
        ]
        self._transport.sendto("\r\n".join([*lines, "", ""]).encode())
        async with asyncio.timeout(HANG_SECONDS):
            return await self._replies.get()
