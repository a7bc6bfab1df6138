"""What the ledger entitles to becomes licenses: after any history, once, whatever the order, and never more in force.

Random histories of orders and days, with licenses bound and releases completed in between, as operators and PBXs do.
"""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from master.domain.agreements.ledger.orders import Buy, ConfirmPayment, StartTrial
from master.domain.agreements.ordering.decide_order import Decision
from master.domain.agreements.rights.entitlements import Entitled, Reconciliation, entitled, is_apart, syncing
from master.domain.catalog.dates import first_instant_of
from master.domain.catalog.subjects import Subject
from master.domain.estate.estate import Estate
from master.domain.estate.installations import License
from master.domain.estate.license_release import InUse
from master.domain.licenses import balance, moves
from master.values import replace
from tests.domain.agreements.ledger_in_memory import ISYMPHONY, ZONE, LedgerInMemory
from tests.domain.agreements.test_histories import DAYS_ON, FIRST, LEDGERS, ORDERS, isymphony, step
from tests.domain.estate.test_estate import HQ, estate
from tests.support.limits import LONG

VENDORS = ("allworx", "distribution_engine", "isymphony")


def reconciled(known: Estate, made: LedgerInMemory, day: date) -> Estate:
    """The estate as it is after syncing; doing it again must change nothing."""
    wanted, now = entitled(made.snapshot, day), noon(day)
    steps = syncing(known, wanted, now)
    assert syncing(known, tuple(reversed(wanted)), now) == steps, "the order of what is wanted does not matter"
    after = applied(known, steps)
    assert syncing(after, wanted, now) == (), "once is enough"
    assert syncing(after, wanted, now + 1) == ()
    check(after, wanted, now)
    return after


def applied(known: Estate, steps: tuple[Reconciliation, ...]) -> Estate:
    items = {license.id: license for license in known.licenses}
    for change in steps:
        assert (change.before is None) is (change.id not in items)
        items.pop(change.id, None)
        if change.after is not None:
            items[change.id] = change.after
    return replace(known, licenses=tuple(sorted(items.values(), key=lambda license: license.id)))


def check(known: Estate, wanted: tuple[Entitled, ...], now: float) -> None:
    """Nothing more is lent than there is a right to, and nothing less."""
    lent: Counter[tuple[Subject, str]] = Counter()
    for license in known.licenses:
        assert license.agreed is not None
        ends = license.release is not None and license.release.ends_use
        assert ends or license.device is None or not license.use_is_over(now)
        if not ends and not license.use_is_over(now):
            lent[license.agreed.subject, license.type.key] += license.quantity
    assert lent == {want.name: want.quantity for want in wanted}


def noon(day: date) -> float:
    return first_instant_of(day, ZONE) + 43_200


def bind_all(known: Estate, now: float) -> Estate:
    """An operator binds what can be bound."""
    items = []
    for license in known.licenses:
        ready = not license.use_is_over(now) and moves.bind_refused(known, license, HQ) is None
        items.append(balance.bound(license, HQ, now) if ready else license)
    return replace(known, licenses=tuple(items))


def complete_all(known: Estate) -> Estate:
    """PBXs have given everything back that was to go."""
    for known_license in known.licenses:
        if known_license.release is not None:
            gone = is_apart(known, known_license)
            left = tuple(license for license in known.licenses if license.id != known_license.id)
            known = replace(known, licenses=left if gone else (*left, balance.freed(known_license, held_until=None)))
    return replace(known, licenses=tuple(sorted(known.licenses, key=lambda license: license.id)))


