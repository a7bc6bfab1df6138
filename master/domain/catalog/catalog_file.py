"""A reader of catalogs in TOML, which refuses a bad one with file, line and reason.

Checks all that a typing mistake could break: unknown keys and values, names of types that do not exist, spellings that
two types share, circular requirements. `catalog.py` says what the types mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from licensemaster.values.toml_lines import FieldPath
from master.domain.catalog.catalog import Catalog, LicenseType, folded_name
from master.domain.catalog.policy_file import SECTIONS, PolicyFile
from master.domain.catalog.toml_reader import TomlReader, keys_of
from master.domain.catalog.versions import Version
from master.domain.catalog.words import Feature, Metering

_CATALOG_KEYS = {"name", "title", "platforms", "releases_from_software"}


class CatalogError(Exception):
    """An error of a catalog that cannot be used; the text is `file:line: field: reason`."""


def read_catalog(text: str, *, file: str) -> Catalog:
    """Read a catalog; `file` is the name of the file in errors. Raises CatalogError if the catalog has a mistake."""
    return _Reader(text, file=file, failure=CatalogError).catalog()


class _Reader(TomlReader):
    """The reader of a catalog's types; `policy_file.py` reads what the catalog says of time."""

    def catalog(self) -> Catalog:
        head = self.table(self.document, ("catalog",))
        self.known_keys(self.document, (), {"catalog", "types", *SECTIONS})
        self.known_keys(head, ("catalog",), _CATALOG_KEYS)
        tables = self.table(self.document, ("types",))
        platforms = frozenset(self.strings(head, ("catalog", "platforms")))
        types = {key: self._type(key, self.table(tables, ("types", key))) for key in tables}
        for license_type in types.values():
            self._references(license_type, types, platforms)
            self._inclusions(license_type, types)
        self._enabled_once(types)
        self._distinct_spellings(types)
        self._no_circles(types)
        return Catalog(
            name=self.string(head, ("catalog", "name")),
            title=self.string(head, ("catalog", "title")),
            platforms=platforms,
            releases_from_software=self.optional(Version, head, ("catalog", "releases_from_software")),
            types=types,
            time=PolicyFile(self, types).policies(),
        )

    def _type(self, key: str, table: Mapping[str, Any]) -> LicenseType:
        at: FieldPath = ("types", key)
        self.known_keys(table, at, keys_of(LicenseType))
        name, tiers = self.string(table, (*at, "name")), self.whole_numbers(table, (*at, "tiers"))
        tier_name = self.string(table, (*at, "tier_name"), None if tiers else name + "%{tier}")
        license_type = self.record(LicenseType, table, at, key=key, tier_name=tier_name)
        for field, spelling in (("name", name), *(("spellings", spelling) for spelling in license_type.spellings)):
            if ("{version}" in spelling) is not license_type.versioned:
                reason = f"{spelling!r} must contain {{version}} exactly where the type has a version basis"
                raise self.error((*at, field), reason)
        self._placeholders((*at, "name"), name, "{version}")
        self._placeholders((*at, "tier_name"), tier_name, "{version}", "{tier}")
        if tiers and not ("{tier}" in tier_name and "{version}" in tier_name):
            raise self.error((*at, "tier_name"), f"{tier_name!r} must contain {{version}} and {{tier}}")
        if not license_type.holders and license_type.metering is not Metering.COMPANION:
            raise self.error((*at, "holders"), "a type that can be asked for needs at least one kind of holder")
        if (license_type.metering is Metering.SWITCH) is (license_type.matches is None):
            raise self.error((*at, "matches"), "exactly the types metered as switch name the type they must match")
        if license_type.enables is not None and license_type.metering is not Metering.SWITCH:
            raise self.error((*at, "enables"), "only a type metered as switch turns something on")
        return license_type

    def _placeholders(self, at: FieldPath, text: str, *allowed: str) -> None:
        rest = text
        for placeholder in allowed:
            rest = rest.replace(placeholder, "")
        if "{" in rest or "}" in rest:
            raise self.error(at, f"{text!r} may have no braces but {' and '.join(allowed)}")

    def _references(
        self, license_type: LicenseType, types: Mapping[str, LicenseType], platforms: frozenset[str]
    ) -> None:
        def wrong(field: str, reason: str) -> Exception:
            return self.error(("types", license_type.key, field), reason)

        named: dict[str, tuple[str, ...]] = {
            "companions": tuple(companion.type for companion in license_type.companions),
            "includes": license_type.includes,
            "includes_per_pbx": tuple(license_type.includes_per_pbx),
            "requires": tuple(name for needed in license_type.requires for name in needed.any_of),
            "excludes": tuple(license_type.excludes),
            "matches": (license_type.matches,) if license_type.matches else (),
        }
        for field, names in named.items():
            self.known_names(("types", license_type.key, field), names, types, "type")
        for name in license_type.excludes:
            if license_type.key not in types[name].excludes:
                raise wrong("excludes", f"{name!r} must exclude {license_type.key!r} too")
        for platform in sorted(license_type.platforms - platforms):
            raise wrong("platforms", f"there is no platform {platform!r}")
        for companion in license_type.companions:
            if companion.platform not in platforms:
                raise wrong("companions", f"there is no platform {companion.platform!r}")
            if not types[companion.type].fits(companion.platform):
                reason = f"{companion.type!r} cannot be bound to devices of the platform {companion.platform!r}"
                raise wrong("companions", reason)
            if types[companion.type].metering is not Metering.COMPANION:
                raise wrong("companions", f"{companion.type!r} is not metered as companion")

    def _inclusions(self, license_type: LicenseType, types: Mapping[str, LicenseType]) -> None:
        """Refuse inclusions that `domain/seats/decide_seats.py` cannot re-pack: types with companions, or included in a
        user's seat and not held by users.
        """
        for field, parts in (
            ("includes", license_type.includes),
            ("includes_per_pbx", tuple(license_type.includes_per_pbx)),
        ):
            for name in (license_type.key, *parts) if parts else ():
                if types[name].companions:
                    raise self.error(
                        ("types", license_type.key, field), f"{name!r} has companions; neither side may have any"
                    )
        for name in (license_type.key, *license_type.includes) if license_type.includes else ():
            if not types[name].holders or not all(kind.is_user for kind in types[name].holders):
                reason = f"{name!r} is not held by users and executives only; both sides must be"
                raise self.error(("types", license_type.key, "includes"), reason)

    def _enabled_once(self, types: Mapping[str, LicenseType]) -> None:
        seen: dict[Feature, str] = {}
        for key, license_type in types.items():
            if license_type.enables is not None and (other := seen.setdefault(license_type.enables, key)) != key:
                raise self.error(("types", key, "enables"), f"the type {other!r} turns it on already")

    def _distinct_spellings(self, types: Mapping[str, LicenseType]) -> None:
        seen: dict[str, str] = {}
        versionless: dict[str, str] = {folded_name(key): key for key in types}
        for key, license_type in types.items():
            for spelling in {
                folded_name(text) for text in (license_type.name, license_type.tier_name, *license_type.spellings)
            }:
                bare = spelling.replace("{version}", "").removesuffix("%{tier}")
                if (other := seen.setdefault(spelling, versionless.setdefault(bare, key))) != key:
                    raise self.error(("types", key, "name"), f"reads the same as the type {other!r}")

    def _no_circles(self, types: Mapping[str, LicenseType]) -> None:
        def walk(key: str, path: tuple[str, ...]) -> None:
            if key in path:
                circle = " -> ".join((*path[path.index(key) :], key))
                raise self.error(("types", path[-1], "requires"), f"goes in a circle: {circle}")
            for name in {name for needed in types[key].requires for name in needed.any_of}:
                walk(name, (*path, key))

        for key in types:
            walk(key, ())
