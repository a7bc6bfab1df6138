"""Wanted seats, and the answers to them, as values; `messages` translates them from and to the API."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Final, NamedTuple

from licensemaster import values
from licensemaster.api_enums import Basis, HolderKind, RemedyAction
from licensemaster.values.given import check_fields


class Source(Enum):
    """Whether the master or this client gave an answer."""

    MASTER = "master"
    LOCAL = "local"
    """This client, from the seats under its signed lease; the master is told when it is reached again."""


class Reason(Enum):
    """Why a seat was refused: the master's reasons first, then those of this client without asking the master."""

    UNKNOWN_LICENSE_TYPE = "unknown_license_type"
    HOLDER_KIND = "holder_kind"
    SOFTWARE_TOO_OLD = "software_too_old"
    MODEL_EXCLUDED = "model_excluded"
    VERSION_LIMIT = "version_limit"
    FEATURE_OFF = "feature_off"
    APPLICATION_VERSION = "application_version"
    REQUIREMENT_MISSING = "requirement_missing"
    LOCAL_LICENSES_ONLY = "local_licenses_only"
    NONE_INSTALLED = "none_installed"
    POOL_EXHAUSTED = "pool_exhausted"
    COMPANION_EXHAUSTED = "companion_exhausted"
    STILL_REQUIRED = "still_required"
    REVOKED = "revoked"
    """This seat was taken away (rules L5, P1); after it was given back it can be asked for like any other."""
    LEARNING = "learning"
    """The master was restored from a backup and grants only proven seats until all leases signed before have ended."""
    ONE_PER_PBX = "one_per_pbx"
    """The PBX has its one seat of the type under another name (rule K2)."""
    MALFORMED_SEAT = "malformed_seat"
    """A field of the seat cannot be read; the message names the field. The call's other seats were decided."""
    ACCESS_DENIED = "access_denied"
    """An allocation rule of the operator keeps such seats for other PBXs."""
    MAXIMUM_REACHED = "maximum_reached"
    """The site, or the site's group, has as many seats as an allocation rule allows."""
    RESERVED_FOR_OTHERS = "reserved_for_others"
    """The free seats are reserved for other sites by allocation rules."""
    WAITING = "waiting"
    """The PBX waits for the seat, as this call or an earlier one asked; `on_seat` is called when it is granted."""
    UNKNOWN = "unknown"
    """A master's reason that this version of the client does not know; the message states it."""
    OFFLINE = "offline"
    """The master does not answer, and no seat of the site is idle, and no borrowed seat is free."""
    NO_LEASE = "no_lease"
    """There is no lease in force: none was opened yet, or it expired."""
    FENCED = "fenced"
    """Another installation took over this PBX's lease."""
    CLOSED = "closed"
    """This client was closed or stopped."""
    NO_ANSWER = "no_answer"
    """The master can be reached but gave no answer in time: it is overloaded, or its database cannot be reached."""
    INVALID = "invalid"
    """The master says that the request is malformed, or that this client is not entitled to it."""

    @property
    def source(self) -> Source:
        """Who refuses for this reason: the master or this client."""
        return Source.LOCAL if self in _LOCAL_REASONS else Source.MASTER


_LOCAL_REASONS: Final = frozenset({Reason.OFFLINE, Reason.NO_LEASE, Reason.FENCED, Reason.CLOSED, Reason.NO_ANSWER})


class LossCause(Enum):
    """Why a seat was lost without being returned."""

    EXPIRED = "expired"
    """The lease passed its end, or the master ended it, and no loan is left for the seat."""
    FENCED = "fenced"
    """Another installation took over this PBX's lease."""
    HANDED_BACK = "handed_back"
    """This PBX carried the seat as a standby; the PBX that it carried seats for has them back."""
    IN_DOUBT = "in_doubt"
    """The seat was passed on while offline, and the connection broke before the master agreed."""
    REVOKED = "revoked"
    """The seat was taken away: its license goes elsewhere (rule L5), or its agreement ended (rules P1, R3)."""


