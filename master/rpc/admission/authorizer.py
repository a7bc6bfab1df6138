"""Authorises every call where TLS is on: the caller is proven, and may or may not make the call.

Decides nothing itself: `auth/callers/authorization.py` says who may call what, `certificates/certificates.py` reads
the certificate. The certificate is checked again with every call, so that one that ended or was revoked is refused on
an open connection too, and its streams are ended as soon as that is known. A caller that is turned away is counted,
named in the log, and has a pace too: by its certificate's key, or by its address where the certificate names nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import grpc
import structlog
from cryptography import x509

from licensemaster.daemon.logs.sparing_log import SparingLog
from master.auth.callers.authorization import Authorization
from master.auth.callers.identity import Identity, IdentityError, Role
from master.auth.callers.limits import CallerLimitError, Paces, Share, Shares
from master.auth.callers.permissions import AccessDeniedError, Denial
from master.auth.certificates.certificate_files import Read
from master.auth.certificates.certificates import Certificates
from master.auth.certificates.chains import ChainError, path_of
from master.auth.certificates.peer_certificate import PeerCertificate, shown
from master.domain.leases.leases import LeaseOfAnotherError
from master.metrics import Metrics
from master.rpc.admission.turns import Turns
from master.service.runtime.names import PbxName
from master.service.runtime.periodic import PeriodicTask
from master.values import Value

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]

LOOK_SECONDS = 1.0
"""Seconds between two checks of the certificate files and of the streams: how long a revoked certificate keeps one."""
_SEATS_AS_A_CALL = 50
"""Seats that cost a master as much as a call that asks for none: some 0.8 ms of CPU (ADR 50)."""
_KNOWN_MAX = 10_000
_LINES_MAX, _LINES_SECONDS = 20, 10.0
"""The most log lines, and in how many seconds, about one caller that is turned away for one reason."""

identity_of_call: ContextVar[Identity | None] = ContextVar("identity_of_call", default=None)
"""The proven caller of the call that is being served; None in plain text."""
_certificate_of_call: ContextVar[PeerCertificate | None] = ContextVar("certificate_of_call", default=None)
"""The certificate that the caller of this call showed, whether or not it is refused; None where it cannot be read."""


def proven_pbx() -> PbxName | None:
    """Return the PBX that is the proven caller of this call; None where the caller is no PBX, and in plain text."""
    identity = identity_of_call.get()
    if identity is None or identity.role is not Role.PBX or identity.project is None:
        return None
    return PbxName(identity.project, identity.name)


class Allowances(Value):
    """The limits of each caller: shares, and paces of calls and of refusals."""

    shares: Shares
    calls: Paces
    """How often a caller may call; seats in a call count as further calls."""
    refusals: Paces
    """How often a caller whose certificate is refused may call."""


class Authorizer(PeriodicTask):
    needs_database = False

    def __init__(
        self,
        certificates: Certificates,
        *,
        clock: Callable[[], float],
        metrics: Metrics,
        authorization: Authorization,
        allowances: Allowances,
    ) -> None:
        super().__init__(interval_seconds=LOOK_SECONDS)
        self._certificates = certificates
        self._clock = clock
        self._metrics = metrics
        self.authorization = authorization
        self._allowances = allowances
        self.turns = Turns()
        metrics.calls_waiting.set_function(lambda: len(self.turns))
        self._known: dict[tuple[bytes, bytes], PeerCertificate] = {}
        self._authorities: tuple[x509.Certificate, ...] = ()
        """The authorities by which the certificates in `_known` were judged."""
        self._log = SparingLog(
            structlog.get_logger(__name__),
            clock=clock,
            lines_max=_LINES_MAX,
            seconds=_LINES_SECONDS,
            each=("caller", "reason"),
        )
        self._streams: dict[asyncio.Task[Any], PeerCertificate] = {}
        """The certificate of each open stream, by the task that serves it."""
        self._ended: set[asyncio.Task[Any]] = set()

    async def enter(self, method: str | None, context: Context) -> PeerCertificate:
        """Return the certificate of a call's caller, whose role may call the method; None is a method that does not
        exist. Nothing of the request has been read yet. Refused calls count against their caller too, and a caller that
        makes too many calls waits.
        Raises AccessDeniedError if the caller may not call the method, CallerLimitError if the caller makes too many
        calls."""
        peer_certificate: PeerCertificate | None = None
        try:
            peer_certificate = self._shown(context)
            _certificate_of_call.set(peer_certificate)
            self.check(peer_certificate)
        except AccessDeniedError:  # not of its name's share: whoever has a good certificate of that name needs it
            whose = _address(context) if peer_certificate is None else peer_certificate.key
            refusals = self._allowances.refusals
            await self.turns.take(refusals, whose, what="calls a second of a certificate that is refused")
            raise
        whose = peer_certificate.identity.uri
        if await self.turns.take(self._allowances.calls, whose, what="calls a second from this caller"):
            self.check(peer_certificate)
        if method is not None:
            self.authorization.check_role(peer_certificate.identity, method)
        return peer_certificate

    def call(self, peer_certificate: PeerCertificate) -> Share:
        """Count a call; its share is closed when its task ends: once its answer was taken, or its connection lost.
        Raises CallerLimitError if the caller has too many calls, or does not take its answers."""
        task = asyncio.current_task()
        assert task is not None
        share = self._allowances.shares.call(peer_certificate.identity.uri)
        task.add_done_callback(lambda _: share.close())
        return share

    async def wait_for_turn(self, peer_certificate: PeerCertificate) -> None:
        """Wait until a caller's calls so far, and the seats in them, are paid for.
        Raises AccessDeniedError if the certificate was revoked or ended meanwhile."""
        if await self.turns.wait(self._allowances.calls, peer_certificate.identity.uri):
            self.check(peer_certificate)

    def charge(self, peer_certificate: PeerCertificate, seats: int) -> None:
        """Count the seats in a caller's call as further calls of that caller."""
        if calls := seats // _SEATS_AS_A_CALL:
            self._allowances.calls.take(peer_certificate.identity.uri, calls)

    def check(self, peer_certificate: PeerCertificate) -> None:
        """Check that a certificate is neither revoked nor ended now.
        Raises AccessDeniedError if it was revoked or ended."""
        if self._certificates.current.is_revoked(peer_certificate):
            raise AccessDeniedError(Denial.CERTIFICATE_REVOKED, "this certificate was revoked; ask for a new one")
        if peer_certificate.ends_at <= self._clock():
            raise AccessDeniedError(Denial.CERTIFICATE_EXPIRED, "this certificate has ended; connect with a newer one")

    @contextmanager
    def stream(self, peer_certificate: PeerCertificate, share: Share) -> Iterator[None]:
        """Count a call as a stream; its task is cancelled when its certificate was revoked or has ended.
        Raises AccessDeniedError if the certificate was revoked or has ended, CallerLimitError if the caller has too
        many streams."""
        task = asyncio.current_task()
        assert task is not None
        self._streams[task] = peer_certificate
        try:
            share.become_stream()
            yield
        except asyncio.CancelledError:
            if task not in self._ended:
                raise
            task.uncancel()
            self.check(peer_certificate)
            raise
        finally:
            self._ended.discard(task)
            self._streams.pop(task, None)

    async def run_once(self) -> Read:
        """Read changed certificate files again, and end the streams whose certificate is no longer valid."""
        current = await asyncio.to_thread(self._certificates.look)
        for task, peer_certificate in list(self._streams.items()):
            try:
                self.check(peer_certificate)
            except AccessDeniedError:
                if task not in self._ended:
                    self._ended.add(task)
                    task.cancel()
        return current

    def report(self, error: Exception, method: str | None, context: Context) -> None:
        """Count and log a caller whose call failed for who the caller is, or for how much it asks; no other failures.
        A `method` that does not exist is None."""
        reason = _reason(error)
        if reason is None:
            return
        peer_certificate = _certificate_of_call.get()
        self._metrics.calls_denied.labels(reason).inc()
        self._log.warning(
            "a caller was turned away",
            reason=reason,
            caller=peer_certificate.identity.uri if peer_certificate else None,
            serial=peer_certificate.serial if peer_certificate else None,
            method=method,
            peer=context.peer(),
        )

    def _shown(self, context: Context) -> PeerCertificate:
        proven = context.auth_context()
        authorities = self._certificates.current.authorities
        if authorities != self._authorities:
            self._known, self._authorities = {}, authorities
        pem = _first(proven, "x509_pem_cert"), _first(proven, "x509_pem_cert_chain")
        known = self._known.get(pem)
        if known is None:
            known = _read(*pem, authorities)
            if len(self._known) >= _KNOWN_MAX:
                self._known.clear()
            self._known[pem] = known
        return known


