"""How a license changes as it is bound, released and converted: small steps from one frozen `License` to the next.

Whether a step is allowed is judged in `moves.py`; here is what it makes of the license. Time comes in as UNIX seconds.
"""

from __future__ import annotations

import hashlib

from master.domain.estate.installations import Device, License
from master.domain.estate.license_release import InUse, Release
from master.values import replace


def bound(license: License, device: Device, now: float) -> License:
    """On a device. The date of its first binding is kept for good (L7), and its service agreement (L6)."""
    first = now if license.first_bound_at is None else license.first_bound_at
    return replace(
        license,
        device=device,
        binding=license.binding + 1,
        first_bound_at=first,
        bound_at=now,
        held_until=None,
        release=None,
        key_on_word_of=(),
    )


def leaving(license: License, release: Release) -> License:
    """Return the license with its release begun."""
    return replace(license, release=release)


def pressed(license: License, in_use: InUse) -> License:
    """Return the license with its release going on, with more pressure on those who use it."""
    return replace(license, release=replace(_release(license), in_use=in_use))


def certified(license: License) -> License:
    """Return the license as its device has certified that it no longer uses it (L2)."""
    return replace(license, release=replace(_release(license), certified=True))


def approved(license: License, operator: str) -> License:
    """Return the license with its release approved by a second operator, as its device is dead."""
    return replace(license, release=replace(_release(license), approved_by=operator))


def staying(license: License) -> License:
    """Its release was given up. That is a new binding: its device may have signed the old one away already (L2)."""
    return replace(license, release=None, binding=license.binding + 1)


def key_shown(license: License, *, on_word_of: tuple[str, ...]) -> License:
    """Its device's first key came while it was bound already, on the word of these callers alone."""
    return replace(license, key_on_word_of=on_word_of)


def freed(license: License, *, held_until: float | None) -> License:
    """Back in the project balance; `held_until` where its device could not certify that."""
    device, nonce = license.device, _release(license).nonce
    proof = None
    if device is not None and device.public_key is not None and not license.key_on_word_of:
        proof = proof_of(device=device.name, public_key=device.public_key, number=license.binding, nonce=nonce)
    return replace(license, device=None, release=None, held_until=held_until, last_proof=proof, key_on_word_of=())


def proof_of(*, device: str, public_key: bytes, number: int, nonce: bytes) -> bytes:
    """All that a device's certificate says of a license, digested: two are equal only if everything in them is."""
    said = (device.encode(), public_key, str(number).encode(), nonce)
    return hashlib.sha256(b"".join(len(part).to_bytes(4, "big") + part for part in said)).digest()


def cleared(license: License) -> License:
    """Return the license whose device turned up and certified after all: it need not wait any longer."""
    return replace(license, held_until=None)


def _release(license: License) -> Release:
    assert license.release is not None, f"no release of {license.id} is under way"
    return license.release
