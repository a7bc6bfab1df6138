"""Proves a takeover on a copy of a live pair: the very code that would do it, as it stands at this moment.

Takes over, shows that the primary's own epoch is fenced, renews, synchronises the very same seats, hands back and
compares. What it leaves is an event that says that it was done, by whom and with what result, and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from licensemaster.api_enums import StandbyProblemKind
from master.domain.estate.estate import Estate
from master.domain.estate.lease_time import LeaseTime
from master.domain.leases.leases import LeaseError, LeaseProblem
from master.domain.leases.standby import Readiness, primary_of
from master.domain.seats.refusals.reasons import Refusal
from master.domain.seats.seats import Seat
from master.service.batch.answers import LeaseGranted, TakeOverRefused
from master.service.batch.batch import CONCERNS_ONE, answer_to
from master.service.batch.claims.standby_pairs import read_standby_pair
from master.service.batch.requests import Answer, OpenLease, RenewLease, Request, SyncSeats, TakeOverLease
from master.service.estates.estate_cache import EstateCache
from master.service.runtime.names import PbxName
from master.store.backends.database import Tx, json_text
from master.store.statements import queries
from master.store.statements.events import Event
from master.store.statements.seats import seats_of_pbxs
from master.values import Value, field


class NoPairError(LookupError):
    """A PBX that is nobody's standby cannot be drilled."""

    def __init__(self, name: PbxName) -> None:
        super().__init__(f"{name} is the standby of no PBX; `license-master standby check` lists the pairs")


class DrillStep(Value):
    name: str
    passed: bool
    message: str


class DrillReport(Value):
    pair: Readiness
    steps: tuple[DrillStep, ...]
    project_id: int

    @property
    def passed(self) -> bool:
        """Whether every step went as expected."""
        return all(step.passed for step in self.steps)


class _Failed(Exception):
    """A step did not go as expected; nothing more is tried."""


def drill(tx: Tx, estates: EstateCache, name: PbxName, *, caller: str, time: LeaseTime) -> DrillReport:
    """Take over, synchronise and hand back on a copy; return the report of each step.
    Raises UnknownPbxError if there is no such PBX, NoPairError if the PBX is nobody's standby."""
    eligibilities, standby = estates.find(tx, name)
    primary = primary_of(eligibilities.estate, standby)
    if primary is None:
        raise NoPairError(name)
    pair = read_standby_pair(tx, eligibilities.estate, standby, time)
    assert pair is not None

    drilled = _Drill(tx, estates, time, eligibilities.estate, pair, caller)
    try:
        drilled.all()
    except _Failed as failure:
        drilled.steps.append(DrillStep(drilled.doing, False, str(failure)))
    return DrillReport(pair, tuple(drilled.steps), eligibilities.estate.project_id)


def drilled_event(report: DrillReport, *, caller: str, now: float) -> Event:
    details = {
        "standby": report.pair.standby.name,
        "primary": report.pair.primary.name,
        "passed": report.passed,
        "steps": {step.name: step.message for step in report.steps},
    }
    pbx = report.pair.standby.name
    return Event(now, report.project_id, pbx, "standby.drilled", caller, None, json_text(details))


