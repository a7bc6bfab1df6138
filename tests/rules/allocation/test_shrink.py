"""Who gives seats up when a pool becomes smaller than what is out: the order, by every way, and as it was planned."""

from __future__ import annotations

from pathlib import Path

import pytest

from licensemaster.v1 import lease_pb2, license_pb2
from licensemaster.values.moments import second_text
from tests.rules.allocation.test_loans import LEND, borrowing
from tests.rules.allocation.test_overdraft import HOUR, overdraft, ports
from tests.support.databases.truth import all_events, mismatches
from tests.support.masters import InProcess, Wire
from tests.support.pbxs.pbx import BarePbx, granted, opened, refused, seat, seats
from tests.support.projects.allocations import Group, Policy, Rule, lay_down
from tests.support.projects.estates import project
from tests.support.projects.plans import plan
from tests.support.projects.plans import release as released
from tests.support.projects.signed_documents import Vendor, bind, enrolled, imported, release

LASTS = 3600
OVERDRAWN = lease_pb2.NOTICE_KIND_POOL_OVERDRAWN
NAMES = ("berlin", "rome", "oslo", "police")
RULES = (
    Group(name="rescue", sites=["site-police"]),
    Rule(name="vital", group="rescue", serves_emergencies=True),
    Rule(name="rome", site="site-rome", priority={"port": -1}),
    Rule(name="oslo", site="site-oslo", priority={"port": 1}),
)


@pytest.fixture
async def lent(any_master: InProcess, tmp_path: Path) -> tuple[InProcess, dict[str, BarePbx]]:
    """Eight ports of which six can leave, and four sites that hold two each."""
    wire = any_master.wire
    sites = dict.fromkeys(NAMES, "slave 12 gateway")
    await wire.apply(project({"PBX-Port12": 2}, pbxs=sites, ttl_seconds=LASTS, grace_seconds=LASTS))
    await imported(wire, Vendor(), {"two": ("PBX-Port12", 2), "four": ("PBX-Port12", 4)}, now=any_master.clock.now)
    await enrolled(wire, tmp_path, "hq-box")
    await bind(wire, "hq-box", "two", "four")
    pbxs = {}
    for name in NAMES:
        pbxs[name] = await opened(wire, name)
        granted(await pbxs[name].acquire(*seats("port", 2, name)))
        any_master.clock.advance(1)
    return any_master, pbxs


async def told(pbxs: dict[str, BarePbx]) -> dict[str, int]:
    """How many seats each PBX was told to give back."""
    counts = {}
    for name, pbx in pbxs.items():
        notices = (await pbx.renew()).notices
        revoked = [notice for notice in notices if notice.kind == lease_pb2.NOTICE_KIND_SEATS_REVOKED]
        counts[name] = sum(len(notice.seats) for notice in revoked)
    return counts


async def losing(wire: Wire, *licenses: str) -> dict[str, int]:
    """What a plan says each PBX would lose."""
    return {
        group.pbx.rpartition("/")[2]: group.leaving
        for group in (await plan(wire, released(*licenses))).refused
        if group.leaving
    }


@pytest.mark.rule("L5")
async def test_low_priority_goes_before_high_and_emergencies_last(
    lent: tuple[InProcess, dict[str, BarePbx]],
) -> None:
    master, pbxs = lent
    await lay_down(master.wire, *RULES)
    assert await losing(master.wire, "two") == {"rome": 2}
    assert await losing(master.wire, "two", "four") == {"rome": 2, "berlin": 2, "oslo": 2}
    for license, gone in (("two", {"rome": 2}), ("four", {"rome": 2, "berlin": 2, "oslo": 2})):
        (result,) = await release(master.wire, license, in_use=license_pb2.IN_USE_REVOKE)
        assert result.seats_revoked == sum(gone.values()) - (2 if license == "four" else 0)
        assert await told(pbxs) == dict.fromkeys(NAMES, 0) | gone


@pytest.mark.rule("L5")
async def test_without_rules_the_newest_go(lent: tuple[InProcess, dict[str, BarePbx]]) -> None:
    master, pbxs = lent
    assert await losing(master.wire, "two") == {"police": 2}
    await release(master.wire, "two", in_use=license_pb2.IN_USE_REVOKE)
    assert await told(pbxs) == dict.fromkeys(NAMES, 0) | {"police": 2}


