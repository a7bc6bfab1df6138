"""Reads a catalog from TOML text and refuses a bad one with file, line and reason.

Checks all that a typing mistake could break: unknown keys and values, names of types that do not exist, spellings that
two types share, circular requirements. What the types mean is `catalog.py`'s affair.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from enum import Enum
from typing import Any, TypeVar

from master.domain.catalog import Catalog, Companion, LicenseType, RequiredOf, Requirement, folded_name
from master.domain.toml_lines import FieldPath, TomlLines, path_text
from master.domain.versions import Version
from master.domain.words import DrawnFrom, Feature, HolderKind, Metering, PbxRole, VersionBasis

E = TypeVar("E", bound=Enum)

_KIND_NAMES = {str: "a text", int: "a whole number", bool: "true or false", list: "a list", dict: "a table"}
_CATALOG_KEYS = {"name", "title", "platforms"}
_TYPE_KEYS = {
    "name", "tier_name", "spellings", "metering", "holders", "exempt_holders", "exempt_roles", "exempt_models",
    "exempt_from_software", "version_basis", "drawn_from", "tiers", "companions", "includes", "includes_per_pbx",
    "requires", "excludes", "matches", "enables", "minimum_version", "minimum_software", "releasable", "rules",
}  # fmt: skip


class CatalogError(Exception):
    """A catalog cannot be used; the text is `file:line: field: reason`."""


def read_catalog(text: str, *, file: str) -> Catalog:
    """Read a catalog; `file` names it in errors.

    Raises:
        CatalogError: it has a mistake.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CatalogError(f"{file}:{_line_of(error, text)}: not TOML: {error}") from error
    except RecursionError as error:
        raise CatalogError(f"{file}:1: not usable: tables or lists are nested too deeply") from error
    return _Reader(document, text, file).catalog()


