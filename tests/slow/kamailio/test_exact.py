"""More phones than ports, by SIPp: the ports are given out to the last one, whoever is killed meanwhile.

2,000 phones for 1,500 ports; with TESTS_LONG 20,000 for 15,000, and three times.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from simulator.sip.phones import Answers, Phones
from simulator.sip.programs import Program
from tests.license_agent.kamailio.conftest import until
from tests.slow.kamailio.estate import SipEstate, answered, running_estate
from tests.support.masters import MasterProcess

_TIMES = 10 if os.environ.get("TESTS_LONG") else 1
PHONES, PORTS = 2_000 * _TIMES, 1_500 * _TIMES
_ROUNDS = range(3 if _TIMES > 1 else 1)


@pytest.mark.parametrize("sites", [1, 10])
@pytest.mark.parametrize("round_", _ROUNDS)
async def test_exactly_so_many_phones_are_accepted(tmp_path: Path, sites: int, round_: int) -> None:
    async with running_estate(tmp_path, sites=sites, phones=PHONES, ports=PORTS) as estate:
        first = await _all_register(estate, "first")
        assert (len(first.accepted), len(first.refused)) == (PORTS, PHONES - PORTS)
        assert await estate.until_all_agree() == PORTS
        again = await _all_register(estate, "again")
        assert again.accepted == first.accepted


@pytest.mark.parametrize("victim", ["agent", "kamailio", "master"])
@pytest.mark.parametrize("sites", [1, 10])
@pytest.mark.parametrize("round_", _ROUNDS)
async def test_a_kill_in_the_middle_costs_no_port_and_doubles_none(
    tmp_path: Path, victim: str, sites: int, round_: int
) -> None:
    """Every phone tries until it is accepted or refused, and once more, as the next refresh does.

    At ten sites all of their agents, or Kamailios, die at once.
    """
    async with running_estate(tmp_path, sites=sites, phones=PHONES, ports=PORTS) as estate:
        phones = estate.phones("killed")
        await asyncio.gather(*(group.start() for group in phones))
        await until(lambda: _are_accepted(phones, PORTS // 2))
        programs: dict[str, list[Program | MasterProcess]] = {
            "agent": [site.agent for site in estate.sites],
            "kamailio": [site.kamailio for site in estate.sites],
            "master": [estate.master],
        }
        await asyncio.gather(*(program.kill() for program in programs[victim]))
        await asyncio.sleep(0.5)
        await asyncio.gather(*(program.start() for program in programs[victim]))
        killed = await answered(phones)
        assert len(killed.accepted | killed.refused) == PHONES
        await estate.until_all_agree()
        after = await _all_register(estate, "after")
        assert (len(after.accepted), len(after.refused)) == (PORTS, PHONES - PORTS)
        assert await estate.until_all_agree() == PORTS
        if victim != "kamailio":  # who is registered stays it; Kamailio itself forgets everybody
            assert killed.accepted == after.accepted


async def _all_register(estate: SipEstate, part: str) -> Answers:
    phones = estate.phones(part)
    await asyncio.gather(*(group.start() for group in phones))
    return await answered(phones)


async def _are_accepted(phones: list[Phones], at_least: int) -> bool:
    return sum(len(group.answers().accepted) for group in phones) >= at_least
