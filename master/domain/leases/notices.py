"""What a PBX should know now, sent with renewals and over its stream.

States, not events: the same facts always give the same notices, so none can be missed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from enum import Enum

from licensemaster.values.moments import second_text
from master.domain.allocation.overdraft import Overdraft
from master.domain.catalog.words import LeaseState
from master.domain.estate.estate import Estate, Pbx
from master.domain.estate.installations import Installation, License
from master.domain.estate.lease_time import LeaseTime
from master.domain.estate.license_refs import LicenseRef
from master.domain.leases.leases import Lease, Phase
from master.domain.seats.refusals.agreed_uses import endings_told, ends_soon
from master.domain.seats.refusals.explanations import above_limit
from master.domain.seats.refusals.reasons import MOST_NAMED, counted, some
from master.domain.seats.seats import Key
from master.values import Value, field


class NoticeKind(Enum):
    FENCED = 1
    CLOSED = 2
    EXPIRED = 3
    VERSION_LIMIT = 4
    DRAINING = 5
    SUSPECTED_CLONE = 6
    SEATS_REVOKED = 7
    LICENSES_LEAVING = 8
    CERTIFY_RELEASE = 9
    CARRIED = 10
    UNPROVEN = 11
    LEARNING = 12
    LICENSES_END = 13
    SEATS_AWAITED = 14
    SEATS_HANDED_ON = 15
    POOL_OVERDRAWN = 16

    @property
    def ends_lease(self) -> bool:
        """Whether the notice says that the PBX's lease is over."""
        return self in _ENDING


class Awaited(Value):
    """A seat that a PBX waits for, or that was handed on to it and that it has not taken up."""

    key: Key
    place: int
    """The place that the PBX was told last, 1 for the next; 0 where the seat is handed on."""

    @property
    def is_handed_on(self) -> bool:
        """Whether the seat was granted, and the PBX has not asked for it again since."""
        return self.place == 0


class Notice(Value):
    """Something a PBX should know."""

    kind: NoticeKind
    message: str
    licenses: tuple[LicenseRef, ...] = ()
    seats: tuple[Key, ...] = ()
    """Seats to be given back, awaited or handed on; at most MOST_SEATS, the others follow."""
    places: tuple[int, ...] = ()
    """The places of seats awaited, 1 for the next."""
    releases: tuple[License, ...] = ()
    """Licenses whose release the device has to certify; at most MOST_RELEASES."""


class SeatNews(Value, kw_only=True):
    """What became of a PBX's seats, and of the pools that it draws on."""

    revoked: Collection[Key] = ()
    """Seats that were taken away and not given back yet (L5)."""
    awaited: Collection[Awaited] = ()
    overdrawn: Mapping[int, Overdraft] = field(default_factory=dict)
    """How far shared pools are above what is installed, by pool id."""


_ENDING = frozenset({NoticeKind.FENCED, NoticeKind.CARRIED, NoticeKind.CLOSED, NoticeKind.EXPIRED, NoticeKind.UNPROVEN})
MOST_SEATS = 1000
MOST_RELEASES = 100
DRAINING = Notice(NoticeKind.DRAINING, "this master is about to stop; use another address or come back")


