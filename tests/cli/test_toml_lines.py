"""Every field of a TOML text is found on its line, however it is written."""

import tomllib

import pytest

from master.cli.toml_lines import FieldPath, toml_lines

TEXT = '''\
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
[[sites]]
name = "b # no comment"
  [sites.lease]
  ttl_seconds = 3
[[sites.pbxs]]
name = "deep"

"quoted key"."x.y" = 1
dotted.part = 2
'''

INLINE = """\
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
        (("sites", 1), 12),
        (("sites", 1, "name"), 13),
        (("sites", 1, "lease", "ttl_seconds"), 15),
        (("sites", 1, "pbxs", 0, "name"), 17),
        (("sites", 1, "pbxs", 0, "quoted key", "x.y"), 19),
        (("sites", 1, "pbxs", 0, "dotted", "part"), 20),
    ],
)
def test_tables(path: FieldPath, line: int) -> None:
    tomllib.loads(TEXT)
    assert toml_lines(TEXT)[path] == line


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
    assert toml_lines(INLINE)[path] == line


def test_the_same_fields_as_tomllib() -> None:
    text = TEXT + "\n[other]\nx = [{ y = 1.5, z = [] }, { y = -2e9 }]\nwhen = 1979-05-27T07:32:00.5Z\n"
    assert _paths(tomllib.loads(text), ()) == set(toml_lines(text))


def _paths(value: object, path: FieldPath) -> set[FieldPath]:
    items: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    found: set[FieldPath] = {path} if path else set()
    return found.union(*(_paths(inner, (*path, key)) for key, inner in items))
