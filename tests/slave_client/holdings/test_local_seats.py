"""Local seats never use a seat that the master does not count for this site, whatever happens in whatever order."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from slave_client import Basis, Granted, HolderKind, Reason, Refused, Source, Want
from slave_client.holdings.local_seats import LocalSeats

CAPACITY = 4


def _want(holder: str, license_type: str = "port", version: str = "") -> Want:
    return Want(license_type, HolderKind.USER, holder, application_version=version)


def _grant(want: Want, *, basis: Basis = Basis.DEBITED, reassignable: bool = True) -> Granted:
    return Granted(want=want, basis=basis, device="vm-1", reassignable=reassignable)


def _local_seats(*grants: Granted) -> LocalSeats:
    local_seats = LocalSeats()
    for grant in grants:
        local_seats.granted(grant)
    return local_seats


def test_a_seat_that_was_granted_is_held() -> None:
    local_seats = _local_seats(_grant(_want("alice")))
    again = local_seats.already(_want("alice"))
    assert again is not None
    assert (again.already_held, again.source) == (True, Source.LOCAL)
    assert local_seats.holder_has_seat("alice")
    assert local_seats.holder_has_seat("alice", "port")
    assert not local_seats.holder_has_seat("alice", "uc")
    assert not local_seats.holder_has_seat("bob")


def test_a_seat_that_is_wanted_differently_is_asked_for_again() -> None:
    local_seats = _local_seats(_grant(_want("alice")))
    assert local_seats.already(_want("alice", version="13")) is None


def test_what_is_taken_away_goes_by_the_name_that_the_master_counts_it_under() -> None:
    local_seats = _local_seats(*(_grant(_want(holder)) for holder in ("alice", "bob", "carol")))
    local_seats.return_offline(_want("alice"))
    assert local_seats.acquire_offline(_want("dave")) is not None
    local_seats.return_offline(_want("bob"))
    lost = local_seats.taken_away({_want("alice").key, _want("bob").key})
    assert [held.want for held in lost] == [_want("dave")]
    assert [held.want for held in local_seats.held] == [_want("carol")]
    assert local_seats.idle == ()
    assert local_seats.acquire_offline(_want("bob")) is None
    assert {want.holder for want in local_seats.surplus([])} == {"alice", "bob", "carol"}  # the master counts them yet
    assert local_seats.wanted() == (_want("carol"),)


def test_what_is_taken_away_and_not_there_changes_nothing() -> None:
    local_seats = _local_seats(_grant(_want("alice")), _grant(_want("alice", "fax")), _grant(_want("bob")))
    assert local_seats.taken_away({_want("alice", "uc").key}) == ()
    assert not local_seats.needs_reconciling
    assert set(local_seats.beside({_want("alice", "uc").key})) == {_want("alice"), _want("alice", "fax")}


def test_a_license_that_is_not_needed_is_asked_about_each_time() -> None:
    local_seats = _local_seats(_grant(_want("group"), basis=Basis.NOT_NEEDED))
    assert local_seats.already(_want("group")) is None


def test_offline_an_idle_floating_seat_is_passed_on_once() -> None:
    local_seats = _local_seats(_grant(_want("alice")))
    assert local_seats.acquire_offline(_want("bob")) is None
    assert local_seats.return_offline(_want("alice"))
    granted = local_seats.acquire_offline(_want("bob"))
    assert granted is not None
    assert granted.source is Source.LOCAL
    assert local_seats.acquire_offline(_want("carol")) is None
    assert local_seats.acquire_offline(_want("alice")) is None
    assert local_seats.needs_reconciling


def test_offline_a_passed_on_seat_can_come_back() -> None:
    local_seats = _local_seats(_grant(_want("alice")))
    for holder in ("bob", "carol", "alice"):
        local_seats.return_offline(local_seats.held[0].want)
        assert local_seats.acquire_offline(_want(holder)) is not None
    assert not local_seats.held[0].passed_on
    assert not local_seats.needs_reconciling


def test_offline_a_fixed_seat_goes_back_to_its_own_holder_only() -> None:
    local_seats = _local_seats(_grant(_want("alice", "uc"), reassignable=False))
    local_seats.return_offline(_want("alice", "uc"))
    assert local_seats.acquire_offline(_want("bob", "uc")) is None
    assert local_seats.acquire_offline(_want("alice", "uc")) is not None


def test_offline_an_included_seat_is_not_passed_on() -> None:
    local_seats = _local_seats(_grant(_want("alice", "mypbx"), basis=Basis.INCLUDED))
    local_seats.return_offline(_want("alice", "mypbx"))
    assert local_seats.acquire_offline(_want("bob", "mypbx")) is None


def test_offline_a_seat_is_not_passed_on_to_what_the_master_did_not_check() -> None:
    local_seats = _local_seats(_grant(_want("desk-1", "operator", "12")))
    local_seats.return_offline(_want("desk-1", "operator", "12"))
    assert local_seats.acquire_offline(_want("desk-2", "operator", "13")) is None
    assert local_seats.acquire_offline(Want("operator", HolderKind.LOGIN, "desk-2", application_version="12")) is None
    assert local_seats.acquire_offline(_want("desk-2", "port", "12")) is None
    assert local_seats.acquire_offline(_want("desk-2", "operator", "12")) is not None


def test_a_seat_that_was_given_up_is_no_offline_right() -> None:
    local_seats = _local_seats(_grant(_want("alice")))
    assert local_seats.give_up(_want("alice")) is not None  # asked of the master; the answer is lost
    assert local_seats.acquire_offline(_want("alice")) is None
    assert local_seats.acquire_offline(_want("bob")) is None
    assert local_seats.needs_reconciling


def test_a_return_that_is_refused_leaves_the_seat() -> None:
    local_seats = _local_seats(_grant(_want("alice", "mypbx"), reassignable=False))
    held = local_seats.give_up(_want("alice", "mypbx"))
    assert held is not None
    local_seats.stays(held)
    assert local_seats.holds(_want("alice", "mypbx").key)
    assert not local_seats.needs_reconciling


def test_an_acquire_whose_answer_was_lost_is_settled_later() -> None:
    local_seats = _local_seats()
    local_seats.asked_in_vain([_want("alice")])
    assert not local_seats.holds(_want("alice").key)
    assert local_seats.needs_reconciling
    assert local_seats.wanted() == ()


def test_settling_gives_up_first_what_the_answer_may_take_away() -> None:
    local_seats = _local_seats(_grant(_want("alice")), _grant(_want("bob")), _grant(_want("carol")))
    local_seats.return_offline(_want("alice"))
    local_seats.acquire_offline(_want("dave"))
    local_seats.return_offline(_want("bob"))
    reconciliation = local_seats.begin_reconciling([_want("carol"), _want("dave")])
    assert [held.want.holder for held in local_seats.held] == ["carol"]
    assert local_seats.idle == ()
    assert [held.want.holder for held in reconciliation.in_doubt] == ["dave"]
    refused = Refused(want=_want("dave"), reason=Reason.VERSION_LIMIT, message="too new")
    settled = local_seats.reconciled(reconciliation, [_grant(_want("carol")), refused])
    assert settled.refused == (refused,)
    assert [held.want.holder for held in local_seats.held] == ["carol"]
    assert not local_seats.needs_reconciling


def test_settling_confirms_a_seat_that_was_passed_on() -> None:
    local_seats = _local_seats(_grant(_want("alice")))
    local_seats.return_offline(_want("alice"))
    local_seats.acquire_offline(_want("bob"))
    reconciliation = local_seats.begin_reconciling(local_seats.wanted())
    settled = local_seats.reconciled(reconciliation, [_grant(_want("bob"))])
    assert settled.gained == ()
    assert not local_seats.held[0].passed_on


def test_a_seat_that_had_to_stay_is_held_again() -> None:
    local_seats = _local_seats(_grant(_want("alice", "mypbx")))
    reconciliation = local_seats.begin_reconciling([])
    assert reconciliation.dropped == (_want("alice", "mypbx"),)
    local_seats.reconciled(reconciliation, [], kept=[_grant(_want("alice", "mypbx"))])
    assert local_seats.holds(_want("alice", "mypbx").key)


def test_lost_seats_stay_wanted_until_they_are_returned() -> None:
    local_seats = _local_seats(_grant(_want("alice")), _grant(_want("bob")))
    assert local_seats.lose_all() == (_want("alice"), _want("bob"))
    assert local_seats.held == ()
    local_seats.return_offline(_want("alice"))
    assert local_seats.wanted() == (_want("bob"),)
    local_seats.forget_all()
    assert local_seats.wanted() == ()
    assert not local_seats.needs_reconciling


def test_a_seat_that_was_missed_and_is_used_again_offline_is_wanted_once() -> None:
    local_seats = _local_seats(_grant(_want("alice")), _grant(_want("bob")))
    local_seats.return_offline(_want("alice"))
    local_seats.begin_reconciling([_want("bob"), _want("carol")])  # unanswered
    local_seats.return_offline(_want("bob"))
    assert local_seats.acquire_offline(_want("carol")) is not None
    assert local_seats.wanted() == (_want("carol"),)
    assert local_seats.begin_reconciling(local_seats.wanted()).wants == (_want("carol"),)


class SiteAndMaster(RuleBasedStateMachine):
    """A site's local seats against what one master counts for it, with answers that get lost on the way.

    `counted` is the reference model: the holders for whom the master debits a seat of this site.
    """

    def __init__(self) -> None:
        super().__init__()
        self.local_seats = LocalSeats()
        self.counted: set[str] = set()
        self.offline = False

    holders = st.sampled_from(["a", "b", "c", "d", "e", "f"])
    answers = st.booleans()

    def master_acquires(self, holder: str) -> Granted | Refused:
        if holder not in self.counted and len(self.counted) >= CAPACITY:
            return Refused(want=_want(holder), reason=Reason.POOL_EXHAUSTED, message="full")
        self.counted.add(holder)
        return _grant(_want(holder))

    @precondition(lambda self: not self.offline)
    @rule(holder=holders, answered=answers)
    def acquire(self, holder: str, answered: bool) -> None:
        outcome = self.master_acquires(holder)
        if not answered:
            self.local_seats.asked_in_vain([_want(holder)])
            self.offline = True
        elif isinstance(outcome, Granted):
            self.local_seats.granted(outcome)

    @precondition(lambda self: not self.offline)
    @rule(holder=holders, arrived=answers, answered=answers)
    def give_back(self, holder: str, arrived: bool, answered: bool) -> None:
        self.local_seats.give_up(_want(holder))
        if arrived or answered:
            self.counted.discard(holder)
        if answered:
            self.local_seats.taken_back(_want(holder))
        else:
            self.offline = True

    @precondition(lambda self: not self.offline)
    @rule()
    def line_breaks(self) -> None:
        self.offline = True

    @precondition(lambda self: self.offline)
    @rule(holder=holders)
    def acquire_offline(self, holder: str) -> None:
        before = self.local_seats.holds(_want(holder).key)
        granted = self.local_seats.acquire_offline(_want(holder))
        assert granted is not None or not before
        assert self.local_seats.holds(_want(holder).key) is (granted is not None)

    @precondition(lambda self: self.offline)
    @rule(holder=holders)
    def return_offline(self, holder: str) -> None:
        self.local_seats.return_offline(_want(holder))
        assert not self.local_seats.holds(_want(holder).key)

    @precondition(lambda self: self.offline)
    @rule(wanted=st.sets(holders))
    def sync_offline(self, wanted: set[str]) -> None:
        for held in self.local_seats.held:
            if held.want.holder not in wanted:
                self.local_seats.return_offline(held.want)
        for holder in sorted(wanted):
            self.local_seats.acquire_offline(_want(holder))
        self.local_seats.still_wanted([_want(holder) for holder in sorted(wanted)])
        assert {want.holder for want in self.local_seats.wanted()} == wanted

    @precondition(lambda self: self.offline)
    @rule(limited=st.booleans(), arrived=answers, answered=answers)
    def line_is_back(self, limited: bool, arrived: bool, answered: bool) -> None:
        reconciliation = self.local_seats.begin_reconciling(self.local_seats.wanted())
        self.check()
        if not arrived and not answered:
            return
        wanted = {want.holder for want in reconciliation.wants}
        had = set(self.counted)
        self.counted &= wanted
        outcomes = [
            Refused(want=want, reason=Reason.VERSION_LIMIT, message="limited")
            if limited and want.holder not in had
            else self.master_acquires(want.holder)
            for want in reconciliation.wants
        ]
        if answered:
            self.local_seats.reconciled(reconciliation, outcomes)
            self.offline = False
            assert {held.want.holder for held in self.local_seats.held} == self.counted
            assert not self.local_seats.needs_reconciling

    @rule()
    def restart(self) -> None:
        held, idle = self.local_seats.held, self.local_seats.idle
        self.local_seats = LocalSeats()
        self.local_seats.restore(held=held, idle=idle)
        self.offline = True

    @rule()
    def expire(self) -> None:
        self.counted.clear()
        self.local_seats.lose_all()
        self.offline = True

    @invariant()
    def check(self) -> None:
        """Each seat in use points at its own seat among those that the master counts, and is wanted once."""
        wanted = [want.key for want in self.local_seats.wanted()]
        assert len(set(wanted)) == len(wanted)
        counted_as = [held.counted_as.holder for held in (*self.local_seats.held, *self.local_seats.idle)]
        assert len(set(counted_as)) == len(counted_as)
        assert set(counted_as) <= self.counted
        assert len(self.local_seats.held) <= len(self.counted) <= CAPACITY


SiteAndMaster.TestCase.settings = settings(max_examples=150, stateful_step_count=40)
TestSiteAndMaster = SiteAndMaster.TestCase
