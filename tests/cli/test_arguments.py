"""Odd arguments end a command at once, in words: nothing is waited for that nobody sends, and no number is none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command import run

_TLS = ("--tls-ca", "--tls-certificate", "--tls-key")


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[str]:
    """A pipe that nobody writes into."""
    os.mkfifo(tmp_path / "pipe")
    yield str(tmp_path / "pipe")
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize(
    "arguments",
    [
        ("audit", "verify", "PIPE"),
        ("audit", "verify", "--against", "PIPE"),
        ("audit", "verify", "PIPE", "--key", "PIPE"),
        ("pki", "renew", "PIPE", "--folder", "FOLDER"),
        ("status", *(part for option in _TLS for part in (option, "PIPE"))),
    ],
    ids=" ".join,
)
async def test_a_pipe_that_nobody_writes_into_is_not_waited_for(
    tmp_path: Path, pipe: str, arguments: tuple[str, ...]
) -> None:
    folder = str(tmp_path / "pki")
    assert (await run("pki", "init", "--folder", folder)).code == 0
    done = await run(*(part.replace("PIPE", pipe).replace("FOLDER", folder) for part in arguments))
    assert done.code in (1, 2)
    assert pipe in done.err.replace("\n", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ("health", "--wait", "--timeout", "nan"),
        ("status", "--watch", "nan"),
        ("pki", "token", "operator", "anna", "--hours", "nan"),
        ("pki", "issue", "operator", "anna", "--days", "nan"),
    ],
    ids=" ".join,
)
async def test_what_is_no_number_is_refused(arguments: tuple[str, ...]) -> None:
    """It is neither below what is least nor above what is most: it would never be reached, and never be over."""
    done = await run(*arguments)
    assert done.code == 2
    assert f"Invalid value for '{arguments[-2]}': nan is no number" in done.err


@pytest.mark.parametrize("name", ["", ".", "/"])
async def test_a_name_that_is_empty_is_no_file(tmp_path: Path, name: str) -> None:
    folder = str(tmp_path / "device")
    made = await run("device", "create", "--folder", folder, "--name", "projects/acme/devices/box")
    assert made.code == 0, made.err
    done = await run("device", "enroll", "--folder", folder, "--token", "token", "--request-out", name)
    assert done.code == 1
    said = f"error: cannot write {name or '.'}: Is a directory"
    assert done.err == f"{said}\ntry: it is a folder: name a file (--request-out names it)\n"


async def test_a_link_to_itself_is_no_folder(tmp_path: Path) -> None:
    folder, loop = str(tmp_path / "pki"), tmp_path / "loop"
    loop.symlink_to("loop")
    assert (await run("pki", "init", "--folder", folder)).code == 0
    done = await run("pki", "issue", "operator", "anna", "--folder", folder, "--out", str(loop))
    assert done.code == 1
    assert done.err.startswith(f"error: {loop}")


@pytest.mark.parametrize(
    "arguments",
    [
        ("license", "documents", "--out", "OUT"),
        ("license", "bind", "ports", "--to", "box", "--binding-out", "OUT"),
        ("license", "release", "ports", "--request-out", "OUT", "--yes"),
        ("license", "bind", "ports", "--to", "box", "--binding-out", "OUT", "--dry-run"),
        ("license", "rebind", "ports", "--to", "box", "--binding-out", "OUT", "--dry-run"),
        ("license", "release", "ports", "--request-out", "OUT", "--dry-run"),
    ],
    ids=" ".join,
)
async def test_a_command_that_fails_leaves_no_folder(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    out, file = tmp_path / "new" / "out", tmp_path / "file"
    refused = ("--server", "127.0.0.1:1", "--project", "acme")
    done = await run(*(part.replace("OUT", str(out)) for part in arguments), *refused)
    assert done.code == 1, done.err
    assert not out.parent.exists()
    file.write_text("text")
    done = await run(*(part.replace("OUT", str(file / "out")) for part in arguments), *refused)
    (option,) = (part for part in arguments if part.endswith("out"))
    said = f"error: cannot make the folder {file / 'out'}: {file} is no folder"
    assert done.err == f"{said}\ntry: {file} is no folder: name another place ({option} names it)\n"


async def test_a_value_is_read_without_the_white_space_around_it(tmp_path: Path) -> None:
    """That of pasting; and that of a file of variables, in names of files too."""
    folder = str(tmp_path / "pki")
    assert (await run("pki", "init", "--folder", folder)).code == 0
    assert (await run("pki", "show", LICENSE_MASTER_PKI=f" {folder}\t")).code == 0
    assert (await run("catalog", "show", " innovaphone ")).code == 0
    assert (await run("pki", "show", "--folder", f" {folder}")).code == 1, "a shell has said where it ends"
