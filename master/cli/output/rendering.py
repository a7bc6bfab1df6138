"""The output of answers: tables for people, JSON for programs.

Names and messages come from files and from other machines, so nothing of them is taken as markup or as a control
sequence of the terminal.
"""

import base64
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, time
from typing import Any, TypeVar, cast
from zoneinfo import ZoneInfo

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from rich import box
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

from licensemaster.v1 import document_pb2
from licensemaster.values import is_shown

Row = TypeVar("Row")

PIPE_WIDTH = 200
_LONG_TYPES = {FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64}


def stdout_console() -> Console:
    """Return the console for answers, as wide as the terminal; wide enough for whole rows where there is none."""
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH
    return Console(file=sys.stdout, width=width, highlight=False, markup=False, emoji=False)


def stderr_console() -> Console:
    """Return the console for failures, questions and notes, which is standard error."""
    return Console(file=sys.stderr, highlight=False, markup=False, emoji=False)


def write_out(text: str) -> None:
    """Write text for programs to standard output: in UTF-8, lines unchanged, whatever the terminal is set to."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
    sys.stdout.buffer.flush()


def visible(text: str, style: str = "") -> Text:
    """Return a text with its control characters spelled out and nothing taken as markup."""
    shown = "".join(c if is_shown(c) or c == "\n" else c.encode("unicode_escape").decode("ascii") for c in text)
    return Text(shown, style=style)


_APART = 3
"""Columns between two columns of a table."""


class WordTable(Table):
    """A table that breaks lines between words alone: where it would not fit so, its rows stand below each other."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table, or one small table of heading and value for each of its rows."""
        measured, room = self._measured(console, options)
        if sum(width.minimum for width in measured) > room:
            self.columns = [column for column in self.columns if any(str(cell) for cell in column.cells)]
            measured, room = self._measured(console, options)
        narrowest = sum(width.minimum for width in measured)
        if narrowest > room:
            yield from self._records()
            return
        wished = sum(width.maximum for width in measured)
        if wished > room:
            share = (room - narrowest) / (wished - narrowest)
            for column, width in zip(self.columns, measured, strict=True):
                column.width = width.minimum + int((width.maximum - width.minimum) * share)
        yield from super().__rich_console__(console, options)

    def _records(self) -> Iterator[RenderableType]:
        if self.title:
            yield Text(str(self.title), style="bold")
        for index, cells in enumerate(zip(*(column.cells for column in self.columns), strict=True)):
            record = Table.grid(Column(no_wrap=True, style="dim"), Column(overflow="fold"), padding=(0, 2))
            for column, cell in zip(self.columns, cells, strict=True):
                if str(cell):
                    record.add_row(column.header, cell)
            if index:
                yield Text()
            yield record
        if self.caption:
            yield Text(str(self.caption), style="dim")

    def _measured(self, console: Console, options: ConsoleOptions) -> tuple[list[Measurement], int]:
        """Each column from its longest word to its longest line, and the room that there is for all of them."""
        widths = []
        for column in self.columns:
            cells = [Measurement.get(console, options, cell) for cell in (column.header, *column.cells)]
            widths.append(Measurement(max(cell.minimum for cell in cells), max(cell.maximum for cell in cells)))
        return widths, options.max_width - _APART * (len(widths) - 1)


def table(*headings: str, title: str = "", note: str = "", numbers: Sequence[str] = ()) -> Table:
    """Return an empty table with a title above and a note below; columns named in `numbers` are right-aligned."""
    made = WordTable(
        title=title or None,
        caption=note or None,
        caption_style="dim",
        caption_justify="left",
        title_style="bold",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
    )
    for heading in headings:
        made.add_column(heading, justify="right" if heading in numbers else "left", overflow="fold")
    return made


def add_row(to: Table, *cells: str | int | RenderableType) -> None:
    """Add a row to a table; strings are shown unchanged, numbers with thousands separated."""
    to.add_row(*(_cell(cell) for cell in cells))


def _cell(cell: str | int | RenderableType) -> RenderableType:
    if isinstance(cell, str):
        return visible(cell)
    return f"{cell:,}" if isinstance(cell, int) else cell


def print_json(message: Message) -> None:
    """Print a message as JSON: names as in the protos, all fields present, numbers as numbers, keys, hashes in hex."""
    print_json_object(json_object(message))


def print_json_line(message: Message) -> None:
    """Print a message as JSON on one line, for a stream of messages."""
    write_out(json.dumps(json_object(message), ensure_ascii=False) + "\n")


