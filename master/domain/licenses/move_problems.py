"""Why a license is not moved: one closed list in order of precedence, what such a refusal carries, and its words.

`moves.py` finds the reasons that follow from the estate; the code that moves licenses finds the others, and words them
with what stands here. Whatever chooses between yes and no stands there, whatever only chooses words here.
"""

from __future__ import annotations

from enum import IntEnum

from licensemaster.values.moments import minute_text, second_text
from master.domain.estate.installations import Device, License
from master.domain.estate.license_refs import LicenseRef
from master.domain.seats.refusals.reasons import TopHolder, Way
from master.values import Value, replace


class MoveProblem(IntEnum):
    """The closed list of reasons; the number is the order of precedence.

    First what is wrong with the question, then what can never be, then what the target does not take, then what has to
    be waited for, then what is in use. The last ones never meet the others.
    """

    UNKNOWN_DEVICE = 1
    DEVICE_WITHOUT_PBX = 2
    NOT_BOUND = 3
    ALREADY_BOUND = 4
    """The license is bound to another device: it has to be rebound, not bound."""
    ALREADY_THERE = 5
    ALREADY_CENTRAL = 6
    """A PBX that is to go central has no local licenses (A5)."""
    DECLARED_IN_FILE = 7
    """The project file says where the license is, so its place is changed in the file."""
    NOT_RELEASABLE = 8
    """Licenses of the type are bound for good (C2, D4)."""
    FIRMWARE_TOO_OLD = 9
    """Firmware as old as the PBX's releases nothing, and cannot go central (L4, A5)."""
    WRONG_PLATFORM = 10
    """Licenses of the type go onto other devices only (D4)."""
    MODEL_EXCLUDED = 11
    """The device has licenses of the other model (I3)."""
    TIER_TOO_EARLY = 12
    """Too few licenses of lower tiers are installed (E5)."""
    RELEASE_UNDER_WAY = 13
    COOLING_OFF = 14
    IN_USE = 15
    """The seats of the license are in use (L5)."""
    DEVICE_NOT_ENROLLED = 16
    """The device has no key to certify with (L2)."""
    NO_RELEASE_UNDER_WAY = 17
    """There is no release to cancel or to approve."""
    SAME_OPERATOR = 18
    """A release has to be approved by another operator than the one who asked for it."""
    UNKNOWN_LICENSE = 19
    USE_ENDED = 20
    """The agreement that brought the license lets it be used no longer (P1, R3)."""


class MoveRefusal(Value, kw_only=True):
    """A refused move of a license, with everything needed to act on it."""

    problem: MoveProblem
    rules: tuple[str, ...]
    message: str
    remedy: str
    """What would help, in words."""
    license: LicenseRef | None = None
    """The license that was to move; None where the question was not about one."""
    device: str = ""
    """The device where the move fails: the target, or the one that the license is on."""
    missing: int = 0
    """How many licenses (E5) or returned seats (L5) are missing."""
    licenses: tuple[LicenseRef, ...] = ()
    """Other licenses that prevent the move (I3)."""
    top_holders: tuple[TopHolder, ...] = ()
    """The PBXs that hold the seats in use (L5), most first."""
    ways: tuple[Way, ...] = ()
    """The steps that let the license move, decided by `domain/remedies/move_remedies.py`; empty where none are
    known."""


class Wording(Value):
    """The words of one reason. `{license}`, `{id}` and `{type}` stand for the license, `{device}` for the device that
    is named, else the one that the license is on; other names in the texts are arguments of `of` and `at`."""

    problem: MoveProblem
    rules: str
    """The rules' ids, with spaces between."""
    message: str
    remedy: str

    def of(self, license: License, device: Device | None = None, **named: object) -> MoveRefusal:
        """Make the refusal of a move, about a license."""
        device = device or license.device
        device_name = device.name if device is not None else ""
        named |= {"license": license.ref, "id": license.id, "type": license.type.display_name}
        return replace(self.at(device_name, **named), license=license.ref)

    def at(self, device: str, **named: object) -> MoveRefusal:
        """Make the refusal of a move, about a device, or about none where the name is empty."""
        return MoveRefusal(
            problem=self.problem,
            rules=tuple(self.rules.split()),
            message=self.message.format(device=device, **named),
            remedy=self.remedy.format(device=device, **named),
            device=device,
        )


# --- What only the code that moves licenses can find ------------------------------------------------------------------

