"""Where in a TOML text a value stands."""

import pytest

from master.domain.toml_lines import FieldPath, TomlLines, path_text

TEXT = """\
# a comment
name = "acme"  # line 2

[lease]
ttl_seconds = 60

[[pbxs]]
name = "hq"
lease = { grace_seconds = 0 }

[[pbxs]]
name = "berlin"

[pbxs.lease]
ttl_seconds = 30

  [types . "port"]  # with a comment
"quoted-key" = 1
holders = [
  "user",
]
rules = []
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("name",), 2),
        (("lease",), 4),
        (("lease", "ttl_seconds"), 5),
        (("pbxs", 0), 7),
        (("pbxs", 0, "name"), 8),
        (("pbxs", 0, "lease", "grace_seconds"), 9),
        (("pbxs", 1), 11),
        (("pbxs", 1, "name"), 12),
        (("pbxs", 1, "lease", "ttl_seconds"), 15),
        (("types", "port"), 17),
        (("types",), 17),
        (("types", "port", "quoted-key"), 18),
        (("types", "port", "holders"), 19),
        (("types", "port", "holders", 0), 19),
        (("types", "port", "rules"), 22),
        (("types", "port", "missing"), 17),
        (("pbxs", 0, "missing"), 7),
        (("nothing",), 1),
        ((), 1),
    ],
)
def test_line_of(path: FieldPath, line: int) -> None:
    assert TomlLines(TEXT).line_of(path) == line


def test_of_an_empty_text() -> None:
    assert TomlLines("").line_of(("name",)) == 1


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("name",), "name"),
        (("licenses", 3, "quantity"), "licenses[3].quantity"),
        (("types", "port", "tiers"), "types.port.tiers"),
        ((), ""),
    ],
)
def test_path_text(path: FieldPath, text: str) -> None:
    assert path_text(path) == text
