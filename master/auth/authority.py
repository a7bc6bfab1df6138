"""A small certificate authority in a folder: it issues, renews and revokes certificates, and enrols against tokens.

    ca.crt, ca.key     the authority; the key never leaves this folder and is readable by its owner only
    revoked.crl        for the masters' setting tls_revocations_file; copied to them after each change
    issued/SERIAL.crt  every certificate that was issued; no keys of others
    tokens.json        one-time tokens that are open, by their SHA-256

Masters need none of it but ca.crt and revoked.crl: who breaks into a master can issue nothing. Callers hand in the time
(UNIX seconds). Every change is written whole, to a file that takes the old one's place.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from master.auth.identity import MASTER, Identity, identity_of
from master.auth.shown import serial_text, shown

Key = ec.EllipticCurvePrivateKey
PublicKey = ec.EllipticCurvePublicKey
_SKEW = timedelta(minutes=5)
"""How far a certificate begins in the past, for clocks that run behind."""
_CRL_DAYS = 3650


class AuthorityError(ValueError):
    """The authority does not do that; says why and what would help."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate that was issued."""

    certificate: x509.Certificate
    subject: Identity
    server_names: Sequence[str]
    """For a master's certificate: what callers may call it by."""
    begins_at: float
    ends_at: float
    revoked: bool

    @property
    def serial(self) -> str:
        """As commands take and print it."""
        return serial_text(self.certificate.serial_number)

    @property
    def name(self) -> str:
        """Whose it is."""
        return self.subject.resource if self.subject is not MASTER else ", ".join(self.server_names)


