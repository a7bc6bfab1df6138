"""The metrics page: HTTP in plain text, or over TLS for callers whose certificate allows it.

Each connection has a thread of its own; `open_connections.py` bounds the number of connections, in all and from one
address, and how long each may last.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from socket import IPPROTO_IPV6, IPV6_V6ONLY, MSG_PEEK, SHUT_RD, SOCK_STREAM, AddressFamily, getaddrinfo, socket
from threading import Thread
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import structlog
from cryptography import x509
from prometheus_client import Counter, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from licensemaster.daemon.logs.sparing_log import SparingLog
from licensemaster.values.addresses import listening_address
from master.auth.callers.permissions import may_read_metrics
from master.auth.certificates.certificates import Certificates
from master.auth.certificates.chains import path_of
from master.auth.certificates.peer_certificate import PeerCertificate, shown
from master.metrics import Metrics
from master.rpc.server.open_connections import ConnectionBounds, OpenConnections

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_HANDSHAKE_SECONDS = 5.0
"""Seconds for which a caller may be silent."""
_NO_FILES_SECONDS = 0.1
_BY_WAY_OF_IPV6 = "::ffff:"
"""The prefix of an IPv4 address on a socket of both families."""
_CERTIFICATE = "license_master.certificate"
_BOUNDS = ConnectionBounds()
_REASONS = ("METRICS_PAGE", "METRICS_PAGE_BUSY", "METRICS_PAGE_LATE", "HANDSHAKE")
_LINES_MAX, _LINES_SECONDS = 5, 60.0
"""The most log lines of a kind about scrapers, and in how many seconds."""


class MetricsPage:
    """Serves the metrics page on its address until it is closed."""

    def __init__(
        self,
        address: str,
        metrics: Metrics,
        *,
        certificates: Certificates | None,
        clock: Callable[[], float],
        bounds: ConnectionBounds = _BOUNDS,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` gives UNIX seconds, `steady` only goes forward.
        Raises OSError if the address cannot be listened on."""
        page: WSGIApplication = make_wsgi_app(metrics.registry)

        for reason in _REASONS:
            metrics.calls_denied.labels(reason)
        sparing_log = SparingLog(
            structlog.get_logger(__name__), clock=clock, lines_max=_LINES_MAX, seconds=_LINES_SECONDS
        )

        def guarded(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            if certificates is not None:
                reader = _shown(environ.get(_CERTIFICATE, b""), certificates.current.authorities)
                if reader is None or not _may_read(reader, certificates, clock()):
                    metrics.calls_denied.labels("METRICS_PAGE").inc()
                    sparing_log.warning(
                        "a caller was turned away",
                        reason="METRICS_PAGE",
                        caller=reader.identity.uri if reader else None,
                        serial=reader.serial if reader else None,
                        peer=environ.get("REMOTE_ADDR"),
                    )
                    start_response("403 Forbidden", [("Content-Type", "text/plain")])
                    return [b"this certificate may not read the metrics\n"]
            return page(environ, start_response)

        class Server(_Server):
            tls = certificates
            refused = metrics.calls_denied
            log = sparing_log
            connections = OpenConnections(bounds, clock=steady)

        try:
            self._server = _listening(address, guarded, Server)
        except OSError as error:
            raise OSError(f"metrics_listen: {address!r} cannot be listened on: {error}") from error
        self.port = self._server.server_port

    async def run(self) -> None:
        """Serve the page from a thread of its own until that thread ends."""
        loop, ended = asyncio.get_running_loop(), asyncio.Event()

        def serve() -> None:
            try:
                self._server.serve_forever()
            finally:
                with suppress(RuntimeError):  # the loop is closed
                    loop.call_soon_threadsafe(ended.set)

        thread = Thread(target=serve, name="metrics page", daemon=True)
        thread.start()
        try:
            await ended.wait()
        finally:
            if thread.is_alive():
                await asyncio.shield(asyncio.to_thread(self._server.shutdown))

    def accept_no_more(self) -> None:
        """Accept no further connection, before the page is closed: this wakes the thread that waits for connections, so
        that it sees its end sooner than by its own look, twice a second."""
        with suppress(OSError):  # a system may have no such way
            self._server.socket.shutdown(SHUT_RD)

    def close(self) -> None:
        """Stop listening, and wait until the page under way is sent."""
        self._server.server_close()


def _listening(address: str, application: WSGIApplication, server: type[_Server]) -> WSGIServer:
    """Make a server on an address of either family; an address that means all is of both families, as in gRPC.
    Raises OSError if the address cannot be listened on."""
    host, port = listening_address(address)
    if host in ("0.0.0.0", "::"):
        places = [(AddressFamily.AF_INET6, "::"), (AddressFamily.AF_INET, "0.0.0.0")]  # a machine may lack the first
    else:
        places = [(address[0], host) for address in getaddrinfo(host, port, type=SOCK_STREAM)]
    for server.address_family, place in places[:-1]:
        with suppress(OSError):
            return make_server(place, port, application, server, _Handler)
    server.address_family, place = places[-1]
    return make_server(place, port, application, server, _Handler)


class _Server(ThreadingWSGIServer):
    tls: Certificates | None
    refused: Counter
    log: SparingLog
    connections: OpenConnections
    request_queue_size = 64  # what the kernel holds until it is accepted

    def server_bind(self) -> None:
        """Bind the socket, for IPv4 as well where the address means every address."""
        if self.address_family == AddressFamily.AF_INET6:
            self.socket.setsockopt(IPPROTO_IPV6, IPV6_V6ONLY, self.server_address[0] != "::")
        super().server_bind()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread of its own, or close it where there are too many."""
        if not self.connections.open(request, client_address[0]):
            self._turn_away("METRICS_PAGE_BUSY", client_address[0])
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread could be started
            self.connections.close(request)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection to its end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.connections.close(request)

    def service_actions(self) -> None:
        """End the connections that last too long; called twice a second."""
        for _ in range(self.connections.end_late()):
            self._turn_away("METRICS_PAGE_LATE")

    def _turn_away(self, reason: str, peer: str | None = None, **what: object) -> None:
        self.refused.labels(reason).inc()
        self.log.warning("a caller was turned away", reason=reason, peer=peer, **what)

    def finish_request(self, request: Any, client_address: Any) -> None:
        request.settimeout(_HANDSHAKE_SECONDS)  # in this connection's own thread: a silent caller keeps nobody waiting
        if not _says_something(request):
            return
        if self.tls is None:
            super().finish_request(request, client_address)
            return
        try:
            secured = self.tls.look().page.wrap_socket(request, server_side=True, do_handshake_on_connect=False)
        except OSError as error:  # it went away
            self._turn_away("HANDSHAKE", client_address[0], said=str(error))
            return
        try:
            self.connections.secured(request, secured)
            try:
                secured.do_handshake()
            except OSError as error:  # an ssl.SSLError is one
                self._turn_away("HANDSHAKE", client_address[0], said=str(error))
                return
            super().finish_request(secured, client_address)
        finally:
            secured.close()

    def get_request(self) -> Any:
        """Return the next connection; where none can be accepted, as too many files are open, wait 0.1 s first, so that
        the server does not ask on and on."""
        try:
            return super().get_request()
        except OSError:
            time.sleep(_NO_FILES_SECONDS)
            raise

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log the failure of a connection, unless the scraper went away."""
        error = sys.exception()
        if not isinstance(error, ConnectionError | TimeoutError):
            self.log.error("the metrics page failed", peer=client_address[0], exc_info=error)


def _says_something(connection: socket) -> bool:
    """Tell whether a caller sends anything; balancers that only check whether the port listens do not."""
    try:
        return bool(connection.recv(1, MSG_PEEK))
    except OSError:  # it went away, or says nothing for long
        return False


class _Handler(WSGIRequestHandler):
    def get_environ(self) -> WSGIEnvironment:
        environ = super().get_environ()
        environ["REMOTE_ADDR"] = str(environ.get("REMOTE_ADDR", "")).removeprefix(_BY_WAY_OF_IPV6)
        connection: socket = self.connection
        if isinstance(connection, ssl.SSLSocket):
            environ[_CERTIFICATE] = _chain_of(connection)
        return environ

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: a line for each scrape would be too many."""


def _chain_of(connection: ssl.SSLSocket) -> bytes:
    """Return the reader's certificate and those that signed it, as the handshake verified them, in PEM."""
    known: Any = connection._sslobj  # type: ignore[attr-defined]  # Python 3.13 and later have it in public
    return "".join(certificate.public_bytes() for certificate in known.get_verified_chain()).encode()


def _shown(certificates: bytes, authorities: Sequence[x509.Certificate]) -> PeerCertificate | None:
    try:
        chain = x509.load_pem_x509_certificates(certificates)
        return shown(chain[0], path_of(chain, authorities)[1:])
    except ValueError:
        return None


def _may_read(certificate: PeerCertificate, certificates: Certificates, now: float) -> bool:
    return (
        may_read_metrics(certificate.identity)
        and not certificates.current.is_revoked(certificate)
        and certificate.ends_at > now
    )