def _reason(error: Exception) -> str | None:
    """Return why a caller is turned away; None where it is not."""
    match error:
        case AccessDeniedError():
            return error.denial.name
        case CallerLimitError():
            return "CALLER_LIMIT"
        case LeaseOfAnotherError():
            return "NOT_YOUR_LEASE"
    return None


def _first(proven: Mapping[str, Iterable[bytes]], what: str) -> bytes:
    return next(iter(proven.get(what) or ()), b"")


def _read(own: bytes, chain: bytes, authorities: Sequence[x509.Certificate]) -> PeerCertificate:
    """Return the certificate that a caller showed in the handshake, with those that signed it."""
    try:
        certificate = x509.load_pem_x509_certificate(own)
        others = x509.load_pem_x509_certificates(chain) if chain else []
        return shown(certificate, path_of([certificate, *others], authorities)[1:])
    except ChainError as error:
        raise AccessDeniedError(Denial.CERTIFICATE_UNTRUSTED, f"this certificate is not believed: {error}") from error
    except (IdentityError, ValueError) as error:
        problem = str(error) if isinstance(error, IdentityError) else "this certificate cannot be read"
        raise AccessDeniedError(Denial.CERTIFICATE_UNREADABLE, problem) from error


def _address(context: Context) -> str:
    """Return the address that a call comes from, without the port."""
    return context.peer().rpartition(":")[0]
