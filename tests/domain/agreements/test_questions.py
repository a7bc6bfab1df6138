"""What the newest version of a license is; what the ledger takes for entries and orders."""

from datetime import date
from decimal import Decimal

import pytest

from master.domain.agreements.ledger.entries import Draft, Entry, EntryKind
from master.domain.agreements.ledger.fold import fold
from master.domain.agreements.ledger.orders import AddCredits, Extend, PublishRelease, order_from_plain
from master.domain.agreements.rights.rights import RightStatus, right_of
from tests.domain.agreements.ledger_in_memory import INNOVAPHONE, LedgerInMemory, contract, license, owned, prices

DAY = date(2026, 1, 1)


def test_the_newest_version_that_a_license_can_have() -> None:
    ports = {"ports": owned("ports", "port")}
    made = LedgerInMemory(INNOVAPHONE, prices(INNOVAPHONE, '[values]\nport = "100"\n'), ports)
    for release, day in (("12r2", date(2024, 2, 1)), ("13r1", date(2024, 6, 1)), ("14r1", date(2026, 6, 1))):
        made.do(PublishRelease(release=release, day=day), DAY)
    assert str(right_of(made.snapshot, license("ports"), DAY).newest) == "12r2"
    made.do(AddCredits(amount=Decimal(10_000)), DAY)
    made.do(Extend(subjects=(license("ports"),), offer="ssa", months=12), DAY)
    assert str(right_of(made.snapshot, license("ports"), DAY).newest) == "13r1", (
        "the time that was paid afterwards counts"
    )
    assert str(right_of(made.snapshot, license("ports"), date(2026, 6, 1)).newest) == "14r1"
    assert str(right_of(made.snapshot, license("ports"), date(2027, 1, 1)).newest) == "12r2", "it was never upgraded"


def test_what_nobody_has_ordered_does_not_run() -> None:
    right = right_of(LedgerInMemory(INNOVAPHONE).snapshot, contract("C"), DAY)
    assert (right.status, right.counts, right.newest) == (RightStatus.NOT_YET, {}, None)


def test_entries_follow_on_each_other() -> None:
    draft = Draft(kind=EntryKind.CREDITS_ADDED, day=DAY, details={"amount": "1"}, reason="x")
    second: Entry = draft.recorded(number=2, recorded_at=0, caller="x")
    with pytest.raises(ValueError, match="entry 2 does not follow entry 0"):
        fold([second])


@pytest.mark.parametrize(
    "data", [{}, {"kind": "Steal"}, {"kind": "AddCredits"}, {"kind": "AddCredits", "amount": "much"}]
)
def test_what_is_no_order(data: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="is no"):
        order_from_plain(data)
