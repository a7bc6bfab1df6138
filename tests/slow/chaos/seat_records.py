"""What the sites were told, held against what there is: the invariants that hold in every story.

- I1: at every moment the seats that sites believe they hold are no more than there are licenses.
- I2: nothing acknowledged is lost: a seat that the master granted and the site did not return stands in the database
  as long as the site's own signed lease runs; one that the site passed on while offline, under its first holder.
- I3: the counters agree with the seats, no pool is overdrawn, each is worth the licenses bound to its device, none of
  them twice; the audit chain verifies.

Decides: whether one of them is broken. Leaves to others: what happens to the sites, and when to check.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from time import monotonic

from master.service.monitoring.audit import Audit
from master.store.backends.database import Database, StorageError, Tx
from master.store.upkeep.integrity import counter_mismatches
from slave_client import Granted, Lost, SeatChange, SeatKey, SlaveClient, State, Want

_IN_USE = (State.CONNECTED, State.OFFLINE)
_VIOLATIONS_MAX = 20


@dataclass(slots=True)
class _ClientRecord:
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


class SeatRecords:
    """The records of all sites of one estate; everything happens on one event loop, so each check is one moment."""

    def __init__(self, *, licensed: int) -> None:
        self.licensed = licensed
        """The most seats that may be in use now; changes with licenses that move."""
        self.violations: list[str] = []
        self.checks = 0
        """How often the database was compared."""
        self.happened: Counter[str] = Counter()
        self._client_records: dict[int, _ClientRecord] = {}
        self._number = 0
        self._totals: deque[tuple[float, int]] = deque(maxlen=100_000)

    def follow(self, pbx: str, client: SlaveClient) -> None:
        """Follow a client; what it kept from before its start counts as acknowledged."""
        record = self._client_records[id(client)] = _ClientRecord(pbx, client)
        for held in client.held:
            record.granted[held.want.key] = self._next()

    def forget(self, client: SlaveClient) -> None:
        """A client is gone."""
        self._client_records.pop(id(client), None)

    def gives_up(self, client: SlaveClient, wants: Iterable[Want]) -> None:
        """A site is about to return seats: from now on they may go at any moment."""
        record = self._client_records[id(client)]
        for want in wants:
            record.granted.pop(want.key, None)
        self._note_total()

    def seat_changed(self, client: SlaveClient, change: SeatChange) -> None:
        """A site was told something."""
        if (record := self._client_records.get(id(client))) is None:
            return
        record.granted.pop(change.want.key, None)
        kind = type(change).__name__.lower()
        if isinstance(change, Granted):
            record.granted[change.want.key] = self._next()
            kind = f"granted by {change.source.value}"
        elif isinstance(change, Lost):
            kind = f"lost: {change.cause.value}"
        self.happened[kind] += 1
        self.check()

    def check(self) -> None:
        """I1, at this moment."""
        by_pbx: dict[str, set[SeatKey]] = {}
        for record in self._client_records.values():
            by_pbx.setdefault(record.pbx, set()).update(record.in_use)
        total = sum(map(len, by_pbx.values()))
        self._note_total()
        if total > self.licensed:
            counted = ", ".join(f"{pbx}: {len(keys)}" for pbx, keys in by_pbx.items())
            self.violated(f"I1: {total} seats in use, {self.licensed} licenses ({counted})")

    def used_elsewhere(self, count: int, *, begin: float, end: float) -> None:
        """I1, for a process that used so many seats at some moment between `begin` and `end`."""
        before = [total for at, total in self._totals if at <= begin][-1:]
        least = min([*before, *(total for at, total in self._totals if begin < at <= end)], default=0)
        self.happened["checks of a process that sleeps"] += 1
        if count + least > self.licensed:
            self.violated(f"I1: a PBX that slept used {count} seats while others used {least} of {self.licensed}")

    async def compare(self, database: Database) -> dict[str, set[SeatKey]] | None:
        """I2 and the counters of I3, as far as the database answers; what stands in it, by PBX."""
        before = {
            (id_, key): number for id_, record in self._client_records.items() for key, number in self._reliable(record)
        }
        try:
            there, wrong = await database.read(lambda tx: (_seats(tx), counter_mismatches(tx) + _bound_twice(tx)))
        except StorageError:
            return None
        self.checks += 1
        for each in wrong:
            self.violated(f"I3: {each}")
        for (id_, key), number in before.items():
            record = self._client_records.get(id_)
            if record is None or dict(self._reliable(record)).get(key) != number:
                continue
            counted = {held.want.key: held.counted_as for held in record.client.held}
            if not {key, counted[key]} & there.get(record.pbx, set()):
                left = record.client.report().remaining_seconds
                self.violated(f"I2: {record.pbx} lost {key.holder}, its signed lease runs for {left:.1f} s more")
        return there

    async def verify_audit(self, database: Database) -> None:
        """The rest of I3."""
        for walked in await Audit(database).verify_all():
            if walked.defect:
                self.violated(f"I3: {walked.project}: {walked.defect.message}")

    def differences(self, there: dict[str, set[SeatKey]]) -> list[str]:
        """Where the sites' records and the database's are not the same."""
        collected = []
        for record in self._client_records.values():
            mine, theirs = record.in_use, there.get(record.pbx, set())
            if record.client.state is State.FENCED:
                continue
            if record.client.state is not State.CONNECTED or mine != theirs:
                names = sorted(key.holder for key in mine ^ theirs)
                collected.append(
                    f"{record.pbx} is {record.client.state.value}, differs in {names}: {record.client.report().why}"
                )
        return collected

    def violated(self, text: str) -> None:
        """Note that an invariant is broken."""
        if len(self.violations) < _VIOLATIONS_MAX and text not in self.violations:
            self.violations.append(text)

    def _note_total(self) -> None:
        """Seats in use that nobody is giving up: those may be somebody else's at any moment."""
        self._totals.append((monotonic(), sum(len(self._reliable(record)) for record in self._client_records.values())))

    def _reliable(self, record: _ClientRecord) -> list[tuple[SeatKey, int]]:
        if not record.is_in_use:
            return []
        in_use = record.in_use
        return [(key, number) for key, number in record.granted.items() if key in in_use]

    def _next(self) -> int:
        self._number += 1
        return self._number


def _seats(tx: Tx) -> dict[str, set[SeatKey]]:
    """What stands in the database, by PBX."""
    rows = tx.rows("SELECT pbx.name, seat.type, kind, holder FROM seat JOIN pbx ON pbx.id = seat.pbx_id")
    collected: dict[str, set[SeatKey]] = {}
    for pbx, license_type, kind, holder in rows:
        collected.setdefault(pbx, set()).add(SeatKey(license_type, kind, holder))
    return collected


def _bound_twice(tx: Tx) -> list[str]:
    """Pools that are worth something else than the licenses bound to their device."""
    rows = tx.rows(
        "SELECT pool.id, pool.capacity, COALESCE(SUM(license.quantity), 0) FROM pool"
        " LEFT JOIN license ON license.device_id = pool.device_id AND license.type = pool.type"
        " GROUP BY pool.id, pool.capacity"
    )
    return [
        f"pool {pool} is worth {capacity}, its licenses come to {quantity}"
        for pool, capacity, quantity in rows
        if capacity != quantity
    ]
