"""Binds, releases and rebinds licenses: one transaction each, every license answered by itself (rules L1 to L7).

A release is complete when nobody uses the license any more (L5) and somebody vouches that its device does not either:
the device by its certificate (L2), or, for one that is dead, a second operator. Until then the license is leaving: what
is held stays held, nothing new is granted from it. `domain/licenses/moves.py` judges; `revocation.py` takes seats away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from master.auth.callers.identity import operator_of
from master.domain.agreements.rights.entitlements import is_apart
from master.domain.estate.estate import Estate
from master.domain.estate.installations import License
from master.domain.estate.license_release import InUse, Release
from master.domain.licenses import balance, move_problems, moves
from master.domain.licenses.move_problems import MoveRefusal
from master.domain.monitoring.project_warnings import warnings_of
from master.domain.remedies.move_remedies import AskedMove, MoveKind, move_refused
from master.service.licenses.license_changes import LicenseChanges, plain
from master.service.licenses.license_views import LicenseView, license_views
from master.service.licenses.revocation import NOTHING_REVOKED, Revoked, revoke
from master.service.runtime.request_answers import AnsweredBefore, ChangeRequest, answered_before, keep_answer
from master.store.statements.projects.projects import device_names
from master.values import Value, replace


class Move(ChangeRequest["MovedAll"], kw_only=True):
    """An operator's request to change the bindings of some licenses of a project."""

    project: str
    licenses: Sequence[str]


class BindLicenses(Move, kw_only=True):
    """Put free licenses onto a device."""

    device: str


class ReleaseLicenses(Move, kw_only=True):
    """Take licenses off their devices, into the balance or straight onto another device."""

    in_use: InUse
    to_device: str
    device_dead: bool


class CancelReleases(Move, kw_only=True):
    """Cancel releases that are under way."""


class ApproveReleases(Move, kw_only=True):
    """Approve releases from devices that were declared dead."""


class Moved(Value):
    """The answer for one license."""

    license_id: str
    license: License | None
    """The license as it was then, where it moved or is about to move."""
    refused: MoveRefusal | None = None
    revoked: Revoked = NOTHING_REVOKED


class MovedAll(Value):
    """The answers in request order, the licenses as they are afterwards, and warnings for the operator."""

    views: Mapping[str, LicenseView]
    """The views of the licenses that moved or are about to move, by license id."""
    results: tuple[Moved, ...]
    warnings: tuple[str, ...]


class MoveRules(Value):
    """The settings that moves follow."""

    cooling_off_seconds: float
    nonce: Callable[[], bytes]
    """Makes a new nonce for each release."""


def move_licenses(changes: LicenseChanges, request: Move, rules: MoveRules) -> MovedAll | AnsweredBefore:
    """Move licenses one after the other; each is judged after those before it.
    Raises RequestIdTakenError if the request id was used for something else."""
    tx = changes.tx
    step, kind = _STEPS[type(request)]
    if (answered := answered_before(tx, changes.estate.project_id, request.key)) is not None:
        return answered
    warned = set(warnings_of(changes.estate, changes.software))
    before = {license_id: changes.find(license_id) for license_id in request.licenses}
    results = tuple(_moved(changes, license_id, request, rules, step) for license_id in request.licenses)
    after = warnings_of(_when_all_is_done(changes.estate), changes.software)
    warnings = tuple(warning for warning in after if warning not in warned)
    details: dict[str, Any] = {
        "results": [_plain_result(result, before[result.license_id]) for result in results],
        "warnings": warnings,
    }
    if all(result.refused is not None for result in results):  # an event is named for what happened
        kind, details = _NOTHING_MOVED, {"asked": kind, **details}
    changes.event(kind, details, request_id=request.key.request_id or None)
    moved = [result.license for result in results if result.license is not None]
    views = {view.license.id: view for view in license_views(tx, changes.estate, moved, changes.time)}
    answer = MovedAll(views, results, warnings)
    keep_answer(tx, changes.estate.project_id, request.key, answer, now=changes.now)
    changes.write()
    return answer


