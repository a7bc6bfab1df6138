"""Random histories of orders of all four vendors, held against what the rules say of dates, sums and the past.

What must be true after every order: a renewal shortens nothing; no term exceeds its cap; nothing is bought more often
than it can be; the balance is the sum of its entries and never below zero; folding in two steps is folding at once;
what was known on a day stays as it was.
"""

from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from master.domain.agreements.ledger.entries import EntryKind
from master.domain.agreements.ledger.fold import fold
from master.domain.agreements.ledger.orders import (
    AddCredits,
    AddFeature,
    AddSeats,
    AllowBuild,
    AssignSeat,
    Buy,
    CancelOrder,
    ConfirmPayment,
    ConvertVersion,
    CorrectDevice,
    Extend,
    ExtendTrial,
    InstallRelease,
    Order,
    PayLicenses,
    PublishRelease,
    ReassignSeat,
    RegisterDevice,
    Reverse,
    SetAutoRenewal,
    SetPremier,
    StartTrial,
    UnassignSeat,
    UpgradeTier,
    UpgradeVersion,
    order_from_plain,
    order_to_plain,
)
from master.domain.agreements.ledger.problems import AgreementProblem, AgreementRefusal
from master.domain.agreements.ordering.decide_order import Decision, Quote, decide, quote
from master.domain.agreements.ordering.release_checks import free_upgrades
from master.domain.agreements.rights.endings import endings, reminders, renewals_due
from master.domain.agreements.rights.entitlements import entitled
from master.domain.agreements.rights.rights import RightStatus, may_run, right_of
from master.domain.agreements.rights.upgrade_gate import upgrade_gate
from master.domain.catalog.dates import add_months
from master.domain.catalog.policies import Grants
from master.domain.catalog.releases import ReleaseName
from master.domain.catalog.subjects import Subject
from master.domain.catalog.words import Metering
from tests.domain.agreements.ledger_in_memory import (
    ALLWORX,
    DISTRIBUTION_ENGINE,
    INNOVAPHONE,
    ISYMPHONY,
    LedgerInMemory,
    contract,
    device,
    known_on,
    license,
    owned,
    prices,
    what_may_run,
)
from tests.support.limits import LONG

FIRST = date(2024, 1, 31)
KEYS = st.integers(1, 40).map("K{}".format)
NUMBERS = st.integers(1, 60)
USERS = st.sampled_from("abcdefg")
DAYS_ON = st.integers(0, 400)


def innovaphone() -> LedgerInMemory:
    values = '[values]\nport = "100"\nstandby = "33"\n[offers.warranty_on_purchase]\n12 = "1"\n'
    licenses = (
        owned("a", "port", first_bound_on=FIRST),
        owned("b", "standby", first_bound_on=FIRST, is_free=True, quantity=3),
        owned("c", "port", first_bound_on=FIRST, agreement_ends_on=date(2025, 2, 28)),
        owned("d", "uc"),
    )
    return LedgerInMemory(INNOVAPHONE, prices(INNOVAPHONE, values), {license.id: license for license in licenses})


def isymphony() -> LedgerInMemory:
    text = '[tiers.user]\n20 = "100"\n40 = "180"\n[tiers.queue]\n1 = "50"\n[offers.renewal]\n12 = "40"\n'
    return LedgerInMemory(ISYMPHONY, prices(ISYMPHONY, text))


def allworx() -> LedgerInMemory:
    text = '[offers.extended_warranty]\n60 = "300"\n[offers.bundle]\n60 = "700"\n[offers.anytime]\n12 = "250"\n'
    return LedgerInMemory(ALLWORX, prices(ALLWORX, text))


def distribution_engine() -> LedgerInMemory:
    text = '[seat_months]\nseat = "45.45"\n[premier]\nseats = "20"\n'
    return LedgerInMemory(DISTRIBUTION_ENGINE, prices(DISTRIBUTION_ENGINE, text))


