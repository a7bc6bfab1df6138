"""What the master must answer, worked out the slow and obvious way: dictionaries, no storage, no batches.

Shares no code with the master. Knows the types that its histories use: Port with IPVA, UC with its parts; and one
standby, `spare`, of `berlin`. Licenses that move are in `balance.py`.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.invariants.balance import HeldSeat, Key, PoolName
from tests.invariants.model_allocation import ModelRules
from tests.invariants.model_estate import CENTRAL_FROM, SOFTWARE, ModelEstate
from tests.invariants.model_values import (
    ALLOWANCE_SECONDS,
    GRACE_SECONDS,
    MODEL_CAPACITY,
    PARTS,
    PBXS,
    PRIMARY,
    RANK,
    RECONNECT_SECONDS,
    RENEW_SECONDS,
    SETTLE_SECONDS,
    STANDBY,
    TTL_SECONDS,
    Answer,
    ModelClaim,
    ModelLease,
    No,
    StandbyLeaseModel,
    Yes,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass
class Model(ModelEstate):
    """All leases and seats of one project."""

    leases: dict[str, ModelLease] = field(default_factory=lambda: {pbx: ModelLease() for pbx in PBXS})
    held: dict[str, dict[Key, HeldSeat]] = field(default_factory=lambda: {pbx: {} for pbx in PBXS})
    revoked: dict[str, set[Key]] = field(default_factory=lambda: {pbx: set() for pbx in PBXS})

    fenced: dict[str, ModelClaim] = field(default_factory=dict)
    """By who may not have heard that PRIMARY's lease was taken from it."""
    standby_leases: StandbyLeaseModel = field(default_factory=StandbyLeaseModel)
    broken_at: float = 0.0
    """When the newest stream of PRIMARY broke, under `broken_epoch`."""
    broken_epoch: int = 0
    rules: ModelRules = field(default_factory=ModelRules)

    def copy(self) -> Model:
        """A copy to try something on."""
        return copy.deepcopy(self)

    def used(self) -> dict[PoolName, int]:
        """What is counted, by pool: seats, and of PRIMARY the highest claim where that is more."""
        collected = dict.fromkeys(self.capacity(), 0)
        for pbx in PBXS:
            held = self.debited(pbx)
            for pool in collected:
                collected[pool] += max(held.get(pool, 0), self.floor(pbx, pool))
        return collected

    def seats(self) -> dict[PoolName, int]:
        held = [self.debited(pbx) for pbx in PBXS]
        return {pool: sum(held_seat.get(pool, 0) for held_seat in held) for pool in self.capacity()}

    def debited(self, pbx: str) -> dict[PoolName, int]:
        collected: dict[PoolName, int] = {}
        for seat in self.held[pbx].values():
            if seat.pool is not None:
                collected[seat.pool] = collected.get(seat.pool, 0) + 1
        return collected

    def floor(self, pbx: str, pool: PoolName) -> int:
        """The least that is counted."""
        if pbx != PRIMARY:
            return 0
        claims = [*self.fenced.values(), self.standby_leases.known, self.standby_leases.offered]
        return max((claim.seats.get(pool, 0) for claim in claims), default=0)

    def declared(self) -> dict[PoolName, int]:
        """What the project file declares, by pool."""
        return MODEL_CAPACITY

    def user_of(self, pbx: str) -> str:
        """Who uses a PBX's seats: itself, or its standby."""
        return self.leases[pbx].user or pbx

    def running(self, pbx: str) -> int:
        """The software that a PBX's calls are judged by."""
        return self.leases[pbx].software

    def gives_nothing_back(self, device: str) -> bool:
        """L4: what its PBX says it runs counts as long as its lease runs, else what the project says."""
        lease = self.leases.get(device.removesuffix("-box"))
        runs = lease is not None and lease.phase == "open" and self.now <= lease.ends_at
        return lease is not None and runs and lease.software < CENTRAL_FROM

    def capacity(self) -> dict[PoolName, int]:
        """What is installed, by pool: declared, and bound by now."""
        collected = dict(MODEL_CAPACITY)
        for license in self.licenses.values():
            if license.device:
                collected[license.device, license.kind] = (
                    collected.get((license.device, license.kind), 0) + license.quantity
                )
        return collected

    def is_connected(self, pbx: str, now: float) -> bool:
        """Whether it can be told something."""
        lease = self.leases[pbx]
        return lease.phase == "open" and now <= min(lease.ends_at, lease.renewed_at + TTL_SECONDS)

    # --- Leases -----------------------------------------------------------------------------------------------------

    def refusal_of_call(self, pbx: str, epoch: int, now: float) -> str:
        """The reason why a call under an epoch must fail; empty where it must not."""
        lease = self.leases[pbx]
        if lease.phase == "none" or epoch > lease.epoch:
            return "LEASE_NOT_OPEN"
        if epoch < lease.epoch:
            carried = lease.user not in ("", pbx) and lease.phase == "open" and now <= lease.ends_at
            return "LEASE_CARRIED" if carried else "LEASE_FENCED"
        if lease.phase == "closed":
            return "LEASE_CLOSED"
        if lease.phase == "expired" or now > lease.ends_at:
            return "LEASE_EXPIRED"
        return ""

    def open(self, pbx: str, request_id: str, now: float, *, user: str = "", software: int = SOFTWARE) -> bool:
        """Open, or repeat the opening that made the current lease; a standby opens it as its `user`. Whether it was
        repeated.
        """
        lease = self.leases[pbx]
        user = user or pbx
        promised = lease.ends_at if lease.phase == "open" else 0.0
        is_repeated = lease.phase == "open" and lease.request_id == request_id and lease.user == user
        if not is_repeated:
            if lease.phase == "open" and lease.user != user and now <= lease.ends_at + ALLOWANCE_SECONDS:
                self.fenced.setdefault(lease.user, ModelClaim()).raise_to(self.debited(pbx), lease.ends_at, lease.epoch)
            lease.epoch += 1
            lease.software, lease.opened_at = software, now
        lease.phase, lease.request_id, lease.user = "open", request_id, user
        lease.ends_at, lease.renewed_at = max(promised, now + TTL_SECONDS + GRACE_SECONDS), now
        if pbx == STANDBY:
            self._send_standby_leases(now)
        return is_repeated

    def acquire_with_opening(self, pbx: str, wants: Sequence[Key], *, is_repeated: bool) -> tuple[list[Answer], int]:
        """What is answered, and how many debited seats there are from before; a retry is answered as at first."""
        held, opened_at = self.held[pbx], self.leases[pbx].opened_at
        by_opening = {key for key, seat in held.items() if is_repeated and seat.at >= opened_at}
        holders = {holder for _, holder in wants}
        before = [key for key, seat in held.items() if seat.pool and not (key in by_opening and key[1] in holders)]
        answers = self.acquire(pbx, wants)
        return [
            Yes(False, answer.device, answer.included_in) if key in by_opening and isinstance(answer, Yes) else answer
            for key, answer in zip(wants, answers, strict=True)
        ], len(before)

    def renew(self, pbx: str, now: float, *, serial: int = 0, discarded: bool = False, released: int = 0) -> None:
        """Extend; the standby says what it has of its standby leases."""
        lease = self.leases[pbx]
        lease.ends_at, lease.renewed_at = max(lease.ends_at, now + TTL_SECONDS + GRACE_SECONDS), now
        if pbx == PRIMARY:
            self.fenced.pop(lease.user, None)
        if pbx == STANDBY:
            self._take_receipt(serial, discarded=discarded, released=released)
            self._send_standby_leases(now)

    def is_gone(self, now: float, *, serving_since: float) -> bool:
        """Whether a master that has served since then sees that PRIMARY is gone before its lease says so."""
        lease, known = self.leases[PRIMARY], serving_since + RECONNECT_SECONDS
        late = lease.renewed_at + RENEW_SECONDS + RECONNECT_SECONDS
        broke = self.broken_epoch == lease.epoch and self.broken_at >= lease.renewed_at
        return now >= max(late, known) or (broke and now >= max(self.broken_at + SETTLE_SECONDS, known))

    def end(self, pbx: str, now: float) -> tuple[int, int] | None:
        """An operator's word: seats that went back and seats at risk; None where there is nothing to end."""
        lease, held = self.leases[pbx], self.debited(pbx)
        counted = sum(max(held.get(pool, 0), self.floor(pbx, pool)) for pool in self.capacity())
        if lease.phase == "none" or (lease.phase != "open" and not counted):
            return None
        sent = self.standby_leases
        claims = [*self.fenced.values(), sent.known, sent.offered] if pbx == PRIMARY else []
        ends = [claim.ends_at for claim in claims if claim.seats]
        ends += [lease.ends_at] if lease.phase == "open" else []
        at_risk = counted if now <= max(ends, default=0.0) else 0
        returned = self.close(pbx)
        if pbx == PRIMARY:
            self.fenced, self.standby_leases.known, self.standby_leases.offered = {}, ModelClaim(), ModelClaim()
            self.standby_leases.serial += 1 if self.standby_leases.serial else 0
            self.standby_leases.acknowledged = 0
        return returned, at_risk

    def refuses_takeover(self, now: float, *, force: bool, serving_since: float) -> bool:
        """Whether STANDBY may not carry PRIMARY's seats."""
        own, lease = self.leases[STANDBY], self.leases[PRIMARY]
        if own.phase != "open" or now > own.ends_at or lease.phase == "none" or self.standby_is_too_new():
            return True
        is_open = lease.phase == "open" and now <= lease.ends_at
        is_connected = is_open and lease.user == PRIMARY and now <= lease.renewed_at + TTL_SECONDS
        if is_connected and not force and not self.is_gone(now, serving_since=serving_since):
            return True
        promised = any(claim.seats for claim in (self.standby_leases.known, self.standby_leases.offered))
        return not (is_open or self.debited(PRIMARY) or promised)

    def standby_is_too_new(self) -> bool:
        """F3: its software is above the limit of the installation that it would join; it always runs the same."""
        return self.limit(self.installation(PRIMARY)) < SOFTWARE

    def _take_receipt(self, serial: int, *, discarded: bool, released: int) -> None:
        sent, fenced = self.standby_leases, self.fenced.get(STANDBY)
        if fenced is not None and fenced.epoch <= released:
            del self.fenced[STANDBY]
        if serial != sent.serial or not serial or self.leases[PRIMARY].phase == "none":
            return
        if discarded:
            sent.known, sent.offered, sent.acknowledged = ModelClaim(), ModelClaim(), 0
        elif sent.acknowledged != serial:
            sent.known, sent.offered, sent.acknowledged = sent.offered, ModelClaim(), serial

    def _send_standby_leases(self, now: float) -> None:
        sent, lease = self.standby_leases, self.leases[PRIMARY]
        is_open = lease.phase == "open" and now <= lease.ends_at
        if lease.phase == "none" or (is_open and lease.user == STANDBY) or self.standby_is_too_new():
            return
        seats = self.debited(PRIMARY) if is_open else {}
        unheard = sent.serial > sent.acknowledged and now <= sent.ends_at
        if seats or sent.known.seats or sent.offered.seats or unheard:
            sent.serial += 1
            sent.ends_at = self.leases[STANDBY].ends_at
            sent.offered.raise_to(seats, self.leases[STANDBY].ends_at)

    def close(self, pbx: str) -> int:
        """End; seats that went back."""
        returned = len(self.held[pbx])
        self.held[pbx] = {}
        self.revoked[pbx] = set()
        self.leases[pbx].phase = "closed"
        return returned

    def expire(self, now: float) -> None:
        """Take back what ran out."""
        for pbx, lease in self.leases.items():
            if lease.phase == "open" and now > lease.ends_at + ALLOWANCE_SECONDS:
                lease.phase = "expired"
                self.held[pbx] = {}
                self.revoked[pbx] = set()
        sent = self.standby_leases
        for claim in (*self.fenced.values(), sent.known, sent.offered):
            if now > claim.ends_at + ALLOWANCE_SECONDS:
                claim.seats = {}
        self.fenced = {holder: claim for holder, claim in self.fenced.items() if claim.seats}

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
            if answers[index] is not None:
                self.revoked[pbx].discard(listed[index])
        return [answers[index] for index in range(len(listed))]

    def sync(self, pbx: str, wants: Sequence[Key], unwanted: Sequence[Key]) -> tuple[list[Answer], int, set[Key]]:
        """Outcomes, how many went back, which had to stay; `unwanted` says in which order they are tried."""
        returned = self.give_back(pbx, unwanted)
        kept = [key for key, answer in zip(unwanted, returned, strict=True) if answer is None]
        answers = self.acquire(pbx, wants)
        if kept:  # something wanted may have taken the place of what others required
            returned = self.give_back(pbx, kept)
            kept = [key for key, answer in zip(kept, returned, strict=True) if answer is None]
            answers = [self._as_now_held(pbx, key, answer) for key, answer in zip(wants, answers, strict=True)]
        self.revoked[pbx] &= {*wants, *kept}
        return answers, len(unwanted) - len(kept), set(kept)

    def _as_now_held(self, pbx: str, key: Key, answer: Answer) -> Answer:
        if isinstance(answer, No) or not answer.included_in:
            return answer
        seat = self.held[pbx][key]
        return Yes(answer.already_held, seat.pool[0] if seat.pool else "", seat.parent)

    def unwanted(self, pbx: str, wants: Iterable[Key]) -> list[Key]:
        """What a sync must try to return."""
        return [key for key in self.held[pbx] if key not in set(wants) and key[0] != "ipva"]

    def _acquire_one(self, pbx: str, key: Key) -> Answer:
        license_type, holder = key
        seats = self.held[pbx]
        if key in self.revoked[pbx]:
            return No()
        if key in seats:
            seat = seats[key]
            if license_type == "port" and not self.needs_ipva(pbx):
                seats.pop(("ipva", holder), None)  # it is back from a virtual standby
            return Yes(already_held=True, device=seat.pool[0] if seat.pool else "", included_in=seat.parent)
        if self.gets_nothing_new(pbx) or self.is_denied(pbx, license_type):
            return No()
        if license_type == "video" and ("mypbx", holder) not in seats and ("uc", holder) not in seats:
            return No()
        if license_type in PARTS and ("uc", holder) in seats:
            seats[key] = HeldSeat(None, "uc", at=self.now)
            return Yes(already_held=False, device="", included_in="uc")
        pool = self.take(pbx, license_type)
        if pool is None:
            return No()
        if license_type == "port" and self.needs_ipva(pbx):
            companion = self.take(pbx, "ipva")
            if companion is None:
                return No()
            seats["ipva", holder] = HeldSeat(companion, "port", at=self.now)
        seats[key] = HeldSeat(pool, at=self.now)
        if license_type == "uc":
            for part in PARTS:
                if (part, holder) in seats:
                    seats[part, holder] = HeldSeat(None, "uc", at=seats[part, holder].at)
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
                    pool = self.take(pbx, part)
                    if pool is None or self.gets_nothing_new(pbx) or self.is_denied(pbx, part):
                        self.held[pbx] = before
                        return None
                    seats[part, holder] = HeldSeat(pool, at=self.now)
        return True

    def left_for(self, pbx: str, pool: PoolName, free: int) -> int:
        """How many of a pool's free seats a PBX may get, as the operator's rules have it."""
        device, kind = pool
        if device != "hq-box" or self.now >= self.rules.ends_at:
            return free
        counted = {name: max(self.debited(name).get(pool, 0), self.floor(name, pool)) for name in PBXS}
        return self.rules.left_for(pbx, kind, free, counted)

    def is_denied(self, pbx: str, kind: str) -> bool:
        """Whether a rule keeps a type from a PBX's site."""
        return (kind, pbx) in self.rules.denied and self.now < self.rules.ends_at

    def take(self, pbx: str, kind: str) -> PoolName | None:
        """The pool that one seat more may be debited from; None where none has any left."""
        capacity, used, leaving, held = self.capacity(), self.used(), self.leaving(), self.debited(pbx)
        for pool in ((device, kind) for device in self.places(pbx, kind)):
            free = max(capacity.get(pool, 0) - used.get(pool, 0) - leaving.get(pool, 0), 0)
            if self.left_for(pbx, pool, free) or held.get(pool, 0) < self.floor(pbx, pool):
                return pool
        return None
