"""Every mistake in a catalog file is refused with file, line, field and reason; one fixture per mistake.

A fixture's first line says what is expected of it.
"""

import re
from pathlib import Path

import pytest

from master.domain.catalog.catalog import LicenseType
from master.domain.catalog.catalog_file import CatalogError, read_catalog
from master.domain.catalog.policies import Offer, Policy, Product
from master.domain.catalog.toml_reader import keys_of

FIXTURES = sorted((Path(__file__).parents[2] / "fixtures" / "catalogs").glob("*.toml"))
MISTAKES = [path for path in FIXTURES if path.stem != "good"]
GOOD = next(path for path in FIXTURES if path.stem == "good")


def test_the_fixture_without_a_mistake() -> None:
    catalog = read_catalog(GOOD.read_text(encoding="utf-8"), file="good.toml")
    assert (catalog.name, catalog.title, sorted(catalog.platforms)) == ("example", "Example", ["gateway", "virtual"])
    assert list(catalog.types) == [
        "seat", "machine", "user", "extra", "mailbox", "all", "recorder", "recorded", "plug", "device_type"
    ]  # fmt: skip


@pytest.mark.parametrize("path", MISTAKES, ids=[path.stem for path in MISTAKES])
def test_a_mistake_is_refused_with_its_place(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    expected = re.fullmatch(r"# expected: (\d+): (.+)", text.splitlines()[0])
    assert expected is not None
    with pytest.raises(CatalogError) as refused:
        read_catalog(text, file=path.name)
    assert str(refused.value) == f"{path.name}:{expected[1]}: {expected[2]}"


@pytest.mark.parametrize("path", MISTAKES, ids=[path.stem for path in MISTAKES])
def test_a_fixture_has_one_mistake(path: Path) -> None:
    """So that it is this one which is refused."""
    good, bad = GOOD.read_text(encoding="utf-8").splitlines()[1:], path.read_text(encoding="utf-8").splitlines()[1:]
    same = set(good) & set(bad)
    assert len([line for line in bad if line not in same]) <= 3


def test_an_empty_file() -> None:
    with pytest.raises(CatalogError, match=r"^empty.toml:1: catalog: is missing$"):
        read_catalog("", file="empty.toml")


@pytest.mark.parametrize("key", sorted(keys_of(LicenseType) - {"includes_per_pbx"}))
def test_every_key_refuses_a_value_of_the_wrong_kind(key: str) -> None:
    wrong = "{ a = 1 }"
    head = '[catalog]\nname = "x"\ntitle = "x"\nplatforms = []\n[types.one]\n'
    rest = "".join(
        f"{name} = {value}\n"
        for name, value in {"name": '"One{version}"', "metering": '"fixed"', "holders": '["user"]'}.items()
        if name != key
    )
    with pytest.raises(CatalogError) as refused:
        read_catalog(f"{head}{key} = {wrong}\n{rest}", file="f")
    assert str(refused.value).startswith(f"f:6: types.one.{key}: {{'a': 1}} must be ")


@pytest.mark.parametrize(
    ("section", "key"),
    [("policies", key) for key in sorted(keys_of(Policy))]
    + [("offers", key) for key in sorted(keys_of(Offer))]
    + [("products", key) for key in sorted(keys_of(Product) - {"each_has", "features", "tiers"})],
)
def test_every_key_about_time_refuses_a_value_of_the_wrong_kind(section: str, key: str) -> None:
    head = '[catalog]\nname = "x"\ntitle = "x"\nplatforms = []\n[types]\n'
    needed = {
        "policies": {"title": '"x"', "grants": '"use"', "begins": '"purchase"'},
        "offers": {"title": '"x"', "price": '"free"'},
        "products": {"title": '"x"', "subject": '"license"'},
    }
    rest = "".join(f"{name} = {value}\n" for name, value in needed[section].items() if name != key)
    with pytest.raises(CatalogError) as refused:
        read_catalog(f"{head}[{section}.one]\n{key} = {{ a = 1 }}\n{rest}", file="f")
    assert str(refused.value).startswith(f"f:7: {section}.one.{key}: {{'a': 1}} must be ")


@pytest.mark.parametrize(
    ("section", "table", "key"),
    [
        ("types", 'nmae = "x"', "name"),
        ("policies", 'title = "x"\ngrans = "use"', "grants"),
        ("offers", 'title = "x"\nprise = "free"', "price"),
        ("products", 'title = "x"\nsubjekt = "license"', "subject"),
    ],
)
def test_a_misspelt_key_is_told_before_what_is_missing_for_it(section: str, table: str, key: str) -> None:
    head = '[catalog]\nname = "x"\ntitle = "x"\nplatforms = []\n' + ("" if section == "types" else "[types]\n")
    with pytest.raises(CatalogError, match=f"unknown key; did you mean '{key}'"):
        read_catalog(f"{head}[{section}.one]\n{table}\n", file="f")
