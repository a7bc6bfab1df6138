"""One batch: read what it needs under lock, let the core decide, write seats, counters and events together.

Requests are decided in order, each on what those before it left. The caller commits; nobody is answered before.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from master.domain.decide import Decider, Outcome
from master.domain.estate import Pbx
from master.domain.leases import Lease, LeaseError, Phase, ended, is_reclaimable, opened, renewed, running
from master.domain.ledger import Ledger
from master.domain.notices import notices
from master.domain.refusals import Refusal, TopHolder
from master.domain.seats import Key, Seat, SeatKey, Want
from master.domain.terms import TermsBook
from master.domain.words import Basis
from master.leasing.estates import Estates
from master.leasing.requests import (
    AcquireSeats,
    Answer,
    CloseLease,
    LeaseClosed,
    LeaseGranted,
    OpenLease,
    ReclaimSeats,
    RenewLease,
    Request,
    ReturnSeats,
    SeatsAcquired,
    SeatsReclaimed,
    SeatsReturned,
    SeatsSynced,
    SyncSeats,
    Tally,
    UnknownPbxError,
)
from master.store import seats as store
from master.store.database import Tx
from master.store.events import Event, write_events

Named = TypeVar("Named", Want, SeatKey)
_JSON = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Errand:
    """A request whose PBX is known."""

    request: Request
    book: TermsBook
    pbx: Pbx


@dataclass(slots=True)
class Prefetch:
    """What must be read before the batch can be decided."""

    holders: set[tuple[int, str]] = field(default_factory=set)
    on_behalf: set[tuple[int, str]] = field(default_factory=set)
    types: set[tuple[int, str]] = field(default_factory=set)
    whole_pbxs: set[int] = field(default_factory=set)
    pools: set[int] = field(default_factory=set)
    revoked: set[int] = field(default_factory=set)
    """PBXs that may have revoked seats to give back."""


class Batch:
    """Requests to be decided and written in one transaction."""

    def __init__(self, tx: Tx, estates: Estates, *, now: float, clock_allowance_seconds: float) -> None:
        self._tx = tx
        self._estates = estates
        self._now = now
        self._clock_allowance_seconds = clock_allowance_seconds
        self._leases: dict[int, Lease] = {}
        self._touched: set[int] = set()
        self._events: list[Event] = []
        self._ledger = Ledger()
        self._revoked: dict[int, set[Key]] = {}

    def run(self, requests: Sequence[Request]) -> list[Answer | Exception]:
        """Decide and write all; each request's own answer, or the error that concerns it alone."""
        errands = self._errands(requests)
        known = [errand for errand in errands if isinstance(errand, Errand)]
        self._leases = store.lock_leases(self._tx, {errand.pbx.id for errand in known})
        self._prefetch(known)
        answers: list[Answer | Exception] = []
        for errand in errands:
            try:
                answers.append(self._handle(errand) if isinstance(errand, Errand) else errand)
            except LeaseError as error:
                answers.append(error)
        store.write_ledger(self._tx, self._ledger, now=self._now)
        for pbx_id, revoked in self._revoked.items():
            store.forget_revoked(self._tx, pbx_id, revoked - self._ledger.seats[pbx_id].revoked)
        store.write_leases(self._tx, (self._leases[pbx_id] for pbx_id in sorted(self._touched)))
        write_events(self._tx, self._events)
        self._complete(answers, {errand.pbx.id: errand.book for errand in known})
        return answers

    def _errands(self, requests: Sequence[Request]) -> list[Errand | UnknownPbxError]:
        books = self._estates.current(self._tx, {request.pbx.project for request in requests})
        errands: list[Errand | UnknownPbxError] = []
        for request in requests:
            book = books.get(request.pbx.project)
            pbx_id = book.estate.pbx_ids.get(request.pbx.pbx) if book else None
            if book is None or pbx_id is None:
                errands.append(UnknownPbxError(request.pbx))
            else:
                errands.append(Errand(_in_catalog_words(request, book), book, book.estate.pbxs[pbx_id]))
        return errands

    # --- Prefetch ---------------------------------------------------------------------------------------------------

    def _prefetch(self, errands: Sequence[Errand]) -> None:
        needs = Prefetch()
        pbx_wide: frozenset[str] = frozenset()
        for errand in errands:
            pbx_wide |= errand.book.estate.catalog.pbx_wide_types
            if errand.pbx.id in errand.book.estate.revoked_from:
                needs.revoked.add(errand.pbx.id)
            match errand.request:
                case AcquireSeats(wants=wants):
                    need_for_wants(needs, errand.book, errand.pbx, wants)
                case ReturnSeats(keys=keys):
                    _need_for_returns(needs, errand.book, errand.pbx, keys)
                case SyncSeats():
                    needs.whole_pbxs.add(errand.pbx.id)
                    # what stays may have to be debited, whatever is wanted
                    _need_for_types(needs, errand.book, errand.pbx, errand.book.estate.catalog.types)
                case CloseLease():
                    needs.whole_pbxs.add(errand.pbx.id)
                case OpenLease() if self._is_reclaimable(errand.pbx):  # expiry may end it earlier in this batch
                    needs.whole_pbxs.add(errand.pbx.id)
                case _:
                    pass
        self._ledger = fill_ledger(self._tx, needs, pbx_wide, self._first_seats(errands))
        self._revoked = {pbx_id: set(self._ledger.seats[pbx_id].revoked) for pbx_id in needs.revoked}

    def _first_seats(self, errands: Sequence[Errand]) -> list[Seat]:
        """The seats that reclaiming takes back in this batch."""
        return [
            seat
            for errand in errands
            if isinstance(errand.request, ReclaimSeats)
            for seat in store.first_seats(self._tx, errand.pbx.id, holders=errand.request.holders_max)
        ]

    # --- Handling ---------------------------------------------------------------------------------------------------

    def _handle(self, errand: Errand) -> Answer:
        return _HANDLERS[type(errand.request)](self, errand, errand.request)

    def _open(self, errand: Errand, request: OpenLease) -> Answer:
        before = self._leases.get(errand.pbx.id)
        if before is not None and before.phase is Phase.EXPIRED:
            self._reclaim_all(errand)  # what expiry has not come to yet
        lease = opened(
            before,
            pbx_id=errand.pbx.id,
            instance_id=request.instance_id,
            request_id=request.request_id,
            software=request.software,
            pace=errand.pbx.pace,
            first_epoch=errand.book.estate.epoch_floor + 1,
            now=self._now,
        )
        self._put(lease)
        if before is None or lease.epoch != before.epoch:
            fenced = before is not None and before.phase is Phase.OPEN
            self._event(
                errand,
                "lease.opened",
                {
                    "epoch": lease.epoch,
                    "software": str(lease.software),
                    "instance": lease.instance_id,
                    "fenced": fenced,
                    "before": _lease_before(before),
                },
            )
        return self._granted(errand, lease)

    def _renew(self, errand: Errand, request: RenewLease) -> Answer:
        lease = renewed(self._running(errand, request.epoch), pace=errand.pbx.pace, now=self._now)
        self._put(lease)
        return self._granted(errand, lease)

    def _close(self, errand: Errand, request: CloseLease) -> Answer:
        lease = self._leases.get(errand.pbx.id)
        if lease is not None and lease.epoch == request.epoch and lease.phase is Phase.CLOSED:
            return LeaseClosed(0)  # a retry
        lease = self._running(errand, request.epoch)
        returned = self._take_all(errand.pbx)
        self._put(ended(lease, Phase.CLOSED))
        self._event(errand, "lease.closed", {"epoch": lease.epoch, **_counted(returned)})
        return LeaseClosed(len(returned))

    def _acquire(self, errand: Errand, request: AcquireSeats) -> Answer:
        decider = self._decider(errand, self._running(errand, request.epoch))
        outcomes = decider.acquire(request.wants)
        return SeatsAcquired(outcomes, self._acquired(errand, request.wants, outcomes))

    def _return(self, errand: Errand, request: ReturnSeats) -> Answer:
        outcomes = self._decider(errand, self._running(errand, request.epoch)).give_back(request.keys)
        gone = [
            key
            for key, out in zip(request.keys, outcomes, strict=True)
            if not isinstance(out, Refusal) and out.was_held
        ]
        self._audit_returned(errand, gone)
        return SeatsReturned(outcomes)

    def _sync(self, errand: Errand, request: SyncSeats) -> Answer:
        synced = self._decider(errand, self._running(errand, request.epoch)).sync(request.wants)
        self._audit_returned(errand, synced.returned)
        tally = self._acquired(errand, request.wants, synced.outcomes)
        return SeatsSynced(synced.outcomes, tally, len(synced.returned), synced.kept)

    def _reclaim(self, errand: Errand, request: ReclaimSeats) -> Answer:
        if not self._is_reclaimable(errand.pbx):
            return SeatsReclaimed(0, more=False)  # renewed in the meantime, or another master was first
        lease = self._leases[errand.pbx.id]
        if lease.phase is Phase.OPEN:
            self._put(ended(lease, Phase.EXPIRED))
            self._event(errand, "lease.expired", {"epoch": lease.epoch, "ends_at": lease.ends_at})
        holders = len({seat.holder for seat in self._ledger.holdings(errand.pbx.id)})
        return SeatsReclaimed(self._reclaim_all(errand), more=holders >= request.holders_max)

    def _reclaim_all(self, errand: Errand) -> int:
        returned = self._take_all(errand.pbx)
        if returned:
            epoch = self._leases[errand.pbx.id].epoch
            self._event(errand, "seats.reclaimed", {"epoch": epoch, **_counted(returned)})
        return len(returned)

    def _is_reclaimable(self, pbx: Pbx) -> bool:
        lease = self._leases.get(pbx.id)
        return lease is not None and is_reclaimable(
            lease, now=self._now, clock_allowance_seconds=self._clock_allowance_seconds
        )

    def _running(self, errand: Errand, epoch: int) -> Lease:
        return running(self._leases.get(errand.pbx.id), pbx=str(errand.request.pbx), epoch=epoch, now=self._now)

    def _decider(self, errand: Errand, lease: Lease) -> Decider:
        return Decider(errand.book, self._ledger, errand.pbx, lease.software, self._now)

    def _take_all(self, pbx: Pbx) -> list[Seat]:
        held = list(self._ledger.holdings(pbx.id))
        for seat in held:
            self._ledger.remove(seat)
        self._ledger.seats[pbx.id].revoked.clear()
        return held

    def _put(self, lease: Lease) -> None:
        self._leases[lease.pbx_id] = lease
        self._touched.add(lease.pbx_id)

    def _granted(self, errand: Errand, lease: Lease) -> LeaseGranted:
        revoked = self._ledger.seats[errand.pbx.id].revoked
        told = notices(errand.book.estate, errand.pbx, lease, epoch=lease.epoch, now=self._now, revoked=revoked)
        return LeaseGranted(lease, errand.pbx, {}, told)

    # --- Audit ------------------------------------------------------------------------------------------------------

    def _acquired(self, errand: Errand, wants: Sequence[Want], outcomes: Sequence[Outcome]) -> Tally:
        acquired: defaultdict[str, list[str]] = defaultdict(list)
        debited: defaultdict[str, int] = defaultdict(int)
        refused: defaultdict[tuple[str, str], int] = defaultdict(int)
        for want, outcome in zip(wants, outcomes, strict=True):
            if isinstance(outcome, Refusal):
                refused[outcome.reason.name, outcome.license_type] += 1
            elif not outcome.already_held and outcome.basis is not Basis.NOT_NEEDED:
                acquired[want.type].append(want.holder)
                if outcome.basis is Basis.DEBITED:
                    debited[want.type] += 1
        if acquired:
            self._event(errand, "seats.acquired", acquired)
        return Tally(debited, refused)

    def _audit_returned(self, errand: Errand, keys: Sequence[SeatKey]) -> None:
        returned: defaultdict[str, list[str]] = defaultdict(list)
        for key in keys:
            returned[key.type].append(key.holder)
        if returned:
            self._event(errand, "seats.returned", returned)

    def _event(self, errand: Errand, kind: str, details: dict[str, Any]) -> None:
        project_id = errand.book.estate.project_id
        text = _JSON.encode(details)
        self._events.append(Event(self._now, project_id, errand.pbx.name, kind, errand.request.caller, None, text))

    # --- What is only known after writing -----------------------------------------------------------------------------

    def _complete(self, answers: list[Answer | Exception], books: dict[int, TermsBook]) -> None:
        granted = [answer for answer in answers if isinstance(answer, LeaseGranted)]
        held = store.holdings(self._tx, sorted({answer.pbx.id for answer in granted})) if granted else {}
        named: dict[int, tuple[TopHolder, ...]] = {}
        for index, answer in enumerate(answers):
            match answer:
                case LeaseGranted():
                    answers[index] = replace(answer, holdings=held.get(answer.pbx.id, {}))
                case SeatsAcquired() | SeatsSynced() if answer.tally.refused:
                    name_top_holders(self._tx, answer.outcomes, books, named)
                case _:
                    pass


