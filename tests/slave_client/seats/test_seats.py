"""Values and messages mean the same on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from licensemaster.v1 import lease_pb2, seat_pb2
from slave_client import Basis, Granted, HolderKind, Reason, Refused, RemedyAction, RemedyStep, SeatKey, Source, Want
from slave_client.values.messages import outcome_from_result, outcome_from_return, seat_from_want, want_from_seat
from slave_client.values.notices import NoticeKind, notices_from_proto


def _names(values: Sequence[tuple[str, int]]) -> list[str]:
    return [name for name, number in values if number]


WANT = Want("webrtc", HolderKind.CHANNEL, "ch-1", user="alice", line="trunk", application_version="12r1")


def test_a_want_survives_the_wire() -> None:
    assert want_from_seat(seat_from_want(WANT)) == WANT


@pytest.mark.parametrize("name", _names(seat_pb2.RefusalReason.items()))
def test_every_reason_is_known(name: str) -> None:
    refusal = seat_pb2.Refusal(reason=seat_pb2.RefusalReason.Value(name))
    outcome = outcome_from_result(WANT, seat_pb2.SeatResult(refused=refusal))
    assert isinstance(outcome, Refused)
    assert outcome.reason is Reason[name.removeprefix("REFUSAL_REASON_")]
    assert outcome.reason.source is Source.MASTER


@pytest.mark.parametrize("name", _names(lease_pb2.NoticeKind.items()))
def test_every_notice_kind_is_known(name: str) -> None:
    (notice,) = notices_from_proto([lease_pb2.Notice(kind=lease_pb2.NoticeKind.Value(name), message="m")])
    assert notice.kind is NoticeKind[name.removeprefix("NOTICE_KIND_")]


def test_a_reason_from_the_future_keeps_its_words() -> None:
    result = seat_pb2.SeatResult()
    result.refused.MergeFromString(b"\x08\x63")  # reason = 99
    result.refused.message = "because"
    outcome = outcome_from_result(WANT, result)
    assert isinstance(outcome, Refused)
    assert (outcome.reason, outcome.message) == (Reason.UNKNOWN, "because")


def test_a_basis_and_a_remedy_from_the_future_are_none() -> None:
    result = seat_pb2.SeatResult()
    result.granted.MergeFromString(b"\x08\x63")  # basis = 99
    outcome = outcome_from_result(WANT, result)
    assert isinstance(outcome, Granted)
    assert outcome.basis is None
    result.refused.remedy.MergeFromString(b"\x08\x63")  # action = 99
    refused = outcome_from_result(WANT, result)
    assert isinstance(refused, Refused)
    assert refused.remedy.action is None


def test_a_refusal_keeps_all_its_numbers() -> None:
    refusal = seat_pb2.Refusal(
        reason=seat_pb2.REFUSAL_REASON_POOL_EXHAUSTED,
        rules=["A1"],
        message="all in use",
        license_type="port",
        device="vm-1",
        capacity=200,
        in_use=200,
        wanted=1,
        top_holders=[seat_pb2.TopHolder(pbx="projects/acme/pbxs/rome", site="rome", seats=120)],
        licenses=[seat_pb2.LicenseRef(license="l1", type="PBX-Port12", quantity=200, device="vm-1")],
        seats=[seat_pb2.Seat(license_type="video", holder_kind=seat_pb2.HOLDER_KIND_USER, holder="alice")],
        remedy=seat_pb2.Remedy(action=seat_pb2.REMEDY_ACTION_ADD_LICENSES, quantity=1, text="install one more"),
    )
    outcome = outcome_from_result(WANT, seat_pb2.SeatResult(refused=refusal))
    assert isinstance(outcome, Refused)
    assert (outcome.rules, outcome.capacity, outcome.in_use, outcome.wanted) == (("A1",), 200, 200, 1)
    assert outcome.top_holders[0].seats == 120
    assert outcome.licenses[0].type == "PBX-Port12"
    assert outcome.seats == (SeatKey("video", HolderKind.USER, "alice"),)
    assert (outcome.remedy.action, outcome.remedy.quantity) == (RemedyAction.ADD_LICENSES, 1)
    assert not outcome.granted


def test_a_remedy_keeps_each_field_of_its_steps() -> None:
    refusal = seat_pb2.Refusal()
    way = refusal.remedy.ways.add()
    wait = way.steps.add(action=seat_pb2.REMEDY_ACTION_WAIT)
    wait.until_time.FromJsonString("2026-03-01T00:00:00Z")
    way.steps.add(action=seat_pb2.REMEDY_ACTION_RENEW_AGREEMENT, subject="license isym-1")
    way.steps.add(action=seat_pb2.REMEDY_ACTION_CORRECT_REQUEST, field="user", accepted=["alice"])
    outcome = outcome_from_result(WANT, seat_pb2.SeatResult(refused=refusal))
    assert isinstance(outcome, Refused)
    assert outcome.remedy.ways == (
        (
            RemedyStep(action=RemedyAction.WAIT, until=datetime(2026, 3, 1, tzinfo=UTC)),
            RemedyStep(action=RemedyAction.RENEW_AGREEMENT, subject="license isym-1"),
            RemedyStep(action=RemedyAction.CORRECT_REQUEST, field="user", accepted=("alice",)),
        ),
    )


def test_a_grant_says_what_it_costs() -> None:
    grant = seat_pb2.Grant(basis=seat_pb2.BASIS_INCLUDED, included_in="uc", already_held=True, reassignable=False)
    outcome = outcome_from_result(WANT, seat_pb2.SeatResult(granted=grant))
    assert outcome == Granted(want=WANT, basis=Basis.INCLUDED, included_in="uc", already_held=True)
    assert outcome.granted


def test_a_return_is_done_or_refused() -> None:
    done = outcome_from_return(WANT, lease_pb2.ReturnResult(returned=True))
    assert not isinstance(done, Refused)
    assert done.held
    refusal = seat_pb2.Refusal(reason=seat_pb2.REFUSAL_REASON_STILL_REQUIRED)
    refused = outcome_from_return(WANT, lease_pb2.ReturnResult(refused=refusal))
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.STILL_REQUIRED


@pytest.mark.parametrize(
    "fields",
    [
        {"holder": ""},
        {"holder": "x" * 129},
        {"holder": "new\nline"},
        {"license_type": ""},
        {"user": "\x00"},
        {"line": "x" * 129},
        {"application_version": "\x1b[31m"},
    ],
)
def test_hostile_names_are_refused_before_they_are_sent(fields: dict[str, str]) -> None:
    names = {"license_type": "port", "holder": "4711", **fields}
    with pytest.raises(ValueError, match="must"):
        Want(holder_kind=HolderKind.USER, **names)
