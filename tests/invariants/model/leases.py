"""Leases as the model of the random histories has them: opened, renewed, taken over, ended; what they promise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.invariants.balance import HeldSeat, Key, PoolName
from tests.invariants.model.estate import CENTRAL_FROM, SOFTWARE
from tests.invariants.model.sharing import PORTS, Kept, ModelSharing
from tests.invariants.model.values import (
    ALLOWANCE_SECONDS,
    GRACE_SECONDS,
    MODEL_CAPACITY,
    PBXS,
    PRIMARY,
    RECONNECT_SECONDS,
    RENEW_SECONDS,
    SETTLE_SECONDS,
    STANDBY,
    TTL_SECONDS,
    Answer,
    ModelClaim,
    ModelLease,
    StandbyLeaseModel,
    Yes,
)


@dataclass
class ModelLeases(ModelSharing):
    """The leases of one project, and who may use its seats by them."""

    leases: dict[str, ModelLease] = field(default_factory=lambda: {pbx: ModelLease() for pbx in PBXS})
    held: dict[str, dict[Key, HeldSeat]] = field(default_factory=lambda: {pbx: {} for pbx in PBXS})
    revoked: dict[str, set[Key]] = field(default_factory=lambda: {pbx: set() for pbx in PBXS})

    fenced: dict[str, ModelClaim] = field(default_factory=dict)
    """By who may not have heard that PRIMARY's lease was taken from it."""
    standby_leases: StandbyLeaseModel = field(default_factory=StandbyLeaseModel)
    broken_at: float = 0.0
    """When the newest stream of PRIMARY broke, under `broken_epoch`."""
    broken_epoch: int = 0

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
        kept = (kept.seats for (whose, _, of), kept in self.kept.items() if whose == pbx and of == pool)
        return max((self.promised(pbx, pool), *kept))

    def promised(self, pbx: str, pool: PoolName) -> int:
        """What is counted for PRIMARY because its standby, or it itself unheard, may use it."""
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
        runs = lease is not None and lease.phase == "open" and self.ends_by <= lease.ends_at
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
        return lease.phase == "open" and now <= lease.renewed_at + TTL_SECONDS and self.ends_by <= lease.ends_at

    # --- Leases -----------------------------------------------------------------------------------------------------

    def refusal_of_call(self, pbx: str, epoch: int) -> str:
        """The reason why a call under an epoch must fail; empty where it must not."""
        lease = self.leases[pbx]
        if lease.phase == "none" or epoch > lease.epoch:
            return "LEASE_NOT_OPEN"
        if epoch < lease.epoch:
            carried = lease.user not in ("", pbx) and lease.phase == "open" and self.ends_by <= lease.ends_at
            return "LEASE_CARRIED" if carried else "LEASE_FENCED"
        if lease.phase == "closed":
            return "LEASE_CLOSED"
        if lease.phase == "expired" or self.ends_by > lease.ends_at:
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
            was_running = lease.phase == "open" and self.ends_by <= lease.ends_at + ALLOWANCE_SECONDS
            if was_running and lease.user != user:
                seats = self.debited(pbx)
                if block := self.keeps(pbx, "block"):  # it may use as many unasked
                    seats[PORTS] = max(seats.get(PORTS, 0), block)
                    self.drop(pbx, "block")
                self.fenced.setdefault(lease.user, ModelClaim()).raise_to(seats, lease.ends_at, lease.epoch)
            lease.epoch += 1
            lease.software, lease.opened_at = software, now
        lease.phase, lease.request_id, lease.user = "open", request_id, user
        lease.ends_at, lease.renewed_at = max(promised, now + TTL_SECONDS + GRACE_SECONDS), now
        if pbx == STANDBY:
            self._send_standby_leases(now)
        return is_repeated

    def acquire_with_opening(
        self, pbx: str, wants: Sequence[Key], *, is_repeated: bool, wait: bool
    ) -> tuple[list[Answer], int]:
        """What is answered, and how many debited seats there are from before; a retry is answered as at first."""
        held, opened_at = self.held[pbx], self.leases[pbx].opened_at
        by_opening = {key for key, seat in held.items() if is_repeated and seat.at >= opened_at}
        holders = {holder for _, holder in wants}
        before = [key for key, seat in held.items() if seat.pool and not (key in by_opening and key[1] in holders)]
        answers = self.acquire(pbx, wants, wait=wait) if wants else []
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

        def in_use(pool: PoolName) -> int:
            """Seats that may be in use beside those that it borrowed."""
            block = self.keeps(pbx, "block", pool)
            return max(max(held.get(pool, 0), self.promised(pbx, pool), block) - self.keeps(pbx, "loan", pool), 0)

        counted = sum(map(in_use, self.capacity()))
        sent = self.standby_leases
        claims = [*self.fenced.values(), sent.known, sent.offered] if pbx == PRIMARY else []
        ends = [claim.ends_at for claim in claims if claim.seats]
        ends += [kept.ends_at for (name, why, _), kept in self.kept.items() if (name, why) == (pbx, "block")]
        is_kept = any((name, why) == (pbx, "first") for name, why, _ in self.kept)
        if lease.phase == "none" or (lease.phase != "open" and not (counted or ends or is_kept)):
            return None
        ends += [lease.ends_at] if lease.phase == "open" else []
        at_risk = counted if self.ends_by <= max(ends, default=0.0) else 0
        returned = self.close(pbx)
        if pbx == PRIMARY:
            self.fenced, self.standby_leases.known, self.standby_leases.offered = {}, ModelClaim(), ModelClaim()
            self.standby_leases.serial += 1 if self.standby_leases.serial else 0
            self.standby_leases.acknowledged = 0
        return returned, at_risk

    def refuses_takeover(self, now: float, *, force: bool, serving_since: float) -> bool:
        """Whether STANDBY may not carry PRIMARY's seats."""
        own, lease = self.leases[STANDBY], self.leases[PRIMARY]
        if own.phase != "open" or self.ends_by > own.ends_at or lease.phase == "none" or self.standby_is_too_new():
            return True
        is_open = lease.phase == "open" and self.ends_by <= lease.ends_at
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
        is_open = lease.phase == "open" and self.ends_by <= lease.ends_at
        if lease.phase == "none" or (is_open and lease.user == STANDBY) or self.standby_is_too_new():
            return
        seats = self.debited(PRIMARY) if is_open else {}
        unheard = sent.serial > sent.acknowledged and self.ends_by <= sent.ends_at
        if seats or sent.known.seats or sent.offered.seats or unheard:
            sent.serial += 1
            sent.ends_at = self.leases[STANDBY].ends_at
            sent.offered.raise_to(seats, self.leases[STANDBY].ends_at)

    def close(self, pbx: str) -> int:
        """End; seats that went back."""
        returned = len(self.held[pbx])
        self._lose_all(pbx)
        self.leases[pbx].phase = "closed"
        self.drop(pbx, "first", "block")
        return returned

    def _lose_all(self, pbx: str) -> None:
        self.held[pbx] = {}
        self.revoked[pbx] = set()
        self.wants_only(pbx, ())

    def expire(self) -> None:
        """Take back what ran out; what the policies say is kept for the return of who held it."""
        for pbx, lease in self.leases.items():
            if lease.phase == "open" and self.ends_by > lease.ends_at + ALLOWANCE_SECONDS:
                lease.phase = "expired"
                self.drop(pbx, "first")
                for (device, kind), count in self.debited(pbx).items():
                    if device == "hq-box" and (seconds := self.policy(kind).first_claim_seconds):
                        self.keep(pbx, "first", (device, kind), Kept(count, self.now + seconds))
                self._lose_all(pbx)
        self.end_what_is_kept()
        sent = self.standby_leases
        for claim in (*self.fenced.values(), sent.known, sent.offered):
            if self.ends_by > claim.ends_at + ALLOWANCE_SECONDS:
                claim.seats = {}
        self.fenced = {holder: claim for holder, claim in self.fenced.items() if claim.seats}
