"""PBX SECONDS USER...: a PBX of acme that has a port for each user for so long, and then stops as for a reboot."""

import asyncio
import os
import sys
from pathlib import Path

from slave_client import ClientConfig, HolderKind, SlaveClient, TlsFiles, Want


async def _main(pbx: str, seconds: float, *users: str) -> None:
    config = ClientConfig(
        addresses=(os.environ["LICENSE_MASTER_SERVER"],),
        pbx=f"projects/acme/pbxs/{pbx}",
        software_version="12r1",
        state_dir=Path("state", pbx),
        tls=TlsFiles(ca=Path("site/ca.crt"), certificate=Path(f"site/{pbx}.crt"), key=Path(f"site/{pbx}.key")),
    )
    async with SlaveClient(config) as client:
        for user in users:
            outcome = await client.acquire(Want("port", HolderKind.USER, user))
            assert outcome.granted, outcome
        await asyncio.sleep(seconds)
        await client.stop()


asyncio.run(_main(sys.argv[1], float(sys.argv[2]), *sys.argv[3:]))
