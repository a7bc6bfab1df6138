"""What holds for a PBX and a license type whoever holds seats: everything that can be settled once per estate revision.

Deciding a seat splits in two. Most rules look only at the estate: the kind of holder, versions, models, where licenses
are bound. They are settled here, once, and remembered. What depends on seats held is left to `decide.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from master.domain.catalog import LicenseType
from master.domain.estate import Estate, Installation, Pbx
from master.domain.refusals import MOST_NAMED, Refusal, RefusalReason, Remedy, RemedyAction
from master.domain.seats import Granted
from master.domain.versions import Version
from master.domain.words import Basis, DrawnFrom, HolderKind, Metering, VersionBasis


@dataclass(frozen=True, slots=True)
class Source:
    """A pool that seats may be debited from."""

    pool_id: int
    installation: Installation
    granted: Granted
    """The answer to a seat debited from it."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What is settled for (PBX, software version, license type, holder kind)."""

    type: LicenseType
    pbx: Pbx
    refused: Refusal | None
    """Set where nothing that could be held would change the answer."""
    needs_license: bool
    """False where the seat is free of charge for this holder on this PBX."""
    installation: Installation
    """Whose licenses count first, for refusals."""
    sources: tuple[Source, ...]
    """Pools in order; empty where none is installed."""
    companions: tuple[Terms, ...]
    """Seats to be debited with it (D1)."""
    is_plain: bool = False
    """Whether only the pools decide: nothing is required, included or held against an application."""


class TermsBook:
    """Terms of one estate, worked out when first asked for."""

    def __init__(self, estate: Estate) -> None:
        self.estate = estate
        self._terms: dict[tuple[int, Version, str, HolderKind], Terms | Refusal] = {}
        self._pools: dict[tuple[int, str], frozenset[int]] = {}

    def of(self, pbx: Pbx, software: Version, type_key: str, kind: HolderKind) -> Terms | Refusal:
        """The terms; a refusal where the catalog has no such type."""
        name = (pbx.id, software, type_key, kind)
        found = self._terms.get(name)
        if found is None:
            found = self._terms[name] = self._settle(pbx, software, type_key, kind)
        return found

    def pools_of(self, pbx: Pbx, type_key: str) -> frozenset[int]:
        """The pools that a seat of a type, its companions and its parts may be debited from."""
        name = (pbx.id, type_key)
        found = self._pools.get(name)
        if found is None:
            found = self._pools[name] = frozenset(self._debitable(pbx, type_key))
        return found

    def _debitable(self, pbx: Pbx, type_key: str) -> Iterator[int]:
        types = self.estate.catalog.types
        if type_key not in types:
            return
        license_type = types[type_key]
        for key in (type_key, *license_type.includes, *(companion.type for companion in license_type.companions)):
            for installation in self.estate.sources(pbx, types[key]):
                pool_id = self.estate.pool_ids.get((installation.device.id, key))
                if pool_id is not None:
                    yield pool_id

    def _settle(self, pbx: Pbx, software: Version, type_key: str, kind: HolderKind) -> Terms | Refusal:
        license_type = self.estate.catalog.types.get(type_key)
        if license_type is None:
            return _unknown_type(type_key, self.estate)
        installations = self.estate.sources(pbx, license_type)
        exempt = _exempt(license_type, pbx, software, kind)
        refused = _asked_wrongly(license_type, pbx, software, kind)
        if refused is None and not exempt:
            refused = self._refused(license_type, pbx, software, installations)
        companions: tuple[Terms, ...] = ()
        if not exempt and refused is None:
            companions = tuple(
                self._companion(companion.type, pbx, software, kind)
                for companion in license_type.companions
                if companion.platform == pbx.device.platform
            )
            refused = next((terms.refused for terms in companions if terms.refused is not None), None)
        catalog = self.estate.catalog
        needs_license = not exempt and license_type.metering in (Metering.FLOATING, Metering.FIXED, Metering.COMPANION)
        includes = license_type.includes or license_type.includes_per_pbx
        related = license_type.requires or includes or catalog.included_in[type_key]
        return Terms(
            type=license_type,
            pbx=pbx,
            refused=refused,
            needs_license=needs_license,
            is_plain=(
                refused is None
                and needs_license
                and not related
                and not catalog.included_per_pbx_in[type_key]
                and license_type.version_basis is not VersionBasis.APPLICATION
            ),
            installation=installations[0],
            sources=tuple(self._sources(license_type, software, installations)),
            companions=companions,
        )

    def _companion(self, type_key: str, pbx: Pbx, software: Version, kind: HolderKind) -> Terms:
        license_type = self.estate.catalog.types[type_key]
        installations = self.estate.sources(pbx, license_type)
        sources = tuple(self._sources(license_type, software, installations))
        bound = [item for item in installations if item.capacity.get(type_key)]
        refused = _above_limit(license_type, pbx, software, bound[-1]) if bound and not sources else None
        return Terms(license_type, pbx, refused, True, installations[-1], sources, ())

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
            )
            for installation in installations
            if installation.capacity.get(license_type.key) and _within_limit(license_type, software, installation)
        ]

    def _refused(
        self,
        license_type: LicenseType,
        pbx: Pbx,
        software: Version,
        sources: tuple[Installation, ...],
    ) -> Refusal | None:
        """The first reason of the list that applies, of those that the installation gives."""
        if refusal := _excluded(license_type, sources[0]):
            return refusal
        if not any(_within_limit(license_type, software, source) for source in sources):
            return _above_limit(license_type, pbx, software, sources[-1])
        if license_type.metering is Metering.SWITCH and not self.estate.feature_is_on(sources[0], license_type):
            return _feature_off(license_type, sources[0], self.estate)
        return None


