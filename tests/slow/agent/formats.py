"""What schemathesis makes of the formats that /openapi.json names; its command loads this module."""

from __future__ import annotations

import schemathesis
from hypothesis import strategies as st

_CHARACTERS = st.characters(categories=("L", "N", "P", "S"))

schemathesis.openapi.format("name", st.text(_CHARACTERS, min_size=1, max_size=32))
schemathesis.openapi.format(
    "software-version", st.just("") | st.from_regex(r"[1-9][0-9]?(r[1-9]( sr[1-9])?)?", fullmatch=True)
)
