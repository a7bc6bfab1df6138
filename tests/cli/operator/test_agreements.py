"""`license-master agreement`, `credits`, `contract`, `device` over time: each document's own examples, as typed."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from icalendar import Calendar

from tests.cli.command import Done, run
from tests.support.masters import InProcess
from tests.support.projects.agreements import AgreementOrders

PRICES = Path(__file__).parents[3] / "examples" / "prices"
Typed = Callable[..., Awaitable[Done]]


@pytest.fixture
def type_(master: InProcess) -> Typed:
    """The command, pointed at the master."""

    async def typed(words: str, *more: str | Path) -> Done:
        return await run(*words.split(), *map(str, more), LICENSE_MASTER_SERVER=master.wire.address)

    return typed


async def done(call: Awaitable[Done], *said: str) -> str:
    """It must succeed and say all of that."""
    outcome = await call
    assert outcome.code == 0, outcome.out + outcome.err
    for text in said:
        assert text in outcome.out, outcome.out
    return outcome.out


async def refused(call: Awaitable[Done], *said: str) -> None:
    """It must be refused and say all of that."""
    outcome = await call
    assert outcome.code == 1, outcome.out + outcome.err
    for text in ("● refused", "→", *said):
        assert text in outcome.out, outcome.out


async def ordered(call: Awaitable[Done]) -> int:
    """It must await its payment; the order's number."""
    out = await done(call, "license-master agreement confirm")
    return int(out.split("agreement confirm ")[1].split()[0])


@pytest.mark.rule("P1", "P2", "P6", "P9")
async def test_isymphony_14_and_14_days_then_bought_then_40_users_and_a_queue(master: InProcess, type_: Typed) -> None:
    await AgreementOrders(master).opened("2026-01-15", catalog="isymphony")
    trial = "agreement trial crm --product isymphony --major 3 --key T1 user=20"
    await done(type_(trial), "Trial key: 2026-01-15 to 2026-01-30")
    await done(type_("agreement trial crm --key T2"), "2026-01-30 to 2026-02-13")
    await done(type_("agreement may-run crm 3.1"), "may run 3.1, until its Trial ends on 2026-02-13")
    await refused(type_("agreement trial crm --key T3"), "purchased already (P1)", "buy the product")
    await done(type_("agreement endings"), "2026-02-13", "20 user", "nothing of it")
    prices = ("--prices", PRICES / "isymphony.toml")
    number = await ordered(type_("agreement buy isymphony crm user=20 --major 3", *prices))
    await done(type_(f"agreement confirm {number} --key K1"), "new key, in place of T2")
    await refused(type_("agreement upgrade crm user=20", *prices), "smaller tier (P6)", "do not add up")
    quote = "agreement upgrade crm user=40 --quote"
    await done(type_(quote, PRICES / "isymphony.toml"), "iSymphony User: 40 in all instead of 20", "total: 80.00 USD")
    number = await ordered(type_("agreement upgrade crm user=40 queue=1", *prices))
    await done(type_("agreement list"), f"order {number} of 2026-01-15 awaits its payment")
    await done(type_(f"agreement confirm {number} --key K2"), "upgraded to 40 user, 1 queue")
    listed = json.loads(await done(type_("agreement list --json")))
    (given,) = listed["agreements"]
    assert (given["counts"], given["keys"][-1]) == ({"queue": 1, "user": 40}, {"key": "K2", "day": "2026-01-15"})
    assert given["covers"][0]["end_day"] == "2027-01-15"


@pytest.mark.rule("P3", "P4", "P5")
async def test_isymphony_perpetual_and_renewed(master: InProcess, type_: Typed) -> None:
    at = await AgreementOrders(master).opened("2026-01-15", catalog="isymphony")
    number = await ordered(type_("agreement buy isymphony crm user=20 --major 3 --prices", PRICES / "isymphony.toml"))
    await done(type_(f"agreement confirm {number} --key K1"))
    await done(type_("agreement publish 3.1 --on 2025-06-01"))
    await done(type_("agreement publish 3.2 --on 2027-02-01"))
    await done(type_("agreement auto-renew crm --offer renewal"), "automatic renewal on")
    await done(type_("agreement auto-renew crm --offer renewal --off"), "automatic renewal off")
    at.on("2028-03-01")
    await done(type_("agreement may-run crm 3.1"), "allowed", "for as long as it likes")
    await refused(type_("agreement may-run crm 3.2"), "released outside (P3, P5)")
    await refused(type_("agreement may-run crm 4.0"), "other major (P3)")
    await done(type_("agreement rights"), "runs", "no newer releases")
    number = await ordered(type_("agreement extend crm --offer renewal"))
    await done(type_(f"agreement confirm {number} --key K2"), "2027-01-15 to 2028-01-15")
    number = await ordered(type_("agreement extend crm --offer renewal"))
    await done(type_(f"agreement cancel {number}"), "cancelled before it was paid")


