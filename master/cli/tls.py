"""TLS between a command and a master: what is shown, checked before it is, and whether the other side speaks it."""

from __future__ import annotations

import socket
import ssl
import time

import grpc

from master.cli.failure import CommandFailed
from master.cli.options import tls_options

_PATIENCE_SECONDS = 2.0


def channel_credentials() -> grpc.ChannelCredentials | None:
    """What the command line says to show; None for plain text.

    Raises:
        CommandFailed: one of the three is missing, cannot be read, or does not fit the others; names it.
    """
    given = tls_options.get()
    named = {"--tls-ca": given.ca, "--tls-key": given.key, "--tls-certificate": given.certificate}
    if not any(named.values()):
        return None
    if missing := [name for name, path in named.items() if path is None]:
        raise CommandFailed(
            f"{', '.join(missing)}: not given", remedy="name all three, or none to a master that serves plain text"
        )
    from master.auth.shown import day
    from slave_client import handshake
    from slave_client.pem import CertificateFilesError, NamedFile, read_pair

    ca, key, certificate = (NamedFile(name, path) for name, path in named.items() if path is not None)
    try:
        pair, now = read_pair(certificate, key, ca), time.time()
        if pair.ends_at <= now:
            raise certificate.wrong(f"ended {day(pair.ends_at)}; ask whoever runs the authority for a new one")
        if pair.begins_at > now:
            raise certificate.wrong(f"begins {day(pair.begins_at)}, and here it is {day(now)}; set the clock, or wait")
        if problem := handshake.calls(pair):
            raise certificate.wrong(f"{problem}; ask whoever runs the authority for another one")
    except CertificateFilesError as error:
        raise CommandFailed(str(error)) from error
    return grpc.ssl_channel_credentials(pair.ca, pair.key, pair.certificate)


def speaks_tls(server: str) -> bool | None:
    """Whether what listens at HOST:PORT answers a TLS greeting; None where nothing says so or otherwise."""
    host, _, port = server.rpartition(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # nothing is told to it, and nothing believed
    try:
        with (
            socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE_SECONDS) as plain,
            context.wrap_socket(plain),
        ):
            return True
    except ssl.SSLError as error:
        return None if error.reason is None else "ALERT" in error.reason
    except OSError:
        return None
