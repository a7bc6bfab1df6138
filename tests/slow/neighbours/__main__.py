"""`python -m tests.slow.neighbours [--seconds 10] [--postgresql] [ROLE[:NUMBER] ...]`: measure, print a table."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from licensemaster.files.writer import write_file
from tests.slow.neighbours.attacks import ATTACKS
from tests.slow.neighbours.estate import Wallet
from tests.slow.neighbours.measuring import beset, beset_master, costs, line, machine, peak_mib
from tests.support.databases.postgres import running_postgres
from tests.support.masters import sqlite_url, upgraded


async def _run(chosen: argparse.Namespace) -> None:
    attacks = []
    for name in chosen.attacks or ATTACKS:
        role, _, number = name.partition(":")
        attacks += [(role, int(number))] if number else [(role, at) for at in range(len(ATTACKS[role]))]
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="neighbours-")))
        wallet, pki = Wallet.filled(folder)
        if chosen.postgresql:
            server = stack.enter_context(running_postgres())
            url = await upgraded(await server.new_database())
        else:
            url = await upgraded(sqlite_url(folder))
        process = await stack.enter_async_context(beset_master(url, wallet, pki, niceness=chosen.niceness))
        if chosen.costs:
            print(*await costs(process, wallet, attacks, seconds=chosen.seconds, niceness=chosen.niceness), sep="\n")
            return
        figures, load = await beset(process, wallet, attacks, seconds=chosen.seconds, niceness=chosen.niceness)
        print(machine(), load, f"peak {peak_mib(process.pid):.0f} MiB")
        for figure in figures:
            print(line(figure), figure.lost or "")
        await process.kill()
        if chosen.log:
            write_file(Path(chosen.log), process.log.encode())


def main() -> None:
    """Measure what the command line names, or everything."""
    parser = argparse.ArgumentParser(prog="python -m tests.slow.neighbours", description=__doc__)
    parser.add_argument("attacks", nargs="*", metavar="ROLE[:NUMBER]")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--postgresql", action="store_true")
    parser.add_argument("--costs", action="store_true", help="of one call at a time, with no load beside")
    parser.add_argument("--niceness", type=int, default=0, help="of the master and its load; below 0 where others work")
    parser.add_argument("--log", help="a file for the master's log")
    asyncio.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
