"""One project as the master knows it at one revision: devices, PBXs, licenses, and what follows from them.

Frozen data plus what can be derived from it without looking at seats: the licenses of an installation add up (B4), the
lowest version limits it (B3), a slave with licenses of its own is local (A3). Who holds what is the ledger's affair.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from master.domain.allocation.policies import NO_ALLOCATION, Allocation, OverdraftPolicy, PoolRules
from master.domain.catalog.catalog import Catalog, LicenseType
from master.domain.catalog.subjects import Subject
from master.domain.catalog.versions import Version
from master.domain.catalog.words import DrawnFrom, PbxRole, VersionBasis
from master.domain.estate.learning import Learning
from master.domain.estate.license_refs import LicenseRef
from master.domain.estate.license_release import Release


@dataclass(frozen=True, slots=True)
class LeasePace:
    """How long a PBX's leases last."""

    ttl_seconds: int
    grace_seconds: int
    renew_every_seconds: int


@dataclass(frozen=True, slots=True)
class Device:
    """A box or virtual machine."""

    id: int
    name: str
    platform: str
    model: str
    public_key: bytes | None = None
    """What its certificates are verified with (L2); None until it was enrolled."""


@dataclass(frozen=True, slots=True)
class Pbx:
    """A PBX as the project describes it."""

    id: int
    name: str
    site: str
    device: Device
    role: PbxRole
    software: Version
    pace: LeasePace
    standby_for: str | None = None


LEDGER_FILE = "agreement:ledger"
"""Stands for the file of licenses that the agreement ledger brings; no vendor's file can be called so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreedUse:
    """What the agreement ledger says of a license that it brings."""

    subject: Subject
    """What it was bought or tried as; with the license type it names the license for good."""
    policy: str = ""
    """The policy whose end stops the use; empty where nothing ever does (P5, Q7)."""
    ends_at: float | None = None
    """From when on it cannot be used, UNIX seconds; None for never."""

    def is_over(self, now: float) -> bool:
        """Whether the agreement lets the license be used no longer; `now` is UNIX seconds."""
        return self.ends_at is not None and self.ends_at <= now


@dataclass(frozen=True, slots=True)
class License:
    """A purchased item; free in the project balance while `device` is None. Times are UNIX seconds."""

    id: str
    type: LicenseType
    version: int | None
    tier: int | None
    quantity: int
    device: Device | None
    file: str | None = None
    """The vendor's file that brought it, or `LEDGER_FILE`; None where the project file declares it."""
    binding: int = 0
    """How often it was bound; names the current or last binding."""
    first_bound_at: float | None = None
    """Kept for good (L7)."""
    bound_at: float | None = None
    held_until: float | None = None
    """Not to be bound before: its device could not certify the release."""
    agreement_ends_at: float | None = None
    release: Release | None = None
    last_proof: bytes | None = None
    """What the certificate of its last release says (`balance.proof_of`): that one may come again, or late."""
    file_agreement_ends_at: float | None = None
    """What the vendor's file said of its agreement; `agreement_ends_at` is what the ledger makes of it."""
    agreed: AgreedUse | None = None
    """What the agreement ledger says of it; None unless the ledger brought it."""
    imported_at: float | None = None
    """When the vendor's file that brought it was imported; None where none did."""
    key_on_word_of: tuple[str, ...] = ()
    """Who alone say that its device's key is the device's, where that came while the license was bound already: who
    made the token, and who brought the key. What it certifies needs a second operator (L2); empty where
    none is needed."""

    @property
    def ref(self) -> LicenseRef:
        """The license as refusals and limits name it."""
        printed = self.type.printed(version=self.version, tier=self.tier)
        return LicenseRef(self.id, printed, self.quantity, self.device.name if self.device else "")

    @property
    def waits_for_operator(self) -> bool:
        """Whether the license's release needs an approval: its device is dead, or has its key on others' word (L2)."""
        release = self.release
        if release is None or release.ends_use or release.approved_by:
            return False
        return bool(self.key_on_word_of) or (release.device_dead and not release.certified)

    @property
    def release_is_vouched_for(self) -> bool:
        """Whether somebody answers for it that the device no longer uses the license (L2)."""
        release = self.release
        if release is None or self.waits_for_operator:
            return False
        return release.certified or release.device_dead

    def use_is_over(self, now: float) -> bool:
        """Whether the agreement that brought it lets it be used no longer (P1, R3)."""
        return self.agreed is not None and self.agreed.is_over(now)


