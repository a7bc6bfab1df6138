"""Texts in formats that nest, read only after a check of what reading them would cost.

A parser's cost is not its text's length: a TOML key of 20,000 dots takes gigabytes, and so may lists in lists and empty
tables. So size, depth and counts are found in one pass first, and what is over a limit is refused before any parser
sees it. Nothing else here calls `tomllib` or `json` on a text that it did not write itself; a test checks that.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

# A group with a choice or a look ahead is not repeated possessively: before Python 3.11.5 `re` then loses matches.
_JSON_TEXTS: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|".*+', re.DOTALL)
_TOML_TEXTS: Final = re.compile(
    r"""
      \#[^\n]*+
    | \"\"\"[^"\\]*+(?:(?:\\.[^"\\]*+)++|"{1,2}+(?!")[^"\\]*+)*\"{3,5}+
    | '''[^']*+(?:'{1,2}+(?!')[^']*+)*'{3,5}+
    | (?!\"\"\"|''')(?:"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+" | '[^'\n]*+')
    | ["'].*+  # not closed: no parser gets further
    """,
    re.VERBOSE | re.DOTALL,
)
_BRACKET: Final = re.compile(r"[\[\]{}]")
_ENDS_WORD: Final = r"\s\[\]{}=:,.\""


@dataclass(frozen=True, slots=True)
class TextLimits:
    """The limits of a text; the parser's time and memory stay in proportion to these."""

    size: int
    """The most bytes in UTF-8."""
    depth: int
    """The most lists, tables and objects within each other."""
    items: int
    """Lists, tables, objects and what they have, in all."""
    parts: int = 8
    """The most parts of a TOML key, between its dots."""
    word: int = 256
    """The most characters of a number or of another word without quotes."""


OF_SETTINGS: Final = TextLimits(size=256 * 1024, depth=8, items=5_000)
"""The limits of a file of settings."""


class OverLimitError(ValueError):
    """Raised where a text is over a limit; says which limit, what the text has, and where."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line
        """Counted from 1."""


def read_toml(text: str, limits: TextLimits) -> dict[str, Any]:
    """Read a TOML text within limits.

    Raises:
        OverLimitError: the text is over a limit; no parser has seen it.
        tomllib.TOMLDecodeError: the text is no TOML.
    """
    _check_size(text, limits)
    bare = _TOML_TEXTS.sub(_emptied, text)
    _check(bare, limits, items="=,[{")
    if match := re.search(rf"(?:\.[^\n=,\[\]{{}}.]*+){{{limits.parts}}}", bare):
        raise _over("dots in one key", limits.parts, limits.parts - 1, bare, match.start())
    return tomllib.loads(text)


def read_json(text: str, limits: TextLimits) -> Any:
    """Read a JSON text within limits.

    Raises:
        OverLimitError: the text is over a limit; no parser has seen it.
        ValueError: the text is no JSON, or an object in it has a name twice, of which only the last would count.
    """
    check_json(text, limits)
    return json.loads(text, object_pairs_hook=_each_once)


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) < len(pairs):
        ((name, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"{name[:80]!r} stands twice in one object")
    return read


def check_json(text: str, limits: TextLimits) -> None:
    """Check that a JSON text may be handed to somebody else's parser.
    Raises OverLimitError if the text is over a limit."""
    if len(text) > limits.word or _is_crowded(text, limits):  # else it is too short to be over any limit
        _check_size(text, limits)
        _check(_JSON_TEXTS.sub(_emptied, text), limits, items=",[{")


def _is_crowded(text: str, limits: TextLimits) -> bool:
    """Tell whether a JSON text may exceed the limits, by a quick count that includes the content of strings."""
    brackets = text.count("[") + text.count("{")
    return brackets > limits.depth or brackets + text.count(",") > limits.items or len(text) * 4 > limits.size


def _emptied(match: re.Match[str]) -> str:
    """Return a replacement for a string or comment, with no content and as many lines."""
    lines = "\n" * match[0].count("\n")
    return lines if match[0][0] == "#" else f'""{lines}'


def _check_size(text: str, limits: TextLimits) -> None:
    size = len(text) if len(text) > limits.size else len(text.encode("utf-8", "surrogatepass"))
    if size > limits.size:
        raise OverLimitError(f"has {size:,} bytes; at most {limits.size:,} may be", 1)


def _check(bare: str, limits: TextLimits, *, items: str) -> None:
    """Check the limits that both formats share, on a text whose strings are emptied; raises OverLimitError."""
    count = sum(bare.count(item) for item in items)
    if count > limits.items:
        raise OverLimitError(f"has {count:,} values, lists and tables; at most {limits.items:,} may be", 1)
    depth = 0
    for match in _BRACKET.finditer(bare):
        depth += 1 if match[0] in "[{" else -1
        if depth > limits.depth:
            at = bare.count("\n", 0, match.start()) + 1
            raise OverLimitError(f"is nested too deeply: {depth} or more levels; at most {limits.depth} may be", at)
    word = re.search(rf"(?<![^{_ENDS_WORD}])[^{_ENDS_WORD}]{{{limits.word + 1}}}", bare)
    if word:
        raise _over("characters in a number or word", limits.word + 1, limits.word, bare, word.start())


def _over(what: str, count: int, most: int, text: str, at: int) -> OverLimitError:
    line = text.count("\n", 0, at) + 1
    return OverLimitError(f"has {count:,} or more {what}; at most {most:,} may be", line)
