"""An export of the audit as text, and whether it can be believed: needs neither the database nor a master.

A header, one line per event, a signed checkpoint; each a JSON object, written in one way only, so that no byte can
differ unnoticed. The caller checks signatures, as cryptography is no part of the core; whether the key is the master's
can only be told where the reader knows it from elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, get_type_hints

from msgspec.structs import asdict

from licensemaster.values.bounded import TextLimits, read_json
from master.domain.audit.chain import ChainEnd, ChainWalk, Defect, DefectKind, Record, checkpoint_payload, genesis
from master.values import Value, replace

FORMAT = 2
LINE_BYTES_MAX = 64 * 1024 * 1024
"""The most bytes of a line, more than any event has: what an event describes came in one message."""
_LINE = TextLimits(size=LINE_BYTES_MAX, depth=1, items=16)
_NUMBER_MAX = 2**63 - 1


class Header(Value):
    """The first line: the project, and the first event."""

    project: str
    first_seq: int
    previous_hash: bytes
    """The hash of the event before `first_seq`; that of the genesis where `first_seq` is 1."""

    @property
    def start(self) -> ChainEnd:
        """The end of the chain before the first event."""
        return ChainEnd(self.first_seq - 1, self.previous_hash)


class Checkpoint(Value):
    """The last line: where the chain ended, with a signature."""

    project: str
    seq: int
    hash: bytes
    time_us: int
    """When the checkpoint was signed: microseconds since 1970."""
    public_key: bytes
    """Ed25519, raw."""
    signature: bytes = b""
    """The signature over `payload`, as that of an audit's checkpoint."""

    @property
    def end(self) -> ChainEnd:
        return ChainEnd(self.seq, self.hash)

    @property
    def payload(self) -> bytes:
        return checkpoint_payload(self.project, self.end, self.time_us)


Part = Header | Record | Checkpoint
_SAID: Final[Mapping[type[Part], dict[str, object]]] = {
    Header: {"record": "header", "format": FORMAT},
    Record: {"record": "event"},
    Checkpoint: {"record": "checkpoint"},
}
"""The fields that a line has before the fields of its part."""
_FIELDS: Final = {kind: get_type_hints(kind) for kind in _SAID}
_LEAST: Final = {"first_seq": 1}
_BYTES: Final = {"previous_hash": 32, "hash": 32, "public_key": 32, "signature": 64}
_JSON: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=bytes.hex).encode


class ExportVerdict(Value):
    """The result of verifying an export."""

    header: Header | None
    """None where the header could not be read."""
    checkpoint: Checkpoint | None
    """None where the checkpoint was not reached."""
    events: int
    """Number of events that were found as they were written."""
    defect: Defect | None


SignatureCheck = Callable[[bytes, bytes, bytes], bool]
"""Tells whether a public key has signed a checkpoint: (public key, payload, signature)."""


def line_of(part: Part) -> str:
    """Write a part of an export as a line, without its newline."""
    return _JSON(_SAID[type(part)] | (part._asdict() if isinstance(part, Record) else asdict(part)))


def read_line(line: bytes) -> Part:
    """Read one line of an export. Raises ValueError if no export has such a line, and says why."""
    if not line.endswith(b"\n"):
        raise ValueError("it does not end with a newline, so something may be missing")
    try:
        text = line[:-1].decode()
        fields = read_json(text, _LINE)
    except ValueError as error:
        raise ValueError("it is no JSON") from error
    if not isinstance(fields, dict):
        raise ValueError("it is no JSON object")
    named = fields.pop("record", None)
    kind = next((kind for kind, said in _SAID.items() if said["record"] == named), None)
    if kind is None:
        raise ValueError('its "record" is neither "header" nor "event" nor "checkpoint"')
    if kind is Header and (given := fields.get("format")) != FORMAT:
        raise ValueError(f"its format is {str(given)[:20]!r}, and this version reads format {FORMAT}")
    read = kind(**{name: _value(fields.get(name), name, of) for name, of in _FIELDS[kind].items()})
    if line_of(read) != text:
        raise ValueError("it is not written the way an export writes it")
    return read


