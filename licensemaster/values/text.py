"""Normal forms of text: `clean` for what people write in their languages, `plain` for what is written in ASCII."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Final, Literal

TEXT_MAX: Final = 128
"""The most characters in a name."""
REASON_MAX: Final = 500
"""The most characters in a text for people: reasons, display names."""
_SHOWN: Final = 80
_RESPELT_MAX: Final = 8 * REASON_MAX
"""Characters above which a text is not brought into normal form, as it is refused anyway."""
_MARKS_MAX: Final = 30
_JOINERS_MAX: Final = 8
"""Characters before a joiner among which the letter that it joins is looked for."""

_NEVER_MEANT: Final = re.compile(
    "["
    "\u00ad"  # soft hyphen
    "\u034f"  # combining grapheme joiner
    "\u061c\u200e\u200f"  # marks of direction: they change how a neighbour is shown, and name nothing
    "\u115f\u1160\u3164\uffa0"  # Hangul fillers: letters that show nothing
    "\u200b\u2060-\u2064\ufeff"  # zero-width space, word joiner, invisible operators, byte order mark
    "]+"
)
_JOINERS: Final = re.compile("[\u200c\u200d]")
_SPACES: Final = re.compile("(?:[^\\S\n\r\v\f\x1c-\x1f\x85\u2028\u2029]|\u2800)+")
_DASHES: Final = re.compile("[\u2010-\u2015\u2043\u2212\ufe58\ufe63\uff0d\u2796]")
_DIRECTION: Final = re.compile("[\u202a-\u202e\u2066-\u2069]")
_VIRAMA: Final = 9
"""The combining class of Indic signs that take a letter's vowel away; a joiner behind one changes the word."""
_JOINING: Final = (("\u0600", "\u1cff"), ("\ua800", "\uabff"), ("\U00010a00", "\U00011fff"))
"""The ranges of scripts whose letters join: Arabic, Syriac, Indic, South-East Asian, Mongolian."""


class BadValueError(ValueError):
    """Raised for a value that cannot be used; says which and why, in one sentence."""


def clean(text: str) -> str:
    """Return a text in NFC without white space around it, runs of white space and invisible characters.

    Capitals, accents, apostrophes and joiners within Arabic and Indic words mean something and stay; so does what has
    to be refused, for the validators to see.
    """
    if len(text) > _RESPELT_MAX:
        return text
    if text.isascii() and text.isprintable() and "  " not in text and text[:1] != " " and text[-1:] != " ":
        return text
    cleaned = _NEVER_MEANT.sub("", text)
    cleaned = _SPACES.sub(" ", cleaned).strip()
    if _JOINERS.search(cleaned):
        cleaned = "".join(char for at, char in enumerate(cleaned) if char not in "\u200c\u200d" or _joins(cleaned, at))
        cleaned = _SPACES.sub(" ", cleaned).strip()
    return _normalized("NFC", cleaned)


def plain(text: str) -> str:
    """Return a text cleaned, with full-width letters, other dashes and any script's digits as ASCII.

    For what is made of letters, digits and hyphens by its nature: license names, versions, numbers, keys, addresses.
    """
    cleaned = clean(text)
    if cleaned.isascii() or len(cleaned) > _RESPELT_MAX:
        return cleaned
    cleaned = _DASHES.sub("-", _normalized("NFKC", _DASHES.sub("-", cleaned)))
    return clean("".join(str(unicodedata.decimal(character, character)) for character in cleaned))


def short_text(text: str, *, most: int = TEXT_MAX) -> str:
    """Return a name in one line, in normal form.
    Raises BadValueError if the text is empty, longer than `most` characters, or has one that cannot be shown."""
    cleaned = clean(text[: 8 * most])
    if 0 < len(cleaned) <= most and len(text) <= 8 * most and is_shown(cleaned):
        return cleaned
    raise BadValueError(f"{text[:_SHOWN]!r} must be 1 to {most} printable characters{_seen(cleaned)}")


def free_text(text: str, *, most: int = REASON_MAX) -> str:
    """Return a text for people in one line, in normal form; it may be empty.
    Raises BadValueError if the text is longer than `most` characters, or has one that cannot be shown."""
    cleaned = clean(text[: 8 * most])
    if len(cleaned) <= most and len(text) <= 8 * most and is_shown(cleaned):
        return cleaned
    raise BadValueError(f"{text[:_SHOWN]!r} must be at most {most} printable characters, in one line{_seen(cleaned)}")


def is_shown(text: str) -> bool:
    """Tell whether every character of a text may be shown."""
    return text.isprintable() or not _refused(text)


def _normalized(form: Literal["NFC", "NFKC"], text: str) -> str:
    """Normalize a text, keeping the first of a letter's marks: more than any language has and Unicode's stream-safe
    format allows (UAX 15). Sorting them takes a time by the square of their number."""
    if len(text) > _MARKS_MAX:
        text = _runs_of_marks().sub(r"\1", text)
    return unicodedata.normalize(form, text)


@cache
def _runs_of_marks() -> re.Pattern[str]:
    marks = "".join(chr(code_point) for code_point in range(0x300, 0x1F000) if unicodedata.combining(chr(code_point)))
    return re.compile(f"([{marks}]{{{_MARKS_MAX}}})[{marks}]++")


def _joins(text: str, at: int) -> bool:
    """Tell whether the joiner at a position changes how its neighbours look, as in Persian, Indic and emoji text."""
    before, after = text[max(at - _JOINERS_MAX, 0) : at].rstrip("\u200c\u200d")[-1:], text[at + 1 : at + 2]
    if not before or text[at - 1] == text[at]:
        return False
    if unicodedata.combining(before) == _VIRAMA:
        return True
    if not after or after in "\u200c\u200d":
        return False
    if unicodedata.category(before)[0] == "S" or "\ufe00" <= before <= "\ufe0f":  # families and flags of emoji
        return unicodedata.category(after)[0] == "S"
    return _has_joining_letters(before) and _has_joining_letters(after)


def _has_joining_letters(character: str) -> bool:
    return unicodedata.category(character)[0] in "LM" and any(first <= character <= last for first, last in _JOINING)


def _refused(text: str) -> str:
    """Return the first character that may not be in a text; empty where all may."""
    return next((character for character in text if not character.isprintable() and not _may_stand(character)), "")


def _may_stand(character: str) -> bool:
    """Tell whether an unprintable character may be shown: joiners that `clean` left, and signs of Arabic numbers."""
    return character in "\u200c\u200d" or (
        unicodedata.category(character) == "Cf" and unicodedata.bidirectional(character) in ("AN", "AL")
    )


def _seen(text: str) -> str:
    char = _refused(text)
    if not char:
        return ""
    what = "turns the direction of writing" if _DIRECTION.match(char) else "is a control character or shows nothing"
    return f"; U+{ord(char):04X} {what}"
