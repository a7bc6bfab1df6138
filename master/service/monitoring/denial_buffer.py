"""Who was refused lately, and who got the seat after all: in memory, until the usage history is next written.

A denial is a refusal that never turned into a grant. Whether one did is judged later (`store/statements/usage.py`);
what is seen here is who was refused, and those who are granted soon after by this master. Answers without a refusal
cost a look into an empty set. What is in memory when a master is killed is missing from the history; no seat depends on
it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from msgspec import Struct

from master.domain.seats.outcomes import Outcome
from master.domain.seats.refusals.reasons import Refusal, RefusalReason
from master.domain.seats.seats import SeatKey
from master.service.batch.answers import Tally
from master.service.runtime.names import PbxName
from master.values import Value, field

_HOLDERS_MAX = 50_000
"""How many holders are remembered, of one PBX no more than there are places left (ADR 51); of more holders, only the
refusals are counted."""


class Refused(Value):
    """A holder that was refused."""

    pbx: PbxName
    site: str
    key: SeatKey
    reason: str
    at: float
    """When the holder was refused, UNIX seconds."""


class RecentDenials(Struct):
    """Refusals and grants since the history was last written."""

    seats: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Seats refused, by (project, site, license type)."""
    rules: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Seats refused because of allocation rules, by (project, rule, license type)."""
    holders: list[Refused] = field(default_factory=list)
    """Holders refused for the first time in a while."""
    granted: list[Refused] = field(default_factory=list)
    """The holders that were refused earlier and have their seats now."""


class DenialBuffer:
    """Keeps the holders that this master refused, until they are judged or granted."""

    def __init__(self, *, judged_after_seconds: float) -> None:
        self._judged_after_seconds = judged_after_seconds
        self._open: defaultdict[PbxName, dict[SeatKey, Refused]] = defaultdict(dict)
        self._holders = 0
        self._recent = RecentDenials()
        self.unnoted = 0
        """The number of holders that were not noted because too many were; their refusals are counted all the same."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing has happened since the history was last written."""
        return self._recent == RecentDenials()

    def note(self, pbx: PbxName, tally: Tally, outcomes: Sequence[Outcome], *, now: float) -> None:
        """Note the holders that an answer refused or granted."""
        if not tally.refused and pbx not in self._open:
            return
        held = self._open[pbx]
        for want, outcome in zip(tally.wants, outcomes, strict=True):
            if not isinstance(outcome, Refusal):
                if want.key in held:
                    self._recent.granted.append(held.pop(want.key))
                    self._holders -= 1
            elif outcome.reason is not RefusalReason.UNKNOWN_LICENSE_TYPE:  # which may be any text
                self._recent.seats[pbx.project, tally.site, outcome.license_type] += 1
                if outcome.allocation_rule:
                    self._recent.rules[pbx.project, outcome.allocation_rule, outcome.license_type] += 1
                if want.key not in held:
                    self._begin(held, Refused(pbx, tally.site, want.key, outcome.reason.name, now))
        if not held:
            del self._open[pbx]

    def _begin(self, held: dict[SeatKey, Refused], refused: Refused) -> None:
        if len(held) >= _HOLDERS_MAX - self._holders:
            self.unnoted += 1
            return
        held[refused.key] = refused
        self._holders += 1
        self._recent.holders.append(refused)

    def take(self, now: float) -> RecentDenials:
        """Return what happened since the last call; drop holders whose time is up, as the database judges them."""
        recent, self._recent = self._recent, RecentDenials()
        due = now - self._judged_after_seconds
        for pbx in list(self._open):
            left = {key: refused for key, refused in self._open[pbx].items() if refused.at > due}
            self._holders -= len(self._open[pbx]) - len(left)
            if left:
                self._open[pbx] = left
            else:
                del self._open[pbx]
        return recent

    def put_back(self, recent: RecentDenials) -> None:
        """Take back what could not be written, for the next time."""
        recent.seats.update(self._recent.seats)
        recent.rules.update(self._recent.rules)
        recent.holders += self._recent.holders
        recent.granted += self._recent.granted
        self._recent = recent
