"""Random histories through the wire, against the model: some, or with TESTS_LONG=1 hundreds of longer ones."""

from __future__ import annotations

import pytest
from hypothesis import Phase

from tests.invariants.lending import agree_at_every_step
from tests.support.limits import LONG


@pytest.mark.timeout(3600)
def test_master_and_model_agree_at_every_step(database_url: str) -> None:
    if LONG:
        agree_at_every_step(database_url, histories=400, steps=60, phases=set(Phase))
    else:
        agree_at_every_step(database_url, histories=15, steps=40, phases={Phase.generate})
