"""The client's values as JSON: the field names are everywhere those of the value types."""

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
"""Reasons with which it is not known now whether a seat may be used, so that the caller is to ask again."""

Json = dict[str, "Json"] | list["Json"] | str | int | float | bool | None


def as_json(value: object) -> Json:
    """Return a value of the client as JSON: an enum as its name in small letters, a wanted seat as `seat`."""
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
    return {
        "license_type": want.license_type,
        "holder_kind": want.holder_kind.name.lower(),
        "holder": want.holder,
        "user": want.user,
        "line": want.line,
        "application_version": want.application_version,
    }


def grant_view(granted: Granted) -> dict[str, Json]:
    """Return the grant of a seat as JSON. Written by hand as `held_view`, because most answers are these."""
    return {**_seat_and_cost(granted), "already_held": granted.already_held, "source": granted.source.value}


def held_view(held: Held) -> dict[str, Json]:
    """Return a seat in use as JSON."""
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
    """Return the answer to a whole wanted set as JSON: each outcome says whether it is `granted`."""
    return {
        "outcomes": [outcome_view(outcome) for outcome in synced.outcomes],
        "seats_returned": synced.seats_returned,
        "kept": [outcome_view(refused) for refused in synced.kept],
    }


def outcome_view(outcome: Granted | Refused) -> Json:
    """Return a grant or refusal as JSON, with `granted` to tell them apart."""
    if isinstance(outcome, Granted):
        return {"granted": True, **grant_view(outcome)}
    return {"granted": False, **refusal_view(outcome)}


_NUMBERS: Final = ("license_type", "device", "capacity", "in_use", "wanted", "place", "waiting")


def refusal_view(refused: Refused) -> dict[str, Json]:
    """Return a refusal with all its numbers as JSON; `detail` is a sentence."""
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
    told = refusal_view(change) if isinstance(change, Refused) else as_json(change)
    assert isinstance(told, dict)
    return {"change": _CHANGES[type(change)], **told}


def holder_kind(text: str) -> HolderKind:
    """Return the kind of holder that has this name, such as `user` or `waiting-queue`.
    Raises ValueError if there is no such kind, and names all kinds."""
    try:
        return HolderKind[text.upper().replace("-", "_")]
    except KeyError:
        known = ", ".join(kind.name.lower() for kind in HolderKind)
        raise ValueError(f"holder_kind: {text[:80]!r} is none of {known}") from None
