"""Notices: facts beside its seats that the PBX should know, reported by the master or found by this client.

Decides: which notice is news. The master repeats a notice while it holds; the callback gets the notice once, and again
only after the notice had gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from licensemaster.v1 import lease_pb2
from slave_client.values.messages import keys_from_seats, licenses_from_refs
from slave_client.values.seats import LicenseRef, SeatKey


class NoticeKind(Enum):
    """What a notice is about: the master's kinds first, then this client's."""

    FENCED = "fenced"
    CLOSED = "closed"
    EXPIRED = "expired"
    VERSION_LIMIT = "version_limit"
    """The PBX's software is above the version limit: seats held stay, new ones are refused (rule B10)."""
    DRAINING = "draining"
    SUSPECTED_CLONE = "suspected_clone"
    CARRIED = "carried"
    """The standby of this PBX carries the PBX's seats; the client takes them back at once by opening a new lease."""
    SEATS_REVOKED = "seats_revoked"
    """Seats were taken away, by an operator (rule L5) or as their use ended (rules P1, R3); this client stops using
    them and returns them."""
    LICENSES_LEAVING = "licenses_leaving"
    """Licenses that this PBX draws on are being released: seats held stay, fewer new ones are granted (rule L5)."""
    CERTIFY_RELEASE = "certify_release"
    """The master asks this PBX's device to certify that it no longer uses some licenses (rule L2). With `device_dir`
    the client does so."""
    UNPROVEN = "unproven"
    """The master was restored from a backup; the client opens a new lease at once and shows its signed lease."""
    LEARNING = "learning"
    """The master was restored: until the time in the message it grants only seats that were proven."""
    LICENSES_END = "licenses_end"
    """The use of licenses that this PBX draws on ends soon, and their seats with it; the message says when (P1, R3)."""
    SEATS_AWAITED = "seats_awaited"
    """Seats that this PBX waits for, with their places."""
    SEATS_HANDED_ON = "seats_handed_on"
    """Seats that this PBX waited for were granted; this client takes them up and calls `on_seat` for each."""
    POOL_OVERDRAWN = "pool_overdrawn"
    """The pool that this PBX draws on is above what is installed; the message says when seats are taken away for it."""
    OTHER = "other"
    """A kind that this version of the client does not know."""
    MASTER_REFUSES = "master_refuses"
    """The master answers, but does not let this PBX open a lease: unknown PBX, wrong credentials."""
    NO_STANDBY_LEASE = "no_standby_lease"
    """The master gives this standby no standby lease, or one that could not be verified; the message says why."""
    LEASE_NOT_TRUSTED = "lease_not_trusted"
    """A lease whose signature does not verify, or is not by a trusted key, came and was not used."""
    LOAN_NOT_TRUSTED = "loan_not_trusted"
    """A loan came that is not genuine, or of another PBX, or older than the known loan; the known loans stay."""
    STATE_SET_ASIDE = "state_set_aside"
    """A file of the state directory was unusable and was renamed; the client started without it."""
    STATE_NOT_SAVED = "state_not_saved"
    """The state directory cannot be written; after a restart the PBX will not be able to carry on offline. Where the
    old state cannot be removed either, a restart may use seats that were returned since: the message says so."""
    CLOCK_SET_BACK = "clock_set_back"
    """After a restart of the machine the wall clock reads less than when the state was saved, or than the master's when
    it signed the lease. Cleared once that is no longer so, or a master answers."""
    SEATS_FROM_BEFORE = "seats_from_before"
    """The master still has seats on this PBX that the client does not remember; `sync()` reconciles them."""
    SEATS_NOT_TOLD = "seats_not_told"
    """The client was closed without reaching the master; the seats go back when the lease ends."""
    CERTIFICATE_UNUSABLE = "certificate_unusable"
    """The files of `tls` changed and cannot be used, so that the former files stay in use; or the certificate's time
    has ended, or not begun. The message names the file."""
    NO_TLS = "no_tls"
    """A master's address answers, and yet no connection comes about: another authority, another name, a certificate or
    clock that is out of its time, plain text. The message says which."""
    CERTIFICATE_NOT_GIVEN = "certificate_not_given"
    """A release was not certified: the request is not genuine or for another device, or the folder cannot be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A fact that the PBX should know; `message` states the fact in a sentence."""

    kind: NoticeKind
    message: str
    licenses: tuple[LicenseRef, ...] = ()
    """Licenses that hold a version limit down, are leaving, or whose use ends."""
    seats: tuple[SeatKey, ...] = ()
    """Seats that were taken away, awaited or handed on, by the catalog keys of their types; at most 1,000, the others
    follow in later notices."""
    places: tuple[int, ...] = ()
    """The places of awaited seats in the waiting line, in the order of `seats`; 1 for the next."""


_PREFIX: Final = "NOTICE_KIND_"
_KINDS: Final = {
    number: NoticeKind[name.removeprefix(_PREFIX)]
    for name, number in lease_pb2.NoticeKind.items()
    if name.removeprefix(_PREFIX) in NoticeKind.__members__
}


def notices_from_proto(notices: Iterable[lease_pb2.Notice]) -> tuple[Notice, ...]:
    """Translate the master's notices."""
    return tuple(
        Notice(
            kind=_KINDS.get(notice.kind, NoticeKind.OTHER),
            message=notice.message,
            licenses=licenses_from_refs(notice.licenses),
            seats=keys_from_seats(notice.seats),
            places=tuple(notice.places),
        )
        for notice in notices
    )


class NoticeBoard:
    """The notices that hold now; `tell` is called with each new one."""

    def __init__(self, tell: Callable[[Notice], None]) -> None:
        self._tell = tell
        self._masters: tuple[Notice, ...] = ()
        self._own: dict[NoticeKind, Notice] = {}

    @property
    def current(self) -> tuple[Notice, ...]:
        """All notices that hold now, the master's first."""
        return (*self._masters, *self._own.values())

    def from_master(self, notices: tuple[Notice, ...]) -> None:
        """Replace the master's notices; report the new ones."""
        before, self._masters = self._masters, notices
        for notice in notices:
            if notice not in before:
                self._tell(notice)

    def raise_own(self, kind: NoticeKind, message: str) -> None:
        """Set one of the client's own notices; report a new notice, or a new message."""
        notice = Notice(kind=kind, message=message)
        if self._own.get(kind) != notice:
            self._own[kind] = notice
            self._tell(notice)

    def set_own(self, kind: NoticeKind, message: str | None) -> None:
        """Set one of the client's own notices, or clear it where there is no message."""
        if message is None:
            self.clear_own(kind)
        else:
            self.raise_own(kind, message)

    def clear_own(self, kind: NoticeKind) -> None:
        """Clear one of the client's own notices."""
        self._own.pop(kind, None)
