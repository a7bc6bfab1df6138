"""Price files are read strictly; amounts are exact and rounded once."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from master.domain.agreements.policies import Unit
from master.domain.agreements.price_file import PriceFileError, read_prices
from master.domain.agreements.pricing import ExactLine, PriceList, rounded, rounded_lines, totals
from master.domain.catalog import Catalog
from tests.domain.agreements.paper import ALLWORX, DISTRIBUTION_ENGINE, INNOVAPHONE, ISYMPHONY

HEAD = '[prices]\ncatalog = "{}"\ncurrency = "EUR"\n'


@pytest.mark.parametrize(
    ("catalog", "text", "mistake"),
    [
        (INNOVAPHONE, "", "p:1: prices: is missing"),
        (INNOVAPHONE, '[prices]\ncatalog = "x"', "p:2: prices.catalog: 'x' is not the project's catalog, 'innovaphone'"),
        (INNOVAPHONE, '[prices]\ncatalog = "innovaphone"', "p:1: prices.currency: is missing"),
        (INNOVAPHONE, HEAD + "credits = 1", "p:4: prices.credits: unknown key; did you mean 'credit'?"),
        (INNOVAPHONE, HEAD + 'quantum = "0"', 'p:4: prices.quantum: must be above 0: what amounts are rounded to, such as "0.01"'),
        (INNOVAPHONE, HEAD + "[valeus]", "p:4: valeus: unknown key; did you mean 'values'?"),
        (INNOVAPHONE, HEAD + '[values]\nprt = "1"', "p:5: values.prt: there is no type 'prt'; did you mean 'port'?"),
        (INNOVAPHONE, HEAD + "[values]\nport = 1.5", "p:5: values.port: 1.5 must be a text"),
        (INNOVAPHONE, HEAD + '[values]\nport = "-1"', "p:5: values.port: '-1' must be a decimal in quotes, not negative, such as \"12.50\""),
        (INNOVAPHONE, HEAD + '[values]\nport = "1e3"', "p:5: values.port: '1e3' must be a decimal in quotes, not negative, such as \"12.50\""),
        (INNOVAPHONE, HEAD + '[values]\n"port%7" = "1"', "p:5: values.port%7: there is no type 'port%7'; did you mean 'port'?"),
        (INNOVAPHONE, HEAD + '[shares]\nwarranty_later = "1"', "p:5: shares.warranty_later: there is no offer with a share 'warranty_later'"),
        (ALLWORX, HEAD + '[offers.anytime]\n24 = "1"', "p:5: offers.anytime.24: is not sold for 24 months, but for 12"),
        (ALLWORX, HEAD + '[offers.anytime]\nyear = "1"', "p:5: offers.anytime.year: 'year' must be a whole number above 0"),
        (ALLWORX, HEAD + '[offers.any]\n12 = "1"', "p:4: offers.any: there is no offer with a fixed price 'any'; did you mean 'anytime'?"),
        (ISYMPHONY, HEAD + '[tiers.user]\n020 = "1"', "p:5: tiers.user.020: '020' must be a whole number above 0"),
        (DISTRIBUTION_ENGINE, HEAD + '[premier]\nseat = "20"', "p:5: premier.seat: there is no product with premier support 'seat'; did you mean 'seats'?"),
        (INNOVAPHONE, "= 1", "p:1: not TOML: Invalid statement (at line 1, column 1)"),
    ],
)  # fmt: skip
def test_a_mistake_is_refused_with_its_place(catalog: Catalog, text: str, mistake: str) -> None:
    with pytest.raises(PriceFileError) as refused:
        read_prices(text.replace("{}", catalog.name), file="p", catalog=catalog)
    assert str(refused.value) == mistake


@pytest.mark.parametrize(
    ("amount", "quantum", "result"),
    [("0.125", "0.01", "0.13"), ("0.1249", "0.01", "0.12"), ("12.5", "1", "13"), ("-0.5", "1", "-1"), ("7", "5", "5")],
)
def test_half_up(amount: str, quantum: str, result: str) -> None:
    assert rounded(Fraction(amount), Decimal(quantum)) == Decimal(result)


def line(amount: Fraction) -> ExactLine:
    return ExactLine(what="x", each=Decimal(1), factor=amount, unit=Unit.MONEY, why="x")


PRICES = PriceList(catalog="x", currency="EUR", quantum=Decimal("0.01"), credit_quantum=Decimal(1))


@given(st.fractions(0, 10**6), st.lists(st.fractions(0, 1), max_size=20))
def test_the_sum_of_parts_is_the_whole(whole: Fraction, cuts: list[Fraction]) -> None:
    """However a price is divided over lines, they add up to the price in one."""
    ends = [Fraction(0), *sorted(cuts), Fraction(1)]
    parts = [whole * (end - begin) for begin, end in zip(ends, ends[1:], strict=False)]
    one = rounded_lines([line(whole)], PRICES)
    many = rounded_lines([line(part) for part in parts], PRICES)
    assert totals(one) == totals(many)
    assert all(abs(Fraction(each.amount) - part) <= PRICES.quantum for each, part in zip(many, parts, strict=True))
    assert all(each.amount >= 0 and each.amount % PRICES.quantum == 0 for each in many)
