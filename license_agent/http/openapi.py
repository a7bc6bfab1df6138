"""The local API as an OpenAPI 3.1 document, served as /openapi.json; schemathesis holds real answers against it."""

from __future__ import annotations

from typing import Any, Final

from licensemaster.api_enums import Basis, HolderKind
from slave_client import CallKind, Reason, State

Schema = dict[str, Any]
_TEXT: Final[Schema] = {"type": "string"}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_TRUTH: Final[Schema] = {"type": "boolean"}
_TIME: Final[Schema] = {"type": "string", "format": "date-time"}
_LIST: Final[Schema] = {"type": "array"}


def _enum(names: list[str]) -> Schema:
    return {"type": "string", "enum": names}


def _object(optional: dict[str, Schema] | None = None, **required: Schema) -> Schema:
    return {"type": "object", "required": list(required), "properties": {**required, **(optional or {})}}


def _no_other(schema: Schema) -> Schema:
    """Return an object's schema that allows no other fields."""
    return {**schema, "additionalProperties": False}


def _list_of(items: Schema, **more: object) -> Schema:
    return {**_LIST, "items": items, **more}


def _or_none(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _outcome(name: str, *, is_granted: bool) -> Schema:
    return {"allOf": [_object(granted={"const": is_granted}), _ref(name)]}


_KIND: Final = _enum([kind.name.lower() for kind in HolderKind])
_STATE: Final = _enum([state.value for state in State])
_NAME: Final[Schema] = {
    "type": "string",
    "format": "name",
    "minLength": 1,
    "maxLength": 128,
    "description": "Printable characters in one line; white space around a name is no part of it.",
}
_VERSION: Final[Schema] = {
    "type": "string",
    "format": "software-version",
    "maxLength": 128,
    "description": "What the application reports, `12`, `12r1` or `12r1 sr4`.",
}
_DETAILS: Final[dict[str, Schema]] = {
    **{name: {**_NAME, "minLength": 0} for name in ("user", "line")},
    "application_version": _VERSION,
}
_PBX: Final[Schema] = {"type": "string", "pattern": "^projects/[a-z0-9-]{1,63}/pbxs/[a-z0-9-]{1,63}$"}
_COST: Final[dict[str, Schema]] = {
    "basis": {"type": ["string", "null"], "enum": [*(basis.name.lower() for basis in Basis), None]},
    "included_in": _TEXT,
    "device": _TEXT,
    "reassignable": _TRUTH,
}
_EVENT: Final = _object(
    event=_enum(["state", "seat", "notice"]),
    data={**_TEXT, "contentMediaType": "application/json", "description": "One object; docs/pbx.md says what it has."},
)
_REASON: Final = _enum([reason.value for reason in Reason])
_REFUSAL: Final[dict[str, Schema]] = {
    "rules": _list_of(_TEXT),
    "licenses": _LIST,
    "seats": _LIST,
    "numbers": _object(
        license_type=_TEXT, device=_TEXT, capacity=_COUNT, in_use=_COUNT, wanted=_COUNT, place=_COUNT, waiting=_COUNT
    ),
    "holders": _list_of(_object(pbx=_TEXT, site=_TEXT, seats=_COUNT)),
    "remedy": _object(text=_TEXT, ways=_LIST),
}
_REFUSED: Final = _outcome("Refusal", is_granted=False)
_SCHEMAS: Final[dict[str, Schema]] = {
    "Seat": _object(license_type=_TEXT, holder_kind=_KIND, holder=_TEXT, **dict.fromkeys(_DETAILS, _TEXT)),
    "Details": _no_other({"type": "object", "properties": {**_DETAILS, "wait": _TRUTH}}),
    "WantedSeat": _no_other(_object(_DETAILS, license_type=_NAME, holder_kind=_KIND, holder=_NAME)),
    "Wanted": _no_other(_object(seats=_list_of(_ref("WantedSeat"), uniqueItems=True))),
    "Granted": _object(seat=_ref("Seat"), already_held=_TRUTH, source=_TEXT, **_COST),
    "Held": _object(seat=_ref("Seat"), counted_as={"type": "object"}, **_COST),
    "HeldSeats": _object(seats=_list_of(_ref("Held"))),
    "Returned": _object(seat=_ref("Seat"), held=_TRUTH, source=_TEXT),
    "Synced": _object(
        outcomes=_list_of({"oneOf": [_outcome("Granted", is_granted=True), _REFUSED]}),
        seats_returned=_COUNT,
        kept=_list_of(_REFUSED),
    ),
    "Refusal": _object(detail=_TEXT, reason=_REASON, seat=_ref("Seat"), **_REFUSAL),
    "Lease": _object(
        pbx=_TEXT,
        state=_STATE,
        why=_TEXT,
        epoch={"type": ["integer", "null"]},
        lease_end=_or_none(_TIME),
        remaining_seconds={"type": "number"},
        seats_held=_COUNT,
        loans=_list_of(_object(license_type=_TEXT, seats=_COUNT, end_time=_TIME, remaining_seconds={"type": "number"})),
        master=_TEXT,
        notices=_list_of(_object(kind=_TEXT, message=_TEXT)),
    ),
    "TakeoverRequest": _no_other(_object({"reason": {**_TEXT, "maxLength": 500}, "force": _TRUTH}, primary=_PBX)),
    "Takeover": _object(primary=_or_none(_TEXT), state=_or_none(_TEXT), seats_held=_COUNT),
    "Allowed": _object(allowed=_TRUTH),
    "Health": _object(status={"const": "ok"}, state=_STATE),
    "Problem": _object(
        {
            "reason": _REASON,
            "seat": _ref("Seat"),
            **_REFUSAL,
            "problems": _list_of(_object(message=_TEXT)),
            "place": _COUNT,
            "retry_at": _or_none(_TIME),
        },
        type=_TEXT,
        title=_TEXT,
        status={"type": "integer"},
        detail=_TEXT,
    ),
}


def _operation(summary: str, answer: Schema, *, problems: tuple[int, ...] = (), **more: Any) -> Schema:
    problem = {"description": "A problem", "content": {"application/problem+json": {"schema": _ref("Problem")}}}
    later = {**problem, "headers": {"Retry-After": {"required": True, "schema": _COUNT, "description": "Seconds"}}}
    answers = {str(code): later if code == 503 else problem for code in (401, 422, *problems)}
    return {"summary": summary, "responses": {"200": {"description": "Done", "content": answer}, **answers}, **more}


def _json(name: str) -> Schema:
    return {"application/json": {"schema": _ref(name)}}


def _parameter(name: str, schema: Schema, example: str, where: str = "path") -> Schema:
    return {"name": name, "in": where, "required": where == "path", "schema": schema, "example": example}


_IN_BODY: Final = (400, 408, 413, 415, 503)
_PATHS: Final[dict[str, Schema]] = {
    "/v1/seats/{license_type}/{holder_kind}/{holder}": {
        "parameters": [
            _parameter("license_type", _NAME, "port"),
            _parameter("holder_kind", _KIND, "user"),
            _parameter("holder", _NAME, "4711"),
        ],
        "put": _operation(
            "Acquire a seat",
            _json("Granted"),
            problems=(403, 409, *_IN_BODY),
            requestBody={"required": False, "content": _json("Details")},
        ),
        "delete": _operation("Return a seat", _json("Returned"), problems=(409, 503)),
        "get": _operation("Show a seat in use", _json("Held"), problems=(404,)),
    },
    "/v1/seats": {
        "get": _operation("List all seats in use", _json("HeldSeats")),
        "put": _operation(
            "Make the seats in use equal to the whole wanted set",
            _json("Synced"),
            problems=_IN_BODY,
            requestBody={"required": True, "content": _json("Wanted")},
        ),
    },
    "/v1/takeover": {
        "get": _operation("Show whose seats are carried", _json("Takeover")),
        "put": _operation(
            "Carry the seats of the PBX that this one is the standby of",
            _json("Takeover"),
            problems=(409, *_IN_BODY),
            requestBody={"required": True, "content": _json("TakeoverRequest")},
        ),
        "delete": _operation("Hand the carried seats back", _json("Takeover")),
    },
    "/v1/lease": {"get": _operation("Show how the agent stands with its master", _json("Lease"))},
    "/v1/calls/allowed": {
        "get": _operation(
            "Tell whether a call may be made or go on",
            _json("Allowed"),
            parameters=[
                _parameter("kind", _enum([kind.value for kind in CallKind]), "new", "query"),
                _parameter("holder", _TEXT, "4711", "query"),
                _parameter("license_type", _TEXT, "port", "query"),
            ],
        )
    },
    "/v1/events": {"get": _operation("Tell what happens", {"text/event-stream": {"schema": _EVENT}}, problems=(503,))},
    "/metrics": {"get": _operation("Figures for Prometheus", {"text/plain": {"schema": _TEXT}})},
    "/healthz": {"get": _operation("Say that the agent answers", _json("Health"))},
    "/openapi.json": {"get": _operation("This document", {"application/json": {"schema": {"type": "object"}}})},
}
DOCUMENT: Final[Schema] = {
    "openapi": "3.1.0",
    "info": {"title": "license-agent", "version": "1", "description": "What a PBX asks the agent beside it."},
    "paths": _PATHS,
    "components": {
        "schemas": _SCHEMAS,
        "securitySchemes": {
            "token": {"type": "http", "scheme": "bearer", "description": "Over `listen` only."},
            "password": {"type": "http", "scheme": "basic", "description": "The token as password, any name."},
        },
    },
    "security": [{}, {"token": []}, {"password": []}],
}