_HANDLERS: dict[type[Request], Callable[[Batch, Errand, Any], Answer]] = {
    OpenLease: Batch._open,
    RenewLease: Batch._renew,
    CloseLease: Batch._close,
    AcquireSeats: Batch._acquire,
    ReturnSeats: Batch._return,
    SyncSeats: Batch._sync,
    ReclaimSeats: Batch._reclaim,
}


def _lease_before(lease: Lease | None) -> dict[str, Any] | None:
    """What an opening replaces, for the audit."""
    if lease is None:
        return None
    return {
        "epoch": lease.epoch,
        "phase": lease.phase.value,
        "software": str(lease.software),
        "instance": lease.instance_id,
    }


def _counted(returned: Sequence[Seat]) -> dict[str, Any]:
    """Seats that went back without being named, for the audit: how many, and of which types."""
    return {"seats": len(returned), "types": Counter(seat.type for seat in returned)}


def _in_catalog_words(request: Request, book: TermsBook) -> Request:
    """The request with its license types as catalog keys, whatever spelling it used (L8)."""
    if isinstance(request, AcquireSeats | SyncSeats):
        wants = canonical(request.wants, book)
        return request if wants is request.wants else replace(request, wants=wants)
    if isinstance(request, ReturnSeats):
        keys = canonical(request.keys, book)
        return request if keys is request.keys else replace(request, keys=keys)
    return request


