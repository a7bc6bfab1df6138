"""Every value of a TOML text is found on its line, however it is written."""

import tomllib

import pytest

from licensemaster.values.toml_lines import FieldPath, TomlLines, path_text

TABLES = '''\
# a comment with [brackets] and = signs
name = "acme"  # and "quotes"
note = """
licenses = 1
[[licenses]]
"""
[lease]
ttl_seconds = 60

[[sites]]
name = 'a'
lease = { grace_seconds = 0 }
[[sites]]
name = "b # no comment"
  [sites.lease]
  ttl_seconds = 3
[[sites.pbxs]]
name = "deep"

"quoted key"."x.y" = 1
dotted.part = 2

  [types . "port"]  # with a comment
"quoted-key" = 1
holders = [
  "user",
]
rules = []
'''

LISTS = """\
licenses = [
  { id = "one", quantity = 1 },

  { id = "two", quantity = 2 }, { id = "three",
    # TOML 1.0 wants an inline table on one line; what this reads is laxer
    quantity = 3 },
]
[a."b.c"]
d = [[1, 2],
  [3]]
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("name",), 2),
        (("note",), 3),
        (("lease",), 7),
        (("lease", "ttl_seconds"), 8),
        (("sites",), 10),
        (("sites", 0), 10),
        (("sites", 0, "name"), 11),
        (("sites", 0, "lease", "grace_seconds"), 12),
        (("sites", 1), 13),
        (("sites", 1, "name"), 14),
        (("sites", 1, "lease", "ttl_seconds"), 16),
        (("sites", 1, "pbxs", 0, "name"), 18),
        (("sites", 1, "pbxs", 0, "quoted key", "x.y"), 20),
        (("sites", 1, "pbxs", 0, "dotted", "part"), 21),
        (("types",), 23),
        (("types", "port"), 23),
        (("types", "port", "quoted-key"), 24),
        (("types", "port", "holders"), 25),
        (("types", "port", "holders", 0), 26),
        (("types", "port", "rules"), 28),
    ],
)
def test_tables(path: FieldPath, line: int) -> None:
    tomllib.loads(TABLES)
    assert TomlLines(TABLES).by_path[path] == TomlLines(TABLES).line_of(path) == line


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("licenses",), 1),
        (("licenses", 0), 2),
        (("licenses", 0, "quantity"), 2),
        (("licenses", 1), 4),
        (("licenses", 2, "id"), 4),
        (("licenses", 2, "quantity"), 6),
        (("a", "b.c"), 8),
        (("a", "b.c", "d"), 9),
        (("a", "b.c", "d", 0, 1), 9),
        (("a", "b.c", "d", 1, 0), 10),
    ],
)
def test_lists_in_line(path: FieldPath, line: int) -> None:
    assert TomlLines(LISTS).by_path[path] == TomlLines(LISTS).line_of(path) == line


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("types", "port", "missing"), 23),
        (("types", "port", "rules", 0), 28),
        (("sites", 0, "missing"), 10),
        (("sites", 0, "lease", "missing"), 12),
        (("sites", 2), 10),
        (("nothing",), None),
        ((), None),
    ],
)
def test_what_is_missing_is_looked_for_in_the_table_around_it(path: FieldPath, line: int | None) -> None:
    assert path not in TomlLines(TABLES).by_path
    assert TomlLines(TABLES).line_of(path) == line


def test_an_empty_text() -> None:
    assert TomlLines("").line_of(("name",)) is None


def test_the_same_paths_as_tomllib() -> None:
    text = TABLES + "\n[other]\nx = [{ y = 1.5, z = [] }, { y = -2e9 }]\nwhen = 1979-05-27T07:32:00.5Z\n"
    assert _paths(tomllib.loads(text), ()) == set(TomlLines(text).by_path)


def _paths(value: object, path: FieldPath) -> set[FieldPath]:
    items: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    collected: set[FieldPath] = {path} if path else set()
    return collected.union(*(_paths(inner, (*path, key)) for key, inner in items))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("name",), "name"),
        (("licenses", 3, "quantity"), "licenses[3].quantity"),
        (("pbxs", 12, "lease", "ttl_seconds"), "pbxs[12].lease.ttl_seconds"),
        (("types", "port", "tiers"), "types.port.tiers"),
        ((), ""),
    ],
)
def test_path_text(path: FieldPath, text: str) -> None:
    assert path_text(path) == text
