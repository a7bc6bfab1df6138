"""The gRPC server: services, health, reflection, limits, and a stop that lets calls finish."""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
from collections.abc import Sequence
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from licensemaster.tls.channels import pings_borne
from licensemaster.values import listening_address
from master.auth.callers.budgets import Budgets
from master.auth.certificates.certificates import Certificates
from master.metrics import Metrics
from master.rpc.admission.authorizer import Authorizer
from master.rpc.admission.interceptors import CallInterceptor
from master.rpc.admission.large_requests import Aside
from master.rpc.server.health import Health
from master.rpc.server.reflection import add_reflection
from master.rpc.server.tls import server_credentials
from master.rpc.services.agreement_service import AgreementService
from master.rpc.services.allocation_service import AllocationService
from master.rpc.services.audit_service import AuditService
from master.rpc.services.lease_service import LeaseService
from master.rpc.services.license_service import LicenseService
from master.rpc.services.loan_service import LoanService
from master.rpc.services.plan_service import PlanService
from master.rpc.services.project_service import ProjectService
from master.rpc.services.report_service import ReportService
from master.rpc.services.standby_service import StandbyService
from master.rpc.services.status_service import StatusService
from master.rpc.services.webhook_service import WebhookService
from master.values import Value

_MAIN_LOOP = "_server_main_loop"
"""The task in which gRPC takes calls; gRPC reports its failure, but not its being cancelled, and calls hang."""
_PENDING_MAX = 20_000
"""Calls that may wait for their handler, of all connections."""
_TLS_RECORD_BYTES = 4096
"""The longest record that is written: answers of most calls fit into one."""
_SERVED: Final[Sequence[type]] = (
    LeaseService, LicenseService, ProjectService, AllocationService, LoanService, StandbyService, StatusService,
    AuditService, PlanService, ReportService, WebhookService, AgreementService,
)  # fmt: skip
_HEALTH: Final = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
SERVICES = tuple(f"licensemaster.v1.{kind.__name__}" for kind in _SERVED)


class Keepalive(Value):
    """How soon a half-open connection or a caller that hangs is noticed: a takeover waits for that (F5)."""

    every_seconds: float
    """Seconds of a caller's silence after which it is pinged."""
    timeout_seconds: float
    """Seconds without an answer to a ping after which the connection is closed."""


class CallBounds(Value):
    """The limits of calls and connections before anything is known of their callers."""

    budgets: Budgets
    aside: Aside
    """The thread in which large messages are checked."""
    message_seconds: float
    """Seconds after which a call without a message is ended."""
    handshake_seconds: float
    """Seconds after which a connection without a finished TLS handshake is closed."""
    connection_calls_max: int | None
    """Calls at a time over one connection, streams among them; more are UNAVAILABLE. None: any number."""
    connections_max: int | None
    """Connections at a time, those among them that have not proven themselves; more are closed. None: any number."""


class _ByName:
    """Adds services from generated code to a server so that gRPC finds their methods by name alone.

    For each method that is registered besides, gRPC keeps a task, and waits for all these tasks anew with every call.
    """

    def __init__(self, server: grpc.aio.Server) -> None:
        self.add_generic_rpc_handlers = server.add_generic_rpc_handlers

    def add_registered_method_handlers(self, service: str, handlers: object) -> None:
        """Do nothing."""