def canonical(seats: Sequence[Named], book: TermsBook) -> Sequence[Named]:
    """Seats with their license types as catalog keys; the same object where they are already."""
    catalog = book.estate.catalog
    if all(seat.type in catalog.types for seat in seats):
        return seats
    return [seat._replace(type=catalog.key_of(seat.type)) for seat in seats]


def need_for_wants(needs: Prefetch, book: TermsBook, pbx: Pbx, wants: Sequence[Want]) -> None:
    """Note what acquiring some seats needs to know."""
    pbx_id, note = pbx.id, needs.holders.add
    for want in wants:
        note((pbx_id, want.holder))
        if want.user:
            note((pbx_id, want.user))
        if want.line:
            note((pbx_id, want.line))
    _need_for_types(needs, book, pbx, {want.type for want in wants})


def _need_for_returns(needs: Prefetch, book: TermsBook, pbx: Pbx, keys: Sequence[SeatKey]) -> None:
    required_by = book.estate.catalog.required_by
    for key in keys:
        needs.holders.add((pbx.id, key.holder))
        if required_by.get(key.type):
            needs.on_behalf.add((pbx.id, key.holder))
    _need_for_types(needs, book, pbx, {key.type for key in keys})


def _need_for_types(needs: Prefetch, book: TermsBook, pbx: Pbx, types: Iterable[str]) -> None:
    wide = book.estate.catalog.read_pbx_wide
    for key in types:
        needs.types.update((pbx.id, other) for other in wide.get(key, ()))
        needs.pools |= book.pools_of(pbx, key)