REVERSALS = st.builds(Reverse, order=st.integers(-1, 30))  # 0 and below: counted from the last entry
TIERS = st.fixed_dictionaries({"user": st.sampled_from([20, 40])}, optional={"queue": st.sampled_from([0, 1])})
ORDERS: dict[str, st.SearchStrategy[Order]] = {
    "innovaphone": st.one_of(
        st.builds(AddCredits, amount=st.integers(-500, 3000).map(Decimal)),
        st.builds(PayLicenses, type=st.sampled_from(["PBX-Port12", "PBX-Prot12"]), quantity=st.integers(0, 5)),
        REVERSALS,
        st.builds(
            Extend,
            subjects=st.lists(st.sampled_from("abcd"), min_size=1, max_size=3).map(
                lambda ids: tuple(map(license, ids))
            ),
            offer=st.just("ssa"),
            months=NUMBERS,
        ),
        st.builds(ConvertVersion, licenses=st.just(("b",)), version=st.integers(12, 15), offer=st.just("ssa")),
        st.builds(UpgradeVersion, licenses=st.sampled_from([("a",), ("b",), ("c",)]), version=st.integers(12, 15)),
        st.builds(
            PublishRelease,
            release=st.sampled_from(["13", "14", "15"]),
            day=st.integers(0, 900).map(lambda days: FIRST + timedelta(days=days)),
        ),
        st.builds(
            RegisterDevice,
            device=st.just("box"),
            product=st.just("device"),
            delivered_on=st.just(FIRST),
            serial=st.just("S1"),
        ),
        st.builds(
            Extend,
            subjects=st.just((device("box"),)),
            offer=st.just("warranty_on_purchase"),
            months=st.just(12),
            key=KEYS,
        ),
    ),
    "isymphony": st.one_of(
        st.builds(
            StartTrial,
            license=st.sampled_from("xy"),
            product=st.just("isymphony"),
            counts=TIERS,
            key=KEYS,
            major=st.just(3),
        ),
        st.builds(ExtendTrial, license=st.sampled_from("xy"), key=KEYS),
        st.builds(Buy, id=st.sampled_from("xy"), product=st.just("isymphony"), counts=TIERS, major=st.just(3)),
        st.builds(UpgradeTier, license=st.sampled_from("xy"), counts=TIERS),
        st.builds(Extend, subjects=st.sampled_from("xy").map(lambda id: (license(id),)), offer=st.just("renewal")),
        st.builds(ConfirmPayment, order=NUMBERS, key=KEYS),
        st.builds(ConfirmPayment, order=st.just(-1), key=KEYS),  # the last one that awaits its payment
        st.builds(ConfirmPayment, order=st.just(-1), key=KEYS),
        st.builds(CancelOrder, order=NUMBERS),
        st.builds(
            PublishRelease,
            release=st.sampled_from(["2.9", "3.1", "3.2", "4.0"]),
            day=st.integers(0, 900).map(lambda days: FIRST + timedelta(days=days)),
            correct=st.booleans(),
        ),
        st.builds(SetAutoRenewal, license=st.sampled_from("xy"), offer=st.just("renewal"), on=st.booleans()),
        REVERSALS,
    ),
    "allworx": st.one_of(
        st.builds(
            RegisterDevice,
            device=st.sampled_from("st"),
            product=st.just("server"),
            delivered_on=st.integers(0, 300).map(lambda days: FIRST + timedelta(days=days)),
            serial=st.sampled_from(["S-1", "s 1", "S2", ""]),
            release=st.sampled_from(["7.0", "7.1"]),
        ),
        st.builds(
            Extend,
            subjects=st.sampled_from("st").map(lambda id: (device(id),)),
            offer=st.sampled_from(["anytime", "anytime", "bundle", "extended_warranty"]),
            key=KEYS,
        ),
        st.builds(InstallRelease, device=st.sampled_from("st"), release=st.sampled_from(["7.1", "7.2", "7.4"])),
        st.builds(AllowBuild, device=st.sampled_from("st"), release=st.just("7.4")),
        st.builds(AddFeature, device=st.sampled_from("st"), feature=st.just("feature"), key=KEYS),
        st.builds(
            CorrectDevice,
            device=st.sampled_from("st"),
            delivered_on=st.integers(0, 300).map(lambda days: FIRST + timedelta(days=days)),
            shipped_on=st.none() | st.integers(0, 300).map(lambda days: FIRST + timedelta(days=days)),
            serial=st.sampled_from(["S-1", "S2", ""]),
        ),
        st.builds(
            PublishRelease,
            release=st.sampled_from(["7.1", "7.2", "7.4"]),
            day=st.integers(0, 900).map(lambda days: FIRST + timedelta(days=days)),
        ),
        REVERSALS,
    ),
    "distribution_engine": st.one_of(
        st.builds(
            Buy,
            id=st.sampled_from("pq"),
            product=st.just("seats"),
            counts=st.integers(4, 7).map(lambda n: {"seat": n}),
            premier=st.booleans(),
        ),
        st.builds(AddSeats, contract=st.sampled_from("pq"), counts=st.integers(1, 3).map(lambda n: {"seat": n})),
        st.builds(Extend, subjects=st.sampled_from("pq").map(lambda id: (contract(id),)), offer=st.just("yearly")),
        st.builds(SetPremier, contract=st.sampled_from("pq"), on=st.booleans()),
        st.builds(AssignSeat, contract=st.sampled_from("pq"), user=USERS, uses=st.just(("views",))),
        st.builds(
            ReassignSeat, contract=st.sampled_from("pq"), from_user=USERS, to_user=USERS, uses=st.just(("configures",))
        ),
        st.builds(UnassignSeat, contract=st.sampled_from("pq"), user=USERS),
        REVERSALS,
    ),
}
LEDGERS = {
    "innovaphone": innovaphone,
    "isymphony": isymphony,
    "allworx": allworx,
    "distribution_engine": distribution_engine,
}
Step = tuple[int, Order]


