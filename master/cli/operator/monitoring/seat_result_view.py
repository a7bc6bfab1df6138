"""A seat's answer for people: what was granted at what cost, or why not and what would change that."""

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from licensemaster.v1 import seat_pb2
from master.cli.output.enum_names import in_words
from master.cli.output.rendering import add_row, joined, short_name, table, visible

_LISTED_MAX = 20


def result_view(title: str, result: seat_pb2.SeatResult) -> RenderableType:
    """Return a panel with the whole answer; green for a grant, red for a refusal."""
    if result.WhichOneof("outcome") == "granted":
        return _panel(title, "granted", "green", [grant_view(result.granted)])
    return _panel(title, "refused", "red", refusal_parts(result.refused))


def grant_view(grant: seat_pb2.Grant) -> RenderableType:
    """Return what a granted seat costs, whether the PBX holds the seat already, and whether others may get it later."""
    cost = basis_text(grant.basis, grant.included_in)
    lines = [f"one license {cost} on {grant.device}" if grant.basis == seat_pb2.BASIS_DEBITED else cost]
    if grant.already_held:
        lines.append("the PBX holds this seat already")
    if grant.reassignable:
        lines.append("floating: once returned, another holder may take it")
    return visible("\n".join(lines))


def basis_text(basis: seat_pb2.Basis.ValueType, included_in: str) -> str:
    """Return a seat's cost in words; `included_in` is the license type that a seat is debited with or included in."""
    match basis:
        case seat_pb2.BASIS_DEBITED:
            return f"debited with {included_in}" if included_in else "debited"
        case seat_pb2.BASIS_INCLUDED:
            return f"included in {included_in or 'another seat'}"
        case seat_pb2.BASIS_NOT_NEEDED:
            return "no license needed"
        case _:
            return in_words(seat_pb2.Basis.DESCRIPTOR, basis)


def refusal_parts(refusal: seat_pb2.Refusal) -> list[RenderableType]:
    """Return all that a refusal says, the remedy last."""
    parts: list[RenderableType] = []
    if refusal.message:
        parts += [visible(refusal.message, "bold"), ""]
    parts.append(_facts(refusal))
    if refusal.top_holders:
        holders = table("PBX", "Site", "Seats", title="Who holds most", numbers=["Seats"])
        for holder in refusal.top_holders:
            add_row(holders, short_name(holder.pbx), holder.site, holder.seats)
        parts += ["", holders]
    if refusal.licenses:
        listed = refusal.licenses[:_LISTED_MAX]
        parts += ["", licenses_view(listed, "Licenses that decide it")]
        parts += _left_out(len(listed), refusal.licenses_total)
    if refusal.seats:
        depending = table("Type", "Holder", title="Seats that depend on it")
        listed_seats = refusal.seats[:_LISTED_MAX]
        for seat in listed_seats:
            add_row(depending, seat.license_type, holder_text(seat))
        parts += ["", depending, *_left_out(len(listed_seats), refusal.seats_total)]
    if ways := _ways(refusal.remedy):
        parts += ["", *ways]
    return parts


def licenses_view(licenses: Iterable[seat_pb2.LicenseRef], title: str) -> Table:
    """Return a table of the licenses that a refusal or a version limit names."""
    shown = table("License", "Type", "Quantity", "Device", title=title, numbers=["Quantity"])
    for license_ref in licenses:
        add_row(shown, license_ref.license, license_ref.type, license_ref.quantity, license_ref.device)
    return shown


def _ways(remedy: seat_pb2.Remedy) -> list[RenderableType]:
    """Return the ways of a remedy, each on lines of its own; each way is enough by itself."""
    texts = [way.text for way in remedy.ways] or [remedy.text]
    return [
        Text.assemble(("→ " if number == 0 else "  or ", "bold yellow"), visible(text, "bold yellow"))
        for number, text in enumerate(texts)
        if text
    ]


def _left_out(shown: int, total: int) -> list[RenderableType]:
    return [visible(f"and {total - shown:,} more; --json lists them", "dim")] if total > shown else []


def holder_text(seat: seat_pb2.Seat) -> str:
    """Return a holder with its kind, its user and its line: "user anna", "channel 7 for anna"."""
    parts = [in_words(seat_pb2.HolderKind.DESCRIPTOR, seat.holder_kind), seat.holder]
    if seat.user:
        parts.append(f"for {seat.user}")
    if seat.line:
        parts.append(f"over {seat.line}")
    return " ".join(parts)


def _facts(refusal: seat_pb2.Refusal) -> Table:
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim")
    facts.add_column(overflow="fold")
    add_row(facts, "reason", in_words(seat_pb2.RefusalReason.DESCRIPTOR, refusal.reason))
    if refusal.rules:
        add_row(facts, "rules", ", ".join(refusal.rules))
    if refusal.license_type:
        add_row(facts, "type", refusal.license_type)
    if refusal.device:
        add_row(facts, "looked at", refusal.device)
    if refusal.capacity or refusal.in_use or refusal.wanted:
        numbers = [f"{refusal.capacity:,} installed"]
        numbers += [f"{refusal.in_use:,} in use"] if refusal.in_use else []  # not told where it decides nothing
        numbers += [f"{refusal.wanted:,} wanted"] if refusal.wanted else []
        add_row(facts, "numbers", joined(numbers))
    return facts


def _panel(title: str, verdict: str, style: str, parts: list[RenderableType]) -> Panel:
    heading = Text.assemble(("● " + verdict, f"bold {style}"), "  ", visible(title, "default"))
    return Panel(Group(*parts), title=heading, title_align="left", border_style=style, padding=(1, 2), expand=False)
