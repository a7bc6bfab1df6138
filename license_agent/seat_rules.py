"""Which seat an address of record needs (rule E2), by its name: `trunk-*=port/trunk`, `group-*=none`, `*=port/user`.
Capitals do not matter: for Kamailio they are one name.
"""

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
        pattern = pattern.lower()
        if seat == _NONE:
            return cls(pattern, "", HolderKind.USER)
        return cls(pattern, license_name(license_type), holder_kind(kind))


def seat_of(rules: Sequence[SeatRule], holder: str) -> Want | None:
    """Return the seat that a holder needs, by the first rule that fits; None where the holder needs no seat.
    Raises ValueError if no seat can have a holder of exactly that name."""
    name = holder.lower()
    rule = next((rule for rule in rules if fnmatchcase(name, rule.pattern)), None)
    if rule is None or not rule.license_type:
        return None
    want = Want(rule.license_type, rule.kind, holder)
    if want.holder != holder:  # its contacts would not be found by the seat
        raise ValueError(f"a seat would be held by {want.holder!r}, not by {holder!r}")
    return want