@pytest.mark.parametrize("vendor", VENDORS)
@settings(max_examples=2_000 if LONG else 60)
@given(data=st.data())
def test_after_any_history_the_estate_has_what_it_is_entitled_to(vendor: str, data: st.DataObject) -> None:
    made, day = LEDGERS[vendor](), FIRST
    known = replace(estate(), catalog=made.catalog, time_zone=ZONE.key)
    for days, order in data.draw(st.lists(st.tuples(DAYS_ON, ORDERS[vendor]), max_size=15)):
        day += timedelta(days=days)
        known = reconciled(known, made, day)
        if data.draw(st.booleans()):
            known = complete_all(known)
        if isinstance(step(made, order, day), Decision):
            known = reconciled(known, made, day)
        if data.draw(st.booleans()):
            known = reconciled(bind_all(known, noon(day)), made, day)
    later = day + timedelta(days=data.draw(st.integers(0, 800)))
    end = complete_all(reconciled(known, made, later))
    at_once = reconciled(replace(known, licenses=()), made, later)
    assert in_force(end, noon(later)) == in_force(at_once, noon(later)), "the way there does not matter"


def in_force(known: Estate, now: float) -> Counter[tuple[str, str, int]]:
    items = (license for license in known.licenses if not license.use_is_over(now) and license.agreed is not None)
    return Counter((str(each.agreed), each.type.key, each.quantity) for each in items)


def bought(users: int, days: int) -> Estate:
    """A bound trial of 40 users, after a license of so many was bought."""
    made = isymphony()
    made.do(StartTrial(license="x", product="isymphony", counts={"user": 40}, key="T", major=3), FIRST)
    before = bind_all(reconciled(replace(estate(), catalog=ISYMPHONY, time_zone=ZONE.key), made, FIRST), noon(FIRST))
    day = FIRST + timedelta(days=days)
    made.do(Buy(id="x", product="isymphony", counts={"user": users}, major=3), day)
    made.do(ConfirmPayment(order=made.snapshot.state.last_number, key="K"), day)
    return reconciled(before, made, day)


def users(known: Estate) -> dict[str, License]:
    return {license.id: license for license in known.licenses if license.type.key == "user"}


def test_what_is_too_much_is_split_off_and_drained() -> None:
    after = bought(20, 3)
    actual = users(after)
    assert {key: each.quantity for key, each in actual.items()} == {"x-user": 20, "x-user-surplus": 20}
    release = actual["x-user-surplus"].release
    assert release is not None
    assert (release.in_use, release.ends_use) == (InUse.DRAIN, True)
    assert actual["x-user-surplus"].release_is_vouched_for
    assert actual["x-user"].release is None
    assert after.installations[HQ.id].leaving == {"user": 20}


def test_what_ended_while_free_says_so_and_comes_back() -> None:
    made = isymphony()
    made.do(StartTrial(license="x", product="isymphony", counts={"user": 20}, key="T", major=3), FIRST)
    actual = reconciled(replace(estate(), catalog=ISYMPHONY, time_zone=ZONE.key), made, FIRST)
    later = FIRST + timedelta(days=30)
    assert reconciled(actual, made, later) == actual
    made.do(Buy(id="x", product="isymphony", counts={"user": 20}, major=3), later)
    made.do(ConfirmPayment(order=made.snapshot.state.last_number, key="K"), later)
    back = users(reconciled(actual, made, later))["x-user"]
    assert (back.agreed is not None, back.use_is_over(noon(later)), back.version) == (True, False, 3)


def test_ids_are_free_and_names() -> None:
    made = isymphony()
    taken = License("ann-s-server-user", ISYMPHONY.types["user"], 3, None, 1, None, "file")
    for id in ("Ann's server", "ann s server", "x" * 90):
        order = StartTrial(license=id, product="isymphony", counts={"user": 20}, key=id, major=3)
        made.do(order, FIRST)
    known = replace(estate(taken), catalog=ISYMPHONY)
    fresh = [
        reconciliation.id
        for reconciliation in syncing(known, entitled(made.snapshot, FIRST), noon(FIRST))
        if reconciliation.id.startswith("a")
    ]
    assert sorted(fresh) == [
        "ann-s-server-instance",
        "ann-s-server-instance-2",
        "ann-s-server-user-2",
        "ann-s-server-user-3",
    ]
    ids = [reconciliation.id for reconciliation in syncing(known, entitled(made.snapshot, FIRST), noon(FIRST))]
    assert len(set(ids)) == len(ids) == 6
    assert max(map(len, ids)) == 63
