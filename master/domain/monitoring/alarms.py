"""Alarms about an estate at one moment, and their messages: pure.

An alarm stands as long as its condition is true. It is told when it begins; it ends when the condition has been false
for `CALM_SECONDS`, so that a pool that is full now and then sends nobody two messages. Messages are sent at least once:
a receiver knows a message that it has by `id`.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

from licensemaster.values.moments import second_text
from master.domain.allocation.overdraft import Overdraft
from master.domain.monitoring.overview import LearningView, Overview, PoolView
from master.values import Value

CALM_SECONDS = 300.0
ATTEMPTS_MAX = 12
TWO_CLAIMS_SECONDS = 3600.0
SUBJECT_MAX = 255
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 10.0, 3600.0


class AlarmKind(Enum):
    """The closed list of alarms; values are the names on the wire."""

    POOL_USED_UP = "pool.used_up"
    POOL_OVERDRAWN = "pool.overdrawn"
    SITE_SILENT = "site.silent"
    FEATURE_OFF = "feature.off"
    VERSION_TOO_HIGH = "version.too_high"
    STANDBY_NOT_READY = "standby.not_ready"
    STANDBY_CARRIES = "standby.carries"
    STANDBY_TWO_CLAIMS = "standby.two_claims"
    AGREEMENT_ENDS = "agreement.ends"
    LEARNING = "learning.under_way"
    LEARNING_TOO_FEW = "learning.too_few_licenses"
    TERM_ENDS = "term.ends"
    RENEWAL_UNPAID = "renewal.unpaid"


TEST_KIND = "webhook.test"


class Alarm(Value):
    """Something wrong with an estate that webhooks are sent a message about."""

    kind: AlarmKind
    subject: str
    """What the alarm is about; with the kind, its name within the project."""
    message: str
    """One sentence for people."""


def alarms(estate: Overview, now: float) -> Iterator[Alarm]:
    """Yield an alarm for everything that is wrong at a moment (UNIX seconds)."""
    if estate.learning is not None:
        yield from _learning_alarms(estate.project, estate.learning)
    for pool in estate.pools:
        subject = f"{pool.device}/{pool.license_type}"
        if pool.capacity > 0 and not pool.parts.free and not pool.parts.withheld:
            leaving = f", or being released ({pool.parts.leaving})" if pool.parts.leaving else ""
            reserved = pool.parts.reserved_idle
            which = f"{pool.capacity - reserved} of {pool.capacity}" if reserved else f"all {pool.capacity}"
            text = f"{pool.display_name} on {pool.device}: {which} licenses are in use{leaving}"
            text += f", and {reserved} reserved" if reserved else ""
            has_room = pool.overdraft is not None and pool.overdraft.room
            text += ", the next is overdrawn" if has_room else ", the next is refused"
            yield Alarm(AlarmKind.POOL_USED_UP, subject, text)
        if pool.overdraft is not None and pool.overdraft.seats:
            yield Alarm(AlarmKind.POOL_OVERDRAWN, subject, _overdrawn_text(pool, pool.overdraft))
        if not pool.feature_on:
            text = f"{pool.display_name} on {pool.device} is off: too few licenses are installed"
            yield Alarm(AlarmKind.FEATURE_OFF, subject, text)
    for site in estate.silent_since:
        yield Alarm(
            AlarmKind.SITE_SILENT,
            site,
            f"site {site} is silent: a PBX there has not renewed its lease, or never opened one",
        )
    for limit in estate.limits:
        if limit.pbxs_above:
            text = f"{len(limit.pbxs_above)} PBXs of {limit.device} run more than V{limit.version} and get no new seats"
            yield Alarm(AlarmKind.VERSION_TOO_HIGH, limit.device, text)
    for pair in estate.pairs:
        standby, primary, record = pair.standby.name, pair.primary.name, pair.state.record
        if pair.carrying:
            yield Alarm(AlarmKind.STANDBY_CARRIES, standby, f"{standby} carries the seats of {primary}")
        elif not pair.ready:
            yield Alarm(AlarmKind.STANDBY_NOT_READY, standby, f"{standby} could not take over from {primary}")
        if record is not None and record.two_claims_at is not None and now - record.two_claims_at < TWO_CLAIMS_SECONDS:
            text = f"{standby} and {primary} used the same seats at once"
            yield Alarm(AlarmKind.STANDBY_TWO_CLAIMS, standby, text)
    for ending in estate.endings:
        if ending.remind:
            kind = AlarmKind.AGREEMENT_ENDS if ending.license else AlarmKind.TERM_ENDS
            of = ending.license or ending.subject
            text = f"{ending.title} of {of} ends on {ending.day}; what stops then: {ending.what_stops}"
            yield Alarm(kind, f"{ending.subject}/{ending.policy}"[:SUBJECT_MAX], text)
    for unpaid in estate.unpaid_renewals:
        text = (
            f"order {unpaid.order} of {unpaid.day}, the automatic renewal of {unpaid.subject}, awaits its payment:"
            " confirm it with its key, or cancel it"
        )
        yield Alarm(AlarmKind.RENEWAL_UNPAID, unpaid.subject[:SUBJECT_MAX], text)


def _overdrawn_text(pool: PoolView, overdraft: Overdraft) -> str:
    text = f"{pool.display_name} on {pool.device}: {overdraft.seats:,} seats above the {pool.capacity:,} installed"
    if not overdraft.budget_left_seat_hours or overdraft.spent_at is None:
        return f"{text}; nothing of the overdraft's budget is left, they are being taken back"
    left = f"{overdraft.budget_left_seat_hours:,.1f} seat hours of the overdraft's budget are left"
    return (
        f"{text}; {left}: seats are taken back at {second_text(overdraft.spent_at)} unless some are given back before"
    )


def _learning_alarms(project: str, view: LearningView) -> Iterator[Alarm]:
    until = second_text(view.learning.until)
    text = f"the database was restored: until {until} nothing is granted beyond what PBXs prove ({view.learning.why})"
    yield Alarm(AlarmKind.LEARNING, project, text)
    if view.seats_unplaced:
        text = (
            f"{view.seats_unplaced} seats were in use by signed leases, and the restored database has no licenses for"
            " them: import the license files and apply the project file that came after the backup"
        )
        yield Alarm(AlarmKind.LEARNING_TOO_FEW, project, text)


class AlarmState(NamedTuple):
    """An alarm that has begun; times are UNIX seconds."""

    kind: str
    subject: str
    message: str
    began_at: float
    gone_at: float | None
    """Since when the alarm's condition is false; None while it is true."""


