"""What the estate alone decides for a PBX and a license type, whoever holds seats: decided once per estate revision.

Deciding a seat splits in two. Most rules look only at the estate: the kind of holder, versions, models, where licenses
are bound. They are decided here, once, and remembered. What depends on seats held is left to `decide_seats.py`, how a
refusal is worded to `explanations.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

from licensemaster.api_enums import Basis, HolderKind
from master.domain.catalog.catalog import LicenseType
from master.domain.catalog.versions import Version
from master.domain.catalog.words import Metering, VersionBasis
from master.domain.estate.estate import Estate, Pbx
from master.domain.estate.installations import Installation, License
from master.domain.seats.refusals import explanations
from master.domain.seats.refusals.reasons import Refusal, Remedy
from master.domain.seats.seats import Granted
from master.values import Value


class Source(Value):
    """A pool that seats may be debited from."""

    pool_id: int
    installation: Installation
    granted: Granted
    """The answer to a seat that is debited from this pool."""
    leaving: int
    """Licenses of the pool that are being released: nothing new is granted from them (L5)."""


class Eligibility(Value):
    """What the estate alone decides for a (PBX, software version, license type, holder kind)."""

    type: LicenseType
    pbx: Pbx
    refused: Refusal | None
    """The refusal, where no seats held could change the answer; else None."""
    needs_license: bool
    """False where the seat is free of charge for this holder on this PBX."""
    installation: Installation
    """The installation whose licenses count first, for refusals."""
    sources: tuple[Source, ...]
    """The pools to debit, in order; empty where none can be."""
    companions: tuple[Eligibility, ...]
    """The same for the seats that are debited together with this seat (D1)."""
    too_old: tuple[License, ...] = ()
    """Licenses of the type that could be used if the PBX software were older (D3)."""
    is_plain: bool = False
    """Whether only the pools decide, whoever holds the seat: nothing is required, included, single, or held against an
    application."""


class EligibilityCache:
    """Eligibility in one estate, computed when first asked for."""

    def __init__(self, estate: Estate) -> None:
        self.estate = estate
        self._by_name: dict[tuple[int, int, Version, str, HolderKind], Eligibility | Refusal] = {}
        self._pools: dict[tuple[int, str], frozenset[int]] = {}
        self.remedies: dict[object, Remedy] = {}
        """Remedies that `domain/remedies/remedies.py` found before and that hold for everybody who is refused alike."""
        self.tried: dict[object, EligibilityCache] = {}
        """What is certain after some steps, as `domain/remedies/trial.py` tried them lately."""

    def of(
        self, pbx: Pbx, software: Version, type_key: str, kind: HolderKind, *, carrier: Pbx | None = None
    ) -> Eligibility | Refusal:
        """Return what is certain for a PBX, or a refusal where the catalog has no such type. `carrier` is the standby
        that carries the PBX's seats."""
        host = carrier or pbx
        name = (pbx.id, host.id, software, type_key, kind)
        eligibility = self._by_name.get(name)
        if eligibility is None:
            eligibility = self._by_name[name] = self._decide(pbx, host, software, type_key, kind)
        return eligibility

    def companions(
        self, license_type: LicenseType, pbx: Pbx, host: Pbx, software: Version, kind: HolderKind
    ) -> tuple[Eligibility, ...]:
        """Return what is debited with a seat on the device of its PBX, or on that of a standby that carries the PBX
        (D1).

        A seat that a standby acquires goes to the PBX later, so what is debited on the PBX's device counts as well.
        """
        eligibilities = []
        for companion in license_type.companions:
            at = next(
                (pbx_or_host for pbx_or_host in (pbx, host) if pbx_or_host.device.platform == companion.platform), None
            )
            if at is not None:
                eligibilities.append(self._companion(self.estate.catalog.types[companion.type], pbx, at, software))
        return tuple(eligibilities)

    def pools_of(self, pbx: Pbx, type_key: str) -> frozenset[int]:
        """Return the ids of the pools that a seat of a type, its companions and its parts may be debited from."""
        name = (pbx.id, type_key)
        pools = self._pools.get(name)
        if pools is None:
            pools = self._pools[name] = frozenset(self._debitable(pbx, type_key))
        return pools

    def _debitable(self, pbx: Pbx, type_key: str) -> Iterator[int]:
        types = self.estate.catalog.types
        if type_key not in types:
            return
        license_type = types[type_key]
        parts = (*license_type.includes, *license_type.includes_per_pbx)
        companions = tuple(companion.type for companion in license_type.companions)
        named = [(pbx, key) for key in (type_key, *parts, *companions)]
        named += [(standby, key) for standby in self.estate.standbys_of(pbx) for key in companions]
        for host, key in named:
            for installation in self.estate.sources(pbx, types[key], host=host):
                pool_id = self.estate.pool_ids.get((installation.device.id, key))
                if pool_id is not None:
                    yield pool_id

    def _decide(self, pbx: Pbx, host: Pbx, software: Version, type_key: str, kind: HolderKind) -> Eligibility | Refusal:
        license_type = self.estate.catalog.types.get(type_key)
        if license_type is None:
            return explanations.unknown_license_type(type_key, self.estate.catalog)
        installations = self.estate.sources(pbx, license_type)
        exempt = _exempt(license_type, pbx, software, kind)
        refused = _asked_wrongly(license_type, pbx, software, kind)
        if refused is None and not exempt:
            refused = self._refused(license_type, pbx, software, installations)
        companions: tuple[Eligibility, ...] = ()
        if not exempt and refused is None:
            companions = self.companions(license_type, pbx, host, software, kind)
            refused = next((eligibility.refused for eligibility in companions if eligibility.refused is not None), None)
        catalog = self.estate.catalog
        needs_license = not exempt and license_type.metering in (Metering.FLOATING, Metering.FIXED, Metering.COMPANION)
        includes = license_type.includes or license_type.includes_per_pbx
        related = license_type.requires or includes or catalog.included_in[type_key]
        return Eligibility(
            type=license_type,
            pbx=pbx,
            refused=refused,
            needs_license=needs_license,
            is_plain=(
                refused is None
                and needs_license
                and not related
                and not license_type.one_per_pbx
                and not catalog.included_per_pbx_in[type_key]
                and license_type.version_basis is not VersionBasis.APPLICATION
            ),
            installation=installations[0],
            sources=tuple(self._sources(license_type, software, installations)),
            companions=companions,
        )

    def _companion(self, license_type: LicenseType, pbx: Pbx, host: Pbx, software: Version) -> Eligibility:
        knows_standby = host is pbx or host.standby_for == pbx.name  # only of such are the pools read
        installations = self.estate.sources(pbx, license_type, host=host if knows_standby else pbx)
        sources = tuple(self._sources(license_type, software, installations))
        bound = [installation for installation in installations if installation.capacity.get(license_type.key)]
        above = bound and not sources
        refused = explanations.version_limit(license_type, pbx, software, bound[-1]) if above else None
        too_old = tuple(
            license
            for installation in bound
            if not _within_limit(license_type, software, installation)
            for license in installation.of_type(license_type.key)
        )
        place = self.estate.place_for(installations, license_type)
        return Eligibility(license_type, pbx, refused, True, place, sources, (), too_old=too_old)

    def _sources(
        self, license_type: LicenseType, software: Version, installations: tuple[Installation, ...]
    ) -> list[Source]:
        return [
            Source(
                self.estate.pool_ids[installation.device.id, license_type.key],
                installation,
                Granted(
                    Basis.DEBITED,
                    device=installation.device.name,
                    reassignable=license_type.metering is Metering.FLOATING,
                ),
                installation.leaving.get(license_type.key, 0),
            )
            for installation in installations
            if installation.capacity.get(license_type.key) and _within_limit(license_type, software, installation)
        ]

    def _refused(
        self, license_type: LicenseType, pbx: Pbx, software: Version, sources: tuple[Installation, ...]
    ) -> Refusal | None:
        """Return the refusal for the first reason that the installation gives, in order of precedence; else None."""
        first, catalog = sources[0], self.estate.catalog
        needed = self.estate.central_software_missing(pbx, software)
        if needed is not None and license_type.makes_local and license_type.metering is not Metering.FREE:  # A5
            return explanations.too_old_for_pool(license_type, pbx, software, needed, first)
        if rivals := [license for key in sorted(license_type.excludes) for license in first.of_type(key)]:  # I3
            return explanations.model_excluded(license_type, first, rivals)
        if not any(_within_limit(license_type, software, source) for source in sources):
            return explanations.version_limit(license_type, pbx, software, sources[-1])
        if license_type.matches is not None and not self.estate.feature_is_on(first, license_type):  # F2, I5
            matched = catalog.types[license_type.matches]
            local = pbx if self.estate.is_local(pbx) else None
            return explanations.feature_off(license_type, matched, first, local=local)
        return None


