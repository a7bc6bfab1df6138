"""`license-master db backup` and `db restore`, as an operator types them, beside a master that is busy."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import sqlite3
import stat
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from master.cli.main import app
from tests.cli.command import MOMENT, Done, run
from tests.support.masters import Clock, InProcess, in_process_master, master_process, sqlite_url, wire_to
from tests.support.pbxs.pbx import BarePbx, granted, opened, seats
from tests.support.projects.estates import project


async def database(command: str, *arguments: str | Path, url: str) -> Done:
    return await run("db", command, *map(str, arguments), "--database-url", url)


def left_in(folder: Path) -> set[str]:
    """What lies in a folder."""
    return {path.name for path in folder.iterdir()}


def seen_from_here(url: str) -> str:
    """The URL of the same file, by a relative path."""
    return f"sqlite:///{os.path.relpath(url.removeprefix('sqlite:///'))}"


async def held(url: str) -> int:
    """Seats held, as a master over that database tells."""
    async with in_process_master(url, Clock()) as master:
        return (await BarePbx(master.wire, "berlin").open()).seats_held


async def test_a_backup_is_one_moment_of_a_busy_master(
    sqlite_database_url: str, tmp_path: Path, master: InProcess
) -> None:
    await master.wire.apply(project({"PBX-Port12": 100_000}, ttl_seconds=60, grace_seconds=600))
    pbx = await opened(master.wire, "berlin")
    granted(await pbx.acquire(*seats("port", 9_000)))
    stopped = asyncio.Event()

    async def keep_writing() -> None:
        rounds = 0
        while rounds < 2 or not stopped.is_set():
            granted(await pbx.acquire(*seats("port", 20, "busy-")))
            await pbx.give_back(*seats("port", 20, "busy-"))
            rounds += 1

    writing = asyncio.create_task(keep_writing())
    made = tmp_path / "backups" / "monday.db"
    made.parent.mkdir()
    done = await database("backup", made, "--json", url=sqlite_database_url)
    stopped.set()
    await writing
    assert done.code == 0, done.err
    shown = json.loads(done.out)
    assert shown["bytes"] == made.stat().st_size
    assert shown["counters_and_audit_checked"]
    assert shown["projects"][0]["project"] == "projects/acme"
    assert left_in(made.parent) == {"monday.db"}, "nothing else is left"
    assert stat.S_IMODE(made.stat().st_mode) == 0o600, "the signing key is in it"
    checked = await database("check", url=f"sqlite:///{made}")
    assert (checked.code, checked.out) == (0, "schema, counters and audit are right\n")


async def test_a_backup_overwrites_nothing(sqlite_database_url: str, tmp_path: Path) -> None:
    there = tmp_path / "there.db"
    there.write_text("precious")
    done = await database("backup", there, url=sqlite_database_url)
    assert done.code == 1
    assert "is there already" in done.err
    assert there.read_text() == "precious"


async def test_a_database_with_wrong_counters_is_no_backup(sqlite_database_url: str, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "license-master.db") as connection:
        connection.execute("INSERT INTO pool_usage VALUES (1, 1, 5, 5)")
    done = await database("backup", tmp_path / "made.db", url=sqlite_database_url)
    assert done.code == 1
    assert "counters do not agree" in done.err
    assert not [name for name in left_in(tmp_path) if "made" in name]


async def test_a_damaged_database_is_said_to_be_damaged(sqlite_database_url: str, tmp_path: Path) -> None:
    """Also where the damage is in no page that the other checks read."""
    file = tmp_path / "license-master.db"
    with sqlite3.connect(file) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE tbl_name = 'webhook' LIMIT 1").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        connection.execute("PRAGMA journal_mode = DELETE")
    content = file.read_bytes()
    file.write_bytes(content[: (page - 1) * size] + b"\xff" * size + content[page * size :])
    for done in (
        await database("check", url=sqlite_database_url),
        await database("backup", tmp_path / "made.db", url=sqlite_database_url),
    ):
        assert done.code == 1
        assert f"{file} is damaged, or no database" in done.err
        assert "restore the newest backup that is sound" in " ".join(done.err.split())
    assert not [name for name in left_in(tmp_path) if "made" in name]


async def test_a_backup_that_can_be_made_nowhere_says_where(sqlite_database_url: str, tmp_path: Path) -> None:
    done = await database("backup", tmp_path / "nowhere" / "made.db", url=sqlite_database_url)
    assert done.code == 1
    assert f"cannot be made in {tmp_path / 'nowhere'}: No such file or directory" in " ".join(done.err.split())


async def test_restoring_puts_the_backup_in_place_and_keeps_what_was_there(
    sqlite_database_url: str, tmp_path: Path
) -> None:
    made = tmp_path / "made.db"
    async with master_process(sqlite_database_url) as process, wire_to(process.address) as wire:
        await wire.apply(project({"PBX-Port12": 100}, ttl_seconds=60, grace_seconds=600))
        assert (await database("backup", made, url=sqlite_database_url)).code == 0
        granted(await (await opened(wire, "berlin")).acquire(*seats("port", 7)))
        busy = await database("restore", made, "--force", url=sqlite_database_url)
        assert busy.code == 1
        assert "stop the master that serves it" in busy.err
    unforced = await database("restore", made, url=sqlite_database_url)
    assert unforced.code == 1
    assert "--force keeps it beside" in unforced.err
    assert await held(sqlite_database_url) == 7
    done = await database("restore", made, "--force", "--json", url=sqlite_database_url)
    assert done.code == 0, done.err
    shown = json.loads(done.out)
    assert (await database("check", url=f"sqlite:///{shown['kept']}")).code == 0
    assert await held(f"sqlite:///{shown['kept']}") == 7
    assert await held(sqlite_database_url) == 0
    assert shown["projects"][0]["project"] == "projects/acme"
    assert MOMENT.fullmatch(shown["projects"][0]["learning_end_time"])
    assert not [name for name in left_in(tmp_path) if "unfinished" in name]


async def test_after_a_kill_both_the_backup_and_what_was_there_are_served(
    sqlite_database_url: str, tmp_path: Path
) -> None:
    """SQLite's own files of the killed master lie beside the database, whose name is relative, as the default's is,
    when the backup takes its place.
    """
    relative = seen_from_here(sqlite_database_url)
    made = tmp_path / "backup.db"
    async with master_process(sqlite_database_url) as process:
        assert (await database("backup", made, url=sqlite_database_url)).code == 0
        async with wire_to(process.address) as wire:
            await wire.apply(project({"PBX-Port12": 5}))
            granted(await (await opened(wire, "berlin")).acquire(*seats("port", 2)))
        await process.kill()
        done = await database("restore", made, "--force", "--json", url=relative)
        assert done.code == 0, done.err
        await process.start()
    assert await held(f"sqlite:///{json.loads(done.out)['kept']}") == 2


async def test_a_restore_that_is_killed_after_a_kill_leaves_what_was_there(sqlite_database_url: str) -> None:
    """When the log is in the file already, and the backup not yet in its place."""
    async with master_process(sqlite_database_url) as process:
        async with wire_to(process.address) as wire:
            await wire.apply(project({"PBX-Port12": 5}))
            granted(await (await opened(wire, "berlin")).acquire(*seats("port", 2)))
        await process.kill()
        file = sqlite_database_url.removeprefix("sqlite:///")
        killed = f"with kept_from_masters(Path({file!r})): os._exit(9)"
        imports = "import os; from pathlib import Path; from master.store.upkeep.backup import kept_from_masters"
        crash = await asyncio.create_subprocess_exec(sys.executable, "-c", f"{imports}\n{killed}")
        assert await crash.wait() == 9
        await process.start()
    assert await held(sqlite_database_url) == 2


async def test_a_lost_database_is_restored_without_force(sqlite_database_url: str, tmp_path: Path) -> None:
    made, other = tmp_path / "made.db", sqlite_url(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    assert (await database("backup", made, url=sqlite_database_url)).code == 0
    assert (await database("restore", made, url=other)).code == 0
    assert (await database("check", url=other)).code == 0


def test_who_has_an_account_without_a_name_says_that_a_database_was_restored(
    sqlite_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the container: its account is a number."""

    def unknown(number: int) -> pwd.struct_passwd:
        raise KeyError(number)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(variable, raising=False)
    done = CliRunner().invoke(app, ["db", "restored", "--database-url", sqlite_database_url])
    assert done.exception is None, done.exception


