"""What a failed call to a master means: one table by the master's error reason, one by gRPC's status.

Decides: the kind of failure, and how long the master asks to wait. Leaves to others: what follows from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

import grpc
from grpc import aio

from slave_client.connection.attempts import AttemptOutcome
from slave_client.values.states import Event


class FailureKind(Enum):
    """What a failed call means for the client."""

    UNREACHABLE = "unreachable"
    """This address does not answer. Whether the call took effect is unknown."""
    BUSY = "busy"
    """The master answers and asks to wait. Whether the call took effect is unknown."""
    FENCED = "fenced"
    """A newer lease was opened for this PBX."""
    LEASE_ENDED = "lease_ended"
    """The lease expired or was closed."""
    LEASE_UNKNOWN = "lease_unknown"
    """The master does not know the lease, because its database was restored: it has to be opened anew, with the signed
    one as proof. What is held stays in use."""
    REJECTED = "rejected"
    """The request is malformed. Nothing was done."""
    TOO_SOON = "too_soon"
    """A takeover is refused now, as the other PBX may be alive, and may be granted in a moment. Nothing was done."""
    DENIED = "denied"
    """The PBX is unknown, or the caller is not entitled. Nothing was done."""


_BY_REASON: Final[Mapping[str, FailureKind]] = {
    "LEASE_FENCED": FailureKind.FENCED,
    "LEASE_CARRIED": FailureKind.LEASE_ENDED,  # the standby has the seats; a new opening takes them back
    "LEASE_EXPIRED": FailureKind.LEASE_ENDED,
    "LEASE_CLOSED": FailureKind.LEASE_ENDED,
    "LEASE_NOT_OPEN": FailureKind.LEASE_UNKNOWN,
    "LEASE_UNPROVEN": FailureKind.LEASE_UNKNOWN,
    "STORAGE_FULL": FailureKind.BUSY,
    "STORAGE_UNAVAILABLE": FailureKind.BUSY,
    "CALL_SUPERSEDED": FailureKind.BUSY,
    "OVERLOADED": FailureKind.BUSY,
    "CALLER_LIMIT": FailureKind.BUSY,
    "DRAINING": FailureKind.UNREACHABLE,
    "UNKNOWN_PBX": FailureKind.DENIED,
    "INVALID_ARGUMENT": FailureKind.REJECTED,
}
_BY_CODE: Final[Mapping[grpc.StatusCode, FailureKind]] = {
    grpc.StatusCode.CANCELLED: FailureKind.UNREACHABLE,
    grpc.StatusCode.UNKNOWN: FailureKind.UNREACHABLE,
    grpc.StatusCode.INVALID_ARGUMENT: FailureKind.REJECTED,
    grpc.StatusCode.DEADLINE_EXCEEDED: FailureKind.UNREACHABLE,
    grpc.StatusCode.NOT_FOUND: FailureKind.DENIED,
    grpc.StatusCode.ALREADY_EXISTS: FailureKind.DENIED,
    grpc.StatusCode.PERMISSION_DENIED: FailureKind.DENIED,
    grpc.StatusCode.RESOURCE_EXHAUSTED: FailureKind.BUSY,
    grpc.StatusCode.FAILED_PRECONDITION: FailureKind.DENIED,
    grpc.StatusCode.ABORTED: FailureKind.BUSY,
    grpc.StatusCode.OUT_OF_RANGE: FailureKind.REJECTED,
    grpc.StatusCode.UNIMPLEMENTED: FailureKind.DENIED,
    grpc.StatusCode.INTERNAL: FailureKind.UNREACHABLE,
    grpc.StatusCode.UNAVAILABLE: FailureKind.UNREACHABLE,
    grpc.StatusCode.DATA_LOSS: FailureKind.UNREACHABLE,
    grpc.StatusCode.UNAUTHENTICATED: FailureKind.DENIED,
}


LEASE_EVENTS: Final[Mapping[FailureKind, Event]] = {
    FailureKind.FENCED: Event.FENCED,
    FailureKind.LEASE_ENDED: Event.LEASE_ENDED,
    FailureKind.LEASE_UNKNOWN: Event.LEASE_UNKNOWN,
}
"""What a failure says about the lease that the call was made under; other kinds say nothing about it."""


class MasterError(Exception):
    """A call that failed; the text is the master's, or gRPC's where there was none."""

    def __init__(
        self, kind: FailureKind, message: str, *, reason: str = "", retry_after_seconds: float = 0.0, address: str = ""
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds
        self.address = address
        """The master that answered, or gave no answer; empty where none was asked."""
        self.outcome = AttemptOutcome.GIVEN_UP
        """What the failed call shows about the connection to the address."""

    @property
    def is_local(self) -> bool:
        """True where another master may do better at this moment."""
        return self.kind is FailureKind.UNREACHABLE or self.reason == "STORAGE_UNAVAILABLE"


def error_of(failure: aio.AioRpcError | aio.UsageError, address: str) -> MasterError:
    """Return what a call to the master at `address` that ended like this means."""
    if isinstance(failure, aio.UsageError):
        return MasterError(FailureKind.UNREACHABLE, "the connection was closed", address=address)
    trailers = {key: value for key, value in failure.trailing_metadata() or () if isinstance(value, str)}
    reason = trailers.get("error-reason", "")
    kind = _BY_REASON.get(reason) or _BY_CODE.get(failure.code(), FailureKind.UNREACHABLE)
    return MasterError(
        kind,
        failure.details() or failure.code().name,
        reason=reason,
        retry_after_seconds=_retry_after_seconds(trailers.get("retry-after-ms", "")),
        address=address,
    )


def _retry_after_seconds(milliseconds: str) -> float:
    """Read the delay that the master asks for; 0 where there is none, a minute at most."""
    return min(int(milliseconds) / 1000, 60.0) if milliseconds.isdecimal() else 0.0
