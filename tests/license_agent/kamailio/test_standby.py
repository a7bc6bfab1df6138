"""A second Kamailio, whose agent is the standby of the first one's PBX: it takes over, and hands back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from licensemaster.v1 import project_pb2
from simulator.sip.site import Kamailio
from slave_client import State
from tests.license_agent.conftest import Asked
from tests.license_agent.kamailio.conftest import Registered, Site, running_kamailio, until
from tests.slave_client.conftest import RestartableMaster
from tests.support.limits import HANG_SECONDS
from tests.support.masters import PROJECT
from tests.support.projects.estates import project

BERLIN = f"projects/{PROJECT}/pbxs/berlin"
USERS = {"p0", "p1", "p2"}


def pair() -> project_pb2.Project:
    return project(
        {"PBX-Port12": 3, "PBX-Standby12": 3},
        pbxs={"berlin": "slave 12 gateway", "spare": "standby:berlin 12 gateway"},
        ttl_seconds=30,
        grace_seconds=30,
    )


class Pair:
    """Berlin with Kamailio and agent, and the same for its standby; all ports are taken by Berlin's phones."""

    def __init__(self, berlin: Site, spare: Site, at_spare: Registered, master: RestartableMaster) -> None:
        self.berlin, self.spare, self.at_spare, self._master = berlin, spare, at_spare, master

    async def take_over(self, **more: object) -> Asked:
        return await self.spare.pbx.ask("PUT", "/v1/takeover", json={"primary": BERLIN, "reason": "a test", **more})

    async def until_taken_over(self) -> None:
        async def is_taken_over() -> bool:
            self._master.clock.advance(3)  # until masters have seen for long enough that it is gone
            return (await self.take_over()).status == 200

        await until(is_taken_over)

    async def move_phones(self) -> None:
        """Berlin's phones register at the standby, as DNS or a virtual address has them do."""
        for user in sorted(USERS):
            await self.spare.licensed(await self.spare.phone(user))


@pytest.fixture
async def there(master: RestartableMaster, tmp_path: Path) -> AsyncIterator[Pair]:
    await master.apply(pair())
    async with AsyncExitStack() as stack:
        sites = []
        for name in ("berlin", "spare"):
            folder = tmp_path / name
            folder.mkdir()
            kamailio: Kamailio = await stack.enter_async_context(running_kamailio(folder))
            site = Site(kamailio, master, folder)
            stack.push_async_callback(site.stop_agent)
            await site.start_agent(pbx=f"projects/{PROJECT}/pbxs/{name}", give_up_after_seconds=1)
            sites.append(site)
        berlin, spare = sites
        for user in sorted(USERS):
            await berlin.licensed(await berlin.phone(user))
        assert await master.holders("berlin") == USERS
        registered = Registered(kamailio)
        stack.push_async_callback(registered.locations.close)
        yield Pair(berlin, spare, registered, master)


@pytest.mark.rule("F1", "F5")
async def test_a_standby_takes_over_and_hands_back(there: Pair, master: RestartableMaster) -> None:
    new = await there.spare.phone("new")
    assert await there.spare.decided(new) == 403, "all ports are Berlin's"
    refused = await there.take_over()
    assert (refused.status, refused.body["problems"][0]["kind"]) == (409, "primary_active")
    assert await there.spare.decided(new) == 403, "they still are"

    await there.berlin.crash()
    await there.until_taken_over()
    await there.move_phones()
    assert await master.holders("berlin") == USERS
    assert await master.holders("spare") == set()
    assert await there.spare.decided(new) == 403
    assert (await there.spare.pbx.ask("GET", "/v1/takeover")).body == {
        "primary": BERLIN,
        "state": "connected",
        "seats_held": 3,
    }

    await there.berlin.start_again(pbx=BERLIN)
    await there.at_spare.until(set())
    assert (await there.spare.pbx.ask("GET", "/v1/takeover")).body["primary"] is None
    for user in sorted(USERS):
        await there.berlin.licensed(await there.berlin.phone(user))
    assert await master.holders("berlin") == USERS


async def test_a_takeover_outlives_the_agent(there: Pair, master: RestartableMaster) -> None:
    await there.berlin.crash()
    await there.until_taken_over()
    await there.move_phones()
    await there.spare.stop_agent()
    await there.spare.start_agent(pbx=f"projects/{PROJECT}/pbxs/spare", give_up_after_seconds=1)
    assert (await there.spare.pbx.ask("GET", "/v1/takeover")).body["primary"] == BERLIN
    for user in sorted(USERS):
        await there.spare.licensed(await there.spare.phone(user))
    assert await master.holders("berlin") == USERS
    assert await master.holders("spare") == set()


async def test_a_standby_takes_over_without_a_master(there: Pair, master: RestartableMaster) -> None:
    """By number, on the strength of its standby lease; as soon as a master answers, by name."""
    await there.spare.until_it_has_a_standby_lease()
    await master.stop()
    await there.berlin.crash()
    there.spare.client.look_again()
    await there.spare.client.wait_for_state(State.OFFLINE, timeout_seconds=HANG_SECONDS)
    await there.until_taken_over()
    await there.move_phones()
    new = await there.spare.phone("new")
    assert (await new.register()).code == 503, "no more than Berlin had"
    await master.start()
    there.spare.client.look_again()

    async def is_connected() -> bool:
        shown = await there.spare.pbx.ask("GET", "/v1/takeover")
        return bool(shown.body["state"] == "connected")

    await until(is_connected)
    assert await master.holders("berlin") == USERS
    assert (await there.spare.pbx.ask("DELETE", "/v1/takeover")).body["primary"] is None
    await there.at_spare.until(set())
    assert await master.holders("berlin") == USERS, "they are Berlin's, for its return"
