"""The seats that this site holds, may pass on while offline, and has still to return to the master.

Decides, with no I/O and no clock:
- the master counts the seats that the site held until the signed lease ends; the site uses no more. Each seat in
  use therefore points at the seat that the master counts for it (`counted_as`), and no two point at the same one;
- a seat that is returned while offline is idle. Its own holder may take it back. If it is reassignable (floating,
  debited) another holder may have it, of the same license type, kind and application version: what the master checked
  for the one then holds for the other;
- a seat about which an answer was lost counts as not held, until the next reconciliation says;
- seats lost to an expiry are still wanted, until they are returned;
- a standby that carries another PBX's seats without a master may use as many of each type as its standby lease says,
  whoever holds them: it knows their number, not their names. So may a PBX whose lease is over, of what it borrowed.
Leaves to others: which seats may be used by number while a lease runs (`numbered_seats`), asking the master
(`seat_manager`), keeping it on disk (`state_writer`), companions such as IPVA beside Port, which the master brings
along and takes back by itself (rule D1).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from licensemaster.api_enums import Basis, HolderKind
from slave_client.holdings.numbered_seats import HeldSeats, SeatNumbers
from slave_client.values.seats import Awaited, Granted, Held, Reason, Refused, SeatKey, Want


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """The whole set of wanted seats, while it is reconciled with the master."""

    wants: tuple[Want, ...]
    dropped: tuple[Want, ...]
    """Seats that were held before and are not in the wanted set."""
    in_doubt: tuple[Held, ...]
    """Seats passed on while offline: only the master's answer shows whether they are held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """What a reconciliation changed at this site."""

    gained: tuple[Granted, ...]
    refused: tuple[Refused, ...]


