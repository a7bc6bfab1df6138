"""`license-master catalog`, and whoever else takes a catalog by its name: what is wrong with one is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command import run

NAMES_ONE = (("catalog", "show", "mine"), ("vendor", "issue", "--key", "k", "--project", "p", "--catalog", "mine"))


@pytest.mark.parametrize("command", NAMES_ONE)
@pytest.mark.parametrize(
    ("text", "ttl_seconds", "said"),
    [
        ("catalog =", "60", "catalog.toml:1: not TOML"),
        ("", "60", "catalog.toml:1: catalog: is missing"),
        ("", "x", "the settings are wrong\n  ttl_seconds: 'x'"),
        (None, "60", "cannot read"),
    ],
)
async def test_what_is_wrong_is_said(
    tmp_path: Path, command: tuple[str, ...], text: str | None, ttl_seconds: str, said: str
) -> None:
    file = tmp_path / "catalog.toml"
    if text is not None:
        file.write_text(text)
    done = await run(*command, LICENSE_MASTER_CATALOG_FILES=str(file), LICENSE_MASTER_TTL_SECONDS=ttl_seconds)
    assert (done.code, said in done.err, "Traceback" in done.err) == (1, True, False), done.err


@pytest.mark.parametrize("command", NAMES_ONE)
async def test_there_is_no_such_catalog(command: tuple[str, ...]) -> None:
    done = await run(*command)
    assert done.code == 1
    assert "there is no catalog 'mine'; there are allworx, " in done.err
