"""docs/catalogs.md explains every key of a catalog file, and every value that can be chosen."""

import re
from enum import Enum
from pathlib import Path

import pytest

from master.domain.catalog import RequiredOf
from master.domain.catalog_file import _CATALOG_KEYS, _TYPE_KEYS, read_catalog
from master.domain.words import DrawnFrom, HolderKind, Metering, PbxRole, VersionBasis

TEXT = (Path(__file__).parents[2] / "docs" / "catalogs.md").read_text(encoding="utf-8")


def documented(text: str) -> set[str]:
    return set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))


def test_every_key_is_explained_and_no_other() -> None:
    of_catalog, _, of_types = TEXT.partition("## A license type")
    assert documented(of_catalog) == _CATALOG_KEYS
    assert documented(of_types) == _TYPE_KEYS


@pytest.mark.parametrize("kind", [Metering, VersionBasis, DrawnFrom, HolderKind, PbxRole, RequiredOf])
def test_every_choice_is_named(kind: type[Enum]) -> None:
    for member in kind:
        assert f"`{member.name.lower()}`" in TEXT, member


def test_the_examples_are_right() -> None:
    examples = re.findall(r"(?:^    .*\n)+", TEXT, re.MULTILINE)
    catalog, port = (
        next(one for one in examples if one.strip().startswith(start)) for start in ("[catalog]", "[types")
    )
    ipva = '[types.ipva]\nname = "PBX-IPVA{version}"\nmetering = "companion"\n'
    read = read_catalog(re.sub("^    ", "", catalog + port, flags=re.MULTILINE) + ipva, file="docs/catalogs.md")
    assert set(read.types) == {"port", "ipva"}
