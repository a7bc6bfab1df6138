"""Projects and PBXs by their names, and what is raised where there is none of that name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from licensemaster.values.similar import closest


class PbxName(NamedTuple):
    """A tuple, as it is looked up by several times in each call, and tuples have the quickest hash."""

    project: str
    pbx: str

    def __str__(self) -> str:
        """The resource name as the API writes it."""
        return f"projects/{self.project}/pbxs/{self.pbx}"


class UnknownPbxError(LookupError):
    """There is no such project or PBX."""

    def __init__(self, name: PbxName, known: Iterable[str] = ()) -> None:
        """`known` are the names of the project's PBXs, for what was probably meant."""
        meant = closest(name.pbx, known)
        super().__init__(f"{name} is unknown: `license-master project show` lists the PBXs of a project{meant}")


class UnknownNameError(LookupError):
    """A question is about a site or a license type that there is not: no rows would be no answer to it."""

    def __init__(self, field: str, name: str, known: Iterable[str]) -> None:
        listed = sorted(known)
        meant = closest(name, listed) or f"; there are {', '.join(listed) or 'none'}"
        super().__init__(f"{name!r} is no {field.replace('_', ' ')} of the project{meant}")
        self.field = field


class UnknownProjectError(LookupError):
    def __init__(self, name: str) -> None:
        super().__init__(f"projects/{name} is unknown; `license-master project list` lists all")
