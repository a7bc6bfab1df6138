"""What a certificate says: who it is for, which one it is, and when it ends."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from cryptography import x509

from master.auth.callers.identity import MASTER, SCHEME, Identity, IdentityError, identity_of
from master.auth.certificates.revoked_keys import key_hash
from master.values import Value

CertificateId = tuple[bytes, int]
"""The issuer's name (DER) and the serial number, which is one issuer's own: together they name one certificate."""


class PeerCertificate(Value):
    """What a caller's certificate says."""

    identity: Identity
    id: CertificateId
    ends_at: float
    """When the certificate ends, UNIX seconds."""
    key: bytes
    """The hash of the certificate's public key (`revoked_keys.key_hash`)."""
    ids: frozenset[CertificateId]
    """The id of the certificate, and the ids of the authorities that stand behind it."""
    keys: frozenset[bytes]
    """The key hashes of the same certificates."""

    @property
    def serial(self) -> str:
        """The serial number as `license-master pki` takes and prints it."""
        return serial_text(self.id[1])


def shown(certificate: x509.Certificate, signers: Sequence[x509.Certificate] = ()) -> PeerCertificate:
    """Return what a certificate says of its holder; `signers` are the authorities behind it.
    Raises IdentityError if the certificate names several identities, or one that is not valid."""
    identity = identity_in(certificate.extensions)
    ids, keys, ends = zip(_which(certificate), *map(_which_authority, signers), strict=True)
    return PeerCertificate(identity, ids[0], min(ends), keys[0], frozenset(ids), frozenset(keys))


def _which(certificate: x509.Certificate) -> tuple[CertificateId, bytes, float]:
    """Return a certificate's id, the hash of its key, and its end, UNIX seconds."""
    id = certificate.issuer.public_bytes(), certificate.serial_number
    return id, key_hash(certificate), certificate.not_valid_after_utc.timestamp()


_which_authority = lru_cache(maxsize=100)(_which)
"""A cache of authorities: the same ones stand behind all callers that connect at about the same time."""


def identity_in(extensions: x509.Extensions) -> Identity:
    """Return whom a certificate, or a request for one, is for; a master where it names nobody.
    Raises IdentityError if the certificate names several identities, or one that is not valid."""
    try:
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return MASTER
    uris = [uri for uri in names.get_values_for_type(x509.UniformResourceIdentifier) if uri.startswith(SCHEME)]
    if len(uris) > 1:
        raise IdentityError(f"one certificate names {len(uris)}: {', '.join(uris)[:300]}; it must name one")
    return identity_of(uris[0]) if uris else MASTER


def serial_text(serial: int) -> str:
    """Return a serial number as commands take and print it."""
    return f"{serial:040x}"