def _asked_wrongly(license_type: LicenseType, pbx: Pbx, software: Version, kind: HolderKind) -> Refusal | None:
    """What is wrong whether a license is needed or not."""
    if kind not in license_type.holders and kind not in license_type.exempt_holders:
        return _wrong_holder(license_type, kind)
    if license_type.minimum_software is not None and software < license_type.minimum_software:
        return _too_old(license_type, pbx, software)
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
    """B5, and C3: what has no version is not limited by one."""
    return not license_type.versioned or installation.limit is None or software.major <= installation.limit


def _unknown_type(type_key: str, estate: Estate) -> Refusal:
    known = ", ".join(sorted(estate.catalog.types))
    return Refusal(
        reason=RefusalReason.UNKNOWN_LICENSE_TYPE,
        rules=("L8",),
        message=f"the catalog {estate.catalog.name!r} has no license type {type_key!r}",
        remedy=Remedy(action=RemedyAction.CORRECT_REQUEST, text=f"use one of {known}"),
        license_type=type_key,
    )


def _wrong_holder(license_type: LicenseType, kind: HolderKind) -> Refusal:
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


def _too_old(license_type: LicenseType, pbx: Pbx, software: Version) -> Refusal:
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


def _excluded(license_type: LicenseType, installation: Installation) -> Refusal | None:
    """I3: two license models never meet in one installation."""
    rivals = [item for key in sorted(license_type.excludes) for item in installation.of_type(key)]
    if not rivals:
        return None
    other = rivals[0].type.display_name
    return Refusal(
        reason=RefusalReason.MODEL_EXCLUDED,
        rules=("I3",),
        message=(
            f"{installation.device.name} is licensed by {other}; {license_type.display_name} cannot be combined with it"
        ),
        remedy=Remedy(
            action=RemedyAction.REPLACE_LICENSES,
            text=f"stay with {other}, or take those licenses off {installation.device.name}",
            license_type=rivals[0].type.key,
            device=installation.device.name,
        ),
        license_type=license_type.key,
        device=installation.device.name,
        licenses=tuple(item.ref for item in rivals[:MOST_NAMED]),
    )


