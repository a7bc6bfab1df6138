"""What to say of a plan: whether it can be done, why not, what to watch, and the smallest change that would help.

This module words what `forecast.py` and `replay.py` found, and finds nothing itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from enum import IntEnum

from master.domain.catalog.words import VersionBasis
from master.domain.estate.estate import Estate, Pbx
from master.domain.estate.installations import License
from master.domain.estate.license_refs import LicenseRef
from master.domain.estate.tiers import missing_below_tier
from master.domain.licenses.move_problems import MoveProblem, MoveRefusal
from master.domain.planning.forecast import FeatureForecast, Forecasts, LimitForecast, PoolForecast
from master.domain.planning.replay import RefusedSeats
from master.domain.seats.refusals.reasons import counted, some
from master.values import Value


class Verdict(IntEnum):
    """Whether a change can be made."""

    OK = 1
    OK_WITH_WARNINGS = 2
    """The change can be made, but something is worth knowing first."""
    NOT_POSSIBLE = 3
    """A license cannot be moved, an installation would be above its version limit, or seats would be refused."""


class AdviceAction(IntEnum):
    """What to do so that a planned change becomes possible."""

    RELEASE = 1
    """Release licenses, or replace them by newer ones (B6)."""
    REPLACE = 2
    """Replace licenses that can never be released by newer ones (D4)."""
    ADD = 3
    """Add licenses."""
    RETURN = 4
    """Have seats returned, drained or revoked before their licenses go (L5)."""
    UPGRADE = 5
    """Upgrade licenses under their agreement, free of charge (M1)."""
    RENEW = 6
    """Buy or renew an agreement that ends (P1, R3)."""


class Advice(Value, kw_only=True):
    """One step that makes a planned change possible, or that a planned change makes necessary."""

    action: AdviceAction
    text: str
    device: str
    license_type: str = ""
    quantity: int = 0
    """Licenses to add, or seats to return, for the seats in use now."""
    quantity_at_peak: int = 0
    """Licenses to add so that an hour with as many seats as at the peak passes without a refusal."""
    version: int | None = None
    """The lowest version that added licenses may have; None where any version will do."""
    licenses: tuple[LicenseRef, ...] = ()
    """Licenses to release or replace."""


# --- Why not ----------------------------------------------------------------------------------------------------------


def reasons(
    limits: Sequence[LimitForecast],
    refused: Sequence[RefusedSeats],
    obstacles: Sequence[MoveRefusal],
    *,
    too_old: Sequence[Pbx] = (),
    ended: str = "",
) -> Iterator[str]:
    """List why a planned change cannot be made, one sentence each; empty where it can be made.

    `too_old` are PBXs whose software may draw on no pool; `ended` is a sentence on uses that have ended by then.
    """
    hopeless = [obstacle for obstacle in obstacles if obstacle.problem is not MoveProblem.IN_USE]
    new = [refused_seats for refused_seats in refused if refused_seats.seats > refused_seats.already]
    yield from (_sentence(move_refusal) for move_refusal in hopeless)
    yield from (_above(limit) for limit in limits if limit.is_caused and limit.pbxs_above)
    if too_old:
        yield f"{some([pbx.name for pbx in too_old])} would run software too old to draw on the pool (rules A5, L4)"
    if new:
        yield from (_sentence(obstacle) for obstacle in obstacles if obstacle.problem is MoveProblem.IN_USE)
        yield from (ended,) if ended else ()
        yield _refusals(new)


def _sentence(refused: MoveRefusal) -> str:
    return f"{refused.message} ({_rules(refused.rules)})"


def _above(limit: LimitForecast) -> str:
    return (
        f"{limit.device} would run V{limit.software}, but is licensed up to V{limit.after} by"
        f" {some(limit.blocking)}: {some(limit.pbxs_above)} would get nothing new (rules B3, B5)"
    )


def _refusals(refused: Sequence[RefusedSeats]) -> str:
    seats = sum(refused_seats.seats - refused_seats.already for refused_seats in refused)
    sites = dict.fromkeys(refused_seats.site for refused_seats in refused)
    return f"{counted(seats, 'seat')} at {some(list(sites))} would be refused, were everyone to ask anew"


# --- What to watch ----------------------------------------------------------------------------------------------------


def warnings(
    before: Estate,
    after: Estate,
    forecasts: Forecasts,
    refused: Sequence[RefusedSeats],
    obstacles: Sequence[MoveRefusal],
) -> Iterator[str]:
    """List what is worth knowing of a planned change and does not prevent it, one sentence each."""
    if not any(refused_seats.seats > refused_seats.already for refused_seats in refused):
        yield from (_sentence(obstacle) for obstacle in obstacles if obstacle.problem is MoveProblem.IN_USE)
    yield from (_above(limit) for limit in forecasts.limits if limit.pbxs_above and not limit.is_caused)
    if already := sum(refused_seats.already for refused_seats in refused):
        yield f"{counted(already, 'seat')} would be refused today already, were everyone to ask anew"
    for pool in forecasts.pools:
        if pool.missing_at_peak > pool.missing:
            yield (
                f"at its peak {pool.device} would need {pool.wanted_at_peak:,} {pool.display_name} seats and have"
                f" {pool.capacity_unblocked:,}"
            )
    yield from (_feature_off(feature, after) for feature in forecasts.features if not feature.on_after)
    for pbx in before.pbxs.values():
        if after.is_local(pbx) and not before.is_local(pbx):
            yield f"{pbx.name} would be licensed locally, and the pool closed to it (rule A3)"
    yield from _tiers_left_alone(before, after)


def _feature_off(feature: FeatureForecast, estate: Estate) -> str:
    matched, rules = estate.catalog.types[feature.matched_type], estate.catalog.types[feature.license_type].rules
    installed = f"{feature.installed:,} installed for {feature.needed:,} {matched.display_name}"
    why = installed if feature.installed else "none would be installed"
    return f"{feature.display_name} would be off on {feature.device}: {why} ({_rules(rules)})"


def _tiers_left_alone(before: Estate, after: Estate) -> Iterator[str]:
    """List the licenses of a price tier that would have too few of lower tiers before them (E4), as sentences."""
    lacked = {
        license.id: missing_below_tier(before, license, license.device)
        for license in before.licenses
        if license.device is not None and license.tier
    }
    for license in after.licenses:
        if license.device is None or not license.tier:
            continue
        missing = missing_below_tier(after, license, license.device)
        if missing > lacked.get(license.id, 0):
            yield (
                f"{license.ref} on {license.device.name} is for use from the {license.tier + 1:,}. license on, and"
                f" {missing:,} of those below it would be missing (rule E4)"
            )


# --- What would help --------------------------------------------------------------------------------------------------


def advice(
    after: Estate, forecasts: Forecasts, *, upgrades: Mapping[str, Collection[int]], ended: Sequence[License]
) -> Iterator[Advice]:
    """List the smallest changes that make a plan possible, or avoid its warnings.

    `upgrades` are the versions that licenses can get free of charge, by license id; `ended` are the licenses whose use
    ends by then.
    """
    yield from _renew(ended)
    ending = {(license.device.name, license.type.key) for license in ended if license.device is not None}
    releasable = {
        license.id
        for license in after.licenses
        if license.device is not None and not license.type.stays_on(license.device.platform)
    }
    for limit in forecasts.limits:
        if limit.is_caused:
            yield from _upgrade(limit, upgrades)
            yield from _unblock(limit, releasable)
    software = {limit.device: limit.software for limit in forecasts.limits}
    for pool in forecasts.pools:
        versioned = after.catalog.types[pool.license_type].version_basis is VersionBasis.PBX
        seats = max(pool.used - pool.capacity_unblocked, 0)
        if seats and (pool.device, pool.license_type) not in ending:
            yield _return(pool, seats)
        if pool.missing_at_peak:
            yield _add(pool, software.get(pool.device) if versioned else None)
    for feature in forecasts.features:
        if not feature.on_after and feature.installed:
            missing = feature.needed - feature.installed
            yield Advice(
                action=AdviceAction.ADD,
                text=f"add {counted(missing, f'{feature.display_name} license')} to {feature.device}",
                device=feature.device,
                license_type=feature.license_type,
                quantity=missing,
                quantity_at_peak=missing,
            )


def _renew(ended: Sequence[License]) -> Iterator[Advice]:
    for license in ended:
        if license.agreed is not None and license.device is not None:
            yield Advice(
                action=AdviceAction.RENEW,
                text=f"buy or renew {license.agreed.subject} in time, and {license.ref} stays",
                device=license.device.name,
                license_type=license.type.key,
                licenses=(license.ref,),
            )


def _upgrade(limit: LimitForecast, upgrades: Mapping[str, Collection[int]]) -> Iterator[Advice]:
    able = tuple(ref for ref in limit.blocking if limit.software in upgrades.get(ref.id, ()))
    if able:
        rest = "" if able == limit.blocking else "; that leaves the others"
        yield Advice(
            action=AdviceAction.UPGRADE,
            text=f"upgrade {some(able)} to V{limit.software} under their agreement, free of charge (rule M1){rest}",
            device=limit.device,
            version=limit.software,
            licenses=able,
        )


def _unblock(limit: LimitForecast, releasable: set[str]) -> Iterator[Advice]:
    free = tuple(ref for ref in limit.blocking if ref.id in releasable)
    fixed = tuple(ref for ref in limit.blocking if ref.id not in releasable)
    if free:
        yield Advice(
            action=AdviceAction.RELEASE,
            text=f"release {some(free)} from {limit.device}, or replace by V{limit.software} licenses",
            device=limit.device,
            version=limit.software,
            licenses=free,
        )
    if fixed:
        yield Advice(
            action=AdviceAction.REPLACE,
            text=f"have {some(fixed)} on {limit.device} replaced by V{limit.software} licenses; never released (D4)",
            device=limit.device,
            version=limit.software,
            licenses=fixed,
        )


def _return(pool: PoolForecast, seats: int) -> Advice:
    return Advice(
        action=AdviceAction.RETURN,
        text=(
            f"have {counted(seats, f'{pool.display_name} seat')} on {pool.device} returned, drained or revoked before"
            f" its licenses leave: {pool.used:,} are in use, {pool.capacity_unblocked:,} licenses stay (rule L5)"
        ),
        device=pool.device,
        license_type=pool.license_type,
        quantity=seats,
    )


def _add(pool: PoolForecast, version: int | None) -> Advice:
    licenses = f"{pool.display_name} license"
    of_version = f" of V{version} or newer" if version else ""
    if pool.missing:
        without = "without the blocking licenses " if pool.capacity_unblocked < pool.capacity_after else ""
        text = (
            f"add {counted(pool.missing, licenses)}{of_version} to {pool.device}:"
            f" {without}it has {pool.capacity_unblocked:,} for {pool.wanted:,} seats"
        )
        if pool.missing_at_peak > pool.missing:
            text += f"; add {pool.missing_at_peak:,} to have enough for {pool.wanted_at_peak:,} at the peak"
    else:
        text = (
            f"add {counted(pool.missing_at_peak, licenses)}{of_version} to {pool.device} to have enough for"
            f" {pool.wanted_at_peak:,} seats at the peak"
        )
    return Advice(
        action=AdviceAction.ADD,
        text=text,
        device=pool.device,
        license_type=pool.license_type,
        quantity=pool.missing,
        quantity_at_peak=pool.missing_at_peak,
        version=version,
    )


def _rules(rules: Iterable[str]) -> str:
    listed = list(rules)
    return f"rule{'s' if len(listed) > 1 else ''} {', '.join(listed)}"