class SeatKey(NamedTuple):
    """The name of a seat within its PBX."""

    license_type: str
    holder_kind: HolderKind
    holder: str


@dataclass(frozen=True, slots=True)
class Want:
    """A seat that the PBX wants.

    `license_type` is the catalog key ("port") or a printed spelling without a version ("PBX-Port"); use one spelling
    throughout, for this client does not know the catalog. `holder` is the holder's name in the PBX. `user` is the user
    on whose behalf a channel or login is opened, `line` the outside line of a recorded user (rule K3),
    `application_version` the application's own version where the type is held against it (rule B8).

    Names are kept in the master's normal form: spellings of one name, such as composed and decomposed umlauts or white
    space around it, are one holder. Capitals, accents and punctuation distinguish holders.

    Raises ValueError unless the kind is a HolderKind, type and holder are 1 to 128 printable characters, and the others
    0 to 128.
    """

    license_type: str
    holder_kind: HolderKind
    holder: str
    user: str = ""
    line: str = ""
    application_version: str = ""
    key: SeatKey = field(init=False, repr=False, compare=False)
    """The seat's name within the PBX."""

    def __post_init__(self) -> None:
        texts = (self.license_type, self.holder, self.user, self.line, self.application_version)
        if type(self.holder_kind) is not HolderKind or {*map(type, texts)} != {str}:
            check_fields(self)
        if not values.are_holders((*texts[:2], *filter(None, texts[2:]))):
            self._respell()
        object.__setattr__(self, "key", SeatKey(self.license_type, self.holder_kind, self.holder))

    def _respell(self) -> None:
        for name in ("license_type", "holder", "user", "line", "application_version"):
            text = getattr(self, name)
            if not text and name not in ("license_type", "holder"):
                continue
            try:
                meant = values.license_name(text) if name == "license_type" else values.short_text(text)
            except values.BadValueError as error:
                raise ValueError(f"{name}: {error}") from error
            object.__setattr__(self, name, meant)


