"""How a refusal is worded: one function for each reason, named after it and in its order, and the remedies.

`terms.py` and `decide.py` find that something is refused and hand in what they found; here it becomes a message, the
rules and numbers behind it, the licenses or seats to name, and the smallest change that would help. Whatever only
chooses words belongs here; whatever chooses between yes and no does not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from master.domain.catalog import Catalog, LicenseType, RequiredOf, Requirement
from master.domain.estate import Estate, Installation, License, Pbx
from master.domain.ledger import PoolScore
from master.domain.refusals import MOST_NAMED, TOO_FEW, Refusal, RefusalReason, Remedy, RemedyAction, SeatRef
from master.domain.seats import Granted, Seat, Want
from master.domain.versions import Version
from master.domain.words import Basis, DrawnFrom, HolderKind, Metering, VersionBasis

# --- What is wrong with the question ----------------------------------------------------------------------------------


def unknown_license_type(type_key: str, catalog: Catalog) -> Refusal:
    """L8: the catalog has no such type; says which it has."""
    known = ", ".join(sorted(catalog.types))
    return Refusal(
        reason=RefusalReason.UNKNOWN_LICENSE_TYPE,
        rules=("L8",),
        message=f"the catalog {catalog.name!r} has no license type {type_key!r}",
        remedy=Remedy(action=RemedyAction.CORRECT_REQUEST, text=f"use one of {known}"),
        license_type=type_key,
    )


def holder_kind(license_type: LicenseType, kind: HolderKind) -> Refusal:
    """Such a holder can have no seat of the type; says which can."""
    if license_type.metering is Metering.COMPANION:
        remedy = "acquire the seat that it belongs to; this one is debited with it"
    else:
        remedy = "name one of these kinds of holder: " + ", ".join(sorted(one.name for one in license_type.holders))
    return Refusal(
        reason=RefusalReason.HOLDER_KIND,
        rules=license_type.rules,
        message=f"a {license_type.display_name} seat cannot be held by a {kind.name}",
        remedy=Remedy(action=RemedyAction.CORRECT_REQUEST, text=remedy, license_type=license_type.key),
        license_type=license_type.key,
    )


# --- What the installation does not allow at all ----------------------------------------------------------------------


def software_too_old(license_type: LicenseType, pbx: Pbx, software: Version) -> Refusal:
    """I4, K4, K6: the PBX software does not have the feature yet."""
    needed = license_type.minimum_software
    return Refusal(
        reason=RefusalReason.SOFTWARE_TOO_OLD,
        rules=license_type.rules,
        message=f"{license_type.display_name} needs PBX software {needed} or newer; {pbx.name} runs {software}",
        remedy=Remedy(
            action=RemedyAction.UPGRADE_SOFTWARE,
            text=f"upgrade {pbx.name} to {needed} or newer",
            license_type=license_type.key,
            version=str(needed),
        ),
        license_type=license_type.key,
    )


def model_excluded(license_type: LicenseType, installation: Installation, rivals: Sequence[License]) -> Refusal:
    """I3: two license models never meet in one installation; names the licenses of the other."""
    device, other = installation.device.name, rivals[0].type
    return Refusal(
        reason=RefusalReason.MODEL_EXCLUDED,
        rules=("I3",),
        message=(
            f"{device} is licensed by {other.display_name}; {license_type.display_name} cannot be combined with it"
        ),
        remedy=Remedy(
            action=RemedyAction.REPLACE_LICENSES,
            text=f"stay with {other.display_name}, or take those licenses off {device}",
            license_type=other.key,
            device=device,
        ),
        license_type=license_type.key,
        device=device,
        licenses=tuple(item.ref for item in rivals[:MOST_NAMED]),
    )


def version_limit(license_type: LicenseType, pbx: Pbx, software: Version, installation: Installation) -> Refusal:
    """B5: lists what holds the limit down, and what would be left without it (B6)."""
    limiting = installation.limiting
    named = ", ".join(str(item.ref) for item in limiting[:MOST_NAMED])
    left = sum(
        item.quantity
        for item in installation.of_type(license_type.key)
        if item.version is not None and item.version >= software.major
    )
    return Refusal(
        reason=RefusalReason.VERSION_LIMIT,
        rules=("B3", "B5", *(("D3",) if license_type.metering is Metering.COMPANION else ())),
        message=above_limit(pbx, software, installation),
        remedy=Remedy(
            action=RemedyAction.REPLACE_LICENSES,
            text=(
                f"run V{installation.limit} on {pbx.name}, or replace {named} by V{software.major} licenses;"
                f" {left} {license_type.display_name} licenses of V{software.major} or newer are left without them"
            ),
            license_type=license_type.key,
            device=installation.device.name,
            version=str(software.major),
        ),
        license_type=license_type.key,
        device=installation.device.name,
        capacity=installation.capacity.get(license_type.key, 0),
        licenses=tuple(item.ref for item in limiting[:MOST_NAMED]),
    )


def above_limit(pbx: Pbx, software: Version, installation: Installation) -> str:
    """B5, B10: what a PBX runs against what is allowed."""
    return f"{pbx.name} runs {software}, but {installation.device.name} is licensed up to V{installation.limit}"


def feature_off(license_type: LicenseType, matched: LicenseType, installation: Installation) -> Refusal:
    """F2, I5: off, and says what is missing."""
    installed, needed = installation.capacity.get(license_type.key, 0), installation.capacity.get(matched.key, 0)
    missing = max(needed - installed, 1)
    return Refusal(
        reason=RefusalReason.FEATURE_OFF,
        rules=license_type.rules,
        message=(
            f"{license_type.display_name} is off on {installation.device.name}: {installed} installed for"
            f" {needed} {matched.display_name}, {missing} missing"
        ),
        remedy=Remedy(
            action=RemedyAction.ADD_LICENSES,
            text=f"bind {missing} more {license_type.display_name} licenses to {installation.device.name}",
            license_type=license_type.key,
            quantity=missing,
            device=installation.device.name,
        ),
        license_type=license_type.key,
        device=installation.device.name,
        capacity=installed,
        wanted=needed,
    )


def application_version(
    license_type: LicenseType, installation: Installation, application: Version | None, limit: int | None
) -> Refusal:
    """B8: the application is newer than the licenses held against it, or was not named."""
    holding_down = tuple(item for item in installation.of_type(license_type.key) if item.version == limit)
    if application is None:
        message = f"{license_type.display_name} is held against the application's version, which was not given"
        remedy = Remedy(
            action=RemedyAction.CORRECT_REQUEST, text="name the application's version", license_type=license_type.key
        )
    else:
        message = f"the application is {application}, but {license_type.display_name} licenses allow up to V{limit}"
        remedy = Remedy(
            action=RemedyAction.DOWNGRADE_SOFTWARE,
            text=f"run the application at V{limit}, or replace {', '.join(str(item.ref) for item in holding_down)}",
            license_type=license_type.key,
            version=str(limit),
        )
    return Refusal(
        reason=RefusalReason.APPLICATION_VERSION,
        rules=("B8",),
        message=message,
        remedy=remedy,
        license_type=license_type.key,
        device=installation.device.name,
        capacity=installation.capacity.get(license_type.key, 0),
        licenses=tuple(item.ref for item in holding_down[:MOST_NAMED]),
    )


# --- What the PBX lacks beside it -------------------------------------------------------------------------------------


def requirement_missing(
    license_type: LicenseType, needed: Requirement, want: Want, *, pbx: Pbx, catalog: Catalog
) -> Refusal:
    """H4, H6, J2, K3, K8: says what must be held, and by whom."""
    names = " or ".join(catalog.types[key].display_name for key in needed.any_of)
    who = {
        RequiredOf.USER: f"user {want.subject}" if want.subject else "the user on whose behalf it is used",
        RequiredOf.LINE: f"outside line {want.line}" if want.line else "the outside line",
        RequiredOf.PBX: f"PBX {pbx.name}",
    }[needed.of]
    unnamed = (needed.of is RequiredOf.USER and not want.subject) or (needed.of is RequiredOf.LINE and not want.line)
    return Refusal(
        reason=RefusalReason.REQUIREMENT_MISSING,
        rules=license_type.rules,
        message=f"{license_type.display_name} needs {names} for {who}",
        remedy=Remedy(
            action=RemedyAction.CORRECT_REQUEST if unnamed else RemedyAction.ACQUIRE_FIRST,
            text=f"name {who} in the request" if unnamed else f"acquire {names} for {who} first",
            license_type=needed.any_of[0],
        ),
        license_type=license_type.key,
        wanted=1,
    )


# --- What is merely used up -------------------------------------------------------------------------------------------


def local_licenses_only(
    license_type: LicenseType, pbx: Pbx, own: Installation, *, in_use: int, pool_id: int | None
) -> Refusal:
    """A3: the pool is closed to a PBX with licenses of its own; names them."""
    capacity = own.capacity.get(license_type.key, 0)
    return Refusal(
        reason=RefusalReason.LOCAL_LICENSES_ONLY,
        rules=("A2", "A3"),
        message=(
            f"{pbx.name} is licensed locally on {own.device.name}, which has {capacity} {license_type.display_name}"
            f" licenses, {in_use} in use{_or_leaving(own, license_type)}; the pool is closed to it"
        ),
        remedy=add_local_licenses(license_type, own, quantity=1),
        license_type=license_type.key,
        device=own.device.name,
        capacity=capacity,
        in_use=in_use,
        wanted=1,
        pool_id=pool_id,
        licenses=tuple(item.ref for item in own.making_local[:MOST_NAMED]),
    )


def none_installed(license_type: LicenseType, installation: Installation) -> Refusal:
    """There is no license of the type where the PBX draws on."""
    device = installation.device.name
    return Refusal(
        reason=RefusalReason.NONE_INSTALLED,
        rules=_rules_of_pool(license_type),
        message=f"no {license_type.display_name} license is installed on {device}",
        remedy=add_licenses(license_type, installation, quantity=1, or_wait=False),
        license_type=license_type.key,
        device=device,
        wanted=1,
    )


def pool_exhausted(
    license_type: LicenseType, installation: Installation, last: Installation, pool: PoolScore, *, pool_id: int
) -> Refusal:
    """A1: every license is in use; more would help in `installation`, and the pool tried last is that of `last`."""
    return Refusal(
        reason=RefusalReason.POOL_EXHAUSTED,
        rules=_rules_of_pool(license_type),
        message=(
            f"all {pool.capacity} {license_type.display_name} licenses on {last.device.name} are in use"
            f"{_or_leaving(last, license_type)}"
        ),
        remedy=add_licenses(license_type, installation, quantity=1, or_wait=True),
        license_type=license_type.key,
        device=last.device.name,
        capacity=pool.capacity,
        in_use=pool.used,
        wanted=1,
        pool_id=pool_id,
    )


def companion_exhausted(
    license_type: LicenseType, companion: LicenseType, pbx: Pbx, installation: Installation, pools: dict[int, PoolScore]
) -> Refusal:
    """D1, D2: the seat itself was free, its companion was not; `pools` are those tried, in order."""
    capacity = sum(pool.capacity for pool in pools.values())
    return Refusal(
        reason=RefusalReason.COMPANION_EXHAUSTED,
        rules=companion.rules,
        message=(
            f"a {license_type.display_name} seat on {pbx.name} needs a {companion.display_name} seat with it,"
            f" and all {capacity} of those are in use{_or_leaving(installation, companion)}"
        ),
        remedy=add_licenses(companion, installation, quantity=1, or_wait=bool(pools)),
        license_type=companion.key,
        device=installation.device.name,
        capacity=capacity,
        in_use=sum(pool.used for pool in pools.values()),
        wanted=1,
        pool_id=next(reversed(pools), None),
    )


def _or_leaving(installation: Installation, license_type: LicenseType) -> str:
    """L5: licenses whose release is under way are not lent any more."""
    leaving = installation.leaving.get(license_type.key, 0)
    return f", or being released ({leaving})" if leaving else ""


def _rules_of_pool(license_type: LicenseType) -> tuple[str, ...]:
    return license_type.rules if license_type.drawn_from is DrawnFrom.OWN_DEVICE else ("A1", *license_type.rules)


# --- What cannot be returned ------------------------------------------------------------------------------------------


def still_required(license_type: LicenseType, dependents: Sequence[Seat], *, because: str = "") -> Refusal:
    """H5: other seats need it; names them."""
    seats = tuple(SeatRef(seat.type, HolderKind(seat.kind), seat.holder) for seat in dependents[:MOST_NAMED])
    named = ", ".join(str(seat) for seat in seats)
    return Refusal(
        reason=RefusalReason.STILL_REQUIRED,
        rules=("H5", *license_type.rules),
        message=f"{license_type.display_name} is still required by {named}{because}",
        remedy=Remedy(action=RemedyAction.RETURN_FIRST, text=f"return {named} first", license_type=seats[0].type),
        license_type=license_type.key,
        seats=seats,
    )


# --- What was taken away ----------------------------------------------------------------------------------------------


def revoked(license_type: LicenseType, want: Want) -> Refusal:
    """L5, P1: the seat was taken away, by an operator or as its use ended, and has not been given back yet."""
    return Refusal(
        reason=RefusalReason.REVOKED,
        rules=("L5",),
        message=f"the {license_type.display_name} seat of {want.holder} was taken away",
        remedy=Remedy(
            action=RemedyAction.RETURN_FIRST,
            text="stop using it and return it; then it can be asked for anew",
            license_type=license_type.key,
        ),
        license_type=license_type.key,
        seats=(SeatRef(want.type, want.kind, want.holder),),
    )


# --- What cannot be known yet -----------------------------------------------------------------------------------------


def learning(license_type: LicenseType, pbx: Pbx, estate: Estate) -> Refusal:
    """The database was restored: how many licenses are free shows when every lease signed before has ended."""
    assert estate.learning is not None
    until = datetime.fromtimestamp(estate.learning.until, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return Refusal(
        reason=RefusalReason.LEARNING,
        rules=_rules_of_pool(license_type),
        message=(
            f"the license master was restored from a backup and learns until {until} what is in use;"
            f" {pbx.name} gets no {license_type.display_name} seat beyond those that its signed lease proves"
        ),
        remedy=Remedy(
            action=RemedyAction.WAIT,
            text=f"wait until {until}; `license-master project end-learning` ends it earlier, and may lend twice",
            license_type=license_type.key,
        ),
        license_type=license_type.key,
    )


# --- Remedies where licenses are short, and what a whole call is short of ---------------------------------------------


def add_licenses(license_type: LicenseType, installation: Installation, *, quantity: int, or_wait: bool) -> Remedy:
    """More licenses, of the version that does not lower the limit; or to wait, where some are in use."""
    by_application = license_type.version_basis is VersionBasis.APPLICATION  # B8
    limit = installation.application_limit(license_type.key) if by_application else installation.limit
    version = str(limit) if license_type.versioned and limit is not None else ""
    of_version = f" of V{version} or newer" if version else ""
    licenses, seats = ("license", "1 seat comes") if quantity == 1 else ("licenses", f"{quantity} seats come")
    waiting = f", or wait until {seats} back" if or_wait else ""
    return Remedy(
        action=RemedyAction.ADD_LICENSES,
        text=(
            f"bind {quantity} more {license_type.display_name} {licenses}{of_version} to"
            f" {installation.device.name}{waiting}"
        ),
        license_type=license_type.key,
        quantity=quantity,
        device=installation.device.name,
        version=version,
    )


def add_local_licenses(license_type: LicenseType, own: Installation, *, quantity: int) -> Remedy:
    """A3: more licenses on the PBX's own device, or none of its own at all."""
    local = ", ".join(str(item.ref) for item in own.making_local[:MOST_NAMED])
    return Remedy(
        action=RemedyAction.ADD_LICENSES,
        text=(
            f"bind {quantity} more {license_type.display_name} licenses to {own.device.name}, or move the PBX to"
            f" central licensing by releasing {local}"
        ),
        license_type=license_type.key,
        quantity=quantity,
        device=own.device.name,
    )


