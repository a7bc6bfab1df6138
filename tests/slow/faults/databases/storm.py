"""PBXs that acquire and return as fast as they are answered, and remember what they were told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

import grpc

from tests.support.masters import Wire
from tests.support.pbxs.pbx import BarePbx, seat


@dataclass(slots=True)
class Ledger:
    """What one PBX knows."""

    pbx: BarePbx
    holds: set[str] = field(default_factory=set)
    """Holders whose Port was acknowledged."""
    unsure: set[str] = field(default_factory=set)
    """Holders named in a call that was never answered."""
    refused: int = 0


class Storm:
    """Several PBXs at once; `acknowledged` is set when so many calls were answered."""

    def __init__(self, *, enough: int) -> None:
        self._enough = enough
        self._answers = 0
        self._numbers = count()
        self.acknowledged = asyncio.Event()

    async def rage(self, ledger: Ledger) -> None:
        """Go on until the master is gone."""
        for turn in count():
            wanted = [f"phone-{next(self._numbers)}" for _ in range(4)]
            try:
                await _acquire(ledger, wanted)
                if turn % 3 == 2 and ledger.holds:
                    await _give_back(ledger, sorted(ledger.holds)[:3])
            except grpc.aio.AioRpcError:
                return
            self._answers += 1
            if self._answers >= self._enough:
                self.acknowledged.set()


async def _acquire(ledger: Ledger, holders: list[str]) -> None:
    ledger.unsure |= set(holders)
    results = await ledger.pbx.acquire(*(seat("port", holder) for holder in holders))
    ledger.unsure -= set(holders)
    for holder, result in zip(holders, results, strict=True):
        if result.WhichOneof("outcome") == "granted":
            ledger.holds.add(holder)
        else:
            ledger.refused += 1


async def _give_back(ledger: Ledger, holders: list[str]) -> None:
    ledger.holds -= set(holders)
    ledger.unsure |= set(holders)
    results = await ledger.pbx.give_back(*(seat("port", holder) for holder in holders))
    ledger.unsure -= set(holders)
    assert all(result.returned for result in results)


async def retry_what_is_unsure(ledger: Ledger, wire: Wire) -> None:
    """Ask again, as a PBX does; then it knows."""
    ledger.pbx.wire = wire
    if ledger.unsure:
        await _acquire(ledger, sorted(ledger.unsure))


async def until_gone(storm: Storm, ledgers: list[Ledger], end: Callable[[], object]) -> None:
    """Rage, bring about the end in the thick of it, and wait until every PBX has noticed."""
    raging = [asyncio.create_task(storm.rage(ledger)) for ledger in ledgers]
    await storm.acknowledged.wait()
    end()
    await asyncio.gather(*raging)
