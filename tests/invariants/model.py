"""What the master must answer, worked out the slow and obvious way: dictionaries, no storage, no batches.

Shares no code with the master. Knows the types that its histories use: Port with IPVA, UC with its parts.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

TTL_SECONDS = 60
GRACE_SECONDS = 60
ALLOWANCE_SECONDS = 5

Key = tuple[str, str]
"""(license type, holder)."""
PoolName = tuple[str, str]
"""(device, license type)."""

RANK = {"port": 0, "uc": 0, "mypbx": 1, "video": 2}
PARTS = ("mypbx", "video")
MODEL_CAPACITY: dict[PoolName, int] = {
    ("hq-box", "port"): 5,
    ("hq-box", "ipva"): 2,
    ("vm-box", "ipva"): 1,
    ("hq-box", "uc"): 2,
    ("hq-box", "mypbx"): 2,
    ("hq-box", "video"): 2,
    ("rome-box", "port"): 1,
}
PBXS = ("berlin", "paris", "vm", "rome")


@dataclass(frozen=True)
class HeldSeat:
    """A seat: the pool debited, or None and the type that includes it."""

    pool: PoolName | None
    parent: str = ""


@dataclass(frozen=True)
class Yes:
    """A grant; `device` is empty where nothing is debited."""

    already_held: bool
    device: str
    included_in: str


@dataclass(frozen=True)
class No:
    """A refusal."""


Answer = Yes | No


@dataclass
class ModelLease:
    """A PBX's lease."""

    epoch: int = 0
    phase: str = "none"
    ends_at: float = 0.0
    request_id: str = ""