def with_totals(
    wants: Sequence[Want], outcomes: list[Granted | Refusal], remedy: Callable[[Want, Refusal, int], Remedy]
) -> list[Granted | Refusal]:
    """Refusals for want of licenses tell the numbers of the whole call: one explanation for all of a kind.

    Args:
        wants: what was asked for.
        outcomes: what is answered, in the same order.
        remedy: what would help where so many seats were refused like the one given.
    """
    short = {
        index: outcome
        for index, outcome in enumerate(outcomes)
        if type(outcome) is Refusal and outcome.reason in TOO_FEW
    }
    if not short:
        return outcomes
    refused = Counter(map(_group, short.values()))
    new = Counter(
        want.type for want, outcome in zip(wants, outcomes, strict=True)
        if isinstance(outcome, Refusal) or (outcome.basis is Basis.DEBITED and not outcome.already_held)
    )  # fmt: skip
    told: dict[tuple[RefusalReason, str, int], Refusal] = {}
    for index, refusal in short.items():
        group = _group(refusal)
        if group not in told:
            want = wants[index]
            told[group] = replace(refusal, wanted=new[want.type], remedy=remedy(want, refusal, refused[group]))
        outcomes[index] = told[group]
    return outcomes


def _group(refusal: Refusal) -> tuple[RefusalReason, str, int]:
    return refusal.reason, refusal.license_type, refusal.pool_id or 0
