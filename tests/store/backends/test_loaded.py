"""What a master on a file loads while it serves."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.support.masters import master_process, wire_to
from tests.support.projects.estates import project


async def test_a_master_on_a_file_does_without_sqlalchemy(sqlite_database_url: str) -> None:
    """Also once a project was applied, which is judged on a copy, and a dry run was answered."""
    async with master_process(sqlite_database_url) as master, wire_to(master.address) as wire:
        await wire.apply(project({"PBX-Port12": 5}))
        await wire.apply(project({"PBX-Port12": 6}), dry_run=True)
        mapped = await asyncio.to_thread(Path(f"/proc/{master.pid}/maps").read_text)
        assert "/cryptography/" in mapped
        assert "/sqlalchemy/" not in mapped
