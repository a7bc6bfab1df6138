"""docs/catalogs.md explains every key of a catalog file, and every value that can be chosen."""

import re
from enum import Enum
from pathlib import Path

import pytest

from licensemaster.api_enums import HolderKind
from master.domain.catalog.catalog import LicenseType, RequiredOf
from master.domain.catalog.catalog_file import _CATALOG_KEYS, read_catalog
from master.domain.catalog.policies import (
    Begins,
    Counted,
    Grants,
    Late,
    Offer,
    Policy,
    PriceBasis,
    Product,
    SeatUse,
    SoldBy,
    SubjectKind,
    Unit,
)
from master.domain.catalog.toml_reader import keys_of
from master.domain.catalog.words import DrawnFrom, Metering, PbxRole, VersionBasis

TEXT = (Path(__file__).parents[3] / "docs" / "catalogs.md").read_text(encoding="utf-8")


def documented(text: str) -> set[str]:
    return set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))


def test_every_key_is_explained_and_no_other() -> None:
    sections = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))
    assert {title: documented(text) for title, text in sections.items()} == {
        "The catalog itself": _CATALOG_KEYS,
        "A license type": keys_of(LicenseType),
        "A policy": keys_of(Policy),
        "An offer": keys_of(Offer),
        "A product": keys_of(Product),
        "Releases": set(),
    }


@pytest.mark.parametrize(
    "kind",
    [
        Metering,
        VersionBasis,
        DrawnFrom,
        HolderKind,
        PbxRole,
        RequiredOf,
        Grants,
        Begins,
        Late,
        Counted,
        PriceBasis,
        Unit,
        SoldBy,
        SubjectKind,
        SeatUse,
    ],
)
def test_every_choice_is_named(kind: type[Enum]) -> None:
    for member in kind:
        assert f"`{member.name.lower()}`" in TEXT, member


def test_the_examples_are_right() -> None:
    examples = re.findall(r"(?:^    .*\n)+", TEXT, re.MULTILINE)
    starts = ("[catalog]", "[types", "[policies", "[offers", "[products")
    parts = [next(example for example in examples if example.strip().startswith(start)) for start in starts]
    ipva = '[types.ipva]\nname = "PBX-IPVA{version}"\nmetering = "companion"\n'
    user = '[types.user]\nname = "User{version}"\nmetering = "fixed"\nholders = ["user"]\n'
    examples_read = re.sub("^    ", "", "".join(parts), flags=re.MULTILINE)
    read = read_catalog(examples_read + ipva + user, file="docs/catalogs.md")
    assert set(read.types) == {"port", "ipva", "user"}
    assert (set(read.time.policies), set(read.time.offers)) == ({"maintenance"}, {"renewal"})
    assert set(read.time.products) == {"isymphony"}
