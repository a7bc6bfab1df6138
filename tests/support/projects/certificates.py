"""Certificates of every kind that a public key infrastructure hands out, good ones and others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_HASHLESS = (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)
KEYS: dict[str, Callable[[], Any]] = {
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "secp256k1": lambda: ec.generate_private_key(ec.SECP256K1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
    "Ed448": ed448.Ed448PrivateKey.generate,
    "RSA 1024": lambda: rsa.generate_private_key(65537, 1024),
    "RSA 2048": lambda: rsa.generate_private_key(65537, 2048),
}


@dataclass(frozen=True, slots=True)
class Made:
    """A certificate and its key."""

    certificate: x509.Certificate
    private: Any

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key(self) -> bytes:
        pem: bytes = self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return pem

    @classmethod
    def by(
        cls,
        issuer: Made | None = None,
        *,
        name: str = "somebody",
        key: str = "P-256",
        hosts: Sequence[str] = ("localhost",),
        days: tuple[float, float] = (-1, 30),
        is_authority: bool | None = None,
        good_for: x509.ObjectIdentifier | None = None,
    ) -> Self:
        """Signed by another, or by itself; `days` are from now."""
        private = KEYS[key]()
        now = datetime.now(UTC)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        signs, by = (issuer.private, issuer.certificate.subject) if issuer else (private, subject)
        built = x509.CertificateBuilder(by, subject, private.public_key(), x509.random_serial_number())
        built = built.not_valid_before(now + timedelta(days=days[0])).not_valid_after(now + timedelta(days=days[1]))
        if is_authority is not None:
            built = built.add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        if hosts:
            names = x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])
            built = built.add_extension(names, critical=False)
        if good_for:
            built = built.add_extension(x509.ExtendedKeyUsage([good_for]), critical=False)
        return cls(built.sign(signs, None if isinstance(signs, _HASHLESS) else hashes.SHA256()), private)

    @classmethod
    def authority(cls, issuer: Made | None = None, *, name: str = "authority", key: str = "P-256") -> Self:
        """One that signs others."""
        return cls.by(issuer, name=name, key=key, hosts=(), is_authority=True)


FOR_CALLERS = ExtendedKeyUsageOID.CLIENT_AUTH
FOR_SERVERS = ExtendedKeyUsageOID.SERVER_AUTH
