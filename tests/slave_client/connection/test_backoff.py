"""Pauses grow, are jittered over their whole range, and have a ceiling."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slave_client.connection.backoff import Backoff


@given(failures=st.integers(0, 10_000), seed=st.integers(), asked=st.floats(0, 60))
def test_a_pause_lies_between_the_asked_delay_and_the_ceiling_above_it(failures: int, seed: int, asked: float) -> None:
    backoff = Backoff(base_seconds=0.1, max_seconds=10, chance=random.Random(seed))
    pause = backoff.pause_seconds(failures, asked)
    assert asked <= pause <= asked + backoff.ceiling_seconds(failures) <= asked + 10


def test_the_ceiling_doubles_up_to_its_maximum() -> None:
    backoff = Backoff(base_seconds=0.5, max_seconds=3)
    assert [backoff.ceiling_seconds(failures) for failures in (1, 2, 3, 4, 5, 500)] == [0.5, 1, 2, 3, 3, 3]


@pytest.mark.parametrize(("base", "maximum"), [(0, 1), (-1, 1), (2, 1)])
def test_senseless_limits_are_refused(base: float, maximum: float) -> None:
    with pytest.raises(ValueError, match="base_seconds"):
        Backoff(base_seconds=base, max_seconds=maximum)
