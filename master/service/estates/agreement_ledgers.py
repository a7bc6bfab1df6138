"""A project's agreement ledger and what is known by it at a moment; reads, and decides nothing.

What licenses the estate had at a past moment is worked out from what is kept for good: when their files were imported,
when they were bound first (L7), and the versions that the ledger gave them since.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from zoneinfo import ZoneInfo

from master.domain.agreements.ledger.entries import Entry, EntryKind
from master.domain.agreements.ledger.fold import fold, recorded_before
from master.domain.agreements.ledger.snapshot import AgreementSnapshot, LicenseFacts
from master.domain.agreements.ledger.state import State
from master.domain.agreements.rights.endings import endings, reminders, unpaid_renewals
from master.domain.catalog.dates import day_of, first_instant_after, first_instant_of, next_day
from master.domain.catalog.policies import SubjectKind
from master.domain.estate.estate import Estate
from master.domain.estate.installations import License
from master.domain.monitoring.overview import TermEnding, UnpaidRenewal
from master.service.runtime.names import PbxName, UnknownPbxError
from master.store.backends.database import Tx
from master.store.statements import agreements as store
from master.values import Value, replace


class Known(Value, kw_only=True):
    """What is known of a project's agreements for one day."""

    estate: Estate
    snapshot: AgreementSnapshot
    day: date
    """The day asked about, in the project's time zone."""

    def device_of_pbx(self, name: str) -> str:
        """Return the name of the device that a PBX runs on. Raises UnknownPbxError if there is no such PBX."""
        if name not in self.estate.pbx_ids:
            raise UnknownPbxError(PbxName(self.estate.name, name))
        return self.estate.pbxs[self.estate.pbx_ids[name]].device.name


class Ledgers:
    """The states of ledgers as last folded; a ledger is folded again where it has newer entries."""

    def __init__(self) -> None:
        self._states: dict[int, State] = {}
        self._endings: dict[int, tuple[tuple[int, int, date], tuple[TermEnding, ...]]] = {}

    def apart(self) -> Ledgers:
        """Return a copy for a dry run, whose entries are not kept in the original."""
        other = Ledgers()
        other._states = dict(self._states)
        return other

    def forget(self, project_id: int) -> None:
        """Fold a project's ledger anew: after a restore its numbers are given to other entries."""
        self._states.pop(project_id, None)
        self._endings.pop(project_id, None)

    def state(self, tx: Tx, project_id: int) -> State:
        """Return the state of a project's ledger, in a transaction that changes nothing."""
        state = self.state_under_lock(tx, project_id)
        self._states[project_id] = state
        return state

    def endings(self, tx: Tx, estate: Estate, *, now: float) -> tuple[TermEnding, ...]:
        """Return the ends of agreements that lie ahead."""
        state = self.state(tx, estate.project_id)
        if state.last_number == 0 and all(license.file_agreement_ends_at is None for license in estate.licenses):
            return ()
        zone = ZoneInfo(estate.time_zone)
        today = day_of(now, zone)
        known = (state.last_number, estate.revision, today)
        kept = self._endings.get(estate.project_id)
        if kept is None or kept[0] != known:
            kept = self._endings[estate.project_id] = (known, _term_endings(state, estate, zone, today))
        return kept[1]

    def unpaid_renewals(self, tx: Tx, estate: Estate) -> tuple[UnpaidRenewal, ...]:
        """Return the renewals that ordered themselves and await their payment."""
        snapshot = AgreementSnapshot(catalog=estate.catalog, state=self.state(tx, estate.project_id))
        return tuple(
            UnpaidRenewal(order=renewal.number, subject=str(renewal.subject), day=str(renewal.day))
            for renewal in unpaid_renewals(snapshot)
        )

    def state_under_lock(self, tx: Tx, project_id: int) -> State:
        """Return the state of a project's ledger in a transaction that may write: the state is not kept, as the
        transaction may yet be undone.
        """
        last = store.last_number(tx, project_id)
        state = self._states.get(project_id, State())
        if state.last_number > last:  # another transaction has seen more
            state = State()
        if state.last_number < last:
            state = fold(store.entries(tx, project_id, after=state.last_number), state)
        return state


def known_now(estate: Estate, state: State, *, now: float) -> Known:
    """Return what is known of a project's agreements today."""
    zone = ZoneInfo(estate.time_zone)
    return Known(estate=estate, snapshot=_snapshot(estate, state, zone), day=day_of(now, zone))


