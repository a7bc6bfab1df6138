"""What a failed call to a master means: one table by the master's error reason, one by gRPC's status.

Decides: the kind of failure, and how long the master asks to wait. Leaves to others: what follows from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from typing import Final

import grpc
from grpc import aio

from slave_client.connection.attempts import AttemptOutcome
from slave_client.values.states import Event


class FailureKind(Enum):
    """What a failed call means for the client."""

    UNREACHABLE = "unreachable"
    """The address does not answer. Whether the call took effect is unknown."""
    BUSY = "busy"
    """The master answers and asks to wait. Whether the call took effect is unknown."""
    FENCED = "fenced"
    """A newer lease was opened for this PBX."""
    LEASE_ENDED = "lease_ended"
    """The lease expired or was closed."""
    LEASE_UNKNOWN = "lease_unknown"
    """The master does not know the lease, because its database was restored: a new lease has to be opened, with the
    signed one as proof. Seats held stay in use."""
    REJECTED = "rejected"
    """The request is malformed. Nothing was done."""
    TOO_SOON = "too_soon"
    """A takeover is refused because the other PBX may be alive, and may be granted in a moment. Nothing was done."""
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
"""The event for the lease that a call was made under, by kind of failure; other kinds say nothing about a lease."""


class MasterError(Exception):
    """Raised for a call to a master that failed; the text is the master's, or gRPC's where the master sent none."""

    def __init__(
        self, kind: FailureKind, message: str, *, reason: str = "", retry_after_seconds: float = 0.0, address: str = ""
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds
        self.address = address
        """The address of the master that was asked; empty where no master was asked."""
        self.outcome = AttemptOutcome.GIVEN_UP
        """The failed call's outcome as an attempt to connect to the address."""

    @property
    def is_local(self) -> bool:
        """True where another master may be able to answer now."""
        return self.kind is FailureKind.UNREACHABLE or self.reason == "STORAGE_UNAVAILABLE"


@contextmanager
def readable_answer() -> Iterator[None]:
    """Run what reads an answer; raises MasterError where no master could mean it, such as a moment that is none."""
    try:
        yield
    except (ValueError, OverflowError) as failure:
        raise MasterError(FailureKind.UNREACHABLE, f"the answer cannot be read: {failure}") from failure


def error_of(failure: aio.AioRpcError | aio.UsageError, address: str) -> MasterError:
    """Return the MasterError for a failed call to the master at `address`."""
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
    """Return the delay that the master asks for, in seconds: 0 where there is none, 60 at most."""
    return min(int(milliseconds) / 1000, 60.0) if milliseconds.isdecimal() else 0.0