def _above_limit(license_type: LicenseType, pbx: Pbx, software: Version, installation: Installation) -> Refusal:
    """B5: the refusal lists what holds the limit down, and what would be left without it (B6)."""
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
        message=f"{pbx.name} runs {software}, but {installation.device.name} is licensed up to V{installation.limit}",
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


def _feature_off(license_type: LicenseType, installation: Installation, estate: Estate) -> Refusal:
    """F2, I5: off, and says what is missing."""
    assert license_type.matches is not None
    matched = estate.catalog.types[license_type.matches]
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


def application_refusal(terms: Terms, application: Version | None) -> Refusal | None:
    """B8: types held against the application's version; None where it is fine or does not matter."""
    license_type = terms.type
    if license_type.version_basis is not VersionBasis.APPLICATION or not terms.sources:
        return None
    installation = terms.sources[0].installation
    limit = installation.application_limit(license_type.key)
    if application is not None and (limit is None or application.major <= limit):
        return None
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


def none_installed(terms: Terms, estate: Estate) -> Refusal:
    """No license of the type where the PBX draws on; for a locally licensed PBX, A3's own refusal."""
    license_type, device = terms.type, terms.installation.device.name
    if estate.is_local(terms.pbx) and license_type.drawn_from is not DrawnFrom.OWN_DEVICE:
        return local_only(terms, estate, wanted=1, in_use=0, missing=1)
    return Refusal(
        reason=RefusalReason.NONE_INSTALLED,
        rules=license_type.rules if license_type.drawn_from is DrawnFrom.OWN_DEVICE else ("A1", *license_type.rules),
        message=f"no {license_type.display_name} license is installed on {device}",
        remedy=add_licenses(terms, quantity=1),
        license_type=license_type.key,
        device=device,
        wanted=1,
    )


def local_only(terms: Terms, estate: Estate, *, wanted: int, in_use: int, missing: int) -> Refusal:
    """A3: the pool is closed to a PBX with licenses of its own; the refusal names them."""
    own = estate.installations[terms.pbx.device.id]
    local = tuple(item.ref for item in own.licenses if item.type.makes_local)
    capacity = own.capacity.get(terms.type.key, 0)
    return Refusal(
        reason=RefusalReason.LOCAL_LICENSES_ONLY,
        rules=("A2", "A3"),
        message=(
            f"{terms.pbx.name} is licensed locally on {own.device.name}, which has {capacity} {terms.type.display_name}"
            f" licenses, {in_use} in use; the pool is closed to it"
        ),
        remedy=Remedy(
            action=RemedyAction.ADD_LICENSES,
            text=(
                f"bind {missing} more {terms.type.display_name} licenses to {own.device.name}, or move the PBX to"
                f" central licensing by releasing {', '.join(str(item) for item in local[:MOST_NAMED])}"
            ),
            license_type=terms.type.key,
            quantity=missing,
            device=own.device.name,
        ),
        license_type=terms.type.key,
        device=own.device.name,
        capacity=capacity,
        in_use=in_use,
        wanted=wanted,
        licenses=local[:MOST_NAMED],
    )


def add_licenses(terms: Terms, *, quantity: int) -> Remedy:
    """The remedy where licenses are short; names the version that does not lower the limit."""
    license_type, installation = terms.type, terms.installation
    by_application = license_type.version_basis is VersionBasis.APPLICATION  # B8
    limit = installation.application_limit(license_type.key) if by_application else installation.limit
    version = str(limit) if license_type.versioned and limit is not None else ""
    of_version = f" of V{version} or newer" if version else ""
    licenses, seats = ("license", "1 seat comes") if quantity == 1 else ("licenses", f"{quantity} seats come")
    or_wait = f", or wait until {seats} back" if terms.sources else ""
    return Remedy(
        action=RemedyAction.ADD_LICENSES,
        text=(
            f"bind {quantity} more {license_type.display_name} {licenses}{of_version} to"
            f" {installation.device.name}{or_wait}"
        ),
        license_type=license_type.key,
        quantity=quantity,
        device=installation.device.name,
        version=version,
    )