def step(made: LedgerInMemory, order: Order, day: date) -> Decision | AgreementRefusal:
    """One order: decided, checked against what was before, written."""
    before, known = made.snapshot, known_on(made.entries, day - timedelta(days=1))
    if isinstance(order, ConfirmPayment) and order.order == -1:
        order = ConfirmPayment(order=max(before.state.awaited, default=0), key=order.key)
    if isinstance(order, Reverse) and order.order < 1:
        order = Reverse(order=len(made.entries) + order.order)
    assert order_from_plain(order_to_plain(order)) == order
    answer = decide(before, order, day, made.prices)
    assert made.prices is not None
    asked = quote(before, order, day, made.prices)
    if isinstance(answer, AgreementRefusal):
        lacks = answer.problem is AgreementProblem.CREDITS_SHORT and not isinstance(order, AddCredits | Reverse)
        assert isinstance(asked, Quote) is lacks, "a quote needs no credits; what is taken back is there or not"
        return answer
    assert isinstance(asked, Quote)
    assert asked.lines == answer.lines
    made.write(answer, day)
    after = made.snapshot
    for subject in after.subjects():
        for policy in after.policies_of(subject):
            check_cover(made, before.cover(subject, policy.key).ends, subject, policy.key, order, day)
    check_sums(made)
    assert known_on(made.entries, day - timedelta(days=1)) == known, "the past stays as it was"
    return answer


def check_cover(
    made: LedgerInMemory, ended: date | None, subject: Subject, policy_key: str, order: Order, day: date
) -> None:
    policy, cover = made.catalog.time.policies[policy_key], made.snapshot.cover(subject, policy_key)
    is_void = isinstance(order, ConvertVersion | Reverse | CorrectDevice) or policy_key == "trial"
    if ended is not None and not is_void:
        assert cover.ends is not None
        assert cover.ends >= ended, "a renewal shortens nothing"
    if policy.ahead_months_max and cover.ends is not None and cover.ends != ended and not isinstance(order, Reverse):
        assert cover.ends <= add_months(day, policy.ahead_months_max)
    if policy.purchases_max:
        assert cover.purchases <= policy.purchases_max
    if policy_key == "trial":
        begun = sum(term.term.begins not in {other.term.ends for other in cover.terms} for term in cover.terms)
        days = sum((term.term.ends - term.term.begins).days for term in cover.terms)
        assert days - begun <= 28, "full days: the one on which a key comes has begun"
    rows = sorted(cover.terms, key=lambda paid: paid.term)
    for each, other in pairwise(rows):
        assert each.term.ends <= other.term.begins, "no day is paid twice"
    for row in rows:
        assert row.anchor_months == 0 or row.term.ends == add_months(row.anchor, row.anchor_months)


def check_sums(made: LedgerInMemory) -> None:
    amounts = [
        Decimal(entry.details["amount"]) * (1 if entry.kind is EntryKind.CREDITS_ADDED else -1)
        for entry in made.entries
        if entry.kind in (EntryKind.CREDITS_ADDED, EntryKind.CREDITS_SPENT)
        and entry.number not in made.snapshot.state.reversed
    ]
    assert made.snapshot.state.balance == sum(amounts, Decimal(0)) >= 0


def check_seats(made: LedgerInMemory, day: date) -> None:
    for right in what_may_run(made.snapshot, day):
        holding = made.snapshot.state.holding(right.subject)
        licensed = sum(holding.counts_on(day).values())
        assert len(holding.seats) <= licensed or not holding.seats
        assert (right.status is RightStatus.RUNS) or right.counts == {}


@pytest.mark.parametrize("vendor", sorted(ORDERS))
@settings(max_examples=2_000 if LONG else 100)
@given(data=st.data())
def test_whatever_is_ordered_the_rules_hold(vendor: str, data: st.DataObject) -> None:
    made, day = LEDGERS[vendor](), FIRST
    steps: list[Step] = data.draw(st.lists(st.tuples(DAYS_ON, ORDERS[vendor]), max_size=25))
    for days, order in steps:
        day += timedelta(days=days)
        step(made, order, day)
        check_seats(made, day)
        check_views(made, day + timedelta(days=data.draw(st.integers(0, 500))))
    cut = data.draw(st.integers(0, len(made.entries)))
    assert fold(made.entries[cut:], fold(made.entries[:cut])) == fold(made.entries)
    check_lapses(made, day)


