"""One phone that speaks SIP over UDP, as the test has it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import count

from simulator.sip.site import Kamailio
from tests.support.limits import HANG_SECONDS


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
        elif not first.startswith("ACK "):
            if first.startswith("INVITE "):
                self.called.set()
            kept = [line for line in lines if line.startswith(("Via", "From", "Call-ID", "CSeq", "Record-Route"))]
            to = next(line for line in lines if line.startswith("To: "))
            tag = "" if ";tag=" in to else ";tag=callee"
            answer = ["SIP/2.0 200 OK", *kept, f"{to}{tag}", f"Contact: <sip:127.0.0.1:{self.port}>"]
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
