"""What ends, as a calendar (RFC 5545): one event of a whole day for each end, with its reminders as alarms."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import date, datetime, timedelta

from icalendar import Alarm, Calendar, Event

from licensemaster.v1 import agreement_pb2
from master.cli.operator.agreements.ordering import subject_text


def as_icalendar(project: str, endings: Iterable[agreement_pb2.Ending], now: datetime) -> str:
    """Return the calendar as text. An event keeps its UID as long as its day stays: the file can be imported again."""
    calendar = Calendar()
    calendar.add("prodid", "-//license-master//agreements//EN")
    calendar.add("version", "2.0")
    calendar.add("x-wr-calname", f"Agreements of {project}")
    for ending in endings:
        calendar.add_component(_event(project, ending, now))
    text: str = calendar.to_ical().decode()
    return text


def _event(project: str, ending: agreement_pb2.Ending, now: datetime) -> Event:
    about, day = subject_text(ending.subject), date.fromisoformat(ending.day)
    event = Event()
    name = "\n".join((project, about, ending.policy, ending.day))
    event.add("uid", f"{hashlib.sha256(name.encode()).hexdigest()[:32]}@license-master")
    event.add("dtstamp", now)
    event.add("dtstart", day)
    event.add("dtend", day + timedelta(days=1))
    event.add("summary", f"{ending.title} of {about} ends")
    event.add("description", _description(ending))
    event.add("transp", "TRANSPARENT")
    if ending.stops:
        event.add("categories", ["STOPS"])
    for days in ending.reminder_days:
        alarm = Alarm()
        alarm.add("action", "DISPLAY")
        alarm.add("description", f"{ending.title} of {about} ends in {days} days")
        alarm.add("trigger", timedelta(days=-days))
        event.add_component(alarm)
    return event


def _description(ending: agreement_pb2.Ending) -> str:
    renew = "It renews by itself." if ending.renews_itself else f"Renew by {' or '.join(ending.renew_by)}."
    if ending.awaited_order:
        renew = f"Its renewal, order {ending.awaited_order}, awaits its payment."
    return f"From this day on without it. Stops: {ending.what_stops}. Goes on: {ending.what_goes_on}. {renew}"
