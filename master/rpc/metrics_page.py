"""The metrics page: HTTP in plain text, or TLS for those whose certificate lets them read it."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from socket import socket
from threading import Thread
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from cryptography import x509
from prometheus_client import make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from master.auth.certificates import Certificates, Read, shown
from master.auth.identity import IdentityError
from master.auth.permissions import may_read_metrics
from master.metrics import Metrics

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_HANDSHAKE_SECONDS = 5.0
_CERTIFICATE = "license_master.certificate"


class MetricsPage:
    """Serves from a thread of its own until it is closed."""

    def __init__(
        self, address: str, metrics: Metrics, *, certificates: Certificates | None, clock: Callable[[], float]
    ) -> None:
        """Raises OSError: the address cannot be listened on."""
        host, _, port = address.rpartition(":")
        page: WSGIApplication = make_wsgi_app(metrics.registry)

        def guarded(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            if certificates is not None and not _may_read(environ.get(_CERTIFICATE, b""), certificates, clock()):
                metrics.calls_denied.labels("METRICS_PAGE").inc()
                start_response("403 Forbidden", [("Content-Type", "text/plain")])
                return [b"this certificate may not read the metrics\n"]
            return page(environ, start_response)

        class Server(_Server):
            tls = None if certificates is None else _Contexts(certificates)
            refused = metrics.calls_denied.labels("HANDSHAKE")

        try:
            self._server = make_server(host or "127.0.0.1", int(port), guarded, Server, _Handler)
        except (OSError, ValueError) as error:
            raise OSError(f"metrics_listen: {address!r} cannot be listened on: {error}") from error
        self.port = self._server.server_port
        self._thread = Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Serve no more; waits until the page under way is sent."""
        self._server.shutdown()
        self._server.server_close()


class _Contexts:
    """An SSL context for the newest certificates."""

    def __init__(self, certificates: Certificates) -> None:
        self._certificates = certificates
        self._made: tuple[Read, ssl.SSLContext] | None = None

    def newest(self) -> ssl.SSLContext:
        found = self._certificates.look()
        if self._made is None or self._made[0] is not found:
            self._made = found, _context(found)
        return self._made[1]


def _context(found: Read) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=found.ca.decode("ascii"))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    with tempfile.TemporaryDirectory(prefix="license-master-") as folder:  # Python takes a key from a file only
        pair = Path(folder, "pair.pem")
        pair.touch(mode=0o600)
        pair.write_bytes(found.key + b"\n" + found.certificate)
        context.load_cert_chain(pair)
    return context


class _Server(ThreadingWSGIServer):
    tls: _Contexts | None
    refused: Any

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.tls is None:
            super().finish_request(request, client_address)
            return
        request.settimeout(_HANDSHAKE_SECONDS)  # in this connection's own thread: a silent caller keeps nobody waiting
        try:
            secured = self.tls.newest().wrap_socket(request, server_side=True)
        except (ssl.SSLError, OSError):
            self.refused.inc()
            return
        try:
            super().finish_request(secured, client_address)
        finally:
            secured.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A scraper that went away is no error of ours."""


class _Handler(WSGIRequestHandler):
    def get_environ(self) -> WSGIEnvironment:
        found = super().get_environ()
        connection: socket = self.connection
        if isinstance(connection, ssl.SSLSocket):
            found[_CERTIFICATE] = connection.getpeercert(binary_form=True) or b""
        return found

    def log_message(self, format: str, *args: object) -> None:
        """Scrapes are not worth a line each."""


def _may_read(certificate: bytes, certificates: Certificates, now: float) -> bool:
    try:
        found = shown(x509.load_der_x509_certificate(certificate))
    except (IdentityError, ValueError):
        return False
    return may_read_metrics(found.identity) and found.serial not in certificates.current.revoked and found.ends_at > now
