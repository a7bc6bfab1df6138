"""Chains of the audit and their exports, made as a test needs them."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from master.domain.audit.chain import ChainEnd, Defect, Record, event_hash, genesis
from master.domain.audit.export import (
    Checkpoint,
    ExportVerdict,
    Header,
    Part,
    line_of,
    verify_export,
)
from master.signing import Signer, has_signed_checkpoint
from master.values import replace

SIGNER = Signer("one", bytes(range(32)))
TIME_US = 1_800_000_000_123_456

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
contents = st.lists(
    st.builds(
        Record,
        seq=st.just(0),
        time_us=st.integers(-(2**53), 2**53),
        kind=texts,
        pbx=texts,
        caller=texts,
        request_id=texts,
        reason=texts,
        details=texts,
    ),
    max_size=6,
)


def chained(contents: Sequence[Record], *, project: str = "acme", start: ChainEnd | None = None) -> list[Record]:
    """Events with their numbers and hashes."""
    end = start or genesis(project)
    records = []
    for content in contents:
        record = content._replace(seq=end.seq + 1)
        record = record._replace(hash=event_hash(end.hash, project, record))
        end = ChainEnd(record.seq, record.hash)
        records.append(record)
    return records


def some(count: int) -> list[Record]:
    """Events as they might be."""
    return [
        Record(
            0, TIME_US + n, "seats.acquired", "berlin", "test", f"request-{n}", "because", f'{{"port":["phone-{n}"]}}'
        )
        for n in range(count)
    ]


def exported(
    records: Sequence[Record],
    *,
    project: str = "acme",
    start: ChainEnd | None = None,
    end: ChainEnd | None = None,
    signer: Signer = SIGNER,
) -> list[bytes]:
    """The lines of an export of events that are chained already."""
    start = start or genesis(project)
    end = end or (ChainEnd(records[-1].seq, records[-1].hash) if records else start)
    unsigned = Checkpoint(project, *end, TIME_US, signer.public_key)
    signed = replace(unsigned, signature=signer.sign_checkpoint(unsigned.payload))
    parts: list[Part] = [Header(project, start.seq + 1, start.hash), *records, signed]
    return [f"{line_of(part)}\n".encode() for part in parts]


def looked_at(lines: Sequence[bytes], *, project: str = "", key: bytes | None = SIGNER.public_key) -> ExportVerdict:
    return verify_export(lines, signed=has_signed_checkpoint, project=project, key=key)


def defect(lines: Sequence[bytes], *, project: str = "", key: bytes | None = SIGNER.public_key) -> Defect:
    actual = looked_at(lines, project=project, key=key).defect
    assert actual is not None
    return actual


FIVE = chained(some(5))
LINES = exported(FIVE)
