"""Certificates for tests: a real authority, and connections that show what it issued."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509

from licensemaster.tls.channels import open_channel
from master.auth.authority.authority import Authority
from master.auth.authority.issued import Holder, Issued, Purpose
from master.auth.authority.keys import key_pem, new_key, pem
from master.auth.callers.identity import MASTER, identity_of
from tests.support.masters import UNHURRIED, Wire
from tests.support.projects.certificates import Made


@dataclass(frozen=True, slots=True)
class CertifiedKey:
    """A certificate, its key, and the authority that its holder trusts."""

    issued: Issued
    certificate: bytes
    key: bytes
    ca: bytes

    @property
    def credentials(self) -> grpc.ChannelCredentials:
        return grpc.ssl_channel_credentials(self.ca, self.key, self.certificate)


class Pki:
    """An authority, and a master's files beside it."""

    def __init__(self, folder: Path, *, name: str = "test") -> None:
        self.authority = Authority.create(folder, name=name, days=3650, now=time.time())
        self.folder = folder

    @property
    def ca(self) -> bytes:
        return (self.folder / "ca.crt").read_bytes()

    def certified_key(self, uri: str, *, days: float = 30, now: float | None = None, ca: bytes = b"") -> CertifiedKey:
        """What somebody shows; `uri` without its scheme."""
        key = new_key()
        now = time.time() if now is None else now
        issued = self.authority.issue(identity_of(f"license-master://{uri}"), key.public_key(), days=days, now=now)
        return CertifiedKey(issued, pem(issued.certificate), key_pem(key), ca or self.ca)

    def server_key(self, *, days: float = 30) -> CertifiedKey:
        key = new_key()
        names = ["localhost", "127.0.0.1"]
        issued = self.authority.issue_server(names, key.public_key(), days=days, now=time.time())
        return CertifiedKey(issued, pem(issued.certificate), key_pem(key), self.ca)

    def for_clients_only(self) -> CertifiedKey:
        """What a foreign authority gives: nobody's URI, and not good for servers."""
        key = new_key()
        holder = Holder("x", (x509.DNSName("localhost"),), Purpose.CALL)
        issued = self.authority._issue(holder, key.public_key(), days=30, now=time.time())
        return CertifiedKey(issued, pem(issued.certificate), key_pem(key), self.ca)

    def foreign(self, **what: Any) -> CertifiedKey:
        """A master's certificate as other tools make them with this authority: any key, any days."""
        made = Made.by(Made(self.authority.certificate, self.authority._key), **what)
        begins, ends = made.certificate.not_valid_before_utc, made.certificate.not_valid_after_utc
        issued = Issued(made.certificate, MASTER, ["localhost"], begins.timestamp(), ends.timestamp(), revoked=False)
        return CertifiedKey(issued, made.pem, made.key, self.ca)

    def serve(self, certified_key: CertifiedKey) -> dict[str, Any]:
        """The settings of a master with this certificate; written anew, its files are what the master reads next."""
        (self.folder / "server.key").write_bytes(certified_key.key)
        (self.folder / "server.crt").write_bytes(certified_key.certificate)
        return {
            "tls_certificate_file": self.folder / "server.crt",
            "tls_key_file": self.folder / "server.key",
            "tls_ca_file": self.folder / "ca.crt",
            "tls_revocations_file": self.folder / "revoked.crl",
        }


@asynccontextmanager
async def shown_to(address: str, credentials: grpc.ChannelCredentials) -> AsyncIterator[Wire]:
    """Stubs over a connection of their own."""
    async with open_channel(address, credentials, UNHURRIED) as channel:
        yield Wire(address, channel)
