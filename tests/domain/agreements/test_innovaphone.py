"""Service agreements, credits and warranties as the innovaphone documents say (rules L6, L7, M1 to M8, N1 to N3)."""

from datetime import date
from decimal import Decimal

import pytest

from master.domain.agreements.ledger.entries import EntryKind
from master.domain.agreements.ledger.orders import (
    AddCredits,
    ConvertVersion,
    Extend,
    PublishRelease,
    RegisterDevice,
    UpgradeVersion,
)
from master.domain.agreements.ledger.problems import AgreementProblem
from master.domain.agreements.rights.endings import endings, reminders
from master.domain.agreements.rights.rights import right_of
from master.domain.catalog.dates import Term
from tests.domain.agreements.ledger_in_memory import INNOVAPHONE, LedgerInMemory, device, license, owned, prices

PRICES = prices(
    INNOVAPHONE,
    """
[values]
port = "100"
voicemail_user = "20"
softwarephone = "40"
"port%500" = "80"
[offers.warranty_on_purchase]
36 = "90.00"
48 = "110.00"
[offers.warranty_later]
48 = "150.00"
""",
)
BOUND = date(2024, 1, 1)


def ledger(credits: str = "100000") -> LedgerInMemory:
    licenses = (
        owned("ports", "port"),
        owned("tier", "port", tier=500),
        owned("mail", "voicemail_user"),
        owned("uc", "uc"),
        owned("soft8", "softwarephone", version=8),
        owned("soft9", "softwarephone", version=9),
        owned("new", "port", first_bound_on=None, is_free=True),
        owned("free", "port", is_free=True),
        owned("imported", "port", agreement_ends_on=date(2025, 1, 1)),
    )
    made = LedgerInMemory(INNOVAPHONE, PRICES, {license.id: license for license in licenses})
    made.do(PublishRelease(release="12r1", day=date(2023, 3, 1)), BOUND)
    made.do(PublishRelease(release="13r1", day=date(2024, 6, 1)), BOUND)
    made.do(PublishRelease(release="14r1", day=date(2025, 6, 1)), BOUND)
    if Decimal(credits):
        made.do(AddCredits(amount=Decimal(credits)), BOUND)
    return made


def ssa(*ids: str, months: int = 12) -> Extend:
    return Extend(subjects=tuple(map(license, ids)), offer="ssa", months=months)


def test_m1_versions_released_within_the_agreement_are_free_and_others_are_not() -> None:
    made = ledger()
    made.do(ssa("ports"), BOUND)
    early = made.refused(UpgradeVersion(licenses=("ports",), version=13), date(2024, 5, 31))
    assert early.problem is AgreementProblem.UNKNOWN_RELEASE
    before = made.snapshot.state.balance
    decision = made.do(UpgradeVersion(licenses=("ports",), version=13), date(2024, 6, 1))
    assert (made.snapshot.state.balance, decision.lines) == (before, ())
    assert made.snapshot.state.holding(license("ports")).version == 13
    same = made.refused(UpgradeVersion(licenses=("ports",), version=13), date(2024, 6, 2))
    assert same.problem is AgreementProblem.SAME_VERSION
    assert (
        made.refused(UpgradeVersion(licenses=("ports",), version=12), date(2024, 6, 2)).problem
        is AgreementProblem.VERSION_TOO_LOW
    )


def test_m1_what_was_released_before_the_agreement_is_not_free() -> None:
    made = ledger()
    made.licenses = {"late": owned("late", "port", first_bound_on=date(2024, 7, 1))}
    made.do(ssa("late"), date(2024, 7, 1))
    refusal = made.refused(UpgradeVersion(licenses=("late",), version=13), date(2024, 8, 1))
    assert (refusal.problem, refusal.rules) == (AgreementProblem.RELEASED_OUTSIDE, ("M1",))


