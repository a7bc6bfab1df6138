"""What the sites were told, held against what there is: the invariants that hold in every story.

- I1: at every moment the seats that sites believe they hold are no more than there are licenses.
- I2: nothing acknowledged is lost: a seat that the master granted and the site did not return stands in the database
  as long as the site's own signed lease runs; one that the site passed on while offline, under its first holder.
- I3: the counters agree with the seats, no pool is overdrawn, each is worth the licenses bound to its device, none of
  them twice; the audit chain verifies.

Decides: whether one of them is broken. Leaves to others: what happens to the sites, and when to look.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from time import monotonic

from sqlalchemy import func, select

from master.service.monitoring.audit import Audit
from master.store import tables as t
from master.store.backends.database import Database, StorageError, Tx
from master.store.upkeep.integrity import counter_mismatches
from slave_client import Granted, Lost, SeatChange, SeatKey, SlaveClient, State, Want

_IN_USE = (State.CONNECTED, State.OFFLINE)
_VIOLATIONS_MAX = 20


@dataclass(slots=True)
class _Page:
    """One client."""

    pbx: str
    client: SlaveClient
    granted: dict[SeatKey, int] = field(default_factory=dict)
    """Seats that may be relied on, with a number that changes with whatever happens to them."""

    @property
    def is_in_use(self) -> bool:
        return self.client.state in _IN_USE

    @property
    def in_use(self) -> set[SeatKey]:
        return {held.want.key for held in self.client.held} if self.is_in_use else set()


class Books:
    """The books of all sites of one estate; everything happens on one event loop, so each look is one moment."""

    def __init__(self, *, licensed: int) -> None:
        self.licensed = licensed
        """The most seats that may be in use now; changes with licenses that move."""
        self.violations: list[str] = []
        self.in_use_max = 0
        self.looks = 0
        """How often the database was compared."""
        self.happened: Counter[str] = Counter()
        self._pages: dict[int, _Page] = {}
        self._number = 0
        self._totals: deque[tuple[float, int]] = deque(maxlen=100_000)

    def open_page(self, pbx: str, client: SlaveClient) -> None:
        """Follow a client; what it kept from before its start counts as acknowledged."""
        page = self._pages[id(client)] = _Page(pbx, client)
        for held in client.held:
            page.granted[held.want.key] = self._next()

    def close_page(self, client: SlaveClient) -> None:
        """A client is gone."""
        self._pages.pop(id(client), None)

    def gives_up(self, client: SlaveClient, wants: Iterable[Want]) -> None:
        """A site is about to return seats: from now on they may go at any moment."""
        page = self._pages[id(client)]
        for want in wants:
            page.granted.pop(want.key, None)
        self._note_total()

    def seat_changed(self, client: SlaveClient, change: SeatChange) -> None:
        """A site was told something."""
        if (page := self._pages.get(id(client))) is None:
            return
        page.granted.pop(change.want.key, None)
        kind = type(change).__name__.lower()
        if isinstance(change, Granted):
            page.granted[change.want.key] = self._next()
            kind = f"granted by {change.source.value}"
        elif isinstance(change, Lost):
            kind = f"lost: {change.cause.value}"
        self.happened[kind] += 1
        self.look()

    def look(self) -> None:
        """I1, at this moment."""
        by_pbx: dict[str, set[SeatKey]] = {}
        for page in self._pages.values():
            by_pbx.setdefault(page.pbx, set()).update(page.in_use)
        total = sum(map(len, by_pbx.values()))
        self.in_use_max = max(self.in_use_max, total)
        self._note_total()
        if total > self.licensed:
            counted = ", ".join(f"{pbx}: {len(keys)}" for pbx, keys in by_pbx.items())
            self.violated(f"I1: {total} seats in use, {self.licensed} licenses ({counted})")

    def used_elsewhere(self, count: int, *, begin: float, end: float) -> None:
        """I1, for a process that used so many seats at some moment between `begin` and `end`."""
        before = [total for at, total in self._totals if at <= begin][-1:]
        least = min([*before, *(total for at, total in self._totals if begin < at <= end)], default=0)
        self.happened["looks of a process that sleeps"] += 1
        if count + least > self.licensed:
            self.violated(f"I1: a PBX that slept used {count} seats while others used {least} of {self.licensed}")

    async def compare(self, database: Database) -> dict[str, set[SeatKey]] | None:
        """I2 and the counters of I3, as far as the database answers; what stands in it, by PBX."""
        before = {(id_, key): number for id_, page in self._pages.items() for key, number in self._reliable(page)}
        try:
            there, wrong = await database.read(lambda tx: (_seats(tx), counter_mismatches(tx) + _bound_twice(tx)))
        except StorageError:
            return None
        self.looks += 1
        for one in wrong:
            self.violated(f"I3: {one}")
        for (id_, key), number in before.items():
            page = self._pages.get(id_)
            if page is None or dict(self._reliable(page)).get(key) != number:
                continue
            counted = {held.want.key: held.counted_as for held in page.client.held}
            if not {key, counted[key]} & there.get(page.pbx, set()):
                left = page.client.report().remaining_seconds
                self.violated(f"I2: {page.pbx} lost {key.holder}, its signed lease runs for {left:.1f} s more")
        return there

    async def verify_audit(self, database: Database) -> None:
        """The rest of I3."""
        for walked in await Audit(database).verify_all():
            if walked.defect:
                self.violated(f"I3: {walked.project}: {walked.defect.message}")

    def differences(self, there: dict[str, set[SeatKey]]) -> list[str]:
        """Where the sites' books and the database's are not the same."""
        found = []
        for page in self._pages.values():
            mine, theirs = page.in_use, there.get(page.pbx, set())
            if page.client.state is State.FENCED:
                continue
            if page.client.state is not State.CONNECTED or mine != theirs:
                names = sorted(key.holder for key in mine ^ theirs)
                found.append(f"{page.pbx} is {page.client.state.value}, differs in {names}: {page.client.report().why}")
        return found

    def violated(self, text: str) -> None:
        """Note that an invariant is broken."""
        if len(self.violations) < _VIOLATIONS_MAX and text not in self.violations:
            self.violations.append(text)

    def _note_total(self) -> None:
        """Seats in use that nobody is giving up: those may be somebody else's at any moment."""
        self._totals.append((monotonic(), sum(len(self._reliable(page)) for page in self._pages.values())))

    def _reliable(self, page: _Page) -> list[tuple[SeatKey, int]]:
        if not page.is_in_use:
            return []
        in_use = page.in_use
        return [(key, number) for key, number in page.granted.items() if key in in_use]

    def _next(self) -> int:
        self._number += 1
        return self._number


