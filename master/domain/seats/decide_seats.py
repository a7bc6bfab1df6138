"""Decides what a PBX may hold: acquire, return, and reconcile the whole wanted set.

The one place where the license rules meet what is held. It works on a working set of seats that was filled beforehand
and answers every seat by itself; what the working set then holds as changed is to be written. Rules decided here:

- A1, A2, E1, E3: a seat is one unit of a pool, named by (PBX, type, holder); asking again changes nothing.
- D1, D2: companions are debited with their seat, all or none.
- H2, H3, K2: what another seat includes debits nothing; it is re-packed whenever that other seat comes or goes.
- H4, H5, J2, K3, K8: what a seat needs beside it must be held, and fixed seats so needed cannot be returned.
- B10: a seat already held is not questioned again.
- Wants of a call that differ in their holder only, a run, are decided at once where no rule looks at the holder.
- What an operator laid down about sharing a pool is kept: reserves, maxima, who may have what at all; how many seats
there may be above what is installed, and for how long (`domain/allocation`).
- While a restored master learns, nothing is debited but what is counted for the PBX already
(`domain/leases/learning.py`).

Left to `eligibility.py`: everything that looks only at the estate. Left to `requirements.py`: what must be held beside
a seat. Left to `seat_debits.py`: from which pool a seat is debited. Left to `shortages.py`: why nothing is free. Left
to `explanations.py`: how a refusal is worded. Left to `domain/remedies/remedies.py`: what would turn it into a grant.
Left to the caller: leases, time, storage.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence

from licensemaster.api_enums import Basis, HolderKind
from master.domain.catalog.catalog import LicenseType
from master.domain.catalog.versions import Version
from master.domain.catalog.words import Metering
from master.domain.estate.estate import Pbx
from master.domain.estate.lease_time import LeaseTime
from master.domain.seats.eligibility import Eligibility, EligibilityCache, application_refused
from master.domain.seats.outcomes import CompanionDecisions, Outcome, ReturnOutcome, Synced
from master.domain.seats.refusals import explanations
from master.domain.seats.refusals.allocation_explanations import access_denied
from master.domain.seats.refusals.call_totals import with_totals
from master.domain.seats.refusals.reasons import Refusal
from master.domain.seats.requirements import Requirements
from master.domain.seats.seat_debits import SeatDebits
from master.domain.seats.seat_working_set import SeatWorkingSet
from master.domain.seats.seats import ALIKE, KEY, Granted, Key, Returned, Seat, SeatKey, Want, runs_of
from master.domain.seats.waiting import with_places

_NOT_NEEDED = Granted(Basis.NOT_NEEDED)
_WAS_HELD = Returned(was_held=True)
_WAS_NOT_HELD = Returned(was_held=False)


class Decider:
    """The decisions on the seats of one PBX that runs a given software version."""

    def __init__(
        self,
        eligibilities: EligibilityCache,
        working_set: SeatWorkingSet,
        pbx: Pbx,
        software: Version,
        time: LeaseTime,
        *,
        carrier: Pbx | None = None,
    ) -> None:
        """`carrier` is the standby that has the PBX's lease (F5); None where the PBX has it itself."""
        self._eligibilities = eligibilities
        self._estate = eligibilities.estate
        self._catalog = eligibilities.estate.catalog
        self._working_set = working_set
        self._held = working_set.seats[pbx.id].by_key
        self._revoked = working_set.seats[pbx.id].revoked
        self._pbx = pbx
        self._carrier = carrier
        self._software = software
        self._now = time.now
        self._platforms = {party.device.platform for party in (pbx, carrier) if party is not None}
        self._eligibility: dict[tuple[str, HolderKind], Eligibility | Refusal] = {}
        self._requirements = Requirements(self._catalog, working_set, pbx)
        self._debits = SeatDebits(self._estate, working_set, pbx, time)

    def acquire(self, wants: Sequence[Want], *, waits: bool = False) -> list[Outcome]:
        """Grant or refuse each want, in request order; seats that others need are decided first. `waits` lets seats
        that are short be waited for, where an operator's policy has a queue."""
        rank = self._catalog.rank
        outcomes: list[Outcome] = [_NOT_NEEDED] * len(wants)
        for run in sorted(runs_of(map(ALIKE, wants)), key=lambda run: rank.get(wants[run.start].type, 0)):
            outcomes[run] = self._acquire_run(wants[run])
        outcomes = with_totals(wants, outcomes)
        if not self._working_set.queues:
            return outcomes
        return with_places(
            wants, outcomes, pbx=self._pbx, estate=self._estate, working_set=self._working_set, waits=waits
        )

    def give_back(self, keys: Sequence[SeatKey]) -> list[ReturnOutcome]:
        """Return each seat, in the order of the request; seats that depend on others are returned first."""
        rank, alone = self._catalog.rank, self._catalog.go_alone
        together: defaultdict[str | int, list[int]] = defaultdict(list)
        for index, key in enumerate(keys):
            together[key.type if key.type in alone else index].append(index)
        outcomes: list[ReturnOutcome] = [_WAS_NOT_HELD] * len(keys)
        for run in sorted(together.values(), key=lambda run: -rank.get(keys[run[0]].type, 0)):
            for index, outcome in zip(run, self._return_run([keys[index] for index in run]), strict=True):
                outcomes[index] = outcome
        return outcomes

    def sync(self, wants: Sequence[Want], *, waits: bool = False) -> Synced:
        """Make the seats that the PBX holds equal to the seats that it wants; the working set must hold all seats of
        the PBX. `waits` as in `acquire`."""
        wanted = {want.key for want in wants}
        self._rename_singles(wants, wanted)
        returned, kept = self._give_back_unwanted(wanted)
        outcomes = self.acquire(wants, waits=waits)
        if kept:  # something wanted may have taken the place of what others required (H5)
            more, kept = self._give_back_unwanted(wanted)
            returned += more
            outcomes = [self._as_now_held(want, outcome) for want, outcome in zip(wants, outcomes, strict=True)]
        self._revoked.intersection_update(wanted | {seat.key for seat, _ in kept})  # it does without the others (L5)
        return Synced(outcomes, returned, kept)

    def _rename_singles(self, wants: Sequence[Want], wanted: Collection[SeatKey]) -> None:
        """Rename a PBX's only seat of a type to the wanted name, where none is wanted under the old name (K2)."""
        for want in wants:
            license_type = self._catalog.types.get(want.type)
            if license_type is None or not license_type.one_per_pbx or want[:3] in self._held:
                continue
            for seat in self._working_set.of_type(self._pbx.id, want.type):
                if seat.key not in wanted and seat.key not in self._revoked:
                    self._working_set.remove(seat)
                    self._working_set.add(seat._replace(kind=want.kind, holder=want.holder))

    def withdraw(self, keys: Sequence[SeatKey]) -> list[SeatKey]:
        """Return seats together with the seats that depend on them (L5), and list all keys returned, dependent seats
        first.

        The working set must hold all seats of the PBX.
        """
        gone: list[SeatKey] = []
        waiting = list(keys)
        while waiting:
            outcome = self._return_one(waiting[-1])
            if isinstance(outcome, Refusal):
                waiting += [SeatKey(seat.type, seat.kind, seat.holder) for seat in outcome.seats]
            else:
                key = waiting.pop()
                gone += [key] if outcome.was_held else []
        return gone

    def decide_companions(self) -> CompanionDecisions:
        """Give each seat held the companions that the devices of the PBX and its carrier ask for now, and no others
        (D1, D2).

        The working set must hold all seats of the PBX. Seats are decided oldest first; those that are refused a
        companion have none then.
        """
        seats = [seat for seat in self._working_set.holdings(self._pbx.id) if seat.pool_id is not None]
        seats = [seat for seat in seats if self._catalog.types[seat.type].companions]
        before = sum(self._debits.drop_companions(seat) for seat in seats)
        after, refused, host = 0, list[Refusal](), self._carrier or self._pbx
        for seat in sorted(seats, key=lambda seat: (seat.acquired_at, seat.key)):
            license_type = self._catalog.types[seat.type]
            companions = self._eligibilities.companions(license_type, self._pbx, host, self._software, seat.kind)
            refusals = self._debits.debit_companions(seat, companions)
            after += len(companions) - len(refusals)
            refused += refusals
        return CompanionDecisions(len(seats), before, after, tuple(refused))

    def _give_back_unwanted(self, wanted: set[SeatKey]) -> tuple[list[SeatKey], list[tuple[Seat, Refusal]]]:
        unwanted = [SeatKey(*key) for key, seat in self._held.items() if key not in wanted and not seat.is_companion]
        kept: list[tuple[Seat, Refusal]] = []
        returned: list[SeatKey] = []
        for key, outcome in zip(unwanted, self.give_back(unwanted), strict=True):
            if isinstance(outcome, Refusal):
                kept.append((self._held[key], outcome))
            else:
                returned.append(key)
        return returned, kept

    def _as_now_held(self, want: Want, outcome: Outcome) -> Outcome:
        """Return the grant as it stands now: what included the seat may be gone, and the seat debited since."""
        if not isinstance(outcome, Granted) or outcome.basis is not Basis.INCLUDED:
            return outcome
        return self._still_granted(self._held[want.key])._replace(already_held=outcome.already_held)

    # --- One run of seats -------------------------------------------------------------------------------------------

    def _acquire_run(self, wants: Sequence[Want]) -> list[Outcome]:
        """Decide wants that differ in their holder only: at once where only the pools decide, else want by want."""
        keys = set(map(KEY, wants))
        is_new = len(keys) == len(wants) and self._held.keys().isdisjoint(keys) and self._revoked.isdisjoint(keys)
        eligibility = self._eligibility_of(wants[0])
        refused = eligibility if isinstance(eligibility, Refusal) else eligibility.refused
        if is_new and refused is not None:
            return [refused] * len(wants)
        if (
            is_new
            and isinstance(eligibility, Eligibility)
            and eligibility.is_plain
            and not self._working_set.is_waited_for(self._pbx.id, keys)
        ):
            if denied := self._denied(wants[0], eligibility):
                return [denied] * len(wants)
            return self._debits.charge(eligibility, wants, parent="")
        return [self._acquire_one(want) for want in wants]

    def _acquire_one(self, want: Want) -> Outcome:
        if self._revoked and want.key in self._revoked:
            return explanations.revoked(self._catalog.types[want.type], want)
        held = self._held.get(want[:3])
        if held is not None and not held.is_companion:
            return self._again(held, want)
        eligibility = self._eligibility_of(want)
        if isinstance(eligibility, Refusal):
            return eligibility
        if eligibility.refused is not None:
            return eligibility.refused
        license_type = eligibility.type
        if not eligibility.needs_license and license_type.metering is not Metering.FREE:
            return _NOT_NEEDED
        if refusal := self._denied(want, eligibility) or application_refused(eligibility, want.application):
            return refusal
        if license_type.one_per_pbx and (others := self._working_set.of_type(self._pbx.id, license_type.key)):  # K2
            return explanations.one_per_pbx(license_type, self._pbx, others[0])
        if license_type.requires and (refusal := self._requirements.missing(license_type, want)):
            return refusal
        if license_type.metering is Metering.FREE:
            return _NOT_NEEDED
        parent = self._included_in(license_type, want.subject)
        (granted,) = self._debits.charge(eligibility, (want,), parent=parent)
        if isinstance(granted, Granted) and license_type.includes:
            self._include_parts(license_type, want.subject)
        if isinstance(granted, Granted) and license_type.includes_per_pbx:
            self._include_more(license_type)
        return granted

    def _eligibility_of(self, want: Want) -> Eligibility | Refusal:
        name = want[:2]
        eligibility = self._eligibility.get(name)
        if eligibility is None:
            eligibility = self._eligibility[name] = self._eligibilities.of(
                self._pbx, self._software, want.type, want.kind, carrier=self._carrier
            )
        return eligibility

    def _denied(self, want: Want, eligibility: Eligibility) -> Refusal | None:
        """Return the refusal by an allocation rule that keeps a type from the PBX's site, for holders of this kind."""
        if not (self._estate.allocation.rules and eligibility.needs_license):
            return None
        rule = self._estate.allocation.access(want.type, self._pbx.site, want.kind, self._now)
        return access_denied(eligibility.type, self._pbx, want.kind, rule) if rule is not None else None

    def _return_run(self, keys: Sequence[SeatKey]) -> list[ReturnOutcome]:
        """Return one seat, or at once several seats of a type whose return concerns no other seat."""
        if keys[0].type not in self._catalog.go_alone:
            return [self._return_one(keys[0])]
        going: dict[Key, Seat] = {}
        for key in keys:
            if (seat := self._held.get(key)) is not None and not seat.is_companion:
                going[key] = seat
        returned = dict.fromkeys(going)
        self._working_set.remove_run(self._pbx.id, going | self._debits.companions_of(keys[0].type, going))
        self._revoked.difference_update(keys)  # L5: that they were taken away has arrived
        return [_WAS_HELD if returned.pop(key, key) is None else _WAS_NOT_HELD for key in keys]

    def _return_one(self, key: SeatKey) -> ReturnOutcome:
        seat = self._held.get(key)
        if seat is None or seat.is_companion:
            self._revoked.discard(key)
            return _WAS_NOT_HELD
        license_type = self._catalog.types[seat.type]
        if license_type.metering is Metering.FIXED and (refusal := self._requirements.still_required(seat)):
            return refusal
        self._debits.remove(seat)
        if license_type.includes and (refusal := self._charge_parts(license_type, seat)):
            return refusal
        if license_type.includes_per_pbx and (refusal := self._charge_surplus(license_type, seat)):
            return refusal
        if seat.parent and self._catalog.included_per_pbx_in[seat.type]:
            self._pass_inclusion_on(seat)
        self._revoked.discard(key)  # L5: that it was taken away has arrived
        return _WAS_HELD

    def _again(self, held: Seat, want: Want) -> Outcome:
        """Grant a seat that is held already without deciding it again (B10), except for what its new user or line must
        have (J2, K3)."""
        if want.user != held.user or want.line != held.line:
            if refusal := self._requirements.missing(self._catalog.types[held.type], want):
                return refusal
            self._working_set.remove(held)
            self._working_set.add(held._replace(user=want.user, line=want.line))
        if held.pool_id is not None and self._catalog.types[held.type].companions:
            self._debits.drop_companions(held, but=self._platforms)
        return self._still_granted(held)

    def _still_granted(self, seat: Seat) -> Granted:
        if seat.pool_id is None:
            return Granted(Basis.INCLUDED, already_held=True, included_in=seat.parent)
        # where it was debited, wherever its PBX draws by now (A5)
        device = self._estate.pool_devices[seat.pool_id].name
        floating = self._catalog.types[seat.type].metering is Metering.FLOATING
        return Granted(Basis.DEBITED, True, device=device, reassignable=floating)

    # --- Inclusion: H2, H3, K2 --------------------------------------------------------------------------------------

    def _included_in(self, license_type: LicenseType, user: str) -> str:
        """Return the type of a held seat that includes a new seat of `license_type`; empty where none does."""
        if user:
            for whole in self._catalog.included_in[license_type.key]:
                if self._requirements.holds(whole, user):
                    return whole.key
        for base in self._catalog.included_per_pbx_in[license_type.key]:
            allowance = self._requirements.count(base.key) * base.includes_per_pbx[license_type.key]
            taken = sum(seat.parent == base.key for seat in self._working_set.of_type(self._pbx.id, license_type.key))
            if taken < allowance:
                return base.key
        return ""

    def _include_parts(self, whole: LicenseType, user: str) -> None:
        """Credit the parts that the user already holds: the seat of type `whole` includes them from now on."""
        for seat in self._parts_held(whole, user):
            if seat.pool_id is not None:
                self._debits.remove(seat)
                self._working_set.add(seat._replace(pool_id=None, parent=whole.key))

    def _include_more(self, base: LicenseType) -> None:
        """Credit debited seats, oldest first, as far as the PBX's seats of type `base` include them now (K2)."""
        for part, each in base.includes_per_pbx.items():
            seats = self._working_set.of_type(self._pbx.id, part)
            free = len(self._working_set.of_type(self._pbx.id, base.key)) * each
            free -= sum(seat.parent == base.key for seat in seats)
            for seat in [seat for seat in seats if seat.pool_id is not None][: max(free, 0)]:
                self._debits.remove(seat)
                self._working_set.add(seat._replace(pool_id=None, parent=base.key))

    def _charge_parts(self, whole: LicenseType, returned: Seat) -> Refusal | None:
        """Debit the parts that stay when the seat that includes them is returned, or return the refusal (H2)."""
        parts = [seat for seat in self._parts_held(whole, returned.subject) if seat.parent == whole.key]
        return self._charge_included(whole, returned, parts)

    def _charge_surplus(self, base: LicenseType, returned: Seat) -> Refusal | None:
        """Debit the newest included seats that the remaining seats of type `base` no longer include (K2)."""
        left = len(self._working_set.of_type(self._pbx.id, base.key))
        surplus: list[Seat] = []
        for part, each in base.includes_per_pbx.items():
            included = [seat for seat in self._working_set.of_type(self._pbx.id, part) if seat.parent == base.key]
            surplus += included[left * each :]
        return self._charge_included(base, returned, surplus)

    def _charge_included(self, whole: LicenseType, returned: Seat, included: Sequence[Seat]) -> Refusal | None:
        """Debit the seats that the returned seat included; where one cannot be debited, undo and refuse the return."""
        charged: list[tuple[Seat, Seat]] = []
        for seat in included:
            self._working_set.remove(seat)
            want = seat.want
            eligibility = self._eligibility_of(want)
            assert isinstance(eligibility, Eligibility)
            parent = self._included_in(eligibility.type, want.subject)  # in what else is held
            refused = None if parent else eligibility.refused or self._denied(want, eligibility)
            outcome = refused or self._debits.charge(eligibility, (want,), parent=parent)[0]
            if isinstance(outcome, Refusal):
                self._working_set.add(seat)
                for before, after in reversed(charged):
                    self._working_set.remove(after)
                    self._working_set.add(before)
                self._working_set.add(returned)
                return explanations.still_required(whole, [seat], short=outcome)
            charged.append((seat, self._held[seat.key]))
        return None

    def _parts_held(self, whole: LicenseType, user: str) -> list[Seat]:
        return [
            seat for part in whole.includes for seat in self._requirements.seats_of(self._catalog.types[part], user)
        ]

    def _pass_inclusion_on(self, returned: Seat) -> None:
        """Include a seat that is debited so far in the PBX's base license, in the place of the returned one (K2)."""
        for seat in self._working_set.of_type(self._pbx.id, returned.type):
            if seat.pool_id is not None:
                self._working_set.remove(seat)
                self._working_set.add(seat._replace(pool_id=None, parent=returned.parent))
                return