@dataclass(frozen=True, slots=True)
class Installation:
    """The licenses on one device, added up."""

    device: Device
    licenses: tuple[License, ...]
    capacity: Mapping[str, int]
    """Licenses per type, whatever their versions (B4)."""
    leaving: Mapping[str, int]
    """Of these, licenses whose release is under way, per type: nothing new is granted from them (L5)."""
    limit: int | None
    """The highest software version allowed (B3); None where nothing limits it."""
    is_local: bool
    """Whether it makes the PBX on its device a locally licensed one, were that PBX a slave (A3, A6, D5)."""

    @classmethod
    def of(cls, device: Device, licenses: Iterable[License]) -> Installation:
        """Add up the licenses bound to a device."""
        bound = tuple(licenses)
        if not bound:  # of ten thousand devices, most
            return cls(device, (), {}, {}, None, False)
        capacity: defaultdict[str, int] = defaultdict(int)
        leaving: defaultdict[str, int] = defaultdict(int)
        for license in bound:
            capacity[license.type.key] += license.quantity
            if license.release is not None:
                leaving[license.type.key] += license.quantity
        versions = [license.version for license in bound if license.version is not None and limits_software(license)]
        is_local = any(license.type.makes_local for license in bound)
        return cls(device, bound, dict(capacity), dict(leaving), min(versions, default=None), is_local)

    def of_type(self, key: str) -> tuple[License, ...]:
        return tuple(license for license in self.licenses if license.type.key == key)

    @property
    def limiting(self) -> tuple[License, ...]:
        """The licenses of the lowest version, which hold the installation's version limit down (B5)."""
        return tuple(license for license in self.licenses if limits_software(license) and license.version == self.limit)

    def limiting_below(self, software: Version) -> tuple[License, ...]:
        """All licenses that a software version is too new for, the lowest first (B5)."""
        below = (
            license for license in self.licenses if limits_software(license) and (license.version or 0) < software.major
        )
        return tuple(sorted(below, key=lambda license: license.version or 0))

    @property
    def making_local(self) -> tuple[License, ...]:
        """The licenses that make a slave on its device a locally licensed PBX (A3)."""
        return tuple(license for license in self.licenses if license.type.makes_local)

    def application_limit(self, key: str) -> int | None:
        """The highest application version that its licenses of a type allow (B8)."""
        return min((license.version for license in self.of_type(key) if license.version is not None), default=None)


def limits_software(license: License) -> bool:
    """Whether a license counts for the version limit of the PBX software (B3, B8, C3)."""
    return license.type.version_basis is VersionBasis.PBX


