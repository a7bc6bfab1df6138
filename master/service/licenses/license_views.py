"""Licenses as operators see them: with what their releases still wait for."""

from __future__ import annotations

from master.domain.catalog.words import LeaseState
from master.domain.estate.estate import Estate
from master.domain.estate.installations import License
from master.domain.estate.lease_time import LeaseTime
from master.store.backends.database import Tx
from master.store.statements import queries
from master.values import Value, replace


class LicenseView(Value):
    """A license, and what its release still waits for."""

    license: License
    is_cooling_off: bool = False
    is_over: bool = False
    """Whether the agreement that brought the license no longer lets it be used."""
    seats_to_go: int = 0
    seats_unreachable: int = 0
    unreachable_until: float | None = None
    """When the last lease of PBXs that cannot be reached and have seats to give back ends, UNIX seconds."""
    time_zone: str = "UTC"
    """The time zone in which the days of the license's agreement are counted."""


def license_views(tx: Tx, estate: Estate, licenses: list[License], time: LeaseTime) -> list[LicenseView]:
    views = [
        LicenseView(
            license=license,
            is_cooling_off=license.held_until is not None and time.now < license.held_until,
            is_over=license.use_is_over(time.now),
            time_zone=estate.time_zone,
        )
        for license in licenses
    ]
    if all(license.release is None for license in licenses):
        return views
    used, usage = queries.pools_used(tx, estate.project_id), queries.usage_of_project(tx, estate.project_id)
    leases = queries.leases_of_project(tx, estate.project_id)
    silent = {pbx: lease.ends_at for pbx, lease in leases.items() if lease.state(time) is not LeaseState.ACTIVE}
    for index, license in enumerate(licenses):
        if license.release is None or license.device is None:
            continue
        pool_id = estate.pool_ids.get((license.device.id, license.type.key), 0)  # none: it went in the meantime
        stays = max(estate.installations[license.device.id].seats_staying_without(license), 0)
        to_go = max(used.get(pool_id, 0) - stays, 0)
        away = {pbx: use.seats for (pool, pbx), use in usage.items() if pool == pool_id and pbx in silent and use.seats}
        unreachable = min(sum(away.values()), to_go)
        until = max(silent[pbx] for pbx in away) if unreachable else None
        views[index] = replace(views[index], seats_to_go=to_go, seats_unreachable=unreachable, unreachable_until=until)
    return views