class _Drill(Struct):
    """The steps of a drill, in order."""

    tx: Tx
    estates: EstateCache
    time: LeaseTime
    estate: Estate
    pair: Readiness
    caller: str
    doing: str = ""
    steps: list[DrillStep] = field(default_factory=list)

    @property
    def _standby(self) -> PbxName:
        return PbxName(self.estate.name, self.pair.standby.name)

    @property
    def _primary(self) -> PbxName:
        return PbxName(self.estate.name, self.pair.primary.name)

    def all(self) -> None:
        """Carry out every step; raise _Failed at the first step that goes wrong."""
        before = self._seats(), queries.pools_used(self.tx, self.estate.project_id)
        self.doing = "check"
        blocking = [problem.message for problem in self.pair.problems if problem.kind.blocking]
        if blocking or self.pair.carrying:
            raise _Failed("; ".join(blocking) or f"{self._standby.pbx} carries the seats already")
        self._done("the pair is ready")
        self.doing = "standby lease"
        self._done(self._coverage())
        self.doing = "take over"
        epoch = self._take_over(before[0])
        self.doing = "fence"
        self._fence()
        self.doing = "renew"
        renewal = RenewLease(pbx=self._primary, caller=self.caller, proven=self._standby, epoch=epoch)
        self._answer_to(renewal, or_told="the lease taken over could not be renewed")
        self._done(f"epoch {epoch} is renewed by {self._standby.pbx}")
        self.doing = "reconcile"
        self._synchronise(epoch, before[0])
        self.doing = "return"
        returned = self._open_primary()
        self._done(f"{self._primary.pbx} has its lease back under epoch {returned.lease.epoch}")
        self.doing = "compare"
        if (self._seats(), queries.pools_used(self.tx, self.estate.project_id)) != before:
            raise _Failed("seats or pools are not what they were")
        self._done(f"the {len(before[0])} seats and every pool are what they were; all of it is thrown away")

    def _answer_to(self, request: Request[Answer], *, or_told: str) -> Answer:
        try:
            return answer_to(self.tx, self.estates, self.time, request)
        except CONCERNS_ONE as error:
            raise _Failed(f"{or_told}: {error}") from error

    def _done(self, message: str) -> None:
        self.steps.append(DrillStep(self.doing, True, message))

    def _seats(self) -> list[Seat]:
        return sorted(seats_of_pbxs(self.tx, [self.pair.primary.id]), key=lambda seat: seat.key)

    def _coverage(self) -> str:
        state = self.pair.state
        held, covered = sum(state.held.values()), sum(state.covered.values())
        if any(problem.kind is StandbyProblemKind.STANDBY_LEASE_OLD for problem in self.pair.problems):
            return f"covers {covered} of {held} seats; the next renewals of {self._standby.pbx} bring a newer one"
        if not held:
            return f"{self._primary.pbx} holds nothing that would need one"
        assert state.record is not None
        return f"serial {state.record.acknowledged_serial} is on the standby's disk and covers all {held} seats"

    def _take_over(self, seats: Sequence[Seat]) -> int:
        own = self.pair.state.standby_lease
        assert own is not None
        taken = self._answer_to(
            TakeOverLease(
                pbx=self._primary,
                caller=self.caller,
                standby=self._standby,
                standby_epoch=own.epoch,
                instance_id=own.instance_id,
                request_id="drill: take over",
                software=own.software,
                reason="drill",
                force=True,
            ),
            or_told="the seats could not be taken over",
        )
        if isinstance(taken, TakeOverRefused):
            raise _Failed("; ".join(problem.message for problem in taken.problems))
        debited = sum(seat.pool_id is not None for seat in seats)
        if sum(taken.holdings.values()) != debited:
            raise _Failed(f"{sum(taken.holdings.values())} of {debited} seats would be carried")
        self._done(f"{self._standby.pbx} carries {debited} seats under epoch {taken.lease.epoch}, none of them new")
        return taken.lease.epoch

    def _fence(self) -> None:
        lease = self.pair.state.primary_lease
        assert lease is not None
        renewal = RenewLease(pbx=self._primary, caller=self.caller, proven=self._primary, epoch=lease.epoch)
        try:
            answer_to(self.tx, self.estates, self.time, renewal)
        except LeaseError as error:
            fenced = error.problem is LeaseProblem.LEASE_CARRIED
        else:
            fenced = False
        if not fenced:
            raise _Failed(f"{self._primary.pbx} could still use its own epoch {lease.epoch}")
        self._done(f"epoch {lease.epoch} of {self._primary.pbx} is fenced, and told who carries its seats")

    def _synchronise(self, epoch: int, seats: Sequence[Seat]) -> None:
        wants = [seat.want for seat in seats if not seat.is_companion]
        syncing = SyncSeats(pbx=self._primary, caller=self.caller, proven=self._standby, epoch=epoch, wants=wants)
        synced = self._answer_to(syncing, or_told="the seats could not be synchronised")
        new = sum(not isinstance(outcome, Refusal) and not outcome.already_held for outcome in synced.outcomes)
        refused = sum(isinstance(outcome, Refusal) for outcome in synced.outcomes)
        if refused or new or synced.seats_returned:
            raise _Failed(f"{refused} seats refused, {new} new, {synced.seats_returned} returned; all must be 0")
        self._done(f"all {len(wants)} seats are held already; none is new, none returned")

    def _open_primary(self) -> LeaseGranted:
        lease = self.pair.state.primary_lease
        assert lease is not None
        return self._answer_to(
            OpenLease(
                pbx=self._primary,
                caller=self.caller,
                instance_id=lease.instance_id,
                request_id="drill: return",
                software=lease.software,
            ),
            or_told=f"{self._primary.pbx} could not take its seats back",
        )
