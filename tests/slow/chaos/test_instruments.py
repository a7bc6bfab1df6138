"""What stories are played with does what it says: otherwise they would show nothing."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.slow.chaos.meddling import Meddling, NoCompilerError, library, meddling
from tests.support.limits import HANG_SECONDS
from tests.support.network.lines import FAIR, Line, Way, Weather, line_to


@pytest.fixture
def meddled(tmp_path: Path) -> Iterator[Meddling]:
    try:
        library()
    except NoCompilerError as missing:
        pytest.skip(str(missing))
    with meddling(tmp_path / "control") as opened:
        yield opened


def _run(meddled: Meddling, code: str, *arguments: object) -> str:
    command = [sys.executable, "-S", "-c", code, *map(str, arguments)]
    return subprocess.run(
        command, env=meddled.environment, check=True, capture_output=True, text=True, timeout=HANG_SECONDS
    ).stdout.strip()


_CLOCKS = "import time, datetime; print(time.time(), datetime.datetime.now().timestamp(), time.monotonic())"


@pytest.mark.parametrize("step", [-3600.5, 0.0, 86_400.25])
def test_the_wall_clock_is_set_and_the_steady_one_is_not(meddled: Meddling, step: float) -> None:
    meddled.step_clock(step)
    wall, of_day, steady = map(float, _run(meddled, _CLOCKS).split())
    assert wall == pytest.approx(time.time() + step, abs=5)
    assert of_day == pytest.approx(time.time() + step, abs=5)
    assert steady == pytest.approx(time.monotonic(), abs=5)


_COMMIT = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
try:
    database.execute("PRAGMA synchronous=FULL")
    database.execute("CREATE TABLE IF NOT EXISTS t (x)")
    database.execute("INSERT INTO t VALUES (1)")
except sqlite3.Error as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("fault", "message"), [("full_disk", "database or disk is full"), ("failing_disk", "disk I/O error")]
)
def test_a_database_on_a_broken_disk(meddled: Meddling, tmp_path: Path, fault: str, message: str) -> None:
    file = tmp_path / "t.db"
    assert _run(meddled, _COMMIT, file) == ""
    getattr(meddled, fault)(True)
    assert message in _run(meddled, _COMMIT, file)
    assert meddled.felt > 0
    getattr(meddled, fault)(False)
    assert _run(meddled, _COMMIT, file) == ""
    assert sqlite3.connect(file).execute("SELECT count(*) FROM t").fetchone() in {(2,), (3,)}


def test_a_slow_disk(meddled: Meddling, tmp_path: Path) -> None:
    meddled.slow_disk(0.05)
    assert _run(meddled, _COMMIT, tmp_path / "t.db") == ""
    assert meddled.felt > 0


@asynccontextmanager
async def _echo() -> AsyncIterator[str]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(1000):
            writer.write(piece)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def _connected(line: Line) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = line.address.rpartition(":")
    return await asyncio.open_connection(host, int(port))


async def _asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, text: bytes) -> bytes:
    writer.write(text)
    return await reader.readexactly(len(text))


async def test_a_line_passes_everything_on_in_its_order_and_late() -> None:
    async with _echo() as target, line_to(target, seed=1) as line:
        reader, writer = await _connected(line)
        line.weather = Weather(delay_seconds=0.02, jitter_seconds=0.02, loss=0.3, again_after_seconds=0.05)
        began = time.monotonic()
        text = b"".join(b"%05d" % number for number in range(2000))
        assert await _asked(reader, writer, text) == text
        assert time.monotonic() - began >= 0.04, "there and back"
        assert line.happened["late"] > 0
        writer.close()


async def test_a_silent_line_stays_so_for_its_connections_and_not_for_new_ones() -> None:
    async with _echo() as target, line_to(target) as line:
        reader, writer = await _connected(line)
        assert await _asked(reader, writer, b"before") == b"before"
        line.weather = Weather(silent=Way.BACK)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(_asked(reader, writer, b"meanwhile"), 0.05)
        line.weather = FAIR
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(_asked(reader, writer, b"after"), 0.05)
        assert line.happened["swallowed"] == 2
        other = await _connected(line)
        assert await _asked(*other, b"new") == b"new"
        writer.close()
        other[1].close()


async def test_a_line_that_is_cut_breaks_and_lets_nobody_in() -> None:
    async with _echo() as target, line_to(target) as line:
        reader, writer = await _connected(line)
        assert await _asked(reader, writer, b"before") == b"before"
        line.weather = Weather(is_cut=True)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await _asked(reader, writer, b"meanwhile")
        again = await _connected(line)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await _asked(*again, b"again")
        line.weather = FAIR
        assert await _asked(*await _connected(line), b"after") == b"after"
