"""The composition root: settings in, a running agent out. Start at `serve`."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version

import structlog

from license_agent.agent import Agent
from license_agent.http.server import LocalServer
from license_agent.kamailio.registrar import Registrar
from license_agent.readiness import keep_watchdog_quiet, tell_systemd
from license_agent.settings import AgentSettings
from licensemaster.daemon.garbage import collect_garbage_less_often
from licensemaster.daemon.open_files import allow_open_files
from slave_client.connection.clocks import Clock

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Running:
    """An agent that serves."""

    agent: Agent
    server: LocalServer
    lasting: tuple[asyncio.Task[None], ...]
    """Tasks that run as long as the agent; a task that ends by itself has failed."""


@asynccontextmanager
async def running(settings: AgentSettings, clock: Clock | None = None) -> AsyncIterator[Running]:
    """Run a whole agent until the context ends; its lease and seats stay for the next start. `clock` is for tests.

    Raises:
        ValueError: a setting or a file that it names cannot be used.
        FolderInUseError: another client uses the state directory.
        OSError: the state directory or a socket cannot be used.
    """
    agent = Agent(settings, clock)
    server = LocalServer(settings, agent)
    async with agent.client, server.serving():
        await agent.takeover.resume()
        lasting: tuple[asyncio.Task[None], ...] = ()
        if settings.kamailio is not None:
            lasting = (asyncio.create_task(Registrar(settings, agent).run(), name="registrar of Kamailio"),)
        try:
            yield Running(agent, server, lasting)
        finally:
            for task in lasting:
                task.cancel()
            await asyncio.gather(*lasting, return_exceptions=True)
            await agent.client.stop()  # who waits for a master is answered, before the connections end


async def serve(settings: AgentSettings) -> None:
    """Run an agent until SIGTERM or SIGINT.

    Raises as `running`, and RuntimeError where a part of the agent has ended: the service manager restarts the process.
    """
    logging.getLogger("slave_client").setLevel(logging.ERROR)  # its notices are told by `events`
    allow_open_files("connections_max", settings.connections_max)
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running(settings) as found:
        _log.info(
            "serving",
            pbx=settings.pbx,
            socket=str(settings.socket),
            port=found.server.port,
            version=version("license-master-agent"),
        )
        collect_garbage_less_often()
        tell_systemd("READY=1")
        alive = asyncio.create_task(keep_watchdog_quiet())
        stopping = asyncio.create_task(stop.wait())
        ended, _ = await asyncio.wait((stopping, *found.lasting), return_when=asyncio.FIRST_COMPLETED)
        alive.cancel()
        tell_systemd("STOPPING=1")
        _log.info("stopping")
    for task in ended - {stopping}:
        raise RuntimeError(f"the {task.get_name()} has ended") from (None if task.cancelled() else task.exception())
    _log.info("stopped")
