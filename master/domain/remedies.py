"""What would turn a refusal into a grant: found by trying, so that what is told is true.

A search over ways: each reason has steps that may answer it (`answers.py`); they are taken on a copy, the same request
is decided again (`trial.py`), and what is refused then is answered in turn, until nothing is. So chains come out whole.
Each way that begins differently is followed to its end, and the shortest is told first. What a search may take is
bounded; where it ends without a way, the remedy says so.

Left to `remedy_words.py`: how steps are worded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from master.domain.answers import Steps, answers, kind_of
from master.domain.refusals import TOO_FEW, Refusal, RefusalReason, Remedy, RemedyAction, Step, Way
from master.domain.remedy_words import in_words
from master.domain.seats import SeatKey, Want
from master.domain.trial import Case, Trial, tried

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
            kinds.setdefault(kind_of(outcome), []).append(index)
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
    known, key = case.book.remedies, (case.pbx.id, case.carrier, case.software, first, len(refused))
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


# --- The search -------------------------------------------------------------------------------------------------------


def _search(case: Case, refused: Sequence[Refusal], effort: Effort) -> tuple[list[tuple[Steps, Step]], bool]:
    """Ways with the step that answers the first reason, the shortest first; and whether all there is was tried."""
    found: list[tuple[Steps, Step]] = []
    seen: set[Steps] = set()
    for begun in answers(case, (), Trial(case.estate, case.read_pools(), case.software, tuple(refused))):
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
        waiting += reversed(list(answers(case, steps, trial)))
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
