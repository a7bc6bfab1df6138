"""Problems by RFC 9457, `application/problem+json`, with the details of a refusal for people and programs."""

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
"""The HTTP status of reasons that are no license decision; every other reason is 403."""
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, default=str)


class ProblemError(Exception):
    """Raised where a request cannot be answered as asked; the middleware makes the answer from the fields."""

    def __init__(self, status: int, kind: str, detail: str, **more: object) -> None:
        super().__init__(detail)
        self.status = HTTPStatus(status)
        self.kind, self.detail, self.more = kind, detail, more

    def json_object(self) -> dict[str, object]:
        """Return the problem as a JSON object, with `type`, `title`, `status` and `detail` first."""
        return {
            "type": f"{_URN}{self.kind}",
            "title": self.status.phrase,
            "status": self.status.value,
            "detail": self.detail,
            **self.more,
        }

    def response(self, *, retry_after_seconds: int) -> web.Response:
        """Return the HTTP answer: 503 says in how many seconds to come back, 401 closes the connection."""
        headers = {}
        if self.status is HTTPStatus.SERVICE_UNAVAILABLE:
            headers["Retry-After"] = str(retry_after_seconds)
        response = json_response(self.json_object(), self.status, "application/problem+json", headers)
        if self.status is HTTPStatus.UNAUTHORIZED:
            for scheme in ("Bearer", 'Basic realm="license-agent"'):  # many show a password only once they are asked
                response.headers.add("WWW-Authenticate", scheme)
            response.force_close()
        return response


def refusal(refused: Refused) -> ProblemError:
    told = refusal_view(refused)
    return ProblemError(_STATUS.get(refused.reason, HTTPStatus.FORBIDDEN), "refused", str(told.pop("detail")), **told)


def json_response(
    value: object, status: int = 200, content_type: str = "application/json", headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return an answer in JSON, on one line."""
    body = f"{_ENCODER.encode(value)}\n".encode()
    return web.Response(body=body, status=status, content_type=content_type, headers=headers)
