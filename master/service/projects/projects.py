"""Projects as services see them: applied, deleted, read, and planned with."""

from __future__ import annotations

from contextlib import suppress

import structlog

from master.domain.allocation.policies import Allocation
from master.domain.estate.lease_time import LeaseTime
from master.service.estates.estate_cache import EstateCache
from master.service.estates.service_context import ServiceContext
from master.service.projects.allocation import AllocationApplied, ApplyAllocation, apply_allocation
from master.service.projects.apply import Applied, ApplyProject, apply_project
from master.service.projects.removal import Deleted, DeleteProject, remove_project
from master.service.runtime.names import UnknownProjectError
from master.service.runtime.request_answers import AnsweredBefore
from master.store.backends.database import Tx
from master.store.backends.problems import StorageError
from master.store.dry_runs.rehearsals import of_no_pbx
from master.store.statements.projects import projects

_log = structlog.get_logger(__name__)


class Projects:
    """Applies, plans, lists and deletes projects."""

    def __init__(self, context: ServiceContext) -> None:
        self._context = context

    async def apply_project(self, request: ApplyProject) -> Applied | AnsweredBefore:
        """Apply a project; a dry run returns what would change.
        Raises ProjectInvalidError if the project is wrong, or would take away what is in use."""
        with self._context.hub.telling_of_what_was_left():
            applied = await apply_project(
                self._context.questions,
                self._context.rehearsals,
                request,
                self._context.estates,
                self._context.lease_time(),
            )
        if isinstance(applied, Applied) and applied.changes and not request.dry_run:
            await self._tell_of(request.spec.name)
            for warning in applied.warnings:
                _log.warning("project", project=request.spec.name, warning=warning)
        return applied

    async def apply_allocation(self, request: ApplyAllocation) -> AllocationApplied | AnsweredBefore:
        """Apply an allocation; a dry run returns what would change.

        Raises:
            UnknownProjectError: there is no such project.
            AllocationInvalidError: the allocation cannot be kept.
            AllocationChangedError: somebody else changed the project first.
        """
        applied = await apply_allocation(self._context, request)
        if isinstance(applied, AllocationApplied) and applied.changes and not request.dry_run:
            await self._tell_of(request.project)
        return applied

    async def get_allocation(self, project: str, license_type: str) -> tuple[Allocation, int, str]:
        """Return an allocation as it was last applied, the project's revision, and a license type by its catalog key.
        Raises UnknownProjectError if there is no such project."""
        return await self._context.read_project(
            project, lambda _, estate: (estate.allocation, estate.revision, estate.catalog.key_of(license_type))
        )

    async def _tell_of(self, project: str) -> None:
        """Notify PBXs of a changed project. The project is read before they ask: for ten thousand sites reading takes a
        while, and the writer's first batch would have all others wait.
        """
        try:
            with suppress(StorageError, UnknownProjectError):  # what was applied is applied
                await self._context.read_project(project, lambda _, estate: estate.installations)
        finally:  # whoever applied it may have gone
            self._context.hub.wake_all()

    async def delete_project(self, request: DeleteProject) -> Deleted | AnsweredBefore:
        """Delete a project; a dry run returns what would be deleted.
        Raises UnknownProjectError if there is no such project, ProjectInUseError if something of it is leased or bound.
        """

        def work(tx: Tx, estates: EstateCache, time: LeaseTime) -> Deleted | AnsweredBefore:
            return remove_project(tx, request, estates, time)

        if request.dry_run:
            return await self._context.rehearse(request.name, work, seats_of=of_no_pbx)
        deleted = await self._context.change(work)
        if isinstance(deleted, Deleted):
            self._context.hub.wake_all()
            _log.warning("project deleted", project=request.name, reason=request.reason)
        return deleted

    async def get_project(self, name: str) -> projects.StoredProject:
        """Return a project as it was last applied. Raises UnknownProjectError if there is no such project."""
        stored = await self._context.questions.read(
            lambda tx: projects.load_project(tx, name, self._context.estates.catalogs)
        )
        if stored is None:
            raise UnknownProjectError(name)
        return stored

    async def list_projects(self, *, after: str, limit: int, only: str | None) -> list[str]:
        """Return project names, sorted; `only` names the one project that a confined caller may see."""
        return await self._context.questions.read(
            lambda tx: projects.project_names(tx, after=after, limit=limit, only=only)
        )
