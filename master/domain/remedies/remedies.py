"""What would turn a refusal into a grant: found by trying, so that what is said is true.

A search over ways: each reason has steps that may answer it (`answers.py`); they are taken on a copy, the same request
is decided again (`trial.py`), and what is refused then is answered in turn, until nothing is. So a way has all its
steps. Each way that begins differently is followed to its end, and the shortest is told first. What a search may take
is bounded; where it ends without a way, the remedy says so.

Left to `remedy_words.py`: how steps are worded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import astuple

from licensemaster.api_enums import RemedyAction
from master.domain.catalog.catalog import LicenseType
from master.domain.remedies.answers import Steps, answers, kind_of
from master.domain.remedies.remedy_words import in_words
from master.domain.remedies.trial import Case, Trial, is_released_in_use, tried
from master.domain.seats.refusals.reasons import TOO_FEW, Refusal, RefusalReason, Remedy, Step, Way
from master.domain.seats.seats import SeatKey, Want
from master.values import field, replace

Outcome = TypeVar("Outcome")

_STEPS_MAX = 12
_WAYS_MAX = 3

_REMEMBERED_MAX = 4_000
_TRIAL_COSTS = 10
"""The cost of a trial's copies, in seats decided; one more for each `_LICENSES_COPIED` licenses of the project."""
_LICENSES_COPIED = 40
_WAITERS_COPIED = 10
"""One more for each `_WAITERS_COPIED` seats that are waited for."""

_TURNS_MUCH = frozenset(
    {
        RemedyAction.RELEASE_LICENSES,
        RemedyAction.UPGRADE_SOFTWARE,
        RemedyAction.DOWNGRADE_SOFTWARE,
        RemedyAction.RENEW_AGREEMENT,
        RemedyAction.WAIT,
        RemedyAction.CHANGE_ALLOCATION,
    }
)
_MORE_OF_THE_SAME = frozenset({RemedyAction.ADD_LICENSES, RemedyAction.FREE_SEATS})
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
    RemedyAction.CHANGE_ALLOCATION,
))}  # fmt: skip


class Effort(Struct):
    """The work that finding remedies may take, and what is left of it, in seats decided (copies included)."""

    left: int
    check: Callable[[], None] | None = None
    """Called before each trial; raises where nobody waits for the remedies any more."""

    @classmethod
    def of_a_batch(cls) -> Effort:
        """Return the effort for the refusals of a batch, however many: some tens of milliseconds."""
        return cls(4_000)

    @classmethod
    def of_an_explanation(cls, check: Callable[[], None] | None = None) -> Effort:
        """Return the effort for an operator's question: trials for about a second."""
        return cls(50_000, check)

    def spend(self, cost: int) -> None:
        """Take the cost of a trial from what is left; the last trial may take more than is left.
        Raises GivenUpError if nobody waits for the remedies any more."""
        if self.check is not None:
            self.check()
        self.left -= cost


