"""What the local API offers: one function for each method and path; `license_agent.http.openapi` describes them."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from license_agent.agent import Agent
from license_agent.http.event_stream import event_stream
from license_agent.http.openapi import DOCUMENT
from license_agent.http.problems import ProblemError, json_response, refusal
from license_agent.http.requests import (
    BodyLimits,
    details_of_body,
    key_of_path,
    malformed,
    seat_of_path,
    seats_of_body,
    takeover_of_body,
)
from license_agent.settings import AgentSettings
from license_agent.views import Json, as_json, grant_view, held_view, synced_view
from slave_client import CallKind, Refused, TakeoverError

AGENT: Final = web.AppKey("agent", Agent)
SETTINGS: Final = web.AppKey("settings", AgentSettings)
LIMITS: Final = web.AppKey("limits", BodyLimits)
METRICS: Final = web.AppKey("metrics", CollectorRegistry)
_SEAT: Final = "/v1/seats/{license_type:[^/]+}/{holder_kind:[^/]+}/{holder:[^/]+}"  # a name may hold braces

routes = web.RouteTableDef()


@routes.put(_SEAT)
async def acquire_seat(request: web.Request) -> web.Response:
    """Acquire a seat, or wait for it; safe to repeat. A refusal is a problem."""
    details, wait = await details_of_body(request, _limits(request))
    outcome = await request.app[AGENT].acquire(seat_of_path(request, details), wait=wait)
    if isinstance(outcome, Refused):
        raise refusal(outcome)
    return json_response(grant_view(outcome))


@routes.delete(_SEAT)
async def return_seat(request: web.Request) -> web.Response:
    """Return a seat; safe to repeat."""
    outcome = await request.app[AGENT].give_back(seat_of_path(request))
    if isinstance(outcome, Refused):
        raise refusal(outcome)
    return json_response(as_json(outcome))


@routes.get(_SEAT, allow_head=False)
async def show_seat(request: web.Request) -> web.Response:
    """Show a seat in use; of one that is waited for, its place."""
    key = key_of_path(request)
    held = request.app[AGENT].held_seat(key)
    if held is None:
        if place := request.app[AGENT].place_of(key):
            raise ProblemError(404, "waiting", f"{key.holder} waits for a seat of {key.license_type}", place=place)
        raise ProblemError(404, "not_held", f"{key.holder} uses no seat of {key.license_type}")
    return json_response(held_view(held))


@routes.get("/v1/seats", allow_head=False)
async def list_seats(request: web.Request) -> web.Response:
    """List all seats in use."""
    return json_response({"seats": [held_view(held) for held in request.app[AGENT].held]})


@routes.put("/v1/seats")
async def sync_seats(request: web.Request) -> web.Response:
    """Make the seats in use equal to the whole wanted set."""
    wants = await seats_of_body(request, _limits(request))
    try:
        synced = await request.app[AGENT].sync(wants)
    except ValueError as error:
        raise malformed(str(error)) from None
    return await asyncio.to_thread(lambda: json_response(synced_view(synced)))  # others are answered meanwhile


@routes.get("/v1/lease", allow_head=False)
async def show_lease(request: web.Request) -> web.Response:
    """Show the state of the PBX's lease."""
    client = request.app[AGENT].client
    told = as_json(client.report())
    assert isinstance(told, dict)
    return json_response({"pbx": client.config.pbx, **told})


@routes.get("/v1/calls/allowed", allow_head=False)
async def call_allowed(request: web.Request) -> web.Response:
    """Tell whether a call may be made or go on. Emergency and running calls always may."""
    query = request.query
    try:
        kind = CallKind(query.get("kind", CallKind.NEW.value))
    except ValueError:
        known = ", ".join(each.value for each in CallKind)
        raise malformed(f"kind: {query['kind'][:80]!r} is none of {known}") from None
    allowed = request.app[AGENT].call_allowed(kind, query.get("holder", ""), query.get("license_type", ""))
    return json_response({"allowed": allowed})


@routes.put("/v1/takeover")
async def take_over(request: web.Request) -> web.Response:
    """Carry the seats of the PBX that this one is the standby of; safe to repeat."""
    wanted = await takeover_of_body(request, _limits(request))
    try:
        await request.app[AGENT].takeover.begin(wanted)
    except TakeoverError as error:
        retry_at = error.retry_at and error.retry_at.isoformat()
        raise ProblemError(
            409, "not_taken_over", str(error), problems=as_json(error.problems), retry_at=retry_at
        ) from None
    except ValueError as error:
        raise malformed(str(error)) from None
    return json_response(_takeover_view(request.app[AGENT]))


@routes.delete("/v1/takeover")
async def hand_back(request: web.Request) -> web.Response:
    """End the takeover; safe to repeat."""
    await request.app[AGENT].takeover.end()
    return json_response(_takeover_view(request.app[AGENT]))


@routes.get("/v1/takeover", allow_head=False)
async def show_takeover(request: web.Request) -> web.Response:
    """Show the PBX whose seats are carried, if any."""
    return json_response(_takeover_view(request.app[AGENT]))


@routes.get("/healthz", allow_head=False)
async def health(request: web.Request) -> web.Response:
    """Say that the agent answers; /v1/lease tells the state of its lease."""
    return json_response({"status": "ok", "state": request.app[AGENT].client.state.value})


@routes.get("/v1/events", allow_head=False)
async def read_events(request: web.Request) -> web.StreamResponse:
    """Send events as they happen: seats, states, notices."""
    return await event_stream(request, request.app[AGENT], readers_max=request.app[SETTINGS].readers_max)


@routes.get("/metrics", allow_head=False)
async def metrics(request: web.Request) -> web.Response:
    """Show the figures for Prometheus."""
    return web.Response(body=generate_latest(request.app[METRICS]), headers={"Content-Type": CONTENT_TYPE_LATEST})


@routes.get("/openapi.json", allow_head=False)
async def document(request: web.Request) -> web.Response:
    """Show the description of this API, as OpenAPI 3.1."""
    return json_response(DOCUMENT)


def _limits(request: web.Request) -> BodyLimits:
    return request.app[LIMITS]


def _takeover_view(agent: Agent) -> Json:
    carrying = agent.takeover.client
    if carrying is None:
        return {"primary": None, "state": None, "seats_held": 0}
    return {"primary": carrying.config.pbx, "state": carrying.state.value, "seats_held": len(carrying.held)}
