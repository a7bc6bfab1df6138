"""A real Prometheus that scrapes a master and evaluates the rules."""

from __future__ import annotations

import asyncio
import json
import shutil
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode

import pytest

from master.launch import reserved_port


def program(name: str) -> str:
    """Where a program is; the test is skipped by its name where it is not installed."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


@dataclass(frozen=True, slots=True)
class Prometheus:
    port: int

    async def get(self, path: str, **query: str) -> dict[str, Any]:
        """What its API answers; a refusal of the query is an answer as well."""

        def call() -> dict[str, Any]:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/{path}?{urlencode(query)}") as answer:
                    collected: dict[str, Any] = json.load(answer)
            except HTTPError as error:
                collected = json.load(error)
            return collected

        return await asyncio.to_thread(call)

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples of an instant query; fails where Prometheus does not understand it."""
        answer = await self.get("query", query=expression)
        assert answer["status"] == "success", (expression, answer.get("error"))
        collected: list[dict[str, Any]] = answer["data"]["result"]
        return collected

    async def until_answered(
        self, expression: str, fits: Callable[[list[dict[str, Any]]], bool] = bool
    ) -> list[dict[str, Any]]:
        """The samples, once there are some that fit; the test's own time limit is the only one."""
        while not fits(answer := await self.query(expression)):  # noqa: ASYNC110  # nothing else tells when it scraped
            await asyncio.sleep(0.1)
        return answer

    async def alert(self, name: str) -> list[dict[str, Any]]:
        """The pending and firing alerts of a name, once there is one."""
        while True:
            active = (await self.get("alerts"))["data"]["alerts"]
            if collected := [alert for alert in active if alert["labels"]["alertname"] == name]:
                return collected
            await asyncio.sleep(0.1)


@asynccontextmanager
async def running_prometheus(
    folder: Path, *, metrics_port: int, rules: Path | None = None
) -> AsyncIterator[Prometheus]:
    """Scrapes and evaluates every second; gone when the context ends."""
    executable = program("prometheus")
    config = folder / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
        + (f"rule_files: ['{rules}']\n" if rules else "")
        + "scrape_configs:\n"
        + f"- {{job_name: license-master, static_configs: [{{targets: ['127.0.0.1:{metrics_port}']}}]}}\n"
    )
    prometheus = Prometheus(reserved_port())
    server = await asyncio.create_subprocess_exec(
        executable,
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{prometheus.port}",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        while not await _answers(prometheus):  # noqa: ASYNC110  # nothing else tells when it listens
            await asyncio.sleep(0.1)
        yield prometheus
    finally:
        if server.returncode is None:
            server.terminate()
        await server.wait()


async def _answers(prometheus: Prometheus) -> bool:
    try:
        return bool((await prometheus.get("query", query="vector(1)"))["status"] == "success")
    except (OSError, ValueError):
        return False
