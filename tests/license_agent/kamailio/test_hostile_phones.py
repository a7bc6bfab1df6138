"""What a phone sends that was made to look like something else."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from license_agent.kamailio.locations import Locations, LocationsError
from slave_client import SlaveClient, State
from tests.license_agent.conftest import PORTS
from tests.license_agent.kamailio.conftest import Registered, Site, running_kamailio, until, until_held
from tests.slave_client.conftest import RestartableMaster
from tests.support.limits import HANG_SECONDS

_ENDED = "<sip:gone@127.0.0.1:9>;expires=0"
_NO_UTF_8 = "z\udcff"


@pytest.mark.parametrize(
    ("contact", "expires"),
    [
        ('"expires=0" {}', 600),
        ('"a>;expires=0;" {}', 600),
        ("<sip:x@127.0.0.1:9;expires=0>", 600),
        ("<sip:x@127.0.0.1:9?expires=0>", 600),
        ("{};xexpires=0", 600),
        ('{};x="expires=0"', 600),
        ('{};x=";expires=0;"', 600),
        (f"{_ENDED}, {{}};expires=600", None),
        (f"{_ENDED}\r\n ,{{}};expires=600", None),
        (f"{_ENDED}\r\nContact: {{}};expires=600", None),
        (f"{_ENDED}\r\nm: {{}};expires=600", None),
        ("<sip:gone@127.0.0.1:9>\r\nContact: {};expires=600", 0),
        ("{}; expires = 600", 0),
        ('{};expires\t="600"', 0),
        ("{};EXPIRES=600", 0),
        ("{};expires=0;expires=600", None),
        ("{};expires=0; expires = 600", None),
    ],
)
async def test_a_phone_that_only_seems_to_leave_is_asked_about(
    site: Site, registered: Registered, contact: str, expires: int | None
) -> None:
    """Licenses are used up: nothing of the kind gets one more phone in."""
    held = {f"p{number}" for number in range(PORTS)}
    for name in sorted(held):
        await site.licensed(await site.phone(name))
    reply = await (await site.phone("more")).register(contact=contact, expires=expires)
    assert (reply.code, await registered.locations.holders()) == (403, held)


@pytest.mark.parametrize(
    ("contact", "expires"),
    [
        ("*", 0),
        ("{}", 0),
        ('"Anna B." {};q=0.5', 0),
        ("{};expires=0", None),
        ("Anna {}; expires=0", 600),
        ('{};q=1;expires=0;x="<urn:uuid:0-1,2>"', None),
        ("sip:p0@127.0.0.1:9;expires=0, {};expires=0", None),
    ],
)
async def test_a_phone_that_leaves_gives_its_seat_back(
    site: Site, registered: Registered, contact: str, expires: int | None
) -> None:
    """However it says so, and at once."""
    phone = await site.phone("p0")
    await site.licensed(phone)
    assert (await phone.register(contact=contact, expires=expires)).code == 200
    assert await registered.locations.holders() == set()
    await until(lambda: _holds_nobody(site))


async def test_a_phone_whose_name_no_seat_can_have_is_removed(master: RestartableMaster, tmp_path: Path) -> None:
    """It registered while no agent was there; nobody else's comparison suffers from it."""
    async with running_kamailio(tmp_path, LICENSE_ALLOW_WITHOUT_AGENT="") as kamailio:
        site, found = Site(kamailio, master, tmp_path), Registered(kamailio)
        for name in (_NO_UTF_8, "p0"):
            assert (await (await site.phone(name)).register()).code == 200
        assert await found.locations.holders() == {_NO_UTF_8, "p0"}
        await site.start_agent()
        await found.until({"p0"})
        await found.locations.close()
        await site.stop_agent()


