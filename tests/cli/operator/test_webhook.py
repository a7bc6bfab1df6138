"""`license-master webhook` against a real master and a real receiver."""

from __future__ import annotations

import asyncio
import json
import os

from tests.cli.command import Done, run
from tests.support.masters import InProcess
from tests.support.network.receiver import receiving
from tests.support.projects.estates import project


async def test_a_webhook_from_adding_to_removing(master: InProcess) -> None:
    await master.wire.apply(project({"PBX-Port12": 1}))

    async def webhook(*arguments: str, stdin: int = asyncio.subprocess.DEVNULL) -> Done:
        return await run("webhook", *arguments, "--server", master.wire.address, stdin=stdin)

    async with receiving() as receiver:
        reading, writing = os.pipe()
        os.write(writing, f"{receiver.url}\n".encode())
        os.close(writing)
        added = await webhook("add", "pager", "-", "--kind", "pool.used_up", "--reason", "night shift", stdin=reading)
        os.close(reading)
        assert (added.code, len(added.out.strip())) == (0, 43)
        listed = await webhook("list")
        assert "pool.used_up" in listed.out
        assert "t0ken" not in listed.out
        assert added.out.strip() not in listed.out
        assert (await webhook("test", "pager")).out == "taken\n"
        receiver.status = 500
        failed = await webhook("test", "pager")
        assert (failed.code, failed.out) == (1, "the receiver answered 500\n")
    dead = await webhook("dead", "--retry")
    assert dead.out == "nothing is dead\n0 are sent again\n"
    assert json.loads((await webhook("dead", "--json")).out) == {"messages": []}
    assert (await webhook("remove", "pager")).code == 0
    gone = await webhook("test", "pager")
    assert gone.code == 1
    assert "webhook pager is unknown" in gone.err
    assert (await webhook("list")).out == "no receivers\n"
