"""What a seat needs beside it: must be held before it is granted, and stays while it is (H4, H5, J2, K3, K8)."""

from __future__ import annotations

from master.domain.catalog.catalog import Catalog, LicenseType, RequiredOf, Requirement
from master.domain.estate.estate import Pbx
from master.domain.seats import explanations
from master.domain.seats.refusals import Refusal
from master.domain.seats.seat_working_set import SeatWorkingSet
from master.domain.seats.seats import Seat, SeatKey, Want


class Requirements:
    """Judges what one PBX holds; sees every change of the working set at once."""

    def __init__(self, catalog: Catalog, working_set: SeatWorkingSet, pbx: Pbx) -> None:
        self._catalog = catalog
        self._working_set = working_set
        self._pbx = pbx
        self._held = working_set.seats[pbx.id].by_key
        self._revoked = working_set.seats[pbx.id].revoked

    def missing(self, license_type: LicenseType, want: Want) -> Refusal | None:
        """Why a seat is refused for want of another; None where all that it needs is held."""
        for needed in license_type.requires:
            if not self._satisfied(needed, user=want.subject, line=want.line, going=False):
                return explanations.requirement_missing(
                    license_type, needed, want, pbx=self._pbx, catalog=self._catalog
                )
        return None

    def _satisfied(self, needed: Requirement, *, user: str, line: str, going: bool) -> bool:
        """Whether a requirement is held; `going`: be it a seat that was taken away, which nothing new may lean on
        (L5).
        """
        types = [self._catalog.types[key] for key in needed.any_of]
        if needed.of is RequiredOf.PBX:
            return any(self.count(accepted.key, going=going) for accepted in types)
        holder = user if needed.of is RequiredOf.USER else line
        return bool(holder) and any(self.holds(accepted, holder, going=going) for accepted in types)

    def still_required(self, seat: Seat) -> Refusal | None:
        """H5: a fixed seat that others need stays; the refusal names them."""
        needs = [
            (candidate, needed)
            for other in self._catalog.required_by[seat.type]
            for candidate in self._candidates(other, seat)
            for needed in other.requires
            if seat.type in needed.any_of and self._satisfied_for(needed, candidate)
        ]
        self._working_set.remove(seat)
        dependents = [candidate for candidate, needed in needs if not self._satisfied_for(needed, candidate)]
        self._working_set.add(seat)
        return explanations.still_required(self._catalog.types[seat.type], dependents) if dependents else None

    def _satisfied_for(self, needed: Requirement, seat: Seat) -> bool:
        return self._satisfied(needed, user=seat.subject, line=seat.line, going=True)

    def _candidates(self, other: LicenseType, seat: Seat) -> list[Seat]:
        """Seats of a type that may depend on the given one."""
        if any(needed.of is not RequiredOf.USER and seat.type in needed.any_of for needed in other.requires):
            return self._working_set.of_type(self._pbx.id, other.key)
        on_behalf = [
            held for held in self._working_set.on_behalf_of(self._pbx.id, seat.subject) if held.type == other.key
        ]
        return self.seats_of(other, seat.subject) + on_behalf

    def holds(self, license_type: LicenseType, holder: str, *, going: bool) -> bool:
        """Whether a holder has a seat of a type; `going`: be it one that was taken away."""
        keys = (SeatKey(license_type.key, kind, holder) for kind in license_type.holders)
        return any(key in self._held and (going or key not in self._revoked) for key in keys)

    def count(self, type_key: str, *, going: bool) -> int:
        """How many seats of a PBX-wide type are held."""
        seats = self._working_set.of_type(self._pbx.id, type_key)
        return len(seats) if going else sum(seat.key not in self._revoked for seat in seats)

    def seats_of(self, license_type: LicenseType, holder: str) -> list[Seat]:
        """The seats of a type that a holder has, whatever kind of holder it is."""
        keys = (SeatKey(license_type.key, kind, holder) for kind in sorted(license_type.holders))
        return [self._held[key] for key in keys if key in self._held]