class Server:
    """The gRPC server with all services of a master."""

    def __init__(
        self,
        services: Sequence[object],
        *,
        metrics: Metrics,
        bounds: CallBounds,
        keepalive: Keepalive,
        authorizer: Authorizer | None,
    ) -> None:
        """`services` has one instance of each kind of `_SERVED`."""
        self._metrics = metrics
        self._authorizer = authorizer
        interceptor = CallInterceptor(
            metrics, authorizer, budgets=bounds.budgets, message_seconds=bounds.message_seconds, aside=bounds.aside
        )
        self._unhurried_calls = interceptor.unhurried_calls
        self._server = grpc.aio.server(
            interceptors=(interceptor,),
            options=(
                ("grpc.max_receive_message_length", bounds.budgets.message_bytes_max),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),
                ("grpc.keepalive_time_ms", round(keepalive.every_seconds * 1000)),
                ("grpc.keepalive_timeout_ms", round(keepalive.timeout_seconds * 1000)),
                # the one above is not heeded for a ping that stays unanswered: by itself gRPC waits a minute for it
                ("grpc.http2.ping_timeout_ms", round(keepalive.timeout_seconds * 1000)),
                ("grpc.http2.max_pings_without_data", 0),  # else gRPC asks ever more rarely
                *pings_borne(),
                ("grpc.server_handshake_timeout_ms", round(bounds.handshake_seconds * 1000)),
                *_at_most("grpc.max_concurrent_streams", bounds.connection_calls_max),
                # else what nobody reads grows from 64 KiB of each call to all of its message
                ("grpc.http2.bdp_probe", 0),
                # a buffer of each connection that proves itself has this length: 16 KiB by itself
                ("grpc.tsi.max_frame_size", _TLS_RECORD_BYTES),
                # beyond a thousand calls that wait for their handler gRPC ends some, whosever they are
                ("grpc.server.max_pending_requests", _PENDING_MAX),
                ("grpc.server.max_pending_requests_hard_limit", _PENDING_MAX),
                *_at_most("grpc.max_allowed_incoming_connections", bounds.connections_max),
            ),
        )
        by_name: Any = _ByName(self._server)
        for service in services:
            generated = sys.modules[type(service).__bases__[0].__module__]  # which has the service's base
            getattr(generated, f"add_{type(service).__name__}Servicer_to_server")(service, by_name)
        self._serving: set[asyncio.Task[object]] = set()
        self.health = Health(("", *SERVICES))
        health_pb2_grpc.add_HealthServicer_to_server(self.health, by_name)
        add_reflection(by_name, (*SERVICES, _HEALTH))

    async def start(self, address: str, certificates: Certificates | None) -> int:
        """Begin to serve, over TLS where there are certificates; return the port.
        Raises OSError if the address cannot be listened on."""
        try:
            if certificates is None:
                port = self._server.add_insecure_port(address)
            else:
                credentials = server_credentials(certificates, self._metrics.tls_handshakes.inc)
                port = self._server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise OSError(f"listen: {address!r} cannot be listened on: {_why_not(address)}") from error
        before = asyncio.all_tasks()
        await self._server.start()
        begun = asyncio.all_tasks() - before
        self._serving = {task for task in begun if getattr(task.get_coro(), "__qualname__", "").endswith(_MAIN_LOOP)}
        self.health.set(serving=True)
        return port

    async def run(self) -> None:
        """Wait until gRPC serves no more calls, for whatever reason."""
        await asyncio.wait(self._serving)

    async def stop(self, grace_seconds: float) -> None:
        """Take no new calls, let calls under way finish, and stop. No call waits for its turn any longer."""
        if self._authorizer is not None:
            self._authorizer.turns.stop()
        self._unhurried_calls.stop()
        self.health.stop()
        if not any(task.done() for task in self._serving):  # gRPC cannot be stopped once it has ended otherwise
            await self._server.stop(grace_seconds)


def _at_most(option: str, count: int | None) -> tuple[tuple[str, int], ...]:
    return () if count is None else ((option, count),)


def _why_not(address: str) -> str:
    """Return why the system refuses to listen on an address, which gRPC does not tell."""
    if address.startswith("unix:"):
        return "the file of a socket cannot be made there"
    wanted = listening_address(address)
    try:
        for family, kind, _, _, place in socket.getaddrinfo(wanted.host, wanted.port, type=socket.SOCK_STREAM):
            with socket.socket(family, kind) as tried:
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                tried.bind(place)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return "something listens there already: another master, another program, or this one's metrics_listen"
        return error.strerror or str(error)
    return "nothing is known to be wrong with it; try again"
