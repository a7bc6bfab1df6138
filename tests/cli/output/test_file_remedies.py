"""Where a file cannot be read or written, the error says what helps, and which option or variable named the file."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
from pathlib import Path

import pytest

from licensemaster.files.texts import FileError
from master.cli.output.failure import CommandFailed
from master.cli.output.file_remedies import file_remedy
from tests.cli.command import run


@pytest.mark.parametrize(
    ("words", "helps"),
    [
        ("db backup PLACE/none/b.db", "there is no folder PLACE/none: make it, or name another"),
        ("db backup PLACE/file/b.db", "PLACE/file is no folder: name another place"),
        ("db restore PLACE/none.db --force", "look with `ls PLACE` how it is called"),
        ("db restore PLACE --force", "it is a folder: name a file"),
        ("project check PLACE/none.toml --offline", "look with `ls PLACE` how it is called"),
        ("pki init --folder PLACE/file/x", "PLACE/file is no folder: name another place (--folder names it)"),
        (
            "pki request operator anna --out PLACE/file/x",
            "PLACE/file is no folder: name another place (--out names it)",
        ),
        ("vendor keygen --out PLACE/file/x/y", "PLACE/file is no folder: name another place (--out names it)"),
        (
            "license bind a --to b --project p --binding-out PLACE/file/x",
            "PLACE/file is no folder: name another place (--binding-out names it)",
        ),
        (
            "agreement buy a b c=1 --project p --quote PLACE/x",
            "look with `ls PLACE` how it is called (--quote names it)",
        ),
        ("vendor show PLACE/file", "get the file again as whoever signed it wrote it"),
    ],
)
async def test_what_helps_is_said(tmp_path: Path, sqlite_database_url: str, words: str, helps: str) -> None:
    (tmp_path / "file").write_text("text")
    typed = [word.replace("PLACE", str(tmp_path)) for word in words.split()]
    done = await run(*typed, LICENSE_MASTER_DATABASE_URL=sqlite_database_url, COLUMNS="1000")
    assert (done.code, done.err.splitlines()[-1]) == (1, f"try: {helps.replace('PLACE', str(tmp_path))}"), done.err


async def test_a_variable_that_names_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    done = await run("pki", "show", LICENSE_MASTER_PKI=str(tmp_path / "file"), COLUMNS="1000")
    assert done.err.endswith(f"try: {tmp_path}/file is no folder: name another place (LICENSE_MASTER_PKI names it)\n")
    told = await run("status", "--json", LICENSE_MASTER_PROFILES=str(tmp_path))
    assert "LICENSE_MASTER_PROFILES names it" in json.loads(told.err)["error"]["remedy"], told.err


@pytest.mark.parametrize(
    ("why", "helps"),
    [
        (errno.EROFS, "name a place on a file system that may be written to"),
        (errno.ENOSPC, "make room there, or name a place on another disk"),
        (errno.EACCES, "name a place that this account may use, or run it from an account that may"),
        (errno.EIO, ""),
    ],
)
def test_what_helps_is_told_by_the_cause(why: int, helps: str) -> None:
    said = FileError("cannot write it")
    said.__cause__ = OSError(why, os.strerror(why), "/some/file")
    failure = CommandFailed("it is not done")
    failure.__cause__ = said
    assert failure.in_file("x").json_object()["remedy"] == helps
    assert CommandFailed("no file is concerned").json_object()["remedy"] == ""


def test_a_full_disk_is_told_by_sqlite_as_well() -> None:
    database = sqlite3.connect(":memory:")
    database.execute("PRAGMA max_page_count = 2")
    with pytest.raises(sqlite3.OperationalError, match="full") as full:
        database.executescript("CREATE TABLE a (x); CREATE TABLE b (x); CREATE TABLE c (x)")
    database.close()
    assert file_remedy(full.value) == "make room there, or name a place on another disk"
