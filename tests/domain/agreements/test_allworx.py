"""The upgrade gate, maintenance and feature keys as the Allworx document says (rules Q1 to Q7)."""

from datetime import date
from decimal import Decimal

import pytest

from master.domain.agreements.ledger.orders import (
    AddFeature,
    AllowBuild,
    Extend,
    InstallRelease,
    PublishRelease,
    RegisterDevice,
)
from master.domain.agreements.ledger.problems import AgreementProblem
from master.domain.agreements.rights.endings import endings
from master.domain.agreements.rights.rights import RightStatus, right_of
from master.domain.agreements.rights.upgrade_gate import GateAnswer, phone_firmware_gate, upgrade_gate
from master.domain.catalog.catalog import Catalog
from master.domain.catalog.catalog_file import read_catalog
from master.domain.catalog.releases import ReleaseName
from tests.domain.agreements.ledger_in_memory import ALLWORX, LedgerInMemory, device, prices

PRICES = prices(
    ALLWORX,
    """
[offers.extended_warranty]
60 = "300.00"
[offers.bundle]
60 = "700.00"
[offers.anytime]
12 = "250.00"
[features]
feature = "99.00"
""",
)
DELIVERED = date(2026, 1, 10)
S = device("S")


def server(release: str = "7.0", delivered: date = DELIVERED, catalog: Catalog = ALLWORX) -> LedgerInMemory:
    made = LedgerInMemory(catalog, PRICES)
    made.do(
        RegisterDevice(device="S", product="server", delivered_on=delivered, release=release, serial="serial-S"),
        delivered,
    )
    return made


def buy(offer: str, key: str = "M-1") -> Extend:
    return Extend(subjects=(S,), offer=offer, key=key)


def ask(made: LedgerInMemory, start: str, to: str, day: date) -> GateAnswer:
    return upgrade_gate(
        made.snapshot, S, from_release=ReleaseName.parse(start), to_release=ReleaseName.parse(to), day=day
    )


LAPSED = date(2026, 6, 1)


def test_q1_after_7_1_a_maintenance_key_is_needed_and_for_7_1_itself_none() -> None:
    made = server()
    assert ask(made, "7.0", "7.1", LAPSED).allowed
    assert ask(made, "6.5", "7.0", LAPSED).allowed
    answer = ask(made, "7.1", "7.4", LAPSED)
    assert answer.refusal is not None
    assert (answer.refusal.problem, answer.rules) == (AgreementProblem.MAINTENANCE_NEEDED, ("Q1", "Q7"))
    assert answer.path == ("buy a maintenance key (anytime)", "install 7.4")
    made.do(buy("anytime"), LAPSED)
    assert ask(made, "7.1", "7.4", LAPSED).allowed
    assert ask(made, "7.4", "7.1", LAPSED).allowed, "going back is no upgrade"


def test_q2_may_server_s_go_from_7_0_to_7_4_no_and_the_path_that_works() -> None:
    made = server("7.0")
    answer = ask(made, "7.0", "7.4", LAPSED)
    assert (answer.allowed, answer.rules) == (False, ("Q2",))
    assert answer.path == ("install 7.1", "buy a maintenance key (anytime)", "install 7.4")
    assert answer.refusal is not None
    assert answer.refusal.problem is AgreementProblem.LEAPFROG
    made.do(buy("anytime"), LAPSED)
    assert ask(made, "7.0", "7.4", LAPSED).path == ("install 7.1", "install 7.4"), "a key does not help to leap"
    assert made.refused(InstallRelease(device="S", release="7.4"), LAPSED).problem is AgreementProblem.LEAPFROG
    made.do(InstallRelease(device="S", release="7.1"), LAPSED)
    made.do(InstallRelease(device="S", release="7.4"), LAPSED)
    assert str(made.snapshot.state.holding(S).installed) == "7.4"


def test_a_server_that_nobody_knows_is_refused() -> None:
    answer = ask(LedgerInMemory(ALLWORX), "7.1", "7.4", LAPSED)
    assert answer.refusal is not None
    assert answer.refusal.problem is AgreementProblem.UNKNOWN_SUBJECT
    without = RegisterDevice(device="S", product="server", delivered_on=DELIVERED, serial="serial-S")
    assert LedgerInMemory(ALLWORX).refused(without, LAPSED).field == "release"


def test_q3_twelve_months_of_warranty_and_three_of_maintenance() -> None:
    made = server()
    right = right_of(made.snapshot, S, DELIVERED)
    assert (right.warranty_until, right.upgrades_until) == (date(2027, 1, 10), date(2026, 4, 10))
    again = RegisterDevice(device="S", product="server", delivered_on=DELIVERED, release="7.1", serial="serial-S")
    assert made.refused(again, DELIVERED).problem is AgreementProblem.ALREADY_THERE
    ahead = RegisterDevice(
        device="T", product="server", delivered_on=date(2026, 1, 11), release="7.1", serial="serial-T"
    )
    assert made.refused(ahead, DELIVERED).field == "delivered_on"


