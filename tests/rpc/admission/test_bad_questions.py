"""Bad page tokens, sizes and filters: a clear refusal that names the field, or nothing found."""

from __future__ import annotations

import grpc
import pytest

from licensemaster.v1 import agreement_pb2, project_pb2, status_pb2
from tests.rpc.admission.hostile import HARMLESS, HOSTILE
from tests.rpc.conftest import ON_BOTH_DATABASES, Estate
from tests.rpc.failures import NAME, failure

pytestmark = pytest.mark.asyncio(loop_scope="module")


TOKENS = ["garbage", "[]", "{}", "null", "0", "[1]", '[1e400,"","",1]', '[99999999999999999999999,"","",1]',
          '[1,"a\\u0000","",1]', '[1,"\\ud800","",1]', "[" * 900, "[" * 30_000, "9" * 5000, '[3000000000,"","",1]',
          '[-1,"","",1]', '["1","","",1]', "\0", "x" * 30_000, "' OR 1=1"]  # fmt: skip


@ON_BOTH_DATABASES
@pytest.mark.parametrize("token", TOKENS, ids=range(len(TOKENS)))
async def test_page_tokens_that_no_answer_carried(estate: Estate, token: str) -> None:
    seen = await failure(estate.wire.status.ListSeats(status_pb2.ListSeatsRequest(project=NAME, page_token=token)))
    assert (seen.code, seen.info) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    assert seen.fields == {"page_token": "must be the next_page_token of the answer before"}
    if token != "0":
        events = status_pb2.ListEventsRequest(project=NAME, page_token=token)
        assert (await failure(estate.wire.status.ListEvents(events))).fields == seen.fields
        entries = agreement_pb2.ListEntriesRequest(project=NAME, page_token=token)
        assert (await failure(estate.wire.agreements.ListEntries(entries))).fields == seen.fields
    if not token.isprintable() or len(token) > 128:  # these page by name: any name will do
        leases = status_pb2.ListLeasesRequest(project=NAME, page_token=token)
        assert "page_token" in (await failure(estate.wire.status.ListLeases(leases))).fields
        projects = project_pb2.ListProjectsRequest(page_token=token)
        assert "page_token" in (await failure(estate.wire.projects.ListProjects(projects))).fields


@ON_BOTH_DATABASES
@pytest.mark.parametrize("token", ["9" * 30, "9" * 19, "٣", "²", "-1", "1 "])
async def test_page_tokens_of_events_that_are_no_ids(estate: Estate, token: str) -> None:
    seen = await failure(estate.wire.status.ListEvents(status_pb2.ListEventsRequest(project=NAME, page_token=token)))
    assert seen.fields == {"page_token": "must be the next_page_token of the answer before"}


@ON_BOTH_DATABASES
async def test_a_page_behind_the_last(estate: Estate) -> None:
    last = str(2**63 - 1)
    entries = agreement_pb2.ListEntriesRequest(project=NAME, page_token=last)
    assert not (await estate.wire.agreements.ListEntries(entries)).entries
    events = status_pb2.ListEventsRequest(project=NAME, page_token=last)
    assert (await estate.wire.status.ListEvents(events)).events, "these page backwards"


@ON_BOTH_DATABASES
async def test_page_sizes(estate: Estate) -> None:
    for size in (-1, -(2**31)):
        for call in (
            estate.wire.status.ListSeats(status_pb2.ListSeatsRequest(project=NAME, page_size=size)),
            estate.wire.status.ListLeases(status_pb2.ListLeasesRequest(project=NAME, page_size=size)),
            estate.wire.status.ListEvents(status_pb2.ListEventsRequest(project=NAME, page_size=size)),
            estate.wire.projects.ListProjects(project_pb2.ListProjectsRequest(page_size=size)),
        ):
            assert (await failure(call)).fields == {"page_size": f"{size} must not be negative"}
    huge = await estate.wire.status.ListSeats(status_pb2.ListSeatsRequest(project=NAME, page_size=2**31 - 1))
    assert len(huge.seats) == 2
    assert huge.next_page_token == ""


@ON_BOTH_DATABASES
async def test_pages_join_into_the_whole(estate: Estate) -> None:
    actual, token = [], ""
    while True:
        request = status_pb2.ListSeatsRequest(project=NAME, page_size=1, page_token=token)
        page = await estate.wire.status.ListSeats(request)
        actual += [seat.seat.holder for seat in page.seats]
        token = page.next_page_token
        if not token:
            break
    assert actual == ["phone-0", "phone-1"]
    events, token = [], ""
    while True:
        listed = status_pb2.ListEventsRequest(project=NAME, page_size=1, page_token=token)
        answer = await estate.wire.status.ListEvents(listed)
        events += [event.kind for event in answer.events]
        token = answer.next_page_token
        if not token:
            break
    assert events == ["seats.acquired", "lease.opened", "project.applied"]


@pytest.mark.parametrize("field", ["pbx", "site", "license_type", "holder"])
@pytest.mark.parametrize("value", HOSTILE)
async def test_hostile_filters(estate: Estate, field: str, value: str) -> None:
    request = status_pb2.ListSeatsRequest(project=NAME)
    setattr(request, field, value)
    seen = await failure(estate.wire.status.ListSeats(request))
    assert list(seen.fields) == [field]


@ON_BOTH_DATABASES
async def test_harmless_filters_find_nothing_or_are_known_to_be_no_name(estate: Estate) -> None:
    for value in HARMLESS:
        for field in ("site", "license_type"):
            request = status_pb2.ListSeatsRequest(project=NAME)
            setattr(request, field, value)
            assert (await failure(estate.wire.status.ListSeats(request))).reason == "UNKNOWN_NAME"
        by_holder = status_pb2.ListSeatsRequest(project=NAME, holder=value)
        assert not (await estate.wire.status.ListSeats(by_holder)).seats
        assert not (await estate.wire.status.ListEvents(status_pb2.ListEventsRequest(project=NAME, kind=value))).events
        unknown = status_pb2.ListSeatsRequest(project=NAME, pbx=value)
        assert (await failure(estate.wire.status.ListSeats(unknown))).reason == "UNKNOWN_PBX"
