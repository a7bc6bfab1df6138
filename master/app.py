"""The composition root: settings in, a running license master out. Nothing else reads the clock.

Start at `serve`. `parts.py` makes the parts; here they are started in the order in which things need each other, and
taken down in reverse.
"""

from __future__ import annotations

import asyncio
import faulthandler
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import structlog

from licensemaster.daemon.garbage import collect_garbage_less_often
from licensemaster.daemon.open_files import allow_open_files
from master.auth.certificates.certificates import Certificates
from master.catalogs import load_catalogs
from master.parts import Parts
from master.process.tasks import IfEnded
from master.service.estates.estate_cache import EstateCache
from master.service.leases.learning import begin_learning
from master.service.runtime.database_health import Clocks, started_lease_clock
from master.service.runtime.lease_clock import lease_times, never_stepped
from master.service.runtime.periodic import places
from master.service_parts import VERSION
from master.settings import Settings
from master.signing import Signer
from master.store.backends.clock import write_nothing
from master.store.backends.database import StorageError, StorageProblem
from master.store.backends.opening import open_database
from master.store.backends.signing_key import signing_key
from master.store.backends.sqlite import SqliteDatabase
from master.store.backends.sqlite_file import Use
from master.store.statements.projects.projects import all_project_names
from master.store.upkeep import schema

_log = structlog.get_logger(__name__)
_WAIT_SECONDS = 0.5
_LAST_SECONDS = 20.0
"""How many seconds a master that must end may take to stop, besides letting calls finish."""
_SWITCH_SECONDS = 0.0001
"""How many seconds a thread that computes keeps the interpreter once another thread wants it. A call and its commit ask
for the interpreter dozens of times, and wait each time while a plan is worked out; Python's own default is fifty times
as long.
"""


class Running(Parts, kw_only=True):
    """A master that serves."""

    port: int = 0
    metrics_port: int = 0
    """The port of the metrics page; 0 where there is no metrics page."""


@asynccontextmanager
async def running(
    settings: Settings, clock: Callable[[], float] | None = None, stepped_seconds: Callable[[], float] = never_stepped
) -> AsyncIterator[Running]:
    """Run a whole master until the context ends; `clock` replaces the clocks of the database and of this machine, and
    `stepped_seconds` says how far it was set forward.

    Raises:
        StorageError: the database cannot be used; says what to do.
        CatalogError: a catalog has a mistake.
        OSError: an address cannot be listened on.
        ValueError: nothing says how callers prove who they are, or the certificates cannot be used.
    """
    files = settings.certificate_files
    certificates = None if files is None else Certificates(files, clock or time.time)
    catalogs = load_catalogs(settings)
    async with AsyncExitStack() as stack:
        database = open_database(settings.database_url, timeout_seconds=settings.database_timeout_seconds)
        stack.push_async_callback(database.close)
        database.occupy(Use.SERVE)
        await schema.check(database)
        if isinstance(database, SqliteDatabase) and database.read_by_others:
            _log.warning(
                "others can read the database, and it holds keys and secrets", remedy=f"chmod 600 {database.file}*"
            )
        await database.transact(write_nothing)  # it can be written to, and by this user
        clocks = Clocks(steady=_steady_seconds, wall=clock or time.time)
        lease_clock = None if clock is not None else await started_lease_clock(database, clocks)
        now = clock or lease_clock
        assert now is not None
        signer = Signer(*await database.transact(lambda tx: signing_key(tx, fresh=Signer.fresh(), now=now())))
        master = Running(
            settings=settings,
            catalogs=catalogs,
            database=database,
            clocks=clocks,
            lease_clock=lease_clock,
            clock=now,
            stepped_seconds=stepped_seconds if lease_clock is None else lease_clock.stepped_seconds,
            signer=signer,
            certificates=certificates,
        )
        await _start(master, stack)
        _log.info(
            "serving", listen=settings.listen, port=master.port, metrics_port=master.metrics_port, version=VERSION
        )
        yield master


