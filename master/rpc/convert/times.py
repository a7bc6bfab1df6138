"""Moments as messages."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp


def timestamp(seconds: float) -> Timestamp:
    """UNIX seconds as a timestamp, to the microsecond."""
    return timestamp_us(round(seconds * 1_000_000))


def timestamp_us(micros: int) -> Timestamp:
    """Microseconds since 1970 as a timestamp."""
    return Timestamp(seconds=micros // 1_000_000, nanos=micros % 1_000_000 * 1000)
