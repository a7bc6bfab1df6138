"""The words of refusals by an operator's allocation rules, as `explanations.py` has them for all others.

In the order of the reasons. Each names the rule that forbids the seat, so that whoever is refused can ask for another.
"""

from __future__ import annotations

from licensemaster.api_enums import HolderKind
from licensemaster.values.moments import second_text
from master.domain.allocation.overdraft import Overdraft
from master.domain.allocation.policies import AllocationRule
from master.domain.allocation.pool_division import PoolDivision
from master.domain.catalog.catalog import LicenseType
from master.domain.estate.estate import Pbx
from master.domain.seats.eligibility import Source
from master.domain.seats.refusals.reasons import Refusal, RefusalReason, counted
from master.domain.seats.seat_working_set import PoolScore
from master.domain.seats.waiting_queue import WaitingQueue
from master.values import Value, replace


class Drawn(Value):
    """The pool that a seat was to be debited from."""

    type: LicenseType
    source: Source
    pool: PoolScore
    free: int

    @property
    def device(self) -> str:
        """The name of the device whose licenses were looked at."""
        return self.source.installation.device.name

    def refused(
        self, reason: RefusalReason, message: str, *, names_holders: bool = True, rule: str = "", waiting: int = 0
    ) -> Refusal:
        """Make a refusal with the numbers of the pool; the biggest holders are named where their seats would help."""
        return Refusal(
            reason=reason,
            rules=self.type.rules,
            message=message,
            license_type=self.type.key,
            device=self.device,
            capacity=self.pool.capacity,
            in_use=self.pool.used,
            wanted=1,
            pool_id=self.source.pool_id if names_holders else None,
            allocation_rule=rule,
            waiting=waiting,
        )


def access_denied(license_type: LicenseType, pbx: Pbx, kind: HolderKind, rule: AllocationRule) -> Refusal:
    """Refuse a seat that an operator's rule keeps from the PBX's site."""
    holder, name = kind.name.lower().replace("_", " "), license_type.display_name
    is_denied = license_type.key in rule.deny
    said = f"denies {name} seats to {rule.scope}" if is_denied else f"keeps {name} seats for {rule.scope}"
    return Refusal(
        reason=RefusalReason.ACCESS_DENIED,
        rules=license_type.rules,
        message=f"the allocation rule {rule.name!r} {said}; {pbx.name} at {pbx.site} gets none for a {holder}",
        license_type=license_type.key,
        allocation_rule=rule.name,
    )


def maximum_reached(drawn: Drawn, division: PoolDivision, site: str) -> Refusal:
    """Refuse a seat because the site, or its group, has as many as it may have."""
    scope, most = division.maximum_reached(site)
    rule, name = division.rules.named["maximum", scope], drawn.type.display_name
    message = f"the allocation rule {rule!r} lets {scope} have {most:,} {name} seats at most; all are in use"
    return drawn.refused(RefusalReason.MAXIMUM_REACHED, message, names_holders=False, rule=rule)


def reserved_for_others(drawn: Drawn, division: PoolDivision, site: str) -> Refusal:
    """Refuse a seat because the free ones are reserved for other sites, and name the largest reserve."""
    scope, kept = division.largest_reserve_kept_from(site)
    rule, name = division.rules.named["reserve", scope], drawn.type.display_name
    message = (
        f"{drawn.free:,} of {drawn.pool.capacity:,} {name} licenses on {drawn.device} are free, and reserved for"
        f" others: {kept:,} for {scope} by the allocation rule {rule!r}"
    )
    return drawn.refused(RefusalReason.RESERVED_FOR_OTHERS, message, rule=rule)


def with_overdraft(refusal: Refusal, overdraft: Overdraft) -> Refusal:
    """Add to a refusal for want of licenses why no more seats are granted above what is installed."""
    left = f"{overdraft.budget_left_seat_hours:,.1f} seat hours"
    if not overdraft.seats_max:
        why = f"and {overdraft.seats:,} above them still, which no overdraft allows any more"
    elif overdraft.seats >= overdraft.seats_max:
        why = f"and the {overdraft.seats_max:,} above them that the overdraft allows; its budget has {left} left"
    else:
        why = f"and the overdraft's budget has {left} left, too few for one more seat"
        if overdraft.seats:
            why += f" beside the {overdraft.seats:,} that are overdrawn"
    if overdraft.seats_max and overdraft.full_at is not None:
        why += f"; it is filled again by {second_text(overdraft.full_at)} if nothing is overdrawn from now on"
    return replace(refusal, message=f"{refusal.message}, {why}", overdraft=overdraft)


def waiting(short: Refusal, *, place: int, waiting: int) -> Refusal:
    """Refuse a seat that is waited for; `short` says why it was not granted."""
    message = f"{short.message}; the seat is waited for, at place {place:,} of {waiting:,}"
    return replace(short, reason=RefusalReason.WAITING, message=message, place=place, waiting=waiting)


def waited_for_by_others(drawn: Drawn, waiting: int) -> Refusal:
    """Refuse a seat because the free ones go to those who wait for them (POOL_EXHAUSTED)."""
    free, is_free = counted(drawn.free, f"{drawn.type.display_name} license"), "is" if drawn.free == 1 else "are"
    message = f"{free} on {drawn.device} {is_free} free, and {counted(waiting, 'seat')} waited for by others go first"
    return drawn.refused(RefusalReason.POOL_EXHAUSTED, message, waiting=waiting)


def queue_full(short: Refusal, queue: WaitingQueue, pbx: Pbx) -> Refusal:
    """Refuse a seat that the queue does not take either: it is full, or what is left is for others (POOL_EXHAUSTED)."""
    if left := queue.places_left:
        own = counted(queue.waited_for_by(pbx.id), "seat")
        why = f"{pbx.name} waits for {own} already, and the {left} places left in the queue are kept for others"
    else:
        why = f"{counted(len(queue), 'seat')} are waited for already, and the queue is full"
    return replace(short, reason=RefusalReason.POOL_EXHAUSTED, message=f"{short.message}; {why}", waiting=len(queue))
