"""Seats that may be used by number: as many of a license type as the signed lease says, whoever holds them.

Decides, with no I/O and no clock, whether one more seat may be used without asking the master. Every seat of the type
that is in use, is idle, is being asked for or was asked for without an answer counts against the number: the master may
count each of them. So whatever message is lost, no more seats are in use than the number, and the master counts at
least as many as are in use.

Types are named by catalog keys here, as in the lease. A seat whose type name the lease does not know counts against
each number, as the name may be a printed name of that type.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from licensemaster.api_enums import HolderKind
from slave_client.values.seats import Held, SeatKey, Want


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers of seats that a lease lets a PBX use without asking."""

    seats: Mapping[str, int]
    """Seats that may be used by number, by license type."""
    kinds: Mapping[str, Collection[HolderKind]]
    """Kinds of holders that may hold these seats, by license type; any kind where a type is missing."""
    known: frozenset[str]
    """The keys of types that this PBX is known to hold seats of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberUse:
    """What a renewal reports of the seats of a license type."""

    license_type: str
    seats: int
    """The number of seats that the PBX goes by."""
    used: int
    acquired: int
    """Seats that the PBX began to use since its last report."""


NO_NUMBERS = Numbers({}, {}, frozenset())


class HeldSeats(dict[SeatKey, Held]):
    """Seats in use by name, with their count by license type."""

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
    """The seats of one site that are used by number, and those of them that the master has not been told of.

    `held` are the seats in use; `others` are seats not in use that the master may count. Both may change at any time:
    they are read anew for each question.
    """

    def __init__(self, held: HeldSeats, others: Iterable[Collection[SeatKey]]) -> None:
        self._held = held
        self._asked: set[SeatKey] = set()
        self._others = (*others, self._asked)
        self._numbers = NO_NUMBERS
        self._unasked: dict[SeatKey, Want] = {}
        """Seats used by number that the master has not been told of; some may not be in use any more."""
        self._begun: Counter[str] = Counter()

    def go_by(self, numbers: Numbers) -> None:
        """Let as many seats be used by number from now on as the numbers say."""
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
        """Note a seat that is used by number from now on and that the master has still to be told of."""
        self._unasked[want.key] = want

    def begun(self, key: SeatKey) -> None:
        """Count a seat that begins to be used, for the next report."""
        self._begun[key.license_type] += 1

    @property
    def unasked(self) -> tuple[Want, ...]:
        """Seats in use that the master has still to be told of."""
        self._unasked = {key: want for key, want in self._unasked.items() if key in self._held}
        return tuple(self._unasked.values())

    def heard_of(self, key: SeatKey) -> bool:
        """Note that the master need not be told of a seat; return whether it had still to be told."""
        return self._unasked.pop(key, None) is not None

    def asking(self, wants: Iterable[Want]) -> None:
        """Note seats that are being asked for: the master may count them from now on."""
        self._asked.update(want.key for want in wants)

    def answered(self, wants: Iterable[Want]) -> None:
        """Note that a call for seats is over, after its result was noted."""
        self._asked.difference_update(want.key for want in wants)

    def uses(self) -> list[NumberUse]:
        """Return the report of seats used by number, per license type; start to count begun seats from 0 again."""
        unasked = Counter(want.license_type for want in self.unasked)
        uses = []
        for key in sorted(self._numbers.known):
            used, most, begun = self._counted(key), self._numbers.seats.get(key, 0), self._begun.pop(key, 0)
            if used or most or begun:
                goes_by = max(most, used) if unasked[key] else most
                uses.append(NumberUse(license_type=key, seats=goes_by, used=used, acquired=begun))
        return uses

    def forget(self) -> None:
        """Let no seat be used by number any more, because the lease is over."""
        self._numbers = NO_NUMBERS
        self._unasked.clear()

    def _counted(self, license_type: str, *, but: SeatKey | None = None) -> int:
        """Return how many seats count against the number of a license type, without the seat named `but`."""
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
