"""The arithmetic of leases: open, renew, end, fence, tell a copy from a restart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from master.domain.catalog.versions import Version
from master.domain.catalog.words import LeaseState
from master.domain.estate.estate import LeasePace
from master.domain.estate.lease_time import LeaseTime
from master.domain.leases.leases import (
    CLONE_TAKEOVERS,
    CLONE_WINDOW_SECONDS,
    Lease,
    LeaseError,
    LeaseProblem,
    Opening,
    Phase,
    ended,
    is_reclaimable,
    opened,
    renewed,
    running,
)

PACE = LeasePace(ttl_seconds=60, grace_seconds=600, renew_every_seconds=20)
NOW = 1000.0


def opening(
    before: Lease | None = None,
    *,
    now: float = NOW,
    instance: str = "one",
    request: str = "first",
    pace: LeasePace = PACE,
    software: str = "12",
) -> Lease:
    made = Opening(
        pbx_id=7,
        instance_id=instance,
        request_id=request,
        software=Version.parse(software),
        pace=pace,
        first_epoch=1,
    )
    return opened(before, made, LeaseTime.at(now))


def test_the_first_lease() -> None:
    lease = opening()
    assert (lease.epoch, lease.phase, lease.ends_at) == (1, Phase.OPEN, NOW + 660)
    assert (lease.opened_at, lease.renewed_at, lease.takeovers) == (NOW, NOW, 0)


@pytest.mark.parametrize(
    ("after", "state"),
    [
        (0, LeaseState.ACTIVE),
        (60, LeaseState.ACTIVE),
        (60.1, LeaseState.OVERDUE),
        (660, LeaseState.OVERDUE),
        (660.1, LeaseState.EXPIRED),
    ],
)
def test_how_it_stands(after: float, state: LeaseState) -> None:
    assert opening().state(LeaseTime.at(NOW + after)) is state


def test_how_an_ended_one_stands() -> None:
    assert ended(opening(), Phase.CLOSED).state(LeaseTime.at(NOW)) is LeaseState.CLOSED
    assert ended(opening(), Phase.EXPIRED).state(LeaseTime.at(NOW)) is LeaseState.EXPIRED


def test_renewing_extends() -> None:
    lease = renewed(opening(), pace=PACE, now=NOW + 50)
    assert (lease.epoch, lease.opened_at, lease.renewed_at, lease.ends_at) == (1, NOW, NOW + 50, NOW + 710)


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.integers(5, 86_400), st.integers(0, 2_592_000)), max_size=8))
def test_a_promise_never_shortens(renewals: list[tuple[float, int, int]]) -> None:
    """Neither by shorter settings nor by a clock set back."""
    lease = opening()
    for now, ttl, grace in renewals:
        pace = LeasePace(ttl, grace, 1)
        for after in (renewed(lease, pace=pace, now=now), opening(lease, request="another", pace=pace, now=now)):
            assert after.ends_at >= lease.ends_at
            assert after.ends_at >= now + ttl + grace
        assert renewed(lease, pace=pace, now=now).renewed_at >= lease.renewed_at
        lease = renewed(lease, pace=pace, now=now)


def test_opening_again_fences() -> None:
    first = opening()
    second = opening(first, request="second", now=NOW + 5, software="13")
    assert (second.epoch, second.software, second.opened_at) == (2, Version(13), NOW + 5)
    assert running(second, pbx="berlin", epoch=2, time=LeaseTime.at(NOW + 5)) is second
    with pytest.raises(LeaseError) as refused:
        running(second, pbx="berlin", epoch=1, time=LeaseTime.at(NOW + 5))
    assert refused.value.problem is LeaseProblem.LEASE_FENCED
    assert str(refused.value).startswith("berlin, epoch 1: another lease was opened")


def test_a_retry_of_the_opening_changes_nothing_but_the_end() -> None:
    first = opening()
    again = opening(first, now=NOW + 5)
    assert (again.epoch, again.opened_at, again.ends_at) == (1, NOW, NOW + 665)
    assert opening(ended(first, Phase.CLOSED)).epoch == 2  # what is over does not come back
    assert opening(ended(first, Phase.EXPIRED)).epoch == 2


def test_a_new_lease_after_the_end_promises_only_its_own() -> None:
    long = opening(pace=LeasePace(60, 100_000, 20))
    short = LeasePace(60, 0, 20)
    assert opening(long, request="2", pace=short).ends_at == long.ends_at  # still promised
    for phase in (Phase.CLOSED, Phase.EXPIRED):
        assert opening(ended(long, phase), request="2", pace=short).ends_at == NOW + 60


@pytest.mark.parametrize(
    ("lease", "epoch", "now", "problem"),
    [
        (None, 1, NOW, LeaseProblem.LEASE_NOT_OPEN),
        (opening(), 2, NOW, LeaseProblem.LEASE_NOT_OPEN),
        (opening(), 0, NOW, LeaseProblem.LEASE_FENCED),
        (ended(opening(), Phase.CLOSED), 1, NOW, LeaseProblem.LEASE_CLOSED),
        (ended(opening(), Phase.EXPIRED), 1, NOW, LeaseProblem.LEASE_EXPIRED),
        (opening(), 1, NOW + 660.1, LeaseProblem.LEASE_EXPIRED),
    ],
)
def test_what_is_not_served(lease: Lease | None, epoch: int, now: float, problem: LeaseProblem) -> None:
    with pytest.raises(LeaseError) as refused:
        running(lease, pbx="berlin", epoch=epoch, time=LeaseTime.at(now))
    assert refused.value.problem is problem


def test_an_overdue_one_is_served_until_its_end() -> None:
    assert running(opening(), pbx="berlin", epoch=1, time=LeaseTime.at(NOW + 660)).epoch == 1


@pytest.mark.parametrize(("after", "reclaimable"), [(0, False), (660, False), (662, False), (662.1, True)])
def test_seats_come_back_only_after_end_and_allowance(after: float, reclaimable: bool) -> None:
    assert is_reclaimable(opening(), LeaseTime.at(NOW + after, clock_allowance_seconds=2)) is reclaimable


def test_a_clock_that_was_set_forward_ends_none_early() -> None:
    stepped = LeaseTime.at(NOW + 3600, stepped_seconds=3600, clock_allowance_seconds=2)
    assert opening().state(stepped) is LeaseState.OVERDUE, "it is not heard of, by the clock that is right now"
    assert running(opening(), pbx="berlin", epoch=1, time=stepped).epoch == 1
    assert not is_reclaimable(opening(), stepped)
    over = LeaseTime.at(NOW + 3600 + 661, stepped_seconds=3600, clock_allowance_seconds=2)
    assert opening().state(over) is LeaseState.EXPIRED
    assert not is_reclaimable(opening(), over)
    assert is_reclaimable(opening(), LeaseTime.at(NOW + 3600 + 663, stepped_seconds=3600, clock_allowance_seconds=2))


def test_an_expired_one_is_reclaimable_and_a_closed_one_is_done() -> None:
    assert is_reclaimable(ended(opening(), Phase.EXPIRED), LeaseTime.at(NOW, clock_allowance_seconds=2))
    assert not is_reclaimable(ended(opening(), Phase.CLOSED), LeaseTime.at(NOW + 1e6, clock_allowance_seconds=2))


def flapping(times: int, *, instances: tuple[str, ...], every: float) -> Lease:
    lease = opening()
    for number in range(1, times + 1):
        instance = instances[number % len(instances)]
        lease = opening(lease, instance=instance, request=f"r{number}", now=NOW + number * every)
    return lease


def test_restarts_of_one_installation_are_no_copy() -> None:
    lease = flapping(20, instances=("one",), every=5)
    assert (lease.epoch, lease.takeovers) == (21, 0)
    assert not lease.suspected_clone(NOW + 100)


def test_installations_that_take_a_lease_from_each_other_are_suspected() -> None:
    assert not flapping(CLONE_TAKEOVERS - 1, instances=("one", "two"), every=5).suspected_clone(NOW + 50)
    lease = flapping(CLONE_TAKEOVERS, instances=("one", "two"), every=5)
    assert lease.suspected_clone(NOW + 50)
    assert renewed(lease, pace=PACE, now=NOW + 60).suspected_clone(NOW + 60)
    assert not lease.suspected_clone(lease.takeovers_since + CLONE_WINDOW_SECONDS + 1)


def test_slow_replacements_are_no_copy() -> None:
    assert not flapping(10, instances=("one", "two"), every=CLONE_WINDOW_SECONDS / 2).suspected_clone(NOW + 5 * 600)


def test_taking_the_place_of_an_ended_lease_is_no_takeover() -> None:
    for before in (ended(opening(), Phase.CLOSED), ended(opening(), Phase.EXPIRED)):
        assert opening(before, instance="two", request="2").takeovers == 0
    assert opening(opening(), instance="two", request="2", now=NOW + 10_000).takeovers == 0
    assert opening(opening(), instance="two", request="2", now=NOW + 300).takeovers == 1  # overdue, still promised
