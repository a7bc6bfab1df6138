"""A master's certificates for gRPC: a new connection gets the newest ones, open connections stay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

from master.auth.certificates.certificate_files import Read
from master.auth.certificates.certificates import Certificates


def server_credentials(certificates: Certificates, began: Callable[[], None]) -> grpc.ServerCredentials:
    """Return credentials that ask callers for a certificate of the authorities; `began` is called at each handshake."""
    latest = certificates.current

    def newer() -> Any:  # None means: as before
        nonlocal latest
        began()
        read = certificates.look()
        if read is latest:
            return None
        latest = read
        return _configuration(read)

    return grpc.dynamic_ssl_server_credentials(_configuration(latest), newer, require_client_authentication=True)


def _configuration(read: Read) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(read.key, read.certificate)], root_certificates=read.ca)
