"""A project before and after a change, side by side: version limits, pools with their use and peak, features.

Numbers and names only; `advice.py` says whether they are good, and what to do.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

from master.domain.catalog.versions import Version
from master.domain.catalog.words import Metering
from master.domain.estate.estate import Estate, Pbx
from master.domain.estate.installations import Installation, License
from master.domain.estate.license_refs import LicenseRef
from master.domain.monitoring.overview import PoolUse
from master.domain.planning.changes import Planned
from master.values import Value


class LimitForecast(Value):
    """The highest software that an installation allows before and after, and the licenses that limit it (B3, B7)."""

    device: str
    before: int | None
    after: int | None
    software: int
    """The highest major version that a PBX drawing on the installation runs then."""
    blocking: tuple[LicenseRef, ...]
    """The licenses of lower versions than `software`."""
    pbxs_above: tuple[str, ...]
    """The PBXs above the limit then, which get no new seats (B5)."""
    is_caused: bool
    """Whether the change puts a PBX above the limit, or asks for a version above it (B7); else it is so today (B10)."""


class PoolForecast(Value):
    """The licenses of one type on one device; licenses whose release is under way are not counted (L5)."""

    device: str
    license_type: str
    display_name: str
    capacity_before: int
    capacity_after: int
    capacity_unblocked: int
    """The licenses left after the change, without those that keep the change from being made."""
    used: int
    """Seats in use now."""
    wanted: int
    """Seats that would be debited from the pool then if everyone asked anew, the refused ones included."""
    peak: int
    """The most seats ever in use at once, since the pool was created."""
    peak_at: float | None
    """The moment of the peak, UNIX seconds."""
    wanted_at_peak: int
    """`wanted` in an hour with as many seats as at the peak; where pools join, as if their peaks came together."""

    @property
    def missing(self) -> int:
        """Licenses that would be missing without the blocking ones."""
        return max(self.wanted - self.capacity_unblocked, 0)

    @property
    def missing_at_peak(self) -> int:
        """Licenses that would be missing in an hour with as many seats as at the peak."""
        return max(self.wanted_at_peak - self.capacity_unblocked, 0)

    @property
    def to_return(self) -> int:
        """Seats that have to be returned before the licenses can leave (L5)."""
        return max(self.used - self.capacity_after, 0)


class FeatureForecast(Value):
    """A feature that a change turns on or off; it is on while enough licenses are installed (F2, F6, I5)."""

    device: str
    license_type: str
    display_name: str
    on_after: bool
    installed: int
    needed: int
    """How many licenses must be installed then: as many as of `matched_type`."""
    matched_type: str


class Forecasts(Value):
    limits: tuple[LimitForecast, ...]
    pools: tuple[PoolForecast, ...]
    features: tuple[FeatureForecast, ...]


def limit_forecasts(
    before: Estate, planned: Planned, *, software_before: Mapping[int, Version]
) -> tuple[LimitForecast, ...]:
    """Forecast the limit of each installation (B9), and of devices whose own licenses block their PBX (D3)."""
    after, limits, drawing = planned.estate, list[LimitForecast](), _drawing(planned.estate)
    drew = _drawing(before)
    for device_id, installation in after.installations.items():
        software = max(planned.software.get(pbx.id, pbx.software).major for pbx in drawing[device_id])
        blocking = installation.limiting_below(Version(software))
        central = device_id == after.master.device.id
        if not (central or installation.is_local or blocking):
            continue
        earlier = before.installations.get(device_id)
        above = _above(installation, drawing[device_id], planned.software)
        above_before = _above(earlier, drew[device_id], software_before) if earlier else set()
        limits.append(
            LimitForecast(
                device=installation.device.name,
                before=earlier.limit if earlier else None,
                after=installation.limit,
                software=software,
                blocking=tuple(license.ref for license in blocking),
                pbxs_above=tuple(pbx.name for pbx in after.pbxs_above_limit(installation, planned.software)),
                is_caused=bool(above - (above_before - planned.upgraded)),
            )
        )
    return tuple(sorted(limits, key=lambda forecast: (forecast.device != after.master.device.name, forecast.device)))


def too_old_for_the_pool(
    before: Estate, planned: Planned, *, software_before: Mapping[int, Version]
) -> tuple[Pbx, ...]:
    """Return the PBXs with software that may draw on no pool (A5), by the change or as an `Upgrade` asks."""
    after, pbxes = planned.estate, list[Pbx]()
    for pbx in after.pbxs.values():
        earlier, runs = before.pbxs.get(pbx.id), planned.software.get(pbx.id, pbx.software)
        ran = software_before.get(pbx.id, pbx.software)
        was = earlier is not None and before.central_software_missing(earlier, ran) is not None
        if after.central_software_missing(pbx, runs) is not None and (pbx.id in planned.upgraded or not was):
            pbxes.append(pbx)
    return tuple(pbxes)


def pool_forecasts(
    before: Estate,
    after: Estate,
    *,
    limits: Iterable[LimitForecast],
    uses: Mapping[int, PoolUse],
    wanted: Mapping[tuple[int, str], int],
) -> tuple[PoolForecast, ...]:
    """Forecast all pools that exist before or after, or that seats would be drawn from.

    `limits` say which licenses block an installation; `uses` are the seats debited, by pool id, and `wanted` the seats
    that would be drawn, by (device id, license type).
    """
    names = {(device_id, key) for estate in (before, after) for device_id, key in _pools(estate)} | set(wanted)
    blocked = _blocked({ref.id for limit in limits if limit.is_caused for ref in limit.blocking}, after.licenses)
    moving = _moving_peaks(before, after, uses)
    forecasts = []
    for device_id, key in names:
        installation = after.installations[device_id]
        use = uses.get(before.pool_ids.get((device_id, key), 0), PoolUse(0, 0, None))
        capacity = _capacity(after, device_id, key)
        drawn = wanted.get((device_id, key), 0)
        forecasts.append(
            PoolForecast(
                device=installation.device.name,
                license_type=key,
                display_name=after.catalog.types[key].display_name,
                capacity_before=_capacity(before, device_id, key),
                capacity_after=capacity,
                capacity_unblocked=capacity - blocked[device_id, key],
                used=use.used,
                wanted=drawn,
                peak=use.peak,
                peak_at=use.peak_at,
                wanted_at_peak=max(use.peak + drawn - use.used + moving[device_id, key], drawn),
            )
        )
    central = after.master.device.name
    return tuple(
        sorted(forecasts, key=lambda forecast: (forecast.device != central, forecast.device, forecast.display_name))
    )


def feature_forecasts(before: Estate, after: Estate) -> Iterator[FeatureForecast]:
    """List the features that a change turns on or off."""
    for device_id, installation in after.installations.items():
        earlier = before.installations.get(device_id)
        for license_type in after.catalog.types.values():
            if license_type.metering is not Metering.SWITCH or license_type.matches is None:
                continue
            was_on = earlier is not None and before.feature_is_on(earlier, license_type)
            is_on = after.feature_is_on(installation, license_type)
            if was_on is not is_on:
                yield FeatureForecast(
                    device=installation.device.name,
                    license_type=license_type.key,
                    display_name=license_type.display_name,
                    on_after=is_on,
                    installed=installation.capacity.get(license_type.key, 0),
                    needed=installation.capacity.get(license_type.matches, 0),
                    matched_type=license_type.matches,
                )


def _drawing(estate: Estate) -> defaultdict[int, list[Pbx]]:
    """Return the PBXs that may draw on each device, by device id."""
    drawing: defaultdict[int, list[Pbx]] = defaultdict(list)
    for pbx in estate.pbxs.values():
        for device_id in {pbx.device.id, estate.installation_of(pbx).device.id}:
            drawing[device_id].append(pbx)
    return drawing


def _above(installation: Installation, pbxs: Iterable[Pbx], software: Mapping[int, Version]) -> set[int]:
    """Return the ids of the PBXs that run a higher version than an installation allows."""
    limit = installation.limit
    return {pbx.id for pbx in pbxs if limit is not None and software.get(pbx.id, pbx.software).major > limit}


def _blocked(ids: set[str], licenses: Iterable[License]) -> Counter[tuple[int, str]]:
    """Count the bound licenses with some ids, by (device id, license type)."""
    blocked: Counter[tuple[int, str]] = Counter()
    for license in licenses:
        if license.id in ids and license.device is not None and license.release is None:
            blocked[license.device.id, license.type.key] += license.quantity
    return blocked


def _moving_peaks(before: Estate, after: Estate, uses: Mapping[int, PoolUse]) -> Counter[tuple[int, str]]:
    """Count how far peaks exceed the use now, moved into the pool with each PBX that goes central."""
    peaks: Counter[tuple[int, str]] = Counter()
    central = after.master.device.id
    for pbx in before.pbxs.values():
        if not before.is_local(pbx) or after.is_local(pbx):
            continue
        for key in before.installations[pbx.device.id].capacity:
            if not before.catalog.types[key].makes_local:
                continue
            use = uses.get(before.pool_ids[pbx.device.id, key])
            if use is not None:
                peaks[central, key] += use.peak - use.used
                peaks[pbx.device.id, key] -= use.peak - use.used
    return peaks


def _pools(estate: Estate) -> Iterator[tuple[int, str]]:
    for device_id, installation in estate.installations.items():
        for key in installation.capacity:
            yield device_id, key


def _capacity(estate: Estate, device_id: int, key: str) -> int:
    """Return the licenses of a pool that seats can be granted from, without those whose release is under way (L5)."""
    installation = estate.installations.get(device_id)
    return installation.capacity.get(key, 0) - installation.leaving.get(key, 0) if installation else 0
