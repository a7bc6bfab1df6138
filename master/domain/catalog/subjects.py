"""What agreements are about: a license, a device, a contract, or the project as a whole."""

from __future__ import annotations

from master.domain.catalog.policies import SubjectKind
from master.values import Value


class Subject(Value, order=True, array_like=True):
    """What an entry is about: a license, a device, a contract, by the id that the project calls it.

    Plain data has it as a list of the two."""

    kind: str
    """The value of a `SubjectKind`; empty for the project as a whole."""
    id: str

    def __str__(self) -> str:
        return f"{self.kind} {self.id}" if self.kind else "the project"

    @classmethod
    def of(cls, kind: SubjectKind, id: str) -> Subject:
        return cls(kind.value, id)


PROJECT = Subject("", "")
"""What is about no single subject: credits, releases."""
