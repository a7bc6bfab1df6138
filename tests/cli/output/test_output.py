"""What programs read is UTF-8 whatever the terminal; what people read is shown in what their terminal has."""

from __future__ import annotations

import codecs
import io
import json
import sys

import pytest

from licensemaster.v1 import project_pb2
from master.cli.main import in_its_characters
from master.cli.output.rendering import print_json_line, print_json_object, write_out
from tests.cli.command import run


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-16", "cp1252"])
def test_output_for_programs(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding, newline="\r\n"))
    write_out("name = 'Łódź München'\n")
    print_json_object({"name": "Łódź"})
    print_json_line(project_pb2.Site(name="a", display_name="سلام"))
    first, *rest = raw.getvalue().decode("utf-8").split("\n", 1)
    assert first == "name = 'Łódź München'"
    assert '"name": "Łódź"' in rest[0]
    assert json.loads(rest[0].splitlines()[-1])["display_name"] == "سلام"
    assert b"\r" not in raw.getvalue()


def test_a_name_that_is_no_text_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="utf-8"))
    print_json_object({"file": "a\udcfcb"})  # a file's name that is not UTF-8
    assert json.loads(raw.getvalue()) == {"file": "a\udcfcb"}


def test_tables_in_terminals_that_lack_characters() -> None:
    codecs.register_error("in_its_characters", in_its_characters)
    assert "● Łódź → 5 · …".encode("latin-1", "in_its_characters") == b"* \\u0141\xf3d\\u017a -> 5 \xb7 ..."
    assert "● Łódź".encode("ascii", "in_its_characters") == b"* \\u0141\\xf3d\\u017a"


@pytest.mark.parametrize("columns", ["0", "00", ""])
async def test_a_terminal_that_does_not_know_how_wide_it_is(columns: str) -> None:
    listed, helped, failed = (
        await run("settings", "list", COLUMNS=columns),
        await run("status", "--help", COLUMNS=columns),
        await run("pki", "show", "--folder", "/nowhere", COLUMNS=columns),
    )
    assert "queue_length_max" in listed.out
    assert max(map(len, listed.out.splitlines())) > 80  # as where there is no terminal
    assert "--json" in helped.out
    assert (failed.code, "/nowhere" in failed.err) == (1, True)