def read_known(
    tx: Tx, ledgers: Ledgers, estate: Estate, *, now: float, day: date | None = None, as_of: float | None = None
) -> Known:
    """Return what was known at a moment (`as_of`, UNIX seconds); where no moment is given, all that is known, or for a
    past day what was known then.
    """
    zone = ZoneInfo(estate.time_zone)
    today = day_of(now, zone)
    if as_of is None and day is not None and day < today:
        as_of = first_instant_after(day, zone)
    if as_of is None:
        known = known_now(estate, ledgers.state(tx, estate.project_id), now=now)
        return known if day is None else replace(known, day=day)
    written = store.entries(tx, estate.project_id)
    entries = recorded_before(written, as_of)
    imported = store.import_moments(tx, estate.project_id)
    versions = _versions_before(written[len(entries) :])
    licenses = {
        license.id: facts_of(license, zone, as_of=as_of, version=versions.get(license.id))
        for license in estate.licenses
        if license.agreed is None and (license.file is None or imported.get(license.file, as_of) < as_of)
    }
    snapshot = AgreementSnapshot(catalog=estate.catalog, state=fold(entries), licenses=licenses)
    return Known(estate=estate, snapshot=snapshot, day=today if day is None else day)


def _snapshot(estate: Estate, state: State, zone: ZoneInfo) -> AgreementSnapshot:
    """Return a ledger together with the licenses of its estate; the ledger knows the licenses that it brought by their
    subjects.
    """
    licenses = {
        license.id: facts_of(license, zone, pbx=_pbx_of(estate, license))
        for license in estate.licenses
        if license.agreed is None
    }
    return AgreementSnapshot(catalog=estate.catalog, state=state, licenses=licenses)


def _pbx_of(estate: Estate, license: License) -> str:
    """Return the PBX that an agreement is ordered for as a whole; declared licenses can have none (L7)."""
    pbx = estate.pbx_on.get(license.device.name) if license.device is not None and license.file is not None else None
    return pbx.name if pbx is not None else ""


def facts_of(
    license: License, zone: ZoneInfo, *, as_of: float | None = None, version: int | None = None, pbx: str = ""
) -> LicenseFacts:
    """Return a license as agreements see it, at a moment (`as_of`) at which it had another `version` than now."""
    bound = license.first_bound_at
    if bound is not None and as_of is not None and bound >= as_of:
        bound = None
    return LicenseFacts(
        id=license.id,
        type=license.type,
        version=license.version if version is None else version,
        tier=license.tier,
        quantity=license.quantity,
        first_bound_on=None if bound is None else day_of(bound, zone),
        is_free=license.device is None,
        agreement_ends_on=None if license.file_agreement_ends_at is None else _first_day_after(license, zone),
        imported_on=None if license.imported_at is None else day_of(license.imported_at, zone),
        pbx=pbx,
    )


def _versions_before(later: Sequence[Entry]) -> dict[str, int]:
    """Return the versions that licenses had before later entries of the ledger gave them others."""
    versions: dict[str, int] = {}
    for entry in later:
        if entry.kind is EntryKind.VERSION_SET and entry.subject.kind == SubjectKind.LICENSE.value:
            versions.setdefault(entry.subject.id, int(entry.details["from_version"]))
    return versions


def _term_endings(state: State, estate: Estate, zone: ZoneInfo, today: date) -> tuple[TermEnding, ...]:
    snapshot = _snapshot(estate, state, zone)
    places = {
        license.id: f"{license.ref} {f'on {license.device.name}' if license.device else 'in the balance'}"
        for license in estate.licenses
        if license.agreed is None
    }
    due = {
        (reminder.ending.subject, reminder.ending.policy, reminder.ending.day)
        for reminder in reminders(snapshot, today)
    }
    return tuple(
        TermEnding(
            subject=str(ending.subject),
            policy=ending.policy,
            title=ending.title,
            day=str(ending.day),
            ends_at=first_instant_of(ending.day, zone),
            what_stops=ending.what_stops,
            stops=bool(ending.stops),
            remind=(ending.subject, ending.policy, ending.day) in due and not ending.renews_itself,
            license=places.get(ending.subject.id, "") if snapshot.license(ending.subject) is not None else "",
        )
        for ending in endings(snapshot, from_day=next_day(today), to_day=date.max)
    )


def _first_day_after(license: License, zone: ZoneInfo) -> date:
    """Return the first day without the agreement that the vendor's file states; a day on which it still held counts in
    full.
    """
    ends_at = license.file_agreement_ends_at or 0.0
    day = day_of(ends_at, zone)
    return day if first_instant_of(day, zone) == ends_at else next_day(day)
