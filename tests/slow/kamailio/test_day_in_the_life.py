"""A day in the life of a site with Kamailio, and what its phones' users see of it: what their phones are answered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from simulator.sip.phones import Answers, Phones
from simulator.sip.site import Kamailio
from slave_client import State
from tests.license_agent.kamailio.conftest import Registered, Site, until
from tests.license_agent.kamailio.phone import Phone
from tests.slave_client.conftest import PORTS, HeldClock, RestartableMaster
from tests.slave_client.operating import operator_of
from tests.support.limits import HANG_SECONDS

PHONES = [f"p{number:04}" for number in range(2_000)]
HOUR = 3_600.0


class Day:
    """The site, and the clock that its agent and the master go by."""

    def __init__(self, site: Site, kamailio: Kamailio, registered: Registered, clock: HeldClock, folder: Path) -> None:
        self.site, self.registered, self.clock = site, registered, clock
        self._kamailio, self._folder = kamailio, folder
        self._parts = 0

    async def register(self, users: Sequence[str]) -> Answers:
        """All at once, each until it is accepted or refused."""
        self._parts += 1
        phones = Phones(self._folder / f"part-{self._parts}", self._kamailio, users, at_a_time=len(users))
        await phones.start()
        assert await phones.wait() == 0
        return phones.answers()

    async def seen(self, phone: Phone) -> tuple[int, str]:
        """What a phone is answered when the agent is asked about it."""
        await self.registered.locations.forget_licensed()
        reply = await phone.register()
        return reply.code, reply.reason


@pytest.mark.rule("B10", "E1", "L5")
async def test_a_day(kamailio: Kamailio, registered: Registered, master: RestartableMaster, tmp_path: Path) -> None:
    operator = await operator_of(master.address, tmp_path, now=master.clock(), ports=len(PHONES) - PORTS)
    clock = HeldClock(master.clock)
    site = Site(kamailio, master, tmp_path, clock)
    await site.start_agent()
    day = Day(site, kamailio, registered, clock, tmp_path)

    # The site had no power: all phones boot at once. Their users see nothing.
    assert (await day.register(PHONES)).accepted == set(PHONES)
    assert len(site.client.held) == len(PHONES)
    one, new = await site.phone("p0000"), await site.phone("new")
    assert await day.seen(one) == (200, "OK")
    assert await day.seen(new) == (403, "No License: pool_exhausted")

    # The line to the master is cut. Until the signed end of the lease nobody sees anything but who is new.
    await master.stop()
    clock.advance(20)
    await site.client.wait_for_state(State.OFFLINE, timeout_seconds=HANG_SECONDS)
    assert await day.seen(one) == (200, "OK")
    assert await day.seen(new) == (503, "No License Now: offline")

    # An hour is more than the lease had: phones are told to come back, and are not to be called.
    clock.advance(HOUR)
    await site.client.wait_for_state(State.EXPIRED, timeout_seconds=HANG_SECONDS)
    await registered.until(set())
    assert await day.seen(one) == (503, "No License Now: no_lease")

    # The line is back: they come back, and are all there.
    await master.start()
    site.client.look_again()
    await site.client.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
    assert (await day.register(PHONES)).accepted == set(PHONES)
    await registered.until(set(PHONES))

    # The license goes elsewhere: five ports are left. Whose seat was taken away sees "no license" at the next REGISTER.
    await operator.revoke()

    async def are_back() -> bool:
        return len(await operator.holders()) == PORTS

    await until(are_back)
    left = await operator.holders()
    await registered.until(left)
    answered = await day.register(PHONES)
    assert (len(answered.accepted), len(answered.refused)) == (PORTS, len(PHONES) - PORTS)
    assert answered.accepted == left

    # The PBX is upgraded past what its licenses allow: who has a seat goes on, who comes is told why not.
    await site.stop_agent()
    await site.start_agent(software_version="13r1")
    kept = [await site.phone(user) for user in sorted(left)]
    await site.licensed(kept[0])
    assert Counter([await day.seen(phone) for phone in kept]) == {(200, "OK"): PORTS}
    assert await day.seen(new) == (403, "No License: version_limit")
    await site.stop_agent()
