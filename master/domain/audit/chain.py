"""The audit as a hash chain: what an event's hash covers, and whether events are still those that were written.

Every event's hash covers the hash before it, so no event can be altered, removed, inserted or moved without a trace as
long as the end of the chain is known. Where the end is known from is for others to say: the database keeps it beside
the events, an export carries it signed. Says nothing about who signs; docs/audit.md describes the format for strangers.
"""

from __future__ import annotations

import hashlib
from enum import Enum
from typing import NamedTuple

from master.values import Value

_EVENT = "license-master audit event v1"
_GENESIS = "license-master audit genesis v1"


class Record(NamedTuple):
    """One event as its project's chain has it."""

    seq: int
    """1, 2, 3 ... without gaps within its project."""
    time_us: int
    """When: microseconds since 1970."""
    kind: str
    pbx: str
    """The PBX's short name; empty where no PBX is concerned."""
    caller: str
    request_id: str
    """Empty where the event has none."""
    reason: str
    """Why, in the caller's words; may be empty."""
    details: str
    """JSON, exactly as written."""
    hash: bytes = b""
    """SHA-256 over the hash of the event before and all fields above."""


class ChainEnd(NamedTuple):
    """How far a chain goes: its last event, or the genesis at 0."""

    seq: int
    hash: bytes


def genesis(project: str) -> ChainEnd:
    """Return the end of a chain without events: number 0, and the hash of the project's name."""
    return ChainEnd(0, hashlib.sha256(_packed(_GENESIS, project)).digest())


def event_hash(previous: bytes, project: str, record: Record) -> bytes:
    """Return the hash of an event that follows on the hash `previous`; `record.hash` does not count."""
    return hashlib.sha256(_packed(_EVENT, previous, project, *record[:-1])).digest()


def checkpoint_payload(project: str, end: ChainEnd, time_us: int) -> bytes:
    """Return what the master signs as an audit's checkpoint: that a chain ended at `end` then, in microseconds since
    1970."""
    return _packed(project, end.seq, end.hash, time_us)


def _packed(*fields: str | int | bytes) -> bytes:
    """Encode fields as netstrings, `LENGTH:BYTES,` each: no two lists of fields have the same bytes."""
    parts = []
    for value in fields:
        raw = value if isinstance(value, bytes) else str(value).encode()
        parts.append(b"%d:%b," % (len(raw), raw))
    return b"".join(parts)


class DefectKind(Enum):
    """What is wrong with a chain, or with an export of one."""

    ALTERED = "altered"
    """An event does not follow on the event before: one of the two is not as it was written."""
    REMOVED = "removed"
    """One or more events are missing."""
    INSERTED = "inserted"
    """An event is in the chain that does not belong to it."""
    REORDERED = "reordered"
    """An event stands in another's place."""
    END_ALTERED = "end altered"
    """The events are not those that the end of the chain, or the checkpoint, was made for."""
    REWRITTEN = "rewritten"
    """The chain is not the one that was exported earlier."""
    MALFORMED = "malformed"
    """A line of an export is not one that an export has at that place."""
    CUT_OFF = "cut off"
    """An export ends before its checkpoint."""
    FOREIGN = "foreign"
    """An export is of another project."""
    UNTRUSTED_KEY = "untrusted key"
    """A checkpoint is signed with another key than the one that is trusted."""
    FORGED = "forged"
    """A checkpoint's signature does not match the checkpoint."""


class Defect(Value):
    """The first wrong event of a chain, and what is wrong with it."""

    kind: DefectKind
    seq: int
    """The number of the event where the defect shows; 0 where it is no particular event."""
    message: str
    line: int = 0
    """The line of the export, from 1 on; 0 where no export is read."""


class ChainWalk:
    """A check of a chain, event by event, from a place whose hash is known; holds two events at most.

    After the first event that does not match, only the event that would is looked for, to tell an event that was moved
    from one that was altered or removed.
    """

    def __init__(self, project: str, start: ChainEnd) -> None:
        self._project = project
        self._start = start
        self.end = start
        """The last event that was found as it was written."""
        self._misfit: tuple[Record, int] | None = None
        self._belongs: tuple[Record, int] | None = None

    @property
    def checked(self) -> int:
        """Number of events that were found as they were written."""
        return self.end.seq - self._start.seq

    def follow(self, record: Record, line: int = 0) -> None:
        """Check the next event; `line` is its line in an export, 0 without one."""
        expected = self.end.seq + 1
        fits = event_hash(self.end.hash, self._project, record._replace(seq=expected)) == record.hash
        if self._misfit is not None:
            if fits and self._belongs is None:
                self._belongs = record, line
        elif fits and record.seq == expected:
            self.end = ChainEnd(expected, record.hash)
        else:
            self._misfit = record, line
            if fits:
                self._belongs = record, line

    def finish(self, end: ChainEnd, line: int = 0) -> Defect | None:
        """Return the defect found, given where the chain must end; None where everything is right."""
        if self._misfit is not None:
            return self._verdict(*self._misfit)
        if end.seq > self.end.seq:
            return Defect(DefectKind.REMOVED, self.end.seq + 1, f"{_events(self.end.seq + 1, end.seq)} missing", line)
        if end != self.end:
            reason = (
                f"the chain is said to end with event {end.seq} and the hash {end.hash.hex()[:16]}..., but ends with"
            )
            actual = f"event {self.end.seq} and {self.end.hash.hex()[:16]}..."
            return Defect(DefectKind.END_ALTERED, self.end.seq, f"{reason} {actual}", line)
        return None

    def unfinished(self) -> Defect | None:
        """Return the defect found so far, for a chain whose end is not known; None where none was found."""
        return None if self._misfit is None else self._verdict(*self._misfit)

    def _verdict(self, misfit: Record, line: int) -> Defect:
        expected = self.end.seq + 1
        if self._belongs is not None and self._belongs[0] is misfit:
            reason = f"event {expected} now says that it is event {misfit.seq}"
            return Defect(DefectKind.ALTERED, expected, reason, line)
        if misfit.seq < expected:
            return Defect(
                DefectKind.INSERTED, misfit.seq, f"event {misfit.seq} stands behind event {self.end.seq}", line
            )
        if self._belongs is None:
            if misfit.seq > expected:
                return Defect(DefectKind.REMOVED, expected, f"{_events(expected, misfit.seq - 1)} missing", line)
            reason = f"event {expected} does not follow on what comes before it: one of the two was altered"
            return Defect(DefectKind.ALTERED, expected, reason, line)
        belongs, at_line = self._belongs
        at = f"event {belongs.seq}" if not at_line else f"event {belongs.seq} in line {at_line}"
        if misfit.seq == belongs.seq:
            return Defect(DefectKind.INSERTED, expected, f"event {expected} was put before the real one, {at}", line)
        return Defect(DefectKind.REORDERED, expected, f"in the place of event {expected} belongs {at}", line)


def _events(first: int, last: int) -> str:
    return f"event {first} is" if first == last else f"events {first} to {last} are"
