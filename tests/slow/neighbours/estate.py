"""The estate that bad neighbours live in: one project of many sites, and certificates for whoever calls in its name."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import grpc

from licensemaster.v1 import allocation_pb2, project_pb2
from tests.auth.pki import CertifiedKey, Pki

PROJECT, ELSEWHERE = "acme", "globex"
SITES = 1_000
RENEWING = tuple(range(50))
"""Sites whose renewals are measured; the first has a standby."""
STORMING = tuple(range(100, 300))
"""Sites that begin their day."""
NEWCOMERS = tuple(range(400, 500))
"""Sites that connect for the first time."""
PHONES = 100
CALLERS = {
    "pbx": f"projects/{PROJECT}/pbxs/mad",
    "standby": f"projects/{PROJECT}/pbxs/spare",
    "viewer": f"projects/{PROJECT}/viewers/vera",
    "operator": f"projects/{ELSEWHERE}/operators/otto",
    "scraper": "metrics/scraper",
    "revoked": f"projects/{PROJECT}/pbxs/p999",
    "anna": "operators/anna",
}


def pbx_name(site: int) -> str:
    return f"projects/{PROJECT}/pbxs/p{site}"


def project() -> project_pb2.Project:
    """A thousand sites on one pool of ports; the mad PBX wants what they do not."""
    message = large_project(PROJECT, SITES)
    for name in ("mad", "spare"):
        message.sites.add(name=name)
        message.devices.add(name=f"{name}-box", platform="gateway")
        message.pbxs.add(
            name=name, site=name, device=f"{name}-box", role=project_pb2.PBX_ROLE_SLAVE, software_version="12"
        )
    message.pbxs[-1].role = project_pb2.PBX_ROLE_STANDBY
    message.pbxs[-1].standby_for = "p0"
    licenses = {"PBX-Port12": 200_000, "PBX-Standby12": 200_000, "PBX-myPBX12": 25_000, "PBX-Operator12": 1}
    for printed, quantity in licenses.items():
        message.licenses.add(id=printed.lower(), type=printed, quantity=quantity, device="hq-box")
    return message


def allocation() -> allocation_pb2.ApplyAllocationRequest:
    """PBXs may wait for the one seat of an operator."""
    queue = allocation_pb2.QueuePolicy(length_max=1_000)
    policy = allocation_pb2.TypePolicy(license_type="operator", queue=queue)
    return allocation_pb2.ApplyAllocationRequest(
        project=f"projects/{PROJECT}", allocation=allocation_pb2.Allocation(types=[policy]), request_id=str(uuid4())
    )


def large_project(name: str, sites: int) -> project_pb2.Project:
    """So many sites with a PBX each beside the headquarters, and no licenses."""
    message = project_pb2.Project(name=name, catalog="innovaphone")
    message.sites.add(name="hq")
    message.devices.add(name="hq-box", platform="gateway")
    message.pbxs.add(name="hq", site="hq", device="hq-box", role=project_pb2.PBX_ROLE_MASTER, software_version="12")
    for number in range(sites):
        message.sites.add(name=f"s{number}")
        message.devices.add(name=f"b{number}", platform="gateway")
        message.pbxs.add(
            name=f"p{number}",
            site=f"s{number}",
            device=f"b{number}",
            role=project_pb2.PBX_ROLE_SLAVE,
            software_version="12",
        )
    return message


@dataclass(frozen=True, slots=True)
class Wallet:
    """A folder with everybody's certificates, for processes of their own."""

    folder: Path

    @classmethod
    def filled(cls, folder: Path) -> tuple[Wallet, Pki]:
        """Everybody's, by an authority whose master's files lie beside them; a stranger has another authority's."""
        pki, wallet = Pki(folder / "pki"), cls(folder)
        for who, uri in CALLERS.items():
            wallet._put(who, certified_key := pki.certified_key(uri))
            if who == "revoked":
                pki.authority.revoke([certified_key.issued], now=time.time())
        for site in (*RENEWING, *STORMING, *NEWCOMERS):
            wallet._put(f"p{site}", pki.certified_key(f"projects/{PROJECT}/pbxs/p{site}"))
        other = Pki(folder / "other", name="test")
        wallet._put("stranger", other.certified_key(CALLERS["anna"], ca=pki.ca))
        (folder / "ca.crt").write_bytes(pki.ca)
        return wallet, pki

    def credentials(self, who: str) -> grpc.ChannelCredentials:
        ca, key, certificate = (self._path(who, kind).read_bytes() for kind in ("ca", "key", "crt"))
        return grpc.ssl_channel_credentials(ca, key, certificate)

    def files(self, who: str) -> tuple[Path, Path]:
        """Certificate and key."""
        return self._path(who, "crt"), self._path(who, "key")

    @property
    def ca(self) -> Path:
        return self._path("", "ca")

    def _put(self, who: str, certified_key: CertifiedKey) -> None:
        parts: Iterable[tuple[str, bytes]] = (("crt", certified_key.certificate), ("key", certified_key.key))
        for kind, data in parts:
            self._path(who, kind).write_bytes(data)

    def _path(self, who: str, kind: str) -> Path:
        return self.folder / ("ca.crt" if kind == "ca" else f"{who}.{kind}")