def complete_releases(changes: LicenseChanges, rules: MoveRules) -> list[License]:
    """Complete the releases that nothing blocks any more; return these licenses as they are now."""
    completed = {
        license.id
        for license in changes.estate.licenses
        if license.release is not None and try_to_complete(changes, license, rules) is not None
    }
    changes.write()
    return [license for license in changes.estate.licenses if license.id in completed]  # some left with their use


def try_to_complete(changes: LicenseChanges, license: License, rules: MoveRules) -> License | None:
    """Complete the release of a license and return the license in its new place; None where something blocks the
    release.
    """
    release = license.release
    assert release is not None
    assert license.device is not None
    if changes.estate.learns(changes.time.ends_by):  # who uses it is not known yet
        return None
    stays = changes.estate.installations[license.device.id].seats_staying_without(license)
    if not license.release_is_vouched_for or changes.used(license) > stays:
        return None
    is_certain = release.certified and (release.ends_use or not license.key_on_word_of)
    held_until = None if is_certain else changes.now + rules.cooling_off_seconds
    now_free = balance.freed(license, held_until=held_until)
    changes.put(now_free)
    after = now_free
    if release.ends_use and is_apart(changes.estate, now_free):
        changes.remove(now_free.id)
    elif release.to_device and is_certain:
        device = moves.target_device(changes.estate, release.to_device)
        if not isinstance(device, MoveRefusal) and moves.bind_refused(changes.estate, now_free, device) is None:
            after = balance.bound(now_free, device, changes.now)
            changes.put(after)
    kind = "license.rebound" if after.device else "license.released"
    vouched_by = license.device.name if is_certain else release.approved_by
    if release.ends_use:
        vouched_by = release.requested_by
    changes.event(
        kind,
        {
            "license": license.id,
            "before": plain(license),
            "after": plain(after),
            "vouched_by": vouched_by,
            "asked_by": release.requested_by,
            "asked_because": release.reason,
        },
    )
    return after


# --- Each step judged and done ----------------------------------------------------------------------------------------

Act = Callable[[LicenseChanges, License, Any, MoveRules], "Moved | MoveRefusal"]


def _moved(changes: LicenseChanges, license_id: str, request: Move, rules: MoveRules, step: Act) -> Moved:
    license = changes.find(license_id)
    if license is None:
        return Moved(license_id, None, move_problems.UNKNOWN_LICENSE.at("", id=license_id, project=changes.estate.name))
    if license.file is None:
        return Moved(license_id, None, move_problems.DECLARED_IN_FILE.of(license))
    outcome = step(changes, license, request, rules)
    return Moved(license_id, None, outcome) if isinstance(outcome, MoveRefusal) else outcome


def _bind(changes: LicenseChanges, license: License, request: BindLicenses, rules: MoveRules) -> Moved | MoveRefusal:
    device = moves.target_device(changes.estate, request.device, devices=_device_names(changes))
    if isinstance(device, MoveRefusal):
        return device
    asked = AskedMove(kind=MoveKind.BIND, license=license.id, device=device)
    refused = move_refused(asked, changes.estate, software=changes.software)
    if refused := refused or moves.binding_refused_now(license, changes.now):
        return refused
    after = balance.bound(license, device, changes.now)
    changes.put(after)
    return Moved(license.id, after)


def _release(
    changes: LicenseChanges, license: License, request: ReleaseLicenses, rules: MoveRules
) -> Moved | MoveRefusal:
    if license.release is None:
        if refused := _release_refused(changes, license, request):
            return refused
        license = balance.leaving(
            license,
            Release(
                in_use=request.in_use,
                to_device=request.to_device,
                requested_by=request.caller,
                requested_at=changes.now,
                reason=request.reason,
                nonce=rules.nonce(),
                device_dead=request.device_dead,
            ),
        )
    elif (license.release.to_device, license.release.device_dead) != (request.to_device, request.device_dead):
        return move_problems.release_under_way(license)
    elif request.in_use.value > license.release.in_use.value:
        license = balance.pressed(license, request.in_use)
    changes.put(license)
    revoked = NOTHING_REVOKED
    if request.in_use.takes_seats:
        revoked = revoke(changes, license, request.in_use)
    return Moved(license.id, try_to_complete(changes, license, rules) or license, revoked=revoked)


