"""The pause before the next attempt: full-jitter exponential backoff.

Decides: the pause. Leaves to others: what is attempted, and when to give up.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Pauses drawn evenly between 0 and a ceiling that doubles with each failure in a row.

    Full jitter spreads a thousand sites that lose the same master over the whole interval.

    `base_seconds` is the first ceiling, `max_seconds` the last one. Raises ValueError unless
    0 < base_seconds <= max_seconds.
    """

    base_seconds: float
    max_seconds: float
    chance: random.Random = field(default_factory=random.Random, compare=False)

    def __post_init__(self) -> None:
        if not 0 < self.base_seconds <= self.max_seconds:
            raise ValueError(f"need 0 < base_seconds <= max_seconds, not {self.base_seconds} and {self.max_seconds}")

    def ceiling_seconds(self, failures: int) -> float:
        """Return the longest pause after this number of failures in a row (1 or more), in seconds."""
        doublings = min(max(failures, 1) - 1, 62)
        return float(min(self.max_seconds, self.base_seconds * 2**doublings))

    def pause_seconds(self, failures: int, at_least_seconds: float = 0.0) -> float:
        """Return a random pause after this number of failures in a row, in seconds.

        `at_least_seconds` is the delay that the master asked for; the jitter is added, so that clients that were
        refused together do not come back together.
        """
        return at_least_seconds + self.chance.uniform(0.0, self.ceiling_seconds(failures))