@pytest.mark.parametrize("damage", ["cut", "scribbled", "no database"])
async def test_a_damaged_backup_is_not_restored(sqlite_database_url: str, tmp_path: Path, damage: str) -> None:
    made = tmp_path / "made.db"
    assert (await database("backup", made, url=sqlite_database_url)).code == 0
    content = made.read_bytes()
    if damage == "cut":
        made.write_bytes(content[: len(content) // 2])
    elif damage == "scribbled":
        made.write_bytes(content[:8192] + b"\xff" * 4096 + content[12288:])
    else:
        made.write_text("not a database, but long enough to be taken for one " * 100)
    before = (tmp_path / "license-master.db").read_bytes()
    done = await database("restore", made, "--force", url=sqlite_database_url)
    assert done.code == 1
    assert "is damaged, or no database" in done.err
    assert (tmp_path / "license-master.db").read_bytes() == before


@pytest.mark.parametrize("command", ["upgrade", "check", "backup", "restore", "restored"])
@pytest.mark.parametrize("there", ["pipe", "folder"])
async def test_what_is_no_file_is_no_database(
    sqlite_database_url: str, tmp_path: Path, command: str, there: str
) -> None:
    """A pipe that nobody writes into is not waited for, and nothing takes its place."""
    made, path = tmp_path / "made.db", tmp_path / "other"
    assert (await database("backup", made, url=sqlite_database_url)).code == 0
    os.mkfifo(path) if there == "pipe" else path.mkdir()
    arguments: dict[str, list[str | Path]] = {"backup": [tmp_path / "copy.db"], "restore": [made, "--force"]}
    before = left_in(tmp_path)
    done = await database(command, *arguments.get(command, []), url=f"sqlite:///{path}")
    assert done.code == 1
    assert "it is a folder, a device or a pipe, and no database" in done.err
    assert left_in(tmp_path) == before


async def test_a_backup_of_postgresql_says_which_commands_make_one() -> None:
    for command, tool in (("backup", "pg_dump"), ("restore", "pg_restore")):
        done = await database(command, "made.db", url="postgresql://master@localhost/licenses")
        assert done.code == 1
        assert tool in done.err
        assert "docs/backup.md" in done.err
