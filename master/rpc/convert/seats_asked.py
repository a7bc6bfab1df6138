"""Reads the seats that a call asks for: runs of seats that differ in their holder only are read at once.

A malformed seat is refused alone. The rest of the call is decided as if that seat had not been there; the answers are
in the order of the request.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from operator import attrgetter
from typing import Generic, TypeVar

from licensemaster import values
from licensemaster.api_enums import HolderKind
from licensemaster.v1 import seat_pb2
from master.domain.catalog.versions import Version
from master.domain.seats.refusals import explanations
from master.domain.seats.refusals.reasons import Refusal
from master.domain.seats.seats import Key, SeatKey, Want, run_of, runs_of
from master.rpc.errors import InvalidArgumentError
from master.values import Value

_HOLDER = attrgetter("holder")
_ALIKE = attrgetter("license_type", "holder_kind", "user", "line", "application_version")
_KINDS: dict[int, HolderKind] = {kind.value: kind for kind in HolderKind}
Item = TypeVar("Item", Want, SeatKey)
Outcome = TypeVar("Outcome")


class Asked(Value, Generic[Item]):
    """The seats that a call asks for, each to be decided once."""

    items: list[Item]
    """The seats to be decided, each once."""
    answers: list[int | Refusal]
    """For each seat of the call, the index of its item in `items`, or why the seat is not decided."""

    def in_order(self, outcomes: Sequence[Outcome]) -> list[Outcome | Refusal]:
        """Return the answers for all seats of the call, in its order, from the outcomes for `items`."""
        return [outcomes[answer] if isinstance(answer, int) else answer for answer in self.answers]


def wants(seats: Sequence[seat_pb2.Seat], *, most: int, least: int = 1) -> Asked[Want]:
    """Read the seats that a call asks for; their types are not checked against the project's catalog here.
    Raises InvalidArgumentError if there are more than `most` seats, or fewer than `least`."""
    _check_count(len(seats), least=least, most=most)
    read = _Wants()
    holders = list(map(_HOLDER, seats))
    for run in runs_of(map(_ALIKE, seats)):
        read.add(seats[run.start], holders[run])
    return Asked(read.wants, read.answers)


def seat_keys(seats: Sequence[seat_pb2.Seat], *, most: int) -> Asked[SeatKey]:
    """Read the seats to be returned. Raises InvalidArgumentError if there are more than `most` seats, or none."""
    _check_count(len(seats), least=1, most=most)
    read = _Reader()
    keys: list[SeatKey] = []
    answers: list[int | Refusal] = []
    for index, seat in enumerate(seats):
        try:
            keys.append(read.key(seat))
            answers.append(len(keys) - 1)
        except _MalformedError as error:
            answers.append(explanations.malformed_seat(f"seats[{index}].{error.field}", error.reason))
    return Asked(keys, answers)


class _MalformedError(Exception):
    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field
        self.reason = reason


class _Reader:
    """Reads the seats of one call; types and versions are few, so each is checked once."""

    def __init__(self) -> None:
        self._types: dict[str, str] = {}
        self._versions: dict[str, Version | None] = {"": None}

    def key(self, seat: seat_pb2.Seat) -> SeatKey:
        return SeatKey(self._type(seat), _kind(seat), _read("holder", seat.holder))

    def _type(self, seat: seat_pb2.Seat) -> str:
        license_type = self._types.get(seat.license_type)
        if license_type is None:
            license_type = self._types[seat.license_type] = _read("license_type", seat.license_type)
        return license_type

    def want_like(self, seat: seat_pb2.Seat) -> Want:
        """Read all of a seat except its holder."""
        license_type, kind = self._type(seat), _kind(seat)
        user = _read("user", seat.user) if seat.user else ""
        line = _read("line", seat.line) if seat.line else ""
        application = seat.application_version
        if application not in self._versions:
            try:
                self._versions[application] = Version.parse(application)
            except ValueError as error:
                raise _MalformedError("application_version", str(error)) from error
        return Want(license_type, kind, "", user, line, self._versions[application])


class _Wants:
    """The seats of one call, run by run."""

    def __init__(self) -> None:
        self.wants: list[Want] = []
        self.answers: list[int | Refusal] = []
        self._read = _Reader()
        self._first: list[int] = []
        """The first position in the call of each of `wants`."""
        self._places: dict[Key, int] = {}

    def add(self, like: seat_pb2.Seat, holders: list[str]) -> None:
        """Read the next seats of the call: one for each holder, otherwise like the given seat."""
        try:
            want = self._read.want_like(like)
        except _MalformedError as error:
            for _ in holders:
                self._refuse(error)
            return
        begin, end = len(self.wants), len(self.wants) + len(holders)
        keys = list(zip(repeat(want.type), repeat(want.kind), holders, strict=False))
        if not values.are_holders(holders) or len(set(keys)) < len(keys) or not self._places.keys().isdisjoint(keys):
            for holder in holders:
                self._add_one(want, holder)
            return
        self._first += range(len(self.answers), len(self.answers) + len(holders))
        self.wants += run_of(want, holders)
        self.answers += range(begin, end)
        self._places.update(zip(keys, range(begin, end), strict=True))

    def _add_one(self, like: Want, holder: str) -> None:
        try:
            want = like._replace(holder=_read("holder", holder))
            place = self._places.setdefault(want.key, len(self.wants))
            if place == len(self.wants):
                self._first.append(len(self.answers))
                self.wants.append(want)
            elif self.wants[place] != want:
                reason = f"is the same seat as seats[{self._first[place]}], with another user, line or version"
                raise _MalformedError("holder", reason)
            self.answers.append(place)
        except _MalformedError as error:
            self._refuse(error)

    def _refuse(self, error: _MalformedError) -> None:
        field = f"seats[{len(self.answers)}].{error.field}"
        self.answers.append(explanations.malformed_seat(field, error.reason))


def _kind(seat: seat_pb2.Seat) -> HolderKind:
    kind = _KINDS.get(seat.holder_kind)
    if kind is None:
        kinds = ", ".join(holder_kind.name for holder_kind in HolderKind)
        raise _MalformedError("holder_kind", f"{seat.holder_kind} must be one of {kinds}")
    return kind


def _read(field: str, value: str) -> str:
    try:
        return values.license_name(value) if field == "license_type" else values.holder(value)
    except values.BadValueError as error:
        raise _MalformedError(field, str(error)) from error


def _check_count(count: int, *, least: int, most: int) -> None:
    if not least <= count <= most:
        raise InvalidArgumentError("seats", f"{count} seats in one call; send {least} to {most} at a time")
