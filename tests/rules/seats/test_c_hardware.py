"""Section C: hardware licenses on their own box."""

import pytest

from licensemaster.v1 import seat_pb2
from tests.rules.asking import (
    CHANNEL,
    DEBITED,
    INTERFACE,
    NOT_NEEDED,
    Reason,
    ask,
    give_back,
    grant,
    grant_all,
    held,
    holders,
    numbers,
    refuse,
    used,
    with_more,
)
from tests.support.masters import InProcess
from tests.support.pbxs.pbx import granted, opened, refused, seat
from tests.support.projects.estates import project

PBXS = {"berlin": "slave 12 gateway IP3011", "small": "slave 12 gateway IP411", "smaller": "slave 12 gateway IP311"}
TYPES = [("relay_bri", "Relay BRIs", INTERFACE), ("relay_pri", "Relay PRIs", INTERFACE)]
TYPES.append(("relay_channel", "Relay channels", CHANNEL))


@pytest.mark.rule("C1")
@pytest.mark.parametrize(("license_type", "printed", "kind"), TYPES)
async def test_counted_on_their_own_box(
    master: InProcess, license_type: str, printed: str, kind: seat_pb2.HolderKind.ValueType
) -> None:
    estate = project({printed: (2, "berlin-box"), printed.replace(" ", "-"): 9}, pbxs=PBXS)
    await master.wire.apply(estate)
    berlin = await opened(master.wire, "berlin")
    wanted = [seat(license_type, f"isdn-{number}", kind=kind) for number in range(4)]
    results = await ask(berlin, *wanted)
    for granted_seat in granted(results[:2]):
        assert (granted_seat.basis, granted_seat.device, granted_seat.reassignable) == (
            DEBITED,
            "berlin-box",
            kind == CHANNEL,
        )
    for refusal in refused(results[2:]):
        assert refusal.reason == Reason.REFUSAL_REASON_POOL_EXHAUSTED
        assert list(refusal.rules) == ["C1"]
        assert refusal.device == "berlin-box"
        assert numbers(refusal) == (2, 2, 4)
        assert holders(refusal) == [("berlin", "site-berlin", 2)]
        assert (refusal.remedy.quantity, refusal.remedy.device, refusal.remedy.version) == (2, "berlin-box", "")
    assert await used(master.wire, license_type, "berlin-box") == (2, 2)
    assert await used(master.wire, license_type) == (0, 9)  # the master's own are the master's own

    await give_back(berlin, wanted[0])
    await grant(berlin, wanted[2])
    await master.wire.apply(with_more(estate, results[3].refused, printed))
    await grant_all(berlin, wanted[0], wanted[3])


@pytest.mark.rule("C1")
async def test_channels_serve_isdn_and_conferences(master: InProcess) -> None:
    await master.wire.apply(project({"Relay channels": 2}))
    hq = await opened(master.wire, "hq")
    await grant_all(
        hq, seat("Relay channels", "isdn-1", kind=CHANNEL), seat("relay_channel", "conference-1", kind=CHANNEL)
    )
    assert numbers(await refuse(hq, seat("relay_channel", "conference-2", kind=CHANNEL))) == (2, 2, 1)


@pytest.mark.rule("C1")
async def test_held_by_interfaces_and_channels_only(master: InProcess) -> None:
    await master.wire.apply(project({"Relay BRIs": 2}, pbxs=PBXS))
    for name in ("hq", "small"):  # a wrong question is wrong also where no license is needed
        refusal = await refuse(await opened(master.wire, name), seat("relay_bri", "alice"))
        assert refusal.reason == Reason.REFUSAL_REASON_HOLDER_KIND
        assert refusal.remedy.text == "name one of these kinds of holder: INTERFACE"


@pytest.mark.rule("C3")
async def test_without_a_version_they_limit_none_and_are_limited_by_none(master: InProcess) -> None:
    await master.wire.apply(project({"Relay BRIs": 1, "PBX-Port12": 5}))
    hq = await opened(master.wire, "hq", "12")
    await grant(hq, seat("port", "alice"))
    await hq.open("14")
    assert (await refuse(hq, seat("port", "bob"))).reason == Reason.REFUSAL_REASON_VERSION_LIMIT
    await grant(hq, seat("relay_bri", "bri-1", kind=INTERFACE))


@pytest.mark.rule("C4")
@pytest.mark.parametrize("name", ["small", "smaller"])
async def test_built_in_on_small_models(master: InProcess, name: str) -> None:
    await master.wire.apply(project({"Relay BRIs": (1, f"{name}-box")}, pbxs=PBXS))
    small, berlin = await opened(master.wire, name), await opened(master.wire, "berlin")
    wanted = [seat(license_type, "one", kind=kind) for license_type, _, kind in TYPES]
    for granted_seat in await grant_all(small, *wanted):
        assert (granted_seat.basis, granted_seat.device, granted_seat.already_held) == (NOT_NEEDED, "", False)
    assert await held(master.wire, small) == set()
    assert await used(master.wire, "relay_bri", f"{name}-box") == (0, 1)
    for wish in wanted:
        refusal = await refuse(berlin, wish)
        assert refusal.reason == Reason.REFUSAL_REASON_NONE_INSTALLED
        assert refusal.device == "berlin-box"
