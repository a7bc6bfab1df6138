"""Certificates and keys in files, read strictly: each that cannot be used is refused with its file's name and a remedy.

Decides: what is a certificate, a key that fits it, a list of authorities; what editors and mail programs add (byte
order marks, CRLF, text around the blocks) counts for nothing. What was read is handed on as PEM written anew, so that
all who use it see the same. Leaves to others: whether TLS can use it (`handshake`), and what the certificate may do.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import grpc
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from licensemaster.files.texts import opened

_CERTIFICATE: Final = re.compile(rb"-----BEGIN CERTIFICATE-----[^-]*+-----END CERTIFICATE-----")
_BYTES_MAX: Final = 4 * 1024 * 1024
_UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_DER_BEGINS: Final = b"\x30"


class CertificateFilesError(ValueError):
    """Raised for files that cannot be used; the text names the setting, the file and what to do."""

    def __init__(self, setting: str, path: Path, problem: str) -> None:
        super().__init__(f"{setting}: {path}: {problem}")


@dataclass(frozen=True, slots=True)
class NamedFile:
    """A file, and the name of the setting or option that names the file."""

    setting: str
    path: Path

    def read(self) -> bytes:
        """Read the file's bytes; UTF-16, as some editors write it, becomes ASCII.
        Raises CertificateFilesError if the file cannot be read."""
        try:
            with opened(self.path) as file:
                data = file.read(_BYTES_MAX + 1)
        except OSError as error:
            raise self.wrong(f"cannot be read: {error.strerror}") from error
        if len(data) > _BYTES_MAX:
            raise self.wrong(f"is larger than {_BYTES_MAX // 1024 // 1024} MiB; it is no file of certificates")
        if data.startswith(_UTF_16):
            return data.decode("utf-16", "replace").encode("ascii", "replace")
        return data

    def wrong(self, problem: str) -> CertificateFilesError:
        """Return the error that names this file and the problem."""
        return CertificateFilesError(self.setting, self.path, problem)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate, its key, and the authorities whose certificates are believed. The key fits the certificate."""

    certificate: bytes
    """The certificate, with the certificates that signed it, as far as the file has them."""
    key: bytes
    ca: bytes
    chain: Sequence[x509.Certificate]
    authorities: Sequence[x509.Certificate]

    def credentials(self) -> grpc.ChannelCredentials:
        """Return gRPC's credentials for a channel that shows this pair."""
        return grpc.ssl_channel_credentials(self.ca, self.key, self.certificate)

    @property
    def begins_at(self) -> float:
        """When the certificate becomes valid, in UNIX seconds."""
        return self.chain[0].not_valid_before_utc.timestamp()

    @property
    def ends_at(self) -> float:
        """When the certificate ends, in UNIX seconds."""
        return self.chain[0].not_valid_after_utc.timestamp()


def read_pair(certificate: NamedFile, key: NamedFile, ca: NamedFile) -> Pair:
    """Read a certificate, its key, and the authorities to believe.
    Raises CertificateFilesError if the files cannot be read, or do not fit together."""
    chain, private, authorities = read_certificates(certificate), _private_key(key), read_certificates(ca)
    own = _public_bytes(private.public_key())
    if own != _public_bytes(chain[0].public_key()):
        if any(own == _public_bytes(signer.public_key()) for signer in chain[1:]):
            raise certificate.wrong("its own certificate must come first, those that it was signed by after it")
        raise key.wrong(f"is not the key of {certificate.path}; name the pair that was made together")
    return Pair(
        _pem_of(chain),
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        _pem_of(authorities),
        chain,
        authorities,
    )


def read_certificates(file: NamedFile) -> list[x509.Certificate]:
    """Read all certificates of a file; there is at least one.
    Raises CertificateFilesError if the file has no certificate, or a damaged one, and says which."""
    data = file.read()
    blocks = _CERTIFICATE.findall(data)
    if len(blocks) < data.count(b"-----BEGIN CERTIFICATE-----"):
        raise file.wrong(f"its certificate {len(blocks) + 1} was cut off; get the whole file again")
    if not blocks:
        raise file.wrong(f"holds no certificate in PEM{_instead(data, 'x509')}")
    certificates = []
    for number, block in enumerate(blocks, 1):
        try:
            certificate = x509.load_pem_x509_certificate(block)
            certificate.public_key()
        except (ValueError, UnsupportedAlgorithm) as error:
            which = f"its certificate {number} of {len(blocks)}" if len(blocks) > 1 else "its certificate"
            raise file.wrong(f"{which} is damaged, or of a kind that nobody here reads") from error
        certificates.append(certificate)
    return certificates


def is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Tell whether the key of another certificate signed this one."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


class _PublicKey(Protocol):
    def public_bytes(self, encoding: Encoding, format: PublicFormat) -> bytes: ...


class _PrivateKey(Protocol):
    def public_key(self) -> _PublicKey: ...

    def private_bytes(self, encoding: Encoding, format: PrivateFormat, encryption: NoEncryption) -> bytes: ...


def _private_key(file: NamedFile) -> _PrivateKey:
    data = file.read()
    try:
        key: _PrivateKey = load_pem_private_key(data, password=None)
    except TypeError as error:
        remedy = f"`openssl pkey -in {file.path} -out NEW` writes it without one"
        raise file.wrong(f"has a password, and nobody is there to type it; {remedy}") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise file.wrong(f"is not a private key in PEM without a password{_instead(data, 'pkey')}") from error
    return key


def _instead(data: bytes, command: str) -> str:
    """Return what a file that is not PEM may be; empty where nothing is known."""
    if not data.strip():
        return "; it is empty"
    if data.startswith(_DER_BEGINS):
        return f"; it looks like DER, which `openssl {command} -inform der -in FILE -out NEW` rewrites"
    header = re.search(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----", data)
    return f", but {header[1].decode().lower()!r}" if header else ""


def _public_bytes(key: _PublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _pem_of(certificates: Sequence[x509.Certificate]) -> bytes:
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)
