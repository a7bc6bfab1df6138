"""Servers of gRPC that serve nothing, for what happens before anything is served."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc

from tests.support.projects.certificates import Made


@asynccontextmanager
async def bare_server(made: Made | None, *, believes: Made | None = None) -> AsyncIterator[int]:
    """One with a certificate, or in plain text; its port, on this machine."""
    server = grpc.aio.server()
    if made is None or believes is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        credentials = grpc.ssl_server_credentials([(made.key, made.pem)], believes.pem, True)
        port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)
