"""How licenses stand and how their moves were answered, for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from licensemaster.v1 import license_pb2
from master.cli.output.enum_names import in_words
from master.cli.output.rendering import (
    add_row,
    day_there,
    in_brackets,
    moment,
    print_warnings,
    short_name,
    stdout_console,
    table,
    visible,
)

FREE = license_pb2.LICENSE_STATE_FREE
COOLING_OFF = license_pb2.LICENSE_STATE_COOLING_OFF
BOUND = license_pb2.LICENSE_STATE_BOUND
RELEASING = license_pb2.LICENSE_STATE_RELEASING
ENDED = license_pb2.LICENSE_STATE_ENDED
_STYLES = {FREE: "green", ENDED: "dim", COOLING_OFF: "yellow", BOUND: "", RELEASING: "bold yellow"}


def licenses_view(licenses: Iterable[license_pb2.LicenseStatus]) -> Table:
    shown = table("License", "Type", "Quantity", "State", "Device", "From", "", numbers=["Quantity"])
    for license in licenses:
        origin = license.file or license.agreement or "project file"
        add_row(
            shown,
            license.license,
            license.type,
            license.quantity,
            state_text(license),
            license.device,
            visible(origin, "dim"),
            note(license),
        )
    return shown


def state_text(license: license_pb2.LicenseStatus) -> Text:
    """Return a license's state in words, in the colour of the state."""
    return Text(in_words(license_pb2.LicenseState.DESCRIPTOR, license.state), style=_STYLES.get(license.state, ""))


def note(license: license_pb2.LicenseStatus) -> str:
    """Return what a license waits for, or until when its use or agreement lasts; empty for neither."""
    if license.state == RELEASING:
        to = f"to {license.release.to_device}: " if license.release.to_device else ""
        return f"{to}{waits_for(license)}"
    if license.state == COOLING_OFF:
        return f"to be bound from {moment(license.hold_end_time)} on"
    if license.state == ENDED:
        return f"{license.agreement} ended on {day_there(license.use_end_time, license.time_zone)}; buy or renew it"
    if license.HasField("use_end_time"):
        return f"use until {day_there(license.use_end_time, license.time_zone)}"
    if license.HasField("agreement_end_time"):
        return f"agreement until {day_there(license.agreement_end_time, license.time_zone)}"
    return ""


def waits_for(license: license_pb2.LicenseStatus) -> str:
    """Return what is missing until a license's release is complete."""
    release, missing = license.release, []
    if release.seats_to_go:
        seats = f"{release.seats_to_go:,} {'seat' if release.seats_to_go == 1 else 'seats'} to go"
        if release.seats_unreachable:
            until = moment(release.unreachable_end_time)
            seats += f" ({release.seats_unreachable:,} of PBXs out of reach, until {until} at most)"
        missing.append(seats)
    if license.HasField("use_end_time") and release.certified and missing:
        return f"its use has ended; waits for {missing[0]}"
    if release.awaits_approval:
        missing.append("a second operator's approval")
    if not release.device_dead and not release.certified:
        missing.append(f"the certificate of {license.device}")
    given = (
        "certified; " if release.certified else f"approved by {release.approved_by}; " if release.approved_by else ""
    )
    return f"{given}waits for {' and '.join(missing)}" if missing else f"{given}about to be complete"


def print_results(
    results: Sequence[license_pb2.MoveResult], warnings: Sequence[str] = (), *, dry_run: bool = False, go_on: str = ""
) -> None:
    """Print what moved, as a table, then each refusal with what would help, then the warnings.

    `go_on` is the command that was refused, for refusals that another option would overcome.
    """
    console = stdout_console()
    moved = [result.moved for result in results if result.WhichOneof("outcome") == "moved"]
    if moved:
        if dry_run:
            console.print("nothing was changed; it would be:")
        console.print(licenses_view(moved))
    for result in results:
        if result.seats_revoked:
            console.print(visible(f"{result.license}: {revoked_text([result])}", "yellow"))
        if result.WhichOneof("outcome") == "refused":
            _print_refusal(result, console, go_on)
    print_warnings(warnings, console)


def revoked_text(results: Sequence[license_pb2.MoveResult]) -> str:
    """Return how many seats are taken away, and how many of these may still be in use, in words."""
    seats, risk = sum(result.seats_revoked for result in results), sum(result.seats_at_risk for result in results)
    text = f"{seats:,} {'seat' if seats == 1 else 'seats'} taken away from those who hold them"
    if risk:
        text += f"; {risk:,} of PBXs out of reach, no longer counted although they may still be in use"
    return text


def end(results: Iterable[license_pb2.MoveResult]) -> None:
    """Exit with 1 if any move was refused."""
    if any(result.WhichOneof("outcome") == "refused" for result in results):
        raise typer.Exit(1)


def _print_refusal(result: license_pb2.MoveResult, console: Console, go_on: str) -> None:
    refused = result.refused
    problem = in_words(license_pb2.MoveProblem.DESCRIPTOR, refused.problem)
    console.print(
        Text.assemble(("● refused", "bold red"), visible(f"  {result.license}: {problem}{in_brackets(refused.rules)}"))
    )
    console.print(visible(f"  {refused.message}"))
    if refused.top_holders:
        holders = table("PBX", "Site", "Seats", title="Who holds most", numbers=["Seats"])
        for holder in refused.top_holders:
            add_row(holders, short_name(holder.pbx), holder.site, holder.seats)
        console.print(holders)
    for license_ref in refused.licenses:
        console.print(visible(f"  in the way: {license_ref.license} ({license_ref.quantity:,} {license_ref.type})"))
    console.print(Text.assemble(("  → ", "bold yellow"), visible(refused.remedy, "bold yellow")))
    ways = _ways_on(result, go_on)
    for command, what in ways:
        console.print(visible(f"    {command:{max(len(shown) for shown, _ in ways)}}    {what}"))


def _ways_on(result: license_pb2.MoveResult, go_on: str) -> Sequence[tuple[str, str]]:
    problem, device = result.refused.problem, result.refused.device
    if problem == license_pb2.MOVE_PROBLEM_IN_USE and go_on:
        return (
            (f"{go_on} --drain", "grant no new seats, wait until enough are returned"),
            (f"{go_on} --revoke", "take seats away now and notify their holders"),
        )
    if problem == license_pb2.MOVE_PROBLEM_DEVICE_NOT_ENROLLED:
        ways = [(f"license-master device token {device}", "a one-time token to enrol it with")]
        if go_on and " --to " not in go_on:
            ways.append((f"{go_on} --dead", "where the device is dead"))
        return ways
    return ()