async def _start(master: Running, stack: AsyncExitStack) -> None:
    """Start everything; the stack stops what was started, the latest first."""
    page = master.metrics_page()
    if page is not None:
        master.metrics_port = page.port
        stack.push_async_callback(asyncio.to_thread, page.close)
        stack.push_async_callback(master.tasks.keep("metrics page", page.run).stop)
        stack.callback(page.accept_no_more)
    stack.push_async_callback(master.committer.stop)
    master.committer.start(master.tasks)
    stack.push_async_callback(master.webhook_sender.close)
    for task, place in zip(master.periodic_tasks, places(len(master.periodic_tasks)), strict=True):
        stack.push_async_callback(task.stop)
        task.start(master.tasks, master.database_health.there, place=place)
    stack.push_async_callback(master.database_health.stop)
    stack.push_async_callback(master.server.stop, master.settings.drain_seconds)
    stack.callback(master.hub.drain)
    master.port = await master.server.start(master.settings.listen, master.certificates)
    serving = master.tasks.keep("gRPC", master.server.run, if_ended=IfEnded.END_PROCESS)
    stack.push_async_callback(serving.stop)
    master.database_health.start(master.tasks, place=1.0)  # it has just answered


def _steady_seconds() -> float:
    """Return seconds on a clock that never jumps; it goes on while the machine sleeps, where the machine has such a
    clock.
    """
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then let calls finish.
    Raises TaskLostError if a task ended and could not be kept going; the master serves nobody any more."""
    allow_open_files("streams_max", settings.streams_max)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await _until_the_database_answers(settings, stop)
    if stop.is_set():
        return
    async with running(settings) as master:
        collect_garbage_less_often()
        sys.setswitchinterval(_SWITCH_SECONDS)
        stopped, lost = asyncio.ensure_future(stop.wait()), asyncio.ensure_future(master.tasks.lost())
        await asyncio.wait((stopped, lost), return_when=asyncio.FIRST_COMPLETED)
        if lost.done():
            faulthandler.dump_traceback_later(master.settings.drain_seconds + _LAST_SECONDS, exit=True)
            raise lost.result()
        _log.info("stopping")
    _log.info("stopped")


async def mark_restored(
    settings: Settings, *, caller: str, clock: Callable[[], float] | None = None
) -> dict[str, float]:
    """Have every project of a database learn, because the database was restored from a backup; return until when, in
    UNIX seconds, by project.

    Raises:
        StorageError: the database cannot be used; says what to do.
        CatalogError: a catalog has a mistake.
    """
    database = open_database(settings.database_url)
    try:
        await schema.check(database)
        database.occupy(Use.CHANGE)
        clocks = Clocks(steady=_steady_seconds, wall=time.time)
        now = clock or await started_lease_clock(database, clocks)
        allowance = settings.clock_allowance_seconds
        lease_time = lease_times(now, never_stepped, clock_allowance_seconds=allowance)
        estates, why = EstateCache(load_catalogs(settings), settings.pace), "restored from a backup"
        return {
            name: await begin_learning(database, estates, name, why, caller=caller, time=lease_time())
            for name in await database.read(all_project_names)
        }
    finally:
        await database.close()


async def _until_the_database_answers(settings: Settings, stop: asyncio.Event) -> None:
    """Wait for a PostgreSQL that is away when the master starts; do not wait for an SQLite file."""
    database = open_database(settings.database_url, timeout_seconds=settings.database_timeout_seconds)
    has_logged = False
    try:
        while database.is_shared and not stop.is_set():
            try:
                return await database.read(lambda tx: None)
            except StorageError as error:
                if error.problem is not StorageProblem.STORAGE_UNAVAILABLE:
                    raise
                if not has_logged:
                    _log.error("the database does not answer; this master waits for it", reason=str(error))
                has_logged = True
            with suppress(TimeoutError):
                async with asyncio.timeout(_WAIT_SECONDS):
                    await stop.wait()
    finally:
        await database.close()
