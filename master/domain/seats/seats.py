"""What is asked for, what is held, and what is answered.

Tuples rather than `Value`s: a restart of all PBXs makes hundreds of thousands of them, from columns and into columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby, repeat
from operator import itemgetter
from typing import Final, NamedTuple, TypeVar

from licensemaster.api_enums import Basis, HolderKind
from master.domain.catalog.versions import Version

Key = tuple[str, HolderKind, str]
"""A SeatKey, or a plain tuple that equals it."""


class SeatKey(NamedTuple):
    """The name of a seat within its PBX."""

    type: str
    kind: HolderKind
    holder: str


class Want(NamedTuple):
    """One seat asked for; `type` is a catalog key or, where it is unknown, what the caller wrote."""

    type: str
    kind: HolderKind
    holder: str
    user: str = ""
    """The user on whose behalf the seat is used, where the holder is not the user itself."""
    line: str = ""
    """The outside line that a recorded user's calls take (K3)."""
    application: Version | None = None

    @property
    def key(self) -> SeatKey:
        return SeatKey(self.type, self.kind, self.holder)

    @property
    def subject(self) -> str:
        """The user that user licenses are counted by; empty where there is none."""
        return self.holder if self.kind.is_user else self.user


KEY: Final = itemgetter(0, 1, 2)
"""The key of a want, as a plain tuple."""
ALIKE: Final = itemgetter(0, 1, 3, 4, 5)
"""What the wants of a run have in common: all but the holder."""


def runs_of(items: Iterable[object]) -> Iterator[slice]:
    """Yield the slice of each run of equal items that follow on each other."""
    begin = 0
    for _, alike in groupby(items):
        end = begin + len(list(alike))
        yield slice(begin, end)
        begin = end


class Seat(NamedTuple):
    """One seat that a PBX holds."""

    pbx_id: int
    type: str
    kind: HolderKind
    holder: str
    user: str
    line: str
    pool_id: int | None
    """The pool that the seat is debited from; None where another seat includes this one."""
    parent: str
    """The type of the seat that includes this seat or that this seat is the companion of; empty otherwise."""
    acquired_at: float
    """UNIX time in seconds."""

    @property
    def key(self) -> SeatKey:
        return SeatKey(self.type, self.kind, self.holder)

    @property
    def subject(self) -> str:
        """The user that user licenses are counted by; empty where there is none."""
        return self.holder if self.kind.is_user else self.user

    @property
    def want(self) -> Want:
        """The want that would ask for this seat, without the version of the application that uses it."""
        return self.asked_anew(None)

    def asked_anew(self, application: Version | None) -> Want:
        """Return the want that would ask for this seat, with its application's version."""
        return Want._make((*self[1:6], application))

    @property
    def is_companion(self) -> bool:
        """Whether the seat came along with another seat and goes with that one (D1)."""
        return bool(self.parent) and self.pool_id is not None


Alike = TypeVar("Alike", Want, Seat)


def run_of(like: Alike, holders: Sequence[str]) -> list[Alike]:
    """Return a want or a seat for each holder, equal to the given one in all else."""
    columns = (holders if name == "holder" else repeat(value) for name, value in zip(like._fields, like, strict=True))
    # not by its constructor, which is a call of Python for each
    return list(map(partial(tuple.__new__, type(like)), zip(*columns, strict=False)))


class Granted(NamedTuple):
    basis: Basis
    already_held: bool = False
    included_in: str = ""
    device: str = ""
    reassignable: bool = False


class Returned(NamedTuple):
    """The answer to a return that was not refused."""

    was_held: bool
