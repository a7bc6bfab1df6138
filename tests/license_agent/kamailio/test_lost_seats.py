"""Whoever loses a seat loses its contacts: at once, or after the call that is up."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from license_agent.kamailio.locations import _names_of
from licensemaster.v1 import lease_pb2
from slave_client import SlaveClient, State
from tests.license_agent.conftest import PORTS
from tests.license_agent.kamailio.conftest import Registered, Site, until
from tests.slave_client.conftest import RestartableMaster
from tests.slave_client.operating import operator_of
from tests.support.limits import HANG_SECONDS
from tests.support.masters import PROJECT, wire_to


async def test_a_pbx_that_is_fenced_loses_its_contacts(
    site: Site, registered: Registered, master: RestartableMaster
) -> None:
    phone = await site.phone("p0")
    await site.licensed(phone)
    assert await registered.locations.holders() == {"p0"}
    async with SlaveClient(master.config("berlin")) as other:  # the same PBX, on another machine
        await other.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
        await registered.until(set())
    assert (await phone.register()).code == 403


@pytest.mark.rule("L5")
async def test_a_seat_that_is_revoked_is_refused_though_it_was_just_refreshed(
    site: Site, registered: Registered, master: RestartableMaster, tmp_path: Path
) -> None:
    operator = await operator_of(master.address, tmp_path, now=master.clock(), ports=1)
    phones = [await site.phone(f"p{number}") for number in range(PORTS + 1)]
    await site.licensed(phones[0])
    assert {(await phone.register()).code for phone in phones} == {200}
    assert {(await phone.register()).code for phone in phones} == {200}  # now Kamailio itself knows of the seats
    await operator.revoke()

    async def are_back() -> bool:
        return len(await operator.holders()) == PORTS

    await until(are_back)
    codes = [(await phone.register()).code for phone in phones]
    assert sorted(codes) == [200] * PORTS + [403]
    await registered.until({phone.user for phone, code in zip(phones, codes, strict=True) if code == 200})


async def test_a_lease_that_a_master_ends_costs_no_phone_its_contact(
    site: Site, registered: Registered, master: RestartableMaster
) -> None:
    """The lease is opened again at once, with the same seats."""
    phone = await site.phone("p0")
    await site.licensed(phone)
    async with wire_to(master.address) as wire:
        await wire.leases.EndLease(
            lease_pb2.EndLeaseRequest(pbx=f"projects/{PROJECT}/pbxs/berlin", reason="a test", request_id=str(uuid4()))
        )
    await until(site.holds("p0"))
    assert (await phone.register()).code == 200
    assert await registered.locations.holders() == {"p0"}


async def test_contacts_go_after_the_call(site: Site, registered: Registered, master: RestartableMaster) -> None:
    """Both ends of a call lose their seat while they talk; who is in no call loses its contact at once."""
    phones = {user: await site.phone(user) for user in ("Caller", "callee", "idle")}
    await site.licensed(phones["idle"])
    assert {(await phone.register()).code for phone in phones.values()} == {200}
    call = await phones["Caller"].talk("CALLEE")
    assert call.code == 200
    async with SlaveClient(master.config("berlin")) as other:  # the PBX is fenced
        await other.wait_for_state(State.CONNECTED, timeout_seconds=HANG_SECONDS)
        await registered.until({"caller", "callee"})
        assert (await phones["Caller"].register()).code == 403
        assert await registered.locations.holders() == {"caller", "callee"}
        assert (await phones["Caller"].hang_up(call)).code == 200
        await registered.until(set())


@pytest.mark.parametrize(
    ("uri", "names"),
    [
        ("sip:4711@example.com:5060;user=phone", ("4711", "4711@example.com")),
        ("sip:a%20b@example.com", ("a b", "a b@example.com")),
        ("sip:4711@[2001:db8::1]:5060", ("4711", "4711@[2001:db8::1]")),
        ("sip:4711;line=1@example.com;lr", ("4711;line=1", "4711;line=1@example.com")),
        ("sip:4711:secret@example.com?x=a@b", ("4711", "4711@example.com")),
        ("sip:example.com", ()),
        ("sip:example.com;x=a", ()),
    ],
)
def test_who_is_in_a_call_is_named_as_usrloc_does(uri: str, names: tuple[str, ...]) -> None:
    assert _names_of(uri) == names
