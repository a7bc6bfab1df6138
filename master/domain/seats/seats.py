"""What is asked for, what is held, what is answered.

Tuples rather than frozen dataclasses: a morning storm makes hundreds of thousands of them, and they cost a third.
"""

from __future__ import annotations

from typing import NamedTuple

from licensemaster.api_enums import Basis, HolderKind
from master.domain.catalog.versions import Version

Key = tuple[str, HolderKind, str]
"""A SeatKey, or a plain tuple that equals it."""


class SeatKey(NamedTuple):
    """Names a seat within its PBX."""

    type: str
    kind: HolderKind
    holder: str


class Want(NamedTuple):
    """One seat asked for; `type` is a catalog key or, where it is unknown, what the caller wrote."""

    type: str
    kind: HolderKind
    holder: str
    user: str = ""
    """The user on whose behalf, where the holder is not the user itself."""
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


class Seat(NamedTuple):
    """One seat that a PBX holds."""

    pbx_id: int
    type: str
    kind: HolderKind
    holder: str
    user: str
    line: str
    pool_id: int | None
    """The pool debited; None where another seat includes this one."""
    parent: str
    """The type that includes it, or that it is the companion of; empty otherwise."""
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
    def is_companion(self) -> bool:
        """Whether it came along with another seat and goes with it (D1)."""
        return bool(self.parent) and self.pool_id is not None


class Granted(NamedTuple):
    basis: Basis
    already_held: bool = False
    included_in: str = ""
    device: str = ""
    reassignable: bool = False


class Returned(NamedTuple):
    """The answer to a return that was not refused."""

    was_held: bool
