"""Software versions as PBXs report them: "V12", "12r1", "V10 SR12", "13r2 sr9".

A license carries a whole number only and is compared with the major version (rules B1, B2); releases and service
releases matter where a rule names one (K4: "V10 SR12").
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

_PATTERN = re.compile(r"v?\s*(\d{1,3})(?:\s*r\s*(\d{1,3}))?(?:\s*\.?\s*sr\s*(\d{1,3}))?", re.IGNORECASE)


class Version(NamedTuple):
    """A software version; orders by major version, then release, then service release."""

    major: int
    release: int = 0
    service_release: int = 0

    def __str__(self) -> str:
        """As the documents print it: "12r1 sr4"."""
        release = f"r{self.release}" if self.release else ""
        service_release = f" sr{self.service_release}" if self.service_release else ""
        return f"{self.major}{release}{service_release}"

    @classmethod
    @lru_cache(maxsize=1024)
    def parse(cls, text: str) -> Version:
        """Read a version.

        Raises:
            ValueError: the text is no version; says which forms are.
        """
        match = _PATTERN.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"{text!r} is not a software version; write it like 12, 12r1 or 12r1 sr4")
        major, release, service_release = match.groups(default="0")
        return cls(int(major), int(release), int(service_release))