@pytest.mark.rule("Q1", "Q2", "Q4", "Q7")
async def test_allworx_installed_in_2010_upgraded_in_2013(master: InProcess, type_: Typed) -> None:
    at = await AgreementOrders(master).opened("2010-05-01", catalog="allworx")
    await done(type_("device register S --product server --delivered 2010-05-01 --serial S-1 --release 7.0"))
    at.on("2013-09-01")
    await refused(type_("device check-upgrade S 7.4"), "leapfrog (Q2)", "install 7.1, then buy a maintenance key")
    await done(type_("device install S 7.1"))
    await refused(type_("device install S 7.4"), "maintenance needed (Q1, Q7)")
    await done(type_("device check-upgrade S 7.1 --phones"), "allowed", "(Q6)")
    quote = "agreement extend S --offer anytime --key M-1 --quote"
    await done(type_(quote, PRICES / "allworx.toml"), "total: 250.00 USD")
    await done(type_("agreement extend S --offer anytime --key M-1"), "2013-09-01 to 2014-09-01")
    await done(type_("device install S 7.4"))
    await refused(type_("device check-upgrade S 7.5 --day 2014-09-01"), "maintenance ended on 2014-09-01")
    await done(type_("device allow S 7.5"), "lets 7.5 through")
    await done(type_("device check-upgrade S 7.5 --day 2014-09-01"), "(Q7)")
    await done(type_("device feature S feature --key F-1"), "feature key for Allworx Optional Feature")


@pytest.mark.rule("R1", "R2", "R3", "R4", "R5")
async def test_distribution_engine_six_months_left_in_the_year(master: InProcess, type_: Typed) -> None:
    at = await AgreementOrders(master).opened("2026-01-01", catalog="distribution_engine")
    prices = PRICES / "distribution-engine.toml"
    await refused(type_("agreement buy seats team seat=4"), "below minimum (R3)", "order 5 or more")
    await done(type_("agreement buy seats team seat=10 --prices", prices), "total: 5400.00 USD")
    at.on("2026-07-01")
    await done(type_("contract add team seat=2 --quote", prices), "total: 540.00 USD", " 6 ")
    await done(type_("contract add team seat=2"), "2 seat added")
    await done(type_("contract assign team ann --use team_member"), "seat for ann")
    seatless = await type_("contract assign team guest")
    assert (seatless.code, seatless.out) == (0, "nothing to change\n")
    assert "guest needs no seat" in seatless.err
    assert "if guest does what needs one, name it among the uses (--use): configures, team_member, views" in (
        " ".join(seatless.err.split())
    )
    kept = await type_("contract reassign team ann --to guest")
    assert (kept.code, "ann keeps the seat" in kept.err) == (0, True)
    await refused(type_("contract assign teem ann"), "'teem' is no contract in the ledger; did you mean 'team'?")
    await done(type_("contract reassign team ann --to ben --use views"), "seat taken from ann")
    await done(type_("contract list"), "ben", "1 assigned of 12 seat, until 2027-01-01")
    await refused(type_("contract premier team --from 2026-08-01"), "only at renewal (R5)")
    await done(type_("contract premier team"), "from the renewal on 2027-01-01")
    await done(type_("contract unassign team ben"), "seat taken from ben")
    await done(type_("agreement endings --days 365"), "its use: 12 seat", "yearly")


@pytest.mark.rule("M2", "M6", "L6", "N2")
async def test_innovaphone_credits_a_lapse_a_conversion_a_warranty(master: InProcess, type_: Typed) -> None:
    at = await AgreementOrders(master).opened("2026-01-10")
    await at.licensed("ports", "PBX-Port12", 10)
    await at.licensed("spare", "PBX-Port12", 10, bound=False)
    prices = ("--prices", PRICES / "innovaphone.toml")
    extend = "agreement extend ports --offer ssa --months 12"
    await refused(type_(extend), "price missing (M2)")
    await refused(type_(extend, *prices), "credits short (M2)", "add 150 credits or more")
    await done(type_("credits add 1000 --reason", "order 4711"), "1000 credits bought")
    await done(type_(f"{extend} --dry-run", *prices), "nothing was changed", "850 credits are left")
    await done(type_(extend, *prices), "850 credits are left")
    await done(type_("agreement list"), "license ports", "in force", "license spare", "never")
    at.on("2027-07-10")
    out = await done(type_(f"{extend} --quote", PRICES / "innovaphone.toml"), "total: 300 credits", "2 times the price")
    assert "(M2, M4, M6)" in out
    await done(type_("agreement publish 13 --on 2026-05-01"))
    await done(type_("agreement convert spare --to 13 --offer ssa", *prices), "converted in the balance")
    await done(type_("credits show"), "1000 credits bought (order 4711)", "1000", "-150", "700 credits in the balance")
    await done(type_("credits add -50 --reason", "typed too much"), "50 credits taken back")
    await done(type_("credits add 50"), "50 credits bought")
    out = await done(type_("credits pay PBX-Port12 2", *prices), "2 x PBX-Port12 paid", "500 credits are left")
    number = out.split()[0]
    await done(type_(f"agreement reverse {number} --dry-run"), "nothing was changed", f"order {number} reversed")
    await done(type_(f"agreement reverse {number} --reason", "not these"), f"order {number} reversed: 2 x PBX-Port12")
    await done(type_("agreement ledger"), "2 x PBX-Port12 paid with credits; reversed", "(not these)")
    await done(type_("agreement extend --pbx hq --offer ssa --months 12 --quote", PRICES / "innovaphone.toml"), "ports")
    await done(type_("credits show --as-of 2026-06-01"), "850 credits in the balance")
    await done(type_("device register hq-box --product device --delivered 2027-07-10 --serial 0090331"))
    warranty = "agreement extend device:hq-box --offer warranty_on_purchase --months 36"
    await done(type_(f"{warranty} --key A-1 --serial 0090331"), "2028-07-10 to 2031-07-10")
    await refused(type_(f"{warranty} --key A-2"), "purchased already")
    await done(type_("agreement ledger device:hq-box"), "Warranty extension on purchase")
    correct = "device correct hq-box --delivered 2027-07-01 --serial 0090-332"
    assert "reason" in (await type_(correct)).err
    await done(type_(f"{correct} --reason", "typed wrong"), "serial number 0090-332; it said 2027-07-10")
    await done(type_("agreement endings --days 5000"), "2031-07-01")
    await refused(type_("agreement publish 13 --on 2026-05-02"), "--correct")
    await done(type_("agreement publish 13 --on 2026-05-02 --correct"), "2026-05-02, not on 2026-05-01")


