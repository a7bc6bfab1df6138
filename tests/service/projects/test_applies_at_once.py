"""An apply that is sent twice at once, and judged when the other one is committed already."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from master.domain.estate.project import ProjectSpec
from master.rpc.convert.from_messages import value_from
from master.service.projects.apply import Applied, ApplyProject, apply_project
from master.service.runtime.request_answers import AnsweredBefore, RequestKey
from master.store.backends.database import Tx
from master.store.dry_runs.project_copies import SeatsOf
from master.store.dry_runs.rehearsals import Rehearsals
from tests.support.masters import InProcess
from tests.support.projects.estates import project

T = TypeVar("T")
_REQUEST = ApplyProject(
    spec=value_from(ProjectSpec, project({"PBX-Port12": 10})),
    caller="test",
    key=RequestKey(
        kind="ApplyProject", request_id="once", fingerprint="", encode=lambda applied: repr(applied).encode()
    ),
    dry_run=False,
)


async def _apply(master: InProcess, rehearsals: Rehearsals) -> Applied | AnsweredBefore:
    running = master.running
    return await apply_project(running.database, rehearsals, _REQUEST, running.estates, running.lease_time())


class _AfterTheOther(Rehearsals):
    """Comes to its turn when the same request was carried out."""

    def __init__(self, master: InProcess) -> None:
        super().__init__(master.running.database)
        self._master = master

    async def run(self, project: str, work: Callable[[Tx], T], *, seats_of: SeatsOf | None = None) -> T:
        self.other = await _apply(self._master, Rehearsals(self._master.running.database))
        return await super().run(project, work, seats_of=seats_of)


async def test_both_are_answered_alike(any_master: InProcess) -> None:
    rehearsals = _AfterTheOther(any_master)
    answer = await _apply(any_master, rehearsals)
    assert answer == AnsweredBefore(repr(rehearsals.other).encode())
