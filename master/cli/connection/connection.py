"""The way to the master: one channel, who is calling, and failures in words an operator can act on."""

import re
import socket
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar
from uuid import uuid4

import grpc
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2_grpc

from licensemaster.tls.channels import open_blocking_channel
from licensemaster.tls.failure import Side
from licensemaster.v1 import (
    agreement_pb2_grpc,
    allocation_pb2_grpc,
    audit_pb2_grpc,
    lease_pb2_grpc,
    license_pb2_grpc,
    loan_pb2_grpc,
    plan_pb2_grpc,
    project_pb2,
    project_pb2_grpc,
    report_pb2_grpc,
    standby_pb2_grpc,
    status_pb2_grpc,
    webhook_pb2_grpc,
)
from master.cli.connection.account import account
from master.cli.connection.profiles import source_of
from master.cli.connection.rpc_failure import rpc_failure
from master.cli.connection.tls import pair_to_show
from master.cli.output.changes import change_under_way, is_change, note_question, take_termination
from master.cli.output.failure import CommandFailed
from master.cli.output.paging import PagedRequest, join_pages

CALL_SECONDS = 30.0
PROJECTS_NAMED_MAX = 20

Request = TypeVar("Request", contravariant=True)
Response = TypeVar("Response", covariant=True)
Paged = TypeVar("Paged", bound=PagedRequest)
Listing = TypeVar("Listing", bound=Message)


class _Method(Protocol[Request, Response]):
    def __call__(
        self, request: Request, /, timeout: float | None = ..., metadata: tuple[tuple[str, str], ...] | None = ...
    ) -> Response: ...


class Connection:
    """A channel to one master, closed when the `with` block ends.

    Shows the certificate that the command line, the environment or a profile names (`--tls-certificate`); without one,
    plain text.
    """

    def __init__(self, server: str) -> None:
        self.server = server
        pair = pair_to_show()
        self._side = Side(
            pair=pair, is_secured=pair is not None, ca=source_of("tls_ca"), certificate=source_of("tls_certificate")
        )
        self._channel = open_blocking_channel(server, pair.credentials() if pair else None)
        self._metadata = (("caller", caller()),)
        self.projects = project_pb2_grpc.ProjectServiceStub(self._channel)
        self.leases = lease_pb2_grpc.LeaseServiceStub(self._channel)
        self.standby = standby_pb2_grpc.StandbyServiceStub(self._channel)
        self.status = status_pb2_grpc.StatusServiceStub(self._channel)
        self.audit = audit_pb2_grpc.AuditServiceStub(self._channel)
        self.plans = plan_pb2_grpc.PlanServiceStub(self._channel)
        self.reports = report_pb2_grpc.ReportServiceStub(self._channel)
        self.webhooks = webhook_pb2_grpc.WebhookServiceStub(self._channel)
        self.agreements = agreement_pb2_grpc.AgreementServiceStub(self._channel)
        self.loans = loan_pb2_grpc.LoanServiceStub(self._channel)
        self.licenses = license_pb2_grpc.LicenseServiceStub(self._channel)
        self.allocations = allocation_pb2_grpc.AllocationServiceStub(self._channel)
        self.health: Any = health_pb2_grpc.HealthStub(self._channel)  # its stubs name no methods

    def __enter__(self) -> Self:
        take_termination()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.close()

    def call(
        self, method: _Method[Request, Response], request: Request, *, timeout_seconds: float = CALL_SECONDS
    ) -> Response:
        """Make one call and return the answer; raises RpcFailure. A change without a request id gets a new one."""
        if isinstance(request, Message) and "request_id" in request.DESCRIPTOR.fields_by_name:
            changing: Any = request
            changing.request_id = changing.request_id or str(uuid4())
        asks_for_change = is_change(request)
        try:
            with change_under_way() if asks_for_change else nullcontext():
                answer = method(request, timeout=timeout_seconds, metadata=self._metadata)
        except grpc.RpcError as error:
            failure = rpc_failure(error, self.server, side=self._side)
            raise failure.of_change() if asks_for_change else failure from error
        note_question(request)
        return answer

    def listing(self, method: _Method[Paged, Listing], request: Paged, limit: int = 0) -> Listing:
        """Return all pages of a listing as one answer, of at most `limit` rows (0: all); raises RpcFailure."""
        return join_pages(partial(self.call, method), request, limit)

    def stream(self, method: _Method[Request, Iterator[Response]], request: Request) -> Iterator[Response]:
        """Make one call and yield its answers until the master ends the stream; raises RpcFailure."""
        try:
            yield from method(request, metadata=self._metadata)
        except grpc.RpcError as error:
            raise rpc_failure(error, self.server, side=self._side) from error

    def project_name(self, given: str | None) -> str:
        """Return the project to ask about, as projects/{project}: the given one, or the only one of the master.
        Raises CommandFailed if no project is given, and the master has none or several."""
        if given:
            return given if given.startswith("projects/") else f"projects/{given}"
        request = project_pb2.ListProjectsRequest(page_size=PROJECTS_NAMED_MAX + 1)
        names = self.call(self.projects.ListProjects, request).names
        if len(names) == 1:
            return names[0]
        if not names:
            raise CommandFailed(
                f"the master at {self.server} has no project yet", remedy="license-master project apply FILE"
            )
        shown = [name.removeprefix("projects/") for name in names[:PROJECTS_NAMED_MAX]]
        raise CommandFailed(
            f"the master at {self.server} has several projects: {', '.join(shown)}"
            + (" and more" if len(names) > len(shown) else ""),
            remedy="name one with --project, or set LICENSE_MASTER_PROJECT",
        )


def caller() -> str:
    """Return who calls, as the audit keeps it: cli:USER@HOST, in printable ASCII."""
    return re.sub(r"[^!-~]", "?", f"cli:{account()}@{socket.gethostname()}")
