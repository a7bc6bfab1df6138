"""Rules Q1 to Q7: what an Allworx server may install, and what it takes, through the API."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from licensemaster.v1 import agreement_order_pb2 as orders
from licensemaster.v1 import agreement_pb2
from tests.rpc.failures import failure
from tests.support.masters import Clock, InProcess, in_process_master
from tests.support.projects.agreements import NAME, AgreementOrders, Problem, device, noon, prices_of

RUNS = agreement_pb2.RIGHT_STATUS_RUNS
DELIVERED, LAPSED = "2026-01-10", "2026-06-01"


def key(offer: str, name: str = "M-1") -> orders.Extend:
    return orders.Extend(subjects=device("S"), offer=offer, key=name)


def install(release: str) -> orders.InstallRelease:
    return orders.InstallRelease(device="S", release=release)


async def server(master: InProcess, release: str = "7.1", delivered: str = DELIVERED) -> AgreementOrders:
    """A server that was delivered on that day, which is today."""
    at = await AgreementOrders(master, prices_of("allworx")).opened(delivered, catalog="allworx")
    await at.place(
        orders.RegisterDevice(device="S", product="server", delivered_on=delivered, release=release, serial="serial-S")
    )
    return at


@pytest.mark.rule("Q1")
async def test_after_7_1_a_later_release_needs_a_valid_maintenance_key(master: InProcess) -> None:
    at = await server(master, "7.0")
    at.on(LAPSED)
    assert (await at.gate("S", "7.1")).allowed  # 7.1 itself needs none
    assert (await at.gate("S", "7.0", start="6.5")).allowed
    assert (await at.gate("S", "7.1", start="7.4")).allowed  # going back is no upgrade
    await at.place(install("7.1"))
    answer = await at.gate("S", "7.4")
    assert (answer.allowed, answer.refused.problem) == (False, Problem.AGREEMENT_PROBLEM_MAINTENANCE_NEEDED)
    assert list(answer.path) == ["buy a maintenance key (anytime)", "install 7.4"]
    assert "Q1" in answer.rules
    assert (await at.refuse(install("7.4"))).problem == Problem.AGREEMENT_PROBLEM_MAINTENANCE_NEEDED
    await at.place(key("anytime"))
    assert (await at.gate("S", "7.4")).allowed
    await at.place(install("7.4"))
    assert (await at.agreement("S")).release == "7.4"
    assert not (await at.gate("S", "7.5", day="2027-06-01")).allowed  # it ends with the key
    await at.place(key("anytime", "M-2"))  # a running key is extended
    assert await at.cover("S", "maintenance") == (True, "2028-06-01")


@pytest.mark.rule("Q2")
async def test_no_leapfrog(master: InProcess) -> None:
    """May server S go from 7.0 to 7.4? No, and the path that works."""
    at = await server(master, "7.0")
    at.on(LAPSED)
    answer = await at.gate("S", "7.4")
    assert (answer.allowed, answer.refused.problem) == (False, Problem.AGREEMENT_PROBLEM_LEAPFROG)
    assert list(answer.path) == ["install 7.1", "buy a maintenance key (anytime)", "install 7.4"]
    await at.place(key("anytime"))
    assert list((await at.gate("S", "7.4")).path) == ["install 7.1", "install 7.4"]  # a key does not help to leap
    assert (await at.refuse(install("7.4"))).problem == Problem.AGREEMENT_PROBLEM_LEAPFROG
    await at.place(install("7.1"))
    await at.place(install("7.4"))


@pytest.mark.rule("Q1", "Q2")
async def test_a_pbx_asks_for_the_device_that_it_runs_on(master: InProcess) -> None:
    at = await server(master)
    await at.place(
        orders.RegisterDevice(
            device="berlin-box", product="server", delivered_on=DELIVERED, release="7.0", serial="serial-berlin-box"
        )
    )
    request = agreement_pb2.CheckUpgradeRequest(server=f"{NAME}/pbxs/berlin", to_release="7.4")
    assert (await at.agreements.CheckUpgrade(request)).refused.subject.id == "berlin-box"
    request.from_release = "7.1"  # the PBX knows better what it runs
    assert (await at.agreements.CheckUpgrade(request)).allowed
    unknown = agreement_pb2.CheckUpgradeRequest(server=f"{NAME}/pbxs/hq", to_release="7.4")
    answer = await at.agreements.CheckUpgrade(unknown)
    assert (answer.allowed, answer.refused.problem) == (False, Problem.AGREEMENT_PROBLEM_UNKNOWN_SUBJECT)
    unknown.phone_firmware = True
    assert not (await at.agreements.CheckUpgrade(unknown)).allowed


@pytest.mark.rule("Q3")
async def test_twelve_months_of_warranty_and_three_of_maintenance(master: InProcess) -> None:
    at = await server(master)
    right = await at.right("S")
    assert (right.warranty_until_day, right.upgrades_until_day) == ("2027-01-10", "2026-04-10")
    again = orders.RegisterDevice(
        device="S", product="server", delivered_on=DELIVERED, release="7.1", serial="serial-S"
    )
    assert (await at.refuse(again)).problem == Problem.AGREEMENT_PROBLEM_ALREADY_THERE
    assert (await at.gate("S", "7.4", day="2026-04-09")).allowed
    assert not (await at.gate("S", "7.4", day="2026-04-10")).allowed


@pytest.mark.rule("Q3", "N1", "N2")
async def test_a_server_is_its_serial_number_whatever_it_is_called(master: InProcess) -> None:
    at = await server(master)
    at.on("2026-05-01")
    for serial in ("serial-S", " Serial S ", "SERIALS"):
        again = orders.RegisterDevice(
            device="new", product="server", delivered_on="2026-05-01", release="7.1", serial=serial
        )
        refused = await at.refuse(again)
        assert (refused.problem, refused.field) == (Problem.AGREEMENT_PROBLEM_ALREADY_THERE, "serial")
        assert refused.subject.id == "S"
    missing = await failure(
        at.answer(orders.RegisterDevice(device="new", product="server", delivered_on="2026-05-01", release="7.1"))
    )
    assert list(missing.fields) == ["order.register_device.serial"]
    for field, wrong in {
        "release": orders.RegisterDevice(device="T", product="server", delivered_on=DELIVERED, serial="T"),
        "delivered_on": orders.RegisterDevice(
            device="T", product="server", delivered_on="2026-05-02", release="7.1", serial="T"
        ),
    }.items():
        assert list((await failure(at.answer(wrong))).fields) == [f"order.register_device.{field}"]


@pytest.mark.rule("Q3", "Q4")
async def test_what_comes_along_counts_from_shipping_and_windows_from_the_purchase(master: InProcess) -> None:
    at = await AgreementOrders(master, prices_of("allworx")).opened("2026-03-10", catalog="allworx")
    shipped = orders.RegisterDevice(
        device="S", product="server", delivered_on="2026-03-10", shipped_on="2026-01-10", release="7.1", serial="S1"
    )
    await at.place(shipped)
    right = await at.right("S")
    assert (right.warranty_until_day, right.upgrades_until_day) == ("2027-01-10", "2026-04-10")
    at.on("2026-06-07")  # the 90th day since the purchase
    assert (await at.quote(key("bundle"))).totals[0].amount == "700.00"
    await at.place(key("extended_warranty"))
    assert await at.cover("S", "warranty") == (True, "2031-01-10")
    await at.place(orders.CorrectDevice(device="S", shipped_on="2026-02-10", serial="S2"))
    right = await at.right("S")
    assert (right.warranty_until_day, await at.cover("S", "maintenance")) == ("2031-02-10", (False, "2026-05-10"))
    assert (await at.agreement("S")).serial == "S2"
    before = await at.cover("S", "warranty", as_of=noon("2026-06-07") - 1)
    assert before == (True, "2027-01-10")  # the past stays as it was known
    ahead = await failure(at.answer(orders.CorrectDevice(device="S", delivered_on="2026-06-08")))
    assert list(ahead.fields) == ["order.correct_device.delivered_on"]


@pytest.mark.rule("Q4")
async def test_white_space_makes_no_other_key(master: InProcess) -> None:
    at = await server(master)
    at.on("2026-04-10")
    await at.place(key("anytime", "M-1 2"))
    for again in ("M-12", " M-1\u00a02 ", "M\u20111 2"):
        assert (await at.refuse(key("anytime", again))).problem == Problem.AGREEMENT_PROBLEM_KEY_USED


@pytest.mark.rule("Q5")
async def test_a_feature_is_off_where_the_release_does_not_have_it(
    either_database_url: str, clock: Clock, tmp_path: Path
) -> None:
    """The catalog that comes along names no feature's release; one of one's own does."""
    text = files("master.domain.catalog.vendors").joinpath("allworx.toml").read_text(encoding="utf-8")
    own = tmp_path / "own.toml"
    own.write_text(text.replace('name = "allworx"', 'name = "own"').replace('feature = ""', 'feature = "7.3"'))
    async with in_process_master(either_database_url, clock, catalog_files=(own,)) as master:
        at = await AgreementOrders(master).opened(DELIVERED, catalog="own")
        await at.place(
            orders.RegisterDevice(device="S", product="server", delivered_on=DELIVERED, release="7.1", serial="S1")
        )
        order = orders.AddFeature(device="S", feature="feature", key="F-1")
        old = await at.refuse(order)
        assert old.problem == Problem.AGREEMENT_PROBLEM_SOFTWARE_TOO_OLD
        assert old.remedy == "install 7.3 or later first"
        await at.place(install("7.3"))
        await at.place(order)
        assert list((await at.right("S")).features) == ["feature"]
        await at.place(install("7.2"))
        assert list((await at.right("S")).features) == list((await at.agreement("S")).features) == []
        await at.place(install("7.3"))
        assert list((await at.right("S")).features) == ["feature"]


@pytest.mark.rule("Q4")
async def test_five_years_in_the_first_90_days_afterwards_a_year_at_any_time(master: InProcess) -> None:
    at = await server(master)
    at.on("2026-04-09")
    early = await at.refuse(key("anytime"))
    assert (early.problem, list(early.rules)) == (Problem.AGREEMENT_PROBLEM_OUTSIDE_WINDOW, ["Q4"])
    assert (await at.quote(key("extended_warranty"))).totals[0].amount == "300.00"
    placed = await at.place(key("bundle"))
    assert (placed.totals[0].amount, placed.totals[0].unit) == ("700.00", "USD")
    right = await at.right("S")
    assert (right.warranty_until_day, right.upgrades_until_day) == ("2031-01-10", "2031-01-10")
    await at.place(
        orders.RegisterDevice(device="T", product="server", delivered_on=DELIVERED, release="7.1", serial="serial-T")
    )
    at.on("2026-04-10")
    instead = {"bundle": "order anytime instead", "extended_warranty": "nothing of the kind is sold for it any more"}
    for offer, remedy in instead.items():
        late = await at.refuse(orders.Extend(subjects=device("T"), offer=offer, key="M-2"))
        assert (late.problem, late.remedy) == (Problem.AGREEMENT_PROBLEM_OUTSIDE_WINDOW, remedy)
    await at.place(orders.Extend(subjects=device("T"), offer="anytime", key="M-2"))
    assert await at.cover("T", "maintenance") == (True, "2027-04-10")


@pytest.mark.rule("Q4")
async def test_installed_in_2010_upgraded_in_2013(master: InProcess) -> None:
    """The document's example: skipped years need not be bought."""
    at = await server(master, "7.1", "2010-05-01")
    at.on("2013-09-01")
    assert not (await at.gate("S", "7.4")).allowed
    assert (await at.quote(key("anytime"))).totals[0].amount == "250.00"
    await at.place(key("anytime"))
    assert await at.cover("S", "maintenance") == (True, "2014-09-01")
    assert await at.cover("S", "maintenance", "2012-01-01") == (False, "2010-08-01")
    _, maintenance = (await at.agreement("S")).covers
    terms = [(term.begin_day, term.end_day, term.how) for term in maintenance.terms]
    assert terms == [("2010-05-01", "2010-08-01", "included"), ("2013-09-01", "2014-09-01", "bought")]
    assert (await at.gate("S", "7.4")).allowed