def test_m1_a_feature_that_is_licensed_separately_is_not_included() -> None:
    """An upgrade changes the version and nothing else: a license without an agreement of its own stays as it is."""
    made = ledger()
    made.do(ssa("ports"), BOUND)
    refusal = made.refused(UpgradeVersion(licenses=("ports", "uc"), version=13), date(2024, 8, 1))
    assert (refusal.problem, refusal.subject) == (AgreementProblem.NOT_IN_FORCE, license("uc"))


def test_m2_credits_are_bought_at_any_time_and_never_run_below_zero() -> None:
    made = ledger(credits="0")
    refusal = made.refused(ssa("ports"), BOUND)
    assert (refusal.problem, refusal.rules) == (AgreementProblem.CREDITS_SHORT, ("M2",))
    assert "add 150 credits" in refusal.remedy
    made.do(AddCredits(amount=Decimal("149")), BOUND)
    assert "add 1 credits" in made.refused(ssa("ports"), BOUND).remedy
    bought = made.do(AddCredits(amount=Decimal("1")), BOUND)
    assert (bought.lines[0].amount, bought.lines[0].unit) == (Decimal("1.10"), "USD")
    made.do(ssa("ports"), BOUND)
    assert made.snapshot.state.balance == 0
    spent = [entry for entry in made.entries if entry.kind is EntryKind.CREDITS_SPENT]
    assert [(entry.details["amount"], entry.rules) for entry in spent] == [("150", ("M2",))]
    assert all(entry.reason for entry in made.entries)


@pytest.mark.parametrize("amount", ["0", "NaN", "Infinity", "0.0000001", "1e13"])
def test_m2_an_amount_that_is_none(amount: str) -> None:
    refusal = ledger().refused(AddCredits(amount=Decimal(amount)), BOUND)
    assert (refusal.problem, refusal.field) == (AgreementProblem.MALFORMED, "amount")


def test_m2_without_a_price_file_nobody_knows_how_many_credits() -> None:
    made = ledger()
    made.prices = None
    assert made.refused(ssa("ports"), BOUND).problem is AgreementProblem.PRICE_MISSING


def test_m3_the_first_binding_decides() -> None:
    made = ledger()
    made.do(ssa("ports"), date(2024, 4, 1))
    cover = made.snapshot.state.holding(license("ports")).cover("ssa")
    assert [(term.term, term.how) for term in cover.terms] == [
        (Term(BOUND, date(2024, 4, 1)), "gap"),
        (Term(date(2024, 4, 1), date(2025, 4, 1)), "bought"),
    ]
    refusal = made.refused(ssa("new"), date(2024, 4, 1))
    assert (refusal.problem, refusal.rules) == (AgreementProblem.NEVER_BOUND, ("M3", "L7"))


def test_m4_any_period_at_15_percent_a_year() -> None:
    made = ledger()
    year = made.quote(ssa("ports"), BOUND)
    assert year.totals == {"credits": Decimal("150")}  # 10 x 100 x 15 %
    assert "15 % of the value a year" in year.lines[0].why
    assert made.quote(ssa("ports", months=1), BOUND).totals == {"credits": Decimal("13")}  # 12.5, half up
    assert made.quote(ssa("ports", months=30), BOUND).totals == {"credits": Decimal("375")}
    assert made.quote(ssa("tier"), BOUND).totals == {"credits": Decimal("120")}
    for months in (0, -1, 1201):
        assert made.refused(ssa("ports", months=months), BOUND).problem is AgreementProblem.MALFORMED


def test_m4_it_is_not_compulsory() -> None:
    right = right_of(ledger().snapshot, license("ports"), date(2030, 1, 1))
    assert (right.status.value, right.until, right.version) == ("runs", None, 12)