def fill_ledger(tx: Tx, needs: Prefetch, pbx_wide: frozenset[str], seats: Sequence[Seat] = ()) -> Ledger:
    """Read seats, then lock and read the pools they are debited from."""
    ledger = Ledger(pbx_wide=pbx_wide)
    ledger.load(seats)
    ledger.load(store.seats_of_pbxs(tx, sorted(needs.whole_pbxs)))
    ledger.load(store.seats_of_holders(tx, (pair for pair in needs.holders if pair[0] not in needs.whole_pbxs)))
    ledger.load(store.seats_on_behalf(tx, (pair for pair in needs.on_behalf if pair[0] not in needs.whole_pbxs)))
    ledger.load(store.seats_of_types(tx, (pair for pair in needs.types if pair[0] not in needs.whole_pbxs)))
    for pbx_id, keys in store.revoked_seats(tx, sorted(needs.revoked)).items():
        ledger.seats[pbx_id].revoked = keys
    ledger.pools = store.lock_pools(tx, needs.pools | ledger.pools_debited())
    return ledger


def name_top_holders(
    tx: Tx, outcomes: list[Outcome], books: dict[int, TermsBook], named: dict[int, tuple[TopHolder, ...]]
) -> None:
    """Put the biggest holders into refusals for want of licenses; each pool is asked once."""
    replaced: dict[int, Refusal] = {}
    for index, outcome in enumerate(outcomes):
        if type(outcome) is not Refusal or outcome.pool_id is None:
            continue
        if id(outcome) not in replaced:
            if outcome.pool_id not in named:
                named[outcome.pool_id] = _top_holders(tx, outcome.pool_id, books)
            replaced[id(outcome)] = replace(outcome, top_holders=named[outcome.pool_id])
        outcomes[index] = replaced[id(outcome)]


def _top_holders(tx: Tx, pool_id: int, books: dict[int, TermsBook]) -> tuple[TopHolder, ...]:
    estate = next(book.estate for book in books.values() if pool_id in book.estate.pool_ids.values())
    found = []
    for pbx_id, seats in store.biggest_holders(tx, pool_id):
        pbx = estate.pbxs[pbx_id]
        found.append(TopHolder(f"projects/{estate.name}/pbxs/{pbx.name}", pbx.site, seats))
    return tuple(found)
