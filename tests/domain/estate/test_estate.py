"""What follows from a project alone: capacities, limits, who is local, where a seat is debited from."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from master.domain.catalog.versions import Version
from master.domain.catalog.words import PbxRole
from master.domain.estate.estate import Estate, LeasePace, Pbx
from master.domain.estate.installations import Device, Installation, License
from master.values import replace
from tests.domain.catalogs import INNOVAPHONE

HQ, BERLIN, CLOUD = (
    Device(1, "hq-box", "gateway", ""),
    Device(2, "berlin-box", "gateway", ""),
    Device(3, "vm", "ipva", ""),
)
DEVICES = (HQ, BERLIN, CLOUD)


def licensed(printed: str, quantity: int, device: Device | None) -> License:
    name = INNOVAPHONE.read_name(printed)
    return License(f"{printed}-{quantity}", name.type, name.version, name.tier, quantity, device)


def estate(*licenses: License) -> Estate:
    pace = LeasePace(60, 600, 20)
    pbxs = {
        device.id: Pbx(device.id, device.name.removesuffix("-box"), "site", device, role, Version(12), pace)
        for device, role in zip(DEVICES, (PbxRole.MASTER, PbxRole.SLAVE, PbxRole.SLAVE), strict=True)
    }
    pools = sorted({(license.device.id, license.type.key) for license in licenses if license.device is not None})
    ids = {pool: number for number, pool in enumerate(pools, start=1)}
    return Estate(1, "acme", 1, INNOVAPHONE, pbxs, licenses, ids, epoch_floor=0)


def of(known: Estate, device: Device) -> Installation:
    return known.installations[device.id]


def test_free_licenses_count_nowhere() -> None:
    known = estate(licensed("PBX-Port10", 100, None))
    assert all(
        installation.capacity == {} and installation.limit is None for installation in known.installations.values()
    )
    assert known.licenses[0].ref.device == ""


@given(st.lists(st.tuples(st.sampled_from(["PBX-Port", "PBX-myPBX", "PBX-IPVA"]), st.integers(1, 30)), max_size=6))
def test_the_oldest_license_is_the_limit(bought: list[tuple[str, int]]) -> None:
    installation = of(estate(*(licensed(f"{printed}{version}", 1, HQ) for printed, version in bought)), HQ)
    assert installation.limit == min((version for _, version in bought), default=None)
    assert {license.version for license in installation.limiting} <= {installation.limit}
    assert len(installation.limiting) == sum(version == installation.limit for _, version in bought)


@pytest.mark.parametrize("printed", ["Relay BRIs", "PBX-Operator9", "PBX-QueueMonitor9"])
def test_what_does_not_limit_the_software(printed: str) -> None:
    installation = of(estate(licensed(printed, 1, HQ), licensed("PBX-Port12", 1, HQ)), HQ)
    assert installation.limit == 12
    assert [license.type.key for license in installation.limiting] == ["port"]
    assert of(estate(licensed(printed, 1, HQ)), HQ).limit is None


def test_a_license_without_a_version_limits_nothing() -> None:
    """The agreement ledger brings such licenses, where a catalog sells a type with versions for no major version."""
    versionless = replace(licensed("PBX-Port12", 10, HQ), version=None)
    installation = of(estate(versionless, licensed("PBX-myPBX11", 1, HQ)), HQ)
    assert [license.type.key for license in installation.limiting_below(Version(13))] == ["mypbx"]
    assert of(estate(versionless), HQ).limit is None
    assert of(estate(versionless), HQ).limiting == ()


def test_the_oldest_license_of_an_application_limits_that_application() -> None:
    installation = of(estate(licensed("PBX-Operator12", 1, HQ), licensed("PBX-Operator10", 1, HQ)), HQ)
    assert installation.application_limit("operator") == 10
    assert installation.application_limit("queue_monitor") is None


@pytest.mark.parametrize(("voicemail", "ports", "on"), [(0, 0, False), (1, 0, True), (4, 5, False), (5, 5, True)])
def test_a_switch_is_on_while_enough_are_installed(voicemail: int, ports: int, on: bool) -> None:
    bought = [licensed("PBX-Voicemail12%1", voicemail, HQ)] if voicemail else []
    bought += [licensed("PBX-Port12", ports, HQ)] if ports else []
    known = estate(*bought)
    assert known.feature_is_on(of(known, HQ), INNOVAPHONE.types["voicemail"]) is on
    assert known.feature_is_on(of(known, HQ), INNOVAPHONE.types["port"])


def test_who_is_above_the_limit() -> None:
    known = estate(licensed("PBX-Port11", 1, HQ), licensed("PBX-Port12", 1, BERLIN))
    above = known.pbxs_above_limit(of(known, HQ), {CLOUD.id: Version(11, 2)})
    assert [pbx.name for pbx in above] == ["hq"]
    assert known.pbxs_above_limit(of(known, BERLIN), {}) == ()
    assert [pbx.name for pbx in known.pbxs_above_limit(of(known, BERLIN), {BERLIN.id: Version(13)})] == ["berlin"]
    assert known.pbxs_above_limit(of(known, CLOUD), {}) == ()
