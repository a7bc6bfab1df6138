"""One project as the master knows it at one revision: devices, PBXs, licenses, and what follows from them.

Frozen data plus what can be derived from it without looking at seats: what an installation's licenses add up to
(`installations.py`), which of them a PBX draws on, whether a slave is local (A3). Who holds seats is no part of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from master.domain.allocation.policies import NO_ALLOCATION, Allocation, OverdraftPolicy, PoolRules
from master.domain.catalog.catalog import Catalog, LicenseType
from master.domain.catalog.versions import Version
from master.domain.catalog.words import DrawnFrom, PbxRole
from master.domain.estate.installations import Device, Installation, License
from master.domain.estate.learning import Learning
from master.values import Value, replace


class LeasePace(Value):
    """How long a PBX's leases last, and how often it renews them."""

    ttl_seconds: int
    grace_seconds: int
    renew_every_seconds: int


class Pbx(Value):
    """A PBX as the project describes it."""

    id: int
    name: str
    site: str
    device: Device
    role: PbxRole
    software: Version
    pace: LeasePace
    standby_for: str | None = None


class Estate(Value, dict=True):
    """A project at one revision."""

    project_id: int
    name: str
    revision: int
    catalog: Catalog
    pbxs: Mapping[int, Pbx]
    licenses: tuple[License, ...]
    pool_ids: Mapping[tuple[int, str], int]
    """Pool ids by (device id, license type)."""
    epoch_floor: int
    """The highest epoch of PBXs that were removed: a PBX that comes back starts above it."""
    revoked_from: frozenset[int] = frozenset()
    """Ids of PBXs that had revoked seats to give back when this revision was made (L5); that may be done since."""
    waited: frozenset[int] = frozenset()
    """Ids of PBXs that waited for seats, or had some handed on, when this revision was made, though nothing may be
    waited for any more; the wait may be over since."""
    learning: Learning | None = None
    """Set while the master learns after a restore; learning may have ended by itself since."""
    allocation: Allocation = NO_ALLOCATION
    """How the project's shared pools are divided between its sites."""
    time_zone: str = "UTC"
    """The time zone that the days of the project's agreements are counted in; an IANA name."""

    def may_wait(self, pbx_id: int) -> bool:
        """Tell whether a PBX may wait for seats, or have been handed some on that it has not taken up."""
        return bool(self.allocation.queues) or pbx_id in self.waited

    def learns(self, ends_by: float) -> bool:
        """Tell whether only what PBXs prove is granted, as after a restore; `ends_by` as in `LeaseTime`."""
        return self.learning is not None and self.learning.lasts(ends_by)

    @cached_property
    def pbx_ids(self) -> dict[str, int]:
        return {pbx.name: pbx.id for pbx in self.pbxs.values()}

    @cached_property
    def stood_in_for(self) -> frozenset[str]:
        """The names of PBXs that have a standby (F1)."""
        return frozenset(pbx.standby_for for pbx in self.pbxs.values() if pbx.standby_for is not None)

    @cached_property
    def site_of(self) -> dict[int, str]:
        """The site of each PBX, by the PBX's id."""
        return {pbx.id: pbx.site for pbx in self.pbxs.values()}

    @cached_property
    def pbxs_at(self) -> dict[str, tuple[int, ...]]:
        """The ids of the PBXs at each site that has any."""
        by_site: defaultdict[str, tuple[int, ...]] = defaultdict(tuple)
        for pbx in self.pbxs.values():
            by_site[pbx.site] += (pbx.id,)
        return dict(by_site)

    @cached_property
    def shared_pools(self) -> dict[int, str]:
        """The license type of each pool that sites share (A1), by the pool's id."""
        shared = self.master.device.id
        return {pool_id: key for (device_id, key), pool_id in self.pool_ids.items() if device_id == shared}

    def rules_of_pool(self, pool_id: int, now: float) -> PoolRules | None:
        """Return how a pool is divided at a moment, UNIX seconds; None where whoever comes first has it."""
        type_key = self.shared_pools.get(pool_id)
        return self.allocation.rules_at(type_key, now, self.pbxs_at) if type_key is not None else None

    def overdraft_of(self, pool_id: int) -> OverdraftPolicy | None:
        """Return the policy for seats above what a pool has; None where no such seats may be granted."""
        policy = self.allocation.by_type.get(self.shared_pools.get(pool_id, ""))
        return policy.overdraft if policy is not None else None

    def type_of_pool(self, pool_id: int) -> str:
        return next(key for (_, key), id_of_pool in self.pool_ids.items() if id_of_pool == pool_id)

    @cached_property
    def pool_devices(self) -> dict[int, Device]:
        """The device that a pool is on, by the pool's id."""
        devices = {pbx.device.id: pbx.device for pbx in self.pbxs.values()}
        return {pool_id: devices[device_id] for (device_id, _), pool_id in self.pool_ids.items()}

    @cached_property
    def pbx_on(self) -> dict[str, Pbx]:
        """The PBX on each device that runs one, by the device's name."""
        return {pbx.device.name: pbx for pbx in self.pbxs.values()}

    @cached_property
    def installations(self) -> dict[int, Installation]:
        """The installation of each device that runs a PBX, by device id, also where it has no licenses."""
        bound: defaultdict[int, list[License]] = defaultdict(list)
        for license in self.licenses:
            if license.device is not None:
                bound[license.device.id].append(license)
        return {pbx.device.id: Installation.of(pbx.device, bound[pbx.device.id]) for pbx in self.pbxs.values()}

    def with_licenses(self, licenses: Iterable[License]) -> Estate:
        """Return the project with the given licenses in place of its own with the same ids; those with new ids are
        added.

        A pool that is new gets an id that no pool has.
        """
        changed = {license.id: license for license in licenses}
        before = {license.id: license for license in self.licenses if license.id in changed}
        kept = [changed.get(license.id, license) for license in self.licenses]
        kept += [license for key, license in changed.items() if key not in before]
        places = {
            license.device.id: license.device for license in (*before.values(), *changed.values()) if license.device
        }
        ids, fresh = dict(self.pool_ids), max(self.pool_ids.values(), default=0)
        installations = dict(self.installations)
        for device_id, device in places.items():
            if device_id in installations:
                bound = (license for license in kept if license.device is not None and license.device.id == device_id)
                installations[device_id] = Installation.of(device, bound)
        for changed_license in changed.values():
            if changed_license.device is not None and (changed_license.device.id, changed_license.type.key) not in ids:
                fresh += 1
                ids[changed_license.device.id, changed_license.type.key] = fresh
        copy = replace(self, licenses=tuple(kept), pool_ids=ids)
        # what the change does not touch is not worked out again: a refusal is answered with a few such copies
        unchanged = {"pbx_ids": self.pbx_ids, "pbx_on": self.pbx_on, "master": self.master}
        vars(copy).update(unchanged, installations=installations)
        return copy

    @cached_property
    def master(self) -> Pbx:
        """The PBX whose device holds the pool (A1)."""
        return next(pbx for pbx in self.pbxs.values() if pbx.role is PbxRole.MASTER)

    @cached_property
    def _standbys(self) -> dict[str, tuple[Pbx, ...]]:
        standbys: defaultdict[str, tuple[Pbx, ...]] = defaultdict(tuple)
        for pbx in self.pbxs.values():
            if pbx.standby_for is not None:
                standbys[pbx.standby_for] += (pbx,)
        return dict(standbys)

    def standbys_of(self, pbx: Pbx) -> tuple[Pbx, ...]:
        """Return the standbys configured for a PBX (F1)."""
        return self._standbys.get(pbx.name, ())

    @cached_property
    def agreed(self) -> dict[str, list[License]]:
        """The licenses that the agreement ledger brought, by type."""
        by_type: defaultdict[str, list[License]] = defaultdict(list)
        for license in self.licenses:
            if license.agreed is not None:
                by_type[license.type.key].append(license)
        return by_type

    def installation_on(self, device: str) -> Installation:
        """Return the installation on a device that runs a PBX, by the device's name."""
        return self.installations[self.pbx_on[device].device.id]

    def pool_on(self, device: str, license_type: str) -> int:
        """Return the id of a pool, by the name of its device and the license type."""
        return self.pool_ids[self.pbx_on[device].device.id, license_type]

    def is_local(self, pbx: Pbx) -> bool:
        """Tell whether a PBX is licensed locally, so that the pool is closed to it (A3)."""
        return pbx is not self.master and self.installations[pbx.device.id].is_local

    def installation_of(self, pbx: Pbx) -> Installation:
        """Return the installation whose version limit holds for a PBX (B9)."""
        return self.installations[pbx.device.id if self.is_local(pbx) else self.master.device.id]

    def sources(self, pbx: Pbx, license_type: LicenseType, *, host: Pbx | None = None) -> tuple[Installation, ...]:
        """Return the installations that seats of a type may be debited from, in order (A1 to A3, C1, D5).

        `host` is the PBX on whose device the seats are used: a standby that carries them (F5), else the PBX itself.
        """
        own = self.installations[(host or pbx).device.id]
        if license_type.drawn_from is DrawnFrom.OWN_DEVICE:
            return (own,)
        usual = self.installation_of(pbx)
        if license_type.drawn_from is DrawnFrom.OWN_DEVICE_FIRST and usual is not own:
            return (own, usual)
        return (usual,)

    def place_for(self, sources: Sequence[Installation], license_type: LicenseType) -> Installation:
        """Return, of the installations that seats may be debited from, the one to bind more licenses to (D4)."""
        return next((source for source in reversed(sources) if license_type.fits(source.device.platform)), sources[-1])

    def central_software_missing(self, pbx: Pbx, software: Version) -> Version | None:
        """Return the software that a PBX needs at least to draw on another PBX's pool (A5); None where it may draw."""
        first = self.catalog.releases_from_software
        is_central = pbx is not self.master and not self.is_local(pbx)
        return first if is_central and first is not None and software < first else None

    def feature_is_on(self, installation: Installation, license_type: LicenseType) -> bool:
        """Tell whether a switch is on: at least as many licenses installed as of the type that it matches (F2, I5)."""
        if license_type.matches is None:
            return True
        installed = installation.capacity.get(license_type.key, 0)
        return 0 < installed >= installation.capacity.get(license_type.matches, 0)

    def pbxs_above_limit(self, installation: Installation, software: Mapping[int, Version]) -> tuple[Pbx, ...]:
        """Return the PBXs of an installation that run more than its limit (B10); `software` overrides by PBX id."""
        limit = installation.limit
        if limit is None:
            return ()
        licensed = self._licensed_by.get(installation.device.id, ())
        return tuple(pbx for pbx in licensed if software.get(pbx.id, pbx.software).major > limit)

    @cached_property
    def _licensed_by(self) -> dict[int, tuple[Pbx, ...]]:
        """The PBXs of each installation that has any (B9), by the id of the installation's device."""
        by_device: defaultdict[int, list[Pbx]] = defaultdict(list)
        for pbx in self.pbxs.values():
            by_device[self.installation_of(pbx).device.id].append(pbx)
        return {device_id: tuple(pbxs) for device_id, pbxs in by_device.items()}
