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
        first, *lines = data.decode(errors="surrogateescape").split("\r\n")
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
            self._transport.sendto("\r\n".join([*answer, "Content-Length: 0", "", ""]).encode(errors="surrogateescape"))

    async def register(
        self, *, expires: int | None = 600, user: str | None = None, contact: str = "{}", domain: str = "127.0.0.1"
    ) -> Reply:
        """Register; `contact` is what the header says, with `{}` for this phone's address in its brackets."""
        contact = contact.replace("{}", f"<sip:{self.user}@127.0.0.1:{self.port}>")
        to = f"{user or self.user}@{domain}"
        return await self._ask("REGISTER", "sip:127.0.0.1", to=to, contact=contact, expires=expires)

    def send_register(self, user: str, *, call_id: str) -> None:
        """Send a REGISTER of somebody, and wait for no answer."""
        number = next(_numbers)
        name = f"<sip:{user}@127.0.0.1>"
        headers = {"From": f"{name};tag=t{number}", "To": name, "Call-ID": f"{call_id}{number}"}
        self._send("REGISTER", "sip:127.0.0.1", {**headers, "CSeq": "1 REGISTER", "Contact": "<sip:127.0.0.1:9>"})

    async def call(self, user: str) -> Reply:
        """Call somebody; the first final answer."""
        target = f"{user}@127.0.0.1"
        return await self._ask("INVITE", f"sip:{target}", to=target, contact=f"<sip:127.0.0.1:{self.port}>")

    async def talk(self, user: str) -> Reply:
        """Call somebody who answers; they talk until `hang_up`, which takes what is returned."""
        answer = await self.call(user)
        self._send("ACK", _target(answer), _dialog(answer, "1 ACK"))
        return answer

    async def hang_up(self, answer: Reply) -> Reply:
        """End a call that was answered so."""
        return await self._asked("BYE", _target(answer), _dialog(answer, "2 BYE"))

    async def _ask(self, method: str, target: str, *, to: str, contact: str, expires: int | None = None) -> Reply:
        number = next(_numbers)
        headers = {
            "From": f"<sip:{self.user}@127.0.0.1>;tag=t{number}",
            "To": f"<sip:{to}>",
            "Call-ID": f"c{number}@127.0.0.1",
            "CSeq": f"1 {method}",
            "Contact": contact,
            **({} if expires is None else {"Expires": str(expires)}),
        }
        return await self._asked(method, target, headers)

    async def _asked(self, method: str, target: str, headers: dict[str, str]) -> Reply:
        self._send(method, target, headers)
        async with asyncio.timeout(HANG_SECONDS):
            while True:  # what was asked before may be answered twice
                reply = await self._replies.get()
                if all(reply.headers.get(name) == headers[name] for name in ("Call-ID", "CSeq")):
                    return reply

    def _send(self, method: str, target: str, headers: dict[str, str]) -> None:
        lines = [
            f"{method} {target} SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:{self.port};branch=z9hG4bK{next(_numbers)};rport",
            "Max-Forwards: 70",
            *(f"{name}: {said}" for name, said in headers.items()),
            "Content-Length: 0",
        ]
        self._transport.sendto("\r\n".join([*lines, "", ""]).encode(errors="surrogateescape"))


def _target(answer: Reply) -> str:
    return answer.headers["Contact"].strip("<>")


def _dialog(answer: Reply, number: str) -> dict[str, str]:
    """What every request of a call says."""
    said = {name: answer.headers[name] for name in ("From", "To", "Call-ID")}
    return {**said, "Route": answer.headers["Record-Route"], "CSeq": number}
