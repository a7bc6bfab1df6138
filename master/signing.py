"""Ed25519 over exact bytes."""

from __future__ import annotations

import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


class Signer:
    """Signs with one key, named by its id."""

    def __init__(self, key_id: str, private_key: bytes) -> None:
        self.key_id = key_id
        self.private_key = Ed25519PrivateKey.from_private_bytes(private_key)
        self.public_key = self.private_key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def sign(self, message: bytes) -> bytes:
        """The signature over exactly these bytes."""
        return self.private_key.sign(message)

    @staticmethod
    def fresh() -> tuple[str, bytes]:
        """A new (key id, private key); the id is taken from the public key."""
        key = Ed25519PrivateKey.generate()
        public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return hashlib.sha256(public).hexdigest()[:16], key.private_bytes_raw()


def has_signed(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether a raw public key has signed exactly these bytes; one that is no key has signed nothing."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
