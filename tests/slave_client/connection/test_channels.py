"""Channels: gRPC knows what is asked of it, and the environment leads nobody astray."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from grpc._cython import cygrpc  # type: ignore[attr-defined]

from slave_client import HolderKind, SlaveClient, Want
from tests.slave_client.conftest import RestartableMaster

_ROOT = Path(__file__).parents[3]
_NAMES = re.compile(rb"""["'](grpc\.[a-z0-9_.]+)["']""")
_OPENED = re.compile(r"\b(in)?secure_channel\(")
_NOWHERE = "http://127.0.0.1:9"


@pytest.mark.parametrize("variable", ["http_proxy", "https_proxy", "grpc_proxy"])
async def test_a_proxy_for_browsing_leads_to_no_master(
    master: RestartableMaster, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, _NOWHERE)
    async with SlaveClient(master.config()) as client:
        assert (await client.acquire(Want("port", HolderKind.USER, "anna"))).granted


def test_what_is_asked_of_grpc_is_known_to_it() -> None:
    """gRPC ignores an option that it does not know without a word."""
    library = Path(cygrpc.__file__).read_bytes()
    named = {name for file in _sources() for name in _NAMES.findall(file.read_bytes())}
    assert len(named) > 10
    assert [name.decode() for name in sorted(named) if name + b"\0" not in library] == []


def test_every_channel_is_opened_in_one_place() -> None:
    elsewhere = [
        str(file.relative_to(_ROOT))
        for file in _sources()
        if _OPENED.search(file.read_text(encoding="utf-8")) and file.name not in ("channels.py", Path(__file__).name)
    ]
    assert elsewhere == []


def _sources() -> list[Path]:
    return [
        file
        for folder in ("master", "slave_client", "vendor_tools", "bench", "examples", "tests")
        for file in (_ROOT / folder).rglob("*.py")
    ]
