"""AllocationService: what operators call to divide pools between sites, and to see who waits for them."""

from __future__ import annotations

from functools import partial

from licensemaster.v1 import allocation_pb2 as api
from licensemaster.v1 import allocation_pb2_grpc
from master.domain.allocation.policies import Allocation
from master.rpc.admission.interceptors import caller_of_call
from master.rpc.context import Context
from master.rpc.convert import incoming, outgoing
from master.rpc.convert.from_messages import value_from
from master.rpc.messages import message
from master.rpc.repeatable import Repeatable
from master.service.batch.requests import DropWaiting
from master.service.leases.committer import Committer
from master.service.leases.leases import Leases
from master.service.projects.allocation import ApplyAllocation
from master.service.projects.projects import Projects


class AllocationService(allocation_pb2_grpc.AllocationServiceServicer):
    def __init__(self, projects: Projects, leases: Leases, committer: Committer) -> None:
        self._projects = projects
        self._leases = leases
        self._committer = committer

    async def ApplyAllocation(
        self, request: api.ApplyAllocationRequest, context: Context
    ) -> api.ApplyAllocationResponse:
        repeatable = Repeatable(request, api.ApplyAllocationResponse, partial(message, api.ApplyAllocationResponse))
        applied = await self._projects.apply_allocation(
            ApplyAllocation(
                project=incoming.project_name(request.project),
                allocation=value_from(Allocation, request.allocation),
                expected_revision=incoming.whole_number("expected_revision", request.expected_revision),
                caller=caller_of_call.get(),
                reason=incoming.reason(request.reason),
                key=repeatable.key(),
                dry_run=request.dry_run,
            )
        )
        return repeatable.response(applied)

    async def GetAllocation(self, request: api.GetAllocationRequest, context: Context) -> api.GetAllocationResponse:
        license_type = incoming.optional_text("license_type", request.license_type)
        stored, revision, key = await self._projects.get_allocation(
            incoming.project_name(request.project), license_type
        )
        return api.GetAllocationResponse(
            allocation=message(api.Allocation, stored), revision=revision, license_type=key
        )

    async def ListWaiting(self, request: api.ListWaitingRequest, context: Context) -> api.ListWaitingResponse:
        project = incoming.project_name(request.project)
        license_type = incoming.optional_text("license_type", request.license_type)
        listed = await self._leases.list_waiting(project, license_type)
        return api.ListWaitingResponse(
            waiting=[outgoing.waiting_message(project, waiting) for waiting in listed.waiting], total=listed.total
        )

    async def DropWaiting(self, request: api.DropWaitingRequest, context: Context) -> api.DropWaitingResponse:
        repeatable = Repeatable(request, api.DropWaitingResponse, partial(message, api.DropWaitingResponse))
        dropped = await self._committer.submit(
            DropWaiting(
                pbx=incoming.pbx_name(request.pbx),
                caller=caller_of_call.get(),
                license_type=incoming.optional_text("license_type", request.license_type),
                reason=incoming.given_reason(request.reason),
                key=repeatable.key(),
            )
        )
        return repeatable.response(dropped)