def _asked_wrongly(license_type: LicenseType, pbx: Pbx, software: Version, kind: HolderKind) -> Refusal | None:
    """Return what is wrong with a request whether a license is needed or not."""
    if kind not in license_type.holders and kind not in license_type.exempt_holders:
        return explanations.holder_kind(license_type, kind)
    if license_type.minimum_software is not None and software < license_type.minimum_software:
        return explanations.software_too_old(license_type, pbx, software)
    return None


def _exempt(license_type: LicenseType, pbx: Pbx, software: Version, kind: HolderKind) -> bool:
    from_software = license_type.exempt_from_software
    return (
        kind in license_type.exempt_holders  # E2
        or pbx.role in license_type.exempt_roles  # K5
        or pbx.device.model in license_type.exempt_models  # C4
        or (from_software is not None and software >= from_software)  # G1
    )


def _within_limit(license_type: LicenseType, software: Version, installation: Installation) -> bool:
    """Tell whether software is within an installation's limit (B5); what has no version is not limited (C3)."""
    return not license_type.versioned or installation.limit is None or software.major <= installation.limit


def application_refused(eligibility: Eligibility, application: Version | None) -> Refusal | None:
    """Return the refusal where a type is held against the application's version, and that is not allowed (B8)."""
    license_type = eligibility.type
    if license_type.version_basis is not VersionBasis.APPLICATION or not eligibility.sources:
        return None
    installation = eligibility.sources[0].installation
    limit = installation.application_limit(license_type.key)
    if application is not None and (limit is None or application.major <= limit):
        return None
    return explanations.application_version(license_type, installation, application, limit)
