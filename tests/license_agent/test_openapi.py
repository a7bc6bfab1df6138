"""The served document has every route; what is answered is for tests/slow/agent."""

from __future__ import annotations

from license_agent.http.openapi import DOCUMENT
from license_agent.http.routes import routes


def test_every_route_is_described_and_no_other() -> None:
    served = {(route.method.lower(), route.path.replace(":[^/]+", "")) for route in routes}  # type: ignore[attr-defined]
    described = {
        (method, path) for path, item in DOCUMENT["paths"].items() for method in item if method != "parameters"
    }
    assert described == served