@dataclass(frozen=True, slots=True, kw_only=True)
class LicenseRef:
    """Licenses that a refusal or a version limit names; `type` is the printed name, e.g. "PBX-Port10"."""

    license: str
    type: str
    quantity: int
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RemedyStep:
    """One action to take; the action says which fields are used. `licenses` and `seats` are the first few."""

    action: RemedyAction | None
    """What to do; None where this version of the client does not know the action."""
    license_type: str = ""
    quantity: int = 0
    device: str = ""
    version: str = ""
    pbx: str = ""
    licenses: tuple[LicenseRef, ...] = ()
    seats: tuple[SeatKey, ...] = ()
    until: datetime | None = None
    subject: str = ""
    field: str = ""
    accepted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """The changes that turn a refusal into a grant; `text` states them in one sentence.

    `ways` are the steps of each way, the fewest first: each way is enough by itself, and takes all of its steps. The
    fields repeat the step of the first way that answers the reason itself.
    """

    action: RemedyAction | None = None
    """What to do; None where no action was named, or this version of the client does not know it."""
    text: str = ""
    license_type: str = ""
    quantity: int = 0
    device: str = ""
    version: str = ""
    ways: tuple[tuple[RemedyStep, ...], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TopHolder:
    """A PBX that holds `seats` seats of the type refused."""

    pbx: str
    site: str
    seats: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """The PBX may use the seat."""

    want: Want
    basis: Basis | None
    """Why the seat is granted; None where this version of the client does not know the basis: then the seat is treated
    as DEBITED, and never passed on."""
    already_held: bool = False
    """True where the PBX held the seat before it asked."""
    included_in: str = ""
    """The license type that includes this seat's type, where basis is INCLUDED."""
    device: str = ""
    """The device whose licenses are debited, where basis is DEBITED."""
    reassignable: bool = False
    """True where the seat may be passed on to another holder while the site is offline."""
    source: Source = Source.MASTER

    @classmethod
    def by_number(cls, want: Want) -> Granted:
        """Return the grant of a seat that is used by number, whoever holds it."""
        return cls(want=want, basis=Basis.DEBITED, reassignable=True, source=Source.LOCAL)

    @property
    def granted(self) -> bool:
        """True: the seat may be used."""
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The PBX may not use the seat, or may not return it (STILL_REQUIRED); the fields say what to do about it."""

    want: Want
    reason: Reason
    message: str
    """One sentence for people."""
    rules: tuple[str, ...] = ()
    """The rules applied, e.g. "E1"."""
    license_type: str = ""
    """The type that was short or wrong, by catalog key; for a companion, the companion's."""
    device: str = ""
    capacity: int = 0
    """Licenses installed on `device`."""
    in_use: int = 0
    """Seats in use of the licenses installed on `device`."""
    wanted: int = 0
    """New seats of that type wanted by the call."""
    place: int = 0
    """The seat's place in the waiting line where the reason is WAITING, 1 for the next."""
    waiting: int = 0
    """Seats of the type that are waited for in the whole project."""
    top_holders: tuple[TopHolder, ...] = ()
    licenses: tuple[LicenseRef, ...] = ()
    """The licenses that hold a version limit down (rule B5), or the local licenses of rule A3."""
    seats: tuple[SeatKey, ...] = ()
    """On a return: seats that depend on this one (rule H5)."""
    remedy: Remedy = Remedy()

    @property
    def granted(self) -> bool:
        """False: the seat may not be used (or, on a return, stays held)."""
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Awaited:
    """A seat that the PBX waits for."""

    want: Want
    place: int
    """The seat's place in the waiting line by the master's last report, 1 for the next; from 10 on rounded up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """The PBX uses the seat no more."""

    want: Want
    held: bool
    """True where the PBX held the seat until now."""
    source: Source = Source.MASTER
    """LOCAL where the master has not been told yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A seat that the PBX held and lost without returning it."""

    want: Want
    cause: LossCause
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Synced:
    """The answer for a whole set of wanted seats."""

    outcomes: tuple[Granted | Refused, ...]
    """One per wanted seat, in order."""
    seats_returned: int
    """Seats that went back because they were not wanted."""
    kept: tuple[Refused, ...] = ()
    """Seats that were not wanted but had to stay, each with the reason."""


Outcome = Granted | Refused
ReturnOutcome = Returned | Refused
SeatChange = Granted | Refused | Returned | Lost


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A seat in use, or idle, and the seat under which the master counts it."""

    want: Want
    basis: Basis | None
    included_in: str
    device: str
    reassignable: bool
    counted_as: SeatKey

    @classmethod
    def of(cls, grant: Granted) -> Held:
        """Return the held seat that a grant makes, counted under its own name."""
        return cls(
            want=grant.want,
            basis=grant.basis,
            included_in=grant.included_in,
            device=grant.device,
            reassignable=grant.reassignable,
            counted_as=grant.want.key,
        )

    @property
    def passed_on(self) -> bool:
        """True where the master counts the seat under another holder."""
        return self.counted_as != self.want.key

    def as_grant(self, *, already_held: bool) -> Granted:
        """Return the grant of this seat, without asking the master."""
        return Granted(
            want=self.want,
            basis=self.basis,
            already_held=already_held,
            included_in=self.included_in,
            device=self.device,
            reassignable=self.reassignable,
            source=Source.LOCAL,
        )

    def may_pass_to(self, want: Want) -> bool:
        """Tell whether this seat may be used as another one, because the master's checks hold for both."""
        return (
            self.reassignable
            and self.basis is Basis.DEBITED
            and self.want.license_type == want.license_type
            and self.want.holder_kind is want.holder_kind
            and self.want.application_version == want.application_version
        )
