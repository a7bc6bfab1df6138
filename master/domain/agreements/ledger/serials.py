"""Serial numbers in the form in which they are compared: the normal form of values, less its separators (rule N1)."""

from __future__ import annotations

from licensemaster.values import BadValueError, serial


def serial_form(text: str) -> str:
    """Return a serial number in the form by which devices are told apart; empty where the text is no serial number."""
    try:
        return "".join(filter(str.isalnum, serial(text)))
    except BadValueError:
        return ""
