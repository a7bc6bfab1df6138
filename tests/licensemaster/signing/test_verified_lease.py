"""A lease is relied on only if it is genuine, ours, and never beyond its end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licensemaster.signing.verified_lease import (
    LeaseVerificationError,
    VerifiedLease,
    WallClock,
    remaining_after_restart,
    verify,
)
from licensemaster.v1 import lease_pb2
from tests.slave_client.signing import ENDS, ISSUED, PBX, Signer

SIGNER = Signer()


def _promise() -> VerifiedLease:
    return verify(SIGNER.sign(), pbx=PBX, public_key=SIGNER.public_key, trusted_keys=(SIGNER.public_key,))


def test_a_genuine_lease_is_read() -> None:
    verified = _promise()
    assert (verified.epoch, verified.issue_time, verified.end_time) == (3, ISSUED, ENDS)
    assert (verified.duration_seconds, verified.ttl_seconds) == (600, 60)


def test_altered_terms_are_refused() -> None:
    signed = SIGNER.sign()
    later = lease_pb2.LeaseTerms.FromString(signed.payload)
    later.end_time.seconds += 1
    signed.payload = later.SerializeToString()
    with pytest.raises(LeaseVerificationError, match="signature"):
        verify(signed, pbx=PBX, public_key=SIGNER.public_key)


@pytest.mark.parametrize(
    "key", [b"", b"short", bytes(32), Signer().public_key], ids=["none", "short", "zeros", "other"]
)
def test_a_wrong_key_is_refused(key: bytes) -> None:
    with pytest.raises(LeaseVerificationError, match="signature"):
        verify(SIGNER.sign(), pbx=PBX, public_key=key)


def test_a_key_that_is_not_trusted_is_refused() -> None:
    stranger = Signer()
    with pytest.raises(LeaseVerificationError, match="does not trust"):
        verify(stranger.sign(), pbx=PBX, public_key=stranger.public_key, trusted_keys=(SIGNER.public_key,))


def test_a_lease_of_another_pbx_is_refused() -> None:
    with pytest.raises(LeaseVerificationError, match="rome"):
        verify(SIGNER.sign(pbx="projects/acme/pbxs/rome"), pbx=PBX, public_key=SIGNER.public_key)


def test_a_lease_without_duration_is_refused() -> None:
    with pytest.raises(LeaseVerificationError, match="ends before"):
        verify(SIGNER.sign(ends=ISSUED), pbx=PBX, public_key=SIGNER.public_key)


def test_after_a_restart_the_signed_end_holds() -> None:
    remaining = remaining_after_restart(_promise(), wall=ENDS - 10, saved_wall=ISSUED, saved_remaining_seconds=600)
    assert remaining == (10, WallClock.PLAUSIBLE)


def test_after_the_end_nothing_remains() -> None:
    remaining = remaining_after_restart(_promise(), wall=ENDS + 10, saved_wall=ISSUED, saved_remaining_seconds=600)
    assert remaining == (0, WallClock.PLAUSIBLE)


def test_a_clock_set_back_gains_nothing_and_is_noticed() -> None:
    remaining = remaining_after_restart(_promise(), wall=5, saved_wall=ISSUED + 500, saved_remaining_seconds=100)
    assert remaining == (100, WallClock.SET_BACK)


@given(wall=st.floats(0, 3e9), saved_wall=st.floats(0, 3e9), saved=st.floats(0, 1e6))
def test_what_remains_is_never_more_than_any_limit(wall: float, saved_wall: float, saved: float) -> None:
    remaining, _ = remaining_after_restart(_promise(), wall=wall, saved_wall=saved_wall, saved_remaining_seconds=saved)
    assert 0 <= remaining <= 600
    assert remaining <= saved
    assert remaining <= max(ENDS - wall, 0)
