"""Why a seat is refused: one closed list in order of precedence, and what a refusal carries.

Where several reasons apply, the one that stands first here is given: first what is wrong with the question, then what
the installation does not allow at all, then what the PBX lacks beside it, and what is merely used up. Those after 12
stand apart: two concern a seat that is held, or was; LEARNING takes the place of what is used up while the
master cannot know that; ONE_PER_PBX goes before what the PBX lacks. Of a MALFORMED_SEAT nothing is decided. The last
three come of an operator's allocation rules: ACCESS_DENIED goes before what the PBX lacks, the others take the place of
what is used up.
`docs/refusals.md` explains each to operators; a test keeps the two alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

from licensemaster.api_enums import HolderKind, RemedyAction
from master.domain.allocation.overdraft import Overdraft
from master.domain.catalog.versions import Version
from master.domain.estate.license_refs import LicenseRef
from master.values import Value

MOST_NAMED = 20
"""The most licenses or seats that a sentence lists."""
MOST_HOLDERS = 5
"""The most PBXs that a refusal lists."""


class RefusalReason(IntEnum):
    """The closed list of reasons; the number is the order of precedence."""

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
    ONE_PER_PBX = 16
    MALFORMED_SEAT = 17
    ACCESS_DENIED = 18
    MAXIMUM_REACHED = 19
    RESERVED_FOR_OTHERS = 20
    WAITING = 21


TOO_FEW = frozenset(
    {
        RefusalReason.LOCAL_LICENSES_ONLY,
        RefusalReason.NONE_INSTALLED,
        RefusalReason.POOL_EXHAUSTED,
        RefusalReason.COMPANION_EXHAUSTED,
        RefusalReason.RESERVED_FOR_OTHERS,
    }
)
"""The reasons that more licenses, or seats given back, would remove."""


def counted(number: int, what: str) -> str:
    """Return a number with its noun, in the plural unless the number is 1."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def some(names: Sequence[object]) -> str:
    """List the first names as text, and say how many are left out."""
    more = f" and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
    return ", ".join(str(name) for name in names[:MOST_NAMED]) + more


class SeatRef(Value):
    """A seat as a refusal names it."""

    type: str
    kind: HolderKind
    holder: str

    def __str__(self) -> str:
        """Return the seat as text, such as `video of user alice`."""
        return f"{self.type} of {self.kind.name.lower().replace('_', ' ')} {self.holder}"


class Step(Value, kw_only=True):
    """One step of a remedy; the fields that its action does not use are empty."""

    action: RemedyAction
    license_type: str = ""
    quantity: int = 0
    device: str = ""
    version: str = ""
    pbx: str = ""
    licenses: tuple[LicenseRef, ...] = ()
    seats: tuple[SeatRef, ...] = ()
    until: float | None = None
    """UNIX time in seconds."""
    subject: str = ""
    field: str = ""
    accepted: tuple[str, ...] = ()


class Way(Value):
    """The steps that together grant the request, taken in this order."""

    steps: tuple[Step, ...]
    text: str


class Remedy(Value, kw_only=True):
    """What turns a refusal into a grant: each way was decided on a copy, and suffices by itself; the smallest first.

    A call that was refused several seats for the same want has one remedy for all of them.
    """

    ways: tuple[Way, ...] = ()
    main: Step
    """The step of the first way that answers the refusal's own reason; of action NONE or EXPLAIN where there is no
    way."""
    text: str
    """All ways in one sentence."""


class TopHolder(Value):
    """A PBX that is among those with the most seats of a pool."""

    pbx: str
    site: str
    seats: int


class Refusal(Value, kw_only=True):
    """A refusal, with everything needed to act on it."""

    reason: RefusalReason
    rules: tuple[str, ...]
    message: str
    license_type: str
    device: str = ""
    capacity: int = 0
    in_use: int = 0
    wanted: int = 0
    pool_id: int | None = None
    """The pool whose biggest holders are to be named."""
    top_holders: tuple[TopHolder, ...] = ()
    licenses: tuple[LicenseRef, ...] = ()
    """All licenses that the refusal is about, however many; whoever lists them cuts the list and says so."""
    seats: tuple[SeatRef, ...] = ()
    software: Version | None = None
    """The oldest PBX software that would do, where the PBX's is too old."""
    lacks: tuple[SeatRef, ...] = ()
    """Seats of which one has to be held beside the wanted one; empty where the request does not name their holder."""
    accepted: tuple[str, ...] = ()
    """What the request may say instead, where the request is wrong."""
    short: Refusal | None = None
    """For a refused return: why a seat that was included until now finds no license of its own."""
    allocation_rule: str = ""
    """The name of the allocation rule that forbids the seat."""
    overdraft: Overdraft | None = None
    """What may be granted above what is installed; None where no overdraft is allowed."""
    place: int = 0
    """The seat's place in the queue, 1 for the next; 0 where the seat is not waited for."""
    waiting: int = 0
    """How many seats of the type are waited for in the whole project."""
    remedy: Remedy | None = None
    """What would help; None until that was decided (`domain/remedies/remedies.py`)."""
