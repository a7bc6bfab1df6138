"""The words of a refusal: one function for each reason, named after it and in its order.

`eligibility.py` and `decide_seats.py` find that something is refused and hand in what they found; here it becomes a
message, the rules and numbers behind it, and the licenses or seats to name. Whatever only chooses words belongs here;
whatever chooses between yes and no does not. What would help is decided, by `domain/remedies/remedies.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from licensemaster.api_enums import HolderKind, RemedyAction
from master.domain.catalog.catalog import Catalog, LicenseType, RequiredOf, Requirement
from master.domain.catalog.versions import Version
from master.domain.catalog.words import Metering
from master.domain.estate.estate import Pbx
from master.domain.estate.installations import Installation, License
from master.domain.seats.refusals.reasons import Refusal, RefusalReason, Remedy, SeatRef, Step, Way, some
from master.domain.seats.seats import Seat, Want

# --- What is wrong with the question ----------------------------------------------------------------------------------


def unknown_license_type(type_key: str, catalog: Catalog) -> Refusal:
    """Refuse a license type that the catalog does not have, and name those that it has (L8)."""
    return Refusal(
        reason=RefusalReason.UNKNOWN_LICENSE_TYPE,
        rules=("L8",),
        message=f"the catalog {catalog.name!r} has no license type {type_key!r}",
        license_type=type_key,
        accepted=tuple(sorted(catalog.types)),
    )


def holder_kind(license_type: LicenseType, kind: HolderKind) -> Refusal:
    """Refuse a seat to a kind of holder that can have none of the type, and name those that can."""
    return Refusal(
        reason=RefusalReason.HOLDER_KIND,
        rules=license_type.rules,
        message=f"a {license_type.display_name} seat cannot be held by a {kind.name}",
        license_type=license_type.key,
        accepted=tuple(sorted(holder.name for holder in license_type.holders)),
    )


# --- What the installation does not allow at all ----------------------------------------------------------------------


def software_too_old(license_type: LicenseType, pbx: Pbx, software: Version) -> Refusal:
    """Refuse a seat because the PBX software is too old to have the feature (I4, K4, K6)."""
    needed = license_type.minimum_software
    return Refusal(
        reason=RefusalReason.SOFTWARE_TOO_OLD,
        rules=license_type.minimum_software_rules or license_type.rules,
        message=f"{license_type.display_name} needs PBX software {needed} or newer; {pbx.name} runs {software}",
        license_type=license_type.key,
        software=needed,
    )


def too_old_for_pool(
    license_type: LicenseType, pbx: Pbx, software: Version, needed: Version, installation: Installation
) -> Refusal:
    """Refuse a seat of the pool because central licensing needs newer PBX software; local licenses do not (A5, L4)."""
    return Refusal(
        reason=RefusalReason.SOFTWARE_TOO_OLD,
        rules=("A5", "L4"),
        message=(
            f"{pbx.name} runs {software}; drawing on the pool on {installation.device.name} needs PBX software"
            f" {needed} or newer"
        ),
        license_type=license_type.key,
        device=installation.device.name,
        software=needed,
    )


def model_excluded(license_type: LicenseType, installation: Installation, rivals: Sequence[License]) -> Refusal:
    """Refuse a seat because the installation has the other license model, and name the licenses of that (I3)."""
    device, other = installation.device.name, rivals[0].type
    return Refusal(
        reason=RefusalReason.MODEL_EXCLUDED,
        rules=("I3",),
        message=(
            f"{device} is licensed by {other.display_name}; {license_type.display_name} cannot be combined with it"
        ),
        license_type=license_type.key,
        device=device,
        licenses=tuple(rival.ref for rival in rivals),
    )


def version_limit(license_type: LicenseType, pbx: Pbx, software: Version, installation: Installation) -> Refusal:
    """Refuse a seat because the PBX software is above the limit, and name the licenses that limit it (B5)."""
    limiting = installation.limiting_below(software)
    return Refusal(
        reason=RefusalReason.VERSION_LIMIT,
        rules=("B3", "B5", *(("D3",) if license_type.metering is Metering.COMPANION else ())),
        message=above_limit(pbx, software, installation),
        license_type=license_type.key,
        device=installation.device.name,
        capacity=installation.capacity.get(license_type.key, 0),
        licenses=tuple(license.ref for license in limiting),
    )


def above_limit(pbx: Pbx, software: Version, installation: Installation) -> str:
    """Say what a PBX runs, and up to which version it is licensed (B5, B10)."""
    return f"{pbx.name} runs {software}, but {installation.device.name} is licensed up to V{installation.limit}"


def feature_off(
    license_type: LicenseType, matched: LicenseType, installation: Installation, *, local: Pbx | None
) -> Refusal:
    """Refuse a seat of a feature that is off, with what is missing (F2, I5); `local` is the PBX that asks, where the
    pool is closed to it (A3)."""
    installed, needed = installation.capacity.get(license_type.key, 0), installation.capacity.get(matched.key, 0)
    missing = max(needed - installed, 1)
    return Refusal(
        reason=RefusalReason.FEATURE_OFF,
        rules=(*license_type.rules, *(("A3",) if local is not None else ())),
        message=(
            f"{license_type.display_name} is off on {installation.device.name}: {installed} installed for"
            f" {needed} {matched.display_name}, {missing} missing"
            + (f"; {closed_by(local, installation)}" if local is not None else "")
        ),
        license_type=license_type.key,
        device=installation.device.name,
        capacity=installed,
        wanted=needed,
        licenses=tuple(license.ref for license in installation.making_local) if local is not None else (),
    )


def application_version(
    license_type: LicenseType, installation: Installation, application: Version | None, limit: int | None
) -> Refusal:
    """Refuse a seat because the application is newer than the licenses allow, or its version was not given (B8)."""
    holding_down = tuple(license for license in installation.of_type(license_type.key) if license.version == limit)
    if application is None:
        message = f"{license_type.display_name} is held against the application's version, which was not given"
    else:
        message = f"the application is {application}, but {license_type.display_name} licenses allow up to V{limit}"
    return Refusal(
        reason=RefusalReason.APPLICATION_VERSION,
        rules=("B8",),
        message=message,
        license_type=license_type.key,
        device=installation.device.name,
        capacity=installation.capacity.get(license_type.key, 0),
        licenses=tuple(license.ref for license in holding_down),
    )


# --- What the PBX lacks beside it -------------------------------------------------------------------------------------


def requirement_missing(
    license_type: LicenseType, needed: Requirement, want: Want, *, pbx: Pbx, catalog: Catalog
) -> Refusal:
    """Refuse a seat that needs another, and say which must be held, and by whom (H4, H6, J2, K3, K8)."""
    types = [catalog.types[key] for key in needed.any_of]
    who, holder, kind, unnamed = {
        RequiredOf.USER: (f"user {want.subject}", want.subject, want.kind, "the user on whose behalf it is used"),
        RequiredOf.LINE: (f"outside line {want.line}", want.line, HolderKind.TRUNK, "the outside line"),
        RequiredOf.PBX: (f"PBX {pbx.name}", pbx.name, HolderKind.PBX, ""),
    }[needed.of]
    return Refusal(
        reason=RefusalReason.REQUIREMENT_MISSING,
        rules=license_type.rules,
        message=(
            f"{license_type.display_name} needs {' or '.join(accepted.display_name for accepted in types)} for"
            f" {who if holder else unnamed}"
        ),
        license_type=license_type.key,
        wanted=1,
        lacks=tuple(SeatRef(accepted.key, _kind_for(accepted, kind), holder) for accepted in types) if holder else (),
        accepted=() if holder else (needed.of.value, unnamed),
    )


def _kind_for(license_type: LicenseType, kind: HolderKind) -> HolderKind:
    """Return the given kind of holder where it can hold the type, else the first kind that can."""
    return kind if kind in license_type.holders else min(license_type.holders)


def closed_by(pbx: Pbx, own: Installation) -> str:
    """Say which licenses make a PBX local, so that the pool is closed to it (A3)."""
    named = some([license.ref for license in own.making_local])
    return f"{pbx.name} is licensed locally by {named}, so the pool is closed to it"


# --- What cannot be returned ------------------------------------------------------------------------------------------


def still_required(license_type: LicenseType, dependents: Sequence[Seat], *, short: Refusal | None = None) -> Refusal:
    """Refuse the return of a seat that others need, and name those (H5). `short` is why an included seat finds no
    license of its own (H2)."""
    seats = tuple(SeatRef(seat.type, HolderKind(seat.kind), seat.holder) for seat in dependents)
    return Refusal(
        reason=RefusalReason.STILL_REQUIRED,
        rules=("H5", *license_type.rules),
        message=(
            f"{license_type.display_name} is still required by {some([str(seat) for seat in seats])}"
            f"{f'; {short.message}' if short is not None else ''}"
        ),
        license_type=license_type.key,
        seats=seats,
        short=short,
    )


# --- What was taken away ----------------------------------------------------------------------------------------------


def revoked(license_type: LicenseType, want: Want) -> Refusal:
    """Refuse a seat that was taken away, by an operator or at the end of its use, and is not given back yet (L5,
    P1)."""
    return Refusal(
        reason=RefusalReason.REVOKED,
        rules=("L5",),
        message=f"the {license_type.display_name} seat of {want.holder} was taken away",
        license_type=license_type.key,
        seats=(SeatRef(want.type, want.kind, want.holder),),
    )


# --- What has no second one -------------------------------------------------------------------------------------------


def one_per_pbx(license_type: LicenseType, pbx: Pbx, held: Seat) -> Refusal:
    """Refuse a second seat of a type that a PBX has one of, and name the one held (K2)."""
    seat = SeatRef(held.type, HolderKind(held.kind), held.holder)
    return Refusal(
        reason=RefusalReason.ONE_PER_PBX,
        rules=license_type.rules,
        message=f"{pbx.name} has its one {license_type.display_name} already: {seat}",
        license_type=license_type.key,
        seats=(seat,),
    )


# --- What cannot be read ----------------------------------------------------------------------------------------------


def malformed_seat(field: str, reason: str) -> Refusal:
    """Refuse a wanted seat of which a field is wrong; the rest of the call is decided without it."""
    step, text = Step(action=RemedyAction.CORRECT_REQUEST, field=field), f"correct {field}"
    return Refusal(
        reason=RefusalReason.MALFORMED_SEAT,
        rules=(),
        message=f"{field}: {reason}",
        license_type="",
        remedy=Remedy(ways=(Way((step,), text),), main=step, text=text),
    )
