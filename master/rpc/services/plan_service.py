"""PlanService: what would happen if; changes nothing."""

from __future__ import annotations

from licensemaster.v1 import plan_pb2 as api
from licensemaster.v1 import plan_pb2_grpc
from master.rpc.context import Context
from master.rpc.convert import incoming, plans
from master.service.projects.projects import Projects


class PlanService(plan_pb2_grpc.PlanServiceServicer):
    def __init__(self, projects: Projects) -> None:
        self._projects = projects

    async def PlanChanges(self, request: api.PlanChangesRequest, context: Context) -> api.PlanChangesResponse:
        project = incoming.project_name(request.project)
        plan = await self._projects.plan_changes(project, plans.changes(request.changes))
        return plans.response(plan)
