"""An export as a file: cut off, altered by a byte, in another order, made of anything."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from master.domain.audit.chain import DefectKind, Record
from master.domain.audit.export import Checkpoint, Header, read_line
from tests.domain.audit.exports import LINES, chained, contents, defect, exported, looked_at

# --- The file as a whole --------------------------------------------------------------------------------------------


def test_a_file_cut_off_anywhere() -> None:
    whole = b"".join(LINES)
    for length in range(len(whole)):
        reason = defect(_split(whole[:length]))
        assert reason.kind in (DefectKind.CUT_OFF, DefectKind.MALFORMED)


@pytest.mark.parametrize(
    ("lines", "kind"),
    [
        ([], DefectKind.CUT_OFF),
        ([b"\n"], DefectKind.MALFORMED),
        ([b"\x00\xff\n"], DefectKind.MALFORMED),
        ([b"[]\n"], DefectKind.MALFORMED),
        ([b"[" * 100_000 + b"\n"], DefectKind.MALFORMED),
        ([b"9" * 10_000 + b"\n"], DefectKind.MALFORMED),
        (LINES[1:], DefectKind.REMOVED),
        (LINES[:1], DefectKind.CUT_OFF),
        ([LINES[0], LINES[0], *LINES[1:]], DefectKind.MALFORMED),
        ([*LINES, LINES[-1]], DefectKind.MALFORMED),
        ([*LINES, b"\n"], DefectKind.MALFORMED),
        ([line.replace(b"\n", b"\r\n") for line in LINES], DefectKind.MALFORMED),
        ([LINES[0], LINES[1].replace(b'":', b'": '), *LINES[2:]], DefectKind.MALFORMED),
        ([LINES[0], LINES[1].replace(b'{"record', b'{"seq":1,"record'), *LINES[2:]], DefectKind.MALFORMED),
        ([LINES[0], LINES[1].replace(b'"seq":1', b'"seq":true'), *LINES[2:]], DefectKind.MALFORMED),
        ([LINES[0], LINES[1].replace(b'"seq":1', b'"seq":1.0'), *LINES[2:]], DefectKind.MALFORMED),
        ([LINES[0], LINES[1].replace(b'"berlin"', b'"\\ud800"'), *LINES[2:]], DefectKind.MALFORMED),
    ],
)
def test_what_is_no_export(lines: list[bytes], kind: DefectKind) -> None:
    assert defect(lines).kind is kind


def test_the_first_defect_is_told_whatever_comes_after() -> None:
    reason = defect([*LINES[:2], *LINES[3:4], b"garbage\n"])
    assert (reason.kind, reason.seq) == (DefectKind.REMOVED, 2)


@given(contents, st.data())
def test_any_single_byte_changed_is_found(records: list[Record], data: st.DataObject) -> None:
    whole = bytearray(b"".join(exported(chained(records))))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] = data.draw(st.integers(0, 255).filter(lambda value: value != whole[at]))
    assert defect(_split(bytes(whole))).message


@given(contents, st.data())
def test_any_bytes_removed_or_put_in_are_found(records: list[Record], data: st.DataObject) -> None:
    whole = b"".join(exported(chained(records)))
    first = data.draw(st.integers(0, len(whole)))
    last = data.draw(st.integers(first, len(whole)))
    put_in = data.draw(st.binary(max_size=8))
    edited = whole[:first] + put_in + whole[last:]
    verdict = looked_at(_split(edited))
    assert (verdict.defect is None) is (edited == whole)


@given(contents.filter(len), st.data())
def test_any_order_but_the_right_one_is_found(records: list[Record], data: st.DataObject) -> None:
    lines = exported(chained(records))
    mixed = data.draw(st.lists(st.sampled_from(lines), max_size=len(lines) + 2))
    assert (looked_at(mixed).defect is None) is (mixed == lines)


@given(st.lists(st.one_of(st.binary(max_size=60), st.sampled_from(LINES), st.text(max_size=30).map(str.encode))))
def test_whatever_is_read_ends_in_a_verdict(pieces: list[bytes]) -> None:
    verdict = looked_at(_split(b"".join(pieces)))
    assert verdict.defect is None or verdict.defect.message


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
_FIELDS = sorted({field for line in LINES for field in json.loads(line)})


@given(st.sampled_from(LINES), st.dictionaries(st.sampled_from(_FIELDS), _json, max_size=4))
def test_lines_with_any_fields_are_read_or_refused(line: bytes, fields: dict[str, object]) -> None:
    fuzzed = f"{json.dumps(json.loads(line) | fields, ensure_ascii=True, separators=(',', ':'))}\n".encode()
    export_verdict = looked_at([fuzzed, *LINES[1:]])
    assert export_verdict.defect is None or export_verdict.defect.message
    export_verdict = looked_at([LINES[0], fuzzed, *LINES[2:]])
    assert export_verdict.defect is None or export_verdict.defect.message
    with suppress(ValueError):  # nothing else
        assert isinstance(read_line(fuzzed), Header | Record | Checkpoint)


def _split(whole: bytes) -> list[bytes]:
    """As a file is read: only newlines end a line."""
    lines = whole.split(b"\n")
    return [line + b"\n" for line in lines[:-1]] + [line for line in lines[-1:] if line]