@pytest.mark.rule("Q5")
async def test_a_feature_needs_a_key_of_its_own(master: InProcess) -> None:
    at = await server(master)
    order = orders.AddFeature(device="S", feature="feature", key="F-1")
    without = await at.refuse(orders.AddFeature(device="S", feature="feature", key=""))
    assert (without.problem, list(without.rules)) == (Problem.AGREEMENT_PROBLEM_KEY_MISSING, ["Q5"])
    assert list((await at.right("S")).features) == []  # maintenance brings the software, not the feature
    assert (await at.place(order)).totals[0].amount == "99.00"
    assert list((await at.right("S")).features) == ["feature"]
    assert (await at.refuse(order)).problem == Problem.AGREEMENT_PROBLEM_ALREADY_THERE
    typed = await at.refuse(orders.AddFeature(device="S", feature="featre", key="F-2"))
    assert "did you mean 'feature'" in typed.message


@pytest.mark.rule("Q6")
async def test_phones_follow_the_server(master: InProcess) -> None:
    at = await server(master, "7.4")
    at.on(LAPSED)

    async def firmware(release: str) -> agreement_pb2.CheckUpgradeResponse:
        request = agreement_pb2.CheckUpgradeRequest(server=f"{NAME}/devices/S", to_release=release, phone_firmware=True)
        return await at.agreements.CheckUpgrade(request)

    assert ((await firmware("7.4")).allowed, list((await firmware("7.4")).rules)) == (True, ["Q6"])
    newer = await firmware("7.5")
    assert (newer.allowed, list(newer.path)) == (False, ["bring the server to 7.5", "load the firmware of 7.5"])


@pytest.mark.rule("Q7")
async def test_without_maintenance_it_goes_on_and_single_builds_pass(master: InProcess) -> None:
    at = await server(master)
    at.on("2026-03-01")
    await at.place(orders.PublishRelease(release="7.5", day="2026-03-01"))
    assert (await at.right("S")).newest_release == "7.5"
    at.on(LAPSED)
    right = await at.right("S")
    assert (right.newest_release, dict(right.counts)) == ("7.1", {})
    assert (right.status, right.until_day, right.upgrades_until_day) == (RUNS, "", "")
    assert [dict(ending.stops) for ending in await at.endings(DELIVERED, 100)] == [{}]
    assert not (await at.gate("S", "7.4.1")).allowed
    await at.place(orders.AllowBuild(device="S", release="7.4.1"))
    answer = await at.gate("S", "7.4.1")
    assert (answer.allowed, list(answer.rules)) == (True, ["Q7"])
    assert not (await at.gate("S", "7.4.2")).allowed
    assert not (await at.gate("S", "7.4.1", start="7.0")).allowed  # it is about the key, not about the database
    assert list((await at.place(orders.AllowBuild(device="S", release="7.4.1"))).entries) == []
    await at.place(install("7.4.1"))
