"""Things that the PBX should know beside its seats: what the master reports, and what this client finds by itself.

Decides: which notice is news. The master repeats a notice while it holds; the callback hears it once, and again only
after it was gone.
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
    """What a notice is about: the master's kinds first, then those of this client."""

    FENCED = "fenced"
    CLOSED = "closed"
    EXPIRED = "expired"
    VERSION_LIMIT = "version_limit"
    """Seats held stay, new ones are refused (rule B10)."""
    DRAINING = "draining"
    SUSPECTED_CLONE = "suspected_clone"
    CARRIED = "carried"
    """The standby of this PBX carries its seats; the client takes them back at once by opening its lease anew."""
    SEATS_REVOKED = "seats_revoked"
    """Seats were taken away, by an operator (rule L5) or as their use ended (rules P1, R3); this client stops using
    them and returns them."""
    LICENSES_LEAVING = "licenses_leaving"
    """Licenses that this PBX draws on are being released: seats held stay, fewer new ones are granted (rule L5)."""
    CERTIFY_RELEASE = "certify_release"
    """This PBX's device is to certify that it no longer uses some licenses (rule L2). With `device_dir` it does."""
    UNPROVEN = "unproven"
    """The master was restored from a backup; the client opens its lease anew at once and shows the signed one."""
    LEARNING = "learning"
    """The master was restored: until the time named it grants nothing beyond what was proven."""
    LICENSES_END = "licenses_end"
    """The use of licenses that this PBX draws on ends soon, and their seats with it; the message says when (P1, R3)."""
    SEATS_AWAITED = "seats_awaited"
    """Seats that this PBX waits for, with their places."""
    SEATS_HANDED_ON = "seats_handed_on"
    """Seats that this PBX waited for were granted; this client takes them up, and `on_seat` hears of each."""
    POOL_OVERDRAWN = "pool_overdrawn"
    """The pool that this PBX draws on is above what is installed; the message says when seats are taken away for it."""
    OTHER = "other"
    """A kind that this version of the client does not know."""
    MASTER_REFUSES = "master_refuses"
    """The master answers, but does not let this PBX open a lease: unknown PBX, wrong credentials."""
    NO_STANDBY_LEASE = "no_standby_lease"
    """For a standby: the master gives it no standby lease, or one that could not be verified; the message says why."""
    LEASE_NOT_TRUSTED = "lease_not_trusted"
    """A lease came whose signature does not verify, or by another key than the trusted one; it was not used."""
    LOAN_NOT_TRUSTED = "loan_not_trusted"
    """A loan came that is not genuine, of another PBX, or older than the one from before, which stays."""
    STATE_SET_ASIDE = "state_set_aside"
    """A file of the state directory was unusable and was renamed; the client started without it."""
    STATE_NOT_SAVED = "state_not_saved"
    """The state directory cannot be written; after a restart the PBX will not be able to carry on offline. Where what
    is there cannot be removed either, it may use seats that were returned since: the message says which."""
    CLOCK_SET_BACK = "clock_set_back"
    """After a restart the wall clock reads less than when the state was saved."""
    SEATS_FROM_BEFORE = "seats_from_before"
    """The master still has seats on this PBX that the client does not remember; `sync()` reconciles them."""
    SEATS_NOT_TOLD = "seats_not_told"
    """The client was closed but could not reach the master; the seats go back when the lease ends."""
    CERTIFICATE_UNUSABLE = "certificate_unusable"
    """The files of `tls` changed and cannot be used, so that the former ones go on; or the certificate ended, or has
    not begun. The message names the file."""
    NO_TLS = "no_tls"
    """A master's address answers, and yet no connection comes about: another authority, another name, a certificate or
    clock that is out of its time, plain text. The message says which."""
    CERTIFICATE_NOT_GIVEN = "certificate_not_given"
    """A release was not certified: its request is not genuine or not this device's, or the folder cannot be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something that the PBX should know; `message` says it in a sentence."""

    kind: NoticeKind
    message: str
    licenses: tuple[LicenseRef, ...] = ()
    """Those that hold a version limit down, are leaving, or whose use ends."""
    seats: tuple[SeatKey, ...] = ()
    """Those that were taken away, awaited or handed on, by the catalog keys of their types; at most 1,000, the others
    follow."""
    places: tuple[int, ...] = ()
    """Of seats awaited, 1 for the next."""


_PREFIX: Final = "NOTICE_KIND_"
_KINDS: Final = {
    number: NoticeKind[name.removeprefix(_PREFIX)]
    for name, number in lease_pb2.NoticeKind.items()
    if name.removeprefix(_PREFIX) in NoticeKind.__members__
}


def notices_from_proto(notices: Iterable[lease_pb2.Notice]) -> tuple[Notice, ...]:
    """Translate what the master says holds now."""
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
        """All that holds now, the master's notices first."""
        return (*self._masters, *self._own.values())

    def from_master(self, notices: tuple[Notice, ...]) -> None:
        """Replace the master's notices; report those that are new."""
        before, self._masters = self._masters, notices
        for notice in notices:
            if notice not in before:
                self._tell(notice)

    def raise_own(self, kind: NoticeKind, message: str) -> None:
        """Set one of the client's own notices, and report it if it is new."""
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
