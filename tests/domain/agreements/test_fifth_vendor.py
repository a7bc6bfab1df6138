"""A vendor that nobody has heard of: one catalog file, no line of code.

Beacon sells consoles: 30 days of trial, then a yearly agreement that begins with the payment, for consoles in dozens;
a late renewal pays the gap at one and a half times the price. Hubs are delivered with two years of warranty and half
a year of updates, and nothing after release 3 is installed without them.
"""

from datetime import date
from decimal import Decimal

from master.domain.agreements.ledger.orders import (
    AddSeats,
    AssignSeat,
    Buy,
    ConfirmPayment,
    Extend,
    RegisterDevice,
    SetAutoRenewal,
    StartTrial,
)
from master.domain.agreements.ledger.problems import AgreementProblem
from master.domain.agreements.ordering.decide_order import Decision
from master.domain.agreements.rights.endings import endings, renewals_due
from master.domain.agreements.rights.rights import RightStatus, right_of
from master.domain.agreements.rights.upgrade_gate import upgrade_gate
from master.domain.catalog.catalog_file import read_catalog
from master.domain.catalog.releases import ReleaseName
from tests.domain.agreements.ledger_in_memory import LedgerInMemory, device, license, prices, what_may_run

CATALOG = """
[catalog]
name = "beacon"
title = "Beacon"
platforms = ["hub"]

[types.console]
name = "Beacon Console"
metering = "floating"
holders = ["login"]
version_basis = "none"

[policies.trial]
title = "Evaluation"
grants = "use"
begins = "purchase"
purchases_max = 1
reminder_days = [10]

[policies.year]
title = "Console year"
grants = "use"
begins = "purchase"
included_months = 12
reminder_days = [90, 30]

[policies.warranty]
title = "Hub warranty"
grants = "repair"
begins = "delivery"
included_months = 24

[policies.updates]
title = "Hub updates"
grants = "upgrades"
begins = "delivery"
included_months = 6

[offers.evaluation]
title = "Evaluation"
policies = ["trial"]
days = 30
price = "free"

[offers.year]
title = "A further year"
policies = ["year"]
months = [12]
late = "pay_gap"
gap_factor = "1.5"
price = "per_seat_and_month"
payment_first = true
renews_itself = true

[offers.three_years]
title = "Three further years"
policies = ["year"]
months = [36]
late = "pay_gap"
gap_factor = "1.5"
price = "per_seat_and_month"
payment_first = true

[offers.updates]
title = "Updates"
policies = ["updates"]
late = "from_today"
price = "fixed"

[products.consoles]
title = "Beacon consoles"
subject = "license"
policies = ["year"]
sold_by = "seat"
counts = ["console"]
minimum = 12
payment_first = true
trial = "evaluation"

[products.hub]
title = "Beacon hub"
subject = "device"
policies = ["warranty", "updates"]
gate_release = "3"
gate_policy = "updates"

[releases]
"3" = 2025-01-01
"4" = 2026-06-01
"""
BEACON = read_catalog(
    CATALOG,
    file="beacon.toml",
)
PRICES = prices(BEACON, '[seat_months]\nconsole = "10"\n[offers.updates]\n7 = "70"\n')
DAY = date(2026, 1, 31)
ONE = license("desk")


def test_its_consoles() -> None:
    made = LedgerInMemory(BEACON, PRICES)
    made.do(StartTrial(license="desk", product="consoles", counts={"console": 12}, key="E"), DAY)
    assert right_of(made.snapshot, ONE, DAY).until == date(2026, 3, 3)
    few = made.refused(Buy(id="desk", product="consoles", counts={"console": 11}), DAY)
    assert few.problem is AgreementProblem.BELOW_MINIMUM
    made.do(Buy(id="desk", product="consoles", counts={"console": 12}), DAY)
    made.do(ConfirmPayment(order=made.entries[-1].number, key="K1"), DAY)
    assert right_of(made.snapshot, ONE, DAY).counts == {"console": 12}
    by_name = made.refused(AssignSeat(contract="desk", user="a", uses=("views",)), DAY)
    assert by_name.problem is AgreementProblem.WRONG_KIND, "consoles float"

    made.do(SetAutoRenewal(license="desk", offer="year", on=True), DAY)
    assert [ending.renews_itself for ending in endings(made.snapshot, from_day=DAY, to_day=date(2028, 1, 1))] == [True]
    (due,) = renewals_due(made.snapshot, date(2027, 1, 20))
    assert isinstance(made.ask(due, date(2027, 1, 20)), Decision)
    late = made.quote(Extend(subjects=(ONE,), offer="three_years"), date(2027, 4, 30))
    assert [line.amount for line in late.lines] == [Decimal("540.00"), Decimal("4320.00")]  # 3 months at 1.5, 36 at 1
    assert right_of(made.snapshot, ONE, date(2027, 1, 31)).status is RightStatus.STOPPED


def test_more_consoles_within_the_year() -> None:
    made = LedgerInMemory(BEACON, PRICES)
    made.do(Buy(id="desk", product="consoles", counts={"console": 12}), DAY)
    made.do(ConfirmPayment(order=1, key="K1"), DAY)
    added = made.do(AddSeats(contract="desk", counts={"console": 1}), date(2026, 7, 31))
    assert (added.awaits_payment, added.lines[0].amount) == (True, Decimal("60.00"))
    made.do(ConfirmPayment(order=made.entries[-1].number, key="K2"), date(2026, 8, 31))
    assert right_of(made.snapshot, ONE, date(2026, 8, 31)).counts == {"console": 13}


def test_its_hubs() -> None:
    made = LedgerInMemory(BEACON, PRICES)
    made.do(RegisterDevice(device="hub", product="hub", delivered_on=DAY, release="3", serial="serial-hub"), DAY)
    assert right_of(made.snapshot, device("hub"), DAY).warranty_until == date(2028, 1, 31)
    after = date(2026, 8, 1)
    three, four = ReleaseName.parse("3"), ReleaseName.parse("4")
    assert not upgrade_gate(made.snapshot, device("hub"), from_release=three, to_release=four, day=after).allowed
    bought = made.do(Extend(subjects=(device("hub"),), offer="updates", months=7), after)
    assert bought.lines[0].amount == Decimal("70.00")
    assert upgrade_gate(made.snapshot, device("hub"), from_release=three, to_release=four, day=after).allowed
    assert [str(right.newest) for right in what_may_run(made.snapshot, after)] == ["4"]
