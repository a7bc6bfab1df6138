"""Which seat an address of record needs (rule E2), by its name: `trunk-*=port/trunk`, `group-*=none`, `*=port/user`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from license_agent.views import holder_kind
from licensemaster.values import license_name
from slave_client import HolderKind, Want

_NONE = "none"


@dataclass(frozen=True, slots=True)
class SeatRule:
    """Names that match `pattern` need a seat of `license_type`, held as `kind`; none where there is no type."""

    pattern: str
    license_type: str
    kind: HolderKind

    @classmethod
    def read(cls, text: str) -> SeatRule:
        """Read `PATTERN=TYPE/KIND` or `PATTERN=none`. Raises ValueError."""
        pattern, equals, seat = text.rpartition("=")
        license_type, slash, kind = seat.partition("/")
        if not pattern or not equals or not (slash or seat == _NONE):
            raise ValueError(f"{text[:80]!r} does not read PATTERN=TYPE/KIND or PATTERN=none, like trunk-*=port/trunk")
        if seat == _NONE:
            return cls(pattern, "", HolderKind.USER)
        return cls(pattern, license_name(license_type), holder_kind(kind))


def seat_of(rules: Sequence[SeatRule], holder: str) -> Want | None:
    """Return the seat that a holder needs, by the first rule that fits; None where it needs none.

    Raises:
        ValueError: no seat can have a holder of that name.
    """
    for rule in rules:
        if fnmatchcase(holder, rule.pattern):
            return Want(rule.license_type, rule.kind, holder) if rule.license_type else None
    return None