@pytest.mark.rule("M5")
async def test_a_calendar_of_what_ends_with_its_reminders(master: InProcess, type_: Typed) -> None:
    await AgreementOrders(master).opened("2026-01-15", catalog="isymphony")
    await done(type_("agreement trial crm --product isymphony --major 3 --key T1 user=20"))
    number = await ordered(type_("agreement buy isymphony wall user=20 --major 3 --prices", PRICES / "isymphony.toml"))
    await done(type_(f"agreement confirm {number} --key K1"))
    out = await done(type_("agreement calendar"))
    again = await done(type_("agreement calendar"))
    calendar = Calendar.from_ical(out)
    events = calendar.walk("VEVENT")
    assert [(str(event["SUMMARY"]), event.decoded("DTSTART").isoformat()) for event in events] == [
        ("Trial of license crm ends", "2026-01-30"),
        ("Software maintenance of license wall ends", "2027-01-15"),
    ]
    assert "Stops: its use: 1 instance, 20 user." in str(events[0]["DESCRIPTION"])
    assert [alarm.decoded("TRIGGER").days for alarm in events[1].walk("VALARM")] == [-60, -30, -7]
    uids = [str(event["UID"]) for event in events]
    assert [str(component["UID"]) for component in Calendar.from_ical(again).walk("VEVENT")] == uids
    assert len(set(uids)) == 2
    assert await done(type_("agreement calendar --days 5")) != out


async def test_what_is_typed_wrong(master: InProcess, type_: Typed, tmp_path: Path) -> None:
    at = await AgreementOrders(master).opened("2026-01-10")
    await at.licensed("ports", "PBX-Port12", 10)
    for words, said in (
        ("agreement upgrade ports", "say either to which version"),
        ("agreement upgrade ports user=x", "'user=x' is no number of a license type"),
        ("agreement list --as-of yesterday", "--as-of 'yesterday' is no time"),
        ("agreement list --as-of 0001-01-01T00:00+14:00", "is no time"),
        ("agreement list --day yesterday", "day: 'yesterday' must be a day such as 2026-03-01"),
        ("credits add much", "amount: 'much' must be a decimal"),
        ("credits add 5 --pricse x", "(--pricse x)"),
        ("agreement extend --offer ssa", "nothing is named"),
        (
            "agreement extend ports --offer ssa --months 12 --key K",
            "key: Software Service Agreement is ordered without",
        ),
        ("agreement trial crm --key T2 user=20", "a further key extends what is tried"),
        ("agreement reverse 1", "reason: is empty"),
        ("device check-upgrade S 7.4 --phones --day 2026-01-01", "leave --from and --day out"),
        (f"credits add 5 --quote {tmp_path}/none.toml --dry-run", "--quote orders nothing"),
        (f"credits add 5 --prices {tmp_path}/none.toml", "cannot read"),
    ):
        outcome = await type_(words)
        assert (outcome.code in (1, 2), said in " ".join(outcome.err.split())) == (True, True), outcome.err
    wrong = tmp_path / "prices.toml"
    wrong.write_text('[prices]\ncatalog = "innovaphone"\ncurrency = "EUR"\n[values]\nprot = "1"\n')
    outcome = await type_("credits add 5 --prices", wrong)
    assert f"{wrong}:5: values.prot" in outcome.err.replace("\n", "")
    assert (await at.ledger()).balance == "0"
