"""What the master must answer, worked out the slow and obvious way: dictionaries, no storage, no batches.

Shares no code with the master. Knows the types that its histories use: Port with IPVA, UC with its parts; and one
standby, `spare`, of `berlin`. Here are seats; leases are in `leases.py`, what is waited for and kept in
`sharing.py`, licenses that move in `balance.py`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.invariants.balance import REVOKE, HeldSeat, Key, PoolName
from tests.invariants.model.allocation import KINDS
from tests.invariants.model.leases import ModelLeases
from tests.invariants.model.sharing import SHORT
from tests.invariants.model.values import PARTS, RANK, Answer, No, Yes


@dataclass
class Model(ModelLeases):
    """All leases and seats of one project."""

    def copy(self) -> Model:
        """A copy to try something on."""
        return copy.deepcopy(self)

    # --- Seats ------------------------------------------------------------------------------------------------------

    def acquire(self, pbx: str, wants: Sequence[Key], *, wait: bool = False) -> list[Answer]:
        """Grant or refuse each; what others need goes first."""
        answers: dict[int, Answer] = {}
        for index in sorted(range(len(wants)), key=lambda at: RANK[wants[at][0]]):
            answers[index] = self._acquire_one(pbx, wants[index])
            if isinstance(answers[index], Yes):
                self.waiting.pop((pbx, wants[index]), None)
        return self.with_places(pbx, wants, [answers[index] for index in range(len(wants))], wait=wait)

    def give_back(self, pbx: str, keys: Iterable[Key]) -> list[bool | None]:
        """True where it was held, False where not, None where it had to stay."""
        listed = list(keys)
        self.gives_up(pbx, listed)
        return self._return_all(pbx, listed)

    def _return_all(self, pbx: str, listed: Sequence[Key]) -> list[bool | None]:
        answers: dict[int, bool | None] = {}
        for index in sorted(range(len(listed)), key=lambda at: -RANK[listed[at][0]]):
            answers[index] = self._return_one(pbx, listed[index])
            if answers[index] is not None:
                self.revoked[pbx].discard(listed[index])
        return [answers[index] for index in range(len(listed))]

    def sync(
        self, pbx: str, wants: Sequence[Key], unwanted: Sequence[Key], *, wait: bool
    ) -> tuple[list[Answer], int, set[Key]]:
        """Outcomes, how many went back, which had to stay; `unwanted` says in which order they are tried."""
        self.wants_only(pbx, wants)
        returned = self._return_all(pbx, unwanted)
        kept = [key for key, answer in zip(unwanted, returned, strict=True) if answer is None]
        answers = self.acquire(pbx, wants, wait=wait)
        if kept:  # something wanted may have taken the place of what others required
            returned = self._return_all(pbx, kept)
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
        pool = self.take(pbx, license_type, key)
        if pool is None:
            return No() if self.is_local(pbx) else SHORT
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
                    pool = self.take(pbx, part, (part, holder))
                    if pool is None or self.gets_nothing_new(pbx) or self.is_denied(pbx, part):
                        self.held[pbx] = before
                        return None
                    seats[part, holder] = HeldSeat(pool, at=self.now)
        return True

    def is_denied(self, pbx: str, kind: str) -> bool:
        """Whether a rule keeps a type from a PBX's site."""
        return (kind, pbx) in self.rules.at(self.now).denied

    def take(self, pbx: str, kind: str, key: Key | None = None) -> PoolName | None:
        """The pool that one seat more may be debited from; None where none has any left."""
        held, pools = self.debited(pbx), [(device, kind) for device in self.places(pbx, kind)]
        for pool in pools:
            if self.left_for(pbx, pool, self.free(pool), key) or held.get(pool, 0) < self.floor(pbx, pool):
                return pool
        return next((pool for pool in pools if self.left_for(pbx, pool, self.room_above(pool), key)), None)

    # --- Seats that are taken away ------------------------------------------------------------------------------------

    def standing(self, pbx: str, kind: str) -> tuple[bool, int, bool]:
        """Who gives seats up first: whoever sorts first."""
        rules = self.rules.at(self.now)
        return pbx in rules.emergencies, rules.priority(pbx, kind), not self.is_connected(pbx, self.now)

    def lent(self, pbx: str, pool: PoolName) -> int:
        """Seats that were promised to a PBX for days."""
        return self.keeps(pbx, "loan", pool)

    def going(self, pool: PoolName) -> int:
        """Seats that are counted and not used, and go by themselves: blocks, and what was promised (F5)."""
        return sum(
            count - max(self.debited(pbx).get(pool, 0), self.lent(pbx, pool), self.keeps(pbx, "first", pool))
            for pbx, count in self.counted(pool).items()
        )

    def end_first_claims(self, pool: PoolName, excess: int, order: Sequence[str]) -> None:
        """At once, as many as it takes."""
        given_up = 0
        for pbx in order:
            if given_up < excess and self.keeps(pbx, "first", pool):
                before = self.counted(pool)[pbx]
                self.drop(pbx, "first", pool=pool)
                given_up += before - self.counted(pool)[pbx]

    def look_again(self) -> None:
        """Take back what is overdrawn without a budget, and what is still in the way of licenses that leave."""
        leaving = self.leaving(at_least=REVOKE)
        spent = [("hq-box", kind) for kind in KINDS if self.overdrawn(kind) and not self.budget_left(kind)]
        for pool in {*spent, *leaving}:
            self.shrink(pool, self.capacity()[pool] - leaving.get(pool, 0))
