"""License types as data: what a catalog says of each, and how license names are read and printed (rule L8).

A catalog decides nothing; `domain/seats/decide_seats.py` does, and knows no license type by name. `catalog_file.py`
reads a catalog from TOML.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum

from msgspec import Struct

from licensemaster.api_enums import HolderKind
from licensemaster.values import plain
from master.domain.catalog.policies import Policies
from master.domain.catalog.versions import Version
from master.domain.catalog.words import DrawnFrom, Feature, Metering, PbxRole, VersionBasis
from master.values import Value

_IGNORED = re.compile(r"[\s\-]+")


class RequiredOf(Enum):
    """Who must hold a required seat."""

    USER = "user"
    LINE = "line"
    PBX = "pbx"


class Requirement(Value):
    """A requirement of a seat: one of the types in `any_of` is held by the same user, the outside line or the PBX."""

    any_of: tuple[str, ...]
    of: RequiredOf


class Companion(Value):
    """A type that is debited along with another on PBXs of a platform: both or neither (rule D1)."""

    type: str
    platform: str


class LicenseType(Value, kw_only=True):
    """What the deciding core has to know of one license type."""

    key: str
    name: str
    """The printed name, with `{version}` in the place of the version."""
    tier_name: str
    """The printed name of a price tier, with `{version}` and `{tier}`."""
    spellings: tuple[str, ...]
    """Further names that are read, with the same placeholders."""
    metering: Metering
    holders: frozenset[HolderKind]
    """Kinds of holder that need a seat of the type."""
    exempt_holders: frozenset[HolderKind]
    """Kinds of holder that need no seat of the type (rule E2)."""
    exempt_roles: frozenset[PbxRole]
    """Roles of PBXs that need no seat of the type (rule K5)."""
    exempt_models: frozenset[str]
    """Hardware models that have the type built in (rule C4)."""
    exempt_from_software: Version | None
    """The software from which on no seat is needed (rule G1); None where seats always are."""
    version_basis: VersionBasis = VersionBasis.PBX
    drawn_from: DrawnFrom = DrawnFrom.INSTALLATION
    tiers: frozenset[int]
    companions: tuple[Companion, ...]
    includes: tuple[str, ...]
    """Types of which a holder of this type needs no seat (rule H2)."""
    includes_per_pbx: Mapping[str, int]
    """How many seats of other types come with a PBX's single seat of this type (rule K2)."""
    requires: tuple[Requirement, ...]
    excludes: frozenset[str]
    """Types that cannot be installed beside this type (rule I3)."""
    matches: str | None
    """For a switch: the type of which no more licenses may be installed than of this type."""
    enables: Feature | None
    """For a switch: the feature that it turns on, beside the seats that are asked for."""
    minimum_version: int
    """The lowest version that a license of the type can have (rule I4); 0 for any."""
    minimum_software: Version | None
    minimum_software_rules: tuple[str, ...]
    """The rules that ask for the minimum software."""
    platforms: frozenset[str]
    """The platforms of devices that licenses of the type can be bound to (rule D4); empty for all."""
    releasable: bool = True
    """Whether a license can be released from a device (rules C2, D4)."""
    policies: tuple[str, ...]
    """The policies that cover licenses of the type (rule M8); those of a product come from the product."""
    covered_from_version: int
    """The lowest version that the policies cover (rule M8: Softwarephone from V9); 0 for any."""
    rules: tuple[str, ...]
    """The rules that say how the type is metered, for refusals."""

    @property
    def versioned(self) -> bool:
        """Whether licenses of this type carry a version (rules B1, C3)."""
        return self.version_basis is not VersionBasis.NONE

    @property
    def one_per_pbx(self) -> bool:
        """Whether a PBX holds one seat of the type and no second one (rule K2)."""
        return bool(self.includes_per_pbx)

    @property
    def makes_local(self) -> bool:
        """Whether a license on a slave's own device makes that PBX a locally licensed one (rules A3, A6, D5)."""
        return self.drawn_from is DrawnFrom.INSTALLATION

    def fits(self, platform: str) -> bool:
        """Tell whether licenses of this type can be bound to a device of a platform (rule D4)."""
        return not self.platforms or platform in self.platforms

    def stays_on(self, platform: str) -> bool:
        """Tell whether a license bound to a device of a platform stays on the device for good (rules C2, D4).

        A license that should never have been bound to the device can be released.
        """
        return not self.releasable and self.fits(platform)

    @property
    def display_name(self) -> str:
        """The printed name without a version."""
        return self.name.replace("{version}", "").strip()

    def printed(self, *, version: int | None, tier: int | None) -> str:
        """Return the name as the documents print it, e.g. `PBX-Port 12%500`."""
        pattern = self.tier_name if tier is not None else self.name
        return pattern.format(version="" if version is None else version, tier=tier).strip()


