"""Why a license is not moved: one closed list in order of precedence, what such a "no" carries, and how it is worded.

`moves.py` finds the reasons that follow from the estate; the code that moves licenses finds the others, and words them
with the functions here. Whatever chooses between yes and no stands there, whatever only chooses words here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from licensemaster.values.moments import minute_text, second_text
from master.domain.catalog.versions import Version
from master.domain.estate.estate import Device, Estate, License, Pbx
from master.domain.estate.license_refs import LicenseRef
from master.domain.seats.refusals import MOST_HOLDERS, MOST_NAMED, TopHolder, Way


class MoveProblem(IntEnum):
    """The closed list; the number is the order of precedence.

    First what is wrong with the question, then what can never be, then what the target does not take, then what has to
    be waited for, then what is in use. The last ones never meet the others.
    """

    UNKNOWN_DEVICE = 1
    DEVICE_WITHOUT_PBX = 2
    NOT_BOUND = 3
    ALREADY_BOUND = 4
    """Bound to another device: it is rebound, not bound."""
    ALREADY_THERE = 5
    ALREADY_CENTRAL = 6
    """A PBX that is to go central has no local licenses (A5)."""
    DECLARED_IN_FILE = 7
    """The project file says where the license is; what the file says is changed in the file."""
    NOT_RELEASABLE = 8
    """C2, D4."""
    FIRMWARE_TOO_OLD = 9
    """L4, A5."""
    WRONG_PLATFORM = 10
    """D4: such licenses go onto other devices only."""
    MODEL_EXCLUDED = 11
    """I3."""
    TIER_TOO_EARLY = 12
    """E5."""
    RELEASE_UNDER_WAY = 13
    COOLING_OFF = 14
    IN_USE = 15
    """L5."""
    DEVICE_NOT_ENROLLED = 16
    """The device has no key to certify with (L2)."""
    NO_RELEASE_UNDER_WAY = 17
    """There is nothing to cancel or to approve."""
    SAME_OPERATOR = 18
    """Approval takes another operator than the one who asked."""
    UNKNOWN_LICENSE = 19
    USE_ENDED = 20
    """The agreement that brought it lets it be used no longer (P1, R3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveRefusal:
    """One "no" to a move, with everything needed to act on it."""

    problem: MoveProblem
    rules: tuple[str, ...]
    message: str
    remedy: str
    """What would help, in words."""
    license: LicenseRef | None = None
    """The license that was to move; None where the question was not about one."""
    device: str = ""
    """The device that stands in the way: the target, or the one that the license is on."""
    missing: int = 0
    """Licenses (E5) or seats given back (L5) that it would take."""
    licenses: tuple[LicenseRef, ...] = ()
    """Other licenses that stand in the way (I3)."""
    top_holders: tuple[TopHolder, ...] = ()
    """Who holds what is in use (L5), most first."""
    ways: tuple[Way, ...] = ()
    """The steps that let it move, decided by `domain/remedies/move_remedies.py`; empty where the words are all there
    is.
    """


# --- Words for what only the code that moves licenses can find --------------------------------------------------------


def declared_in_file(license: License) -> MoveRefusal:
    """The project file says where the license is bound."""
    return MoveRefusal(
        problem=MoveProblem.DECLARED_IN_FILE,
        rules=("L1",),
        message=f"{license.ref} is declared in the project file, which says where it is bound",
        remedy=f"change the device of license {license.id} in the project file and apply it",
        license=license.ref,
        device=_on(license),
    )


def release_under_way(license: License) -> MoveRefusal:
    """A release of the license has begun and has not ended."""
    return MoveRefusal(
        problem=MoveProblem.RELEASE_UNDER_WAY,
        rules=("L2", "L5"),
        message=f"a release of {license.ref} is under way",
        remedy=(
            "have another operator than the one who asked approve that release, or cancel it first"
            if license.waits_for_operator
            else "wait until that release ends, or cancel it first"
        ),
        license=license.ref,
        device=_on(license),
    )


def cooling_off(license: License, *, until: float) -> MoveRefusal:
    """It was released without its device's certificate and waits; `until` is UNIX time in seconds."""
    end = second_text(until)
    return MoveRefusal(
        problem=MoveProblem.COOLING_OFF,
        rules=("L2", "L3"),
        message=f"{license.ref} was released without its device's certificate and cannot be bound before {end}",
        remedy=f"bind it after {end}, or bind another license",
        license=license.ref,
    )


def use_ended(license: License) -> MoveRefusal:
    """P1, R3: nothing in the agreement ledger entitles to it any more."""
    assert license.agreed is not None
    assert license.agreed.ends_at is not None
    end = minute_text(license.agreed.ends_at)
    return MoveRefusal(
        problem=MoveProblem.USE_ENDED,
        rules=("P1", "R3"),
        message=f"{license.ref} cannot be used any more: {license.agreed.subject} ended on {end}",
        remedy=f"buy or renew {license.agreed.subject}, or use another license",
        license=license.ref,
        device=_on(license),
    )


def device_not_enrolled(license: License, device: Device) -> MoveRefusal:
    """L2: without a key the device cannot certify."""
    return MoveRefusal(
        problem=MoveProblem.DEVICE_NOT_ENROLLED,
        rules=("L2",),
        message=f"{device.name} has no key yet, so it cannot certify that it no longer uses {license.ref}",
        remedy=f"enrol {device.name} first, or, if it is dead, ask for a release without its certificate",
        license=license.ref,
        device=device.name,
    )


def no_release_under_way(license: License) -> MoveRefusal:
    """Nothing waits to be cancelled or approved."""
    return MoveRefusal(
        problem=MoveProblem.NO_RELEASE_UNDER_WAY,
        rules=("L2",),
        message=f"no release of {license.ref} waits for that",
        remedy="ask for its release first",
        license=license.ref,
        device=_on(license),
    )


def same_operator(license: License) -> MoveRefusal:
    """L2: two people have to agree that a device is dead."""
    return MoveRefusal(
        problem=MoveProblem.SAME_OPERATOR,
        rules=("L2",),
        message=f"who asked for the release of {license.ref}, or enrolled its device's key, cannot approve it as well",
        remedy="have a second operator approve it",
        license=license.ref,
        device=_on(license),
    )


def unknown_license(estate: Estate, license_id: str) -> MoveRefusal:
    """The project has no such license."""
    return MoveRefusal(
        problem=MoveProblem.UNKNOWN_LICENSE,
        rules=("L1",),
        message=f"{license_id!r} is no license of project {estate.name}",
        remedy="list the licenses of the project, or import the file that brings it",
    )


# --- Words for what moves.py judges -----------------------------------------------------------------------------------


def unknown_device(estate: Estate, name: str) -> MoveRefusal:
    """The project has no such device; says which it has."""
    known = ", ".join(sorted(estate.pbx_on)[:MOST_NAMED])
    return MoveRefusal(
        problem=MoveProblem.UNKNOWN_DEVICE,
        rules=("L3",),
        message=f"{name!r} is no device of project {estate.name}",
        remedy=f"name one of {known}",
        device=name,
    )


def device_without_pbx(name: str) -> MoveRefusal:
    """Licenses serve a PBX, and no PBX runs there."""
    return MoveRefusal(
        problem=MoveProblem.DEVICE_WITHOUT_PBX,
        rules=("A1", "A2"),
        message=f"{name} runs no PBX that licenses on it could serve",
        remedy=f"name a device with a PBX, or give {name} a PBX in the project file first",
        device=name,
    )


def not_bound(license: License) -> MoveRefusal:
    """Refuse: the license is free in the balance."""
    return MoveRefusal(
        problem=MoveProblem.NOT_BOUND,
        rules=("L1",),
        message=f"{license.ref} is free in the project balance; there is nothing to release",
        remedy="bind it to the device that is to have it",
        license=license.ref,
    )


def already_bound(license: License, device: Device) -> MoveRefusal:
    return MoveRefusal(
        problem=MoveProblem.ALREADY_BOUND,
        rules=("L1",),
        message=f"{license.ref} is bound to {device.name}; only what is free can be bound",
        remedy=f"nothing takes it off {device.name}; bind another license",
        license=license.ref,
        device=device.name,
    )


def already_there(license: License, device: Device) -> MoveRefusal:
    """Refuse: the license is where it should go."""
    return MoveRefusal(
        problem=MoveProblem.ALREADY_THERE,
        rules=("L1",),
        message=f"{license.ref} is bound to {device.name} already",
        remedy="nothing needs to be done, or name another device",
        license=license.ref,
        device=device.name,
    )


def already_central(pbx: Pbx) -> MoveRefusal:
    """A5: the PBX has nothing that keeps it local."""
    return MoveRefusal(
        problem=MoveProblem.ALREADY_CENTRAL,
        rules=("A1", "A5"),
        message=f"{pbx.name} has no local PBX licenses: it draws on the pool already",
        remedy="nothing needs to be done, or name a locally licensed PBX",
        device=pbx.device.name,
    )


def not_releasable(license: License, device: Device) -> MoveRefusal:
    """C2, D4: bound for good."""
    name = license.type.display_name
    return MoveRefusal(
        problem=MoveProblem.NOT_RELEASABLE,
        rules=("L4", "D4" if license.type.versioned else "C2"),  # C3: hardware has no version
        message=f"{license.ref} is bound to {device.name} for good: {name} licenses are never released",
        remedy=f"nothing takes it off {device.name}; bind other {name} licenses to the other device",
        license=license.ref,
        device=device.name,
    )


def wrong_platform(license: License, device: Device) -> MoveRefusal:
    """D4: a device of that platform cannot have it; says which can."""
    platforms = " or ".join(sorted(license.type.platforms))
    return MoveRefusal(
        problem=MoveProblem.WRONG_PLATFORM,
        rules=("D4",),
        message=(
            f"{license.ref} goes onto devices of the platform {platforms} only; {device.name} is a {device.platform}"
        ),
        remedy=f"name a device of the platform {platforms}",
        license=license.ref,
        device=device.name,
    )


def firmware_too_old(license: License, device: Device, pbx: Pbx, running: Version, *, first: Version) -> MoveRefusal:
    """L4: the firmware of its device cannot release."""
    return MoveRefusal(
        problem=MoveProblem.FIRMWARE_TOO_OLD,
        rules=("L4",),
        message=(
            f"{pbx.name} on {device.name} runs {running}; nothing can be released from firmware older than {first}"
        ),
        remedy=f"upgrade {pbx.name} to {first} or newer first",
        license=license.ref,
        device=device.name,
    )


def too_old_for_central(pbx: Pbx, running: Version, *, first: Version) -> MoveRefusal:
    """A5: the PBX cannot draw on a pool yet."""
    return MoveRefusal(
        problem=MoveProblem.FIRMWARE_TOO_OLD,
        rules=("A5", "L4"),
        message=(f"{pbx.name} runs {running}; going from local to central needs PBX software {first} or newer"),
        remedy=f"upgrade {pbx.name} to {first} or newer first",
        device=pbx.device.name,
    )


def model_excluded(license: License, device: Device, rivals: Sequence[License]) -> MoveRefusal:
    """I3: two license models never meet in one installation; names the licenses of the other."""
    other = rivals[0].type
    return MoveRefusal(
        problem=MoveProblem.MODEL_EXCLUDED,
        rules=("I3",),
        message=(
            f"{device.name} is licensed by {other.display_name}; {license.type.display_name} cannot be combined with it"
        ),
        remedy=f"stay with {other.display_name} on {device.name}: nothing takes those licenses off it",
        license=license.ref,
        device=device.name,
        licenses=tuple(rival.ref for rival in rivals),
    )


def tier_too_early(license: License, device: Device, missing: int) -> MoveRefusal:
    """E5: says how many are missing below the tier."""
    name, tier = license.type.display_name, license.tier or 0
    return MoveRefusal(
        problem=MoveProblem.TIER_TOO_EARLY,
        rules=("E4", "E5"),
        message=(
            f"{license.ref} counts from the {tier + 1:,}. license on, but only {tier - missing:,} {name} licenses of"
            f" lower tiers are installed, on {device.name} or in the project; {missing:,} missing"
        ),
        remedy=f"bind {missing:,} more {name} licenses without a tier first",
        license=license.ref,
        device=device.name,
        missing=missing,
    )


def in_use(license: License, *, used: int, left: int, holders: Sequence[TopHolder]) -> MoveRefusal:
    """L5: says who holds the seats, and how many have to come back."""
    missing, name = used - left, license.type.display_name
    named = ", ".join(f"{holder.pbx.rpartition('/')[2]} ({holder.seats:,})" for holder in holders[:MOST_HOLDERS])
    return MoveRefusal(
        problem=MoveProblem.IN_USE,
        rules=("L5",),
        message=(
            f"{used:,} {name} seats on {_on(license)} are in use, and {left:,} licenses would be left"
            + (f"; most are held by {named}" if named else "")
        ),
        remedy=f"have {missing:,} {name} seats returned first, or ask to drain or to revoke them",
        license=license.ref,
        device=_on(license),
        missing=missing,
        top_holders=tuple(holders[:MOST_HOLDERS]),
    )


def _on(license: License) -> str:
    return license.device.name if license.device is not None else ""
