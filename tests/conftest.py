"""Databases and masters for every test; which rules no test names, and which statements only SQLite was given."""

from __future__ import annotations

import asyncio
import gc
import importlib
import os
import re
import shutil
import signal
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import structlog
import uvloop
from hypothesis import HealthCheck, settings

from master.store.backends import connections
from master.store.backends.opening import open_database
from master.store.upkeep import schema
from tests.support.command_server import PLACE, RUN
from tests.support.databases.postgres import PostgresServer, in_memory, place_for_postgres, started_postgres
from tests.support.databases.statements import SEEN, add_seen, never_on_postgresql, note_statements
from tests.support.limits import EITHER_DATABASE, HANG_SECONDS, LONG
from tests.support.masters import Clock, InProcess, in_process_master, sqlite_url

gc.set_threshold(100_000, 20, 50)  # as a master that serves; everything that tests import would be looked through again

schema._CONNECT_SECONDS = HANG_SECONDS  # a slow disk is no silent server; tests of one set their own limit
open_database.__kwdefaults__ = {"timeout_seconds": HANG_SECONDS}

# The same examples each time, so that a run fails for what was changed; TESTS_LONG=1 tries others. Judged by what they
# find, not by how busy the machine is.
settings.register_profile("proof", derandomize=not LONG, deadline=None, suppress_health_check=list(HealthCheck))
settings.load_profile("proof")

asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())  # what masters and agents run on in earnest

# A shell has it ignored for what runs in the background; then Ctrl-C of tests would end none of their processes. Where
# the handler is Python's own, asyncio puts in another for each test and each fixture, and writes their task out for it.
signal.signal(signal.SIGINT, lambda number, frame: signal.default_int_handler(number, frame))

structlog.configure(  # the default renders every local of a traceback, which takes minutes for a big estate
    processors=[structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)]
)

RULES_FILE = Path(__file__).parent.parent / "docs" / "rules.md"
SLOW = Path(__file__).parent / "slow"


@pytest.fixture(scope="session")
def postgres() -> PostgresServer:
    """One real PostgreSQL server for the run, with the databases of all workers."""
    return started_postgres(Path(os.environ[PLACE]))


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An upgraded, empty SQLite file, to be copied."""
    folder = tmp_path_factory.mktemp("template")
    schema.upgrade(sqlite_url(folder), schema.IfAbsent.CREATE)
    return folder


@pytest.fixture(scope="session")
def postgres_template(postgres: PostgresServer) -> str:
    """The name of an upgraded, empty PostgreSQL database, to be copied."""

    def make() -> str:
        url = asyncio.run(postgres.new_database())
        schema.upgrade(url, schema.IfAbsent.CREATE)
        return urlsplit(url).path.removeprefix("/")

    with ThreadPoolExecutor(1) as thread:  # the test that asks first has an event loop running in this one
        return thread.submit(make).result()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """An upgraded, empty database; every test that asks for it runs on both kinds."""
    found: str = request.getfixturevalue(f"{request.param}_database_url")
    return found


@pytest.fixture
def sqlite_database_url(sqlite_template: Path, tmp_path: Path) -> str:
    """An upgraded, empty SQLite file."""
    shutil.copytree(sqlite_template, tmp_path, dirs_exist_ok=True)
    return sqlite_url(tmp_path)


@pytest.fixture
async def postgresql_database_url(
    postgres: PostgresServer, postgres_template: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[str]:
    """An upgraded, empty PostgreSQL database, for what only several masters can do."""
    monkeypatch.setattr(connections, "_CONNECT_SECONDS", HANG_SECONDS)  # this server is busy, never silent
    url = await postgres.new_database(like=postgres_template)
    yield url
    await postgres.drop(url)


@pytest.fixture
def clock() -> Clock:
    """Time that the test moves."""
    return Clock()


@pytest.fixture
def either_database_url(request: pytest.FixtureRequest) -> str:
    """An upgraded, empty database, where its kind plays no part: SQLite, and PostgreSQL in `make test-slow`."""
    found: str = request.getfixturevalue(f"{EITHER_DATABASE}_database_url")
    return found


@pytest.fixture
async def master(either_database_url: str, clock: Clock) -> AsyncIterator[InProcess]:
    """A real master, where the kind of its database plays no part, with the test's clock."""
    async with in_process_master(either_database_url, clock) as running:
        yield running


