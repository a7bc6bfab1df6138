"""Reads the audit: walks a project's chain to verify it, and hands it out to be kept elsewhere.

Everything is read in pieces, each in a transaction of its own: a chain only ever grows, so what was read stays true,
and no transaction stays open for long. Where a chain ends is read first; what is written meanwhile comes behind it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

from master.domain.audit.chain import ChainEnd, ChainWalk, Defect, DefectKind, Record, genesis
from master.service.runtime.names import UnknownProjectError
from master.store.backends.database import Transactions, Tx
from master.store.statements.events import StoredChain, hash_of_event, read_records, stored_chain
from master.store.statements.projects.projects import names_with_audit
from master.values import Value

_EVENTS_MAX = 500
_DETAILS_LENGTH_MAX = 1_000_000
_BEFORE_ALL = -(2**63)


class NoSuchEventError(Exception):
    """An export cannot begin at the number asked for; the text says where the chain ends."""


class AuditBrokenError(Exception):
    """A chain cannot be exported, because a part that the export needs is gone from the database."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is missing from the database; `license-master audit verify` tells more")


class Verified(Value):
    """What verifying a chain found."""

    project: str
    events: int
    """The number of events that were found right, from the first event on."""
    end: ChainEnd
    """The end of the chain as the database keeps it; the genesis where the database keeps none."""
    defect: Defect | None


class Export(Value):
    """A part of a chain, or all of it, as it stood at one moment."""

    start: ChainEnd
    """The point in the chain that the first event follows."""
    end: ChainEnd
    pieces: AsyncIterator[list[Record]]


class Audit:
    """Verifies and exports the audit chains of a database."""

    def __init__(self, database: Transactions) -> None:
        self._database = database

    async def verify_all(self) -> list[Verified]:
        """Verify every project's chain, deleted projects included."""
        names = await self._database.read(names_with_audit)
        return [await self.verify(name) for name in names]

    async def verify(self, project: str) -> Verified:
        """Verify a project's chain to its end, or to the first defect.
        Raises UnknownProjectError if there is no such project."""
        stored = await self._database.read(lambda tx: _chain(tx, project))
        beginning = genesis(project)
        walk = ChainWalk(project, beginning)
        # from before the first one on, for nobody can have written an event with the number 0
        async for piece in self._pieces(stored, after=_BEFORE_ALL, up_to=stored.last_seq):
            for record in piece:
                walk.follow(record)
        if stored.end is not None:
            defect = walk.finish(stored.end)
        else:  # every project has one, from the change that made it on
            gone = Defect(DefectKind.END_ALTERED, walk.end.seq, "the end of the chain is missing from audit_head")
            defect = walk.unfinished() or gone
        return Verified(project, walk.checked, stored.end or beginning, defect)

    async def export(self, project: str, *, since_seq: int) -> Export:
        """Return a project's events after a given number, up to where the chain ends now.

        Raises:
            UnknownProjectError: there is no such project.
            NoSuchEventError: the chain ends before that number.
            AuditBrokenError: the end of the chain, or the event before the first one, is gone.
        """
        stored, start = await self._database.read(lambda tx: _start(tx, project, since_seq))
        assert stored.end is not None
        pieces = self._pieces(stored, after=start.seq, up_to=stored.end.seq)
        return Export(start, stored.end, pieces)

    async def _pieces(self, stored: StoredChain, *, after: int, up_to: int) -> AsyncIterator[list[Record]]:
        read = partial(
            read_records,
            project_id=stored.project_id,
            up_to=up_to,
            events_max=_EVENTS_MAX,
            details_length_max=_DETAILS_LENGTH_MAX,
        )
        while True:
            piece = await self._database.read(partial(read, after=after))
            if not piece:
                return
            yield piece
            after = piece[-1].seq


def _chain(tx: Tx, project: str) -> StoredChain:
    stored = stored_chain(tx, project)
    if stored is None:
        raise UnknownProjectError(project)
    return stored


def _start(tx: Tx, project: str, since_seq: int) -> tuple[StoredChain, ChainEnd]:
    stored = _chain(tx, project)
    if stored.end is None:
        raise AuditBrokenError(f"the end of the chain of project {project}")
    before = max(since_seq, 1) - 1
    if before > stored.end.seq:
        raise NoSuchEventError(f"{since_seq} is behind the end: the last event is {stored.end.seq}")
    if before == 0:
        return stored, genesis(project)
    hash_before = stored.end.hash if before == stored.end.seq else hash_of_event(tx, stored.project_id, before)
    if hash_before is None:
        raise AuditBrokenError(f"event {before} of project {project}")
    return stored, ChainEnd(before, hash_before)
