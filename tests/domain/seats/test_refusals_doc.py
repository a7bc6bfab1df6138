"""docs/refusals.md, the domain's reasons and the API's reasons are one list."""

import re
from pathlib import Path

from licensemaster.api_enums import RemedyAction
from licensemaster.v1 import seat_pb2
from master.domain.seats.refusals import allocation_explanations, explanations, shortage_explanations
from master.domain.seats.refusals.reasons import RefusalReason

TEXT = (Path(__file__).parents[3] / "docs" / "refusals.md").read_text(encoding="utf-8")
SECTIONS = re.split(r"^## (?=\d)", TEXT, flags=re.MULTILINE)[1:]
IN_DOMAIN = [(reason.value, reason.name) for reason in RefusalReason]


def test_reasons_stand_in_order_of_precedence() -> None:
    assert [number for number, _ in IN_DOMAIN] == list(range(1, len(IN_DOMAIN) + 1))


def test_the_table_is_complete() -> None:
    assert [(int(number), name) for number, name in re.findall(r"^\| (\d+) \| `(\w+)` \|$", TEXT, re.MULTILINE)] == (
        IN_DOMAIN
    )


def test_every_reason_is_explained_in_order() -> None:
    headings = [section.splitlines()[0].split() for section in SECTIONS]
    assert [(int(number), name) for number, name in headings] == IN_DOMAIN
    for section in SECTIONS:
        assert re.findall(r"^- (\w+): .+", section, re.MULTILINE) == ["When", "Rules", "Carries", "Remedy", "Message"]


def test_remedies_and_rules_exist() -> None:
    explained = re.findall(r"^\| `([A-Z_]+)` \|", TEXT, re.MULTILINE)
    assert set(explained) == {action.name for action in RemedyAction}
    assert set(re.findall(r"`([A-Z_]+)`", "".join(SECTIONS))) <= set(explained)
    rules = (Path(__file__).parents[3] / "docs" / "rules.md").read_text(encoding="utf-8")
    known = set(re.findall(r"^- \*\*([A-Z]\d+)\*\*", rules, re.MULTILINE))
    assert set(re.findall(r"\b([A-Z]\d+)\b", re.sub(r"V\d+", "", "".join(SECTIONS)))) <= known


def test_every_reason_has_its_wording_in_order() -> None:
    named = [name.lower() for _, name in IN_DOMAIN]
    modules = explanations, shortage_explanations, allocation_explanations
    worded = [[name for name in vars(module) if name in named] for module in modules]
    assert all(names == sorted(names, key=named.index) for names in worded)
    assert sorted(name for names in worded for name in names) == sorted(named)


def test_the_api_has_the_same_list() -> None:
    on_the_wire = [
        (value, name.removeprefix("REFUSAL_REASON_")) for name, value in seat_pb2.RefusalReason.items() if value
    ]
    assert on_the_wire == IN_DOMAIN
