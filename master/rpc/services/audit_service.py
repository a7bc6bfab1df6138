"""AuditService: the audit's hash chain, verified by the master itself or exported with the master's signature."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from licensemaster.v1 import audit_pb2 as api
from licensemaster.v1 import audit_pb2_grpc
from master.domain.audit.chain import ChainEnd
from master.domain.audit.export import Checkpoint
from master.rpc.context import Context
from master.rpc.convert import incoming, outgoing
from master.rpc.messages import message
from master.service.monitoring.audit import Audit
from master.signing import Signer
from master.values import replace


class AuditService(audit_pb2_grpc.AuditServiceServicer):
    def __init__(self, audit: Audit, *, signer: Signer, clock: Callable[[], float]) -> None:
        self._audit = audit
        self._signer = signer
        self._clock = clock

    async def ExportEvents(
        self, request: api.ExportEventsRequest, context: Context
    ) -> AsyncIterator[api.ExportEventsResponse]:
        project = incoming.project_name(request.project)
        export = await self._audit.export(project, since_seq=incoming.whole_number("since_seq", request.since_seq))
        yield api.ExportEventsResponse(header=outgoing.audit_header(project, export))
        async for piece in export.pieces:
            events = [outgoing.event_message(project, record) for record in piece]
            yield api.ExportEventsResponse(events=api.AuditEvents(events=events))
        yield api.ExportEventsResponse(checkpoint=outgoing.audit_checkpoint(self._signed(project, export.end)))

    async def VerifyAudit(self, request: api.VerifyAuditRequest, context: Context) -> api.VerifyAuditResponse:
        verified = await self._audit.verify(incoming.project_name(request.project))
        return message(api.VerifyAuditResponse, verified)

    def _signed(self, project: str, end: ChainEnd) -> Checkpoint:
        unsigned = Checkpoint(project, *end, round(self._clock() * 1_000_000), self._signer.public_key)
        return replace(unsigned, signature=self._signer.sign_checkpoint(unsigned.payload))