def with_remedies(
    outcomes: list[Outcome], case: Case, effort: Effort, *, wants: Sequence[Want] = (), returns: Sequence[SeatKey] = ()
) -> list[Outcome]:
    """Return the outcomes of a call, each refusal with its remedy.

    Refusals of one kind get the same remedy, which helps them all: so a call is answered in the time that a few take.

    `outcomes` are in request order, and of `wants` or of `returns`; `case` is what is known right after, of no seats
    yet.
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
        remedied: dict[int, Refusal] = {}
        for at, refusal in zip(members, refused, strict=True):
            if id(refusal) not in remedied:
                remedied[id(refusal)] = replace(refusal, remedy=remedy)
            answered[at] = remedied[id(refusal)]  # type: ignore[assignment]  # a refusal in the place of one
    return answered


def _remembered(case: Case, refused: Sequence[Refusal], effort: Effort) -> Remedy:
    """Return the remedy, found before where licenses are short: all who are refused alike have the same remedy."""
    first = refused[0]
    shared = case.working_set.seats[case.pbx.id].shares is not None
    takes = case.estate.catalog.types[case.wants[0].type] if case.wants and first.reason in TOO_FEW else None
    divided = bool(case.working_set.divisions)  # then it turns on who holds what, too
    if takes is None or shared or divided or first.license_type in case.estate.agreed:
        return decided(case, refused, effort)
    known = case.eligibilities.remedies
    key = (case.pbx.id, case.carrier, case.software, first, _rests_on(case, takes))
    remedy = known.get(key)
    if remedy is None:
        if len(known) >= _REMEMBERED_MAX:
            known.clear()
        search = _Search(case, effort)
        remedy = search.remedy(refused)
        if search.rests_on_what_is_short_alone:
            known[key] = remedy
    return remedy


def _rests_on(case: Case, takes: LicenseType) -> tuple[object, ...]:
    """Return what a remedy rests on besides the refusal: what is asked for, what its users and others hold, and
    pools."""
    users = {want.subject for want in case.wants}
    asked = Counter((want.kind, bool(want.user), bool(want.line), want.application) for want in case.wants)
    holdings = case.working_set.holdings(case.pbx.id)
    held = Counter((seat.type, seat.pool_id, seat.subject in users) for seat in holdings)
    pool_ids = case.eligibilities.pools_of(case.pbx, takes.key) if takes.companions else ()
    pools = frozenset((pool_id, *astuple(case.working_set.pools[pool_id])) for pool_id in pool_ids)
    return len(users), frozenset(asked.items()), frozenset(held.items()), pools


def decided(case: Case, refused: Sequence[Refusal], effort: Effort) -> Remedy:
    """Find what would grant all that was refused for one reason.

    `case` is of these seats alone, and `refused` has a refusal for each.
    """
    return _Search(case, effort).remedy(refused)


def _correction(refusal: Refusal) -> Step | None:
    """Return how to correct what the request says wrongly, or leaves out; the corrected request has an answer of its
    own."""
    match refusal.reason:
        case RefusalReason.UNKNOWN_LICENSE_TYPE:
            name, key, accepted = "license_type", "", refusal.accepted
        case RefusalReason.HOLDER_KIND:
            name, key, accepted = "holder_kind", refusal.license_type, refusal.accepted
        case RefusalReason.REQUIREMENT_MISSING if not refusal.lacks:
            name, key, accepted = refusal.accepted[0], refusal.license_type, refusal.accepted[1:]
        case _:
            return None
    return Step(action=RemedyAction.CORRECT_REQUEST, license_type=key, field=name, accepted=accepted)


def _told(decided_ways: Sequence[tuple[Steps, Step]], case: Case, *, instead: Step | None = None) -> Remedy:
    catalog = case.estate.catalog
    ways = tuple(Way(steps, in_words([steps], catalog)) for steps, _ in decided_ways)
    main = decided_ways[0][1] if instead is None else instead
    text = in_words([steps for steps, _ in decided_ways] if instead is None else [(instead,)], catalog)
    return Remedy(ways=ways, main=main, text=text)


# --- The search -------------------------------------------------------------------------------------------------------


class _Search(Struct):
    """A search that tries steps on copies of the estate until some of them grant one refused request."""

    case: Case
    effort: Effort
    seen: set[Steps] = field(default_factory=set)
    wrong: Step | None = None
    """The correction of what the request was found to leave out during the search."""

    def remedy(self, refused: Sequence[Refusal]) -> Remedy:
        """Return the ways found, else the correction of the request, else what to do instead."""
        first, case = refused[0], self.case
        if first.reason is RefusalReason.WAITING:
            return _told([], case, instead=Step(action=RemedyAction.WAIT, license_type=first.license_type))
        wrong = _correction(first)
        decided_ways = self._ways(refused) if wrong is None else []
        wrong = wrong or self.wrong
        if not decided_ways and wrong is not None:
            decided_ways = [((wrong,), wrong)]
        if decided_ways:
            return _told(decided_ways, case)
        action = RemedyAction.NONE if self.effort.left > 0 else RemedyAction.EXPLAIN
        return _told([], case, instead=Step(action=action, license_type=first.license_type))

    @property
    def rests_on_what_is_short_alone(self) -> bool:
        """Whether no step that was tried depends on how much else is in use, as a release does."""
        return all(step.action in _MORE_OF_THE_SAME for steps in self.seen for step in steps)

    def _ways(self, refused: Sequence[Refusal]) -> list[tuple[Steps, Step]]:
        """Find the ways, the shortest first, each with its step that answers the first reason."""
        case, decided_ways = self.case, list[tuple[Steps, Step]]()
        pools = case.read_pools()
        kept = case.working_set.kept_from(case.pbx.id)
        for begun in answers(case, (), Trial(case.estate, pools, case.software, tuple(refused), pools, kept)):
            if (steps := self._to_its_end(begun)) is not None:
                decided_ways.append((tuple(sorted(steps, key=lambda step: _ORDER[step.action])), steps[0]))
        decided_ways.sort(key=lambda way: len(way[0]))
        return decided_ways[:_WAYS_MAX]

    def _to_its_end(self, begun: Steps) -> Steps | None:
        """Find the first way that begins with `begun`: what is still refused is answered in turn, until nothing is."""
        waiting = [begun]
        while waiting and self.effort.left > 0:
            steps = waiting.pop()
            if steps in self.seen or len(steps) > _STEPS_MAX:
                continue
            self.seen.add(steps)
            trial = self._tried(steps)
            if trial.frees_too_many:
                continue
            if not trial.refused:
                return self._without_needless(steps)
            self.wrong = self.wrong or _correction(trial.refused[0])
            waiting += reversed(list(answers(self.case, steps, trial)))
        return None

    def _tried(self, steps: Steps) -> Trial:
        asked = len(self.case.wants) + len(self.case.returns) + sum(len(step.seats) for step in steps)
        copied = len(self.case.estate.licenses) // _LICENSES_COPIED
        copied += sum(len(queue.waiters) for queue in self.case.working_set.queues.values()) // _WAITERS_COPIED
        self.effort.spend(_TRIAL_COSTS + asked + copied)
        return tried(self.case, steps)

    def _without_needless(self, steps: Steps) -> Steps:
        """Return the first step and those needed beside it: what changes much may have made an earlier one needless."""
        if len(steps) > 2 and any(step.action in _TURNS_MUCH for step in steps):
            for step in steps[1:]:
                if self.effort.left <= 0:
                    break
                fewer = tuple(kept for kept in steps if kept is not step)
                trial = self._tried(fewer)
                if not (trial.refused or trial.frees_too_many or is_released_in_use(trial, fewer)):
                    steps = fewer
        return steps
