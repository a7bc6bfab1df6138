"""What would turn a refusal into a grant: found by trying, so that what is told is true.

A search over ways: each reason has steps that may answer it (`_answers`); they are taken on a copy, the same request
is decided again (`trial.py`), and what is refused then is answered in turn, until nothing is. So chains come out whole.
Each way that begins differently is followed to its end, and the shortest is told first. What a search may take is
bounded; where it ends without a way, the remedy says so.

Left to `remedy_words.py`: how steps are worded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from master.domain import moves
from master.domain.agreed_uses import ended_use
from master.domain.catalog import LicenseType
from master.domain.estate import Installation, License
from master.domain.refusals import TOO_FEW, LicenseRef, Refusal, RefusalReason, Remedy, RemedyAction, SeatRef, Step, Way
from master.domain.remedy_words import in_words
from master.domain.seats import SeatKey, Want
from master.domain.trial import Case, Trial, added_license, lowest_version, over, tried
from master.domain.versions import Version

Steps = tuple[Step, ...]
Outcome = TypeVar("Outcome")

_STEPS_MAX = 12
_WAYS_MAX = 3

_REMEMBERED_MAX = 4_000
_TRIAL_COSTS = 10
"""What it takes to copy, in seats decided."""

_TURNS_MUCH = frozenset(
    {
        RemedyAction.RELEASE_LICENSES,
        RemedyAction.UPGRADE_SOFTWARE,
        RemedyAction.DOWNGRADE_SOFTWARE,
        RemedyAction.RENEW_AGREEMENT,
        RemedyAction.WAIT,
    }
)
_OTHER_REQUEST = frozenset({RefusalReason.UNKNOWN_LICENSE_TYPE, RefusalReason.HOLDER_KIND})
_ORDER = {action: number for number, action in enumerate((
    RemedyAction.WAIT,
    RemedyAction.RENEW_AGREEMENT,
    RemedyAction.FREE_SEATS,
    RemedyAction.RELEASE_LICENSES,
    RemedyAction.REPLACE_LICENSES,
    RemedyAction.ADD_LICENSES,
    RemedyAction.UPGRADE_SOFTWARE,
    RemedyAction.DOWNGRADE_SOFTWARE,
    RemedyAction.RETURN_FIRST,
    RemedyAction.ACQUIRE_FIRST,
    RemedyAction.CORRECT_REQUEST,
))}  # fmt: skip


@dataclass(slots=True)
class Effort:
    """What finding remedies may take, and what is left of it: as many seats decided, with their copies."""

    left: int

    @classmethod
    def of_a_batch(cls) -> Effort:
        """What refusals can spare: some tens of milliseconds, however many there are."""
        return cls(4_000)

    @classmethod
    def of_an_explanation(cls) -> Effort:
        """What an operator who asks can wait for: about a second."""
        return cls(50_000)


def with_remedies(
    outcomes: list[Outcome],
    case: Case,
    effort: Effort,
    *,
    wants: Sequence[Want] = (),
    returns: Sequence[SeatKey] = (),
) -> list[Outcome]:
    """The outcomes of a call, the refusals with what would help.

    Those of one kind are told the same, which helps them all: so a call is answered in the time that a few take.

    Args:
        outcomes: what was decided, in request order.
        case: what is known right after it; of no seats yet.
        effort: what finding them may take.
        wants: the seats that were asked for; or
        returns: those that were to be returned.
    """
    kinds: dict[tuple[object, ...], list[int]] = {}
    for index, outcome in enumerate(outcomes):
        if isinstance(outcome, Refusal):
            kinds.setdefault(_kind(outcome), []).append(index)
    answered = list(outcomes)
    for members in kinds.values():
        refused = [outcome for outcome in (outcomes[at] for at in members) if isinstance(outcome, Refusal)]
        concerned = replace(
            case,
            wants=tuple(wants[at] for at in members) if wants else (),
            returns=tuple(returns[at] for at in members) if returns else (),
        )
        remedy = _remembered(concerned, refused, effort)
        told: dict[int, Refusal] = {}
        for at, refusal in zip(members, refused, strict=True):
            if id(refusal) not in told:
                told[id(refusal)] = replace(refusal, remedy=remedy)
            answered[at] = told[id(refusal)]  # type: ignore[assignment]  # a refusal in the place of one
    return answered


def _remembered(case: Case, refused: Sequence[Refusal], effort: Effort) -> Remedy:
    """Where licenses are short it is the same for all who are refused alike, so it is found once."""
    first = refused[0]
    shared = case.ledger.seats[case.pbx.id].shares is not None
    takes = case.estate.catalog.types[case.wants[0].type] if case.wants and first.reason in TOO_FEW else None
    if takes is None or takes.companions or shared or first.license_type in case.estate.agreed:
        return decided(case, refused, effort)
    known, key = case.book.remedies, (case.pbx.id, case.software, first, len(refused))
    found = known.get(key)
    if found is None:
        if len(known) >= _REMEMBERED_MAX:
            known.clear()
        found = known[key] = decided(case, refused, effort)
    return found


def decided(case: Case, refused: Sequence[Refusal], effort: Effort) -> Remedy:
    """What would grant all that was refused for one reason.

    Args:
        case: the request, of these seats alone.
        refused: why it was refused, one for each seat.
        effort: what finding it may take.
    """
    first = refused[0]
    if first.reason in _OTHER_REQUEST:
        step = Step(
            action=RemedyAction.CORRECT_REQUEST,
            license_type=first.license_type if first.reason is RefusalReason.HOLDER_KIND else "",
            field="license_type" if first.reason is RefusalReason.UNKNOWN_LICENSE_TYPE else "holder_kind",
            accepted=first.accepted,
        )
        return _told([((step,), step)], case)
    if first.reason is RefusalReason.REQUIREMENT_MISSING and not first.lacks:
        field, accepted = first.accepted
        step = Step(
            action=RemedyAction.CORRECT_REQUEST,
            license_type=first.license_type,
            field=field,
            accepted=(accepted,),
        )
        return _told([((step,), step)], case)
    found, all_tried = _search(case, refused, effort)
    if found:
        return _told(found, case)
    action = RemedyAction.NONE if all_tried else RemedyAction.EXPLAIN
    return _told([], case, instead=Step(action=action, license_type=first.license_type))


def _told(found: Sequence[tuple[Steps, Step]], case: Case, *, instead: Step | None = None) -> Remedy:
    catalog = case.estate.catalog
    ways = tuple(Way(steps, in_words([steps], catalog)) for steps, _ in found)
    main = found[0][1] if instead is None else instead
    text = in_words([steps for steps, _ in found] if instead is None else [(instead,)], catalog)
    return Remedy(ways=ways, main=main, text=text)


def _kind(refusal: Refusal) -> tuple[object, ...]:
    lacked = tuple(seat.type for seat in refusal.lacks)
    short = refusal.short.license_type if refusal.short is not None else ""
    return refusal.reason, refusal.license_type, refusal.device, refusal.pool_id, lacked, short, refusal.accepted


# --- The search -------------------------------------------------------------------------------------------------------


def _search(case: Case, refused: Sequence[Refusal], effort: Effort) -> tuple[list[tuple[Steps, Step]], bool]:
    """Ways with the step that answers the first reason, the shortest first; and whether all there is was tried."""
    found: list[tuple[Steps, Step]] = []
    seen: set[Steps] = set()
    for begun in _answers(case, (), Trial(case.estate, case.read_pools(), case.software, tuple(refused))):
        if (steps := _to_its_end(case, begun, seen, effort)) is not None:
            found.append((tuple(sorted(steps, key=lambda step: _ORDER[step.action])), steps[0]))
    found.sort(key=lambda way: len(way[0]))
    return found[:_WAYS_MAX], effort.left > 0


def _to_its_end(case: Case, begun: Steps, seen: set[Steps], effort: Effort) -> Steps | None:
    """The first way that begins so: whatever is refused still is answered in turn, until nothing is."""
    waiting = [begun]
    while waiting and effort.left > 0:
        steps = waiting.pop()
        if steps in seen or len(steps) > _STEPS_MAX:
            continue
        seen.add(steps)
        trial = _tried(case, steps, effort)
        if not trial.refused:
            return _without_needless(case, steps, effort)
        waiting += reversed(list(_answers(case, steps, trial)))
    return None


def _tried(case: Case, steps: Steps, effort: Effort) -> Trial:
    effort.left -= _TRIAL_COSTS + len(case.wants) + len(case.returns) + sum(len(step.seats) for step in steps)
    return tried(case, steps)


def _without_needless(case: Case, steps: Steps, effort: Effort) -> Steps:
    """The first step and those that it takes beside it: one that turns much may have made an earlier one needless."""
    if len(steps) > 2 and any(step.action in _TURNS_MUCH for step in steps):
        for step in steps[1:]:
            fewer = tuple(one for one in steps if one is not step)
            if not _tried(case, fewer, effort).refused:
                steps = fewer
    return steps


def _joined(steps: Steps, *more: Step) -> Steps:
    """The steps and some more; two of a kind become one, and what is released is not replaced."""
    found = list(steps)
    for step in more:
        if step.action is RemedyAction.RELEASE_LICENSES:
            found = [kept for kept in (_without(one, step.licenses) for one in found) if kept is not None]
        for index, one in enumerate(found):
            if _same(one, step):
                found[index] = _both(one, step)
                break
        else:
            found.append(step)
    return tuple(found)


def _without(step: Step, released: Sequence[LicenseRef]) -> Step | None:
    if step.action is not RemedyAction.REPLACE_LICENSES:
        return step
    left = tuple(ref for ref in step.licenses if ref not in released)
    return replace(step, licenses=left) if left else None


def _same(one: Step, other: Step) -> bool:
    if one.action is not other.action or one.pbx != other.pbx:
        return False
    if one.action in (RemedyAction.ADD_LICENSES, RemedyAction.FREE_SEATS):
        return (one.license_type, one.device) == (other.license_type, other.device)
    return one.device == other.device and one.subject == other.subject


def _both(one: Step, other: Step) -> Step:
    return replace(
        one,
        quantity=one.quantity + other.quantity,
        version=max(one.version, other.version, key=lambda text: Version.parse(text) if text else Version(0)),
        licenses=tuple(dict.fromkeys((*one.licenses, *other.licenses))),
        seats=tuple(dict.fromkeys((*one.seats, *other.seats))),
    )


# --- What may answer each reason --------------------------------------------------------------------------------------


def _answers(case: Case, steps: Steps, trial: Trial) -> Iterator[Steps]:
    """The steps taken, and what may answer the first refusal that is left; for all that are refused like it."""
    first = trial.refused[0]
    alike = [one for one in trial.refused if _kind(one) == _kind(first)]
    wording = _Answering(case, steps, trial, alike)
    if first.reason is RefusalReason.STILL_REQUIRED:
        yield _joined(steps, _returned(_all(one.seats for one in alike)))
        short = [one.short for one in alike if one.short is not None]
        if short:
            yield from _Answering(case, steps, trial, short).all()
        return
    yield from wording.all()


@dataclass(frozen=True, slots=True)
class _Answering:
    """What may answer refusals of one kind."""

    case: Case
    steps: Steps
    trial: Trial
    alike: Sequence[Refusal]

    def all(self) -> Iterator[Steps]:
        """The ways to go on, the one that operators would think of first."""
        first, takes = self.alike[0], self.trial.estate.catalog.types[self.alike[0].license_type]
        newer = takes.exempt_from_software
        if newer is not None and self.trial.software < newer:  # G1: nobody is told to buy one
            yield self._upgrade(newer)
            yield from self._free(takes, first)
            return
        match first.reason:
            case RefusalReason.SOFTWARE_TOO_OLD if first.software is not None:
                yield self._upgrade(first.software)
            case RefusalReason.MODEL_EXCLUDED:
                yield from self._release(first.device, self._named(first.licenses))
            case RefusalReason.VERSION_LIMIT:
                yield from self._lift_limit(takes, first)
            case RefusalReason.APPLICATION_VERSION:
                yield from self._fit_application(takes, first)
            case RefusalReason.FEATURE_OFF:
                yield from self._add(takes, first, max(first.wanted - first.capacity, 1))
            case RefusalReason.REQUIREMENT_MISSING:
                for index in range(len(first.lacks)):
                    seats = tuple(dict.fromkeys(one.lacks[index] for one in self.alike))
                    key = seats[0].type
                    yield _joined(self.steps, Step(action=RemedyAction.ACQUIRE_FIRST, license_type=key, seats=seats))
            case RefusalReason.REVOKED:
                yield _joined(self.steps, _returned(_all(one.seats for one in self.alike)))
            case RefusalReason.LEARNING if self.trial.estate.learning is not None:
                until = self.trial.estate.learning.until
                yield _joined(self.steps, Step(action=RemedyAction.WAIT, until=until))
            case (
                RefusalReason.LOCAL_LICENSES_ONLY
                | RefusalReason.NONE_INSTALLED
                | RefusalReason.POOL_EXHAUSTED
                | RefusalReason.COMPANION_EXHAUSTED
            ):
                yield from self._more(takes, first)
            case _:
                return

    # --- Licenses are short ---------------------------------------------------------------------------------------

    def _more(self, takes: LicenseType, first: Refusal) -> Iterator[Steps]:
        item = ended_use(self.trial.estate, takes.key, self.case.now)
        if item is not None and item.agreed is not None:
            step = Step(
                action=RemedyAction.RENEW_AGREEMENT,
                license_type=takes.key,
                device=first.device,
                subject=str(item.agreed.subject),
                licenses=(item.ref,),
            )
            if step not in self.steps:
                yield _joined(self.steps, step)
        yield from self._add(takes, first, len(self.alike))
        yield from self._free(takes, first)
        if first.reason is RefusalReason.LOCAL_LICENSES_ONLY:  # A3: with none of its own it draws on the pool
            yield from self._release(first.device, self._installation(first.device).making_local)

    def _add(self, takes: LicenseType, first: Refusal, quantity: int) -> Iterator[Steps]:
        actions = {step.action for step in self.steps}
        if RemedyAction.FREE_SEATS in actions and RemedyAction.RELEASE_LICENSES not in actions:
            return  # whoever waits need not buy as well
        devices = [first.device, *(one.device.name for one in self.trial.estate.sources(self.case.pbx, takes))]
        for device in dict.fromkeys(devices):
            key = self.trial.estate.pbx_on[device].device.id, takes.key
            missing = quantity
            if first.reason is not RefusalReason.FEATURE_OFF and key in self.trial.estate.pool_ids:
                missing += over(self.trial, device, takes.key)
            version = lowest_version(self.trial, self.case, takes.key, device)
            step = Step(
                action=RemedyAction.ADD_LICENSES,
                license_type=takes.key,
                quantity=missing,
                device=device,
                version=str(version or ""),
            )
            more = _joined(self.steps, step)
            stands_for = replace(added_license(self.case.estate, step), device=None)
            target = self.trial.estate.pbx_on[device].device
            if moves.bind_refused(self.trial.estate, stands_for, target) is None:
                yield more
                return

    def _free(self, takes: LicenseType, first: Refusal) -> Iterator[Steps]:
        if first.pool_id is None or first.pool_id not in self.case.estate.pool_devices:
            return
        if any(step.action is RemedyAction.ADD_LICENSES for step in self.steps):
            return  # whoever buys need not wait as well
        device = self.case.estate.pool_devices[first.pool_id].name
        quantity = len(self.alike) + over(self.trial, device, takes.key)
        if quantity <= self.trial.pool(device, takes.key).used:
            step = Step(action=RemedyAction.FREE_SEATS, license_type=takes.key, quantity=quantity, device=device)
            yield _joined(self.steps, step)

    def _release(self, device: str, items: Sequence[License]) -> Iterator[Steps]:
        """Licenses go, and before them the seats that they would leave without one (L5)."""
        software = {self.case.pbx.id: self.trial.software}
        estate = self.trial.estate
        if not items or any(item.id.startswith("+") for item in items):
            return
        for item in items:
            if item.release is None and moves.release_refused(estate, item, software=software) is not None:
                return
        free: list[Step] = []
        for key in dict.fromkeys(item.type.key for item in items):
            leaves = sum(item.quantity for item in items if item.type.key == key)
            pool = self.trial.pool(device, key)
            if (seats := pool.used - pool.capacity + leaves) > 0:
                free.append(Step(action=RemedyAction.FREE_SEATS, license_type=key, quantity=seats, device=device))
        step = Step(action=RemedyAction.RELEASE_LICENSES, device=device, licenses=self._refs(items))
        steps = _joined(self.steps, step, *free)
        if steps != self.steps:
            yield steps

    # --- Versions -------------------------------------------------------------------------------------------------

    def _upgrade(self, version: Version) -> Steps:
        step = Step(action=RemedyAction.UPGRADE_SOFTWARE, pbx=self.case.pbx.name, version=str(version))
        return _joined(self.steps, step)

    def _lift_limit(self, takes: LicenseType, first: Refusal) -> Iterator[Steps]:
        """B5, B6: newer licenses in the place of all that are too old, or none, or software that they allow."""
        major = self.trial.software.major
        installation = self._installation(first.device)
        low = installation.limiting_below(self.trial.software)
        raised = tuple(
            replace(step, version=str(major)) if _is_low(step, first.device, major) else step for step in self.steps
        )
        leaving = [item for item in low if item.release is not None and item.type.releasable]
        staying = [item for item in low if item not in leaving and not item.id.startswith("+")]
        gone = Step(action=RemedyAction.RELEASE_LICENSES, device=first.device, licenses=self._refs(leaving))
        newer = Step(
            action=RemedyAction.REPLACE_LICENSES,
            device=first.device,
            licenses=self._refs(staying),
            license_type=takes.key,
            version=str(major),
        )
        yield _joined(raised, *(step for step in (newer, gone) if step.licenses))
        if not any(step.pbx for step in self.steps) and installation.limit is not None:
            oldest = Version(installation.limit)
            if takes.minimum_software is not None and takes.minimum_software.major == oldest.major:
                oldest = max(oldest, takes.minimum_software)
            older = Step(action=RemedyAction.DOWNGRADE_SOFTWARE, pbx=self.case.pbx.name, version=str(oldest))
            yield _joined(self.steps, older)
        yield from self._release(first.device, low)

    def _fit_application(self, takes: LicenseType, first: Refusal) -> Iterator[Steps]:
        """B8: the application is named, or runs what its licenses allow, or gets newer ones."""
        installation = self._installation(first.device)
        limit = installation.application_limit(takes.key)
        asked = [want.application for want in self.case.wants if want.type == takes.key]
        if any(_is_of_application(step) for step in self.steps):
            return
        if not all(asked):
            step = Step(
                action=RemedyAction.CORRECT_REQUEST,
                license_type=takes.key,
                field="application_version",
                version=str(limit or ""),
            )
            yield _joined(self.steps, step)
            return
        if limit is not None:
            older = Step(action=RemedyAction.DOWNGRADE_SOFTWARE, license_type=takes.key, version=str(limit))
            yield _joined(self.steps, older)
        newest = max(version.major for version in asked if version is not None)
        low = [item for item in installation.of_type(takes.key) if (item.version or 0) < newest]
        newer = Step(
            action=RemedyAction.REPLACE_LICENSES,
            device=first.device,
            licenses=self._refs(low),
            license_type=takes.key,
            version=str(newest),
        )
        yield _joined(self.steps, newer)

    # --- The estate as the steps leave it -------------------------------------------------------------------------

    def _installation(self, device: str) -> Installation:
        return self.trial.estate.installations[self.trial.estate.pbx_on[device].device.id]

    def _named(self, refs: Iterable[LicenseRef]) -> list[License]:
        ids = {ref.id for ref in refs}
        return [item for item in self.trial.estate.licenses if item.id in ids]

    def _refs(self, items: Iterable[License]) -> tuple[LicenseRef, ...]:
        """As the request found them: what a step replaced already keeps its name."""
        before: Mapping[str, License] = {item.id: item for item in self.case.estate.licenses}
        return tuple(before[item.id].ref for item in items)


def _returned(seats: tuple[SeatRef, ...]) -> Step:
    return Step(action=RemedyAction.RETURN_FIRST, license_type=seats[0].type, seats=seats)


def _is_of_application(step: Step) -> bool:
    if step.action is RemedyAction.DOWNGRADE_SOFTWARE:
        return not step.pbx
    return step.field == "application_version"


def _is_low(step: Step, device: str, major: int) -> bool:
    return (
        step.action is RemedyAction.ADD_LICENSES
        and step.device == device
        and bool(step.version)
        and int(step.version) < major
    )


def _all(many: Iterable[Iterable[Outcome]]) -> tuple[Outcome, ...]:
    return tuple(dict.fromkeys(one for some in many for one in some))