async def test_a_name_that_only_seems_to_have_a_domain_costs_nobody_else_its_contact(
    master: RestartableMaster, tmp_path: Path
) -> None:
    """Where names have no domains, Kamailio removes the contacts of what stands before the "@"."""
    async with running_kamailio(tmp_path, LICENSE_ALLOW_WITHOUT_AGENT="") as kamailio:
        site, found = Site(kamailio, master, tmp_path), Registered(kamailio)
        users = [f"p{number}" for number in range(PORTS)]
        codes = [(await (await site.phone(name)).register()).code for name in [*users, f"{users[-1]}%40x"]]
        await site.start_agent()
        await until_held(master, set(users))
        await asyncio.sleep(1.5)
        assert await found.locations.holders() == set(users)
        assert codes == [200] * PORTS + [403]
        await found.locations.close()
        await site.stop_agent()


async def test_a_call_from_a_name_that_is_no_utf_8_keeps_no_contact(
    site: Site, registered: Registered, master: RestartableMaster
) -> None:
    """Anybody can place one, and it lasts: whoever loses a seat meanwhile loses the contact as well."""
    called = await site.phone("p1")
    for phone in (await site.phone("p0"), called):
        await site.licensed(phone)
    await (await site.phone(_NO_UTF_8)).talk("p1")
    assert _NO_UTF_8 in await registered.locations.in_call()
    async with SlaveClient(master.config("berlin")) as other:  # the same PBX, on another machine
        await other.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
        await registered.until({"p1"})


async def test_an_enormous_domain_reaches_no_agent(master: RestartableMaster, tmp_path: Path) -> None:
    """Where domains are part of names: a message of its size would end the connection of all phones."""
    holder = '$(tU{s.unescape.user}{s.tolower}) + "@" + $(td{s.tolower})'
    async with running_kamailio(tmp_path, LICENSE_HOLDER=holder) as kamailio:
        site = Site(kamailio, master, tmp_path)
        await site.start_agent()
        phone = await site.phone("p0")
        await site.licensed(phone)
        reply = await phone.register(domain="x" * 33_000)
        assert (reply.code, reply.reason) == (403, "Bad Address of Record")
        await site.stop_agent()


async def test_a_phone_that_leaves_again_and_again_is_looked_for_a_few_times(
    site: Site, registered: Registered, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither does work pile up by it, nor is anybody looked for who has no seat."""
    phones = [await site.phone(name) for name in ("p0", "stranger")]
    await site.licensed(phones[0])
    looks, may_look = list[str](), asyncio.Event()

    async def has_contacts(_: Locations, holder: str) -> bool:
        looks.append(holder)
        await may_look.wait()
        return False

    async def all_is_heard() -> bool:
        return await registered.locations.unanswered() == 0

    monkeypatch.setattr(Locations, "has_contacts", has_contacts)
    for phone in phones:
        for _ in range(50):
            assert (await phone.register(expires=0)).code == 200
    await until(all_is_heard)
    may_look.set()
    await until(lambda: _holds_nobody(site))
    assert set(looks) == {"p0"}
    assert len(looks) < 20


async def test_what_kamailio_has_no_memory_for_is_not_counted_as_unanswered(
    master: RestartableMaster, tmp_path: Path
) -> None:
    """Enormous messages take all of it for a moment: else the agent would count as away from then on."""
    async with running_kamailio(tmp_path, shared_megabytes=24) as kamailio:
        site, locations = Site(kamailio, master, tmp_path), Locations(kamailio.rpc, kamailio.token)
        await site.start_agent()
        phone = await site.phone("p0")
        await site.licensed(phone)
        for number in range(600):
            phone.send_register(f"more-{number}", call_id="c" * 50_000)
            await asyncio.sleep(0.002)
        await asyncio.sleep(0.5)
        unanswered = -1
        for _ in range(100):  # one who asks again and again keeps the count from being forgotten
            phone.send_register("p1", call_id="c")
            with suppress(LocationsError):  # no memory for that either
                unanswered = await locations.unanswered()
            if unanswered == 0:
                break
            await asyncio.sleep(0.1)
        assert unanswered == 0
        assert "new_t failed" in kamailio.log.read_text(errors="replace")
        await locations.close()
        await site.stop_agent()


async def _holds_nobody(site: Site) -> bool:
    return not site.client.held
