"""AgreementService: what operators order, what a project may do over time, and what ends when."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from licensemaster.v1 import agreement_pb2 as api
from licensemaster.v1 import agreement_pb2_grpc
from master.domain.agreements.ledger.problems import AgreementRefusal
from master.domain.agreements.ordering.release_checks import check_license, check_upgrade
from master.domain.agreements.rights.endings import endings, reminders
from master.domain.agreements.rights.rights import right_of
from master.domain.agreements.rights.upgrade_gate import phone_firmware_gate
from master.domain.catalog.policies import SubjectKind
from master.domain.catalog.subjects import Subject
from master.rpc.admission.interceptors import caller_of_call
from master.rpc.context import Context
from master.rpc.convert import agreement_orders, agreements, incoming
from master.rpc.errors import InvalidArgumentError
from master.rpc.messages import text
from master.rpc.page_tokens import bad_token, place_of
from master.rpc.repeatable import Repeatable
from master.service.agreements.agreements import Agreements
from master.service.agreements.ordering import Placed
from master.service.estates.agreement_ledgers import Known

_DAYS_USUAL, _DAYS_MAX = 90, 36_600
_TOKEN_MAX = 255


class AgreementService(agreement_pb2_grpc.AgreementServiceServicer):
    def __init__(self, service: Agreements) -> None:
        self._agreements = service

    async def PlaceOrder(self, request: api.PlaceOrderRequest, context: Context) -> api.PlaceOrderResponse:
        def answered(answer: Placed | AgreementRefusal) -> api.PlaceOrderResponse:
            if isinstance(answer, AgreementRefusal):
                refused = agreements.refusal(answer, order=request.order.WhichOneof("order") or "")
                return api.PlaceOrderResponse(refused=refused)
            return api.PlaceOrderResponse(placed=agreements.placed(answer))

        repeatable = Repeatable(request, api.PlaceOrderResponse, answered)
        key = repeatable.key()
        return repeatable.response(
            await self._agreements.place(agreement_orders.place_order(request, key, caller_of_call.get()))
        )

    async def QuoteOrder(self, request: api.QuoteOrderRequest, context: Context) -> api.QuoteOrderResponse:
        project = incoming.project_name(request.project)
        order = agreement_orders.order(request.order)
        answer = await self._agreements.quote(project, order, agreement_orders.prices(request.prices))
        if isinstance(answer, AgreementRefusal):
            refused = agreements.refusal(answer, order=request.order.WhichOneof("order") or "")
            return api.QuoteOrderResponse(refused=refused)
        return api.QuoteOrderResponse(quote=agreements.quote(answer))

    async def ListAgreements(self, request: api.ListAgreementsRequest, context: Context) -> api.ListAgreementsResponse:
        kind = agreement_orders.subject_kind(request.kind)
        known = await self._known(request, request.day)
        return agreements.agreements(known, _page(request, known, kind))

    async def ListEntries(self, request: api.ListEntriesRequest, context: Context) -> api.ListEntriesResponse:
        size = incoming.page_size(request.page_size, default=100)
        after = place_of(request.page_token) or 0
        about = agreement_orders.subject("subject", request.subject) if request.HasField("subject") else None
        entries, state = await self._agreements.entries(
            incoming.project_name(request.project), after=after, limit=size + 1, subject=about, as_of=_as_of(request)
        )
        return api.ListEntriesResponse(
            entries=[agreements.entry(entry, reversed_=entry.number in state.reversed) for entry in entries[:size]],
            next_page_token=str(entries[size - 1].number) if len(entries) > size else "",
            balance=text(state.balance),
        )

    async def CheckUpgrade(self, request: api.CheckUpgradeRequest, context: Context) -> api.CheckUpgradeResponse:
        project, kind, name = agreement_orders.server(request.server)
        to_release = agreement_orders.release("to_release", request.to_release)
        from_release = agreement_orders.release("from_release", request.from_release) if request.from_release else None
        on = agreement_orders.optional_day("day", request.day)
        known = await self._agreements.known(project, day=on)
        if kind == "licenses":
            license_ = Subject.of(SubjectKind.LICENSE, name)
            return agreements.gate_answer(check_license(known.snapshot, license_, to_release, known.day))
        device = Subject.of(SubjectKind.DEVICE, known.device_of_pbx(name) if kind == "pbxs" else name)
        if request.phone_firmware:
            return agreements.gate_answer(phone_firmware_gate(known.snapshot, device, to_release))
        return agreements.gate_answer(
            check_upgrade(known.snapshot, device, from_release=from_release, to_release=to_release, day=known.day)
        )

    async def ListEndings(self, request: api.ListEndingsRequest, context: Context) -> api.ListEndingsResponse:
        days = request.days or _DAYS_USUAL
        if not 0 < days <= _DAYS_MAX:
            raise InvalidArgumentError("days", f"{days} must be between 1 and {_DAYS_MAX}")
        known = await self._known(request, request.from_day, "from_day")
        to_day = _later(known.day, days)
        ends = endings(known.snapshot, from_day=known.day, to_day=to_day)
        due = reminders(known.snapshot, known.day)
        return agreements.endings(known.snapshot, ends, due, from_day=known.day, to_day=to_day)

    async def GetRights(self, request: api.GetRightsRequest, context: Context) -> api.GetRightsResponse:
        known = await self._known(request, request.day)
        page = _page(request, known, "")
        return api.GetRightsResponse(
            rights=[agreements.right(right_of(known.snapshot, subject, known.day)) for subject in page.subjects],
            next_page_token=page.next_token,
            day=str(known.day),
            balance=text(known.snapshot.state.balance),
        )

    async def _known(self, request: Any, day: str, field: str = "day") -> Known:
        project = incoming.project_name(request.project)
        on = agreement_orders.optional_day(field, day)
        return await self._agreements.known(project, day=on, as_of=_as_of(request))


def _page(request: Any, known: Known, kind: str) -> agreements.Page:
    size = incoming.page_size(request.page_size, default=1000)
    token = request.page_token
    if len(token) > _TOKEN_MAX or (token and ("/" not in token or not token.isprintable())):
        raise bad_token()
    return agreements.page_of(known.snapshot, kind=kind, after=token, size=size)


def _as_of(request: Any) -> float | None:
    return incoming.moment("as_of", request.as_of) if request.HasField("as_of") else None


def _later(day: date, days: int) -> date:
    try:
        return day + timedelta(days=days)
    except OverflowError:
        return date.max
