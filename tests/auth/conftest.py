"""A master over TLS, and people and PBXs with certificates."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.auth.pki import Pki, shown_to
from tests.support.masters import Clock, InProcess, Wire, in_process_master
from tests.support.projects.estates import project

PBXS = {"berlin": "slave 12 gateway", "paris": "slave 12 gateway", "spare": "standby:berlin 12 gateway"}


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path / "pki")


@pytest.fixture
async def secured(sqlite_database_url: str, pki: Pki, request: pytest.FixtureRequest) -> AsyncIterator[InProcess]:
    """A master that asks for certificates; its own connection is that of the operator anna. A parameter gives further
    settings."""
    settings = {**pki.serve(pki.server_key()), **getattr(request, "param", {})}
    clock = Clock(time.time())
    anna = pki.certified_key("operators/anna").credentials
    async with (
        in_process_master(sqlite_database_url, clock, metrics_listen="127.0.0.1:0", **settings) as master,
        shown_to(f"127.0.0.1:{master.running.port}", anna) as wire,
    ):
        await wire.apply(project({"PBX-Port12": 5, "PBX-Standby12": 5}, pbxs=PBXS))
        yield InProcess(wire, master.running, clock)


@pytest.fixture
async def berlin(secured: InProcess, pki: Pki) -> AsyncIterator[Wire]:
    """The connection of the PBX berlin."""
    async with shown_to(secured.wire.address, pki.certified_key("projects/acme/pbxs/berlin").credentials) as wire:
        yield wire