_KEPT_MAX, _KEPT_LENGTH_MAX = 1000, 100
"""How many names are kept as they were read, and the most characters of a name that is kept."""


class LicenseName(Value):
    type: LicenseType
    version: int | None
    tier: int | None


class UnknownLicenseNameError(ValueError):
    """An error for a text that is no license name of the catalog; the message says which names are close."""


class Catalog(Struct, kw_only=True, eq=False, dict=True):
    """One vendor's license types, and what the catalog says of time."""

    name: str
    title: str
    platforms: frozenset[str]
    releases_from_software: Version | None
    """The first software that can release licenses and draw on a pool (rules A5, L4); None where all can."""
    types: Mapping[str, LicenseType]
    time: Policies
    """The catalog's policies, offers, products and releases."""

    def __post_init__(self) -> None:
        types = self.types
        self._patterns = [
            (_compiled(spelling), license_type)
            for license_type in types.values()
            for spelling in (license_type.name, license_type.tier_name, *license_type.spellings)
        ]
        self._names: dict[str, LicenseName] = {}
        """Names that were read lately: a project has many licenses of few names."""
        self._by_spelling = {folded_name(key): license_type for key, license_type in types.items()} | {
            folded_name(re.sub(r"\{version\}|%?\{tier\}", "", spelling)): license_type
            for license_type in types.values()
            for spelling in (license_type.name, *license_type.spellings)
        }
        self.rank = {key: self._rank(key) for key in types}
        """The rank of each type: seats are acquired from low to high and returned from high to low, as types depend."""
        self.required_by: dict[str, tuple[LicenseType, ...]] = {
            key: tuple(other for other in types.values() if any(key in needed.any_of for needed in other.requires))
            for key in types
        }
        """The types that can depend on a seat of a type, by key."""
        self.included_in: dict[str, tuple[LicenseType, ...]] = {
            key: tuple(other for other in types.values() if key in other.includes) for key in types
        }
        """The types whose holder needs no seat of a type, by key."""
        self.included_per_pbx_in: dict[str, tuple[LicenseType, ...]] = {
            key: tuple(other for other in types.values() if key in other.includes_per_pbx) for key in types
        }
        """The types that bring some seats of a type along per PBX, by key."""
        self.go_alone = frozenset(key for key, license_type in types.items() if self._goes_alone(license_type))
        """Types whose seats concern no other seats than their companions when they are returned."""
        self.read_pbx_wide: dict[str, frozenset[str]] = {key: self._pbx_wide(key) for key in types}
        """The types of which all of a PBX's seats must be known to decide on a seat of a type, by key."""
        self.pbx_wide_types = frozenset[str]().union(*self.read_pbx_wide.values())
        """All types that are read PBX-wide for some decision."""

    def _goes_alone(self, license_type: LicenseType) -> bool:
        needed = license_type.metering is Metering.FIXED and self.required_by[license_type.key]
        includes = license_type.includes or license_type.includes_per_pbx
        return not (needed or includes or self.included_per_pbx_in[license_type.key])

    def enabling(self, feature: Feature) -> LicenseType | None:
        """Return the license type that turns a feature on; None where the feature needs no license."""
        return next((license_type for license_type in self.types.values() if license_type.enables is feature), None)

    def key_of(self, text: str) -> str:
        """Return the key of the type that a name without a version means; the name itself where it means none."""
        license_type = self.type_named(text)
        return text if license_type is None else license_type.key

    def type_named(self, text: str) -> LicenseType | None:
        """Return the type that a name without a version means, a key or any spelling; None where it means none."""
        license_type = self.types.get(text)
        return license_type if license_type is not None else self._by_spelling.get(folded_name(text))

    def read_name(self, text: str) -> LicenseName:
        """Read a printed license name; spaces, hyphens and case do not matter (rule L8).
        Raises UnknownLicenseNameError if the name means no type, lacks its version, has too low a version, or no such
        tier."""
        license_name = self._names.get(text)
        if license_name is None:
            license_name = self._read_name(text)
            if len(text) <= _KEPT_LENGTH_MAX:
                if len(self._names) >= _KEPT_MAX:
                    self._names.clear()
                self._names[text] = license_name
        return license_name

    def _read_name(self, text: str) -> LicenseName:
        folded = folded_name(text)
        for pattern, license_type in self._patterns:
            if match := pattern.fullmatch(folded):
                groups = match.groupdict()
                version = int(groups["version"]) if groups.get("version") else None
                tier = int(groups["tier"]) if groups.get("tier") else None
                return self._checked(text, license_type, version, tier)
        if (versionless := self._by_spelling.get(folded)) is not None:
            lacks = "lacks its version" if versionless.versioned else "is no printed name"
            raise UnknownLicenseNameError(
                f"{text!r} {lacks}; write it like {versionless.printed(version=12, tier=None)!r}"
            )
        names = ", ".join(
            sorted({license_type.name.replace("{version}", "12") for license_type in self.types.values()})
        )
        raise UnknownLicenseNameError(f"{text!r} is no license of the catalog {self.name!r}; it has {names}")

    def _checked(self, text: str, license_type: LicenseType, version: int | None, tier: int | None) -> LicenseName:
        if license_type.metering is Metering.FREE:
            raise UnknownLicenseNameError(f"{text!r} cannot exist: it needs no license of its own")
        if tier is not None and tier not in license_type.tiers:
            tiers = ", ".join(f"%{step}" for step in sorted(license_type.tiers)) or "none"
            raise UnknownLicenseNameError(f"{text!r} has no price tier %{tier}; the tiers are {tiers}")
        if version is not None and version < max(license_type.minimum_version, 1):
            raise UnknownLicenseNameError(
                f"{text!r} cannot exist: {license_type.display_name} licenses start at version"
                f" {max(license_type.minimum_version, 1)}"
            )
        return LicenseName(license_type, version, tier)

    def _rank(self, key: str, seen: frozenset[str] = frozenset()) -> int:
        needed = {name for requirement in self.types[key].requires for name in requirement.any_of}
        needed |= {other.key for other in self.types.values() if key in other.includes or key in other.includes_per_pbx}
        return max((1 + self._rank(name, seen | {key}) for name in needed - seen), default=0)

    def _pbx_wide(self, key: str) -> frozenset[str]:
        license_type = self.types[key]
        wide = {name for needed in license_type.requires if needed.of is RequiredOf.PBX for name in needed.any_of}
        for other in self.required_by[key]:
            if any(key in needed.any_of and needed.of is not RequiredOf.USER for needed in other.requires):
                wide.add(other.key)
        for other in self.included_per_pbx_in[key]:
            wide |= {key, other.key}
        if license_type.includes_per_pbx:  # how many of them there are decides how much is included
            wide |= {key, *license_type.includes_per_pbx}
        return frozenset(wide)


def folded_name(text: str) -> str:
    """Return the form in which spellings of a name are equal: no spaces, no hyphens of any kind, no capitals (L8)."""
    return _IGNORED.sub("", plain(text)).casefold()


def _compiled(spelling: str) -> re.Pattern[str]:
    pattern = re.escape(folded_name(spelling))
    pattern = pattern.replace(re.escape("{version}"), r"(?P<version>\d{1,3})", 1).replace(
        re.escape("{version}"), r"\d{1,3}"
    )
    return re.compile(pattern.replace(re.escape("{tier}"), r"(?P<tier>\d{1,6})"))
