"""Devices, the licenses that are bound to them, and what these add up to.

Licenses of a type add up whatever their versions (B4); the lowest version limits the installation (B3).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from master.domain.catalog.catalog import LicenseType
from master.domain.catalog.subjects import Subject
from master.domain.catalog.versions import Version
from master.domain.catalog.words import VersionBasis
from master.domain.estate.license_refs import LicenseRef
from master.domain.estate.license_release import Release
from master.values import Value

LEDGER_FILE = "agreement:ledger"
"""Stands for the file name of licenses that the agreement ledger brings; no vendor's file can be called so."""


class Device(Value):
    """A box or virtual machine."""

    id: int
    name: str
    platform: str
    model: str
    public_key: bytes | None = None
    """The key that the device's certificates are verified with (L2); None until it was enrolled."""


class AgreedUse(Value, kw_only=True):
    """What the agreement ledger says of a license that it brought."""

    subject: Subject
    """What the license was bought or tried as; with the license type it names the license for good."""
    policy: str = ""
    """The policy whose end stops the use; empty where no end stops it (P5, Q7)."""
    ends_at: float | None = None
    """From when on the license cannot be used, UNIX seconds; None for never."""

    def is_over(self, now: float) -> bool:
        """Tell whether the agreement lets the license be used no longer; `now` is UNIX seconds."""
        return self.ends_at is not None and self.ends_at <= now


class License(Value):
    """A purchased item; free in the project balance while `device` is None. Times are UNIX seconds."""

    id: str
    type: LicenseType
    version: int | None
    tier: int | None
    quantity: int
    device: Device | None
    file: str | None = None
    """The vendor's file that brought the license, or `LEDGER_FILE`; None where the project file declares it."""
    binding: int = 0
    """How often the license was bound; the number names the current or last binding."""
    first_bound_at: float | None = None
    """When the license was bound for the first time; kept for good (L7)."""
    bound_at: float | None = None
    held_until: float | None = None
    """Before when the license is not to be bound: its device could not certify the release."""
    agreement_ends_at: float | None = None
    release: Release | None = None
    last_proof: bytes | None = None
    """The digest of its last release's certificate (`balance.proof_of`): the same certificate may come again, or
    late."""
    file_agreement_ends_at: float | None = None
    """When the agreement ends by the vendor's file; `agreement_ends_at` is the end that the ledger comes to."""
    agreed: AgreedUse | None = None
    """What the agreement ledger says of the license; None unless the ledger brought it."""
    imported_at: float | None = None
    """When the vendor's file that brought the license was imported; None where no file did."""
    key_on_word_of: tuple[str, ...] = ()
    """The callers who alone say that the device's key is the device's, where the key came while the license was bound:
    who made the token, and who brought the key. What it certifies needs a second operator (L2); empty where none is
    needed."""

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
    def takes_seats(self) -> bool:
        """Whether the license is being released, and seats are taken away for that (L5)."""
        return self.release is not None and self.release.in_use.takes_seats

    @property
    def release_is_vouched_for(self) -> bool:
        """Whether the device or an operator answers for it that the device no longer uses the license (L2)."""
        release = self.release
        if release is None or self.waits_for_operator:
            return False
        return release.certified or release.device_dead

    def use_is_over(self, now: float) -> bool:
        """Tell whether the agreement that brought the license lets it be used no longer (P1, R3)."""
        return self.agreed is not None and self.agreed.is_over(now)


class Installation(Value):
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
    """Whether the licenses make the PBX on the device a locally licensed one, if that PBX is a slave (A3, A6, D5)."""

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

    def seats_staying(self, key: str) -> int:
        """Return how many seats of a type may stay: the licenses without those whose release takes seats away (L5)."""
        return self.capacity.get(key, 0) - sum(license.quantity for license in self.of_type(key) if license.takes_seats)

    def seats_staying_without(self, leaving: License) -> int:
        """Return how many seats may stay once the release of a license is complete. A release that drains ends behind
        all that take seats away, so that these find the licenses that they made free (L5)."""
        key = leaving.type.key
        room = self.capacity.get(key, 0) if leaving.takes_seats else self.seats_staying(key)
        return room - leaving.quantity

    @property
    def limiting(self) -> tuple[License, ...]:
        """The licenses of the lowest version, which hold the installation's version limit down (B5)."""
        return tuple(license for license in self.licenses if limits_software(license) and license.version == self.limit)

    def limiting_below(self, software: Version) -> tuple[License, ...]:
        """Return all licenses that a software version is too new for, the lowest first (B5)."""
        below = (
            license for license in self.licenses if limits_software(license) and (license.version or 0) < software.major
        )
        return tuple(sorted(below, key=lambda license: license.version or 0))

    @property
    def making_local(self) -> tuple[License, ...]:
        """The licenses that make a slave on its device a locally licensed PBX (A3)."""
        return tuple(license for license in self.licenses if license.type.makes_local)

    def application_limit(self, key: str) -> int | None:
        """Return the highest application version that the installation's licenses of a type allow (B8)."""
        return min((license.version for license in self.of_type(key) if license.version is not None), default=None)


def limits_software(license: License) -> bool:
    """Tell whether a license counts for the version limit of the PBX software (B3, B8, C3)."""
    return license.version is not None and license.type.version_basis is VersionBasis.PBX
