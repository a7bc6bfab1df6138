"""A reader of a catalog's sections about time (`[policies]`, `[offers]`, `[products]`, `[releases]`).

Refuses what a typing mistake could break: unknown keys, names that do not exist, settings that contradict each other.
`policies.py` says what they mean; docs/catalogs.md explains every key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

from licensemaster.values.toml_lines import FieldPath
from master.domain.catalog.policies import (
    Begins,
    Counted,
    Grants,
    Late,
    Offer,
    Policies,
    Policy,
    PriceBasis,
    Product,
    SoldBy,
)
from master.domain.catalog.releases import ReleaseName
from master.domain.catalog.toml_reader import TomlReader, keys_of

if TYPE_CHECKING:
    from master.domain.catalog.catalog import LicenseType

T = TypeVar("T")

SECTIONS = ("policies", "offers", "products", "releases")


class PolicyFile:
    """The reader of a catalog's sections about time."""

    def __init__(self, reader: TomlReader, types: Mapping[str, LicenseType]) -> None:
        self._read = reader
        self._types = types

    def policies(self) -> Policies:
        """Read all sections about time."""
        policies = Policies(
            policies=self._section("policies", self._policy),
            offers=self._section("offers", self._offer),
            products=self._section("products", self._product),
            releases=self._releases(),
        )
        for license_type in self._types.values():
            self._read.known_names(
                ("types", license_type.key, "policies"), license_type.policies, policies.policies, "policy"
            )
        for offer in policies.offers.values():
            self._check_offer(offer, policies)
        for product in policies.products.values():
            self._check_product(product, policies)
        return policies

    def _section(self, name: str, read_one: Callable[[str, Mapping[str, Any]], T]) -> dict[str, T]:
        tables = self._read.typed(self._read.document, (name,), dict, {})
        return {key: read_one(key, self._read.table(tables, (name, key))) for key in tables}

    def _policy(self, key: str, table: Mapping[str, Any]) -> Policy:
        read, at = self._read, ("policies", key)
        days = sorted(read.whole_numbers(table, (*at, "reminder_days")), reverse=True)
        return read.record(Policy, table, at, key=key, reminder_days=tuple(days))

    def _offer(self, key: str, table: Mapping[str, Any]) -> Offer:
        read, at = self._read, ("offers", key)
        read.known_keys(table, at, keys_of(Offer))
        price = read.choice(PriceBasis, table, (*at, "price"), None)
        late = read.choice(Late, table, (*at, "late"), Late.FROM_LAST_END)
        gap_factor = read.decimal(table, (*at, "gap_factor"), None if late is Late.PAY_GAP else "1")
        share = read.decimal(table, (*at, "share"), None if price is PriceBasis.SHARE_PER_YEAR else "0")
        if late is Late.PAY_GAP and price not in (PriceBasis.SHARE_PER_YEAR, PriceBasis.PER_SEAT_AND_MONTH):
            raise read.error((*at, "late"), "a gap can be paid only where the price goes by time")
        if "gap_factor" in table and late is not Late.PAY_GAP:
            raise read.error((*at, "gap_factor"), "only an offer with late = 'pay_gap' has one")
        if "share" in table and price is not PriceBasis.SHARE_PER_YEAR:
            raise read.error((*at, "share"), "only an offer with price = 'share_per_year' has one")
        return read.record(Offer, table, at, key=key, gap_factor=gap_factor, share=share)

    def _product(self, key: str, table: Mapping[str, Any]) -> Product:
        return self._read.record(Product, table, ("products", key), key=key)

    def _releases(self) -> dict[ReleaseName, date]:
        table = self._read.typed(self._read.document, ("releases",), dict, {})
        releases: dict[ReleaseName, date] = {}
        for text in table:
            at: FieldPath = ("releases", text)
            name = self._read.parsed(ReleaseName, text, at)
            if name in releases:
                raise self._read.error(at, "the release stands here twice, in two spellings")
            releases[name] = self._read.day(table, at)
        return releases

    def _check_offer(self, offer: Offer, policies: Policies) -> None:
        at, error = ("offers", offer.key), self._read.error
        self._read.known_names((*at, "policies"), offer.policies, policies.policies, "policy")
        covered = [policies.policies[name] for name in offer.policies]
        if not covered:
            raise error((*at, "policies"), "an offer is time of at least one policy")
        if offer.payment_first and offer.needs_key:
            raise error((*at, "needs_key"), "where payment comes first, the key comes with its confirmation")
        if offer.renews_itself and len(offer.months) != 1:
            raise error((*at, "renews_itself"), "an offer that renews automatically has exactly one period in months")
        if offer.days and offer.months:
            raise error((*at, "days"), "an offer is sold by days or by months, not both")
        if offer.late is Late.PAY_GAP and offer.gap_factor == Decimal(0):
            raise error((*at, "gap_factor"), "must be above 0; where the gap is not bought, late = 'from_today'")
        since_delivery = offer.counted is Counted.DELIVERY or offer.from_day or offer.until_day or offer.until_month
        if since_delivery and any(policy.begins is not Begins.DELIVERY for policy in covered):
            raise error(at, "counts days since delivery, which only policies with begins = 'delivery' know")
        if offer.until_day and offer.until_month:
            raise error((*at, "until_month"), "give until_day or until_month, not both")
        if offer.until_day and offer.until_day <= offer.from_day:
            raise error((*at, "until_day"), f"must be above from_day, {offer.from_day}")

    def _check_product(self, product: Product, policies: Policies) -> None:
        at, error = ("products", product.key), self._read.error
        self._read.known_names((*at, "policies"), product.policies, policies.policies, "policy")
        if product.tiers and product.sold_by is not SoldBy.TIER:
            raise error((*at, "tiers"), "only a product that is sold by tier has them")
        self._read.known_names((*at, "tiers"), product.tiers, product.counts, "type among its counts")
        for field in ("counts", "each_has", "features"):
            self._read.known_names((*at, field), getattr(product, field), self._types, "type")
        if (product.sold_by is SoldBy.PIECE) is bool(product.counts):
            raise error((*at, "counts"), "exactly the products sold by tier or by seat have counts")
        yearly = [
            policy for policy in map(policies.policies.__getitem__, product.policies) if policy.grants is Grants.USE
        ]
        if product.sold_by is SoldBy.SEAT and not any(policy.included_months for policy in yearly):
            raise error((*at, "policies"), "seats are sold for the included_months of a policy with grants = 'use'")
        if product.seat_for and len(product.counts) != 1:
            raise error((*at, "seat_for"), "seats are assigned where counts is exactly one type")
        if product.trial is not None:
            self._read.known_names((*at, "trial"), (product.trial,), policies.offers, "offer")
            tried = policies.offers[product.trial].policies
            if any(policies.policies[name].grants is not Grants.USE for name in tried):
                raise error((*at, "trial"), "is an offer of a policy with grants = 'use'")
        if (product.gate_release is None) is not (product.gate_policy is None):
            raise error((*at, "gate_policy"), "gate_release and gate_policy stand together")
        if product.gate_policy is not None:
            self._read.known_names((*at, "gate_policy"), (product.gate_policy,), product.policies, "policy")