def verify_export(
    lines: Iterable[bytes], *, signed: SignatureCheck, project: str = "", key: bytes | None = None
) -> ExportVerdict:
    """Verify an export, to its end or to the first defect.

    `lines` have their newlines; they are read once and not kept. Where no `project` is named, the export may be of any;
    where no trusted `key` is given, it may be signed with the key that it names itself.
    """
    numbered = enumerate(lines, start=1)
    header = _first(numbered)
    if isinstance(header, Defect):
        return ExportVerdict(None, None, 0, header)
    if defect := _header_defect(header, project):
        return ExportVerdict(header, None, 0, defect)
    walk = ChainWalk(header.project, header.start)
    checkpoint = _follow(walk, numbered)
    if isinstance(checkpoint, Defect):
        return ExportVerdict(header, None, walk.checked, checkpoint)
    last, number = checkpoint
    problem = _checkpoint_defect(last, header, walk, number, signed, key)
    if problem is None and next(numbered, None) is not None:
        problem = Defect(DefectKind.MALFORMED, 0, "the file goes on behind its checkpoint", number + 1)
    return ExportVerdict(header, last, walk.checked, problem)


def _first(numbered: Iterator[tuple[int, bytes]]) -> Header | Defect:
    _, line = next(numbered, (0, None))
    if line is None:
        return Defect(DefectKind.CUT_OFF, 0, "the file is empty", 1)
    try:
        read = read_line(line)
    except ValueError as error:
        return Defect(DefectKind.MALFORMED, 0, f"this is no header of an audit export: {error}", 1)
    if not isinstance(read, Header):
        return Defect(DefectKind.REMOVED, 0, "the header is missing", 1)
    return read


def _header_defect(header: Header, project: str) -> Defect | None:
    if project and header.project != project:
        return Defect(DefectKind.FOREIGN, 0, f"the export is of project {header.project}, not of {project}", 1)
    if header.first_seq == 1 and header.start != genesis(header.project):
        return Defect(DefectKind.ALTERED, 0, f"no chain of project {header.project} begins with this header", 1)
    return None


def _follow(walk: ChainWalk, numbered: Iterator[tuple[int, bytes]]) -> tuple[Checkpoint, int] | Defect:
    """Check the events up to the checkpoint, or to a line that cannot be where it is."""
    number = 1
    for number, line in numbered:
        try:
            read = read_line(line)
        except ValueError as error:
            return walk.unfinished() or Defect(DefectKind.MALFORMED, walk.end.seq + 1, str(error), number)
        if isinstance(read, Checkpoint):
            return read, number
        if isinstance(read, Header):
            return walk.unfinished() or Defect(DefectKind.MALFORMED, walk.end.seq + 1, "a second header", number)
        walk.follow(read, number)
    missing = f"the file ends after event {walk.end.seq} without its checkpoint"
    return walk.unfinished() or Defect(DefectKind.CUT_OFF, walk.end.seq, missing, number)


def _checkpoint_defect(
    checkpoint: Checkpoint, header: Header, walk: ChainWalk, line: int, signed: SignatureCheck, key: bytes | None
) -> Defect | None:
    if defect := walk.unfinished():
        return defect
    if checkpoint.project != header.project:
        reason = f"the checkpoint is of project {checkpoint.project}, the export of {header.project}"
        return Defect(DefectKind.FOREIGN, 0, reason, line)
    if defect := walk.finish(checkpoint.end, line):
        return defect
    if key is not None and checkpoint.public_key != key:
        reason = f"the checkpoint is signed with the key {checkpoint.public_key.hex()}, which is not the one trusted"
        return Defect(DefectKind.UNTRUSTED_KEY, checkpoint.end.seq, reason, line)
    if not signed(checkpoint.public_key, checkpoint.payload, checkpoint.signature):
        reason = "the checkpoint's signature does not fit: it, or what it states, was altered"
        return Defect(DefectKind.FORGED, checkpoint.end.seq, reason, line)
    return None


def continues(verdict: ExportVerdict, earlier: Checkpoint) -> ExportVerdict:
    """Return the verdict on an export that must go on where an earlier export ended."""
    if verdict.header is None or verdict.header.start == earlier.end:
        return verdict
    reason = f"event {earlier.end.seq} is no longer the one that was exported: the history was rewritten"
    return replace(verdict, defect=Defect(DefectKind.REWRITTEN, earlier.end.seq, reason))


def _value(value: Any, name: str, of: type) -> Any:
    """Convert what a line says of a field to the field's type."""
    if of is int:
        if type(value) is not int or not _LEAST.get(name, -_NUMBER_MAX) <= value <= _NUMBER_MAX:
            raise ValueError(f'its "{name}" must be a whole number')
        return value
    if not isinstance(value, str):
        raise ValueError(f'its "{name}" must be a text')
    if of is str:
        return value
    try:
        decoded = bytes.fromhex(value)
    except ValueError:
        decoded = b""
    if len(decoded) != _BYTES[name]:
        raise ValueError(f'its "{name}" must be {_BYTES[name]} bytes in hexadecimal')
    return decoded
