"""Failures as a client sees them, and whether anything changed."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass, field

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from licensemaster.v1 import license_pb2, project_pb2, status_pb2
from tests.support.masters import PROJECT, Wire

NAME = f"projects/{PROJECT}"


@dataclass(frozen=True)
class Seen:
    code: grpc.StatusCode
    message: str
    reason: str
    info: str
    """The reason once more, from google.rpc.ErrorInfo."""
    retry_after_ms: int
    fields: dict[str, str] = field(default_factory=dict)
    """What is wrong, by field."""


async def failure(call: Awaitable[object]) -> Seen:
    """The failure that a call ends with; its details must agree with each other."""
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    return seen(failed.value)


def seen(error: grpc.aio.AioRpcError) -> Seen:
    """A failure, with its details unpacked."""
    trailing = dict(error.trailing_metadata() or ())
    info, fields, delay = error_details_pb2.ErrorInfo(), {}, 0
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # it has all that is asked of a Call
    for packed in status.details if status is not None else ():
        bad, retry = error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
        if packed.Is(info.DESCRIPTOR):
            packed.Unpack(info)
            assert info.domain == "license-master"
        elif packed.Is(bad.DESCRIPTOR):
            packed.Unpack(bad)
            fields = {violation.field: violation.description for violation in bad.field_violations}
        elif packed.Is(retry.DESCRIPTOR):
            packed.Unpack(retry)
            delay = retry.retry_delay.ToMilliseconds()
    answer = int(str(trailing.get("retry-after-ms", "0")))
    assert answer == delay
    return Seen(
        code=error.code(),
        message=error.details() or "",
        reason=str(trailing.get("error-reason", "")),
        info=info.reason,
        retry_after_ms=answer,
        fields=fields,
    )


async def everything(wire: Wire) -> tuple[str, ...]:
    """All that the API tells of the project, to be compared before and after."""
    answers = (
        await wire.status.GetStatus(status_pb2.GetStatusRequest(project=NAME)),
        await wire.status.ListSeats(status_pb2.ListSeatsRequest(project=NAME, page_size=1000)),
        await wire.status.ListLeases(status_pb2.ListLeasesRequest(project=NAME, page_size=1000)),
        await wire.status.ListEvents(status_pb2.ListEventsRequest(project=NAME, page_size=1000)),
        await wire.projects.GetProject(project_pb2.GetProjectRequest(name=NAME)),
        await wire.projects.ListProjects(project_pb2.ListProjectsRequest()),
        await wire.licenses.ListLicenses(license_pb2.ListLicensesRequest(project=NAME, page_size=1000)),
        await wire.licenses.ListVendorKeys(license_pb2.ListVendorKeysRequest(project=NAME)),
        await wire.licenses.ListDevices(license_pb2.ListDevicesRequest(project=NAME)),
    )
    return tuple(str(answer) for answer in answers)
