"""What would let a license move: the steps are taken on a copy and the same move is judged again, until it is allowed.

As `remedies.py` does for seats. Where a problem has no step that an estate can show (a wait, an approval, a project
file), the words of `domain/licenses/move_problems.py` stay.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from enum import Enum

from licensemaster.api_enums import RemedyAction
from master.domain.catalog.versions import Version
from master.domain.estate.estate import Estate
from master.domain.estate.installations import Device, License
from master.domain.licenses import moves
from master.domain.licenses.move_problems import MoveProblem, MoveRefusal
from master.domain.remedies.answers import Steps, joined
from master.domain.remedies.remedy_words import in_words
from master.domain.remedies.trial import estate_after
from master.domain.seats.refusals.reasons import Step, TopHolder, Way
from master.values import Value, field, replace

_STEPS_MAX = 8
"""The most steps that are tried; one that enlarges a step before counts as well. Each round tries one at least, so the
search ends even if a step does not change what it was to change."""
_ORDER = (
    RemedyAction.REPLACE_LICENSES,
    RemedyAction.UPGRADE_SOFTWARE,
    RemedyAction.FREE_SEATS,
    RemedyAction.RELEASE_LICENSES,
    RemedyAction.ADD_LICENSES,
)


class MoveKind(Enum):
    """Which move of a license was refused."""

    BIND = "bind"
    RELEASE = "release"
    REBIND = "rebind"


class AskedMove(Value, kw_only=True):
    """A move of one license, as it was refused."""

    kind: MoveKind
    license: str
    device: Device | None = None
    """The device that the license goes to; None for the balance."""
    used: int = 0
    """Number of seats debited from the license's pool, where they prevent the move (L5)."""
    leaving: Collection[str] = field(default=())
    """Ids of the licenses that leave together with the license."""
    holders: Sequence[TopHolder] = ()
    """The PBXs that hold those seats, most first."""


def move_refused(
    asked: AskedMove, estate: Estate, *, software: Mapping[int, Version] | None = None
) -> MoveRefusal | None:
    """Return why a license may not move, with the steps that let it move; None where it may."""
    refused = _judged(asked, estate, software or {}, ())
    return None if refused is None else with_way(refused, asked, estate, software=software)


def with_way(
    refused: MoveRefusal, asked: AskedMove, estate: Estate, *, software: Mapping[int, Version] | None = None
) -> MoveRefusal:
    """Return the refusal with the steps that let the license move, else the words of the problem that no step
    answers."""
    steps: Steps = ()
    tried = 0
    left: MoveRefusal | None = refused
    copy, running = estate, software or {}
    while left is not None:
        more = _answer(left, asked, copy, running)
        tried += len(more)
        if not more or tried > _STEPS_MAX:
            return replace(refused, remedy=f"{left.message}: {left.remedy}") if steps else refused
        steps = joined(steps, *more)
        copy, running = estate_after(estate, steps), _software_after(estate, software, steps)
        left = _judged(asked, copy, running, steps)
    ordered = tuple(sorted(steps, key=lambda step: _ORDER.index(step.action)))
    text = in_words([ordered], estate.catalog)
    return replace(
        refused,
        # what is merely in use can be drained or revoked as well, and the words of the problem say so
        remedy=refused.remedy if refused.problem is MoveProblem.IN_USE else text,
        ways=(Way(ordered, text),),
    )


def _judged(
    asked: AskedMove, estate: Estate, software: Mapping[int, Version], steps: Sequence[Step]
) -> MoveRefusal | None:
    license_there = next(license for license in estate.licenses if license.id == asked.license)
    match asked.kind:
        case MoveKind.BIND:
            return moves.bind_refused(estate, license_there, asked.device) if asked.device is not None else None
        case MoveKind.RELEASE:
            refused = moves.release_refused(estate, license_there, software=software)
        case MoveKind.REBIND:
            assert asked.device is not None
            refused = moves.rebind_refused(estate, license_there, asked.device, software=software)
    if refused is None and asked.used and license_there.device is not None:
        back = sum(step.quantity for step in steps if step.action is RemedyAction.FREE_SEATS)
        left = moves.left_without(estate, license_there, asked.leaving)
        return moves.use_refused(license_there, used=asked.used - back, left=left, holders=asked.holders)
    return refused


def _answer(
    refused: MoveRefusal, asked: AskedMove, estate: Estate, software: Mapping[int, Version]
) -> tuple[Step, ...]:
    """Return the steps that may answer a problem; empty where none can."""
    leaving = next(license for license in estate.licenses if license.id == asked.license)
    match refused.problem:
        case MoveProblem.FIRMWARE_TOO_OLD:
            return _upgrade(estate, refused.device, but=leaving.id)
        case MoveProblem.MODEL_EXCLUDED:
            ids = {ref.id for ref in refused.licenses}
            rivals = [license for license in estate.licenses if license.id in ids]
            return _release(estate, refused.device, rivals, software)
        case MoveProblem.ALREADY_BOUND:
            return _release(estate, refused.device, [leaving], software)
        case MoveProblem.TIER_TOO_EARLY:
            version = max(
                estate.installation_on(refused.device).limit or leaving.version or 0, leaving.type.minimum_version
            )
            more = Step(
                action=RemedyAction.ADD_LICENSES,
                license_type=leaving.type.key,
                quantity=refused.missing,
                device=refused.device,
                version=str(version) if leaving.type.versioned else "",
            )
            return (more,)
        case MoveProblem.IN_USE:
            back = Step(
                action=RemedyAction.FREE_SEATS,
                license_type=leaving.type.key,
                quantity=refused.missing,
                device=refused.device,
            )
            return (back,)
        case _:
            return ()


def _release(
    estate: Estate, device: str, items: Sequence[License], software: Mapping[int, Version]
) -> tuple[Step, ...]:
    steps: tuple[Step, ...] = ()
    for license in items:
        why = moves.release_refused(estate, license, software=software)
        if why is not None and why.problem is not MoveProblem.FIRMWARE_TOO_OLD:
            return ()
        if why is not None and not steps:
            steps = _upgrade(estate, device)
    gone = Step(action=RemedyAction.RELEASE_LICENSES, device=device, licenses=tuple(license.ref for license in items))
    return (*steps, gone)


def _upgrade(estate: Estate, device: str, *, but: str = "") -> tuple[Step, ...]:
    """Return the upgrade to software that can release licenses, with newer licenses that allow it (L4, A5, B5)."""
    first, pbx = estate.catalog.releases_from_software, estate.pbx_on[device]
    assert first is not None
    installation = estate.installations[pbx.device.id]
    low = tuple(license.ref for license in installation.limiting_below(first) if license.id != but)
    newer = Step(action=RemedyAction.UPGRADE_SOFTWARE, pbx=pbx.name, version=str(first))
    if not low:
        return (newer,)
    return (Step(action=RemedyAction.REPLACE_LICENSES, device=device, licenses=low, version=str(first.major)), newer)


def _software_after(
    estate: Estate, software: Mapping[int, Version] | None, steps: Sequence[Step]
) -> Mapping[int, Version]:
    changed = dict(software or {})
    for step in steps:
        if step.action is RemedyAction.UPGRADE_SOFTWARE:
            changed[estate.pbx_ids[step.pbx]] = Version.parse(step.version)
    return changed
