"""Whatever is changed in an export is found, and told what it is; whatever is read ends in a verdict."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from licensemaster.signing import documents
from licensemaster.v1 import document_pb2
from master.domain.audit.chain import ChainEnd, ChainWalk, Defect, DefectKind, Record, event_hash, genesis
from master.domain.audit.export import Checkpoint, Header, continues, line_of, read_line
from master.signing import Signer, has_signed_checkpoint
from tests.domain.audit.exports import FIVE, LINES, TIME_US, chained, contents, defect, exported, looked_at, some

OTHER = Signer("other", bytes(range(1, 33)))


def changed(line: bytes, **fields: object) -> bytes:
    """A line with some of its fields changed, written as an export would."""
    known = json.loads(line)
    assert fields.keys() <= known.keys()
    return f"{json.dumps(known | fields, ensure_ascii=False, separators=(',', ':'))}\n".encode()


PART = exported(FIVE[2:], start=ChainEnd(2, FIVE[1].hash))


# --- As they were written -------------------------------------------------------------------------------------------


@given(contents, st.integers(0, 6))
def test_an_export_is_found_right_whole_or_in_part(found: list[Record], skip: int) -> None:
    records = chained(found)
    before, rest = records[:skip], records[skip:]
    start = ChainEnd(before[-1].seq, before[-1].hash) if before else genesis("acme")
    verdict = looked_at(exported(rest, start=start), project="acme")
    assert verdict.defect is None
    assert verdict.events == len(rest)
    assert verdict.header == Header("acme", len(before) + 1, start.hash)
    assert verdict.checkpoint is not None
    assert verdict.checkpoint.end.seq == len(records)


@given(contents)
def test_lines_are_read_as_they_were_written(records: list[Record]) -> None:
    for record in chained(records):
        assert read_line(f"{line_of(record)}\n".encode()) == record


def test_without_a_trusted_key_the_export_names_its_own() -> None:
    verdict = looked_at(exported(FIVE, signer=OTHER), key=None)
    assert verdict.defect is None
    assert verdict.checkpoint is not None
    assert verdict.checkpoint.public_key == OTHER.public_key


# --- Events ---------------------------------------------------------------------------------------------------------

OTHER_VALUES = {
    "seq": 9, "time_us": TIME_US + 999, "kind": "seats.returned", "pbx": "paris", "caller": "nobody",
    "request_id": "another", "reason": "", "details": '{"port":["phone-9"]}', "hash": "ab" * 32,
}  # fmt: skip


def test_every_field_of_an_event_is_named_here() -> None:
    assert OTHER_VALUES.keys() == set(Record._fields)


@pytest.mark.parametrize("field", OTHER_VALUES)
@pytest.mark.parametrize(
    ("lines", "at"), [*((LINES, at) for at in range(1, 6)), *((PART, at) for at in range(1, 4))], ids=lambda value: ""
)
def test_a_field_of_an_event_altered(lines: list[bytes], field: str, at: int) -> None:
    edited = [*lines]
    edited[at] = changed(lines[at], **{field: OTHER_VALUES[field]})
    reason = defect(edited)
    assert (reason.kind, reason.line) == (DefectKind.ALTERED, at + 1)
    assert looked_at(edited).events == at - 1


@pytest.mark.parametrize("at", range(5))
def test_an_event_altered_with_its_hash_made_anew(at: int) -> None:
    """The next one gives it away, or the checkpoint."""
    previous = FIVE[at - 1].hash if at else genesis("acme").hash
    forged = FIVE[at]._replace(details="{}")
    forged = forged._replace(hash=event_hash(previous, "acme", forged))
    edited = [*LINES]
    edited[at + 1] = f"{line_of(forged)}\n".encode()
    reason = defect(edited)
    assert reason.kind is (DefectKind.ALTERED if at < 4 else DefectKind.END_ALTERED)
    assert reason.line == at + 3


def test_a_whole_chain_made_anew_lacks_the_signature() -> None:
    forged = chained([record._replace(caller="nobody") for record in some(5)])
    end = ChainEnd(forged[-1].seq, forged[-1].hash)
    edited = exported(forged)
    edited[-1] = changed(LINES[-1], hash=end.hash.hex())
    assert defect(edited).kind is DefectKind.FORGED
    assert defect(exported(forged, signer=OTHER)).kind is DefectKind.UNTRUSTED_KEY


@pytest.mark.parametrize("at", range(1, 6))
def test_an_event_removed(at: int) -> None:
    reason = defect(LINES[:at] + LINES[at + 1 :])
    assert (reason.kind, reason.seq, reason.line) == (DefectKind.REMOVED, at, at + 1)
    assert reason.message == f"event {at} is missing"


def test_several_events_removed() -> None:
    assert defect([LINES[0], *LINES[3:]]).message == "events 1 to 2 are missing"
    reason = defect([*LINES[:3], LINES[-1]])
    assert (reason.kind, reason.message) == (DefectKind.REMOVED, "events 3 to 5 are missing")
    assert defect([LINES[0], LINES[-1]]).message == "events 1 to 5 are missing"


@pytest.mark.parametrize(
    ("first", "other"), [(number, other) for number in range(1, 6) for other in range(number + 1, 6)]
)
def test_two_events_that_changed_places(first: int, other: int) -> None:
    edited = [*LINES]
    edited[first], edited[other] = edited[other], edited[first]
    reason = defect(edited)
    assert (reason.kind, reason.seq, reason.line) == (DefectKind.REORDERED, first, first + 1)
    assert f"belongs event {first} in line {other + 1}" in reason.message


def test_two_events_that_changed_numbers() -> None:
    edited = [*LINES]
    edited[2], edited[4] = changed(LINES[4], seq=2), changed(LINES[2], seq=4)
    reason = defect(edited)
    assert (reason.kind, reason.seq, reason.line) == (DefectKind.REORDERED, 2, 3)


@pytest.mark.parametrize("at", range(1, 6))
def test_an_event_twice(at: int) -> None:
    reason = defect(LINES[: at + 1] + LINES[at:])
    assert (reason.kind, reason.seq, reason.line) == (DefectKind.INSERTED, at, at + 2)


@pytest.mark.parametrize("at", range(1, 6))
def test_an_event_put_in(at: int) -> None:
    invented = changed(LINES[at], caller="nobody", details="{}")
    reason = defect([*LINES[:at], invented, *LINES[at:]])
    assert (reason.kind, reason.seq, reason.line) == (DefectKind.INSERTED, at, at + 1)


def test_an_event_behind_the_last() -> None:
    invented = chained(some(1), start=ChainEnd(5, FIVE[-1].hash))
    reason = defect([*LINES[:-1], f"{line_of(invented[0])}\n".encode(), LINES[-1]])
    assert reason.kind is DefectKind.END_ALTERED


@pytest.mark.parametrize("seq", [0, -1, -(2**62)])
def test_an_event_before_the_first(seq: int) -> None:
    invented = changed(LINES[1], seq=seq, details="{}")
    assert defect([LINES[0], invented, *LINES[1:]]).kind is DefectKind.INSERTED


def test_events_of_another_project() -> None:
    foreign = exported(chained(some(5), project="other"), project="other")
    assert defect(foreign, project="acme").kind is DefectKind.FOREIGN
    assert defect([LINES[0], *foreign[1:]]).kind is DefectKind.ALTERED
    assert defect([*LINES[:-1], foreign[-1]]).kind is DefectKind.FOREIGN


# --- Header and checkpoint ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lines", [LINES, PART, exported([])], ids=["whole", "part", "empty"])
@pytest.mark.parametrize(
    ("field", "value"), [("format", 1), ("project", "other"), ("first_seq", 2), ("previous_hash", "ab" * 32)]
)
def test_a_field_of_the_header_altered(lines: list[bytes], field: str, value: object) -> None:
    assert field in json.loads(lines[0])
    edited = [changed(lines[0], **{field: value}), *lines[1:]]
    assert defect(edited).line in (1, 2)
    assert looked_at(edited).events == 0


def test_every_field_of_header_and_checkpoint_is_named_here() -> None:
    assert list(json.loads(LINES[0])) == ["record", "format", "project", "first_seq", "previous_hash"]
    assert list(json.loads(LINES[-1])) == ["record", *(field for field, _, _ in CHECKPOINT)]


CHECKPOINT = [
    ("project", "other", DefectKind.FOREIGN),
    ("seq", 4, DefectKind.END_ALTERED),
    ("hash", "ab" * 32, DefectKind.END_ALTERED),
    ("time_us", TIME_US - 1, DefectKind.FORGED),
    ("public_key", OTHER.public_key.hex(), DefectKind.UNTRUSTED_KEY),
    ("signature", "ab" * 64, DefectKind.FORGED),
]


@pytest.mark.parametrize(("field", "value", "kind"), CHECKPOINT)
def test_a_field_of_the_checkpoint_altered(field: str, value: object, kind: DefectKind) -> None:
    edited = [*LINES[:-1], changed(LINES[-1], **{field: value})]
    reason = defect(edited)
    assert (reason.kind, reason.line) == (kind, 7)
    assert defect(edited, key=None).kind is (DefectKind.FORGED if field == "public_key" else kind)


def test_a_checkpoint_that_promises_more() -> None:
    reason = defect([*LINES[:-1], changed(LINES[-1], seq=7)])
    assert (reason.kind, reason.message) == (DefectKind.REMOVED, "events 6 to 7 are missing")


@pytest.mark.parametrize("key", [b"", b"\xff" * 32])
def test_keys_that_are_none_have_signed_nothing(key: bytes) -> None:
    assert not has_signed_checkpoint(key, b"message", bytes(64))


@pytest.mark.parametrize("kind", document_pb2.DocumentKind.keys())
def test_what_is_signed_as_another_kind_is_no_checkpoint(kind: str) -> None:
    """The same key signs leases and bindings."""
    checkpoint = read_line(LINES[-1])
    assert isinstance(checkpoint, Checkpoint)
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    document = documents.sealed(document_pb2.DocumentKind.Value(kind), checkpoint.payload, key)
    edited = [*LINES[:-1], changed(LINES[-1], signature=document.signature.hex())]
    if kind == "DOCUMENT_KIND_AUDIT_CHECKPOINT":
        assert edited == LINES
    else:
        assert defect(edited).kind is DefectKind.FORGED


# --- An older export ------------------------------------------------------------------------------------------------


def _checkpoint(lines: list[bytes]) -> Checkpoint:
    checkpoint = looked_at(lines).checkpoint
    assert checkpoint is not None
    return checkpoint


def test_a_chain_that_goes_on_from_an_older_export() -> None:
    older = _checkpoint(exported(FIVE[:2]))
    assert continues(looked_at(PART), older).defect is None


def test_a_chain_that_was_rewritten_since() -> None:
    older = _checkpoint(exported(FIVE[:2]))
    forged = chained([record._replace(caller="nobody") for record in some(5)])
    actual = continues(looked_at(exported(forged[2:], start=ChainEnd(2, forged[1].hash))), older).defect
    assert actual is not None
    assert actual.kind is DefectKind.REWRITTEN


# --- A chain that is walked where it lies ---------------------------------------------------------------------------


def _walked(records: Sequence[Record], end: ChainEnd) -> Defect | None:
    walk = ChainWalk("acme", genesis("acme"))
    for record in records:
        walk.follow(record)
    return walk.finish(end)


END = ChainEnd(5, FIVE[-1].hash)


def test_an_end_that_does_not_fit() -> None:
    assert _walked(FIVE, END) is None
    for wrong in (END._replace(hash=bytes(32)), END._replace(seq=4), ChainEnd(4, FIVE[3].hash)):
        actual = _walked(FIVE, wrong)
        assert actual is not None
        assert actual.kind is DefectKind.END_ALTERED
    actual = _walked(FIVE[:4], END)
    assert actual is not None
    assert (actual.kind, actual.seq) == (DefectKind.REMOVED, 5)


def test_an_event_moved_far_away() -> None:
    """Its number changed in the database, where events are read by number."""
    moved = [*FIVE[:1], *FIVE[2:], FIVE[1]._replace(seq=99)]
    actual = _walked(moved, END)
    assert actual is not None
    assert (actual.kind, actual.seq) == (DefectKind.REORDERED, 2)
    assert "event 99" in actual.message


def test_no_two_events_are_packed_alike() -> None:
    """What stands in one field cannot be moved into the next."""
    given = Record(1, 1, "ab", "", "c", "", "", "")
    assert event_hash(b"", "acme", given) != event_hash(b"", "acme", given._replace(kind="a", pbx="b"))
    assert event_hash(b"", "acme", given) != event_hash(b"", "acme", given._replace(kind="ab0:,"))
    assert genesis("acme") != genesis("acm")
