"""A call is read in runs of seats that differ in their holder only; each seat is answered as if it were read alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from licensemaster.api_enums import Basis, HolderKind
from licensemaster.v1 import lease_pb2, seat_pb2
from master.domain.seats.refusals.reasons import Refusal
from master.domain.seats.seats import Granted, Want
from master.rpc.convert.refusals import seat_results, with_results
from master.rpc.convert.seats_asked import wants

_SEATS = st.builds(
    seat_pb2.Seat,
    license_type=st.sampled_from(["port", "port", "voicemail", ""]),
    holder_kind=st.sampled_from([1, 1, 2, 99]),
    holder=st.sampled_from(["a", "b", "c", " a", "Jürgen", "", "x" * 129]),
    user=st.sampled_from(["", "", "u", "\x00"]),
    application_version=st.sampled_from(["", "", "12", "twelve"]),
)


@given(st.lists(_SEATS, min_size=1, max_size=12))
def test_each_seat_of_a_call_is_read_as_if_alone(seats: list[seat_pb2.Seat]) -> None:
    asked = wants(seats, most=100)
    assert len(asked.answers) == len(seats)
    assert len({want.key for want in asked.items}) == len(asked.items)
    for index, (seat, answer) in enumerate(zip(seats, asked.answers, strict=True)):
        (alone,) = wants([seat], most=100).answers
        if isinstance(answer, int):
            assert [asked.items[answer]] == wants([seat], most=100).items
        elif isinstance(alone, Refusal):
            assert answer.message == alone.message.replace("seats[0]", f"seats[{index}]")
        else:
            assert "is the same seat as seats[" in answer.message


def test_a_run_is_read_whole() -> None:
    seats = [
        seat_pb2.Seat(license_type="port", holder_kind=seat_pb2.HOLDER_KIND_USER, holder=f"phone-{at}")
        for at in range(3)
    ]
    asked = wants(seats, most=100)
    assert asked.items == [Want("port", HolderKind.USER, f"phone-{at}") for at in range(3)]
    assert asked.answers == [0, 1, 2]


def test_an_answer_of_runs_is_that_of_its_seats() -> None:
    first, other = Granted(Basis.DEBITED, device="hq"), Granted(Basis.NOT_NEEDED)
    outcomes = [first, first, other, first, other, other]
    assert with_results(lease_pb2.AcquireSeatsResponse(), outcomes) == lease_pb2.AcquireSeatsResponse(
        results=seat_results(outcomes)
    )
