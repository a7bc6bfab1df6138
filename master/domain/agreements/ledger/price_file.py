"""A reader of an operator's price file (TOML), which refuses a wrong one with file, line, field and remedy.

Amounts are texts ("12.50"), so that they stay exact. The deciding modules say what is charged when.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from licensemaster.values.toml_lines import FieldPath
from master.domain.agreements.ledger.pricing import PriceList
from master.domain.catalog.catalog import Catalog
from master.domain.catalog.policies import PriceBasis
from master.domain.catalog.toml_reader import TomlReader

HEAD_KEYS = {"catalog", "currency", "quantum", "credit_quantum", "credit"}
SECTIONS = {"prices", "values", "shares", "offers", "tiers", "seat_months", "features", "premier"}


class PriceFileError(Exception):
    """A price file cannot be used; the text is `file:line: field: reason`."""


def read_prices(text: str, *, file: str, catalog: Catalog) -> PriceList:
    """Read a price file; `file` is the name of the file in errors.
    Raises PriceFileError if the file has a mistake, or is for another catalog."""
    return _Reader(text, file=file, failure=PriceFileError).prices(catalog)


class _Reader(TomlReader):
    def prices(self, catalog: Catalog) -> PriceList:
        self.known_keys(self.document, (), SECTIONS)
        head = self.table(self.document, ("prices",))
        self.known_keys(head, ("prices",), HEAD_KEYS)
        name = self.string(head, ("prices", "catalog"))
        if name != catalog.name:
            raise self.error(("prices", "catalog"), f"{name!r} is not the project's catalog, {catalog.name!r}")
        time = catalog.time
        shared = {key for key, offer in time.offers.items() if offer.price is PriceBasis.SHARE_PER_YEAR}
        fixed = {key for key, offer in time.offers.items() if offer.price is PriceBasis.FIXED}
        sold = {key for product in time.products.values() for key in product.counts}
        features = {key for product in time.products.values() for key in product.features}
        premier = {key for key, product in time.products.items() if product.premier}
        valued = set(catalog.types) | {
            f"{key}%{tier}" for key, license_type in catalog.types.items() for tier in license_type.tiers
        }
        prices = PriceList(
            catalog=name,
            currency=self.string(head, ("prices", "currency")),
            quantum=self._quantum(head, "quantum", "0.01"),
            credit_quantum=self._quantum(head, "credit_quantum", "1"),
            credit=self.decimal(head, ("prices", "credit")) if "credit" in head else None,
            values=self._amounts(self.document, ("values",), valued, "type"),
            shares=self._amounts(self.document, ("shares",), shared, "offer with a share"),
            offers=self._numbered("offers", fixed, "offer with a fixed price"),
            tiers=self._numbered("tiers", sold, "type that is sold"),
            seat_months=self._amounts(self.document, ("seat_months",), sold, "type that is sold"),
            features=self._amounts(self.document, ("features",), features, "feature"),
            premier=self._amounts(self.document, ("premier",), premier, "product with premier support"),
        )
        self._check_periods(prices, catalog)
        return prices

    def _quantum(self, head: Mapping[str, Any], key: str, default: str) -> Decimal:
        quantum = self.decimal(head, ("prices", key), default)
        if not quantum:
            raise self.error(("prices", key), 'must be above 0: what amounts are rounded to, such as "0.01"')
        return quantum

    def _amounts(self, table: Mapping[str, Any], at: FieldPath, known: set[str], word: str) -> dict[str, Decimal]:
        amounts = self.typed(table, at, dict, {})
        for key in amounts:
            self.known_names((*at, key), [key], known, word)
        return {key: self.decimal(amounts, (*at, key)) for key in amounts}

    def _numbered(self, section: str, known: set[str], word: str) -> dict[str, dict[int, Decimal]]:
        tables = self.typed(self.document, (section,), dict, {})
        numbered: dict[str, dict[int, Decimal]] = {}
        for key in tables:
            self.known_names((section, key), [key], known, word)
            table = self.table(tables, (section, key))
            for number in table:
                if not (number.isascii() and number.isdigit() and number == str(int(number)) and number != "0"):
                    raise self.error((section, key, number), f"{number!r} must be a whole number above 0")
            numbered[key] = {int(number): self.decimal(table, (section, key, number)) for number in table}
        return numbered

    def _check_periods(self, prices: PriceList, catalog: Catalog) -> None:
        for key, periods in prices.offers.items():
            sold = catalog.time.offers[key].months
            for months in periods:
                if sold and months not in sold:
                    listed = ", ".join(map(str, sold))
                    raise self.error(("offers", key, str(months)), f"is not sold for {months} months, but for {listed}")
