"""Certificates as a master meets them: who one is for, and the files of its own, read again whenever they change.

The files are a certificate, its key, the authorities' certificates, and perhaps a list of revoked certificates (CRL).
A change that cannot be read whole leaves what was read before, and says so in the log.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from master.auth.identity import MASTER, SCHEME, Identity, IdentityError, identity_of

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Shown:
    """What a caller's certificate says."""

    identity: Identity
    serial: int
    ends_at: float
    """UNIX seconds."""


def shown(certificate: x509.Certificate) -> Shown:
    """Who a certificate is for.

    Raises:
        IdentityError: it names several, or somebody whose name cannot be.
    """
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        uris = []
    else:
        uris = [uri for uri in names.get_values_for_type(x509.UniformResourceIdentifier) if uri.startswith(SCHEME)]
    if len(uris) > 1:
        raise IdentityError(f"one certificate names {len(uris)}: {', '.join(uris)[:300]}; it must name one")
    identity = identity_of(uris[0]) if uris else MASTER
    return Shown(identity, certificate.serial_number, _seconds(certificate.not_valid_after_utc))


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
class Read:
    """The files, read whole and found to fit together."""

    certificate: bytes
    key: bytes
    ca: bytes
    ends_at: float
    """When the master's own certificate ends, UNIX seconds."""
    revoked: frozenset[int]
    """Serial numbers."""


class Certificates:
    """A master's files as last read. May be asked from several threads."""

    def __init__(self, files: CertificateFiles) -> None:
        """Raises CertificateFilesError: they cannot be used."""
        self._files = files
        self._lock = threading.Lock()
        self._state = self._stamp()
        self.current = _read(files)

    def look(self) -> Read:
        """Read again what changed; the newest that could be read."""
        with self._lock:
            state = self._stamp()
            if state != self._state:
                self._state = state
                try:
                    self.current = _read(self._files)
                    _log.info("certificates read again", revoked=len(self.current.revoked))
                except CertificateFilesError as error:
                    _log.error("changed certificates cannot be used, the former ones stay", reason=str(error))
            return self.current

    def _stamp(self) -> Sequence[tuple[int, int, int] | None]:
        files = self._files
        return [_stamp(path) for path in (files.certificate, files.key, files.ca, files.revocations) if path]


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _read(files: CertificateFiles) -> Read:
    certificate, key, ca = (
        _bytes("tls_certificate_file", files.certificate),
        _bytes("tls_key_file", files.key),
        _bytes("tls_ca_file", files.ca),
    )
    chain = _certificates("tls_certificate_file", files.certificate, certificate)
    authorities = _certificates("tls_ca_file", files.ca, ca)
    try:
        public = load_pem_private_key(key, password=None).public_key()
    except (ValueError, TypeError) as error:
        problem = "is not a private key in PEM without a password"
        raise CertificateFilesError("tls_key_file", files.key, problem) from error
    if _public_bytes(public) != _public_bytes(chain[0].public_key()):
        problem = f"is not the key of {files.certificate}; name the pair that was made together"
        raise CertificateFilesError("tls_key_file", files.key, problem)
    revoked = _revoked(files.revocations, authorities) if files.revocations else frozenset[int]()
    return Read(certificate, key, ca, _seconds(chain[0].not_valid_after_utc), revoked)


def _revoked(path: Path, authorities: Sequence[x509.Certificate]) -> frozenset[int]:
    setting, data = "tls_revocations_file", _bytes("tls_revocations_file", path)
    blocks = [part + _END for part in data.split(_END) if b"-----BEGIN X509 CRL-----" in part]
    if not blocks:
        raise CertificateFilesError(setting, path, "holds no CRL in PEM; `license-master pki` keeps one: revoked.crl")
    found: set[int] = set()
    for block in blocks:
        try:
            listed = x509.load_pem_x509_crl(block)
        except ValueError as error:
            raise CertificateFilesError(setting, path, "is not a CRL in PEM") from error
        if not any(_signed_by(listed, authority) for authority in authorities):
            raise CertificateFilesError(setting, path, "is signed by none of the authorities in tls_ca_file")
        found.update(one.serial_number for one in listed)
    return frozenset(found)


_END = b"-----END X509 CRL-----"


class _Key(Protocol):
    def public_bytes(self, encoding: Encoding, format: PublicFormat) -> bytes: ...


def _public_bytes(key: _Key) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _signed_by(listed: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    key: Any = authority.public_key()
    try:
        return listed.is_signature_valid(key)
    except TypeError:  # a key that signs nothing
        return False


def _certificates(setting: str, path: Path, data: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError as error:
        raise CertificateFilesError(setting, path, "holds no certificate in PEM") from error


def _bytes(setting: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificateFilesError(setting, path, f"cannot be read: {error.strerror}") from error


def _seconds(moment: datetime) -> float:
    return moment.timestamp()
