"""Licenses that leave their device for the balance."""

from __future__ import annotations

from licensemaster.signing.device_key import DeviceKey
from licensemaster.v1 import license_pb2
from tests.support.masters import Wire
from tests.support.projects.signed_documents import certify, moved, release

FREE, BOUND = license_pb2.LICENSE_STATE_FREE, license_pb2.LICENSE_STATE_BOUND


async def released(wire: Wire, key: DeviceKey, license_id: str, to_device: str = "") -> license_pb2.LicenseStatus:
    """Taken off its device, with that device's certificate."""
    asked = moved(await release(wire, license_id, to_device=to_device)).release.request
    return (await certify(wire, key, asked)).license
