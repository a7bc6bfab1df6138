"""Deletes a project, or refuses with what blocks it.

Its audit stays, and ends with who deleted it and why; so does its agreement ledger. A project that is applied under the
name later carries both on, under epochs above all that were ever signed.
"""

from __future__ import annotations

from collections.abc import Sequence

from master.domain.estate.lease_time import LeaseTime
from master.domain.leases.project_removal import in_the_way
from master.service.estates.estate_cache import EstateCache, read_estate
from master.service.runtime.names import UnknownProjectError
from master.service.runtime.request_answers import AnsweredBefore, ChangeRequest, answered_before, keep_answer
from master.store.backends.database import Tx, json_text
from master.store.statements import queries, webhooks
from master.store.statements.agreements import last_number
from master.store.statements.events import stored_chain, write_events
from master.store.statements.projects.project_removal import delete_project
from master.store.statements.projects.projects import device_names, lock_for_apply
from master.values import Value

_DELETED = "project.deleted"


class Deleted(Value, kw_only=True):
    """What was deleted with a project, and what is kept."""

    pbxs: int
    devices: int
    licenses: int
    webhooks: int
    ledger_entries: int
    """The entries of the project's agreement ledger; they are kept."""
    events: int
    """The events of the project's audit, the last one included; they are kept."""


class DeleteProject(ChangeRequest[Deleted], kw_only=True):
    name: str


class ProjectInUseError(Exception):
    """The project is in use, by what the error names; nothing was changed."""

    def __init__(self, project: str, obstacles: Sequence[tuple[str, str]]) -> None:
        super().__init__(
            f"{project} cannot be deleted while anything of it is leased or bound ({len(obstacles)} found)"
        )
        self.obstacles = tuple(obstacles)


def remove_project(tx: Tx, request: DeleteProject, estates: EstateCache, time: LeaseTime) -> Deleted | AnsweredBefore:
    """Delete a project in the given transaction.

    Raises:
        UnknownProjectError: there is no such project.
        ProjectInUseError: something of it is leased or bound.
        RequestIdTakenError: the request id was used for something else.
    """
    lock_for_apply(tx, request.name)
    chain = stored_chain(tx, request.name)
    if chain is None:
        raise UnknownProjectError(request.name)
    if (before := answered_before(tx, chain.project_id, request.key)) is not None:
        return before
    estate = read_estate(tx, estates, request.name)
    leases, counted = queries.leases_of_project(tx, estate.project_id), queries.counted_by_pbx(tx, estate.project_id)
    if obstacles := list(in_the_way(estate, leases, counted, time)):
        raise ProjectInUseError(request.name, obstacles)
    deleted = Deleted(
        pbxs=len(estate.pbxs),
        devices=len(device_names(tx, estate.project_id)),
        licenses=len(estate.licenses),
        webhooks=len(webhooks.webhooks(tx, estate.project_id)),
        ledger_entries=last_number(tx, estate.project_id),
        events=chain.last_seq + 1,
    )
    delete_project(tx, estate.project_id, now=time.now)
    details = json_text(deleted)
    keep_answer(tx, estate.project_id, request.key, deleted, now=time.now)
    write_events(tx, [request.event(_DELETED, estate.project_id, details, now=time.now)])
    return deleted