@pytest.mark.rule("L5")
async def test_what_was_borrowed_stays(lent: tuple[InProcess, dict[str, BarePbx]], database_url: str) -> None:
    """Taking a seat that a loan covers would free nothing: it stays counted until the loan's day."""
    master, pbxs = lent
    await lay_down(master.wire, Rule(name="rome", site="site-rome", priority={"port": -1}), LEND)
    await master.wire.loans.BorrowSeats(borrowing(master, "rome", 1, days=2))
    assert await losing(master.wire, "two") == {"rome": 1, "police": 1}
    await release(master.wire, "two", in_use=license_pb2.IN_USE_REVOKE)
    assert await told(pbxs) == dict.fromkeys(NAMES, 0) | {"rome": 1, "police": 1}
    for name in ("rome", "police"):
        (notice,) = [note for note in (await pbxs[name].renew()).notices if note.seats]
        await pbxs[name].give_back(*notice.seats)
    assert (await ports(master.wire)).used == 6
    assert await mismatches(database_url) == []


@pytest.mark.rule("L5")
async def test_what_is_kept_for_a_return_goes_before_what_is_used(
    lent: tuple[InProcess, dict[str, BarePbx]], database_url: str
) -> None:
    master, pbxs = lent
    await lay_down(master.wire, *RULES, Policy(license_type="port", first_claim_seconds=86_400))
    rest = {name: pbx for name, pbx in pbxs.items() if name != "oslo"}
    for _ in range(5):
        master.clock.advance(LASTS / 2)
        for pbx in rest.values():
            await pbx.renew()
    await master.running.expiry.run_once()
    assert (await ports(master.wire)).used == 6, "Oslo's lease ran out, and its two seats are kept for it"
    await release(master.wire, "two", in_use=license_pb2.IN_USE_REVOKE)
    assert await told(rest) == dict.fromkeys(rest, 0)
    assert [event.pbx for event in await all_events(master.wire, "claims.ended")] == [pbxs["oslo"].name]
    assert await mismatches(database_url) == []


async def test_what_is_overdrawn_is_taken_back_when_its_budget_is_spent(
    lent: tuple[InProcess, dict[str, BarePbx]], database_url: str
) -> None:
    master, pbxs = lent
    await lay_down(master.wire, *RULES, overdraft(2, 4, 24))
    granted(await pbxs["police"].acquire(*seats("port", 2, "more")))
    await master.running.licenses.shrink_pools()
    assert await told(pbxs) == dict.fromkeys(NAMES, 0), "there is a budget yet"
    until = second_text(master.clock.now + 2 * HOUR)
    for pbx in pbxs.values():
        heard = [notice.message for notice in (await pbx.renew()).notices if notice.kind == OVERDRAWN]
        assert heard == [
            "2 PBX-Port seats above what is installed: unless as many are returned or licensed by"
            f" {until}, seats are taken away then"
        ]
    for _ in range(12):
        master.clock.advance(HOUR / 6)
        assert sum((await told(pbxs)).values()) == 0
    assert (await ports(master.wire)).overdraft.budget_left_seat_hours == 0
    assert await master.running.licenses.shrink_pools() == 2
    assert await told(pbxs) == dict.fromkeys(NAMES, 0) | {"rome": 2}, "not those who asked last, but by the order"
    assert await master.running.licenses.shrink_pools() == 0, "once is enough"
    assert refused(await pbxs["oslo"].acquire(seat("port", "late")))
    await pbxs["rome"].give_back(*seats("port", 2, "rome"))
    pool = await ports(master.wire)
    assert (pool.used, pool.overdraft.seats) == (8, 0)
    assert OVERDRAWN not in [notice.kind for notice in (await pbxs["rome"].renew()).notices]
    assert [event.kind for event in await all_events(master.wire, "pool.overdraft_spent")] == ["pool.overdraft_spent"]
    assert await mismatches(database_url) == []


async def test_what_is_overdrawn_is_taken_back_when_nothing_allows_it_any_more(
    lent: tuple[InProcess, dict[str, BarePbx]],
) -> None:
    master, pbxs = lent
    await lay_down(master.wire, overdraft(2, 4, 24))
    granted(await pbxs["police"].acquire(*seats("port", 2, "more")))
    await lay_down(master.wire)
    refusal = refused(await pbxs["oslo"].acquire(seat("port", "late")))[0]
    assert "2 above them still, which no overdraft allows any more" in refusal.message
    assert await master.running.licenses.shrink_pools() == 2
    assert (await told(pbxs))["police"] == 2