@pytest.fixture
async def sqlite_master(sqlite_database_url: str, clock: Clock) -> AsyncIterator[InProcess]:
    """A real master on SQLite, for what is held up in its writer."""
    async with in_process_master(sqlite_database_url, clock) as running:
        yield running


@pytest.fixture
async def any_master(database_url: str, clock: Clock) -> AsyncIterator[InProcess]:
    """A real master, once on each kind of database."""
    async with in_process_master(database_url, clock) as running:
        yield running


def pytest_configure(config: pytest.Config) -> None:
    """Where tests keep their files, and where PostgreSQL and the server of commands run once a test asks for them: in
    one place for all workers, which these outlive."""
    note_statements()
    if hasattr(config, "workerinput"):
        _import_a_share(config)
        return
    stack = ExitStack()
    config.add_cleanup(stack.close)
    folder = in_memory()
    if folder is not None and not os.statvfs(folder).f_flag & os.ST_NOEXEC:  # programs are among them
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(folder))  # where no commit waits for a disk
    place = stack.enter_context(place_for_postgres(folder))
    os.environ.update({PLACE: str(place), RUN: str(os.getpid())})


def _import_a_share(config: Any) -> None:
    """Import some test modules before all are collected, each worker others: to rewrite their assertions takes twice as
    long as to collect them, and what one worker has rewritten the others read."""
    worker, workers = int(config.workerinput["workerid"].removeprefix("gw")), config.workerinput["workercount"]
    ignored = [Path(name).resolve() for name in config.option.ignore or ()]
    for name in config.args:
        for file in sorted(Path(name).resolve().rglob("test_*.py"))[worker::workers]:
            if not any(file.is_relative_to(folder) for folder in ignored):
                with suppress(Exception, pytest.skip.Exception):  # collecting it says what is wrong with it
                    importlib.import_module(".".join(file.relative_to(config.rootpath).with_suffix("").parts))


def pytest_collection_finish() -> None:
    """What was imported and collected stays."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Remember which rules `make test` names; an id that docs/rules.md does not have is a mistake."""
    if unknown := _named_by(items) - set(_rules()):
        raise pytest.UsageError(f"tests name rules that docs/rules.md does not have: {', '.join(sorted(unknown))}")
    named = _named_by(item for item in items if not item.path.is_relative_to(SLOW))
    config.stash[_NAMED] = named
    if (
        output := getattr(config, "workeroutput", None)
    ) is not None:  # under xdist the workers collect, the controller reports
        output["rules"] = sorted(named)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Two for each core that this process may use: a third of their time tests wait, for databases and processes."""
    return 2 * len(os.sched_getaffinity(0))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a worker collected and saw."""
    output = getattr(node, "workeroutput", {})
    node.config.stash[_NAMED] = set(output.get("rules", ()))
    add_seen(output.get("statements", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """End with the rules that no test outside tests/slow names, and the statements that PostgreSQL was never given,
    unless only a part of the tests was asked for."""
    if config.args_source is not pytest.Config.ArgsSource.TESTPATHS or config.option.keyword or config.option.markexpr:
        return
    missing = [rule for rule in _rules() if rule not in config.stash.get(_NAMED, set())]
    terminalreporter.section("rules without a test")
    terminalreporter.line(" ".join(missing) or "none")
    terminalreporter.section("statements that no test put to PostgreSQL")
    terminalreporter.line("\n".join(never_on_postgresql()) or "none")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """In CI a skipped test is a failed run: what it misses must be installed."""
    if (output := getattr(session.config, "workeroutput", None)) is not None:
        output["statements"] = {dialect: sorted(statements) for dialect, statements in SEEN.items()}
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("TESTS_NO_SKIPS") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


_NAMED = pytest.StashKey[set[str]]()


def _named_by(items: Iterable[pytest.Item]) -> set[str]:
    return {str(rule) for item in items for mark in item.iter_markers("rule") for rule in mark.args}


def _rules() -> list[str]:
    if not RULES_FILE.exists():
        return []
    return re.findall(r"^- \*\*([A-Z]\d+)\*\*", RULES_FILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
