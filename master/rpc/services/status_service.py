"""StatusService: what people and dashboards ask; changes nothing."""

from __future__ import annotations

import json

from licensemaster.v1 import status_pb2 as api
from licensemaster.v1 import status_pb2_grpc
from licensemaster.values import is_shown
from licensemaster.values.bounded import TextLimits, read_json
from master.rpc.admission.large_requests import Aside
from master.rpc.context import Context
from master.rpc.convert import incoming, outgoing, refusals, seats_asked
from master.rpc.page_tokens import bad_token, place_of
from master.service.leases.status import SeatQuery, Status
from master.store.statements.queries import EventFilter, SeatPlace


class StatusService(status_pb2_grpc.StatusServiceServicer):
    def __init__(self, status: Status, *, master_version: str, seats_per_call_max: int, aside: Aside) -> None:
        self._status = status
        self._master_version = master_version
        self._seats_max = seats_per_call_max
        self._aside = aside

    async def GetStatus(self, request: api.GetStatusRequest, context: Context) -> api.GetStatusResponse:
        overview = await self._status.overview(incoming.project_name(request.project))
        return outgoing.status_response(overview, master_version=self._master_version)

    async def ListSeats(self, request: api.ListSeatsRequest, context: Context) -> api.ListSeatsResponse:
        size = incoming.page_size(request.page_size, default=100)
        query = SeatQuery(
            project=incoming.project_name(request.project),
            pbx=incoming.optional_text("pbx", request.pbx),
            site=incoming.optional_text("site", request.site),
            license_type=incoming.optional_text("license_type", request.license_type),
            holder=incoming.optional_text("holder", request.holder),
        )
        estate, seats = await self._status.list_seats(query, after=_seat_place(request.page_token), limit=size)
        last = seats[-1] if len(seats) == size else None
        return await self._aside.run(
            len(seats),
            lambda: api.ListSeatsResponse(
                seats=[outgoing.held_seat(estate, seat) for seat in seats],
                next_page_token=json.dumps([last.pbx_id, last.holder, last.type, int(last.kind)]) if last else "",
            ),
        )

    async def ListLeases(self, request: api.ListLeasesRequest, context: Context) -> api.ListLeasesResponse:
        size = incoming.page_size(request.page_size, default=100)
        project = incoming.project_name(request.project)
        after = incoming.optional_text("page_token", request.page_token)
        views = await self._status.list_leases(project, after=after, limit=size)
        wanted = [view for view in views if not request.state or outgoing.lease_state(view.state) == request.state]
        return await self._aside.run(
            len(wanted),
            lambda: api.ListLeasesResponse(
                leases=[outgoing.lease_status(project, view) for view in wanted],
                next_page_token=views[-1].pbx.name if len(views) == size else "",
            ),
        )

    async def ExplainSeats(self, request: api.ExplainSeatsRequest, context: Context) -> api.ExplainSeatsResponse:
        name = incoming.pbx_name(request.pbx)
        software = incoming.software("software_version", request.software_version) if request.software_version else None
        count = len(request.seats)
        asked = await self._aside.run(count, lambda: seats_asked.wants(request.seats, most=self._seats_max))
        explained = await self._status.explain(name, asked.items, software)
        return await self._aside.run(
            count,
            lambda: api.ExplainSeatsResponse(
                results=refusals.seat_results(asked.in_order(explained.outcomes), named=refusals.NAMED_TO_EXPLAIN),
                lease=outgoing.lease_status(name.project, explained.lease),
                reasoning=explained.reasoning,
            ),
        )

    async def ListEvents(self, request: api.ListEventsRequest, context: Context) -> api.ListEventsResponse:
        size = incoming.page_size(request.page_size, default=100)
        project = incoming.project_name(request.project)
        event_filter = EventFilter(
            pbx=incoming.optional_text("pbx", request.pbx),
            kind=incoming.optional_text("kind", request.kind),
            license_id=incoming.optional_text("license", request.license),
            caller=incoming.optional_text("caller", request.caller),
            since=incoming.moment("since_time", request.since_time) if request.HasField("since_time") else 0,
        )
        before = place_of(request.page_token)
        events = await self._status.list_events(project, event_filter, before=before, limit=size)
        return await self._aside.run(
            len(events),
            lambda: api.ListEventsResponse(
                events=[outgoing.event_message(project, event) for event in events],
                next_page_token=str(events[-1].seq) if len(events) == size else "",
            ),
        )


_TOKEN = TextLimits(size=4000, depth=1, items=4)
_INT4_MAX = 2**31 - 1


def _seat_place(token: str) -> SeatPlace | None:
    """Read a page token as the place of the last seat of the page before; refuse text that cannot be such a token."""
    if not token:
        return None
    try:
        place = read_json(token, _TOKEN)
    except ValueError as error:
        raise bad_token() from error
    match place:
        case [int(pbx_id), str(holder), str(license_type), int(kind)] if (
            0 <= pbx_id <= _INT4_MAX and 0 <= kind <= _INT4_MAX and is_shown(holder + license_type)
        ):
            return pbx_id, holder, license_type, kind
    raise bad_token()
