"""Seats that may be used by their number: as many of a type as the signed lease says, whoever holds them.

Decides, with no I/O and no clock, whether one more may be used without asking. What counts against the number is every
seat of the type that is in use, lies idle, is being asked for or was asked for in vain: the master may count each of
them. So whatever is lost on the way, no more are in use than the number, and the master counts at least that many.

Types go by their catalog keys here, as in the lease. A seat that is held under any name that the lease does not know
counts against each number, as it may be a printed name of that type.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from licensemaster.api_enums import HolderKind
from slave_client.values.seats import Held, SeatKey


@dataclass(frozen=True, slots=True)
class Numbers:
    """How many seats may be used by number."""

    seats: Mapping[str, int]
    """In all, by license type."""
    kinds: Mapping[str, Collection[HolderKind]]
    """Who may hold them, by license type; whoever does where a type is not named."""
    known: frozenset[str]
    """The keys of types that this PBX is known to hold seats of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberUse:
    """What a PBX says of the seats of a type."""

    license_type: str
    seats: int
    """By how many in all it goes."""
    used: int
    acquired: int
    """How many it began to use since it said so last."""


NO_NUMBERS = Numbers({}, {}, frozenset())


class HeldSeats(dict[SeatKey, Held]):
    """Seats by name, counted by license type."""

    def __init__(self, seats: Iterable[Held] = ()) -> None:
        super().__init__()
        self.of_type: Counter[str] = Counter()
        for held in seats:
            self[held.want.key] = held

    def __setitem__(self, key: SeatKey, held: Held) -> None:
        self.of_type[key.license_type] += key not in self
        super().__setitem__(key, held)

    def __delitem__(self, key: SeatKey) -> None:
        super().__delitem__(key)
        self.of_type[key.license_type] -= 1

    def pop(self, key: SeatKey, default: Held | None = None) -> Held | None:  # type: ignore[override]
        held = self.get(key)
        if held is None:
            return default
        del self[key]
        return held

    def clear(self) -> None:
        super().clear()
        self.of_type.clear()


def counted(
    license_type: str,
    held: HeldSeats,
    others: Iterable[Collection[SeatKey]],
    known: Collection[str],
    *,
    but: SeatKey | None,
) -> int:
    """How many seats count against the number of a type, but for one name; `others` are not in use."""
    of_type = held.of_type
    strange = len(held) - sum(of_type[name] for name in {*known, license_type})
    elsewhere = {
        key
        for keys in others
        if keys
        for key in keys
        if key not in held and (key.license_type == license_type or key.license_type not in known)
    }
    return of_type[license_type] + strange + len(elsewhere - {but})
