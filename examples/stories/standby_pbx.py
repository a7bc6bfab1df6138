"""A standby PBX that goes on running while a story is told, and does what it is told on its standard input.

    python standby_pbx.py --server HOST:PORT --folder DIR --tls DIR projects/PROJECT/pbxs/STANDBY

Orders, one a line, each answered with one line:
    take over projects/PROJECT/pbxs/PBX      carry the seats of a PBX that failed
    phones COUNT                             so many of its phones register here
    wait STATE                               until the carried lease is in that state (connected, fenced)
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from slave_client import ClientConfig, Granted, HolderKind, SlaveClient, State, TakeoverError, TlsFiles, Want


class StandbyPbx:
    """One standby, and what it carries."""

    def __init__(self, client: SlaveClient) -> None:
        self._client = client
        self._carried: SlaveClient | None = None

    async def obey(self, order: str) -> str:
        """Do it, and say what came of it."""
        if order.startswith("take over "):
            return await self._take_over(order.removeprefix("take over "))
        if self._carried is None:
            return "nothing is carried"
        if order.startswith("phones "):
            return await self._phones(self._carried, int(order.removeprefix("phones ")))
        if order.startswith("wait "):
            await self._carried.wait_for_state(State(order.removeprefix("wait ")), timeout_seconds=60)
            return self._standing(self._carried)
        return f"no such order: {order}"

    async def _take_over(self, primary: str) -> str:
        try:
            self._carried = await self._client.take_over(primary, reason="it failed")
        except TakeoverError as refused:
            return f"not taken over: {refused}"
        return self._standing(self._carried)

    async def _phones(self, carried: SlaveClient, count: int) -> str:
        wants = [Want("port", HolderKind.USER, f"phone-{number}") for number in range(count)]
        outcomes = await carried.acquire_many(wants)
        granted = sum(isinstance(outcome, Granted) for outcome in outcomes)
        return f"{granted} of {count} phones have a port license"

    def _standing(self, carried: SlaveClient) -> str:
        report = carried.report()
        name = carried.config.pbx.rpartition("/")[2]
        end = f", until {report.lease_end:%H:%M:%S}" if report.lease_end else ""
        return f"carrying {name}: {report.state.value}{end}; {report.seats_held} seats in use"


async def main() -> None:
    """Keep the standby's own lease, and obey until the input ends."""
    parser = argparse.ArgumentParser(description="A standby PBX.")
    parser.add_argument("--server", required=True)
    parser.add_argument("--folder", required=True, type=Path)
    parser.add_argument("--tls", required=True, type=Path)
    parser.add_argument("pbx")
    given = parser.parse_args()
    folder = given.folder / given.pbx.replace("/", "-")
    folder.mkdir(parents=True, exist_ok=True)
    name = given.pbx.rpartition("/")[2]
    tls = TlsFiles(ca=given.tls / "ca.crt", certificate=given.tls / f"{name}.crt", key=given.tls / f"{name}.key")
    config = ClientConfig(addresses=(given.server,), pbx=given.pbx, software_version="12", state_dir=folder, tls=tls)
    client = SlaveClient(config)
    await client.start()
    try:
        await client.wait_for_state(State.CONNECTED, timeout_seconds=30)
        standby = StandbyPbx(client)
        print("ready", flush=True)
        while order := await asyncio.to_thread(sys.stdin.readline):
            print(await standby.obey(order.strip()), flush=True)
    finally:
        await client.crash()


if __name__ == "__main__":
    asyncio.run(main())
