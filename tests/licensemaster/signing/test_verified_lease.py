"""A lease is relied on only if it is genuine, ours, and never beyond its end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licensemaster.signing.verified_lease import (
    ClockReading,
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
    remaining = _remaining(wall=ENDS - 10, saved_wall=ISSUED, saved=600)
    assert remaining == (10, WallClock.PLAUSIBLE)


def test_after_the_end_nothing_remains() -> None:
    remaining = _remaining(wall=ENDS + 10, saved_wall=ISSUED, saved=600)
    assert remaining == (0, WallClock.PLAUSIBLE)


def test_a_clock_set_back_gains_nothing_and_is_noticed() -> None:
    remaining = _remaining(wall=5, saved_wall=ISSUED + 500, saved=100)
    assert remaining == (100, WallClock.SET_BACK)


@given(wall=st.floats(0, 3e9), saved_wall=st.floats(0, 3e9), saved=st.floats(0, 1e6))
def test_what_remains_is_never_more_than_any_limit(wall: float, saved_wall: float, saved: float) -> None:
    remaining, _ = _remaining(wall=wall, saved_wall=saved_wall, saved=saved)
    assert 0 <= remaining <= 600
    assert remaining <= saved
    assert remaining <= max(ENDS - wall, 0)
    assert remaining <= max(saved - (wall - saved_wall), 0)


@given(wall=st.floats(0, 3e9), passed=st.floats(0, 1e6), saved=st.floats(0, 600))
def test_while_the_machine_runs_its_steady_clock_alone_says_what_remains(
    wall: float, passed: float, saved: float
) -> None:
    before = ClockReading(wall=ISSUED, steady=5_000, boot="first")
    now = ClockReading(wall=wall, steady=5_000 + passed, boot="first")
    remaining, clock = remaining_after_restart(_promise(), saved=before, saved_remaining_seconds=saved, now=now)
    assert remaining == pytest.approx(max(saved - passed, 0), abs=1e-6)
    assert clock is WallClock.NOT_ASKED


@pytest.mark.parametrize(
    ("before", "after", "steady"),
    [("first", "second", 9_000.0), ("", "", 9_000.0), ("first", "first", 4_999.0)],
    ids=["another start", "no known start", "a steady clock that went back"],
)
def test_a_steady_clock_that_did_not_go_on_is_not_asked(before: str, after: str, steady: float) -> None:
    saved, now = ClockReading(wall=ISSUED, steady=5_000, boot=before), ClockReading(wall=5, steady=steady, boot=after)
    remaining = remaining_after_restart(_promise(), saved=saved, saved_remaining_seconds=100, now=now)
    assert remaining == (100, WallClock.SET_BACK)


def _remaining(*, wall: float, saved_wall: float, saved: float) -> tuple[float, WallClock]:
    """What remains after the machine was restarted."""
    before = ClockReading(wall=saved_wall, steady=5_000, boot="first")
    now = ClockReading(wall=wall, steady=20, boot="second")
    return remaining_after_restart(_promise(), saved=before, saved_remaining_seconds=saved, now=now)