def notices(
    estate: Estate, pbx: Pbx, lease: Lease, *, epoch: int, time: LeaseTime, seats: SeatNews
) -> tuple[Notice, ...]:
    """List what the PBX that calls under `epoch` should know now of its lease, seats and installation."""
    state = lease.state(time)
    if lease.phase is Phase.UNPROVEN:
        message = f"the license master was restored: open the lease of {pbx.name} anew and show the signed one"
        return (Notice(NoticeKind.UNPROVEN, message),)
    if epoch < lease.epoch:
        return (_superseded(estate, pbx, lease, state, epoch=epoch),)
    if state is LeaseState.CLOSED:
        return (Notice(NoticeKind.CLOSED, f"the lease of {pbx.name} was closed, by itself or by an operator"),)
    if state is LeaseState.EXPIRED:
        return (Notice(NoticeKind.EXPIRED, f"the lease of {pbx.name} passed its end"),)
    news = []
    if estate.learning is not None and estate.learns(time.ends_by):
        until = second_text(estate.learning.until)
        message = f"the license master was restored; until {until} {pbx.name} gets nothing beyond what it proved"
        news.append(Notice(NoticeKind.LEARNING, message))
    installation = estate.installation_of(pbx)
    if installation.limit is not None and lease.software.major > installation.limit:  # B10
        message = f"{above_limit(pbx, lease.software, installation)}: seats held stay, new ones are refused"
        refs = tuple(license.ref for license in installation.limiting_below(lease.software)[:MOST_NAMED])
        news.append(Notice(NoticeKind.VERSION_LIMIT, message, refs))
    if lease.suspected_clone(time.now):
        message = f"{lease.takeovers} installations took the lease of {pbx.name} from each other: one is a copy"
        news.append(Notice(NoticeKind.SUSPECTED_CLONE, message))
    if seats.revoked:  # L5
        message = f"{len(seats.revoked)} seats were taken away from {pbx.name}: stop using them and return them"
        news.append(Notice(NoticeKind.SEATS_REVOKED, message, seats=tuple(sorted(seats.revoked)[:MOST_SEATS])))
    news += _waiting_notices(pbx, seats.awaited)
    if seats.overdrawn and not estate.is_local(pbx):
        news.append(Notice(NoticeKind.POOL_OVERDRAWN, "; ".join(_overdrawn_texts(estate, seats.overdrawn))))
    own = estate.installations[pbx.device.id]
    drawn_on = (own,) if own is installation else (own, installation)
    ending = [license for source in drawn_on for license in source.licenses if ends_soon(estate, license, time.now)]
    if ending:  # P1, R3
        message = f"{endings_told(estate, ending)}; unless it is bought or renewed, seats are taken away then"
        news.append(Notice(NoticeKind.LICENSES_END, message, tuple(license.ref for license in ending[:MOST_NAMED])))
    return (*news, *_release_notices(pbx, own, drawn_on))


def _overdrawn_texts(estate: Estate, overdrawn: Mapping[int, Overdraft]) -> Iterator[str]:
    for pool_id, overdraft in sorted(overdrawn.items()):
        name = estate.catalog.types[estate.shared_pools[pool_id]].display_name
        until = second_text(overdraft.spent_at or 0.0)
        yield (
            f"{counted(overdraft.seats, f'{name} seat')} above what is installed: unless as many are returned or"
            f" licensed by {until}, seats are taken away then"
        )


def _waiting_notices(pbx: Pbx, awaited: Collection[Awaited]) -> Iterator[Notice]:
    if handed_on := sorted(seat.key for seat in awaited if seat.is_handed_on):
        message = (
            f"{counted(len(handed_on), 'seat')} that {pbx.name} waited for: granted; acquire them again or return them"
        )
        yield Notice(NoticeKind.SEATS_HANDED_ON, message, seats=tuple(handed_on[:MOST_SEATS]))
    if waiting := sorted((seat.place, seat.key) for seat in awaited if not seat.is_handed_on):
        places, seats = zip(*waiting[:MOST_SEATS], strict=True)
        message = (
            f"{pbx.name} waits for {counted(len(waiting), 'seat')}, the next of them at place {places[0]:,} or before"
        )
        yield Notice(NoticeKind.SEATS_AWAITED, message, seats=seats, places=places)


def _release_notices(pbx: Pbx, own: Installation, drawn_on: Collection[Installation]) -> Iterator[Notice]:
    leaving = [license for source in drawn_on for license in source.licenses if license.release is not None]
    if leaving:  # L5
        named = some([license.ref for license in leaving])
        message = f"{named}: to be released; seats held stay, fewer new ones are granted"
        refs = tuple(license.ref for license in leaving[:MOST_NAMED])
        yield Notice(NoticeKind.LICENSES_LEAVING, message, refs)
    asked = [license for license in own.licenses if license.release is not None and license.release.awaits_certificate]
    if asked:  # L2
        message = f"certify that {pbx.device.name} no longer uses {some([license.id for license in asked])}"
        yield Notice(NoticeKind.CERTIFY_RELEASE, message, releases=tuple(asked[:MOST_RELEASES]))


def _superseded(estate: Estate, pbx: Pbx, lease: Lease, state: LeaseState, *, epoch: int) -> Notice:
    if lease.carrier is None or not state.is_running:
        message = f"epoch {lease.epoch} was opened for {pbx.name} and its seats are its own; stop using epoch {epoch}"
        return Notice(NoticeKind.FENCED, message)
    standby = estate.pbxs[lease.carrier.pbx_id].name
    message = f"{standby} carries the seats of {pbx.name}; stop using epoch {epoch}; opening the lease takes them back"
    return Notice(NoticeKind.CARRIED, message)
