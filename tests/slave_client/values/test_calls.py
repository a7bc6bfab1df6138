"""Emergency and running calls ask nobody."""

from __future__ import annotations

import itertools

import pytest

from slave_client import BlockingSlaveClient, CallKind, ClientConfig, SeatPossession, SlaveClient, call_allowed

CONFIG = ClientConfig(addresses=("127.0.0.1:1",), pbx="projects/acme/pbxs/berlin", software_version="12r1")


@pytest.mark.parametrize(
    ("kind", "possession"), list(itertools.product([CallKind.EMERGENCY, CallKind.RUNNING], SeatPossession))
)
def test_emergency_and_running_calls_are_always_allowed(kind: CallKind, possession: SeatPossession) -> None:
    assert call_allowed(kind, possession)
    assert call_allowed(kind)


def test_a_new_call_needs_a_seat() -> None:
    assert call_allowed(CallKind.NEW, SeatPossession.HELD)
    assert not call_allowed(CallKind.NEW, SeatPossession.NOT_HELD)


def test_a_client_that_was_never_started_allows_emergency_calls() -> None:
    client = SlaveClient(CONFIG)
    assert client.call_allowed(kind=CallKind.EMERGENCY)
    assert client.call_allowed(kind=CallKind.RUNNING, holder="4711")
    assert not client.call_allowed(kind=CallKind.NEW, holder="4711")
    blocking = BlockingSlaveClient(CONFIG)
    assert blocking.call_allowed(kind=CallKind.EMERGENCY)
    assert not blocking.call_allowed(kind=CallKind.NEW, holder="4711")


async def test_a_closed_client_allows_emergency_calls() -> None:
    client = SlaveClient(CONFIG)
    await client.start()
    await client.close()
    assert client.call_allowed(kind=CallKind.EMERGENCY, holder="nobody")
    assert not client.call_allowed(kind=CallKind.NEW, holder="nobody")
