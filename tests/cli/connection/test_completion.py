"""What a shell offers behind Tab: names of the project that the command would ask about, or nothing."""

from __future__ import annotations

import asyncio

import pytest

from tests.cli.command import run
from tests.support.limits import HANG_SECONDS
from tests.support.masters import InProcess
from tests.support.projects.estates import project


async def _offered(line: str, server: str) -> set[str]:
    done = await run(
        _LICENSE_MASTER_COMPLETE="complete_bash",
        COMP_WORDS=line,
        COMP_CWORD=str(line.count(" ")),
        LICENSE_MASTER_SERVER=server,
    )
    assert (done.code, done.err) == (0, "")
    return set(done.out.split())


@pytest.mark.parametrize(
    ("line", "some", "none"),
    [
        ("license-master explain ber", "berlin", "hq"),
        ("license-master seats --pbx ", "hq", "berlin-box"),
        ("license-master seats --site site-", "site-berlin", "berlin"),
        ("license-master seats --type p", "port", "video"),
        ("license-master license release ports", "ports-12", "video-12"),
        ("license-master license list --device ", "berlin-box", "berlin"),
        ("license-master device token h", "hq-box", "berlin-box"),
        ("license-master status --project a", "acme", "berlin"),
    ],
)
async def test_names_of_the_project(master: InProcess, line: str, some: str, none: str) -> None:
    spec = project({"PBX-Port12": 5, "PBX Video12": 5})
    for license, name in zip(spec.licenses, ("ports-12", "video-12"), strict=True):
        license.id = name
    await master.wire.apply(spec)
    async with asyncio.timeout(HANG_SECONDS):
        while not (offered := await _offered(line, master.wire.address)):  # a busy master is not waited for
            pass
    assert (some in offered, none in offered) == (True, False)


async def test_where_no_master_answers_nothing_is_offered() -> None:
    assert await _offered("license-master seats --pbx ", "127.0.0.1:9") == set()