def _release_refused(changes: LicenseChanges, license: License, request: ReleaseLicenses) -> MoveRefusal | None:
    asked = AskedMove(kind=MoveKind.RELEASE, license=license.id)
    if request.to_device:
        device = moves.target_device(changes.estate, request.to_device, devices=_device_names(changes))
        if isinstance(device, MoveRefusal):
            return device
        asked = replace(asked, kind=MoveKind.REBIND, device=device)
    if license.device is not None and request.in_use is InUse.REFUSE:
        leaving = {leaving.id for leaving in changes.estate.licenses if leaving.release is not None} | {license.id}
        asked = replace(asked, used=changes.used(license), leaving=leaving, holders=changes.holders(license))
    if refused := move_refused(asked, changes.estate, software=changes.software):
        return refused
    assert license.device is not None
    if license.device.public_key is None and not request.device_dead:
        return move_problems.DEVICE_NOT_ENROLLED.of(license)
    return None


def _cancel(
    changes: LicenseChanges, license: License, request: CancelReleases, rules: MoveRules
) -> Moved | MoveRefusal:
    if license.release is None:
        return move_problems.NO_RELEASE_UNDER_WAY.of(license)
    if license.release.ends_use:
        return move_problems.use_ended(license)
    after = balance.staying(license)
    changes.put(after)
    return Moved(license.id, after)


def _approve(
    changes: LicenseChanges, license: License, request: ApproveReleases, rules: MoveRules
) -> Moved | MoveRefusal:
    release = license.release
    if release is None or release.ends_use or not (release.device_dead or license.key_on_word_of):
        return move_problems.NO_RELEASE_UNDER_WAY.of(license)
    if operator_of(request.caller) in {
        operator_of(caller) for caller in (release.requested_by, *license.key_on_word_of)
    }:
        return move_problems.SAME_OPERATOR.of(license)
    after = balance.approved(license, request.caller)
    changes.put(after)
    return Moved(license.id, try_to_complete(changes, after, rules) or after)


_STEPS: dict[type[Move], tuple[Act, str]] = {
    BindLicenses: (_bind, "licenses.bound"),
    ReleaseLicenses: (_release, "licenses.release_requested"),
    CancelReleases: (_cancel, "licenses.release_cancelled"),
    ApproveReleases: (_approve, "licenses.release_approved"),
}
_NOTHING_MOVED = "licenses.move_refused"


def _device_names(changes: LicenseChanges) -> frozenset[str]:
    return device_names(changes.tx, changes.estate.project_id)


def _when_all_is_done(estate: Estate) -> Estate:
    """Return the estate as it will be once all releases under way are complete: warnings to an operator are about that
    state (F6).
    """
    licenses = []
    for license in estate.licenses:
        if license.release is None:
            licenses.append(license)
        else:
            target = estate.pbx_on.get(license.release.to_device)
            licenses.append(replace(license, device=target.device if target else None, release=None))
    return replace(estate, licenses=tuple(licenses))


# --- The audit --------------------------------------------------------------------------------------------------------


def _plain_result(result: Moved, before: License | None) -> dict[str, Any]:
    result_row: dict[str, Any] = {"license": result.license_id}
    if result.refused is not None:
        result_row["refused"] = {"problem": result.refused.problem.name, "message": result.refused.message}
    elif before is not None and result.license is not None:
        result_row |= {"before": plain(before), "after": plain(result.license)}
    if result.revoked != NOTHING_REVOKED:
        result_row |= {"seats_revoked": result.revoked.seats, "seats_at_risk": result.revoked.at_risk}
    return result_row