@dataclass(frozen=True)
class Estate:
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
    """No PBX that was removed had a lease with a higher epoch: one that comes back starts above it."""
    revoked_from: frozenset[int] = frozenset()
    """PBXs that had revoked seats to give back when this revision was made (L5); it may have been done since."""
    waited: frozenset[int] = frozenset()
    """PBXs that waited for seats, or had some handed on, when this revision was made, though nothing may be waited for
    any more; it may be over since."""
    learning: Learning | None = None
    """Set while the master learns after a restore; it may have ended by itself since."""
    allocation: Allocation = NO_ALLOCATION
    """How its shared pools are divided between its sites."""

    def may_wait(self, pbx_id: int) -> bool:
        """Whether a PBX may wait for seats, or have been handed some on that it has not taken up."""
        return bool(self.allocation.queues) or pbx_id in self.waited

    def learns(self, ends_by: float) -> bool:
        """Whether nothing is granted but what PBXs prove, as after a restore; `ends_by` as in `LeaseTime`."""
        return self.learning is not None and self.learning.lasts(ends_by)

    time_zone: str = "UTC"
    """In which the days of its agreements are counted; an IANA name."""

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
        """How a pool is divided at a moment, UNIX seconds; None where whoever comes first has it."""
        type_key = self.shared_pools.get(pool_id)
        return self.allocation.rules_at(type_key, now, self.pbxs_at) if type_key is not None else None

    def overdraft_of(self, pool_id: int) -> OverdraftPolicy | None:
        """How many seats may be granted above what a pool has; None where none may."""
        policy = self.allocation.by_type.get(self.shared_pools.get(pool_id, ""))
        return policy.overdraft if policy is not None else None

    def type_of_pool(self, pool_id: int) -> str:
        """The license type of a pool."""
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
        """One per device that runs a PBX, by device id, also where it has no licenses."""
        bound: defaultdict[int, list[License]] = defaultdict(list)
        for license in self.licenses:
            if license.device is not None:
                bound[license.device.id].append(license)
        return {pbx.device.id: Installation.of(pbx.device, bound[pbx.device.id]) for pbx in self.pbxs.values()}

    def with_licenses(self, licenses: Iterable[License]) -> Estate:
        """The same project with some of its licenses as they are given here, and with those that it did not have.

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
        by_subject: defaultdict[str, list[License]] = defaultdict(list)
        for license in self.licenses:
            if license.agreed is not None:
                by_subject[license.type.key].append(license)
        return by_subject

    def is_local(self, pbx: Pbx) -> bool:
        """Whether a PBX is licensed locally and the pool closed to it (A3)."""
        return pbx is not self.master and self.installations[pbx.device.id].is_local

    def installation_of(self, pbx: Pbx) -> Installation:
        """The installation whose version limit holds for a PBX (B9)."""
        return self.installations[pbx.device.id if self.is_local(pbx) else self.master.device.id]

    def sources(self, pbx: Pbx, license_type: LicenseType, *, host: Pbx | None = None) -> tuple[Installation, ...]:
        """The installations that seats of a type may be debited from, in order (A1 to A3, C1, D5).

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
        """Of the installations that seats may be debited from, the one to bind more licenses to (D4)."""
        return next((source for source in reversed(sources) if license_type.fits(source.device.platform)), sources[-1])

    def central_software_missing(self, pbx: Pbx, software: Version) -> Version | None:
        """The software that a PBX needs at least to draw on a pool that is not its own (A5); None where it may."""
        first = self.catalog.releases_from_software
        is_central = pbx is not self.master and not self.is_local(pbx)
        return first if is_central and first is not None and software < first else None

    def feature_is_on(self, installation: Installation, license_type: LicenseType) -> bool:
        """Whether a switch is on: at least as many licenses installed as of the type it must match (F2, I5)."""
        if license_type.matches is None:
            return True
        installed = installation.capacity.get(license_type.key, 0)
        return 0 < installed >= installation.capacity.get(license_type.matches, 0)

    def pbxs_above_limit(self, installation: Installation, software: Mapping[int, Version]) -> tuple[Pbx, ...]:
        """PBXs of an installation whose software is above its limit (B10); `software` overrides by PBX id."""
        limit = installation.limit
        if limit is None:
            return ()
        licensed = self._licensed_by.get(installation.device.id, ())
        return tuple(pbx for pbx in licensed if software.get(pbx.id, pbx.software).major > limit)

    @cached_property
    def _licensed_by(self) -> dict[int, tuple[Pbx, ...]]:
        """The PBXs of each installation that has any (B9), by its device's id."""
        by_device: defaultdict[int, list[Pbx]] = defaultdict(list)
        for pbx in self.pbxs.values():
            by_device[self.installation_of(pbx).device.id].append(pbx)
        return {device_id: tuple(pbxs) for device_id, pbxs in by_device.items()}
