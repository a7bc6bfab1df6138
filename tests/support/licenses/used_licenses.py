"""Licenses that are in use, and what is told when they go."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from licensemaster.signing.device_key import DeviceKey
from licensemaster.v1 import lease_pb2, license_pb2, seat_pb2
from tests.support.masters import InProcess
from tests.support.pbxs.pbx import BarePbx
from tests.support.projects.estates import project
from tests.support.projects.signed_documents import Vendor, bind, enrolled, imported, listed

FREE, BOUND = license_pb2.LICENSE_STATE_FREE, license_pb2.LICENSE_STATE_BOUND
DRAIN, REVOKE, FORCE = license_pb2.IN_USE_DRAIN, license_pb2.IN_USE_REVOKE, license_pb2.IN_USE_FORCE
REVOKED, LEAVING = lease_pb2.NOTICE_KIND_SEATS_REVOKED, lease_pb2.NOTICE_KIND_LICENSES_LEAVING
TTL, GRACE, ALLOWANCE = 60, 60, 5
PBXS = {"berlin": "slave 12 gateway", "paris": "slave 12 gateway", "vm": "slave 12 ipva"}
Licenses = dict[str, tuple[str, int]]


async def estate_of(
    master: InProcess, folder: Path, licenses: Licenses, declared: dict[str, int | tuple[int, str]] | None = None
) -> DeviceKey:
    """Imported licenses on the master's device, beside declared ones; its key."""
    await master.wire.apply(project(declared or {}, pbxs=PBXS, ttl_seconds=TTL, grace_seconds=GRACE))
    await imported(master.wire, Vendor(), licenses, now=master.clock.now)
    key = await enrolled(master.wire, folder, "hq-box")
    for result in await bind(master.wire, "hq-box", *licenses):
        assert result.HasField("moved")
    return key


async def seats_told(pbx: BarePbx) -> list[seat_pb2.Seat]:
    """The seats that a PBX has to give back, as its renewal tells."""
    notices = (await pbx.renew()).notices
    return [seat for notice in notices if notice.kind == REVOKED for seat in notice.seats]


def names(listed: Sequence[seat_pb2.Seat]) -> set[tuple[str, str]]:
    return {(each.license_type, each.holder) for each in listed}


async def released(master: InProcess, license_id: str = "ports") -> license_pb2.LicenseStatus:
    """What a look round makes of a release."""
    await master.running.licenses.complete_releases()
    return (await listed(master.wire))[license_id]