class Authority:
    """An authority that is there; see `create` and `open`."""

    def __init__(self, folder: Path, certificate: x509.Certificate, key: Key) -> None:
        self.folder = folder
        self.certificate = certificate
        self._key = key

    @classmethod
    def create(cls, folder: Path, *, name: str, days: int, now: float) -> Authority:
        """A new authority.

        Raises:
            AuthorityError: the folder has one.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if (folder / "ca.key").exists() or (folder / "ca.crt").exists():
            raise AuthorityError(f"{folder} holds an authority already; a second one needs a folder of its own")
        key = new_key()
        subject = _common_name(name)
        begins, ends = _moment(now) - _SKEW, _moment(now) + timedelta(days=days)
        certificate = (
            x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number(), begins, ends)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        write(folder / "ca.key", key_pem(key), mode=0o600)
        write(folder / "ca.crt", pem(certificate))
        (folder / "issued").mkdir(exist_ok=True)
        authority = cls(folder, certificate, key)
        authority._write_revoked((), now)
        return authority

    @classmethod
    def open(cls, folder: Path) -> Authority:
        """The authority of a folder.

        Raises:
            AuthorityError: there is none, or it cannot be read.
        """
        try:
            certificate = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
            key = load_pem_private_key((folder / "ca.key").read_bytes(), password=None)
        except OSError as error:
            raise AuthorityError(f"{folder} holds no authority ({error.strerror}); `pki init` makes one") from error
        except ValueError as error:
            raise AuthorityError(f"the authority in {folder} cannot be read; restore it from its backup") from error
        if not isinstance(key, Key):
            raise AuthorityError(f"the key in {folder} is not one that `pki init` makes")
        return cls(folder, certificate, key)

    def issue(self, subject: Identity, public_key: PublicKey, *, days: float, now: float) -> Issued:
        """A certificate for a caller."""
        names = [x509.UniformResourceIdentifier(subject.uri)]
        return self._issue(subject.name, names, public_key, serves=False, days=days, now=now)

    def issue_server(self, names: Sequence[str], public_key: PublicKey, *, days: float, now: float) -> Issued:
        """A certificate for a master, by the host names and addresses that callers use; good for its probes too.

        Raises:
            AuthorityError: no name, or one is none.
        """
        if not names:
            raise AuthorityError("a master's certificate needs at least one host name or address")
        return self._issue(names[0], [_host(name) for name in names], public_key, serves=True, days=days, now=now)

    def renew(self, issued: Issued, *, now: float) -> Issued:
        """The same for the same key, for as long again from now on; the old one stays good until its end.

        Raises:
            AuthorityError: it was revoked.
        """
        if issued.revoked:
            raise AuthorityError(f"{issued.serial} was revoked; issue or enrol a new one, with a new key")
        key = issued.certificate.public_key()
        if not isinstance(key, PublicKey):
            raise AuthorityError(f"{issued.serial} has no key that this authority issues for")
        days = (issued.ends_at - issued.begins_at - _SKEW.total_seconds()) / 86_400
        if issued.subject is MASTER:
            return self.issue_server(issued.server_names, key, days=days, now=now)
        return self.issue(issued.subject, key, days=days, now=now)

    def issued(self) -> list[Issued]:
        """Every certificate, the one that ends soonest first."""
        revoked = self._revoked()
        found = [
            _issued(x509.load_pem_x509_certificate(path.read_bytes()), revoked)
            for path in (self.folder / "issued").glob("*.crt")
        ]
        return sorted(found, key=lambda one: (one.ends_at, one.serial))

    def revoke(self, certificates: Collection[Issued], *, now: float) -> None:
        """Trust these no more, as soon as the masters have the new revoked.crl."""
        listed = self._revoked() | {one.certificate.serial_number for one in certificates}
        self._write_revoked(listed, now)

    def open_token(self, subject: Identity, *, seconds: float, now: float) -> str:
        """A one-time token: whoever shows it is enrolled as `subject`. It is stored as its hash only."""
        token = secrets.token_urlsafe(24)
        tokens = self._tokens(now)
        tokens[_hash(token)] = {"subject": subject.uri, "ends_at": now + seconds}
        self._write_tokens(tokens)
        return token

    def enrol(self, request: x509.CertificateSigningRequest, token: str, *, days: float, now: float) -> Issued:
        """A certificate against a one-time token, for whom the token is for, whatever the request says.

        Raises:
            AuthorityError: the token is unknown, used or too old, or the request is not signed by its own key.
        """
        tokens = self._tokens(now)
        found = tokens.pop(_hash(token), None)
        if found is None:
            raise AuthorityError("this token is unknown, was used, or is too old; `pki token` makes another")
        key = request.public_key()
        if not isinstance(key, PublicKey) or not isinstance(key.curve, ec.SECP256R1) or not request.is_signature_valid:
            raise AuthorityError("the request is not signed by its own P-256 key; `pki request` makes one")
        self._write_tokens(tokens)  # before the certificate: a crash costs a token and never gives two certificates
        return self.issue(identity_of(str(found["subject"])), key, days=days, now=now)

    def _issue(
        self,
        name: str,
        names: Sequence[x509.GeneralName],
        public_key: PublicKey,
        *,
        serves: bool,
        days: float,
        now: float,
    ) -> Issued:
        begins = _moment(now) - _SKEW
        ends = min(_moment(now) + timedelta(days=days), self.certificate.not_valid_after_utc)
        purposes = [ExtendedKeyUsageOID.CLIENT_AUTH, *([ExtendedKeyUsageOID.SERVER_AUTH] if serves else [])]
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        certificate = (
            x509.CertificateBuilder(
                self.certificate.subject, _common_name(name), public_key, x509.random_serial_number(), begins, ends
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(issuer, critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        issued = _issued(certificate, frozenset())
        write(self.folder / "issued" / f"{issued.serial}.crt", pem(certificate))
        return issued

    def _revoked(self) -> frozenset[int]:
        listed = x509.load_pem_x509_crl((self.folder / "revoked.crl").read_bytes())
        return frozenset(one.serial_number for one in listed)

    def _write_revoked(self, serials: Collection[int], now: float) -> None:
        builder = x509.CertificateRevocationListBuilder(
            self.certificate.subject, _moment(now), _moment(now) + timedelta(days=_CRL_DAYS)
        )
        for serial in sorted(serials):
            one = x509.RevokedCertificateBuilder(serial, _moment(now)).build()
            builder = builder.add_revoked_certificate(one)
        listed = builder.sign(self._key, hashes.SHA256())
        write(self.folder / "revoked.crl", listed.public_bytes(Encoding.PEM))

    def _tokens(self, now: float) -> dict[str, dict[str, str | float]]:
        try:
            found = json.loads((self.folder / "tokens.json").read_bytes())
        except FileNotFoundError:
            return {}
        return {key: one for key, one in found.items() if one["ends_at"] > now}

    def _write_tokens(self, tokens: dict[str, dict[str, str | float]]) -> None:
        write(self.folder / "tokens.json", json.dumps(tokens, indent=1).encode(), mode=0o600)


def new_key() -> Key:
    """A fresh private key."""
    return ec.generate_private_key(ec.SECP256R1())


def signing_request(subject: Identity, key: Key) -> x509.CertificateSigningRequest:
    """What a device sends to the authority; its key stays where it is."""
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(subject.uri)])
    builder = x509.CertificateSigningRequestBuilder(_common_name(subject.name))
    return builder.add_extension(names, critical=False).sign(key, hashes.SHA256())


def key_pem(key: Key) -> bytes:
    """A private key as its file has it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def pem(one: x509.Certificate | x509.CertificateSigningRequest) -> bytes:
    """Something public as its file has it."""
    return one.public_bytes(Encoding.PEM)


def write(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Put a file in its place, whole and on disk, with this mode from its first byte on."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _issued(certificate: x509.Certificate, revoked: Collection[int]) -> Issued:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    hosts = [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]
    return Issued(
        certificate,
        shown(certificate).identity,
        hosts,
        certificate.not_valid_before_utc.timestamp(),
        certificate.not_valid_after_utc.timestamp(),
        certificate.serial_number in revoked,
    )


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        pass
    labels = name.removeprefix("*.").split(".")
    if len(name) > 253 or not all(0 < len(one) < 64 and one.replace("-", "").isalnum() for one in labels):
        raise AuthorityError(f"{name[:80]!r} is neither a host name nor an address")
    return x509.DNSName(name)


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
