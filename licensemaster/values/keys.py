"""Public keys that are nobody's: Ed25519 points of low order, with which anyone can sign anything."""

from __future__ import annotations

from typing import Final

from licensemaster.values.text import BadValueError

PUBLIC_KEY_BYTES: Final = 32
_PRIME: Final = 2**255 - 19
_ORDER_8: Final = 2707385501144840649318225287225658788936804267575313519463743609750303402022
_LOW_ORDER: Final = frozenset({0, 1, _PRIME - 1, _ORDER_8, _PRIME - _ORDER_8})
"""The y of all points whose order divides 8; x is given by a sign bit that stands above."""


def public_key(raw: bytes) -> bytes:
    """Return a raw Ed25519 public key after checking that only its private key can sign for it.
    Raises BadValueError if the key has not 32 bytes, or is a point of low order, in whatever spelling."""
    if len(raw) != PUBLIC_KEY_BYTES:
        raise BadValueError(f"{len(raw)} bytes; an Ed25519 public key has {PUBLIC_KEY_BYTES}")
    if int.from_bytes(raw, "little") % 2**255 % _PRIME in _LOW_ORDER:
        raise BadValueError(f"{raw.hex()} is nobody's key: anyone can sign for it; ask its owner for the real one")
    return raw
