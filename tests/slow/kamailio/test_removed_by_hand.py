"""Contacts that an administrator removes in Kamailio, which tells nobody."""

from __future__ import annotations

from simulator.sip.site import Kamailio
from tests.license_agent.conftest import PORTS
from tests.license_agent.kamailio.conftest import Registered, Site, until_held
from tests.slave_client.conftest import RestartableMaster


async def test_the_seat_goes_back_and_the_phone_has_to_ask_again(
    site: Site, kamailio: Kamailio, registered: Registered, master: RestartableMaster
) -> None:
    """Kamailio itself still knows that the phone had a seat; that must not do."""
    phones = [await site.phone(f"p{number}") for number in range(PORTS)]
    await site.licensed(phones[0])
    assert {(await phone.register()).code for phone in phones} == {200}
    await registered.locations.remove("p0")
    await until_held(master, {phone.user for phone in phones[1:]})
    assert (await (await site.phone("another")).register()).code == 200
    refused = await phones[0].register()
    assert (refused.code, refused.reason) == (403, "No License: pool_exhausted")
