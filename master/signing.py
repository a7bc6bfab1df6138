"""Ed25519 over exact bytes."""

from __future__ import annotations

import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from licensemaster.signing.signatures import has_signed

__all__ = ["Signer", "has_signed"]

_STANDBY_LEASE = b"license-master standby lease v1\n"
"""Goes before what is signed, so that a standby lease never passes for a lease, nor a lease for one."""


class Signer:
    """Signs with one key, named by its id."""

    def __init__(self, key_id: str, private_key: bytes) -> None:
        self.key_id = key_id
        self.private_key = Ed25519PrivateKey.from_private_bytes(private_key)
        self.public_key = self.private_key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def sign(self, message: bytes) -> bytes:
        """The signature over exactly these bytes."""
        return self.private_key.sign(message)

    def is_genuine_lease(self, terms: bytes, signature: bytes) -> bool:
        """Whether this key signed a lease with exactly these terms."""
        return has_signed(self.public_key, terms, signature)

    def sign_standby_lease(self, terms: bytes) -> bytes:
        """The signature of a standby lease with exactly these terms."""
        return self.private_key.sign(_STANDBY_LEASE + terms)

    def is_genuine_standby_lease(self, terms: bytes, signature: bytes) -> bool:
        """Whether this key signed a standby lease with exactly these terms."""
        try:
            self.private_key.public_key().verify(signature, _STANDBY_LEASE + terms)
        except InvalidSignature:
            return False
        return True

    @staticmethod
    def fresh() -> tuple[str, bytes]:
        """A new (key id, private key); the id is taken from the public key."""
        key = Ed25519PrivateKey.generate()
        public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return hashlib.sha256(public).hexdigest()[:16], key.private_bytes_raw()