def check_views(made: LedgerInMemory, day: date) -> None:
    """However the same right is asked for, the answer is one: rights, may-run, the gate, leasing, endings, quotes."""
    book = made.snapshot
    lent: dict[Subject, dict[str, int]] = {}
    for each in entitled(book, day):
        lent.setdefault(each.subject, {})[each.type.key] = each.quantity
        right = right_of(book, each.subject, day)
        assert each.ends == right.until, "leasing and people are told one end"
        assert right.status is RightStatus.RUNS
        holding = book.state.holding(each.subject)
        for release, published in book.releases.items():
            if each.subject.kind == "license" and published <= day and each.version is not None:
                refused = may_run(book, each.subject, release, day)
                is_other = refused is not None and refused.problem is AgreementProblem.OTHER_MAJOR
                assert is_other is (release.major > each.version), "may-run and leasing agree on the major version"
                if refused is None:
                    assert right.newest is not None
                    assert right.newest >= release
        if right.until is not None:
            ends = endings(book, from_day=day + timedelta(days=1), to_day=right.until + timedelta(days=1))
            assert any(end.subject == each.subject and end.stops for end in ends), "what stops is among the endings"
        if each.type.key in right.features:
            assert each.type.key in holding.features
    for subject in book.subjects():
        right, product = right_of(book, subject, day), book.product(book.state.holding(subject))
        if product is None:
            free = free_upgrades(book, day).get(subject.id, frozenset())
            newest = right.newest.major if right.newest is not None else 0
            assert newest >= max(free, default=0), "what is free is shown as within reach"
            continue
        seats = {**right.counts, **dict.fromkeys(right.features, 1)}
        metered = {key: n for key, n in seats.items() if n and book.catalog.types[key].metering is not Metering.FREE}
        assert lent.get(subject, {}) == metered, "leasing has what the rights say"
        if (installed := book.state.holding(subject).installed) is not None:
            for release in map(ReleaseName.parse, ("7.1", "7.2", "7.4")):
                gate = upgrade_gate(book, subject, from_release=installed, to_release=release, day=day)
                asked = decide(book, InstallRelease(device=subject.id, release=str(release)), day)
                assert gate.allowed is isinstance(asked, Decision), "the gate and the order agree"
    due = {extend.subjects[0] for extend in renewals_due(book, day)}
    for ending in endings(book, from_day=day, to_day=day + timedelta(days=8)):
        is_meant = ending.renews_itself and ending.day > day
        waits = any(order.subject == ending.subject and order.kind == "Extend" for order in book.state.awaited.values())
        assert not is_meant or waits or (ending.subject in due) is ((ending.day - day).days <= 7)


def check_lapses(made: LedgerInMemory, day: date) -> None:
    """P5, Q7: the end of an agreement takes nothing away; only what grants the use does, and was told before."""
    ahead = endings(made.snapshot, from_day=day + timedelta(days=1), to_day=day + timedelta(days=5000))
    for ending in ahead:
        policy = made.catalog.time.policies[ending.policy]
        eve, after = (
            right_of(made.snapshot, ending.subject, on) for on in (ending.day - timedelta(days=1), ending.day)
        )
        if policy.grants is Grants.USE:
            assert eve.status is RightStatus.RUNS
            assert after.status is RightStatus.STOPPED
            assert ending.stops == eve.counts
        else:
            assert ending.stops == {}
            assert eve.counts == after.counts
            assert after.status is RightStatus.RUNS
        due = reminders(made.snapshot, ending.day - timedelta(days=1))
        assert any(
            (reminder.ending.subject, reminder.ending.policy) == (ending.subject, ending.policy) for reminder in due
        )


@given(first=st.integers(1, 48), second=st.integers(1, 48), started=st.dates(date(2020, 1, 1), date(2030, 1, 1)))
def test_two_renewals_in_a_row_are_one(first: int, second: int, started: date) -> None:
    """In days exactly; in credits up to the two roundings."""
    apart, at_once = innovaphone(), innovaphone()
    for made, periods in ((apart, (first, second)), (at_once, (first + second,))):
        made.licenses = {"a": owned("a", "port", first_bound_on=started)}
        made.do(AddCredits(amount=Decimal(100_000)), started)
        for months in periods:
            made.do(Extend(subjects=(license("a"),), offer="ssa", months=months), started)
    ends = [made.snapshot.cover(license("a"), "ssa").ends for made in (apart, at_once)]
    assert ends[0] == ends[1] == add_months(started, first + second)
    assert abs(apart.snapshot.state.balance - at_once.snapshot.state.balance) <= 1
