"""Certificates that an authority issues: what they say, and what goes into them."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from enum import Enum
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from licensemaster.values import token_hash
from master.auth.callers.identity import MASTER, Identity
from master.auth.certificates.peer_certificate import identity_in, serial_text
from master.values import Value

_KEY_USES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def _key_usage(*uses: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{use: use in uses for use in _KEY_USES})


AUTHORITY_KEY_USAGE = _key_usage("key_cert_sign", "crl_sign")
HOLDER_KEY_USAGE = _key_usage("digital_signature")
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


class AuthorityError(ValueError):
    """The authority refuses to do something; the text says why and what would help."""


class Purpose(Enum):
    """What a certificate may be used for."""

    CALL = (ExtendedKeyUsageOID.CLIENT_AUTH,)
    SERVE = (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH)


class Holder(Value):
    """The one for whom a certificate is issued."""

    name: str
    names: tuple[x509.GeneralName, ...]
    """The alternative names by which callers check the certificate."""
    purpose: Purpose


class Issued(Value):
    certificate: x509.Certificate
    subject: Identity
    server_names: Sequence[str]
    """For a master's certificate: the names by which callers may call it."""
    begins_at: float
    ends_at: float
    revoked: bool

    @property
    def serial(self) -> str:
        """The serial number as commands take and print it."""
        return serial_text(self.certificate.serial_number)

    @property
    def public_key(self) -> bytes:
        """The public key of the certificate: the same for a certificate and the one that it was renewed to."""
        key = self.certificate.public_key()
        return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    @property
    def name(self) -> str:
        return self.subject.resource if self.subject is not MASTER else ", ".join(self.server_names)


def issued_of(certificate: x509.Certificate, revoked: Collection[int]) -> Issued:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    hosts = [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]
    return Issued(
        certificate,
        identity_in(certificate.extensions),
        hosts,
        certificate.not_valid_before_utc.timestamp(),
        certificate.not_valid_after_utc.timestamp(),
        certificate.serial_number in revoked,
    )


def host_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name[1:-1] if name.startswith("[") and name.endswith("]") else name))
    except ValueError:
        pass
    labels = name.removeprefix("*.").split(".")
    if len(name) > 253 or labels[-1].isdigit() or not all(_LABEL.fullmatch(label) for label in labels):
        inter = "" if name.isascii() else "; an international name is written in ASCII, as xn--..."
        raise AuthorityError(f"{name[:80]!r} is neither a host name nor an address{inter}")
    return x509.DNSName(name)


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)


def serial_of_token(token: str) -> int:
    """Return the serial number of the certificate that a token is for: positive, at most 20 bytes, never 0."""
    return int.from_bytes(bytes.fromhex(token_hash(token))[:20]) >> 1 or 1
