"""Validators by kind. Each returns the normal form, or raises `BadValueError` in the words of that kind."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Final

from licensemaster.values.text import TEXT_MAX, BadValueError, clean, plain, short_text

_HEX: Final = re.compile(r"[0-9a-f]{12}")
_MAC_MARKS: Final = re.compile(
    r"(?:[0-9a-f]{2}[-: ]){5}[0-9a-f]{2}|(?:[0-9a-f]{4}[.: -]){2}[0-9a-f]{4}|[0-9a-f]{6}[-: .][0-9a-f]{6}|[0-9a-f]{12}"
)
_LONG: Final = 1024
"""Characters above which a text is not respelt, as it is refused anyway."""
_WHITE: Final = re.compile(r"\s+")
_EDGES: Final = "\u00ad\u061c\u200b\u200c\u200d\u200e\u200f\u2060\u202a\u202c\ufeff"


def holder(text: str) -> str:
    """Return the name of a seat's holder in normal form. Capitals and accents tell holders apart; Unicode forms do not.
    Raises BadValueError if the text is empty, too long, or has a character that cannot be shown."""
    return short_text(text)


def are_holders(texts: Sequence[str]) -> bool:
    """Tell by one check whether all texts are holders' names in normal form; False where each must be checked."""
    whole = "".join(texts)
    is_plain = whole.isascii() and whole.isprintable() and " " not in whole
    return is_plain and all(texts) and max(map(len, texts), default=0) <= TEXT_MAX


def resource(text: str) -> str:
    """Return a name that programs use, such as `projects/acme/devices/hq-box`, in normal form; checks nothing."""
    return plain(text) if len(text) <= _LONG else text


def license_name(text: str) -> str:
    """Return a license name or type key with each hyphen and dash as "-" and each space as " " (rule L8).
    Raises BadValueError if the text is empty, too long, or has a character that cannot be shown."""
    return short_text(text if len(text) > _LONG else plain(text))


def mac(text: str) -> str:
    """Return a MAC address as `00-90-33-01-02-03`, from any usual form (`00:90:33...`, `0090.3301.0203`).
    Raises BadValueError if the text is no MAC address."""
    cleaned = plain(text).lower()
    if not _MAC_MARKS.fullmatch(cleaned):
        raise BadValueError(f"{text[:80]!r} is no MAC address; write its 12 digits like 00-90-33-01-02-03")
    digits = re.sub(r"[^0-9a-f]", "", cleaned)
    return "-".join(digits[at : at + 2] for at in range(0, 12, 2))


def serial(text: str) -> str:
    """Return a serial number in capitals, without white space, with ASCII hyphens; a MAC address as `mac` returns it.
    Raises BadValueError if the text is empty, too long, or has characters that no serial number has."""
    cleaned = plain(text)
    if _MAC_MARKS.fullmatch(cleaned.lower()) and (len(cleaned) > 12 or _HEX.fullmatch(cleaned.lower())):
        return mac(cleaned)
    cleaned = _WHITE.sub("", cleaned).upper()
    if not (0 < len(cleaned) <= 63 and cleaned.isascii() and cleaned.isprintable()):
        raise BadValueError(f"{text[:80]!r} is no serial number; write its 1 to 63 letters, digits and hyphens")
    return cleaned


def token(text: str) -> str:
    """Return a one-time token or other secret word without the white space that pasting adds.
    Raises BadValueError if the text is empty, or has a character that no token has."""
    cleaned = _WHITE.sub("", plain(bare(text)))
    if not cleaned:
        raise BadValueError("the token is empty")
    if not (cleaned.isascii() and cleaned.isprintable()):
        raise BadValueError("the token has a character that no token has; copy it again, the whole line")
    return cleaned


def key_text(text: str) -> str:
    """Return an activation key in the form for comparison: no white space, dashes as "-" (rule Q4); may be empty."""
    return _WHITE.sub("", plain(text))


def token_hash(text: str) -> str:
    """Return the hash under which a one-time token is kept."""
    return hashlib.sha256(key_text(text).encode()).hexdigest()


def bare(text: str) -> str:
    """Return a text without white space and invisible characters around it; the inner text is unchanged."""
    while (stripped := text.strip().strip(_EDGES)) != text:
        text = stripped
    return text


def setting(text: str) -> str:
    """Return a setting from the environment, a file or an option, without white space and quotes around it.

    The text within is left as it is: a file's name or a password may have two spaces, and is not to be respelt.
    Raises BadValueError if the text has a line break or another control character within.
    """
    value = bare(text)
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":  # as `docker --env-file` hands them on
        value = bare(value[1:-1])
    bad = next((char for char in value if char < " " or "\x7f" <= char <= "\x9f" or char in "\u2028\u2029"), "")
    if bad:
        raise BadValueError(f"has the control character U+{ord(bad):04X} within; write it in one line")
    return value


def whole_number(text: str, *, most: int = 2**31 - 1) -> int:
    """Return a whole number, not negative, from the digits of any script.
    Raises BadValueError if the text is no whole number, or one above `most`."""
    if not clean(text).isdecimal():
        raise BadValueError(f"{text[:40]!r} is no whole number")
    digits = plain(text)
    if len(digits.lstrip("0")) > len(str(most)) or int(digits) > most:
        raise BadValueError(f"{digits[:40]} is above {most}")
    return int(digits)
