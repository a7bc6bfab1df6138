"""The words of refusals where no license is free: one function for each reason, named after it (A1 to A3, D1, D2).

`shortages.py` finds which reason it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from licensemaster.values.moments import second_text
from master.domain.catalog.catalog import LicenseType
from master.domain.catalog.words import DrawnFrom
from master.domain.estate.estate import Estate, Pbx
from master.domain.estate.installations import Installation, License
from master.domain.seats.refusals.explanations import closed_by
from master.domain.seats.refusals.reasons import Refusal, RefusalReason, some
from master.domain.seats.seat_working_set import PoolScore
from master.values import Value


def local_licenses_only(
    license_type: LicenseType, pbx: Pbx, own: Installation, *, in_use: int, pool_id: int | None
) -> Refusal:
    """Refuse a seat of the pool to a PBX with licenses of its own, and name those licenses (A3)."""
    capacity = own.capacity.get(license_type.key, 0)
    return Refusal(
        reason=RefusalReason.LOCAL_LICENSES_ONLY,
        rules=("A2", "A3"),
        message=(
            f"{pbx.name} is licensed locally on {own.device.name}, which has {capacity} {license_type.display_name}"
            f" licenses, {in_use} in use{_or_leaving(own, license_type)}; the pool is closed to it"
        ),
        license_type=license_type.key,
        device=own.device.name,
        capacity=capacity,
        in_use=in_use,
        wanted=1,
        pool_id=pool_id,
        licenses=tuple(license.ref for license in own.making_local),
    )


def none_installed(license_type: LicenseType, installation: Installation) -> Refusal:
    """Refuse a seat because no license of the type is installed where the PBX may draw."""
    device = installation.device.name
    return Refusal(
        reason=RefusalReason.NONE_INSTALLED,
        rules=_rules_of_pool(license_type),
        message=f"no {license_type.display_name} license is installed on {device}",
        license_type=license_type.key,
        device=device,
        wanted=1,
    )


def pool_exhausted(license_type: LicenseType, last: Installation, pool: PoolScore, *, pool_id: int) -> Refusal:
    """Refuse a seat because every license is in use (A1); `last` has the pool that was tried last."""
    return Refusal(
        reason=RefusalReason.POOL_EXHAUSTED,
        rules=_rules_of_pool(license_type),
        message=(
            f"all {pool.capacity} {license_type.display_name} licenses on {last.device.name} are in use"
            f"{_or_leaving(last, license_type)}"
        ),
        license_type=license_type.key,
        device=last.device.name,
        capacity=pool.capacity,
        in_use=pool.used,
        wanted=1,
        pool_id=pool_id,
    )


class UsedUp(Value):
    """A license type of which no pool has a free license."""

    type: LicenseType
    installation: Installation
    """The installation where more licenses would help."""
    pools: Mapping[int, PoolScore]
    """The pools tried, in order, by id."""
    too_old: Sequence[License]
    """Licenses of the type that could be used if the PBX software were older (D3)."""


def companion_exhausted(license_type: LicenseType, used_up: UsedUp, pbx: Pbx, *, local: Installation | None) -> Refusal:
    """Refuse a seat because its companion is used up, though the seat itself was free (D1, D2).

    `used_up` is the companion; `local` is the PBX's own installation where the pool is closed to it (A3).
    """
    companion, installation, pools, too_old = used_up.type, used_up.installation, used_up.pools, used_up.too_old
    capacity = sum(pool.capacity for pool in pools.values())
    message = (
        f"a {license_type.display_name} seat on {pbx.name} needs a {companion.display_name} seat with it,"
        f" and all {capacity} of those are in use{_or_leaving(installation, companion)}"
    )
    rules, named = companion.rules, list(too_old)
    if too_old:
        rules += ("B2", "D3")
        message += f"; too old for its software: {some([license.ref for license in too_old])}"
    if local is not None:
        rules += ("A3",)
        message += f"; {closed_by(pbx, local)}"
        named += local.making_local
    return Refusal(
        reason=RefusalReason.COMPANION_EXHAUSTED,
        rules=rules,
        message=message,
        license_type=companion.key,
        device=installation.device.name,
        capacity=capacity,
        in_use=sum(pool.used for pool in pools.values()),
        wanted=1,
        pool_id=next(reversed(list(pools)), None),
        licenses=tuple(license.ref for license in named),
    )


def learning(license_type: LicenseType, pbx: Pbx, estate: Estate) -> Refusal:
    """Refuse a seat because the restored master knows what is free only when every lease signed before has ended."""
    assert estate.learning is not None
    until = second_text(estate.learning.until)
    return Refusal(
        reason=RefusalReason.LEARNING,
        rules=_rules_of_pool(license_type),
        message=(
            f"the license master was restored from a backup and learns until {until} what is in use;"
            f" {pbx.name} gets no {license_type.display_name} seat beyond those that its signed lease proves"
        ),
        license_type=license_type.key,
    )


def _or_leaving(installation: Installation, license_type: LicenseType) -> str:
    """Say how many licenses are being released, which are not lent any more (L5)."""
    leaving = installation.leaving.get(license_type.key, 0)
    return f", or being released ({leaving})" if leaving else ""


def _rules_of_pool(license_type: LicenseType) -> tuple[str, ...]:
    return license_type.rules if license_type.drawn_from is DrawnFrom.OWN_DEVICE else ("A1", *license_type.rules)
