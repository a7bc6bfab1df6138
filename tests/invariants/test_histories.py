"""A few random histories through the wire, against the model; many are for tests/slow/test_histories.py."""

from __future__ import annotations

import pytest
from hypothesis import Phase

from tests.invariants.lending import agree_at_every_step


@pytest.mark.rule(
    "A1",
    "A2",
    "A3",
    "A5",
    "B3",
    "B5",
    "B10",
    "D1",
    "D2",
    "D4",
    "D5",
    "F1",
    "L4",
    "E1",
    "E3",
    "F5",
    "H2",
    "H3",
    "H4",
    "H5",
    "L1",
    "L2",
    "L3",
    "L5",
    "L7",
)
def test_master_and_model_agree_at_every_step(database_url: str) -> None:
    agree_at_every_step(database_url, histories=3, steps=40, phases={Phase.reuse, Phase.generate})
