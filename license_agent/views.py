"""What the client says, as JSON: the field names are those of its value types, everywhere alike."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum, IntEnum
from typing import Final

from slave_client import Granted, Held, HolderKind, Lost, Reason, Refused, Returned, SeatChange, SeatKey, Synced, Want

UNDECIDED: Final = frozenset(
    {
        Reason.OFFLINE,
        Reason.NO_LEASE,
        Reason.NO_ANSWER,
        Reason.CLOSED,
        Reason.LEARNING,
        Reason.INVALID,  # the agent's certificate, say: nothing that the PBX asked
    }
)
"""Nobody can say now whether a seat may be used: whoever asks is to ask again."""

Json = dict[str, "Json"] | list["Json"] | str | int | float | bool | None


def as_json(value: object) -> Json:
    """A value of the client's: an enum by its name in small letters, a seat that is wanted as `seat`."""
    match value:
        case IntEnum():
            return value.name.lower()
        case Enum():
            return str(value.value)
        case Want():
            return seat_view(value)
        case SeatKey():
            return {name: as_json(part) for name, part in value._asdict().items()}
        case datetime():
            return value.isoformat()
        case str() | int() | float() | None:
            return value
        case tuple():
            return [as_json(one) for one in value]
    assert is_dataclass(value)
    return {"seat" if each.name == "want" else each.name: as_json(getattr(value, each.name)) for each in fields(value)}


def seat_view(want: Want) -> dict[str, Json]:
    """A seat as it is asked for."""
    return {
        "license_type": want.license_type,
        "holder_kind": want.holder_kind.name.lower(),
        "holder": want.holder,
        "user": want.user,
        "line": want.line,
        "application_version": want.application_version,
    }


def grant_view(granted: Granted) -> dict[str, Json]:
    """A seat that may be used, with what it costs. Written out as `held_view`, for these are what an agent answers."""
    return {**_seat_and_cost(granted), "already_held": granted.already_held, "source": granted.source.value}


def held_view(held: Held) -> dict[str, Json]:
    """A seat in use."""
    return {**_seat_and_cost(held), "counted_as": as_json(held.counted_as)}


def _seat_and_cost(seat: Granted | Held) -> dict[str, Json]:
    return {
        "seat": seat_view(seat.want),
        "basis": seat.basis.name.lower() if seat.basis is not None else None,
        "included_in": seat.included_in,
        "device": seat.device,
        "reassignable": seat.reassignable,
    }


def synced_view(synced: Synced) -> Json:
    """The answer to a whole wanted set: each outcome says whether it is `granted`."""
    return {
        "outcomes": [outcome_view(outcome) for outcome in synced.outcomes],
        "seats_returned": synced.seats_returned,
        "kept": [outcome_view(refused) for refused in synced.kept],
    }


def outcome_view(outcome: Granted | Refused) -> Json:
    """A grant or refusal among others."""
    if isinstance(outcome, Granted):
        return {"granted": True, **grant_view(outcome)}
    return {"granted": False, **refusal_view(outcome)}


_NUMBERS: Final = ("license_type", "device", "capacity", "in_use", "wanted", "place", "waiting")


def refusal_view(refused: Refused) -> dict[str, Json]:
    """Everything needed to act on a refusal: `detail` says it in words."""
    told = as_json(refused)
    assert isinstance(told, dict)
    return {
        "detail": refused.message,
        **{name: told[name] for name in ("reason", "rules", "seat", "licenses", "seats", "remedy")},
        "numbers": {name: told[name] for name in _NUMBERS},
        "holders": told["top_holders"],
    }


_CHANGES = {Granted: "granted", Refused: "refused", Returned: "returned", Lost: "lost"}


def change_view(change: SeatChange) -> Json:
    """What became of a seat."""
    told = refusal_view(change) if isinstance(change, Refused) else as_json(change)
    assert isinstance(told, dict)
    return {"change": _CHANGES[type(change)], **told}


def holder_kind(text: str) -> HolderKind:
    """A kind of holder by its name, `user` or `waiting-queue`.

    Raises:
        ValueError: there is no such kind; names all.
    """
    try:
        return HolderKind[text.upper().replace("-", "_")]
    except KeyError:
        known = ", ".join(kind.name.lower() for kind in HolderKind)
        raise ValueError(f"holder_kind: {text[:80]!r} is none of {known}") from None
