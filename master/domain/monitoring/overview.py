"""An estate at one moment: plain data that status, tables and metrics are made from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from master.domain.allocation.overdraft import NOTHING_OVERDRAWN, Overdraft, OverdraftAccount
from master.domain.catalog.words import LeaseState
from master.domain.estate.estate import Estate
from master.domain.estate.learning import Learning
from master.domain.estate.lease_time import LeaseTime
from master.domain.estate.license_refs import LicenseRef
from master.domain.leases.claims import Claims
from master.domain.leases.leases import Lease, software_in_use
from master.domain.leases.standby import Readiness
from master.domain.monitoring.pool_counts import (
    PoolUsage,
    ReserveUse,
    SiteShare,
    kept,
    pool_counts,
    reserve_uses,
    site_shares,
)
from master.domain.seats.pools import PoolParts, parts, used_by_site
from master.values import Value, field

FIRST_CONTACT_SECONDS = 86_400.0
"""How long after its project was applied a PBX may take to come up for the first time."""


class PoolUse(Value):
    used: int
    """Seats debited or claimed."""
    peak: int
    """The most seats that were ever used, since the pool was made."""
    peak_at: float | None
    """When the peak was, as UNIX time in seconds; None where that is not known."""
    account: OverdraftAccount = NOTHING_OVERDRAWN
    """How far the pool is overdrawn, and what of the budget was spent."""


class PoolView(Value):
    """Licenses of one type on one device."""

    device: str
    license_type: str
    display_name: str
    parts: PoolParts
    central: bool
    feature_on: bool
    peak: int
    peak_at: float | None
    overdraft: Overdraft | None
    """None where nothing may be overdrawn, and nothing is."""
    waiting: int
    """Seats waited for; no part of the pool."""

    @property
    def capacity(self) -> int:
        """Licenses installed."""
        return self.parts.capacity


class LimitView(Value):
    """The highest software version allowed on one installation."""

    device: str
    version: int | None
    licenses: tuple[LicenseRef, ...]
    pbxs_above: tuple[str, ...]


class LearningView(Value, kw_only=True):
    """The progress of a master that learns after a restore."""

    learning: Learning
    pbxs_silent: int
    """PBXs that had a lease in the backup and have not opened it anew."""
    seats_known: int
    """Seats that the backup had."""
    seats_proven: int
    """Seats that PBXs have proven and go on using."""
    seats_unplaced: int
    """Seats proven for which there are no licenses: they were refused."""


class TermEnding(Value, kw_only=True):
    """The end of a term of an agreement that lies ahead."""

    subject: str
    """The subject for people: "license crm", "device S"."""
    policy: str
    title: str
    day: str
    """The first day on which the term no longer holds."""
    ends_at: float
    """When that day begins, UNIX seconds."""
    what_stops: str
    stops: bool
    """Whether seats stop on that day (P1, R3), or everything goes on (P5, Q7)."""
    remind: bool
    """Whether a person is to be reminded by now (M5), as the agreement does not renew by itself."""
    license: str
    """The license of the estate that the agreement is of: "100 x PBX-Port12 (ports) on hq-box"; empty for none."""


class UnpaidRenewal(Value, kw_only=True):
    """An automatic renewal that awaits its payment (P4, P9)."""

    order: int
    subject: str
    """The subject for people: "license crm"."""
    day: str
    """The day on which the renewal was ordered."""


class Overview(Value):
    """An estate at one moment."""

    project_id: int
    project: str
    revision: int
    pools: tuple[PoolView, ...]
    limits: tuple[LimitView, ...]
    site_seats: Mapping[tuple[str, str], int]
    """Seats debited by (site, license type)."""
    leases: Mapping[LeaseState, int]
    """PBXs by the state of their lease."""
    pairs: tuple[Readiness, ...] = ()
    """Standby pairs, with what prevents a takeover."""
    silent_since: Mapping[str, float] = field(default_factory=dict)
    """When the silent PBXs of a site were last heard of, the earliest of these times, by site; UNIX time in seconds.

    A PBX that never came up is silent from when its project was applied, once that is `FIRST_CONTACT_SECONDS` ago.
    """
    balance: Mapping[str, int] = field(default_factory=dict)
    """Free licenses in the project balance, by type."""
    agreement_ends: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """When the next service agreement ends, or the last one did where all have ended, by (device, license type), UNIX
    seconds; the device is empty for the balance."""
    learning: LearningView | None = None
    """Set while the master learns after a restore."""
    dead_messages: Mapping[str, int] = field(default_factory=dict)
    """Messages that could not be delivered in all attempts, by webhook."""
    endings: tuple[TermEnding, ...] = ()
    """The ends of agreements that lie ahead, the earliest first."""
    shares: tuple[SiteShare, ...] = ()
    """What sites have, want and would get of the shared pools that are divided, or whose type has a policy."""
    reserves: tuple[ReserveUse, ...] = ()
    """The seats used and unused of each allocation rule's reserve."""
    unpaid_renewals: tuple[UnpaidRenewal, ...] = ()
    """Renewals that were ordered automatically and await their payment."""