@dataclass
class Model:
    """All leases and seats of one project."""

    leases: dict[str, ModelLease] = field(default_factory=lambda: {pbx: ModelLease() for pbx in PBXS})
    held: dict[str, dict[Key, HeldSeat]] = field(default_factory=lambda: {pbx: {} for pbx in PBXS})

    def copy(self) -> Model:
        """A copy to try something on."""
        return copy.deepcopy(self)

    def used(self) -> dict[PoolName, int]:
        """Seats debited, by pool."""
        found = dict.fromkeys(MODEL_CAPACITY, 0)
        for seats in self.held.values():
            for seat in seats.values():
                if seat.pool is not None:
                    found[seat.pool] += 1
        return found

    # --- Leases -----------------------------------------------------------------------------------------------------

    def refusal_of_call(self, pbx: str, epoch: int, now: float) -> str:
        """The reason why a call under an epoch must fail; empty where it must not."""
        lease = self.leases[pbx]
        if lease.phase == "none" or epoch > lease.epoch:
            return "LEASE_NOT_OPEN"
        if epoch < lease.epoch:
            return "LEASE_FENCED"
        if lease.phase == "closed":
            return "LEASE_CLOSED"
        if lease.phase == "expired" or now > lease.ends_at:
            return "LEASE_EXPIRED"
        return ""

    def open(self, pbx: str, request_id: str, now: float) -> None:
        """Open, or repeat the opening that made the current lease."""
        lease = self.leases[pbx]
        promised = lease.ends_at if lease.phase == "open" else 0.0
        if not (lease.phase == "open" and lease.request_id == request_id):
            lease.epoch += 1
        lease.phase, lease.request_id = "open", request_id
        lease.ends_at = max(promised, now + TTL_SECONDS + GRACE_SECONDS)

    def renew(self, pbx: str, now: float) -> None:
        """Extend."""
        lease = self.leases[pbx]
        lease.ends_at = max(lease.ends_at, now + TTL_SECONDS + GRACE_SECONDS)

    def close(self, pbx: str) -> int:
        """End; seats that went back."""
        returned = len(self.held[pbx])
        self.held[pbx] = {}
        self.leases[pbx].phase = "closed"
        return returned

    def expire(self, now: float) -> None:
        """Take back what ran out."""
        for pbx, lease in self.leases.items():
            if lease.phase == "open" and now > lease.ends_at + ALLOWANCE_SECONDS:
                lease.phase = "expired"
                self.held[pbx] = {}

    # --- Seats ------------------------------------------------------------------------------------------------------

    def acquire(self, pbx: str, wants: Sequence[Key]) -> list[Answer]:
        """Grant or refuse each; what others need goes first."""
        answers: dict[int, Answer] = {}
        for index in sorted(range(len(wants)), key=lambda at: RANK[wants[at][0]]):
            answers[index] = self._acquire_one(pbx, wants[index])
        return [answers[index] for index in range(len(wants))]

    def give_back(self, pbx: str, keys: Iterable[Key]) -> list[bool | None]:
        """True where it was held, False where not, None where it had to stay."""
        listed = list(keys)
        answers: dict[int, bool | None] = {}
        for index in sorted(range(len(listed)), key=lambda at: -RANK[listed[at][0]]):
            answers[index] = self._return_one(pbx, listed[index])
        return [answers[index] for index in range(len(listed))]

    def sync(self, pbx: str, wants: Sequence[Key], unwanted: Sequence[Key]) -> tuple[list[Answer], int, set[Key]]:
        """Outcomes, how many went back, which had to stay; `unwanted` says in which order they are tried."""
        returned = self.give_back(pbx, unwanted)
        kept = {key for key, answer in zip(unwanted, returned, strict=True) if answer is None}
        return self.acquire(pbx, wants), len(unwanted) - len(kept), kept

    def unwanted(self, pbx: str, wants: Iterable[Key]) -> list[Key]:
        """What a sync must try to return."""
        return [key for key in self.held[pbx] if key not in set(wants) and key[0] != "ipva"]

    def _acquire_one(self, pbx: str, key: Key) -> Answer:
        license_type, holder = key
        seats = self.held[pbx]
        if key in seats:
            seat = seats[key]
            return Yes(already_held=True, device=seat.pool[0] if seat.pool else "", included_in=seat.parent)
        if license_type == "video" and ("mypbx", holder) not in seats and ("uc", holder) not in seats:
            return No()
        if license_type in PARTS and ("uc", holder) in seats:
            seats[key] = HeldSeat(None, "uc")
            return Yes(already_held=False, device="", included_in="uc")
        pool = self._free(pbx, license_type)
        if pool is None:
            return No()
        if license_type == "port" and pbx == "vm":
            companion = self._free(pbx, "ipva")
            if companion is None:
                return No()
            seats["ipva", holder] = HeldSeat(companion, "port")
        seats[key] = HeldSeat(pool)
        if license_type == "uc":
            for part in PARTS:
                if (part, holder) in seats:
                    seats[part, holder] = HeldSeat(None, "uc")
        return Yes(already_held=False, device=pool[0], included_in="")

    def _return_one(self, pbx: str, key: Key) -> bool | None:
        license_type, holder = key
        seats = self.held[pbx]
        if key not in seats:
            return False
        has_video, has_mypbx = ("video", holder) in seats, ("mypbx", holder) in seats
        if license_type == "mypbx" and has_video and ("uc", holder) not in seats:
            return None
        if license_type == "uc" and has_video and not has_mypbx:
            return None
        before = dict(seats)
        del seats[key]
        if license_type == "port":
            seats.pop(("ipva", holder), None)
        if license_type == "uc":
            for part in PARTS:
                if (part, holder) in seats:
                    pool = self._free(pbx, part)
                    if pool is None:
                        self.held[pbx] = before
                        return None
                    seats[part, holder] = HeldSeat(pool)
        return True

    def _free(self, pbx: str, license_type: str) -> PoolName | None:
        devices = ["rome-box"] if pbx == "rome" else ["hq-box"]
        if license_type == "ipva":
            devices.insert(0, f"{pbx}-box")
        used = self.used()
        for device in devices:
            if used.get((device, license_type), 0) < MODEL_CAPACITY.get((device, license_type), 0):
                return device, license_type
        return None