class LocalSeats:
    """The seats of one site; `numbers` says which of them are used by number under the site's lease."""

    def __init__(self) -> None:
        self._held = HeldSeats()
        self._idle: dict[SeatKey, Held] = {}
        self._uncertain: dict[SeatKey, Want] = {}
        self._missed: dict[SeatKey, Want] = {}
        self._awaited: dict[SeatKey, Awaited] = {}
        self.knows_all = True
        """Whether the master is to count for this PBX the seats wanted here and no others. False for a standby that
        carries another PBX's seats, until the PBX has named the whole set: the master keeps seats not named."""
        self._set_is_news = False
        """Whether the whole set of wanted seats has still to be reported to the master."""
        self._allowance: Mapping[str, int] | None = None
        """Seats that may be in use offline, whoever holds them, by license type; None where the holders count."""
        self.numbers = SeatNumbers(self._held, (self._idle, self._uncertain, self._missed, self._awaited))

    # What there is.

    @property
    def held(self) -> tuple[Held, ...]:
        return tuple(self._held.values())

    @property
    def idle(self) -> tuple[Held, ...]:
        """Seats that were returned while offline; the master still counts them for this site."""
        return tuple(self._idle.values())

    @property
    def needs_reconciling(self) -> bool:
        """True where the seats that the master counts for this PBX may differ from those known here."""
        return bool(
            self._set_is_news
            or self._idle
            or self._uncertain
            or self._missed
            or any(held.passed_on for held in self._held.values())
        )

    @property
    def awaited(self) -> tuple[Want, ...]:
        return tuple(awaited.want for awaited in self._awaited.values())

    @property
    def places(self) -> tuple[Awaited, ...]:
        """The seats that are waited for, with their places."""
        return tuple(self._awaited.values())

    def awaits(self, key: SeatKey) -> bool:
        return key in self._awaited

    def holds(self, key: SeatKey) -> bool:
        return key in self._held

    def held_seat(self, key: SeatKey) -> Held | None:
        return self._held.get(key)

    def holder_has_seat(self, holder: str, license_type: str = "") -> bool:
        """Tell whether a holder uses a seat, of the license type where one is given."""
        return any(key.holder == holder and license_type in ("", key.license_type) for key in tuple(self._held))

    def wanted(self) -> tuple[Want, ...]:
        """Return all seats that the site wants: those in use, those lost and not returned, and those waited for."""
        return (
            *(held.want for held in self._held.values()),
            *({key: seat.want for key, seat in self._awaited.items()} | self._missed).values(),
        )

    def already(self, want: Want) -> Granted | None:
        """Return the grant for a seat that is in use exactly as wanted; None where the master must be asked."""
        held = self._held.get(want.key)
        if held is None or held.want != want or held.basis is Basis.NOT_NEEDED:
            return None
        return held.as_grant(already_held=True)

    def in_use(self) -> dict[str, int]:
        """Return how many seats with the basis DEBITED are in use, by license type."""
        seats_in_use: dict[str, int] = {}
        for held in self._held.values():
            if held.basis is Basis.DEBITED:
                seats_in_use[held.want.license_type] = seats_in_use.get(held.want.license_type, 0) + 1
        return seats_in_use

    # By number.

    def may_use_unasked(self, want: Want) -> bool:
        """Tell whether a seat that is not in use may be used without asking the master."""
        return want.key not in self._held and want.key not in self._uncertain and self.numbers.may_use(want)

    def use_unasked(self, want: Want) -> Granted:
        """Use a seat by number, without asking the master; `may_use_unasked` must have allowed it."""
        self.numbers.note_unasked(want)
        self.numbers.begun(want.key)
        return self._use_by_number(want)

    def _use_by_number(self, want: Want) -> Granted:
        grant = Granted.by_number(want)
        self._use(Held.of(grant))
        return grant

    # By the number of a standby lease, or of a loan.

    def allow(self, seats: Mapping[str, int]) -> None:
        """Let as many seats be acquired offline as `seats` says by license type. No seat may be held yet."""
        self._allowance = seats

    def allow_no_more(self) -> None:
        """Stop granting seats by number offline, because the master has granted each seat by name."""
        self._allowance = None

    def restore(self, *, held: Iterable[Held], idle: Iterable[Held], awaited: Iterable[Awaited] = ()) -> None:
        """Restore the seats that were kept on disk. No seat may be held yet."""
        for seat in held:
            self._held[seat.want.key] = seat
        self._idle.update({seat.counted_as: seat for seat in idle})
        self._awaited.update({seat.want.key: seat for seat in awaited if seat.want.key not in self._held})

    def _use(self, held: Held) -> None:
        """Note a seat as in use, and as neither missed nor waited for any more."""
        self._held[held.want.key] = held
        self._missed.pop(held.want.key, None)
        self._awaited.pop(held.want.key, None)

    # With the master.

    def granted(self, grant: Granted) -> None:
        """Note a seat that the master granted as in use under its own name."""
        key = grant.want.key
        if key not in self._held:
            self.numbers.begun(key)
        self._use(Held.of(grant))
        self.numbers.heard_of(key)
        self._idle.pop(key, None)
        self._uncertain.pop(key, None)

    def refused(self, refused: Refused) -> None:
        """Note whether a seat that the master refused is waited for from now on, or no longer."""
        key = refused.want.key
        if refused.reason is Reason.WAITING:
            self._awaited[key] = Awaited(want=refused.want, place=refused.place)
        elif refused.reason is not Reason.LEARNING:  # until that is over the place is kept
            self._awaited.pop(key, None)

    def move_up(self, places: Mapping[SeatKey | tuple[HolderKind, str], int]) -> None:
        """Update the places of the seats waited for; `places` are by the seat's name, else by kind and name of the
        holder."""
        for key, seat in self._awaited.items():
            self._awaited[key] = replace(seat, place=places.get(key) or places.get(key[1:], seat.place))

    def asked_in_vain(self, wants: Iterable[Want]) -> None:
        """Note seats as in doubt, because the call that asked for them was not answered: the master may count them."""
        for want in wants:
            if want.key not in self._held:
                self._uncertain[want.key] = want

    def give_up(self, want: Want) -> Held | None:
        """Stop using a seat before the master is asked to take it back; return the seat, None if it was not in use."""
        key = want.key
        self._missed.pop(key, None)
        self._awaited.pop(key, None)
        self._uncertain[key] = want
        return self._held.pop(key, None)

    def not_granted(self, want: Want) -> None:
        """Stop using a seat that was used by number, because the master does not grant it."""
        self._held.pop(want.key, None)

    def taken_back(self, want: Want) -> None:
        """Note that the master took a seat back, so that it is in doubt no more."""
        self._uncertain.pop(want.key, None)

    def stays(self, held: Held) -> None:
        """Use a seat again that the master refused to take back (rule H5)."""
        self._uncertain.pop(held.want.key, None)
        self._use(held)

    # What the master takes away.

    def taken_away(self, keys: Collection[SeatKey]) -> tuple[Held, ...]:
        """Stop using the seats that the master counts under these names, idle ones too; return those that were in use.

        The master counts these seats until it has them back (`taken_back`).
        """
        lost = [held for held in self._held.values() if held.counted_as in keys]
        idle = [held for key, held in self._idle.items() if key in keys]
        for held in lost:
            del self._held[held.want.key]
        for held in idle:
            del self._idle[held.counted_as]
        self._uncertain.update({held.counted_as: Want(*held.counted_as) for held in (*lost, *idle)})
        return tuple(lost)

    def beside(self, keys: Collection[SeatKey]) -> tuple[Want, ...]:
        """Return the other seats in use by the holders of the named seats."""
        holders = {key[1:] for key in keys}
        return tuple(held.want for key, held in self._held.items() if key[1:] in holders and key not in keys)

    # Offline.

    def acquire_offline(self, want: Want) -> Granted | None:
        """Grant a seat from those that the master counts for this site in any case; return None where there is none."""
        key = want.key
        if held := self._held.get(key):
            return held.as_grant(already_held=True)
        if self._allowance is not None:
            is_left = self._held.of_type[key.license_type] < self._allowance.get(key.license_type, 0)
            return self._use_by_number(want) if is_left else None
        idle = self._take_idle(want)
        if idle is None:
            return None
        held = replace(idle, want=want)
        self._use(held)
        return held.as_grant(already_held=False)

    def return_offline(self, want: Want) -> bool:
        """Stop using a seat, which stays idle until the master can be reached; return whether it was in use."""
        self._missed.pop(want.key, None)
        if self._awaited.pop(want.key, None) is not None:
            self._uncertain[want.key] = want  # the master has not heard that it is given up
        held = self._held.pop(want.key, None)
        if held is None:
            return False
        by_number = self.numbers.heard_of(want.key) or self._allowance is not None  # the master counts no name
        if not by_number and held.basis is not Basis.NOT_NEEDED:
            self._idle[held.counted_as] = held
        return True

    def _take_idle(self, want: Want) -> Held | None:
        """Remove and return an idle seat for a holder: the holder's own first, then one that may be passed on."""
        own = self._idle.get(want.key)
        if own is not None and own.want == want:
            return self._idle.pop(want.key)
        for counted_as, idle in self._idle.items():
            if idle.may_pass_to(want):
                return self._idle.pop(counted_as)
        return None

    def still_wanted(self, wants: Iterable[Want]) -> None:
        """Note the whole wanted set while the master cannot be asked. The next reconciliation asks for it, and has the
        master take back every seat beyond the set, whether or not this site knows of that seat."""
        self._set_is_news = True
        self._missed.clear()
        self._missed.update({want.key: want for want in wants if want.key not in self._held})

    def surplus(self, wants: Iterable[Want]) -> tuple[Want, ...]:
        """Return the seats that the master may count for this site and that are not in a wanted set."""
        wanted = {want.key for want in wants}
        counted = {held.counted_as: Want(*held.counted_as) for held in (*self._held.values(), *self._idle.values())}
        counted.update(self._uncertain)
        return tuple(want for key, want in counted.items() if key not in wanted)

    # Reconciling the whole set.

    def begin_reconciling(self, wants: Sequence[Want]) -> Reconciliation:
        """Give up, before the master is asked, every seat that its answer may take away.

        Until `reconciled`, only seats that are wanted and counted under their own name count as held. Where the answer
        is lost this stays so, and the other seats stay wanted. Raises ValueError where a seat is wanted twice.
        """
        wanted = {want.key: want for want in wants}
        if len(wanted) != len(wants):
            raise ValueError("the same seat is wanted twice")
        dropped = [held for key, held in self._held.items() if key not in wanted]
        in_doubt = [held for key, held in self._held.items() if key in wanted and held.passed_on]
        for held in (*dropped, *in_doubt):
            del self._held[held.want.key]
            self._uncertain[held.want.key] = held.want
        for held in self._idle.values():
            self._uncertain[held.counted_as] = Want(*held.counted_as)
        self._idle.clear()
        self.still_wanted(wants)
        for key in self._awaited.keys() - wanted:
            del self._awaited[key]
        return Reconciliation(
            wants=tuple(wants), dropped=tuple(held.want for held in dropped), in_doubt=tuple(in_doubt)
        )

    def reconciled(
        self, reconciliation: Reconciliation, outcomes: Iterable[Granted | Refused], *, kept: Iterable[Granted] = ()
    ) -> Reconciled:
        """Note the master's answer to a reconciliation: from now on the master counts the seats that are held here."""
        known = {*self._held, *(held.want.key for held in reconciliation.in_doubt)}
        gained: list[Granted] = []
        refused: list[Refused] = []
        self._set_is_news = False
        self._uncertain.clear()
        self._missed.clear()
        for outcome in outcomes:
            if isinstance(outcome, Refused):
                self._held.pop(outcome.want.key, None)
                self.refused(outcome)
                refused.append(outcome)
            else:
                if outcome.want.key not in known:
                    gained.append(outcome)
                self.granted(outcome)
        for grant in kept:
            self.granted(grant)
        return Reconciled(gained=tuple(gained), refused=tuple(refused))

    def claimed(self, outcomes: Iterable[Granted | Refused]) -> list[Refused]:
        """Note the master's answers for seats used by number until now; return the refusals."""
        refused = []
        for outcome in outcomes:
            if isinstance(outcome, Refused):
                self._held.pop(outcome.want.key, None)
                self._missed[outcome.want.key] = outcome.want
                refused.append(outcome)
            else:
                self.granted(outcome)
        return refused

    # The end of a lease.

    def lose_all(self, *, lent: Mapping[str, int] | None = None) -> tuple[Want, ...]:
        """Give up every seat because the lease is over; the seats stay wanted. Return those that were in use.

        `lent` says how many seats are borrowed, by license type: as many stay in use, those used longest first, and
        others may be acquired offline as these are returned.
        """
        self._allowance = lent or None
        self.numbers.forget()
        left, lost = Counter(lent or {}), []
        for key, held in tuple(self._held.items()):
            if left[key.license_type] > 0:
                left[key.license_type] -= 1
                self._held[key] = replace(held, counted_as=key)  # the master counts numbers, and no names, any more
            else:
                del self._held[key]
                lost.append(held.want)
        self._missed.update({want.key: want for want in lost})
        self._idle.clear()
        self._uncertain.clear()
        return tuple(lost)

    def forget_all(self) -> None:
        """Forget all seats, held or wanted, because another installation took over or the lease was closed."""
        self.lose_all()
        self._set_is_news = False
        self._missed.clear()
        self._awaited.clear()