class News(Enum):
    """What happened to an alarm; values are the names on the wire."""

    BEGAN = "began"
    GONE = "gone"
    """The alarm's condition is false, but not for long yet."""
    BACK = "back"
    ENDED = "ended"
    TEST = "test"
    """Nothing happened: the message is sent to see whether it arrives."""


def body_of(project: str, alarm: AlarmState, news: News, *, sent_at: float) -> str:
    """Write a message as JSON. Its id is the same however often, and by whichever master, it is sent."""
    name = "\n".join((project, alarm.kind, alarm.subject, news.value, repr(alarm.began_at)))
    return json.dumps(
        {
            "id": hashlib.sha256(name.encode()).hexdigest()[:32],
            "project": project,
            "kind": alarm.kind,
            "subject": alarm.subject,
            "state": news.value,
            "message": alarm.message,
            "begin_time": alarm.began_at,
            "time": sent_at,
        },
        ensure_ascii=False,
    )


def signature(secret: str, body: str, at: int) -> str:
    """Prove where a message comes from and when it was sent: HMAC-SHA256 over the time (UNIX seconds), a dot and the
    body."""
    mac = hmac.new(secret.encode(), f"{at}.{body}".encode(), hashlib.sha256)
    return f"t={at},v1={mac.hexdigest()}"


def wait_seconds(attempts: int) -> float | None:
    """Return how many seconds to wait after `attempts` attempts failed; None where no more are made."""
    if attempts >= ATTEMPTS_MAX:
        return None
    return float(min(_FIRST_WAIT_SECONDS * 2 ** (attempts - 1), _LONGEST_WAIT_SECONDS))
