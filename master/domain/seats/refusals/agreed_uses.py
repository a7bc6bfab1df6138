"""Licenses whose use ends with an agreement, and what PBXs that draw on them are told, before the end and after (P1,
R3).

Finds and words only; what ends is decided by the ledger (`agreements/entitled.py`). Days are those of the project's
time zone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from datetime import date
from zoneinfo import ZoneInfo

from master.domain.catalog.dates import day_of
from master.domain.estate.estate import Estate
from master.domain.estate.installations import AgreedUse, License
from master.domain.seats.refusals.reasons import MOST_NAMED, Refusal
from master.values import replace

_DAY_SECONDS = 86_400.0


def ends_soon(estate: Estate, license: License, now: float) -> bool:
    """Tell whether the use of a license will end and the first reminder of that is due; `now` is UNIX seconds."""
    if license.agreed is None or license.agreed.ends_at is None or license.agreed.is_over(now):
        return False
    policy = estate.catalog.time.policies.get(license.agreed.policy)
    days = max(policy.reminder_days, default=0) if policy is not None else 0
    return license.agreed.ends_at - now <= days * _DAY_SECONDS


def endings_told(estate: Estate, ending: Collection[License]) -> str:
    """Say which agreements end on which day, and the use of which licenses with them."""
    by_end: defaultdict[tuple[date, str], list[str]] = defaultdict(list)
    for license in ending:
        if license.agreed is not None and license.agreed.ends_at is not None:
            by_end[_day(estate, license.agreed.ends_at), _titled(estate, license.agreed)].append(str(license.ref))
    sentences = (
        f"{title} ends on {day}, and with it the use of {', '.join(named)}" for (day, title), named in by_end.items()
    )
    return "; ".join(sorted(sentences)[:MOST_NAMED])


def ended_use(estate: Estate, key: str, now: float) -> License | None:
    """Return the license of a type whose use ended last; None where all that the ledger brought can still be used."""
    last: License | None = None
    items = estate.agreed.get(key, ())
    in_force = {
        license.agreed.subject for license in items if license.agreed is not None and not license.agreed.is_over(now)
    }
    for license in items:
        if (
            license.agreed is not None
            and license.agreed.subject not in in_force
            and _ends_at(license) >= _ends_at(last)
        ):
            last = license
    return last


def with_ended_use(refusal: Refusal, estate: Estate, now: float) -> Refusal:
    """Add to a refusal for want of licenses that there were more until an agreement ended."""
    license = ended_use(estate, refusal.license_type, now)
    if license is None or license.agreed is None:
        return refusal
    policy = estate.catalog.time.policies.get(license.agreed.policy)
    day = _day(estate, _ends_at(license))
    ended = f"{_titled(estate, license.agreed)} ended on {day}, and with it the use of {license.ref}"
    return replace(
        refusal,
        rules=tuple(dict.fromkeys((*refusal.rules, *(policy.rules if policy is not None else ())))),
        message=f"{refusal.message}; {ended}",
    )


def _titled(estate: Estate, agreed: AgreedUse) -> str:
    policy = estate.catalog.time.policies.get(agreed.policy)
    return f"{policy.title} of {agreed.subject}" if policy is not None else f"the agreement of {agreed.subject}"


def _ends_at(license: License | None) -> float:
    return license.agreed.ends_at or 0.0 if license is not None and license.agreed is not None else 0.0


def _day(estate: Estate, at: float) -> date:
    return day_of(at, ZoneInfo(estate.time_zone))
