"""Why a request is not taken, whatever it asks for."""

from __future__ import annotations


class RequestIdTakenError(Exception):
    """A request id was used for something else before, so this is no retry of it."""

    def __init__(self, request_id: str, used_for: str) -> None:
        super().__init__(
            f"request_id {request_id!r} was used before, for {used_for}: choose a new one for each request"
        )


class QueueFullError(Exception):
    """More requests wait than the queue may hold, most of them from this PBX; `retry_after_seconds` says
    when to retry.
    """

    def __init__(self, retry_after_seconds: float) -> None:
        super().__init__(f"too many requests are waiting; try again in {retry_after_seconds:g} s")
        self.retry_after_seconds = retry_after_seconds


class StoppedError(Exception):
    """The master is shutting down and takes no more requests."""