def test_m5_a_reminder_comes_before_the_end() -> None:
    made = ledger()
    made.do(ssa("ports"), BOUND)
    ends = date(2025, 1, 1)
    assert reminders(made.snapshot, date(2024, 11, 1)) == ()  # 61 days before
    first = reminders(made.snapshot, date(2024, 11, 2))[0]
    assert (first.ending.day, first.days_left, first.due_since_days) == (ends, 60, 60)
    assert reminders(made.snapshot, date(2024, 12, 28))[0].due_since_days == 7
    renewed = made.quote(ssa("ports"), date(2024, 12, 31))
    assert renewed.totals == {"credits": Decimal("150")}, "in time there is no surcharge"
    made.do(ssa("ports"), date(2024, 12, 31))
    assert made.snapshot.state.holding(license("ports")).cover("ssa").ends == date(2026, 1, 1)
    assert [
        reminder
        for reminder in reminders(made.snapshot, date(2024, 12, 31))
        if reminder.ending.subject == license("ports")
    ] == []
    assert [
        reminder
        for reminder in reminders(made.snapshot, date(2026, 1, 1))
        if reminder.ending.subject == license("ports")
    ] == []


def test_m6_also_where_there_never_was_an_agreement() -> None:
    late = ledger().quote(ssa("ports"), date(2026, 1, 1))
    assert late.totals == {"credits": Decimal(2 * 2 * 150 + 150)}


def test_m8_only_what_is_covered() -> None:
    made = ledger()
    refusal = made.refused(ssa("ports", "soft8"), BOUND)
    assert (refusal.problem, refusal.rules, refusal.subject) == (
        AgreementProblem.NOT_COVERED, ("M8",), license("soft8")
    )  # fmt: skip
    assert "from version 9 on" in refusal.message
    made.do(ssa("soft9"), BOUND)
    covered = {key for key, license_type in INNOVAPHONE.types.items() if "ssa" in license_type.policies}
    assert covered == {key for key, license_type in INNOVAPHONE.types.items() if license_type.versioned}
    assert {"ipva", "uc", "gsm_client"} <= covered
    assert not {"relay_bri", "mypbx_mobile"} & covered


def test_m4_not_for_ever() -> None:
    made = ledger(credits="1000000")
    for _ in range(9):
        made.do(ssa("ports", months=1200), BOUND)
    refusal = made.refused(ssa("ports", months=1200), BOUND)
    assert (refusal.problem, refusal.field) == (AgreementProblem.MALFORMED, "months")


def test_all_or_none() -> None:
    made = ledger()
    before = list(made.entries)
    made.refused(ssa("ports", "new"), BOUND)
    assert made.entries == before
    assert made.refused(ssa("ports", "ports"), BOUND).field == "subjects"
    assert made.refused(ssa("nowhere"), BOUND).problem is AgreementProblem.UNKNOWN_SUBJECT
    assert "did you mean 'ssa'" in made.refused(Extend(subjects=(license("ports"),), offer="sssa"), BOUND).message


def test_l6_converted_in_the_balance_the_agreement_is_void_and_a_new_year_charged() -> None:
    made = ledger()
    made.do(ssa("free", months=36), BOUND)
    day = date(2024, 9, 1)
    decision = made.do(ConvertVersion(licenses=("free",), version=13, offer="ssa"), day)
    assert [line.amount for line in decision.lines] == [Decimal("150")]
    cover = made.snapshot.state.holding(license("free")).cover("ssa")
    assert [term.term for term in cover.terms] == [Term(BOUND, day), Term(day, date(2025, 9, 1))]
    assert made.snapshot.state.holding(license("free")).version == 13


def test_l6_only_an_offer_that_says_so_pays_for_a_conversion() -> None:
    order = ConvertVersion(licenses=("free",), version=13, offer="warranty_later")
    refusal = ledger().refused(order, date(2024, 9, 1))
    assert (refusal.problem, refusal.remedy) == (AgreementProblem.UNKNOWN_OFFER, "choose ssa")