def _seats(tx: Tx) -> dict[str, set[SeatKey]]:
    """What stands in the database, by PBX."""
    query = select(t.pbx.c.name, t.seat.c.type, t.seat.c.kind, t.seat.c.holder).join(
        t.pbx, t.pbx.c.id == t.seat.c.pbx_id
    )
    found: dict[str, set[SeatKey]] = {}
    for pbx, license_type, kind, holder in tx.connection.execute(query):
        found.setdefault(pbx, set()).add(SeatKey(license_type, kind, holder))
    return found


def _bound_twice(tx: Tx) -> list[str]:
    """Pools that are worth something else than the licenses bound to their device."""
    bound = (
        select(t.license_.c.device_id, t.license_.c.type, func.sum(t.license_.c.quantity).label("quantity"))
        .where(t.license_.c.device_id.is_not(None))
        .group_by(t.license_.c.device_id, t.license_.c.type)
        .subquery()
    )
    query = select(t.pool.c.id, t.pool.c.capacity, func.coalesce(bound.c.quantity, 0)).outerjoin(
        bound, (bound.c.device_id == t.pool.c.device_id) & (bound.c.type == t.pool.c.type)
    )
    return [
        f"pool {pool} is worth {capacity}, its licenses come to {quantity}"
        for pool, capacity, quantity in tx.connection.execute(query)
        if capacity != quantity
    ]
