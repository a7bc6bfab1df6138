"""Whether somebody has signed something: the one place where Ed25519 signatures are verified."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from licensemaster import values


def has_signed(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether a raw public key has signed exactly these bytes; what is no key, or nobody's, has signed nothing."""
    try:
        Ed25519PublicKey.from_public_bytes(values.public_key(public_key)).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
