"""The masters' addresses and the calls to them: the only module that does gRPC.

Decides: which address is used, and when a connection is given up for a new one. Leaves to others: what a failed call
means (`master_failures`), retries, and what follows from a failure.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import grpc
from grpc import aio

from licensemaster.tls.channels import open_channel
from licensemaster.tls.failure import Explainer, Side
from licensemaster.v1 import lease_pb2, lease_pb2_grpc, license_pb2, license_pb2_grpc
from slave_client.connection.attempts import OF_THIS_PROCESS, AttemptOutcome, TriedJustNowError
from slave_client.connection.backoff import Backoff
from slave_client.connection.certificates import Certificates
from slave_client.connection.clocks import Clock
from slave_client.connection.master_failures import FailureKind, MasterError, error_of, readable_answer
from slave_client.connection.network_switch import NetworkSwitch
from slave_client.values.config import ClientConfig, ConfigError
from slave_client.values.messages import (
    outcome_from_return,
    outcomes_from_results,
    refused_from_refusal,
    seat_from_want,
    want_from_seat,
)
from slave_client.values.notices import NoticeKind
from slave_client.values.seats import Outcome, ReturnOutcome, Synced, Want

Request = TypeVar("Request")
Response = TypeVar("Response")
SeatsRequest = TypeVar(
    "SeatsRequest", lease_pb2.AcquireSeatsRequest, lease_pb2.ReturnSeatsRequest, lease_pb2.SyncSeatsRequest
)
SeatsResponse = TypeVar(
    "SeatsResponse",
    lease_pb2.OpenLeaseResponse,
    lease_pb2.AcquireSeatsResponse,
    lease_pb2.ReturnSeatsResponse,
    lease_pb2.SyncSeatsResponse,
)
_LOST: Final = (grpc.ChannelConnectivity.TRANSIENT_FAILURE, grpc.ChannelConnectivity.IDLE)
_READY: Final = grpc.ChannelConnectivity.READY


if TYPE_CHECKING:
    _Stub = lease_pb2_grpc.LeaseServiceAsyncStub
    _Method = aio.UnaryUnaryMultiCallable
    _Metadata = tuple[tuple[str, str], ...]


class Masters:
    """Calls to the master at the address in use; `move_on` changes to the next address."""

    def __init__(
        self,
        config: ClientConfig,
        network: NetworkSwitch,
        *,
        clock: Clock,
        tell: Callable[[NoticeKind, str | None], None] = lambda _, __: None,
    ) -> None:
        """`tell` is called with what is wrong with certificates, the client's or a master's, and with None when nothing
        is wrong any more.
        """
        self._config = config
        self._network = network
        self._channels: dict[int, aio.Channel] = {}
        self._stubs: dict[int, lease_pb2_grpc.LeaseServiceAsyncStub] = {}
        self._current = 0
        self._closed = False
        self._certificates = Certificates(config.tls, clock) if config.tls is not None else None
        self._tell = tell
        self._explainer = Explainer(self._side)
        self._leaving: set[asyncio.Task[None]] = set()
        self._streams: dict[aio.UnaryStreamCall[Any, Any], str] = {}
        """The address of each stream under way."""
        self._unanswered_calls = 0
        """Calls without an answer. Later calls report the number; masters then refuse earlier calls that come late."""
        self._answers = 0  # to calls; what a stream brings does not show that the master hears this client
        self._pauses = Backoff(base_seconds=config.backoff_base_seconds, max_seconds=config.backoff_max_seconds)
        self._metadata = (("caller", config.caller_name),)
        self._options = (
            ("grpc.initial_reconnect_backoff_ms", 100),
            # gRPC lets an attempt to connect take as long as this: a slow network needs several round trips.
            ("grpc.min_reconnect_backoff_ms", round(config.call_timeout_seconds * 1000)),
            ("grpc.max_reconnect_backoff_ms", 1000),
            *config.channel_options,
        )

    @property
    def address(self) -> str:
        return self._config.addresses[self._current]

    @property
    def count(self) -> int:
        """The number of addresses."""
        return len(self._config.addresses)

    async def read_certificates(self) -> None:
        """Read the configured certificates, once, before any call; raises ConfigError naming the file."""
        if self._certificates is not None:
            try:
                await asyncio.to_thread(self._certificates.read)
            except ValueError as failure:
                raise ConfigError(str(failure)) from failure
            self._tell(NoticeKind.CERTIFICATE_UNUSABLE, self._certificates.problem)

    def move_on(self, leaving: str = "") -> None:
        """Use the next address and end the streams of others; do nothing where `leaving` is not the address in use."""
        if self.count == 1 or leaving not in ("", self.address):
            return
        self._current = (self._current + 1) % self.count
        for call, address in self._streams.items():
            if address != self.address:
                call.cancel()

    async def open_lease(self, request: lease_pb2.OpenLeaseRequest) -> lease_pb2.OpenLeaseResponse:
        """Open a lease; raises MasterError. An older master ignores the seats in the request and answers none."""
        request.unanswered_calls = self._unanswered_calls
        response = await self._call_or_join_attempt(lambda stub: stub.OpenLease, request)
        return _one_for_each(len(request.seats), response) if response.results else response

    async def take_over_lease(self, request: lease_pb2.TakeOverLeaseRequest) -> lease_pb2.TakeOverLeaseResponse:
        """Open the lease of a PBX that failed; raises MasterError."""
        return await self._call_or_join_attempt(lambda stub: stub.TakeOverLease, request)

    async def renew_lease(
        self, request: lease_pb2.RenewLeaseRequest, *, may_wait_seconds: float
    ) -> lease_pb2.RenewLeaseResponse:
        """Renew a lease; the master may delay its answer by `may_wait_seconds`. Raises MasterError.

        With each renewal the files of certificates are checked, so that what is wrong with them, or no longer wrong, is
        known before they are needed.
        """
        waits = (("may-wait-seconds", f"{may_wait_seconds:.3f}"),)
        response = await self._call_or_join_attempt(lambda stub: stub.RenewLease, request, waits)
        if self._certificates is not None:
            await asyncio.to_thread(self._certificates.check)
            self._tell(NoticeKind.CERTIFICATE_UNUSABLE, self._certificates.problem)
        return response

    async def close_lease(self, request: lease_pb2.CloseLeaseRequest) -> lease_pb2.CloseLeaseResponse:
        """Close a lease; raises MasterError."""
        return await self._call_or_join_attempt(lambda stub: stub.CloseLease, request)

    async def acquire_seats(self, epoch: int, wants: Sequence[Want], *, wait: bool = False) -> list[Outcome]:
        """Acquire seats, or wait for them; return one outcome per seat, in order. Raises MasterError."""
        request = lease_pb2.AcquireSeatsRequest(
            pbx=self._config.pbx, epoch=epoch, seats=map(seat_from_want, wants), wait=wait
        )
        response = await self._about_seats(lambda stub: stub.AcquireSeats, request)
        with readable_answer():
            return outcomes_from_results(wants, response.results)

    async def return_seats(self, epoch: int, wants: Sequence[Want]) -> list[ReturnOutcome]:
        """Return seats to the pool; return one outcome per seat, in order. Raises MasterError."""
        request = lease_pb2.ReturnSeatsRequest(pbx=self._config.pbx, epoch=epoch, seats=map(seat_from_want, wants))
        response = await self._about_seats(lambda stub: stub.ReturnSeats, request)
        with readable_answer():
            return [outcome_from_return(want, result) for want, result in zip(wants, response.results, strict=True)]

    async def sync_seats(self, epoch: int, wants: Sequence[Want]) -> Synced:
        """Make the seats that the master counts equal to the wanted set; raises MasterError."""
        request = lease_pb2.SyncSeatsRequest(pbx=self._config.pbx, epoch=epoch, seats=map(seat_from_want, wants))
        response = await self._about_seats(lambda stub: stub.SyncSeats, request)
        with readable_answer():
            return Synced(
                outcomes=tuple(outcomes_from_results(wants, response.results)),
                seats_returned=response.seats_returned,
                kept=tuple(refused_from_refusal(want_from_seat(kept.seat), kept.refused) for kept in response.kept),
            )

    async def submit_certificate(
        self, request: license_pb2.SubmitCertificateRequest
    ) -> license_pb2.SubmitCertificateResponse:
        """Hand in the device's certificate for a release; raises MasterError."""

        def method(_: _Stub) -> _Method[license_pb2.SubmitCertificateRequest, license_pb2.SubmitCertificateResponse]:
            stub: license_pb2_grpc.LicenseServiceAsyncStub = license_pb2_grpc.LicenseServiceStub(self._channel)
            return stub.SubmitCertificate

        return await self._call_or_join_attempt(method, request)

    async def watch_lease(self, request: lease_pb2.WatchLeaseRequest) -> AsyncIterator[lease_pb2.WatchLeaseResponse]:
        """Yield the master's messages about a lease until the stream ends; raises MasterError."""
        self._check_open()
        if self._channel.get_state() is not _READY:  # to connect is up to those who can tell what it brought
            raise MasterError(FailureKind.UNREACHABLE, "the connection is gone", address=self.address)
        call, shown, address = self._stub.WatchLease(request, metadata=self._metadata), self._shown, self.address
        ticket = self._network.carry(call.cancel)
        self._streams[call] = address
        try:
            async for response in call:
                yield response
        except (aio.AioRpcError, aio.UsageError) as failure:
            raise await self._error_after(failure, shown, address) from failure
        except asyncio.CancelledError:
            if address != self.address and not _is_being_cancelled():
                return  # another master is in use by now
            self._raise_if_broken_off(address)
            raise
        finally:
            del self._streams[call]
            self._network.arrived(ticket)
            call.cancel()

    async def close(self) -> None:
        self._closed = True
        for channel in self._forget_channels():
            await channel.close()
        await asyncio.gather(*self._leaving)

    @property
    def _timeout(self) -> float:
        return self._config.call_timeout_seconds

    @property
    def _stub(self) -> lease_pb2_grpc.LeaseServiceAsyncStub:
        stub = self._stubs.get(self._current)
        if stub is None:
            stub = self._stubs[self._current] = lease_pb2_grpc.LeaseServiceStub(self._channel)
        return stub

    @property
    def _channel(self) -> aio.Channel:
        channel = self._channels.get(self._current)
        if channel is None:
            channel = self._channels[self._current] = self._connect()
        return channel

    def _connect(self) -> aio.Channel:
        credentials = self._config.credentials
        if self._certificates is not None:
            credentials = self._certificates.pair.credentials()
        return open_channel(self.address, credentials, self._options)

    def _side(self) -> Side:
        pair = None if self._certificates is None else self._certificates.pair
        return Side(pair=pair, is_secured=pair is not None or self._config.credentials is not None)

    @property
    def _shown(self) -> int:
        """The number of the certificate that new channels show, which grows with each renewal."""
        return 0 if self._certificates is None else self._certificates.version

    async def _error_after(self, failure: aio.AioRpcError | aio.UsageError, shown: int, address: str) -> MasterError:
        """Return the MasterError of a failed call; BUSY (the call is repeated) if the certificate was renewed since."""
        error = error_of(failure, address)
        if isinstance(failure, aio.AioRpcError) and failure.code() is grpc.StatusCode.UNAVAILABLE and not error.reason:
            if said := await self._explainer.explain(str(error), address):
                error = MasterError(error.kind, said, address=address)
            self._tell(NoticeKind.NO_TLS, self._explainer.current)
        if self._certificates is not None:
            await self._reconnect_if_renewed(self._certificates)
        if self._shown == shown or not error.reason.startswith("CERTIFICATE_"):
            return error
        return MasterError(FailureKind.BUSY, str(error), reason=error.reason, address=address)

    async def _reconnect_if_renewed(self, certificates: Certificates) -> None:
        """Close all channels if the files were renewed: a channel always shows the certificate that it began with."""
        renewed = await asyncio.to_thread(certificates.look)
        self._tell(NoticeKind.CERTIFICATE_UNUSABLE, certificates.problem)
        if renewed:
            for channel in self._forget_channels():
                self._leave(channel, grace_seconds=self._timeout)  # other calls under way may end

    def _reconnect_if_silent(self, failure: aio.AioRpcError | aio.UsageError, current: int, answers: int) -> bool:
        """Close a channel that brought no answer; return whether the call that failed had a connection.

        Where a call timed out and no other was answered meanwhile, the connection may be half-open: nobody would ever
        close it, so the next call makes a new one; other calls on the old one wait in vain. Where there is no
        connection, gRPC would go on trying by itself, at a pace of its own.
        """
        channel = self._channels.get(current)
        if channel is None or not isinstance(failure, aio.AioRpcError):
            return False
        state = channel.get_state()
        ran_out = failure.code() is grpc.StatusCode.DEADLINE_EXCEEDED and self._answers == answers
        if ran_out or state in _LOST:
            del self._channels[current]
            self._stubs.pop(current, None)
            self._leave(channel, grace_seconds=None)
        return state is _READY

    def _leave(self, channel: aio.Channel, *, grace_seconds: float | None) -> None:
        """Close a channel in the background. gRPC goes on connecting it while a reference to one of its calls lives."""
        leaving = asyncio.create_task(channel.close(grace_seconds))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    def _forget_channels(self) -> list[aio.Channel]:
        channels = list(self._channels.values())
        self._channels.clear()
        self._stubs.clear()
        return channels

    async def _about_seats(
        self, method: Callable[[_Stub], _Method[SeatsRequest, SeatsResponse]], request: SeatsRequest
    ) -> SeatsResponse:
        request.unanswered_calls = self._unanswered_calls
        return _one_for_each(len(request.seats), await self._call_or_join_attempt(method, request))

    async def _call_or_join_attempt(
        self, method: Callable[[_Stub], _Method[Request, Response]], request: Request, metadata: _Metadata = ()
    ) -> Response:
        """Call at once where there is a connection; else make this process's one attempt to connect, or wait for it."""
        self._check_open()
        if self._channel.get_state() is _READY:
            return await self._call(method, request, metadata)
        address = self.address
        try:
            must_try = await OF_THIS_PROCESS.begin(address)
        except TriedJustNowError as failure:
            raise MasterError(FailureKind.UNREACHABLE, str(failure), address=address) from failure
        outcome, said = AttemptOutcome.GIVEN_UP, ""
        try:
            if address != self.address:
                raise MasterError(FailureKind.UNREACHABLE, "another master is in use by now", address=address)
            response = await self._call(method, request, metadata)
            outcome = AttemptOutcome.CONNECTED
            return response
        except MasterError as failure:
            outcome, said = failure.outcome, str(failure)
            raise
        finally:
            if must_try:
                OF_THIS_PROCESS.end(address, outcome, pauses=self._pauses, said=said)

    async def _call(
        self, method: Callable[[_Stub], _Method[Request, Response]], request: Request, metadata: _Metadata
    ) -> Response:
        self._check_open()
        call = method(self._stub)(request, timeout=self._timeout, metadata=(*self._metadata, *metadata))
        ticket, shown, current, answers = self._network.carry(call.cancel), self._shown, self._current, self._answers
        address = self._config.addresses[current]
        try:
            response = await call
        except (aio.AioRpcError, aio.UsageError) as failure:
            self._unanswered_calls += 1
            connected = self._reconnect_if_silent(failure, current, answers)
            error = await self._error_after(failure, shown, address)
            if connected or error.reason:
                error.outcome = AttemptOutcome.CONNECTED
            elif not self._explainer.knows_why_not(address):  # what is wrong with one's certificates concerns oneself
                error.outcome = AttemptOutcome.FAILED
            raise error from failure.with_traceback(None)  # its frames hold the call, and so does ours: see `_leave`
        except asyncio.CancelledError:
            self._unanswered_calls += 1
            self._raise_if_broken_off(address)
            raise
        else:
            self._answers += 1
            if self._explainer.answered(address):
                self._tell(NoticeKind.NO_TLS, self._explainer.current)
            return response
        finally:
            self._network.arrived(ticket)
            del call

    def _check_open(self) -> None:
        if self._closed:
            raise MasterError(FailureKind.UNREACHABLE, "the client has left")
        if self._network.is_cut:
            raise MasterError(FailureKind.UNREACHABLE, "the network is cut")

    def _raise_if_broken_off(self, address: str) -> None:
        """Raise MasterError where a cancelled call was broken off by the connection and not by cancelling the task."""
        if not _is_being_cancelled():
            why = "the network was cut" if self._network.is_cut else "the connection was closed"
            raise MasterError(FailureKind.UNREACHABLE, why, address=address)


def _one_for_each(seats: int, response: SeatsResponse) -> SeatsResponse:
    if seats != len(response.results):
        problem = f"{seats} seats were asked for, {len(response.results)} answers came"
        raise MasterError(FailureKind.UNREACHABLE, problem)
    return response


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
