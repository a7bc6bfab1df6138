"""The served document says what the running agent does: every route, and real answers to what chance asks."""

from __future__ import annotations

import json
from urllib.parse import quote

import jsonschema
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yarl import URL

from license_agent.http.openapi import DOCUMENT
from license_agent.http.routes import routes
from tests.license_agent.conftest import Pbx

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)
_WORD = st.sampled_from(["port", "user", "trunk", "4711", "nobody", "..", "%2e"]) | st.text(min_size=1, max_size=20)


def test_every_route_is_described_and_no_other() -> None:
    served = {(route.method.lower(), route.path.replace(":[^/]+", "")) for route in routes}  # type: ignore[attr-defined]
    described = {
        (method, path) for path, item in DOCUMENT["paths"].items() for method in item if method != "parameters"
    }
    assert described == served


async def test_answers_are_as_described(pbx: Pbx) -> None:
    """Deterministic by hypothesis' seed; whatever is asked, no answer is a failure of the agent's."""
    document = (await pbx.ask("GET", "/openapi.json")).body
    assert document == json.loads(json.dumps(DOCUMENT))
    asked: list[tuple[str, str, str, object]] = []

    @settings(max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(["put", "delete", "get"]), _WORD, _WORD, _WORD, _JSON)
    def choose(method: str, license_type: str, kind: str, holder: str, body: object) -> None:
        parts = (quote(part, safe="", errors="replace") for part in (license_type, kind, holder))
        asked.append((method, "/v1/seats/{license_type}/{holder_kind}/{holder}", f"/v1/seats/{'/'.join(parts)}", body))
        asked.append(("put", "/v1/seats", "/v1/seats", {"seats": body}))

    choose()
    asked += [("get", path, path, None) for path in DOCUMENT["paths"] if "{" not in path and path != "/v1/events"]
    seat = "/v1/seats/{license_type}/{holder_kind}/{holder}"
    asked += [(method, seat, "/v1/seats/port/user/4711", None) for method in ("put", "get", "delete", "get")]
    for method, path, url, body in asked:
        data = None if method == "get" or body is None else json.dumps(body).encode()
        async with pbx.session.request(method, URL(f"http://agent{url}", encoded=True), data=data) as answer:
            described = DOCUMENT["paths"][path][method]["responses"]
            assert str(answer.status) in described, (method, url, body, await answer.text())
            content = described[str(answer.status)]["content"]
            assert answer.content_type in content, (method, url)
            if "json" in answer.content_type:
                schema = {**content[answer.content_type]["schema"], "components": DOCUMENT["components"]}
                jsonschema.validate(await answer.json(content_type=None), schema)
