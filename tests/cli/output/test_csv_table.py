"""Cells that a spreadsheet would compute are text."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest

from master.cli.output.csv_table import cell, csv_table

ROOT = Path(__file__).parents[3]
SIGNS = ["=", "+", "-", "@", "|", "%", "＝", "＋", "－", "＠", "｜", "％", "﹦", "﹢", "﹣", "﹫", "⁼", "₊", "−"]
BEFORE = [
    "", " ", "  \t", "\n", "\r", "\xa0", "\u3000", "\u2003", "\ufeff", "\u200b", "\u2066", "\x00", "\x1f", "\u0301",
    '"', "'", '" "', "“", "＂", "´", "\u2028",
]  # fmt: skip


@pytest.mark.parametrize("sign", SIGNS)
def test_a_cell_that_begins_like_a_formula_is_text(sign: str) -> None:
    starts = [f"{cell_before}{before}" for before in BEFORE for cell_before in ("", "Berlin;", "Berlin\t")]
    for text in (f"{start}{sign}1+1" for start in starts):
        marked = str(cell(text))
        assert marked.replace("'", "") == text.replace("'", "")
        for actual in marked.replace("\t", ";").split(";"):
            assert not actual.strip().startswith(sign)
            assert actual.count("'") > text.count("'") or sign not in actual


@pytest.mark.parametrize("text", ["", "Berlin", "1+1", "a=b", "2026-11-25", "projects/a", "'quoted'"])
def test_other_cells_stay_as_they_are(text: str) -> None:
    assert cell(text) == text


def test_numbers_stay_numbers_and_a_table_can_be_read_again() -> None:
    rows: list[dict[str, str | int]] = [{"name": 'a,"b"\n;c', "count": -3}, {"name": "\tx"}]
    actual = list(csv.DictReader(io.StringIO(csv_table(("name", "count"), rows), newline="")))
    assert actual == [{"name": 'a,"b"\n;c', "count": "-3"}, {"name": "'\tx", "count": ""}]


def test_nothing_else_writes_tables_for_spreadsheets() -> None:
    imports_csv = re.compile(r"^\s*(import\b.*\bcsv\b|from csv\b)", re.MULTILINE)
    users = {
        path.name
        for package in ("master", "licensemaster", "slave_client", "vendor_tools")
        for path in (ROOT / package).rglob("*.py")
        if imports_csv.search(path.read_text(encoding="utf-8"))
    }
    assert users == {"csv_table.py"}
