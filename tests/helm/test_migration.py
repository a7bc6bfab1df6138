"""The migration as the Job would run it: its own arguments and variables, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.cli.command import Done, run
from tests.helm.charts import POSTGRESQL, Values, container, pod_templates, variables
from tests.support.databases.postgres import PostgresServer


async def upgraded(values: Values, url: str) -> Done:
    job = container(pod_templates(values)["Job"], "upgrade")
    arguments: list[str] = job["args"]
    [secret] = [variable["name"] for variable in job["env"] if "valueFrom" in variable]
    surroundings: dict[str, Any] = {secret: url, **variables(job)}
    return await run(*arguments, **surroundings)


def with_mode(mode: str) -> Values:
    postgresql = {**POSTGRESQL["database"]["postgresql"], "sslMode": mode}
    return {**POSTGRESQL, "database": {"type": "postgresql", "create": True, "postgresql": postgresql}}


FIRST = {**POSTGRESQL, "database": {**POSTGRESQL["database"], "create": True}}


@asynccontextmanager
async def over_tcp(url: str) -> AsyncIterator[str]:
    """The same database by way of a port: over a Unix socket nobody asks for TLS."""
    path = parse_qs(urlsplit(url).query)["host"][0] + "/.s.PGSQL.5432"

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
        writer.close()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_unix_connection(path)
        await asyncio.gather(copy(reader, server_writer), copy(server_reader, writer), return_exceptions=True)

    async with await asyncio.start_server(forward, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        parts = urlsplit(url)
        yield f"postgresql://{parts.username}@{host}:{port}{parts.path}"


async def test_the_job_upgrades_and_may_run_again(postgres: PostgresServer) -> None:
    url = await postgres.new_database()
    refused = await upgraded(POSTGRESQL, url)
    assert (refused.code, "db upgrade --create" in refused.err) == (1, True)
    first = await upgraded(FIRST, url)
    assert (first.code, first.err) == (0, "")
    assert "(was empty)" in first.out
    again = await upgraded(POSTGRESQL, url)
    assert again.code == 0
    assert "was" not in again.out


@pytest.mark.parametrize("mode", ["disable", "prefer"])
async def test_a_server_without_tls_is_taken_where_the_values_say_so(postgres: PostgresServer, mode: str) -> None:
    async with over_tcp(await postgres.new_database()) as url:
        done = await upgraded(with_mode(mode), url)
    assert (done.code, done.err) == (0, "")


async def test_a_server_without_tls_is_refused_by_default(postgres: PostgresServer) -> None:
    async with over_tcp(await postgres.new_database()) as url:
        done = await upgraded(POSTGRESQL, url)
    assert done.code == 1
    assert "SSL" in done.err
