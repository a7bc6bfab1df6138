"""What becomes of shared pools that are short: who waits, what is kept for whom, what is overdrawn.

Worked out the slow and obvious way, from docs/fairness.md and docs/overdraft.md, for the model of the random histories.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from tests.invariants.balance import Key, PoolName
from tests.invariants.model.allocation import KINDS, NO_POLICY, ModelPolicy, ModelRules
from tests.invariants.model.estate import CENTRAL_FROM, ModelEstate
from tests.invariants.model.values import ALLOWANCE_SECONDS, PBXS, PRIMARY, Answer, No, Yes

HOUR = 3600
BUDGET_SEAT_HOURS, REFILL_SEAT_HOURS_PER_DAY = 3, 24
KEPT = ("loan", "first", "block")
"""Why seats are kept for a PBX; of what several keep the first one is told."""
PORTS: PoolName = ("hq-box", "port")


@dataclass(frozen=True)
class ModelWaiter:
    """A seat that is waited for."""

    pbx: str
    key: Key
    asked_at: float
    call_seats: int


@dataclass
class Kept:
    """Seats that are counted for a PBX, held or not."""

    seats: int
    ends_at: float
    serial: int = 0


@dataclass
class ModelSharing(ModelEstate):
    """Waiting, claims and overdraft."""

    rules: ModelRules = field(default_factory=ModelRules)
    waiting: dict[tuple[str, Key], ModelWaiter] = field(default_factory=dict)
    handed_on: set[tuple[str, Key]] = field(default_factory=set)
    """Granted to those who waited, and not taken up yet."""
    kept: dict[tuple[str, str, PoolName], Kept] = field(default_factory=dict)
    """By PBX, why, and pool."""
    spent: dict[str, float] = field(default_factory=lambda: dict.fromkeys(KINDS, 0.0))
    """Seat seconds of the overdraft's budget, by license type."""

    def acquire(self, pbx: str, wants: Sequence[Key], *, wait: bool = False) -> list[Answer]:
        """Grant or refuse each."""
        raise NotImplementedError

    def debited(self, pbx: str) -> dict[PoolName, int]:
        """Seats that a PBX holds, by pool."""
        raise NotImplementedError

    def floor(self, pbx: str, pool: PoolName) -> int:
        """The least that is counted."""
        raise NotImplementedError

    def policy(self, kind: str) -> ModelPolicy:
        return self.rules.policies.get(kind, NO_POLICY)

    def counted(self, pool: PoolName) -> dict[str, int]:
        """What is counted of a pool, by PBX."""
        return {pbx: max(self.debited(pbx).get(pool, 0), self.floor(pbx, pool)) for pbx in PBXS}

    def free(self, pool: PoolName) -> int:
        """Seats that are counted for nobody and do not leave."""
        return max(self.capacity().get(pool, 0) - self.used().get(pool, 0) - self.leaving().get(pool, 0), 0)

    # --- Time ---------------------------------------------------------------------------------------------------------

    def pass_time(self, seconds: float) -> None:
        """Spend the budget of what is overdrawn; fill it up where nothing is."""
        for kind in KINDS:
            if overdrawn := self.overdrawn(kind):
                self.spent[kind] += overdrawn * seconds
            else:
                left = min(self.spent[kind], BUDGET_SEAT_HOURS * HOUR) - REFILL_SEAT_HOURS_PER_DAY * seconds / 24
                self.spent[kind] = max(left, 0.0)

    def end_what_is_kept(self) -> None:
        """Count no longer what is over."""
        over = [name for name, kept in self.kept.items() if self.ends_by > kept.ends_at + ALLOWANCE_SECONDS]
        for name in over:
            del self.kept[name]

    # --- Overdraft ----------------------------------------------------------------------------------------------------

    def overdrawn(self, kind: str) -> int:
        """Seats above what is installed."""
        return max(self.used()["hq-box", kind] - self.capacity()["hq-box", kind], 0)

    def budget_left(self, kind: str) -> float:
        """Seat seconds."""
        budget = BUDGET_SEAT_HOURS * HOUR if self.policy(kind).overdraft_seats else 0
        return max(budget - self.spent[kind], 0.0)

    def room_above(self, pool: PoolName) -> int:
        """Seats that may be granted above what is installed: each one lasts an hour at least."""
        device, kind = pool
        most = self.policy(kind).overdraft_seats if device == "hq-box" else 0
        if not most or self.leaving().get(pool, 0) or self.capacity()[pool] > self.used()[pool]:
            return 0
        return max(min(most, int(self.budget_left(kind) // HOUR)) - self.overdrawn(kind), 0)

    # --- Who is next --------------------------------------------------------------------------------------------------

    def waiters(self, kind: str) -> list[ModelWaiter]:
        return [waiter for waiter in self.waiting.values() if waiter.key[0] == kind]

    def left_for(self, pbx: str, pool: PoolName, free: int, key: Key | None = None) -> int:
        """How many of a pool's free seats a PBX may get, as the operator's rules have it: its own where it waits and
        its turn has come; else what those leave who wait and could be granted one.
        """
        device, kind = pool
        if device != "hq-box":
            return free
        rules, counted = self.rules.at(self.now), self.counted(pool)
        if not free or self.policy(kind).queue is None or not self.waiters(kind):
            return rules.left_for(pbx, kind, free, counted)
        served, left, counted = self.turns(kind, free)
        if key is not None and (pbx, key) in self.waiting:
            return int((pbx, key) in [(waiter.pbx, waiter.key) for waiter in served])
        return rules.left_for(pbx, kind, left, counted)

    def turns(self, kind: str, free: int) -> tuple[list[ModelWaiter], int, dict[str, int]]:
        """Whose turn it is where so many seats are free; what is left then, and what is counted then."""
        rules, counted = self.rules.at(self.now), self.counted(("hq-box", kind))
        waiters, served = self.waiters(kind), list[ModelWaiter]()
        while free:
            able = [
                waiter
                for waiter in waiters
                if self.is_connected(waiter.pbx, self.now) and rules.left_for(waiter.pbx, kind, free, counted)
            ]
            if not able:
                break
            following = min(able, key=lambda waiter: self._turn(waiter, counted))
            waiters.remove(following)
            served.append(following)
            counted[following.pbx] += 1
            free -= 1
        return served, free, counted

    def line(self, kind: str) -> dict[tuple[str, Key], int]:
        """The places of those who wait, as if seats came free one by one for everybody."""
        counted, waiters, places = self.counted(("hq-box", kind)), self.waiters(kind), dict[tuple[str, Key], int]()
        while waiters:
            following = min(waiters, key=lambda waiter: self._turn(waiter, counted))
            waiters.remove(following)
            counted[following.pbx] += 1
            places[following.pbx, following.key] = len(places) + 1
        return places

    def _turn(self, waiter: ModelWaiter, counted: dict[str, int]) -> tuple[object, ...]:
        pbx, kind = waiter.pbx, waiter.key[0]
        queue, rules = self.policy(kind).queue, self.rules.at(self.now)
        assert queue is not None
        age = (waiter.asked_at, PBXS.index(pbx), waiter.key)
        if self.now - waiter.asked_at > queue.patience_seconds:
            return (0, *age)
        return (
            1,
            not rules.own_and_others(pbx, kind, counted)[0],
            -rules.priority(pbx, kind),
            waiter.call_seats > queue.express_seats_max,
            counted[pbx] / rules.weight(pbx, kind),
            *age,
        )

    # --- Who waits ----------------------------------------------------------------------------------------------------

    def with_places(self, pbx: str, wants: Sequence[Key], answers: list[Answer], *, wait: bool) -> list[Answer]:
        """What was refused because seats are short has a place, where the call asks to wait or it waits already."""
        short = [key[0] for key, answer in zip(wants, answers, strict=True) if answer == SHORT]
        awaited: list[int] = []
        for index, (key, answer) in enumerate(zip(wants, answers, strict=True)):
            queue = self.policy(key[0]).queue
            if queue is None:
                continue
            if answer == SHORT and (pbx, key) not in self.waiting and wait:
                waiters = self.waiters(key[0])
                if sum(waiter.pbx == pbx for waiter in waiters) >= queue.length_max - len(waiters):
                    continue
                self.waiting[pbx, key] = ModelWaiter(pbx, key, self.now, short.count(key[0]))
            if answer == SHORT and (pbx, key) in self.waiting:
                awaited.append(index)
            else:
                self.waiting.pop((pbx, key), None)
        self.handed_on -= {(pbx, key) for key in wants}
        places = {kind: self.line(kind) for kind in KINDS if self.policy(kind).queue is not None}
        waits = {index: places[wants[index][0]] for index in awaited}
        return [
            No(waits[index][pbx, wants[index]], len(waits[index]))
            if index in waits
            else (No() if answer == SHORT else answer)
            for index, answer in enumerate(answers)
        ]

    def gives_up(self, pbx: str, keys: Collection[Key]) -> None:
        """A PBX waits for some seats no longer, and needs not hear of them."""
        for key in keys:
            self.waiting.pop((pbx, key), None)
            self.handed_on.discard((pbx, key))

    def wants_only(self, pbx: str, wants: Collection[Key]) -> None:
        """A PBX waits for nothing but what it wants."""
        names = [*self.waiting, *self.handed_on]
        self.gives_up(pbx, [key for name, key in names if name == pbx and key not in wants])

    def hand_on(self) -> None:
        """Seats that are free go to those who wait, as long as anybody may have one."""
        self.waiting = {name: it for name, it in self.waiting.items() if self.policy(it.key[0]).queue is not None}
        while True:
            turns: dict[str, list[Key]] = {}
            for kind in sorted({waiter.key[0] for waiter in self.waiting.values()}):
                pool = ("hq-box", kind)
                for waiter in self.turns(kind, self.free(pool) or self.room_above(pool))[0]:
                    turns.setdefault(waiter.pbx, []).append(waiter.key)
            seats = 0
            for pbx, keys in turns.items():
                wants = [key for key in keys if (pbx, key) in self.waiting]
                granted = [
                    key for key, answer in zip(wants, self.acquire(pbx, wants), strict=True) if isinstance(answer, Yes)
                ]
                self.handed_on |= {(pbx, key) for key in granted}
                seats += len(granted)
            if not seats:
                return

    # --- What is kept -------------------------------------------------------------------------------------------------

    def keeps(self, pbx: str, why: str, pool: PoolName = PORTS) -> int:
        """Seats that are kept for a PBX for a reason."""
        kept = self.kept.get((pbx, why, pool))
        return kept.seats if kept is not None else 0

    def keep(self, pbx: str, why: str, pool: PoolName, kept: Kept) -> None:
        """Keep so many from now on, in place of what was kept before for the same reason."""
        self.drop(pbx, why, pool=pool)
        if kept.seats:
            self.kept[pbx, why, pool] = kept

    def drop(self, pbx: str, *whys: str, pool: PoolName | None = None) -> None:
        """Keep nothing of a pool, or of any, for some reasons."""
        gone = [name for name in self.kept if name[0] == pbx and name[1] in whys and pool in (None, name[2])]
        for name in gone:
            del self.kept[name]

    def lends_by_number(self, pbx: str) -> bool:
        """Whether nothing but the pool decides about a port on a PBX: blocks and loans are made of no other seats."""
        software = self.running(pbx)
        is_possible = not self.is_local(pbx) and CENTRAL_FROM <= software <= self.limit("hq-box")
        return is_possible and "ipva" not in (self.platforms[pbx], self.platforms[self.user_of(pbx)])

    def borrow(self, pbx: str, seats: int, ends_at: float) -> str:
        """Lend seats; why not, empty where they are lent."""
        if not self.policy("port").loan_days_max:
            return "LOAN_NOT_ALLOWED"
        if pbx == PRIMARY or not self.lends_by_number(pbx):
            return "LOAN_NOT_POSSIBLE"
        before = self.kept.get((pbx, "loan", PORTS))
        if before is not None and (seats < before.seats or ends_at < before.ends_at):
            return "LOAN_SHORTENED"
        if seats - self.counted(PORTS)[pbx] > self.left_for(pbx, PORTS, self.free(PORTS)):
            return "LOAN_SHORT"
        self.keep(pbx, "loan", PORTS, Kept(seats, ends_at))
        return ""

    def return_loan(self, pbx: str, seats_kept: int, *, is_heard: bool) -> int | None:
        """Keep fewer; seats at risk, None where so many are not borrowed."""
        loan = self.kept.get((pbx, "loan", PORTS))
        if loan is None or loan.seats < seats_kept:
            return None
        before = self.counted(PORTS)[pbx]
        self.keep(pbx, "loan", PORTS, Kept(seats_kept, loan.ends_at))
        freed = before - self.counted(PORTS)[pbx]
        return 0 if is_heard or self.ends_by > loan.ends_at else freed

    def goes_by(self, pbx: str, seats: int, serial: int) -> None:
        """A PBX says how many ports it may use by number; it counts where it has the newest block."""
        block = self.kept.get((pbx, "block", PORTS))
        if block is not None and block.serial == serial:
            self.keep(pbx, "block", PORTS, Kept(min(block.seats, seats), block.ends_at, serial))

    def offers(self, pbx: str, used: int, acquired: int, ends_at: float) -> int:
        """Seats in all of the block that a PBX is given: twice what it acquired or half of what lies idle, of half of
        what is free beyond a tenth of the pool, less what the pool has to give up; none where anybody waits.
        """
        most, offered = self.policy("port").block_seats_max, 0
        is_waited_for = self.policy("port").queue is not None and bool(self.waiters("port"))
        if most and self.lends_by_number(pbx) and not is_waited_for:
            counted = self.counted(PORTS)[pbx]
            used = max(self.debited(pbx).get(PORTS, 0), min(used, counted))
            missing = max(self.used()[PORTS] + self.leaving().get(PORTS, 0) - self.capacity()[PORTS], 0)
            left = self.left_for(pbx, PORTS, self.free(PORTS)) - missing + counted - used
            ahead = min(max(2 * acquired, (counted - used) // 2), most, (left - -(-self.capacity()[PORTS] // 10)) // 2)
            offered = used + ahead if ahead > 0 else 0
        before = self.kept.get((pbx, "block", PORTS))
        end = max(ends_at, before.ends_at if before is not None else 0.0)
        self.keep(pbx, "block", PORTS, Kept(max(offered, self.keeps(pbx, "block")), end))
        return offered

    def idle(self, kind: str) -> dict[str, int]:
        """What is kept and not held, by reason; what may be in use of PRIMARY's seats elsewhere comes before these."""
        pool, parts = ("hq-box", kind), dict.fromkeys(KEPT, 0)
        for pbx in PBXS:
            level = max(self.debited(pbx).get(pool, 0), self.promised(pbx, pool))
            for why in KEPT:
                parts[why] += max(self.keeps(pbx, why, pool) - level, 0)
                level = max(level, self.keeps(pbx, why, pool))
        return parts

    def promised(self, pbx: str, pool: PoolName) -> int:
        """What is counted for a PBX because its standby, or it itself unheard, may use it."""
        raise NotImplementedError


SHORT = No(place=-1)
"""Refused only because seats are short."""
