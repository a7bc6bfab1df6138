"""docs/agreements.md lists every problem in order and every section of a price file; every order has its decider."""

import re
from pathlib import Path
from typing import get_args

from master.domain.agreements.ledger.orders import Order
from master.domain.agreements.ledger.price_file import HEAD_KEYS, SECTIONS, read_prices
from master.domain.agreements.ledger.problems import AgreementProblem
from master.domain.agreements.ordering.decide_order import _DECIDED_BY
from tests.domain.agreements.ledger_in_memory import DISTRIBUTION_ENGINE

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "agreements.md").read_text(encoding="utf-8")


def test_every_problem_is_listed_in_order() -> None:
    assert re.findall(r"^\| `([A-Z_]+)` \|", TEXT, re.MULTILINE) == [
        agreement_problem.name for agreement_problem in AgreementProblem
    ]
    numbers = [agreement_problem.value for agreement_problem in AgreementProblem]
    assert numbers == sorted(set(numbers))


def test_every_problem_is_found_somewhere() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "master/domain/agreements").rglob("*.py"))
    assert {agreement_problem.name for agreement_problem in AgreementProblem} == set(
        re.findall(r"AgreementProblem\.([A-Z_]+)", source)
    )


def test_every_section_of_a_price_file_is_explained() -> None:
    assert set(re.findall(r"^\| `\[(\w+)", TEXT, re.MULTILINE)) == SECTIONS
    assert all(f"`{key}`" in TEXT for key in HEAD_KEYS)


def test_the_example_is_right() -> None:
    example = next(each for each in re.findall(r"(?:^    .*\n|^\n)+", TEXT, re.MULTILINE) if "[prices]" in each)
    text = re.sub("^    ", "", example, flags=re.MULTILINE)
    assert read_prices(text, file="x", catalog=DISTRIBUTION_ENGINE).seat_months.keys() == {"seat"}


def test_every_order_is_decided() -> None:
    assert set(get_args(Order)) == set(_DECIDED_BY)
