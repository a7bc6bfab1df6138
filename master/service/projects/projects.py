"""Projects as services see them: applied, deleted, read, and planned with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

import structlog

from master.domain.estate.lease_time import LeaseTime
from master.domain.planning.changes import PlannedChange
from master.domain.planning.plan import Plan
from master.service.estates.estate_cache import EstateCache, read_estate
from master.service.projects.apply import Applied, ApplyProject, apply_project
from master.service.projects.planning import plan_changes
from master.service.projects.removal import Deleted, DeleteProject, remove_project
from master.service.runtime.names import UnknownProjectError
from master.service.runtime.questions import Questions
from master.service.runtime.request_answers import AnsweredBefore
from master.service.runtime.watch import WatchHub
from master.store.backends.problems import StorageError
from master.store.backends.rehearsal import Rehearsals, of_no_pbx
from master.store.statements.projects import projects

_log = structlog.get_logger(__name__)


class Projects:
    """Applies, plans, lists and deletes projects."""

    def __init__(
        self,
        *,
        questions: Questions,
        rehearsals: Rehearsals,
        estates: EstateCache,
        hub: WatchHub,
        lease_time: Callable[[], LeaseTime],
    ) -> None:
        self._questions = questions
        self._rehearsals = rehearsals
        self._estates = estates
        self._hub = hub
        self._lease_time = lease_time

    async def apply_project(self, request: ApplyProject) -> Applied | AnsweredBefore:
        """Apply a project; a dry run returns what would change.

        Raises:
            ProjectInvalidError: it is wrong, or would take away what is in use.
        """
        applied = await apply_project(self._questions, self._rehearsals, request, self._estates, self._lease_time())
        if isinstance(applied, Applied) and applied.changes and not request.dry_run:
            await self._read_estate(request.spec.name)
            self._hub.wake_all()
            for warning in applied.warnings:
                _log.warning("project", project=request.spec.name, warning=warning)
        return applied

    async def _read_estate(self, project: str) -> None:
        """Read a changed project before its PBXs ask: of ten thousand sites that takes a while, and the writer's first
        batch would have all others wait for it.
        """
        with suppress(StorageError, UnknownProjectError):  # what was applied is applied
            await self._questions.read(lambda tx: read_estate(tx, self._estates, project).installations)

    async def delete_project(self, request: DeleteProject) -> Deleted | AnsweredBefore:
        """Delete a project; a dry run returns what would be deleted.

        Raises:
            reading.UnknownProjectError: there is none.
            ProjectInUseError: something of it is leased or bound.
        """
        time = self._lease_time()
        if request.dry_run:
            estates = self._estates.apart()
            return await self._rehearsals.run(
                request.name, lambda tx: remove_project(tx, request, estates, time), seats_of=of_no_pbx
            )
        deleted = await self._questions.transact(lambda tx: remove_project(tx, request, self._estates, time))
        if isinstance(deleted, Deleted):
            self._hub.wake_all()
            _log.warning("project deleted", project=request.name, reason=request.reason)
        return deleted

    async def get_project(self, name: str) -> projects.StoredProject:
        """Return a project as it was last applied.

        Raises:
            reading.UnknownProjectError: there is none.
        """
        stored = await self._questions.read(lambda tx: projects.load_project(tx, name, self._estates.catalogs))
        if stored is None:
            raise UnknownProjectError(name)
        return stored

    async def list_projects(self, *, after: str, limit: int, only: str | None = None) -> list[str]:
        """Project names, sorted; `only` for somebody who may know of one."""
        return await self._questions.read(lambda tx: projects.project_names(tx, after=after, limit=limit, only=only))

    async def plan_changes(self, project: str, changes: Sequence[PlannedChange]) -> Plan:
        """Return what would happen if changes were made, one after the other.

        Raises:
            reading.UnknownProjectError: there is no such project.
            PlanInvalidError: a change is wrong in itself.
        """
        return await plan_changes(self._questions, self._estates, project, changes, self._lease_time())
