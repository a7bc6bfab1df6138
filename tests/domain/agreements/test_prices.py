"""Price files are read strictly; amounts are exact and rounded once."""

import re
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from master.domain.agreements.ledger.price_file import PriceFileError, read_prices
from master.domain.agreements.ledger.pricing import ExactLine, PriceList, rounded, rounded_lines, totals
from master.domain.catalog.policies import Unit
from tests.domain.agreements.ledger_in_memory import catalog

MISTAKES = sorted((Path(__file__).parents[2] / "fixtures" / "prices").glob("*.toml"))


@pytest.mark.parametrize("path", MISTAKES, ids=[path.stem for path in MISTAKES])
def test_a_mistake_is_refused_with_its_place(path: Path) -> None:
    """One fixture for each mistake; the first line says for which catalog, and what is expected."""
    text = path.read_text(encoding="utf-8")
    expected = re.fullmatch(r"# (\w+): expected: (\d+): (.+)", text.splitlines()[0])
    assert expected is not None
    with pytest.raises(PriceFileError) as refused:
        read_prices(text, file=path.name, catalog=catalog(expected[1]))
    assert str(refused.value) == f"{path.name}:{expected[2]}: {expected[3]}"


@pytest.mark.parametrize(
    ("amount", "quantum", "result"),
    [("0.125", "0.01", "0.13"), ("0.1249", "0.01", "0.12"), ("12.5", "1", "13"), ("-0.5", "1", "-1"), ("7", "5", "5")],
)
def test_half_up(amount: str, quantum: str, result: str) -> None:
    assert rounded(Fraction(amount), Decimal(quantum)) == Decimal(result)


def line(amount: Fraction) -> ExactLine:
    return ExactLine(what="x", each=Decimal(1), factor=amount, paid_in=Unit.MONEY, why="x")


PRICES = PriceList(catalog="x", currency="EUR", quantum=Decimal("0.01"), credit_quantum=Decimal(1))


@given(st.fractions(0, 10**6), st.lists(st.fractions(0, 1), max_size=20))
def test_the_sum_of_parts_is_the_whole(whole: Fraction, cuts: list[Fraction]) -> None:
    """However a price is divided over lines, they add up to the price in one."""
    ends = [Fraction(0), *sorted(cuts), Fraction(1)]
    parts = [whole * (end - begin) for begin, end in pairwise(ends)]
    lines = rounded_lines([line(whole)], PRICES)
    many = rounded_lines([line(part) for part in parts], PRICES)
    assert totals(lines) == totals(many)
    assert all(abs(Fraction(each.amount) - part) <= PRICES.quantum for each, part in zip(many, parts, strict=True))
    assert all(each.amount >= 0 and each.amount % PRICES.quantum == 0 for each in many)


def test_the_example_prices_have_whatever_an_agreement_covers() -> None:
    """M4: an agreement can be ordered for a whole PBX, whatever it has."""
    known = catalog("innovaphone")
    text = (Path(__file__).parents[3] / "examples" / "prices" / "innovaphone.toml").read_text(encoding="utf-8")
    covered = {key: license_type for key, license_type in known.types.items() if "ssa" in license_type.policies}
    assert covered == {key: license_type for key, license_type in known.types.items() if license_type.versioned}  # M8
    assert {"ipva", "uc", "gsm_client"} <= covered.keys()
    valued = set(covered) | {f"{key}%{tier}" for key, described in covered.items() for tier in described.tiers}
    assert set(read_prices(text, file="innovaphone.toml", catalog=known).values) == valued
