"""One hostile caller at full force beside a morning storm: everybody else renews as if it was not there.

The only test that asserts a time: at length, where nothing else runs (`make test-long`). In short form each role has
one attack, and what is looked at depends on no machine: nothing is lost, memory is bounded, and the attacker is
answered at its pace, whatever it sends.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.slow.neighbours.attacks import ATTACKS
from tests.slow.neighbours.estate import Wallet
from tests.slow.neighbours.measuring import Figure, beset, beset_master, line, peak_mib
from tests.support.limits import LONG

SECONDS = 10.0 if LONG else 1.5
SLOWEST_SECONDS = 1.0
MEMORY_MIB = 512
CALLS_SAVED, CALLS_A_SECOND = 400, 200
"""What one caller's calls may be answered, with what several connections are refused late; far below what it sends."""
SHORT = [("pbx", 0), ("viewer", 1), ("operator", 1), ("scraper", 0), ("revoked", 2), ("stranger", 0)]
ROUNDS = (
    {role: [(role, at) for at in range(len(actual))] for role, actual in ATTACKS.items()} if LONG else {"all": SHORT}
)


async def measured(url: str, folder: Path, attacks: Sequence[tuple[str, int]]) -> tuple[list[Figure], float]:
    """Figures of each attack, and the most memory that the master ever had; nobody was told anything but an answer."""
    wallet, pki = Wallet.filled(folder)
    async with beset_master(url, wallet, pki) as process:
        figures, load = await beset(process, wallet, attacks, seconds=SECONDS)
        most = peak_mib(process.pid)
        await process.terminate()
    print("\n".join(line(figure) for figure in figures), load, f"{most:.0f} MiB", sep="\n")  # shown where it fails
    assert load["lost"] == {}
    assert "an RPC failed" not in process.log
    return figures, most


@pytest.mark.timeout(600)
@pytest.mark.parametrize("who", ROUNDS)
async def test_everybody_else_is_served_as_if_it_was_not_there(database_url: str, tmp_path: Path, who: str) -> None:
    figures, most = await measured(database_url, tmp_path, ROUNDS[who])
    assert len(figures) == 1 + len(ROUNDS[who])
    assert most < MEMORY_MIB
    for figure in figures:
        assert figure.renewals
        assert figure.p99 < SLOWEST_SECONDS or not LONG, figure.window.name
        if figure.window.role in {"pbx", "viewer", "operator", "revoked"}:
            assert figure.window.answered < CALLS_SAVED + CALLS_A_SECOND * (SECONDS + 2), figure.window.outcomes
