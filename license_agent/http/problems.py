"""What is wrong, as RFC 9457 has it: `application/problem+json`, with what a refusal says for people and programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from aiohttp import web

from license_agent.views import UNDECIDED, refusal_view
from slave_client import Reason, Refused

_URN: Final = "urn:license-agent:problem:"
_STATUS: Final = {
    **dict.fromkeys(UNDECIDED, HTTPStatus.SERVICE_UNAVAILABLE),
    Reason.FENCED: HTTPStatus.CONFLICT,
    Reason.STILL_REQUIRED: HTTPStatus.CONFLICT,
    Reason.MALFORMED_SEAT: HTTPStatus.UNPROCESSABLE_ENTITY,
}
"""Reasons that are no license decision; every other one is 403."""
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, default=str)


class ProblemError(Exception):
    """A request cannot be answered as asked; the middleware makes an answer of it."""

    def __init__(self, status: int, kind: str, detail: str, **more: object) -> None:
        super().__init__(detail)
        self.status = HTTPStatus(status)
        self.kind, self.detail, self.more = kind, detail, more

    def json_object(self) -> dict[str, object]:
        """Return the problem, with `type`, `title`, `status` and `detail` first."""
        return {
            "type": f"{_URN}{self.kind}",
            "title": self.status.phrase,
            "status": self.status.value,
            "detail": self.detail,
            **self.more,
        }

    def response(self, *, retry_after_seconds: int) -> web.Response:
        """The answer; what is unavailable says when to come back. Who may not ask has no connection any more."""
        headers = {}
        if self.status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
            headers["Retry-After"] = str(retry_after_seconds)
        if self.status is HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        response = json_response(self.json_object(), self.status, "application/problem+json", headers)
        if self.status is HTTPStatus.UNAUTHORIZED:
            response.force_close()
        return response


def refusal(refused: Refused) -> ProblemError:
    """A refusal as a problem."""
    told = refusal_view(refused)
    return ProblemError(_STATUS.get(refused.reason, HTTPStatus.FORBIDDEN), "refused", str(told.pop("detail")), **told)


def json_response(
    value: object, status: int = 200, content_type: str = "application/json", headers: Mapping[str, str] | None = None
) -> web.Response:
    """An answer in JSON, one line."""
    body = f"{_ENCODER.encode(value)}\n".encode()
    return web.Response(body=body, status=status, content_type=content_type, headers=headers)
