"""The subjects of agreements: a license, a device, a contract, or the project as a whole."""

from __future__ import annotations

from master.domain.catalog.policies import SubjectKind
from master.values import Value


class Subject(Value, order=True, array_like=True):
    """The subject of a ledger entry: a license, a device or a contract by its id in the project, or the project.

    In plain data a subject is a list of kind and id.
    """

    kind: str
    """The value of a `SubjectKind`; empty for the project as a whole."""
    id: str

    def __str__(self) -> str:
        return f"{self.kind} {self.id}" if self.kind else "the project"

    @classmethod
    def of(cls, kind: SubjectKind, id: str) -> Subject:
        return cls(kind.value, id)


PROJECT = Subject("", "")
"""The subject of what concerns no license, device or contract: credits, releases."""
