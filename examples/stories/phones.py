"""Lets so many phones be registered at a PBX, as the PBX itself does it, and tells how many got a license.

    python phones.py --server HOST:PORT --folder DIR --tls DIR projects/PROJECT/pbxs/PBX COUNT [SOFTWARE]
        [--signed] [--wait] [--at-sea] [--type TYPE]

Each run is the PBX after a restart: it goes on under the lease that it kept in its folder, and asks for what it wants
now. Afterwards it stops, as for a short maintenance: the master counts its seats until its lease ends. With --signed it
stops only when its lease was renewed, so that the signed one in its folder says what it holds. With --wait it waits for
what is short, where the operator lets it. With --at-sea it has no line to any master.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from pathlib import Path

from slave_client import BlockingSlaveClient, ClientConfig, HolderKind, Refused, State, TlsFiles, Want


def main() -> None:
    """Read the command line, and let the phones register."""
    parser = argparse.ArgumentParser(description="Phones register at a PBX.")
    parser.add_argument("--server", required=True)
    parser.add_argument("--folder", required=True, type=Path)
    parser.add_argument("--tls", required=True, type=Path)
    parser.add_argument("pbx")
    parser.add_argument("count", type=int)
    parser.add_argument("software", nargs="?", default="12")
    parser.add_argument("--signed", action="store_true")
    parser.add_argument("--wait", action="store_true")
    parser.add_argument("--at-sea", action="store_true")
    parser.add_argument("--type", default="port", help="the license that each of them needs")
    given = parser.parse_args()
    folder = given.folder / given.pbx.replace("/", "-")
    folder.mkdir(parents=True, exist_ok=True)
    name = given.pbx.rpartition("/")[2]
    tls = TlsFiles(ca=given.tls / "ca.crt", certificate=given.tls / f"{name}.crt", key=given.tls / f"{name}.key")
    server = "127.0.0.1:1" if given.at_sea else given.server
    config = ClientConfig(
        addresses=(server,), pbx=given.pbx, software_version=given.software, state_dir=folder, tls=tls
    )
    client = BlockingSlaveClient(config)
    client.start()
    try:
        client.wait_for_state(State.BORROWING if given.at_sea else State.CONNECTED, timeout_seconds=30)
        wants = [Want(given.type, HolderKind.USER, f"phone-{number}") for number in range(given.count)]
        outcomes = list(client.sync(wants).outcomes)
        if given.wait:
            outcomes = client.acquire_many(wants, wait=True)
        opened = client.report().lease_end
        while given.signed and client.report().lease_end == opened:
            time.sleep(0.1)
    finally:
        client.stop()
    refused = [outcome for outcome in outcomes if isinstance(outcome, Refused)]
    granted = len(outcomes) - len(refused)
    pbx, phones = given.pbx.rpartition("/")[2], f"{granted} of {given.count} phones"
    print(f"{pbx} on {given.software}: {phones} have a {given.type} license")
    for message, times in Counter(map(_said, refused)).items():
        print(f"  {times} refused: {message}")


def _said(refusal: Refused) -> str:
    """Why, in one line; those who wait are told alike."""
    if refusal.place:
        return f"{refusal.reason.name}: has its place, and gets a seat as soon as its turn comes"
    return f"{refusal.reason.name}: {refusal.message}"


if __name__ == "__main__":
    main()
