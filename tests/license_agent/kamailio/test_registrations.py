"""A real Kamailio whose registrations the agent decides, down to a real master."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from urllib.parse import unquote

import pytest

from license_agent.http.problems import refusal
from license_agent.kamailio.locations import Locations
from license_agent.kamailio.registrar import _in_sip
from simulator.sip.site import Kamailio
from slave_client import HolderKind, Reason, Refused, Want
from tests.license_agent.conftest import PORTS
from tests.license_agent.kamailio.conftest import Site, running_kamailio, until, until_held
from tests.slave_client.conftest import RestartableMaster


@pytest.mark.rule("E1", "E3")
async def test_phones_register_until_the_licenses_are_used_up(site: Site, master: RestartableMaster) -> None:
    phones = [await site.phone(f"p{number}") for number in range(PORTS + 1)]
    await site.licensed(phones[0])
    assert [(await phone.register()).code for phone in phones] == [200] * PORTS + [403]
    refused = await phones[-1].register()
    assert (refused.code, refused.reason) == (403, "No License: pool_exhausted")
    assert refused.headers["Retry-After"] == "60"
    assert refused.headers["Warning"].startswith('399 license-agent "')
    assert await master.holders("berlin") == {f"p{number}" for number in range(PORTS)}

    second = await site.phone("p0")  # the same address of record, another contact
    assert (await second.register()).code == 200
    assert len(await master.holders("berlin")) == PORTS
    assert (await second.register(expires=0)).code == 200
    assert (await phones[0].register(expires=0)).code == 200
    await until_held(master, {f"p{number}" for number in range(1, PORTS)})
    assert (await phones[-1].register()).code == 200


async def test_a_registration_that_expires_gives_its_seat_back(site: Site, master: RestartableMaster) -> None:
    phone = await site.phone("p0")
    await site.licensed(phone)
    assert (await (await site.phone("brief")).register(expires=1)).code == 200
    await until_held(master, {"p0"})


async def test_phones_that_registered_without_an_agent_are_licensed_when_it_comes(
    master: RestartableMaster, tmp_path: Path
) -> None:
    async with running_kamailio(tmp_path, LICENSE_ALLOW_WITHOUT_AGENT="") as kamailio:
        site = Site(kamailio, master, tmp_path)
        phones = [await site.phone(f"p{number}") for number in range(PORTS + 1)]
        assert [(await phone.register()).code for phone in phones] == [200] * len(phones)
        await site.start_agent()
        locations = Locations(kamailio.rpc, kamailio.token)

        async def agree() -> bool:
            registered = await locations.holders()
            return len(registered) == PORTS and registered == await master.holders("berlin")

        try:
            await until(agree)
        finally:
            await locations.close()
            await site.stop_agent()


@pytest.mark.rule("E2")
async def test_what_a_name_needs_is_configured(kamailio: Kamailio, master: RestartableMaster, tmp_path: Path) -> None:
    """A trunk needs a port as a trunk, a group number and a waiting queue need none, however they are named."""
    site = Site(kamailio, master, tmp_path)
    await site.start_agent(kamailio_seats="Trunk-*=port/trunk,group-*=none,queue-*=none,*=port/user")
    phones = {name: await site.phone(name) for name in ("trunk-1", "group-1", "queue-\udcff", "4711")}
    await site.licensed(phones["trunk-1"])
    assert {(await phone.register()).code for phone in phones.values()} == {200}
    held = {(seat.want.holder, seat.want.holder_kind) for seat in site.client.held}
    assert held == {("trunk-1", HolderKind.TRUNK), ("4711", HolderKind.USER)}
    assert await master.holders("berlin") == {"trunk-1", "4711"}
    assert {(await phone.register(expires=0)).code for phone in phones.values()} == {200}
    await until_held(master, set())
    await site.stop_agent()


async def test_what_is_asked_for_beside_registrations_stays(site: Site, master: RestartableMaster) -> None:
    """A trunk that does not register, which the PBX asked for over the local API."""
    assert (await site.pbx.ask("PUT", "/v1/seats/port/trunk/provider")).status == 200
    phone = await site.phone("p0")
    await site.licensed(phone)
    assert (await phone.register(expires=0)).code == 200
    await until_held(master, {"provider"})


@pytest.mark.parametrize(
    ("name", "code"),
    [("a" * 64, 200), ("a" * 65, 403), ("%22%5C+%7B", 200), ("%20", 403), ("%C3%BC", 403), ("a%20%20b", 403)],
)
async def test_names_are_long_or_strange(
    site: Site, kamailio: Kamailio, master: RestartableMaster, name: str, code: int
) -> None:
    """What usrloc cannot save, or no seat be held by, is refused; an escape is one name with what it stands for."""
    await site.licensed(await site.phone("p0"))
    reply = await (await site.phone(name)).register()
    assert reply.code == code, reply
    if code != 200:
        assert reply.reason == "Bad Address of Record"
        assert await master.holders("berlin") == {"p0"}
        return
    locations = Locations(kamailio.rpc, kamailio.token)
    assert await locations.holders() == {"p0", unquote(name)} == await master.holders("berlin")
    await locations.remove(unquote(name))
    assert await locations.holders() == {"p0"}
    await locations.close()


@pytest.mark.rule("E3")
async def test_capitals_make_no_other_address_of_record(
    site: Site, kamailio: Kamailio, master: RestartableMaster
) -> None:
    """usrloc has one of them, whose seat serves all: none beside it, and it stays as both are compared."""
    phones = [await site.phone(user) for user in ("Anna", "anna", "%41NNA")]
    await site.licensed(phones[0])
    assert [(await phone.register()).code for phone in phones] == [200] * len(phones)
    locations = Locations(kamailio.rpc, kamailio.token)
    assert await locations.holders() == {"anna"} == await master.holders("berlin")
    await locations.close()
    assert [(await phone.register(expires=0)).code for phone in phones] == [200] * len(phones)
    await until_held(master, set())


@pytest.mark.parametrize("reason", Reason)
def test_a_phone_is_told_to_come_back_where_callers_of_the_local_api_are(reason: Reason) -> None:
    refused = Refused(want=Want("port", HolderKind.USER, "4711"), reason=reason, message="said in words")
    code, _, detail = _in_sip(refused)
    assert (code == 503, detail) == (refusal(refused).status == HTTPStatus.SERVICE_UNAVAILABLE, "said in words")
