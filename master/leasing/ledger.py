"""A project's agreement ledger and what is known by it at a moment; reads, and decides nothing.

What licenses the estate had at a past moment is worked out from what is kept for good: when their files were imported,
when they were bound first (L7), and the versions that the ledger gave them since.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from master.domain.agreements.book import Book, LicenseFacts
from master.domain.agreements.dates import day_of, first_instant_of
from master.domain.agreements.entries import Entry, EntryKind, Subject
from master.domain.agreements.policies import SubjectKind
from master.domain.agreements.questions import known_on
from master.domain.agreements.state import fold, recorded_before
from master.domain.estate import Estate, License
from master.leasing.requests import PbxName, UnknownPbxError
from master.store import agreements as store
from master.store.database import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of a project, to be asked about a day."""

    estate: Estate
    book: Book
    entries: tuple[Entry, ...]
    """The part of the ledger that was known."""
    today: date
    day: date
    """The day that is asked about; days are those of the project's time zone."""

    def device_of_pbx(self, name: str) -> str:
        """The name of the device that a PBX runs on.

        Raises:
            UnknownPbxError: there is no such PBX.
        """
        if name not in self.estate.pbx_ids:
            raise UnknownPbxError(PbxName(self.estate.name, name))
        return self.estate.pbxs[self.estate.pbx_ids[name]].device.name


def read_known(tx: Tx, estate: Estate, *, now: float, day: date | None = None, as_of: float | None = None) -> Known:
    """What was known at a moment (`as_of`, UNIX seconds); where none is given, all, or for a past day what was then."""
    zone = ZoneInfo(estate.time_zone)
    today = day_of(now, zone)
    asked = today if day is None else day
    written = tuple(store.entries(tx, estate.project_id))
    if as_of is not None:
        entries = recorded_before(written, as_of)
    elif asked < today:
        entries, as_of = known_on(written, asked, zone), first_instant_of(asked + timedelta(days=1), zone)
    else:
        entries = written
    imported = store.import_moments(tx, estate.project_id) if as_of is not None else {}
    licenses = {
        item.id: facts_of(item, zone, as_of=as_of, later=written[len(entries) :])
        for item in estate.licenses
        if item.agreed is None  # those are known by their subjects
        and (as_of is None or item.file is None or imported.get(item.file, as_of) < as_of)
    }
    book = Book(catalog=estate.catalog, state=fold(entries), licenses=licenses)
    return Known(estate=estate, book=book, entries=entries, today=today, day=asked)


def facts_of(item: License, zone: ZoneInfo, *, as_of: float | None = None, later: Sequence[Entry] = ()) -> LicenseFacts:
    """A license as agreements see it; `later` is what the ledger says of times after `as_of`."""
    bound = item.first_bound_at
    if bound is not None and as_of is not None and bound >= as_of:
        bound = None
    subject = Subject.of(SubjectKind.LICENSE, item.id)
    since = (entry for entry in later if entry.kind is EntryKind.VERSION_SET and entry.subject == subject)
    changed = next(since, None)
    return LicenseFacts(
        id=item.id,
        type=item.type,
        version=item.version if changed is None else int(changed.details["from_version"]),
        tier=item.tier,
        quantity=item.quantity,
        first_bound_on=None if bound is None else day_of(bound, zone),
        is_free=item.device is None,
        agreement_ends_on=None if item.file_agreement_ends_at is None else _first_day_after(item, zone),
    )


def _first_day_after(item: License, zone: ZoneInfo) -> date:
    """The first day without the agreement that the vendor's file said; a day on which it still held counts in full."""
    ends_at = item.file_agreement_ends_at or 0.0
    day = day_of(ends_at, zone)
    return day if first_instant_of(day, zone) == ends_at else day + timedelta(days=1)
