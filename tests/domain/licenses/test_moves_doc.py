"""docs/moves.md, the domain's problems and the API's problems are one list; so are those of documents."""

import re
from pathlib import Path

from licensemaster.v1 import license_pb2
from master.domain.licenses import move_problems
from master.domain.licenses.move_problems import MoveProblem
from master.rpc.errors import DOCUMENT_CODES
from master.service.licenses.documents import DocumentProblem

TEXT = (Path(__file__).parents[3] / "docs" / "moves.md").read_text(encoding="utf-8")
MOVES, DOCUMENTS = TEXT.split("\n# Documents\n")
SECTIONS = re.split(r"^## ", MOVES, flags=re.MULTILINE)[1:]
IN_DOMAIN = [(problem.value, problem.name) for problem in MoveProblem]


def test_problems_stand_in_order_of_precedence() -> None:
    assert [number for number, _ in IN_DOMAIN] == list(range(1, len(IN_DOMAIN) + 1))


def test_the_table_is_complete() -> None:
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|$", MOVES, re.MULTILINE)
    assert [(int(number), name) for number, name in rows] == IN_DOMAIN


def test_every_problem_is_explained_in_order() -> None:
    headings = [section.splitlines()[0].split() for section in SECTIONS]
    assert [(int(number), name) for number, name in headings] == IN_DOMAIN
    for section in SECTIONS:
        assert re.findall(r"^- (\w+): .+", section, re.MULTILINE) == ["When", "Rules", "Remedy", "Message"]


def test_rules_exist() -> None:
    rules = (Path(__file__).parents[3] / "docs" / "rules.md").read_text(encoding="utf-8")
    known = set(re.findall(r"^- \*\*([A-Z]\d+)\*\*", rules, re.MULTILINE))
    named = set(re.findall(r"^- Rules: (.+)", MOVES, re.MULTILINE))
    assert set(re.findall(r"\b([A-Z]\d+)\b", " ".join(named))) <= known


def test_every_problem_has_its_wording() -> None:
    wordings = [value for value in vars(move_problems).values() if isinstance(value, move_problems.Wording)]
    assert {wording.problem for wording in wordings} == set(MoveProblem)


def test_the_api_has_the_same_list() -> None:
    on_the_wire = [
        (value, name.removeprefix("MOVE_PROBLEM_")) for name, value in license_pb2.MoveProblem.items() if value
    ]
    assert on_the_wire == IN_DOMAIN


def test_every_reason_to_refuse_a_document_is_explained_with_its_status() -> None:
    rows = re.findall(r"^\| `DOCUMENT_(\w+)` \| (\w+) \| .+ \| .+ \|$", DOCUMENTS, re.MULTILINE)
    assert rows == [(problem.name, DOCUMENT_CODES[problem].name) for problem in DocumentProblem]
