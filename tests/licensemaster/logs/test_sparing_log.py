"""Lines that others cause are bounded for each of them, and for all of them."""

from __future__ import annotations

import sys

import structlog
from structlog.testing import capture_logs

from licensemaster.daemon.logs.sparing_log import SparingLog
from tests.support.masters import Clock


def _log(clock: Clock, *each: str) -> SparingLog:
    return SparingLog(structlog.get_logger(), clock=clock, lines_max=3, seconds=60, each=each)


def test_one_event_has_so_many_lines_in_a_while() -> None:
    clock = Clock()
    sparing_log = _log(clock)
    with capture_logs() as lines:
        for _ in range(10):
            sparing_log.warning("refused")
        sparing_log.warning("another")
        clock.advance(60)
        sparing_log.warning("refused")
    assert [line["event"] for line in lines] == ["refused"] * 3 + ["another", "refused"]
    assert lines[-1]["left_out"] == 7


def test_a_noisy_caller_hides_nobody_else() -> None:
    clock = Clock()
    sparing_log = _log(clock, "caller", "reason")
    with capture_logs() as lines:
        for _ in range(1000):
            sparing_log.warning("refused", caller="mallory", reason="REVOKED")
        sparing_log.warning("refused", caller="berlin", reason="REVOKED")
        sparing_log.warning("refused", caller="mallory", reason="CALLER_LIMIT")
        clock.advance(60)
        sparing_log.warning("refused", caller="mallory", reason="REVOKED")
    assert [line["caller"] for line in lines] == [*["mallory"] * 3, "berlin", "mallory", "mallory"]
    assert lines[-1]["left_out"] == 997


def test_callers_without_number_have_a_bound_together() -> None:
    clock = Clock()
    sparing_log = _log(clock, "caller")
    with capture_logs() as lines:
        for number in range(10_000):
            sparing_log.warning("refused", caller=f"stranger-{number}")
        assert len(lines) == 15
        assert len(sparing_log._kinds) <= 1_002
        clock.advance(60)
        sparing_log.warning("refused", caller="berlin")
    assert lines[-1]["caller"] == "berlin"


def test_a_new_caller_costs_no_look_at_all_others() -> None:
    clock = Clock()
    sparing_log = _log(clock, "caller")
    calls = 0

    def count(_frame: object, what: str, _about: object) -> None:
        nonlocal calls
        calls += what == "call"

    with capture_logs():
        for number in range(1_000):
            sparing_log.warning("refused", caller=f"early-{number}")
            clock.advance(0.05)
        sys.setprofile(count)
        try:
            for number in range(1_000):
                sparing_log.warning("refused", caller=f"late-{number}")
                clock.advance(0.05)
        finally:
            sys.setprofile(None)
    assert calls < 50_000  # a thousand lines are told
    assert len(sparing_log._kinds) <= 1_002
