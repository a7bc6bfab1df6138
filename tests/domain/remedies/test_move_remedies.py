"""The search for what would let a license move."""

from __future__ import annotations

import math
from typing import cast

from master.domain.licenses.moves import use_refused
from master.domain.remedies.move_remedies import AskedMove, MoveKind, with_way
from tests.domain.estate.test_estate import HQ, estate, licensed


def test_it_ends_with_words_if_no_step_ever_suffices() -> None:
    """As with a mistake in a rule's comparison: so many seats that as many as are given back leave as many."""
    ten, endless = licensed("PBX-Port12", 10, HQ), cast(int, math.inf)
    refused = use_refused(ten, used=endless, left=0)
    assert refused is not None
    asked = AskedMove(kind=MoveKind.RELEASE, license=ten.id, used=endless, leaving={ten.id})
    answer = with_way(refused, asked, estate(ten))
    assert not answer.ways
    assert answer.problem is refused.problem
