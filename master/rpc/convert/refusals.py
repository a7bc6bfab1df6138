"""Messages of the answers for single seats, and of what would turn a refusal into a grant."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar

from licensemaster.api_enums import Basis, HolderKind
from licensemaster.v1 import lease_pb2, seat_pb2
from master.domain.estate.license_refs import LicenseRef
from master.domain.seats.outcomes import Outcome, ReturnOutcome
from master.domain.seats.refusals.reasons import MOST_NAMED, Refusal, Remedy, SeatRef, Step, Way
from master.domain.seats.seats import Granted, runs_of
from master.rpc.messages import message

AboutSeats = TypeVar(
    "AboutSeats", lease_pb2.OpenLeaseResponse, lease_pb2.AcquireSeatsResponse, lease_pb2.SyncSeatsResponse
)
NAMED_TO_EXPLAIN = 1_000
"""The most licenses or seats in each list of an explanation."""
_NAMED_IN_ALL = 20_000
"""Licenses or seats that the refusals of one answer share in their lists, so that no answer grows without bound."""
_FEW = 8
"""The most results that are copied, which is faster for few than writing and reading them."""
BASIS = {basis: seat_pb2.Basis.ValueType(basis.value) for basis in Basis}


def seat_results(outcomes: Sequence[Outcome], *, named: int = MOST_NAMED) -> list[seat_pb2.SeatResult]:
    """Return a result for each outcome; each distinct outcome is converted once. `named` is the most licenses or seats
    in a list."""
    known: dict[int, seat_pb2.SeatResult] = {}
    messages = RefusalMessages.of_many(outcomes, named)
    results: list[seat_pb2.SeatResult] = []
    for run in runs_of(map(id, outcomes)):
        outcome = outcomes[run.start]
        result = known.get(id(outcome))
        if result is None:
            if isinstance(outcome, Granted):
                result = _granted(outcome)
            else:
                result = seat_pb2.SeatResult(refused=messages.of(outcome))
            known[id(outcome)] = result
        results += [result] * (run.stop - run.start)
    return results


def with_results(response: AboutSeats, outcomes: Sequence[Outcome]) -> AboutSeats:
    """Return the response with a result for each outcome. A run of the same outcome has one result, repeated: it is
    written once and the whole response is read from the bytes, in a third of the time that a hundred copies take."""
    results = seat_results(outcomes)
    if len(results) <= _FEW:
        response.results.extend(results)
        return response
    written = [response.SerializeToString()]
    for run in runs_of(map(id, results)):
        result = type(response)(results=results[run.start : run.start + 1])
        written.append(result.SerializeToString() * (run.stop - run.start))
    return type(response).FromString(b"".join(written))


def return_results(outcomes: Sequence[ReturnOutcome]) -> list[lease_pb2.ReturnResult]:
    messages = RefusalMessages.of_many(outcomes)
    return [
        lease_pb2.ReturnResult(refused=messages.of(outcome))
        if isinstance(outcome, Refusal)
        else lease_pb2.ReturnResult(returned=outcome.was_held)
        for outcome in outcomes
    ]


@lru_cache(maxsize=4096)
def _granted(granted: Granted) -> seat_pb2.SeatResult:
    grant = seat_pb2.Grant(
        basis=BASIS[granted.basis],
        already_held=granted.already_held,
        included_in=granted.included_in,
        device=granted.device,
        reassignable=granted.reassignable,
    )
    return seat_pb2.SeatResult(granted=grant)


class RefusalMessages:
    """The refusals of one answer; parts that many refusals share are converted once."""

    def __init__(self, named: int) -> None:
        """`named` is the most licenses or seats in a list."""
        self._named = named
        self._remedies: dict[int, seat_pb2.Remedy] = {}
        """Converted remedies by identity: a remedy for ten thousand seats is not compared ten thousand times."""

    @classmethod
    def of_many(cls, outcomes: Sequence[object], most: int = MOST_NAMED) -> RefusalMessages:
        """Return the messages for an answer with these outcomes: the more refusals, the shorter their lists."""
        refused = list(map(type, outcomes)).count(Refusal)
        return cls(max(1, min(most, _NAMED_IN_ALL // max(refused, 1))))

    def of(self, refused: Refusal) -> seat_pb2.Refusal:
        return message(
            seat_pb2.Refusal,
            refused,
            licenses=license_refs(refused.licenses[: self._named]),
            licenses_total=len(refused.licenses),
            seats=_seats(refused.seats[: self._named]),
            seats_total=len(refused.seats),
            remedy=self._remedy(refused.remedy) if refused.remedy is not None else None,
        )

    def _remedy(self, remedy: Remedy) -> seat_pb2.Remedy:
        known = self._remedies.get(id(remedy))
        if known is None:
            known = self._remedies[id(remedy)] = message(
                seat_pb2.Remedy, remedy.main, text=remedy.text, ways=ways(remedy.ways, named=self._named)
            )
        return known


def ways(decided: Sequence[Way], *, named: int = MOST_NAMED) -> list[seat_pb2.RemedyWay]:
    """Return ways out of a refusal; each list of a step has `named` licenses or seats at most."""
    return [
        seat_pb2.RemedyWay(steps=[_step(step, named=named) for step in way.steps], text=way.text) for way in decided
    ]


def _step(step: Step, *, named: int) -> seat_pb2.RemedyStep:
    return message(
        seat_pb2.RemedyStep,
        step,
        licenses=step.licenses[:named],
        licenses_total=len(step.licenses),
        seats=_seats(step.seats[:named]),
        seats_total=len(step.seats),
    )


def license_refs(refs: Sequence[LicenseRef]) -> list[seat_pb2.LicenseRef]:
    """Return the messages of the licenses that a refusal or a version limit names."""
    return [
        seat_pb2.LicenseRef(license=ref.id, type=ref.printed, quantity=ref.quantity, device=ref.device) for ref in refs
    ]


def _seats(seats: Sequence[SeatRef]) -> list[seat_pb2.Seat]:
    return [
        seat_pb2.Seat(license_type=seat.type, holder_kind=kind_message(seat.kind), holder=seat.holder) for seat in seats
    ]


def kind_message(kind: HolderKind) -> seat_pb2.HolderKind.ValueType:
    return seat_pb2.HolderKind.ValueType(int(kind))
