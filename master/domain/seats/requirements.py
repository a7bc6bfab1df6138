"""Seats that must be held before another is granted, and those that must stay as long as it is held (H4, H5, J2, K3,
K8)."""

from __future__ import annotations

from master.domain.catalog.catalog import Catalog, LicenseType, RequiredOf, Requirement
from master.domain.estate.estate import Pbx
from master.domain.seats.refusals import explanations
from master.domain.seats.refusals.reasons import Refusal
from master.domain.seats.seat_working_set import SeatWorkingSet
from master.domain.seats.seats import Seat, SeatKey, Want


class Requirements:
    """What one PBX's seats need, judged by the seats that it holds as the working set changes."""

    def __init__(self, catalog: Catalog, working_set: SeatWorkingSet, pbx: Pbx) -> None:
        self._catalog = catalog
        self._working_set = working_set
        self._pbx = pbx
        self._held = working_set.seats[pbx.id].by_key
        self._revoked = working_set.seats[pbx.id].revoked

    def missing(self, license_type: LicenseType, want: Want) -> Refusal | None:
        """Return the refusal where a seat that the wanted seat needs is not held; else None."""
        for needed in license_type.requires:
            if not self._is_met(needed, want):
                return explanations.requirement_missing(
                    license_type, needed, want, pbx=self._pbx, catalog=self._catalog
                )
        return None

    def _is_met(self, needed: Requirement, want: Want) -> bool:
        """Tell whether what a new seat needs is held, by seats that are not revoked (L5)."""
        types = [self._catalog.types[key] for key in needed.any_of]
        if needed.of is RequiredOf.PBX:
            return any(self.count(accepted.key) for accepted in types)
        holder = want.subject if needed.of is RequiredOf.USER else want.line
        return bool(holder) and any(self.holds(accepted, holder) for accepted in types)

    def still_required(self, seat: Seat) -> Refusal | None:
        """Refuse the return of a fixed seat that others need, and name those (H5)."""
        needs = [
            (dependent, needed)
            for dependent_type in self._catalog.required_by[seat.type]
            for dependent in self._possible_dependents(dependent_type, seat)
            for needed in dependent_type.requires
            if seat.type in needed.any_of and self._stays_met(needed, dependent)
        ]
        self._working_set.remove(seat)
        dependents = [dependent for dependent, needed in needs if not self._stays_met(needed, dependent)]
        self._working_set.add(seat)
        return explanations.still_required(self._catalog.types[seat.type], dependents) if dependents else None

    def _stays_met(self, needed: Requirement, seat: Seat) -> bool:
        """Tell whether what a held seat needs is held. A revoked seat counts until the PBX has given it up."""
        types = [self._catalog.types[key] for key in needed.any_of]
        if needed.of is RequiredOf.PBX:
            return any(self._working_set.of_type(self._pbx.id, accepted.key) for accepted in types)
        holder = seat.subject if needed.of is RequiredOf.USER else seat.line
        return bool(holder) and any(self.seats_of(accepted, holder) for accepted in types)

    def _possible_dependents(self, dependent_type: LicenseType, seat: Seat) -> list[Seat]:
        """List the seats of a type that may depend on the given seat."""
        if any(needed.of is not RequiredOf.USER and seat.type in needed.any_of for needed in dependent_type.requires):
            return self._working_set.of_type(self._pbx.id, dependent_type.key)
        on_behalf = [
            held
            for held in self._working_set.on_behalf_of(self._pbx.id, seat.subject)
            if held.type == dependent_type.key
        ]
        return self.seats_of(dependent_type, seat.subject) + on_behalf

    def holds(self, license_type: LicenseType, holder: str) -> bool:
        """Tell whether a holder has a seat of a type that is not revoked."""
        keys = (SeatKey(license_type.key, kind, holder) for kind in license_type.holders)
        return any(key in self._held and key not in self._revoked for key in keys)

    def count(self, type_key: str) -> int:
        """Count the seats of a type that the PBX has and that are not revoked."""
        return sum(seat.key not in self._revoked for seat in self._working_set.of_type(self._pbx.id, type_key))

    def seats_of(self, license_type: LicenseType, holder: str) -> list[Seat]:
        """List the seats of a type that a holder has, whatever kind of holder it is."""
        keys = (SeatKey(license_type.key, kind, holder) for kind in sorted(license_type.holders))
        return [self._held[key] for key in keys if key in self._held]
