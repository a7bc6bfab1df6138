"""Projects and PBXs by their names, and what is raised where there is none of that name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from licensemaster.values.similar import Known, closest
from master.domain.catalog.catalog import Catalog


class PbxName(NamedTuple):
    """The names of a project and a PBX. A tuple, as calls look names up several times and tuples have the quickest
    hash.
    """

    project: str
    pbx: str

    def __str__(self) -> str:
        """Return the resource name as the API writes it."""
        return f"projects/{self.project}/pbxs/{self.pbx}"


class UnknownPbxError(LookupError):
    """There is no such project or PBX."""

    def __init__(self, name: PbxName, known: Iterable[str] = ()) -> None:
        """`known` are the names of the project's PBXs, from which the message suggests a similar name."""
        meant = closest(name.pbx, known)
        super().__init__(f"{name} is unknown: `license-master project show` lists the PBXs of a project{meant}")


class UnknownNameError(LookupError):
    """A question names a site or a license type that does not exist: an empty answer would be misleading."""

    def __init__(self, field: str, name: str, known: Iterable[str]) -> None:
        super().__init__(Known(f"{field.replace('_', ' ')} of the project", known).lacks(name))
        self.field = field


class UnknownProjectError(LookupError):
    def __init__(self, name: str) -> None:
        super().__init__(f"projects/{name} is unknown; `license-master project list` lists all")


def type_asked_for(catalog: Catalog, text: str) -> str:
    """Return the key of the license type that a question names in any spelling; empty where it names none.
    Raises UnknownNameError if there is no such type."""
    license_type = catalog.type_named(text) if text else None
    if text and license_type is None:
        raise UnknownNameError("license_type", text, catalog.types)
    return license_type.key if license_type is not None else ""
