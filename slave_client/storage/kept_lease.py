"""The lease file: the last signed lease and loans, the seats held, and how long they lasted when it was written.

Decides: what of it makes sense, with no I/O. Leaves to others: files (`state_files`), what the seats mean
(`local_seats`).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Final

from licensemaster.api_enums import Basis, HolderKind
from licensemaster.signing.verified_lease import ClockReading, VerifiedLease, VerifiedLoan, verify, verify_loan
from licensemaster.values import short_text
from slave_client.storage.state_files import (
    as_json,
    clock_fields,
    clock_reading_of,
    document_fields,
    document_of,
    raw_bytes,
    text,
)
from slave_client.values.seats import Awaited, Held, SeatKey, Want

_UNKNOWN_BASIS: Final = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class KeptLoan:
    verified: VerifiedLoan
    remaining_seconds: float
    """How long the loan still lasted when the file was written, by the steady clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptLease:
    """A lease and the seats held under it, or under the loans that came with it, as kept on disk."""

    verified: VerifiedLease
    remaining_seconds: float
    """How long the signed lease still lasted when the file was written, by the steady clock; 0 where it was over."""
    saved: ClockReading
    """When the file was written; without a boot where the wall clock alone says how long the lease lasts."""
    held: tuple[Held, ...]
    idle: tuple[Held, ...]
    awaited: tuple[Awaited, ...] = ()
    loans: tuple[KeptLoan, ...] = ()


class LeaseTexts:
    """Writes leases as JSON, and keeps the texts of their seats: most seats are written repeatedly without a change."""

    def __init__(self) -> None:
        self._texts: dict[int, tuple[Held, str]] = {}
        """Each seat of the last writing with its text, by the seat object's id."""

    def of(self, lease: KeptLease, *, journal: int) -> str:
        """Return the JSON of a lease and its seats; `journal` is the number of the journal with seats used later."""
        verified = lease.verified
        before, self._texts = self._texts, {}
        for seat in (*lease.held, *lease.idle):
            self._texts[id(seat)] = before.get(id(seat)) or (seat, seat_text(seat))
        fields = {
            "pbx": verified.pbx,
            "document": document_fields(verified.document),
            "public_key": base64.b64encode(verified.public_key).decode(),
            "remaining_seconds": lease.remaining_seconds,
            **clock_fields(lease.saved),
            "awaited": [[*_want_fields(seat.want), seat.place] for seat in lease.awaited],
            "loans": [[document_fields(loan.verified.document), loan.remaining_seconds] for loan in lease.loans],
            "journal": journal,
        }
        held, idle = (self._joined(seats) for seats in (lease.held, lease.idle))
        return f'{as_json(fields)[:-1]},"held":{held},"idle":{idle}}}'

    def of_seat(self, seat: Held) -> str:
        """Return the JSON of a seat, and keep it for the next text of the lease."""
        _, seat_json = self._texts[id(seat)] = seat, seat_text(seat)
        return seat_json

    def _joined(self, seats: Iterable[Held]) -> str:
        return f"[{','.join([self._texts[id(seat)][1] for seat in seats])}]"


def journal_number(fields: dict[str, Any]) -> int:
    """Return the number of the first journal with seats that were used after the lease was written."""
    return int(fields.get("journal", 0))


def with_journal(fields: dict[str, Any], lines: Iterable[str]) -> dict[str, Any]:
    """Return the lease's fields with the seats of the journal's lines added; a seat's last line counts."""
    used = {json.dumps(seat[:3]): seat for seat in map(json.loads, lines)}
    held, idle = ([seat for seat in fields[name] if json.dumps(seat[:3]) not in used] for name in ("held", "idle"))
    return fields | {"held": [*held, *used.values()], "idle": idle}


def lease_of(fields: dict[str, Any], *, pbx: str, trusted_keys: Collection[bytes]) -> KeptLease:
    """Return the kept lease from the fields of its file.

    Raises LeaseVerificationError where the lease is another PBX's or does not verify with a trusted key;
    KeyError, TypeError or ValueError where the fields make no sense.
    """
    signed = document_of(fields["document"])
    verified = verify(signed, pbx=pbx, public_key=raw_bytes(fields["public_key"]), trusted_keys=trusted_keys)
    held, idle = _seats_of(fields)
    return KeptLease(
        verified=verified,
        remaining_seconds=float(fields["remaining_seconds"]),
        saved=clock_reading_of(fields),
        held=held,
        idle=idle,
        awaited=tuple(Awaited(want=_want_of(seat), place=int(seat[6])) for seat in fields.get("awaited", ())),
        loans=tuple(
            KeptLoan(verify_loan(document_of(document), pbx=pbx, trusted_keys=(verified.public_key,)), float(remaining))
            for document, remaining in fields.get("loans", ())
        ),
    )


def _seats_of(fields: dict[str, Any]) -> tuple[tuple[Held, ...], tuple[Held, ...]]:
    """Return the held and the idle seats; a seat that was kept under several spellings of its holder counts once."""
    kept = [(seat, name) for name in ("held", "idle") for seat in fields[name]]
    if len({json.dumps([seat[:3], seat[10:]]) for seat, _ in kept}) != len(kept):
        raise ValueError("a seat is listed twice")
    seats: dict[str, dict[SeatKey, Held]] = {"held": {}, "idle": {}}
    for fields_of_seat, name in kept:
        seat = _held_of(fields_of_seat)
        if not any(seat.counted_as in known for known in seats.values()):
            seats[name][seat.counted_as] = seat
    return tuple(seats["held"].values()), tuple(seats["idle"].values())


def seat_text(held: Held) -> str:
    counted = held.counted_as
    fields = [
        *_want_fields(held.want),
        _UNKNOWN_BASIS if held.basis is None else held.basis.name,
        held.included_in,
        held.device,
        int(held.reassignable),
    ]
    if held.passed_on:
        fields += [counted.holder_kind.name, counted.holder]
    return as_json(fields)


def _want_fields(want: Want) -> list[object]:
    named = [want.license_type, want.holder_kind.name, want.holder]
    return [*named, want.user, want.line, want.application_version]


def _want_of(fields: list[Any]) -> Want:
    kind, holder, user, line, application = HolderKind[fields[1]], *fields[2:6]
    return Want(text(fields[0]), kind, text(holder), text(user), text(line), text(application))


def _held_of(fields: list[Any]) -> Held:
    want = _want_of(fields)
    passed_on = len(fields) > 10
    return Held(
        want=want,
        basis=None if fields[6] == _UNKNOWN_BASIS else Basis[fields[6]],
        included_in=text(fields[7]),
        device=text(fields[8]),
        reassignable=bool(fields[9]),
        counted_as=_counted_as(want, *fields[10:12]) if passed_on else want.key,
    )


def _counted_as(want: Want, kind: str, holder: object) -> SeatKey:
    return SeatKey(want.license_type, HolderKind[kind], short_text(text(holder)))
