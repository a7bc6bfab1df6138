"""Channels to a master: every one is opened here, so that all are set up alike.

Decides: what of gRPC's defaults does not suit a license master, and how often a silent connection is asked whether
anybody is there. A proxy for browsing (`http_proxy`, `grpc_proxy` ... in the environment) does not lead to a master,
and a service config that DNS offers is not asked for. Leaves to others: credentials, calls, and what a failed one
means.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import grpc
from grpc import aio

Option = tuple[str, str | int]

PING_SECONDS: Final = 20.0
"""Seconds without a byte after which a client with a call under way pings its master; a server must accept these pings
(`pings_borne`). By them a master knows that the client is there, too: answering costs it half as much as asking. A call
finds out sooner that nobody is there, and so does a standby that asks."""
_PING_TIMEOUT_SECONDS: Final = 5.0
_PING_EVERY_SECONDS_MIN: Final = 0.5
_MESSAGE_BYTES_MAX: Final = 64 * 1024 * 1024

_ALL: Final[tuple[Option, ...]] = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.use_local_subchannel_pool", 1),  # a new channel is a new connection
    ("grpc.max_receive_message_length", _MESSAGE_BYTES_MAX),
    # A connection that is half open, or a master that hangs, is found out; after two pings gRPC would ask less often.
    ("grpc.keepalive_time_ms", round(PING_SECONDS * 1000)),
    ("grpc.keepalive_timeout_ms", round(_PING_TIMEOUT_SECONDS * 1000)),
    ("grpc.http2.ping_timeout_ms", round(_PING_TIMEOUT_SECONDS * 1000)),  # by itself gRPC waits a minute for the answer
    ("grpc.http2.max_pings_without_data", 0),
)


def pings_borne() -> tuple[Option, ...]:
    """Return the options with which a server accepts its clients' pings; without them it ends such connections."""
    return (
        ("grpc.http2.min_ping_interval_without_data_ms", round(_PING_EVERY_SECONDS_MIN * 1000)),
        ("grpc.keepalive_permit_without_calls", 1),
    )


def open_channel(
    address: str, credentials: grpc.ChannelCredentials | None = None, options: Iterable[Option] = ()
) -> aio.Channel:
    """Return a channel for this event loop; plain text without credentials. `options` replace the common ones."""
    if credentials is None:
        return aio.insecure_channel(address, options=_with(options))
    return aio.secure_channel(address, credentials, options=_with(options))


def open_blocking_channel(
    address: str, credentials: grpc.ChannelCredentials | None = None, options: Iterable[Option] = ()
) -> grpc.Channel:
    """Return a channel for threads, with the same options as `open_channel`."""
    if credentials is None:
        return grpc.insecure_channel(address, options=_with(options))
    return grpc.secure_channel(address, credentials, options=_with(options))


def _with(options: Iterable[Option]) -> tuple[Option, ...]:
    return tuple({**dict(_ALL), **dict(options)}.items())
