"""PlanService: what planned changes would lead to; changes nothing."""

from __future__ import annotations

from licensemaster.v1 import plan_pb2 as api
from licensemaster.v1 import plan_pb2_grpc
from master.rpc.context import Context
from master.rpc.convert import incoming, plans
from master.service.estates.service_context import ServiceContext
from master.service.projects.planning import plan_changes


class PlanService(plan_pb2_grpc.PlanServiceServicer):
    def __init__(self, service_context: ServiceContext) -> None:
        self._context = service_context

    async def PlanChanges(self, request: api.PlanChangesRequest, context: Context) -> api.PlanChangesResponse:
        project = incoming.project_name(request.project)
        return plans.response(await plan_changes(self._context, project, plans.changes(request.changes)))
