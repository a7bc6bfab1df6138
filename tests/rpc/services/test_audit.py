"""AuditService: what it streams, and what it makes of bad input."""

from __future__ import annotations

import grpc
import pytest

from licensemaster.v1 import audit_pb2, project_pb2, status_pb2
from tests.rpc.conftest import ON_BOTH_DATABASES, Estate
from tests.rpc.failures import NAME, failure
from tests.support.projects.estates import project

pytestmark = [pytest.mark.asyncio(loop_scope="module"), ON_BOTH_DATABASES]


async def _export(estate: Estate, **fields: object) -> list[audit_pb2.ExportEventsResponse]:
    request = audit_pb2.ExportEventsRequest(**{"project": NAME, **fields})  # type: ignore[arg-type]
    return [part async for part in estate.wire.audit.ExportEvents(request)]


async def test_a_header_events_and_a_checkpoint(estate: Estate) -> None:
    listed = await estate.wire.status.ListEvents(status_pb2.ListEventsRequest(project=NAME))
    header, events, checkpoint = await _export(estate)
    assert (header.header.project, header.header.first_seq, header.header.last_seq) == (NAME, 1, 3)
    assert list(events.events.events) == list(reversed(listed.events))
    assert (checkpoint.checkpoint.project, checkpoint.checkpoint.seq) == (NAME, 3)
    assert checkpoint.checkpoint.hash == listed.events[0].hash
    header, checkpoint = await _export(estate, since_seq=4)
    assert header.header.previous_hash == checkpoint.checkpoint.hash == listed.events[0].hash


async def test_a_checkpoint_is_signed_with_the_key_of_the_leases(estate: Estate) -> None:
    *_, checkpoint = await _export(estate)
    lease = (await estate.berlin.renew()).lease
    assert checkpoint.checkpoint.public_key == lease.public_key


async def test_a_chain_is_verified(estate: Estate) -> None:
    response = await estate.wire.audit.VerifyAudit(audit_pb2.VerifyAuditRequest(project=NAME))
    assert (response.events, response.head_seq, response.HasField("defect")) == (3, 3, False)


@pytest.mark.parametrize(
    ("since_seq", "code", "reason"),
    [
        (-1, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT"),
        (-(2**63), grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT"),
        (5, grpc.StatusCode.OUT_OF_RANGE, "NO_SUCH_EVENT"),
        (2**63 - 1, grpc.StatusCode.OUT_OF_RANGE, "NO_SUCH_EVENT"),
    ],
)
async def test_where_no_export_begins(estate: Estate, since_seq: int, code: grpc.StatusCode, reason: str) -> None:
    seen = await failure(_export(estate, since_seq=since_seq))
    assert (seen.code, seen.reason) == (code, reason)
    assert str(since_seq) in seen.message


@pytest.mark.parametrize(
    "name", ["", "acme", "projects/", "projects/acme/x", "projects/a\0b", "projects/" + "x" * 10_000]
)
async def test_names_that_are_none_of_a_project(estate: Estate, name: str) -> None:
    request = audit_pb2.VerifyAuditRequest(project=name)
    for call in (_export(estate, project=name), estate.wire.audit.VerifyAudit(request)):
        seen = await failure(call)
        assert seen.code is grpc.StatusCode.INVALID_ARGUMENT
        assert "must be projects/PROJECT" in seen.fields["project"]


async def test_an_unknown_project(estate: Estate) -> None:
    request = audit_pb2.VerifyAuditRequest(project="projects/nope")
    for call in (_export(estate, project="projects/nope"), estate.wire.audit.VerifyAudit(request)):
        seen = await failure(call)
        assert (seen.code, seen.reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_PROJECT")


@pytest.mark.parametrize("reason", ["x" * 501, "two\nlines", "\0", "\u202e", "\x1b[2J"])
async def test_a_reason_that_is_none(estate: Estate, reason: str) -> None:
    changed = project({"PBX-Port12": 6, "PBX Video12": 5})
    for dry_run in (False, True):
        request = project_pb2.ApplyProjectRequest(project=changed, request_id="x", reason=reason, dry_run=dry_run)
        seen = await failure(estate.wire.projects.ApplyProject(request))
        assert seen.code is grpc.StatusCode.INVALID_ARGUMENT
        assert "at most 500 printable characters" in seen.fields["reason"]