@pytest.mark.parametrize("day", [DELIVERED, date(2026, 4, 9)])
def test_q4_in_the_first_90_days_five_years_with_or_without_maintenance(day: date) -> None:
    made = server()
    assert made.quote(buy("bundle"), day).totals == {"USD": Decimal("700.00")}
    made.do(buy("extended_warranty"), day)
    right = right_of(made.snapshot, S, day)
    assert (right.warranty_until, right.upgrades_until) == (date(2031, 1, 10), date(2026, 4, 10))
    bundled = server()
    bundled.do(buy("bundle"), day)
    right = right_of(bundled.snapshot, S, date(2026, 5, 1))
    assert (right.warranty_until, right.upgrades_until) == (date(2031, 1, 10), date(2031, 1, 10))
    early = made.refused(buy("anytime", "M-2"), day)
    assert (early.problem, early.rules) == (AgreementProblem.OUTSIDE_WINDOW, ("Q4",))


def test_q4_a_running_key_is_extended_not_shortened() -> None:
    made = server()
    made.do(buy("anytime"), date(2026, 5, 1))
    made.do(buy("anytime", "M-2"), date(2026, 8, 1))
    assert made.snapshot.cover(S, "maintenance").ends == date(2028, 5, 1)


def test_q5_a_feature_needs_its_own_key_and_software_that_has_it() -> None:
    text = "\n".join(
        (
            '[catalog]\nname = "allworx"\ntitle = "x"\nplatforms = []',
            '[types.reach]\nname = "Reach"\nmetering = "fixed"\nholders = ["pbx"]\nversion_basis = "none"',
            '[policies.maintenance]\ntitle = "m"\ngrants = "upgrades"\nbegins = "delivery"\nincluded_months = 3',
            '[products.server]\ntitle = "s"\nsubject = "device"\npolicies = ["maintenance"]\n'
            'features = { reach = "7.4" }\ngate_release = "7.1"\ngate_policy = "maintenance"',
        )
    )
    made = server("7.1", catalog=read_catalog(text, file="x"))
    made.prices = None
    order = AddFeature(device="S", feature="reach", key="F-1")
    old = made.refused(order, DELIVERED)
    assert (old.problem, old.remedy) == (AgreementProblem.SOFTWARE_TOO_OLD, "install 7.4 or later first")
    made.do(InstallRelease(device="S", release="7.4"), DELIVERED)
    assert right_of(made.snapshot, S, DELIVERED).features == (), "maintenance brings the software, not the feature"
    no_key = made.refused(AddFeature(device="S", feature="reach", key=""), DELIVERED)
    assert (no_key.problem, no_key.rules) == (AgreementProblem.KEY_MISSING, ("Q5",))
    made.do(order, DELIVERED)
    assert right_of(made.snapshot, S, DELIVERED).features == ("reach",)
    assert made.refused(order, DELIVERED).problem is AgreementProblem.ALREADY_THERE
    unknown = made.refused(AddFeature(device="S", feature="rech", key="F-2"), DELIVERED)
    assert "did you mean 'reach'" in unknown.message


def test_q6_phones_have_the_firmware_of_what_the_server_runs_whatever_its_maintenance() -> None:
    made = server("7.4")
    assert phone_firmware_gate(made.snapshot, S, ReleaseName.parse("7.4")).allowed
    newer = phone_firmware_gate(made.snapshot, S, ReleaseName.parse("7.5"))
    assert (newer.allowed, newer.path) == (False, ("bring the server to 7.5", "load the firmware of 7.5"))
    assert not phone_firmware_gate(made.snapshot, device("T"), ReleaseName.parse("7.4")).allowed


def test_q7_without_maintenance_the_installed_release_keeps_working() -> None:
    made = server("7.4")
    made.do(PublishRelease(release="7.5", day=date(2026, 3, 1)), DELIVERED)
    right = right_of(made.snapshot, S, LAPSED)
    assert (right.status, right.until, str(right.newest)) == (RightStatus.RUNS, None, "7.4")
    assert str(right_of(made.snapshot, S, date(2026, 3, 1)).newest) == "7.5"
    ended = endings(made.snapshot, from_day=DELIVERED, to_day=LAPSED)
    assert [(ending.policy, ending.stops) for ending in ended] == [("maintenance", {})]


def test_q7_the_vendor_may_let_one_build_through() -> None:
    made = server("7.1")
    made.do(AllowBuild(device="S", release="7.4.1"), LAPSED)
    allowed = ask(made, "7.1", "7.4.1", LAPSED)
    assert (allowed.allowed, allowed.rules) == (True, ("Q7",))
    assert not ask(made, "7.1", "7.4.2", LAPSED).allowed
    assert not ask(made, "7.0", "7.4.1", LAPSED).allowed, "the exception is about the key, not about the database"
    assert made.do(AllowBuild(device="S", release="7.4.1"), LAPSED).drafts == ()