DECLARED_IN_FILE = Wording(
    MoveProblem.DECLARED_IN_FILE,
    "L1",
    "{license} is declared in the project file, which says where it is bound",
    "change the device of license {id} in the project file and apply it",
)
RELEASE_UNDER_WAY = Wording(
    MoveProblem.RELEASE_UNDER_WAY,
    "L2 L5",
    "a release of {license} is under way",
    "wait until that release ends, or cancel it first",
)
RELEASE_WAITS_FOR_OPERATOR = replace(
    RELEASE_UNDER_WAY, remedy="have another operator than the one who asked approve that release, or cancel it first"
)
COOLING_OFF = Wording(
    MoveProblem.COOLING_OFF,
    "L2 L3",
    "{license} was released without its device's certificate and cannot be bound before {end}",
    "bind it after {end}, or bind another license",
)
USE_ENDED = Wording(
    MoveProblem.USE_ENDED,
    "P1 R3",
    "{license} cannot be used any more: {subject} ended on {end}",
    "buy or renew {subject}, or use another license",
)
DEVICE_NOT_ENROLLED = Wording(
    MoveProblem.DEVICE_NOT_ENROLLED,
    "L2",
    "{device} has no key yet, so it cannot certify that it no longer uses {license}",
    "enrol {device} first, or, if it is dead, ask for a release without its certificate",
)
NO_RELEASE_UNDER_WAY = Wording(
    MoveProblem.NO_RELEASE_UNDER_WAY, "L2", "no release of {license} waits for that", "ask for its release first"
)
SAME_OPERATOR = Wording(
    MoveProblem.SAME_OPERATOR,
    "L2",
    "who asked for the release of {license}, or enrolled its device's key, cannot approve it as well",
    "have a second operator approve it",
)
UNKNOWN_LICENSE = Wording(
    MoveProblem.UNKNOWN_LICENSE,
    "L1",
    "{id!r} is no license of project {project}",
    "list the licenses of the project, or import the file that brings it",
)

# --- What moves.py judges ---------------------------------------------------------------------------------------------

UNKNOWN_DEVICE = Wording(
    MoveProblem.UNKNOWN_DEVICE, "L3", "{device!r} is no device of project {project}", "name one of {known}"
)
DEVICE_WITHOUT_PBX = Wording(
    MoveProblem.DEVICE_WITHOUT_PBX,
    "A1 A2",
    "{device} runs no PBX that licenses on it could serve",
    "name a device with a PBX, or give {device} a PBX in the project file first",
)
NOT_BOUND = Wording(
    MoveProblem.NOT_BOUND,
    "L1",
    "{license} is free in the project balance; there is nothing to release",
    "bind it to the device that is to have it",
)
ALREADY_BOUND = Wording(
    MoveProblem.ALREADY_BOUND,
    "L1",
    "{license} is bound to {device}; only what is free can be bound",
    "nothing takes it off {device}; bind another license",
)
ALREADY_THERE = Wording(
    MoveProblem.ALREADY_THERE,
    "L1",
    "{license} is bound to {device} already",
    "nothing needs to be done, or name another device",
)
ALREADY_CENTRAL = Wording(
    MoveProblem.ALREADY_CENTRAL,
    "A1 A5",
    "{pbx} has no local PBX licenses: it draws on the pool already",
    "nothing needs to be done, or name a locally licensed PBX",
)
NOT_RELEASABLE = Wording(
    MoveProblem.NOT_RELEASABLE,
    "L4 D4",
    "{license} is bound to {device} for good: {type} licenses are never released",
    "nothing takes it off {device}; bind other {type} licenses to the other device",
)
HARDWARE_NOT_RELEASABLE = replace(NOT_RELEASABLE, rules="L4 C2")
FIRMWARE_TOO_OLD = Wording(
    MoveProblem.FIRMWARE_TOO_OLD,
    "L4",
    "{pbx} on {device} runs {running}; nothing can be released from firmware older than {first}",
    "upgrade {pbx} to {first} or newer first",
)
TOO_OLD_FOR_CENTRAL = replace(
    FIRMWARE_TOO_OLD,
    rules="A5 L4",
    message="{pbx} runs {running}; going from local to central needs PBX software {first} or newer",
)
WRONG_PLATFORM = Wording(
    MoveProblem.WRONG_PLATFORM,
    "D4",
    "{license} goes onto devices of the platform {platforms} only; {device} is a {platform}",
    "name a device of the platform {platforms}",
)
MODEL_EXCLUDED = Wording(
    MoveProblem.MODEL_EXCLUDED,
    "I3",
    "{device} is licensed by {other}; {type} cannot be combined with it",
    "stay with {other} on {device}: nothing takes those licenses off it",
)
TIER_TOO_EARLY = Wording(
    MoveProblem.TIER_TOO_EARLY,
    "E4 E5",
    "{license} counts from the {from_license:,}. license on, but only {below:,} {type} licenses of lower tiers are"
    " installed, on {device} or in the project; {missing:,} missing",
    "bind {missing:,} more {type} licenses without a tier first",
)
IN_USE = Wording(
    MoveProblem.IN_USE,
    "L5",
    "{used:,} {type} seats on {device} are in use, and {left:,} licenses would be left{held_by}",
    "have {missing:,} {type} seats returned first, or ask to drain or to revoke them",
)

# --- What stands in several places ------------------------------------------------------------------------------------


def release_under_way(license: License) -> MoveRefusal:
    """Refuse to move a license because a release of it has begun and has not ended."""
    return (RELEASE_WAITS_FOR_OPERATOR if license.waits_for_operator else RELEASE_UNDER_WAY).of(license)


def cooling_off(license: License, *, until: float) -> MoveRefusal:
    """Refuse to bind a license that was released without its device's certificate, before `until` (UNIX seconds)."""
    return COOLING_OFF.of(license, end=second_text(until))


def use_ended(license: License) -> MoveRefusal:
    """Refuse to bind a license that no agreement in the ledger lets anybody use any more (P1, R3)."""
    assert license.agreed is not None
    assert license.agreed.ends_at is not None
    return USE_ENDED.of(license, subject=license.agreed.subject, end=minute_text(license.agreed.ends_at))
