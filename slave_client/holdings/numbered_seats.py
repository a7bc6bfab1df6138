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
from slave_client.values.seats import Held, SeatKey, Want


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

    def __init__(self) -> None:
        super().__init__()
        self.of_type: Counter[str] = Counter()

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


class SeatNumbers:
    """Which seats of one site are used by number, and which of these the master has not heard of.

    `held` are the seats in use; `others` are not, and the master may count them all the same. Both are looked at anew
    each time.
    """

    def __init__(self, held: HeldSeats, others: Iterable[Collection[SeatKey]]) -> None:
        self._held = held
        self._asked: set[SeatKey] = set()
        self._others = (*others, self._asked)
        self._numbers = NO_NUMBERS
        self._unasked: dict[SeatKey, Want] = {}
        """In use; the master has not heard of them yet. Some may not be in use any more."""
        self._begun: Counter[str] = Counter()

    def go_by(self, numbers: Numbers) -> None:
        """Use as many seats by their number as these say, from now on."""
        self._numbers = numbers

    def may_use(self, want: Want) -> bool:
        """Tell whether a seat that is not in use, nor in doubt, may be used without asking the master."""
        key = want.key
        most = self._numbers.seats.get(key.license_type, 0)
        kinds = self._numbers.kinds.get(key.license_type)
        return (
            bool(most) and (not kinds or key.holder_kind in kinds) and self._counted(key.license_type, but=key) < most
        )

    def note_unasked(self, want: Want) -> None:
        """Note a seat that is used by number from now on; the master has to be told of it."""
        self._unasked[want.key] = want

    def begun(self, key: SeatKey) -> None:
        """Note a seat that was not in use before."""
        self._begun[key.license_type] += 1

    @property
    def unasked(self) -> tuple[Want, ...]:
        """Seats in use of which the master has to be told."""
        self._unasked = {key: want for key, want in self._unasked.items() if key in self._held}
        return tuple(self._unasked.values())

    def heard_of(self, key: SeatKey) -> bool:
        """Have the master be told of a seat no more; return whether it was to be."""
        return self._unasked.pop(key, None) is not None

    def asking(self, wants: Iterable[Want]) -> None:
        """Note seats that are being asked for: the master may count them from now on."""
        self._asked.update(want.key for want in wants)

    def answered(self, wants: Iterable[Want]) -> None:
        """Note that nothing more comes of what was asked for; what came of it is noted already."""
        self._asked.difference_update(want.key for want in wants)

    def uses(self) -> list[NumberUse]:
        """Return by license type how many seats are used, and by which number; begins to count anew what is begun."""
        unasked = Counter(want.license_type for want in self.unasked)
        uses = []
        for key in sorted(self._numbers.known):
            used, most, begun = self._counted(key), self._numbers.seats.get(key, 0), self._begun.pop(key, 0)
            if used or most or begun:
                goes_by = max(most, used) if unasked[key] else most
                uses.append(NumberUse(license_type=key, seats=goes_by, used=used, acquired=begun))
        return uses

    def forget(self) -> None:
        """Use nothing by number any more: the lease is over."""
        self._numbers = NO_NUMBERS
        self._unasked.clear()

    def _counted(self, license_type: str, *, but: SeatKey | None = None) -> int:
        """Return how many seats count against the number of a type, but for one name."""
        of_type, known = self._held.of_type, self._numbers.known
        strange = len(self._held) - sum(of_type[name] for name in {*known, license_type})
        elsewhere = {
            key
            for keys in self._others
            if keys
            for key in keys
            if key not in self._held and (key.license_type == license_type or key.license_type not in known)
        }
        return of_type[license_type] + strange + len(elsewhere - {but})
