"""ProjectService: what operators call to describe an estate."""

from __future__ import annotations

from functools import partial

from licensemaster.v1 import project_pb2 as api
from licensemaster.v1 import project_pb2_grpc
from master.domain.estate.project import ProjectSpec
from master.rpc.admission.authorizer import identity_of_call
from master.rpc.admission.interceptors import caller_of_call
from master.rpc.admission.large_requests import Aside
from master.rpc.context import Context
from master.rpc.convert import incoming, outgoing
from master.rpc.convert.from_messages import value_from
from master.rpc.errors import InvalidArgumentError
from master.rpc.messages import message, timestamp
from master.rpc.repeatable import Repeatable
from master.service.leases.learning import Learnings
from master.service.projects.apply import ApplyProject
from master.service.projects.projects import Projects
from master.service.projects.removal import DeleteProject


class ProjectService(project_pb2_grpc.ProjectServiceServicer):
    def __init__(self, projects: Projects, learnings: Learnings, *, aside: Aside) -> None:
        self._projects = projects
        self._learnings = learnings
        self._aside = aside

    async def ApplyProject(self, request: api.ApplyProjectRequest, context: Context) -> api.ApplyProjectResponse:
        given = request.project
        count = len(given.sites) + len(given.devices) + len(given.pbxs) + len(given.licenses)
        spec = await self._aside.run(count, lambda: value_from(ProjectSpec, given))
        repeatable = Repeatable(request, api.ApplyProjectResponse, partial(message, api.ApplyProjectResponse))
        applied = await self._projects.apply_project(
            ApplyProject(
                spec=spec,
                caller=caller_of_call.get(),
                key=repeatable.key(),
                dry_run=request.dry_run,
                reason=incoming.reason(request.reason),
            )
        )
        return await self._aside.run(count, lambda: repeatable.response(applied))

    async def DeleteProject(self, request: api.DeleteProjectRequest, context: Context) -> api.DeleteProjectResponse:
        repeatable = Repeatable(request, api.DeleteProjectResponse, partial(message, api.DeleteProjectResponse))
        deleted = await self._projects.delete_project(
            DeleteProject(
                name=incoming.project_name(request.name, "name"),
                caller=caller_of_call.get(),
                reason=incoming.given_reason(request.reason),
                key=repeatable.key(),
                dry_run=request.dry_run,
            )
        )
        return repeatable.response(deleted)

    async def GetProject(self, request: api.GetProjectRequest, context: Context) -> api.GetProjectResponse:
        stored = await self._projects.get_project(incoming.project_name(request.name, "name"))
        return api.GetProjectResponse(
            project=outgoing.project_message(stored.spec),
            revision=stored.revision,
            apply_time=timestamp(stored.applied_at),
        )

    async def ListProjects(self, request: api.ListProjectsRequest, context: Context) -> api.ListProjectsResponse:
        size = incoming.page_size(request.page_size, default=50)
        after = incoming.optional_text("page_token", request.page_token)
        identity = identity_of_call.get()
        only = identity.project if identity is not None else None
        names = await self._projects.list_projects(after=after, limit=size, only=only)
        return api.ListProjectsResponse(
            names=[f"projects/{name}" for name in names], next_page_token=names[-1] if len(names) == size else ""
        )

    async def EndLearning(self, request: api.EndLearningRequest, context: Context) -> api.EndLearningResponse:
        project = incoming.project_name(request.project)
        reason = incoming.reason(request.reason)
        if not reason:
            raise InvalidArgumentError("reason", "must say why seats may be lent twice; the audit keeps it")
        repeatable = Repeatable(request, api.EndLearningResponse, partial(message, api.EndLearningResponse))
        ended = await self._learnings.end(project, reason=reason, key=repeatable.key(), caller=caller_of_call.get())
        return repeatable.response(ended)