def print_json_object(value: object) -> None:
    """Print a JSON value to standard output as one document that ends in a newline."""
    write_out(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def json_object(message: Message) -> dict[str, Any]:
    """Return the JSON form of a message as a dictionary."""
    converted: dict[str, Any] = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    _spell_as_elsewhere(converted, cast(Descriptor, message.DESCRIPTOR))
    return converted


def json_time(at: float) -> str:
    """UNIX seconds as all moments are in JSON here, as protobuf writes a Timestamp: "2026-11-27T06:24:00Z"."""
    timestamp = Timestamp()
    timestamp.FromMicroseconds(round(at * 1_000_000))
    return timestamp.ToJsonString()


def _spell_as_elsewhere(converted: dict[str, Any], descriptor: Descriptor) -> None:
    """Protobuf's JSON writes 64-bit numbers as strings; ours count licenses and stay far below 2^53. It writes bytes in
    Base64; ours are keys and hashes, which options take and exports have in hex. Signed documents stay what their files
    are."""
    if descriptor.full_name == document_pb2.SignedDocument.DESCRIPTOR.full_name:
        return
    for field in descriptor.fields:
        value = converted.get(field.name)
        if value is None:
            continue
        if field.cpp_type in _LONG_TYPES:
            converted[field.name] = [int(number) for number in value] if field.is_repeated else int(value)
        elif field.type == FieldDescriptor.TYPE_BYTES:
            converted[field.name] = base64.b64decode(value).hex()
        elif field.message_type is not None:
            for part in value if field.is_repeated else [value]:
                if isinstance(part, dict):
                    _spell_as_elsewhere(part, field.message_type)


def short_name(resource: str) -> str:
    """Return the last part of a resource name: "berlin" for "projects/acme/pbxs/berlin"."""
    return resource.rsplit("/", 1)[-1]


def moment(timestamp: Timestamp) -> str:
    """Return a timestamp as text in the operator's time zone; empty where there is none."""
    if not timestamp.seconds:
        return ""
    return _there(timestamp, None).strftime("%Y-%m-%d %H:%M:%S")


def day_there(timestamp: Timestamp, zone: str) -> str:
    """The day of a moment in a time zone, which it names: "2027-11-22 (Europe/Berlin)"; with its time unless it is the
    beginning of that day, as ends are."""
    there = _there(timestamp, ZoneInfo(zone or "UTC"))
    return f"{there:%Y-%m-%d}{'' if there.time() == time() else f' {there:%H:%M:%S}'} ({zone or 'UTC'})"


def _there(timestamp: Timestamp, zone: ZoneInfo | None) -> datetime:
    """Return a moment in a time zone, None for the operator's; in UTC where that zone cannot show it."""
    at = timestamp.ToDatetime(tzinfo=UTC)
    try:
        return at.astimezone(zone)
    except (OverflowError, ValueError):  # in the east, the last hours of 9999: "without end"; TZ with a day's offset
        return at


def distance(timestamp: Timestamp, now: datetime) -> str:
    """Return how far away a time is: "12 s ago", "in 3 h"; empty where there is none."""
    if not timestamp.seconds:
        return ""
    seconds = (timestamp.ToDatetime(tzinfo=UTC) - now).total_seconds()
    amount = _amount(abs(seconds))
    return f"in {amount}" if seconds > 0 else f"{amount} ago"


def _amount(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"


def joined(parts: Iterable[str]) -> str:
    """Join the parts that are not empty by a middle dot."""
    return " · ".join(part for part in parts if part)


def in_brackets(rules: Iterable[str]) -> str:
    """The ids of rules as a sentence ends with them: " (E1, L5)"; empty where there are none."""
    text = ", ".join(rules)
    return f" ({text})" if text else ""


def first_few(texts: Sequence[str], most: int) -> str:
    """Join the first `most` texts by commas, and add how many more there are."""
    left_out = len(texts) - most
    return ", ".join(texts[:most]) + (f" and {left_out:,} more" if left_out > 0 else "")


def print_warnings(warnings: Iterable[str], console: Console) -> None:
    for warning in warnings:
        console.print(Text.assemble(("warning: ", "bold yellow"), visible(warning)))


def section(
    rows: Sequence[Row], view: Callable[[Sequence[Row]], RenderableType], limit: int | None, what: str
) -> list[RenderableType]:
    """An empty line, a view of the first `limit` rows (None: of all), and how many more there are; nothing of none."""
    if not rows:
        return []
    parts: list[RenderableType] = ["", view(rows[:limit])]
    if limit is not None and len(rows) > limit:
        parts.append(Text(f"... and {len(rows) - limit:,} more {what} (--all)", style="dim"))
    return parts