class _Reader:
    """Walks the document; every complaint knows its place."""

    def __init__(self, document: Mapping[str, Any], text: str, file: str) -> None:
        self._document = document
        self._text = text
        self._file = file

    def catalog(self) -> Catalog:
        head = self._table(self._document, ("catalog",))
        self._known_keys(self._document, (), {"catalog", "types"})
        self._known_keys(head, ("catalog",), _CATALOG_KEYS)
        tables = self._table(self._document, ("types",))
        platforms = frozenset(self._strings(head, ("catalog", "platforms")))
        types = {key: self._type(key, self._table(tables, ("types", key))) for key in tables}
        for license_type in types.values():
            self._references(license_type, types, platforms)
            self._inclusions(license_type, types)
        self._enabled_once(types)
        self._distinct_spellings(types)
        self._no_circles(types)
        return Catalog(
            name=self._string(head, ("catalog", "name")),
            title=self._string(head, ("catalog", "title")),
            platforms=platforms,
            types=types,
        )

    def _type(self, key: str, table: Mapping[str, Any]) -> LicenseType:
        at: FieldPath = ("types", key)
        self._known_keys(table, at, _TYPE_KEYS)
        name = self._string(table, (*at, "name"))
        basis = self._choice(VersionBasis, table, (*at, "version_basis"), VersionBasis.PBX)
        metering = self._choice(Metering, table, (*at, "metering"), None)
        holders = self._choices(HolderKind, table, (*at, "holders"))
        tiers = self._whole_numbers(table, (*at, "tiers"))
        tier_name = self._string(table, (*at, "tier_name"), name + "%{tier}" if not tiers else None)
        matches = self._string(table, (*at, "matches"), "") or None
        if ("{version}" in name) is (basis is VersionBasis.NONE):
            raise self._error(
                (*at, "name"), f"{name!r} must contain {{version}} exactly where the type has a version basis"
            )
        for spelling in self._strings(table, (*at, "spellings")):
            if ("{version}" in spelling) is (basis is VersionBasis.NONE):
                reason = f"{spelling!r} must contain {{version}} exactly where the type has a version basis"
                raise self._error((*at, "spellings"), reason)
        self._placeholders((*at, "name"), name, "{version}")
        self._placeholders((*at, "tier_name"), tier_name, "{version}", "{tier}")
        if tiers and not ("{tier}" in tier_name and "{version}" in tier_name):
            raise self._error((*at, "tier_name"), f"{tier_name!r} must contain {{version}} and {{tier}}")
        if not holders and metering is not Metering.COMPANION:
            raise self._error((*at, "holders"), "a type that can be asked for needs at least one kind of holder")
        if (metering is Metering.SWITCH) is (matches is None):
            raise self._error((*at, "matches"), "exactly the types metered as switch name the type they must match")
        enables = self._choice(Feature, table, (*at, "enables"), None) if "enables" in table else None
        if enables is not None and metering is not Metering.SWITCH:
            raise self._error((*at, "enables"), "only a type metered as switch turns something on")
        return LicenseType(
            key=key,
            name=name,
            tier_name=tier_name,
            spellings=tuple(self._strings(table, (*at, "spellings"))),
            metering=metering,
            holders=holders,
            exempt_holders=self._choices(HolderKind, table, (*at, "exempt_holders")),
            exempt_roles=self._choices(PbxRole, table, (*at, "exempt_roles")),
            exempt_models=frozenset(self._strings(table, (*at, "exempt_models"))),
            exempt_from_software=self._version(table, (*at, "exempt_from_software")),
            version_basis=basis,
            drawn_from=self._choice(DrawnFrom, table, (*at, "drawn_from"), DrawnFrom.INSTALLATION),
            tiers=tiers,
            companions=tuple(self._companions(table, (*at, "companions"))),
            includes=tuple(self._strings(table, (*at, "includes"))),
            includes_per_pbx=self._counts(table, (*at, "includes_per_pbx")),
            requires=tuple(self._requirements(table, (*at, "requires"))),
            excludes=frozenset(self._strings(table, (*at, "excludes"))),
            matches=matches,
            enables=enables,
            minimum_version=self._whole_number(table, (*at, "minimum_version"), 0),
            minimum_software=self._version(table, (*at, "minimum_software")),
            releasable=self._typed(table, (*at, "releasable"), bool, True),
            rules=tuple(self._strings(table, (*at, "rules"))),
        )

    def _placeholders(self, at: FieldPath, text: str, *allowed: str) -> None:
        rest = text
        for placeholder in allowed:
            rest = rest.replace(placeholder, "")
        if "{" in rest or "}" in rest:
            raise self._error(at, f"{text!r} may have no braces but {' and '.join(allowed)}")

    def _companions(self, table: Mapping[str, Any], at: FieldPath) -> list[Companion]:
        items = self._tables(table, at, {"type", "platform"})
        return [Companion(self._string(item, (*at, "type")), self._string(item, (*at, "platform"))) for item in items]

    def _requirements(self, table: Mapping[str, Any], at: FieldPath) -> list[Requirement]:
        items = self._tables(table, at, {"any_of", "of"})
        return [
            Requirement(tuple(self._strings(item, (*at, "any_of"))), self._choice(RequiredOf, item, (*at, "of"), None))
            for item in items
        ]

    def _references(self, one: LicenseType, types: Mapping[str, LicenseType], platforms: frozenset[str]) -> None:
        named: dict[str, tuple[str, ...]] = {
            "companions": tuple(companion.type for companion in one.companions),
            "includes": one.includes,
            "includes_per_pbx": tuple(one.includes_per_pbx),
            "requires": tuple(name for needed in one.requires for name in needed.any_of),
            "excludes": tuple(one.excludes),
            "matches": (one.matches,) if one.matches else (),
        }
        for field, names in named.items():
            for name in names:
                if name not in types:
                    raise self._error(("types", one.key, field), f"there is no type {name!r}{_close(name, types)}")
        for name in one.excludes:
            if one.key not in types[name].excludes:
                raise self._error(("types", one.key, "excludes"), f"{name!r} must exclude {one.key!r} too")
        for companion in one.companions:
            if companion.platform not in platforms:
                raise self._error(("types", one.key, "companions"), f"there is no platform {companion.platform!r}")
            if types[companion.type].metering is not Metering.COMPANION:
                raise self._error(("types", one.key, "companions"), f"{companion.type!r} is not metered as companion")

    def _inclusions(self, one: LicenseType, types: Mapping[str, LicenseType]) -> None:
        """What `decide.py` can re-pack: seats without companions; those that a user's seat includes are the user's."""
        for field, parts in (("includes", one.includes), ("includes_per_pbx", tuple(one.includes_per_pbx))):
            for name in (one.key, *parts) if parts else ():
                if types[name].companions:
                    raise self._error(("types", one.key, field), f"{name!r} has companions; neither side may have any")
        for name in (one.key, *one.includes) if one.includes else ():
            if not types[name].holders or not all(kind.is_user for kind in types[name].holders):
                reason = f"{name!r} is not held by users and executives only; both sides must be"
                raise self._error(("types", one.key, "includes"), reason)

    def _enabled_once(self, types: Mapping[str, LicenseType]) -> None:
        seen: dict[Feature, str] = {}
        for key, one in types.items():
            if one.enables is not None and (other := seen.setdefault(one.enables, key)) != key:
                raise self._error(("types", key, "enables"), f"the type {other!r} turns it on already")

    def _distinct_spellings(self, types: Mapping[str, LicenseType]) -> None:
        seen: dict[str, str] = {}
        versionless: dict[str, str] = {folded_name(key): key for key in types}
        for key, one in types.items():
            for spelling in {folded_name(text) for text in (one.name, one.tier_name, *one.spellings)}:
                bare = spelling.replace("{version}", "").removesuffix("%{tier}")
                if (other := seen.setdefault(spelling, versionless.setdefault(bare, key))) != key:
                    raise self._error(("types", key, "name"), f"reads the same as the type {other!r}")

    def _no_circles(self, types: Mapping[str, LicenseType]) -> None:
        def walk(key: str, path: tuple[str, ...]) -> None:
            if key in path:
                circle = " -> ".join((*path[path.index(key) :], key))
                raise self._error(("types", path[-1], "requires"), f"goes in a circle: {circle}")
            for name in {name for needed in types[key].requires for name in needed.any_of}:
                walk(name, (*path, key))

        for key in types:
            walk(key, ())

    def _known_keys(self, table: Mapping[str, Any], at: FieldPath, known: set[str]) -> None:
        for key in table:
            if key not in known:
                raise self._error((*at, key), f"unknown key{_close(key, known)}")

    def _typed(self, table: Mapping[str, Any], at: FieldPath, kind: type, default: Any) -> Any:
        key = str(at[-1])
        if key not in table:
            if default is None:
                raise self._error(at, "is missing")
            return default
        value = table[key]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self._error(at, f"{value!r} must be {_KIND_NAMES[kind]}")
        return value

    def _table(self, table: Mapping[str, Any], at: FieldPath) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._typed(table, at, dict, None)
        return found

    def _tables(self, table: Mapping[str, Any], at: FieldPath, keys: set[str]) -> list[Mapping[str, Any]]:
        items = self._typed(table, at, list, ())
        for item in items:
            if not isinstance(item, dict):
                raise self._error(at, f"{item!r} must be a table")
            self._known_keys(item, at, keys)
        return list(items)

    def _string(self, table: Mapping[str, Any], at: FieldPath, default: str | None = None) -> str:
        text = str(self._typed(table, at, str, default))
        if default is None and not text:
            raise self._error(at, "must not be empty")
        return text

    def _strings(self, table: Mapping[str, Any], at: FieldPath) -> list[str]:
        values = self._typed(table, at, list, ())
        for value in values:
            if not isinstance(value, str) or not value:
                raise self._error(at, f"{value!r} must be a text")
        return list(values)

    def _whole_number(self, table: Mapping[str, Any], at: FieldPath, default: int) -> int:
        value = int(self._typed(table, at, int, default))
        if value < 0:
            raise self._error(at, f"{value} must not be negative")
        return value

    def _whole_numbers(self, table: Mapping[str, Any], at: FieldPath) -> frozenset[int]:
        values = self._typed(table, at, list, ())
        for value in values:
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise self._error(at, f"{value!r} must be a whole number above 0")
        return frozenset(values)

    def _counts(self, table: Mapping[str, Any], at: FieldPath) -> dict[str, int]:
        counts = self._typed(table, at, dict, {})
        return {key: self._whole_number(counts, (*at, key), 0) for key in counts}

    def _version(self, table: Mapping[str, Any], at: FieldPath) -> Version | None:
        text = self._string(table, at, "")
        if not text:
            return None
        try:
            return Version.parse(text)
        except ValueError as error:
            raise self._error(at, str(error)) from error

    def _choice(self, kind: type[E], table: Mapping[str, Any], at: FieldPath, default: E | None) -> E:
        if default is not None and at[-1] not in table:
            return default
        return self._member(kind, self._string(table, at), at)

    def _choices(self, kind: type[E], table: Mapping[str, Any], at: FieldPath) -> frozenset[E]:
        return frozenset(self._member(kind, value, at) for value in self._strings(table, at))

    def _member(self, kind: type[E], value: str, at: FieldPath) -> E:
        names = {member.name.lower(): member for member in kind}
        if value not in names:
            raise self._error(at, f"{value!r} is none of {', '.join(names)}")
        return names[value]

    def _error(self, at: FieldPath, reason: str) -> CatalogError:
        line = TomlLines(self._text).line_of(at) or 1
        return CatalogError(f"{self._file}:{line}: {path_text(at)}: {reason}")


def _line_of(error: tomllib.TOMLDecodeError, text: str) -> int:
    """The line that a syntax error names; the last one where it was found at the end."""
    found = re.search(r"at line (\d+)", str(error))
    return int(found[1]) if found else max(len(text.splitlines()), 1)


def _close(name: str, known: Any) -> str:
    near = get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
