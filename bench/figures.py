"""What a scenario is given and gives: how long to measure, and measured values."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value, and what it is held against."""

    name: str
    value: float
    unit: str
    ratio: float | None = None
    against: str = ""
    target: str = ""
    curve: str = ""
    """The curve that it is a point of, where it is of one."""
    at: int = 0
    """Where on the curve: how many seats, sites or masters."""

    def as_json(self) -> dict[str, object]:
        """For build/bench.json."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to measure."""

    rounds: int
    calls: int
    renew_seconds: float
    big: int
    """Seats out in the large scenarios."""


Report = Callable[[str], None]
Scenario = Callable[[Plan, Report], Coroutine[None, None, list[Figure]]]
