"""How a license changes as it is bound, released and converted: each function returns the next frozen `License`.

Whether a change is allowed is judged in `moves.py`. Time comes in as UNIX seconds.
"""

from __future__ import annotations

import hashlib

from master.domain.estate.installations import Device, License
from master.domain.estate.license_release import InUse, Release
from master.values import replace


def bound(license: License, device: Device, now: float) -> License:
    """Return the license bound to a device. Its date of first binding (L7) and its service agreement (L6) are kept."""
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
    """Return the license with its release going on as `in_use` says: drained, revoked or forced (L5)."""
    return replace(license, release=replace(_release(license), in_use=in_use))


def certified(license: License) -> License:
    """Return the license after its device has certified that it no longer uses the license (L2)."""
    return replace(license, release=replace(_release(license), certified=True))


def approved(license: License, operator: str) -> License:
    """Return the license after a second operator approved its release without the device's certificate (L2)."""
    return replace(license, release=replace(_release(license), approved_by=operator))


def staying(license: License) -> License:
    """Return the license with its release given up, and a new binding: its device may have signed the old one away
    (L2)."""
    return replace(license, release=None, binding=license.binding + 1)


def key_shown(license: License, *, on_word_of: tuple[str, ...]) -> License:
    """Return a bound license whose device's first key has come, with the callers who alone vouch for the key."""
    return replace(license, key_on_word_of=on_word_of)


def freed(license: License, *, held_until: float | None) -> License:
    """Return the license in the balance, not to be bound before `held_until` where its device did not certify that."""
    device, nonce = license.device, _release(license).nonce
    proof = None
    if device is not None and device.public_key is not None and not license.key_on_word_of:
        proof = proof_of(device=device.name, public_key=device.public_key, number=license.binding, nonce=nonce)
    return replace(license, device=None, release=None, held_until=held_until, last_proof=proof, key_on_word_of=())


def proof_of(*, device: str, public_key: bytes, number: int, nonce: bytes) -> bytes:
    """Return a digest of what a device's certificate says of a license: two are equal only if all in them is equal."""
    said = (device.encode(), public_key, str(number).encode(), nonce)
    return hashlib.sha256(b"".join(len(part).to_bytes(4, "big") + part for part in said)).digest()


def cleared(license: License) -> License:
    """Return the license whose device turned up and certified after all: it may be bound at once."""
    return replace(license, held_until=None)


def _release(license: License) -> Release:
    assert license.release is not None, f"no release of {license.id} is under way"
    return license.release