def test_l6_bound_licenses_are_not_converted_and_rebinding_keeps_the_agreement() -> None:
    made = ledger()
    made.do(ssa("ports"), BOUND)
    refusal = made.refused(ConvertVersion(licenses=("ports",), version=13, offer="ssa"), date(2024, 9, 1))
    assert (refusal.problem, refusal.rules) == (AgreementProblem.NOT_FREE, ("L6",))
    assert "keeps its agreement" in refusal.remedy
    before = made.snapshot.cover(license("ports"), "ssa")
    made.licenses = {**made.licenses, "ports": owned("ports", "port", is_free=True)}
    assert made.snapshot.cover(license("ports"), "ssa") == before, "released or rebound, the ledger goes on"


def test_l6_i3_i4_a_conversion_changes_the_version_only() -> None:
    made = ledger()
    made.licenses = {"mail": owned("mail", "voicemail_user", is_free=True)}
    made.do(PublishRelease(release="9", day=date(2010, 1, 1)), BOUND)
    refusal = made.refused(ConvertVersion(licenses=("mail",), version=9, offer="ssa"), BOUND)
    assert (refusal.problem, refusal.rules) == (AgreementProblem.VERSION_TOO_LOW, ("I4",))


def test_l7_what_the_vendors_file_said_counts_and_is_carried_over() -> None:
    made = ledger()
    assert made.snapshot.cover(license("imported"), "ssa").ends == date(2025, 1, 1)
    made.do(UpgradeVersion(licenses=("imported",), version=13), date(2024, 7, 1))
    decision = made.do(ssa("imported"), date(2024, 12, 1))
    assert [line.amount for line in decision.lines] == [Decimal("150")]
    terms = made.snapshot.cover(license("imported"), "ssa").terms
    assert [(term.term, term.how) for term in terms] == [
        (Term(BOUND, date(2025, 1, 1)), "vendor"),
        (Term(date(2025, 1, 1), date(2026, 1, 1)), "bought"),
    ]


def test_publishing_twice_is_safe_and_days_do_not_change() -> None:
    made = ledger()
    again = made.do(PublishRelease(release="V13r1", day=date(2024, 6, 1)), BOUND)
    assert (again.drafts, len(again.notes)) == ((), 1)
    assert (
        made.refused(PublishRelease(release="13r1", day=date(2024, 6, 2)), BOUND).problem
        is AgreementProblem.ALREADY_THERE
    )


BOUGHT = date(2026, 1, 31)


def box() -> LedgerInMemory:
    made = ledger()
    made.do(RegisterDevice(device="hq", product="device", delivered_on=BOUGHT, serial="0090331"), BOUGHT)
    return made


def warranty(offer: str, months: int, key: str = "A-1", serial: str = "") -> Extend:
    return Extend(subjects=(device("hq"),), offer=offer, months=months, key=key, serial=serial)


def test_n3_two_kinds_each_in_its_time() -> None:
    made = box()
    assert made.quote(warranty("warranty_later", 48), BOUGHT).totals == {"USD": Decimal("150.00")}
    late = made.refused(warranty("warranty_on_purchase", 48), date(2026, 3, 2))
    assert (late.problem, late.remedy) == (AgreementProblem.OUTSIDE_WINDOW, "order warranty_later instead")
    assert made.quote(warranty("warranty_later", 48), date(2027, 1, 30)).totals == {"USD": Decimal("150.00")}
    over = made.refused(warranty("warranty_later", 48), date(2027, 1, 31))
    assert (over.problem, over.rules) == (AgreementProblem.OUTSIDE_WINDOW, ("N1", "N3"))
    assert made.refused(warranty("warranty_later", 60), date(2026, 6, 1)).problem is AgreementProblem.PERIOD_NOT_OFFERED


def test_an_ended_warranty_leaves_the_device_alone() -> None:
    ending = endings(box().snapshot, from_day=date(2027, 1, 1), to_day=date(2027, 3, 1))[0]
    assert (ending.subject, ending.stops, ending.what_goes_on) == (device("hq"), {}, "the device")
