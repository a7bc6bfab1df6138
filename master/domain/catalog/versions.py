"""Software versions as PBXs and applications report them: "V12", "12r1", "V10 SR12", "13r2 sr9", "12r1 sr4-hotfix10".

A license carries a whole number only and is compared with the major version (rules B1, B2); releases and service
releases matter where a rule names one (K4: "V10 SR12"). No rule looks at hotfixes, betas and build numbers: they are
kept to be shown, and make no difference between versions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache

from licensemaster.values import plain as in_ascii
from licensemaster.values import short_text

TEXT_MAX = 63
"""The most characters kept of a version with its suffix."""
_READ_MAX = 512
_EXACT = re.compile(r"v?\s*(\d{1,3})(?:\s*r\s*(\d{1,3}))?(?:\s*+\.?\s*+sr\s*(\d{1,3}))?", re.IGNORECASE | re.ASCII)
_READ = re.compile(
    r"""
      (?:v(?:er(?:sion|\.)?)?\s*)?           # V12, version 12
      (\d{1,3})(?!\d)                        # what licenses are compared with
      (?:\.\d+)*                             # 12.00, 12.5416: a build
      (?:\s*r(?:el(?:ease|\.)?)?\s*(\d{1,3})(?!\d))?
    """,
    re.IGNORECASE | re.ASCII | re.VERBOSE,
)
_SERVICE_RELEASE = re.compile(r"(?<![a-z])sr\s*(\d{1,3})(?!\d)", re.IGNORECASE | re.ASCII)
_HOW = "is not a software version; write it like 12, 12r1 or 12r1 sr4"


@dataclass(frozen=True, slots=True, order=True)
class Version:  # no `Value`, all of whose fields count where two are compared
    """A software version; orders by major version, then release, then service release."""

    major: int
    release: int = 0
    service_release: int = 0
    text: str = field(default="", compare=False)
    """The whole text as it was reported, where it says more than the numbers."""

    def __str__(self) -> str:
        """Return what rules look at, as the documents print it: "12r1 sr4"."""
        release = f"r{self.release}" if self.release else ""
        service_release = f" sr{self.service_release}" if self.service_release else ""
        return f"{self.major}{release}{service_release}"

    @property
    def reported(self) -> str:
        """The whole version as it was reported: "12r1 sr4-hotfix10"."""
        return self.text or str(self)

    @classmethod
    def parse(cls, text: str) -> Version:
        """Read a version as something reports it: what rules look at, and any suffix.
        Raises ValueError if the text does not begin with a version; the message says which forms do."""
        return cls._parsed(text[:_READ_MAX])  # what is remembered is never longer

    @classmethod
    @lru_cache(maxsize=1024)
    def _parsed(cls, text: str) -> Version:
        try:
            whole = short_text(text, most=_READ_MAX)
        except ValueError as error:
            raise ValueError(f"{text[:80]!r} {_HOW}") from error
        cleaned = in_ascii(whole)
        if (exact := _EXACT.fullmatch(cleaned)) is not None:
            return cls._of(exact)
        match = _READ.match(cleaned)
        if match is None:
            raise ValueError(f"{text[:80]!r} {_HOW}")
        behind = _SERVICE_RELEASE.search(cleaned, match.end())
        major, release = match.groups(default="0")
        return cls(int(major), int(release), int(behind[1]) if behind else 0, whole[:TEXT_MAX].rstrip())

    @classmethod
    def exact(cls, text: str) -> Version:
        """Read a version as a catalog names it for a rule, without a suffix.
        Raises ValueError if the text is no version; the message says which forms are."""
        match = _EXACT.fullmatch(in_ascii(text))
        if match is None:
            raise ValueError(f"{text[:80]!r} {_HOW}")
        return cls._of(match)

    @classmethod
    def _of(cls, match: re.Match[str]) -> Version:
        major, release, service_release = match.groups(default="0")
        return cls(int(major), int(release), int(service_release))
