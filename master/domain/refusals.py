"""Why a seat is refused: one closed list in order of precedence, and what a refusal carries.

Where several reasons apply, the one that stands first here is given: first what is wrong with the question, then what
the installation does not allow at all, then what the PBX lacks beside it, and what is merely used up. The three
at the end stand apart: two concern a seat that is held, or was; the last one takes the place of what is used up while
the master cannot know that.
`docs/refusals.md` explains each to operators; a test keeps the two alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum

from master.domain.words import HolderKind

MOST_NAMED = 20
"""How many licenses or seats a refusal lists at most."""
MOST_HOLDERS = 5
"""How many PBXs a refusal lists at most."""


class RefusalReason(IntEnum):
    """The closed list; the number is the order of precedence."""

    UNKNOWN_LICENSE_TYPE = 1
    HOLDER_KIND = 2
    SOFTWARE_TOO_OLD = 3
    MODEL_EXCLUDED = 4
    VERSION_LIMIT = 5
    FEATURE_OFF = 6
    APPLICATION_VERSION = 7
    REQUIREMENT_MISSING = 8
    LOCAL_LICENSES_ONLY = 9
    NONE_INSTALLED = 10
    POOL_EXHAUSTED = 11
    COMPANION_EXHAUSTED = 12
    STILL_REQUIRED = 13
    REVOKED = 14
    LEARNING = 15


TOO_FEW = frozenset(
    {
        RefusalReason.LOCAL_LICENSES_ONLY,
        RefusalReason.NONE_INSTALLED,
        RefusalReason.POOL_EXHAUSTED,
        RefusalReason.COMPANION_EXHAUSTED,
    }
)
"""The reasons that more licenses, or seats given back, would remove."""


class RemedyAction(Enum):
    """What kind of change would help."""

    CORRECT_REQUEST = "correct_request"
    ADD_LICENSES = "add_licenses"
    REPLACE_LICENSES = "replace_licenses"
    UPGRADE_SOFTWARE = "upgrade_software"
    DOWNGRADE_SOFTWARE = "downgrade_software"
    ACQUIRE_FIRST = "acquire_first"
    RETURN_FIRST = "return_first"
    WAIT = "wait"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """The smallest change that would turn a refusal into a grant."""

    action: RemedyAction
    text: str
    license_type: str = ""
    quantity: int = 0
    device: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class LicenseRef:
    """A license as a refusal names it."""

    id: str
    printed: str
    quantity: int
    device: str

    def __str__(self) -> str:
        """`100 x PBX-Port10 (ports-2010)`."""
        return f"{self.quantity} x {self.printed} ({self.id})"


@dataclass(frozen=True, slots=True)
class SeatRef:
    """A seat as a refusal names it."""

    type: str
    kind: HolderKind
    holder: str

    def __str__(self) -> str:
        """`video of user alice`."""
        return f"{self.type} of {self.kind.name.lower().replace('_', ' ')} {self.holder}"


@dataclass(frozen=True, slots=True)
class TopHolder:
    """A PBX that holds many of the seats."""

    pbx: str
    site: str
    seats: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One "no", with everything needed to act on it."""

    reason: RefusalReason
    rules: tuple[str, ...]
    message: str
    remedy: Remedy
    license_type: str
    device: str = ""
    capacity: int = 0
    in_use: int = 0
    wanted: int = 0
    pool_id: int | None = None
    """The pool whose biggest holders are to be named."""
    top_holders: tuple[TopHolder, ...] = ()
    licenses: tuple[LicenseRef, ...] = ()
    seats: tuple[SeatRef, ...] = ()
