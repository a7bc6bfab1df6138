"""The files of a certificate: read whole, and refused with the file's name and a remedy where they cannot be used.

A master reads a certificate, its key, the authorities' certificates, and perhaps lists of revoked certificates (CRL); a
command reads the first three. Whoever reads hands in what the files are called there, and the time.
"""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from master.auth.identity import MASTER, IdentityError
from master.auth.shown import CertificateId, day, shown

_SERVES = frozenset({ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE})
_END = b"-----END X509 CRL-----"


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFiles:
    """Where a master's certificates are, PEM."""

    certificate: Path
    key: Path
    ca: Path
    revocations: Path | None = None


class CertificateFilesError(ValueError):
    """The files cannot be used; names the setting, the file and what to do."""

    def __init__(self, setting: str, path: Path, problem: str) -> None:
        super().__init__(f"{setting}: {path}: {problem}")


@dataclass(frozen=True, slots=True)
class NamedFile:
    """A file, and what the setting or option that names it is called."""

    setting: str
    path: Path

    def read(self) -> bytes:
        """Its bytes.

        Raises:
            CertificateFilesError: it cannot be read.
        """
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise self.wrong(f"cannot be read: {error.strerror}") from error

    def wrong(self, problem: str) -> CertificateFilesError:
        """What to raise about it."""
        return CertificateFilesError(self.setting, self.path, problem)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, and the authorities whose certificates are believed; they fit together."""

    certificate: bytes
    """With those that it was signed by, as far as the file has them."""
    key: bytes
    ca: bytes
    """Certificates alone, whatever else the file says."""
    chain: Sequence[x509.Certificate]
    authorities: Sequence[x509.Certificate]

    @property
    def ends_at(self) -> float:
        """UNIX seconds."""
        return self.chain[0].not_valid_after_utc.timestamp()


@dataclass(frozen=True, slots=True)
class Read:
    """A master's files, read whole and found to fit together."""

    certificate: bytes
    key: bytes
    ca: bytes
    ends_at: float
    """When the master's own certificate ends, UNIX seconds."""
    revoked: frozenset[CertificateId]
    revocations_due: float | None
    """When the first of the lists says that a newer one is due, UNIX seconds; None where none says so."""
    page: ssl.SSLContext
    """For the metrics page, which does not speak gRPC."""


def read_pair(certificate: NamedFile, key: NamedFile, ca: NamedFile) -> Pair:
    """Read what one shows, and whom one believes.

    Raises:
        CertificateFilesError: they cannot be read, or do not fit together.
    """
    certificate_pem, key_pem = certificate.read(), key.read()
    chain, authorities = _certificates(certificate, certificate_pem), _certificates(ca, ca.read())
    try:
        public = load_pem_private_key(key_pem, password=None).public_key()
    except (ValueError, TypeError) as error:
        raise key.wrong("is not a private key in PEM without a password") from error
    if _public_bytes(public) != _public_bytes(chain[0].public_key()):
        raise key.wrong(f"is not the key of {certificate.path}; name the pair that was made together")
    ca_pem = b"".join(one.public_bytes(Encoding.PEM) for one in authorities)
    return Pair(certificate_pem, key_pem, ca_pem, chain, authorities)


def read_files(files: CertificateFiles, now: float) -> Read:
    """Read a master's files.

    Raises:
        CertificateFilesError: a master cannot serve with them.
    """
    certificate, key = NamedFile("tls_certificate_file", files.certificate), NamedFile("tls_key_file", files.key)
    pair = read_pair(certificate, key, NamedFile("tls_ca_file", files.ca))
    _check_serves(certificate, pair.chain[0], now)
    lists: list[x509.CertificateRevocationList] = []
    if files.revocations:
        lists = _lists(NamedFile("tls_revocations_file", files.revocations), pair.authorities)
    revoked = frozenset((found.issuer.public_bytes(), one.serial_number) for found in lists for one in found)
    due = min((found.next_update_utc.timestamp() for found in lists if found.next_update_utc), default=None)
    return Read(pair.certificate, pair.key, pair.ca, pair.ends_at, revoked, due, _page_context(certificate, pair))


def _check_serves(file: NamedFile, certificate: x509.Certificate, now: float) -> None:
    remedy = "`license-master pki issue server HOST` makes a master's"
    try:
        whose = shown(certificate).identity
    except IdentityError as error:
        raise file.wrong(f"is not a master's certificate: {error}; {remedy}") from error
    if whose is not MASTER:
        raise file.wrong(f"is the certificate of {whose.uri}, to call masters with, not a master's own; {remedy}")
    try:
        purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        pass  # good for everything
    else:
        if _SERVES.isdisjoint(purposes):
            raise file.wrong(f"is not good for servers (serverAuth), so nobody would believe it; {remedy}")
    ends_at = certificate.not_valid_after_utc.timestamp()
    if ends_at <= now:
        raise file.wrong(f"ended {day(ends_at)}; renew it (`license-master pki renew`) or issue a new one")


def _lists(file: NamedFile, authorities: Sequence[x509.Certificate]) -> list[x509.CertificateRevocationList]:
    blocks = [part + _END for part in file.read().split(_END) if b"-----BEGIN X509 CRL-----" in part]
    if not blocks:
        raise file.wrong("holds no CRL in PEM; `license-master pki` keeps one: revoked.crl")
    found = []
    for block in blocks:
        try:
            listed = x509.load_pem_x509_crl(block)
        except ValueError as error:
            raise file.wrong("is not a CRL in PEM") from error
        if not any(_signed_by(listed, authority) for authority in authorities):
            raise file.wrong("is signed by none of the authorities in tls_ca_file")
        found.append(listed)
    return found


class _Key(Protocol):
    def public_bytes(self, encoding: Encoding, format: PublicFormat) -> bytes: ...


def _public_bytes(key: _Key) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _signed_by(listed: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    key: Any = authority.public_key()
    try:
        return listed.issuer == authority.subject and listed.is_signature_valid(key)
    except TypeError:  # a key that signs nothing
        return False


def _certificates(file: NamedFile, data: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError as error:
        raise file.wrong("holds no certificate in PEM") from error


def _page_context(file: NamedFile, pair: Pair) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=pair.ca.decode("ascii"))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
        with tempfile.TemporaryDirectory(prefix="license-master-") as folder:  # Python takes a key from a file only
            path = Path(folder, "pair.pem")
            path.touch(mode=0o600)
            path.write_bytes(pair.key + b"\n" + pair.certificate)
            context.load_cert_chain(path)
    except (OSError, ValueError) as error:  # an ssl.SSLError is an OSError
        raise file.wrong(f"TLS does not take it: {error}") from error
    return context
