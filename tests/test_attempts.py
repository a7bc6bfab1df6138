"""Whoever has lost a server tries again one attempt at a time, and ever more rarely."""

from __future__ import annotations

import asyncio

import pytest

from master.process.attempts import Attempts, StillLostError


class _Lost(Exception):
    """What an attempt failed with."""


def _fail(attempts: Attempts) -> None:
    with pytest.raises(_Lost), attempts.attempt(_Lost):
        raise _Lost("no route")


def _wait(attempts: Attempts) -> float:
    with pytest.raises(StillLostError, match="no route") as raised:
        attempts.check()
    assert isinstance(raised.value.__cause__, _Lost)
    return raised.value.wait_seconds


async def test_the_second_attempt_follows_at_once_and_later_ones_ever_later() -> None:
    attempts = Attempts(wait_max_seconds=2.0, chance=lambda: 1.0)
    _fail(attempts)
    attempts.check()
    waits = []
    for _ in range(8):
        attempts._due = 0.0
        _fail(attempts)
        waits.append(round(_wait(attempts), 1))
    assert waits == [0.2, 0.5, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0]
    assert attempts.failing


async def test_waits_are_spread() -> None:
    waits = set()
    for _ in range(20):
        attempts = Attempts(wait_max_seconds=8.0)
        for _ in range(5):
            attempts._due = 0.0
            _fail(attempts)
        waits.add(round(_wait(attempts), 4))
    assert len(waits) > 10
    assert min(waits) >= 0.9
    assert max(waits) <= 2.0


async def test_while_it_is_lost_one_tries_and_the_others_are_told() -> None:
    attempts, decided = Attempts(wait_max_seconds=2.0), asyncio.Event()
    _fail(attempts)

    async def probe() -> None:
        with attempts.attempt(_Lost):
            await decided.wait()

    probing = asyncio.create_task(probe())
    await asyncio.sleep(0)
    for _ in range(3):
        with pytest.raises(StillLostError), attempts.attempt(_Lost):
            raise AssertionError("two at once")
    decided.set()
    await probing
    assert not attempts.failing
    with attempts.attempt(_Lost), attempts.attempt(_Lost):
        pass  # while all is well, as many at once as anybody likes


async def test_one_that_is_broken_off_or_fails_otherwise_says_nothing() -> None:
    attempts = Attempts(wait_max_seconds=2.0)
    _fail(attempts)
    for other in (asyncio.CancelledError(), KeyError("ours")):
        with pytest.raises(type(other)), attempts.attempt(_Lost):
            raise other
        assert attempts.failing
        attempts.check()
