"""What the model answers and remembers: leases, claims and what a standby has on its disk."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.invariants.balance import PoolName
from tests.invariants.model.estate import SOFTWARE

TTL_SECONDS = 60
GRACE_SECONDS = 60
ALLOWANCE_SECONDS = 5
RENEW_SECONDS = 20 * 1.1
"""A third of the ttl, and the jitter."""
RECONNECT_SECONDS, SETTLE_SECONDS = 15, 3

RANK = {"port": 0, "uc": 0, "mypbx": 1, "video": 2}
PARTS = ("mypbx", "video")
MODEL_CAPACITY: dict[PoolName, int] = {
    ("hq-box", "port"): 2,
    ("hq-box", "ipva"): 2,
    ("vm-box", "ipva"): 1,
    ("hq-box", "uc"): 2,
    ("hq-box", "mypbx"): 2,
    ("hq-box", "video"): 2,
    ("rome-box", "port"): 1,
    ("hq-box", "standby"): 30,
}
PBXS = ("berlin", "paris", "vm", "rome", "spare")
PRIMARY, STANDBY = "berlin", "spare"


@dataclass(frozen=True)
class Yes:
    """A grant; `device` is empty where nothing is debited."""

    already_held: bool
    device: str
    included_in: str


@dataclass(frozen=True)
class No:
    """A refusal."""

    place: int = 0
    """Where it is waited for: 1 for the next."""
    waiting: int = 0
    """How many seats are waited for then."""


Answer = Yes | No


@dataclass
class ModelLease:
    """A PBX's lease."""

    epoch: int = 0
    phase: str = "none"
    ends_at: float = 0.0
    request_id: str = ""
    opened_at: float = 0.0
    renewed_at: float = 0.0
    user: str = ""
    """Who uses the seats: the PBX itself, or its standby."""
    software: int = SOFTWARE


@dataclass
class ModelClaim:
    """Seats of PRIMARY that somebody may use beside its lease."""

    seats: dict[PoolName, int] = field(default_factory=dict)
    ends_at: float = 0.0
    epoch: int = 0

    def raise_to(self, seats: dict[PoolName, int], ends_at: float, epoch: int = 0) -> None:
        """Nobody knows which one counts: the higher number, the later end."""
        self.ends_at = max(ends_at, self.ends_at if self.seats else 0.0)
        for pool, count in seats.items():
            self.seats[pool] = max(self.seats.get(pool, 0), count)
        self.epoch = epoch


@dataclass
class StandbyLeaseModel:
    """Standby leases: what the master knows of those that it sent."""

    serial: int = 0
    acknowledged: int = 0
    ends_at: float = 0.0
    """Of the newest one sent."""
    known: ModelClaim = field(default_factory=ModelClaim)
    offered: ModelClaim = field(default_factory=ModelClaim)