class ProjectRecords(Value):
    """The records of a project beside its estate, to be added up."""

    used: Mapping[int, PoolUse]
    """Seats debited or claimed, by pool id."""
    usage: Mapping[tuple[int, int], PoolUsage]
    """Seats debited and counted, by (pool id, PBX id)."""
    claims: Mapping[int, Claims]
    """Claims by PBX id, of PBXs for which more is counted than they hold."""
    leases: Mapping[int, Lease]
    """Leases by PBX id; PBXs that never had one are left out."""
    applied_at: float
    """When the project was last applied, as UNIX time in seconds."""
    waits: Mapping[tuple[str, int], int] = field(default_factory=dict)
    """Seats waited for, by (license type, PBX id)."""


def overview(estate: Estate, records: ProjectRecords, time: LeaseTime) -> Overview:
    """Add up the estate and its records; fields that the database answers directly are added by the caller."""
    used, usage = records.used, records.usage
    software = software_in_use(records.leases, time)
    states = {pbx_id: lease.state(time) for pbx_id, lease in records.leases.items()}
    types = estate.catalog.types
    central = estate.master.device.id
    beyond = kept(usage, records.claims)
    counts = pool_counts(estate, usage, beyond, time.now)
    waiting: Counter[str] = Counter()
    for (key, _), seats in records.waits.items():
        waiting[key] += seats
    pools = sorted(
        (
            PoolView(
                installation.device.name,
                key,
                types[key].display_name,
                parts(estate, installation, key, counts[pool_id], time),
                device_id == central,
                estate.feature_is_on(installation, types[key]),
                used[pool_id].peak,
                used[pool_id].peak_at,
                Overdraft.of(estate.overdraft_of(pool_id), used[pool_id].account, time.now),
                waiting[key] if device_id == central else 0,
            )
            for device_id, installation in estate.installations.items()
            for key in installation.capacity
            for pool_id in (estate.pool_ids[device_id, key],)
        ),
        key=lambda pool: (not pool.central, pool.device, pool.display_name),
    )
    limits = tuple(
        LimitView(
            installation.device.name,
            installation.limit,
            tuple(license.ref for license in installation.limiting),
            tuple(pbx.name for pbx in estate.pbxs_above_limit(installation, software)),
        )
        for device_id, installation in estate.installations.items()
        if device_id == central or installation.is_local
    )
    type_of = {pool_id: key for (_, key), pool_id in estate.pool_ids.items()}
    site_seats: Counter[tuple[str, str]] = Counter()
    for (pool_id, site), seats in used_by_site(estate, {name: use.seats for name, use in usage.items()}).items():
        site_seats[site, type_of[pool_id]] += seats
    leases = dict.fromkeys(LeaseState, 0)
    for pbx_id in estate.pbxs:
        leases[states.get(pbx_id, LeaseState.NONE)] += 1
    return Overview(
        project_id=estate.project_id,
        project=estate.name,
        revision=estate.revision,
        pools=tuple(pools),
        limits=limits,
        site_seats=site_seats,
        leases=leases,
        silent_since=_silent_since(estate, records, states, now=time.now),
        balance=_balance(estate, time.now),
        agreement_ends=_agreement_ends(estate, time.now),
        reserves=tuple(reserve_uses(estate, usage, time.now)),
        shares=tuple(site_shares(estate, usage, beyond, records.waits, time.now)),
    )


def _silent_since(
    estate: Estate, records: ProjectRecords, states: Mapping[int, LeaseState], *, now: float
) -> dict[str, float]:
    silent = {LeaseState.OVERDUE, LeaseState.EXPIRED}
    if now - records.applied_at >= FIRST_CONTACT_SECONDS:
        silent.add(LeaseState.NONE)
    silent_since: dict[str, float] = {}
    for pbx_id, pbx in estate.pbxs.items():
        if states.get(pbx_id, LeaseState.NONE) in silent:
            lease = records.leases.get(pbx_id)
            since = lease.renewed_at if lease is not None else records.applied_at
            silent_since[pbx.site] = min(silent_since.get(pbx.site, since), since)
    return silent_since


def _balance(estate: Estate, now: float) -> Counter[str]:
    quantities: Counter[str] = Counter()
    for license in estate.licenses:
        if license.device is None and not license.use_is_over(now):
            quantities[license.type.key] += license.quantity
    return quantities


def _agreement_ends(estate: Estate, now: float) -> dict[tuple[str, str], float]:
    """Return the next end of each device's and type's agreements (UNIX seconds), or the last where all have ended: an
    end long ago hides no end that lies ahead."""
    ends_of: dict[tuple[str, str], list[float]] = {}
    for license in estate.licenses:
        if license.agreement_ends_at is not None:
            name = (license.device.name if license.device else "", license.type.key)
            ends_of.setdefault(name, []).append(license.agreement_ends_at)
    return {name: min((at for at in ends if at > now), default=max(ends)) for name, ends in ends_of.items()}
