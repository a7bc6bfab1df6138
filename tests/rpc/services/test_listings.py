"""StatusService: listings by what people look for, and what a name that is none of the project's gets."""

from __future__ import annotations

import json

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from licensemaster.v1 import agreement_pb2, lease_pb2, status_pb2
from tests.rpc.conftest import ON_BOTH_DATABASES, Estate
from tests.rpc.failures import NAME, failure

pytestmark = [pytest.mark.asyncio(loop_scope="module"), ON_BOTH_DATABASES]


async def _kinds(estate: Estate, **which: object) -> list[str]:
    request = status_pb2.ListEventsRequest(project=NAME, **which)  # type: ignore[arg-type]
    return [event.kind for event in (await estate.wire.status.ListEvents(request)).events]


async def test_events_by_license_caller_and_time(estate: Estate) -> None:
    newest, middle, oldest = (await estate.wire.status.ListEvents(status_pb2.ListEventsRequest(project=NAME))).events
    assert await _kinds(estate, caller=oldest.caller) == [newest.kind, middle.kind, oldest.kind]
    assert await _kinds(estate, caller="%") == []
    assert await _kinds(estate, since_time=newest.time) == [
        event.kind for event in (newest, middle, oldest) if event.time.ToNanoseconds() >= newest.time.ToNanoseconds()
    ]
    assert await _kinds(estate, since_time=Timestamp(seconds=newest.time.seconds + 3600)) == []
    assert await _kinds(estate, license="port_") == []
    applied = await _kinds(estate, kind="project.applied")
    assert applied == ["project.applied"]
    names = [change["name"] for change in _details(oldest)["changes"] if change["kind"] == "license"]
    for name in names:
        assert await _kinds(estate, license=name) == ["project.applied"]


def _details(event: status_pb2.Event) -> dict[str, list[dict[str, str]]]:
    collected: dict[str, list[dict[str, str]]] = json.loads(event.details)
    return collected


@pytest.mark.parametrize(
    ("field", "name", "meant"),
    [
        ("site", "Berlin", "did you mean 'site-berlin'?"),
        ("site", "zzz", "there are "),
        ("license_type", "prt", "did you mean 'port'?"),
        ("pbx", "berlim", "did you mean 'berlin'?"),
    ],
)
async def test_a_listing_by_a_name_that_is_none_says_what_was_meant(
    estate: Estate, field: str, name: str, meant: str
) -> None:
    request = status_pb2.ListSeatsRequest(project=NAME, **{field: name})  # type: ignore[arg-type]
    failed = await failure(estate.wire.status.ListSeats(request))
    assert failed.code is grpc.StatusCode.NOT_FOUND
    assert meant in failed.message


@pytest.mark.parametrize("moment", [Timestamp(seconds=2**62), Timestamp(seconds=-1), Timestamp(seconds=1, nanos=-5)])
async def test_what_is_no_moment_is_refused_wherever_one_is_asked_for(estate: Estate, moment: Timestamp) -> None:
    status, lease, agreements = estate.wire.status, estate.wire.leases, estate.wire.agreements
    for call in (
        status.ListEvents(status_pb2.ListEventsRequest(project=NAME, since_time=moment)),
        lease.RenewLease(lease_pb2.RenewLeaseRequest(pbx=f"{NAME}/pbxs/berlin", epoch=1, end_time=moment)),
        agreements.ListAgreements(agreement_pb2.ListAgreementsRequest(project=NAME, as_of=moment)),
    ):
        failed = await failure(call)
        assert failed.code is grpc.StatusCode.INVALID_ARGUMENT, failed
