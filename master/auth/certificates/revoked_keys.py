"""Keys that are revoked with their certificates: in each entry of a list of revoked certificates, the key's hash.

Whoever has a stolen key could else have it certified anew, under any name. Programs that do not know the extension see
an ordinary list.
"""

from __future__ import annotations

import hashlib
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_KEY_HASH: Final = x509.ObjectIdentifier("2.25.97136384170394276830245116803247359213")
"""The extension's id, of this project alone: an arc made of a UUID, as anybody may make one (ITU-T X.667); its value is
an OCTET STRING.
"""
_OCTETS: Final = b"\x04\x20"
"""The DER prefix of an OCTET STRING of 32 bytes."""


def key_hash(certificate: x509.Certificate) -> bytes:
    """Return the SHA-256 of a certificate's public key, with its kind (SubjectPublicKeyInfo, DER)."""
    return hash_of(certificate.public_key())


def hash_of(key: CertificatePublicKeyTypes) -> bytes:
    """Return the hash of a key that has no certificate yet."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()


def extension_of(revoked: bytes) -> x509.UnrecognizedExtension:
    """Make the extension that says in an entry that the key with this hash is revoked."""
    return x509.UnrecognizedExtension(_KEY_HASH, _OCTETS + revoked)


def revoked_key(entry: x509.RevokedCertificate) -> bytes | None:
    """Return the hash of an entry's key; None where the list does not have it, as lists of other authorities do not."""
    try:
        extension_type = entry.extensions.get_extension_for_oid(_KEY_HASH).value
    except x509.ExtensionNotFound:
        return None
    assert isinstance(extension_type, x509.UnrecognizedExtension)
    return extension_type.value.removeprefix(_OCTETS)
