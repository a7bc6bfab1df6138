"""`license-master license release` and `rebind`: licenses come off their devices, whoever uses them.

Decides: what is asked first. Taking seats away, leaving some uncounted and giving a device up as dead are tried out by
a dry run, shown in seats and confirmed. Leaves to others: everything else; `release_progress.py` shows the waiting.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from licensemaster.v1 import license_pb2
from master.cli.connection.asking import Master, asks_master, confirm
from master.cli.connection.options import WAIT_SECONDS_MAX, LicensesArgument, ReasonOption, ToDeviceOption, YesOption
from master.cli.operator.licenses.move_results import RELEASING, end, print_results, revoked_text
from master.cli.operator.licenses.release_progress import wait_for_releases
from master.cli.output.document_files import binding_file, folder_for, request_file, write_document
from master.cli.output.rendering import moment, print_json
from master.values import Value

app = typer.Typer()

DrainOption = Annotated[
    bool, typer.Option("--drain", help="Where in use: grant no new seats, wait until enough are returned.")
]
RevokeOption = Annotated[
    bool, typer.Option("--revoke", help="Where in use: take seats away now; their holders are notified.")
]
ForceOption = Annotated[
    bool, typer.Option("--force", help="As --revoke, and count no longer what PBXs out of reach hold: risks over-use.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only show what would happen.")]
WaitOption = Annotated[
    bool | None,
    typer.Option("--wait/--no-wait", help="Stay until the release is complete. Default: where a person looks on."),
]
TimeoutOption = Annotated[
    float,
    typer.Option("--timeout", metavar="SECONDS", min=0, max=WAIT_SECONDS_MAX, help="Wait so long at most; 0 for ever."),
]
RequestOutOption = Annotated[
    Path | None,
    typer.Option("--request-out", metavar="DIR", help="Write what devices have to certify, to be carried to them."),
]
BindingOutOption = Annotated[
    Path | None,
    typer.Option("--binding-out", metavar="DIR", help="Write the new bindings, to be carried to the device."),
]


@asks_master(app, "release")
def release(
    master: Master,
    licenses: LicensesArgument,
    drain: DrainOption = False,
    revoke: RevokeOption = False,
    force: ForceOption = False,
    dead: Annotated[
        bool, typer.Option("--dead", help="The device is dead and cannot certify; a second operator has to approve.")
    ] = False,
    reason: ReasonOption = "",
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    wait: WaitOption = None,
    timeout: TimeoutOption = 0,
    request_out: RequestOutOption = None,
) -> None:
    """Take licenses off their devices, back into the project balance.

    Complete once nobody uses them any more and their device has certified that it does not either. What is in use is
    refused, unless you say --drain, --revoke or --force. Exits with 1 where something was refused.
    """
    asked = _Asked(licenses, _in_use(drain, revoke, force), "", dead, reason)
    _run(master, asked, _Manner(dry_run, yes, wait, timeout, request_out, None))


@asks_master(app, "rebind")
def rebind(
    master: Master,
    licenses: LicensesArgument,
    to: ToDeviceOption,
    drain: DrainOption = False,
    revoke: RevokeOption = False,
    force: ForceOption = False,
    reason: ReasonOption = "",
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    wait: WaitOption = None,
    timeout: TimeoutOption = 0,
    request_out: RequestOutOption = None,
    binding_out: BindingOutOption = None,
) -> None:
    """Move licenses straight from their devices to another one. Their service agreements go on."""
    asked = _Asked(licenses, _in_use(drain, revoke, force), to, False, reason)
    _run(master, asked, _Manner(dry_run, yes, wait, timeout, request_out, binding_out))


class _Asked(Value):
    licenses: list[str]
    in_use: license_pb2.InUse.ValueType
    to_device: str
    dead: bool
    reason: str

    def request(self, project: str, *, dry_run: bool) -> license_pb2.ReleaseLicensesRequest:
        return license_pb2.ReleaseLicensesRequest(
            project=project,
            licenses=self.licenses,
            in_use=self.in_use,
            to_device=self.to_device,
            device_dead=self.dead,
            dry_run=dry_run,
            reason=self.reason,
        )

    def command(self, license_id: str) -> str:
        """Return the typed command for one license, without --drain, --revoke and --force."""
        if self.to_device:
            return f"license-master license rebind {license_id} --to {self.to_device}"
        return f"license-master license release {license_id}{' --dead' if self.dead else ''}"

    @property
    def is_risky(self) -> bool:
        return self.dead or self.in_use in (license_pb2.IN_USE_REVOKE, license_pb2.IN_USE_FORCE)


class _Manner(Value):
    dry_run: bool
    yes: bool
    wait: bool | None
    timeout_seconds: float
    request_out: Path | None
    binding_out: Path | None


def _in_use(drain: bool, revoke: bool, force: bool) -> license_pb2.InUse.ValueType:
    if drain + revoke + force > 1:
        raise typer.BadParameter("--drain, --revoke and --force exclude each other")
    if force:
        return license_pb2.IN_USE_FORCE
    if revoke:
        return license_pb2.IN_USE_REVOKE
    return license_pb2.IN_USE_DRAIN if drain else license_pb2.IN_USE_REFUSE


def _run(master: Master, asked: _Asked, manner: _Manner) -> None:
    requests = folder_for(manner.request_out) if manner.request_out else None
    bindings = folder_for(manner.binding_out) if manner.binding_out else None
    if asked.is_risky and not manner.dry_run and not manner.yes:
        _confirm(master, asked)
    response = master.call(master.licenses.ReleaseLicenses, asked.request(master.project, dry_run=manner.dry_run))
    for result in response.results:
        if requests is not None and not manner.dry_run and result.moved.release.HasField("request"):
            write_document(request_file(requests, result.license), result.moved.release.request)
    if not master.as_json:
        for result in response.results:
            print_results([result], dry_run=manner.dry_run, go_on=asked.command(result.license))
        print_results([], response.warnings)
    complete = _wait(master, response, manner) if _waits(master, response, asked, manner) else True
    if bindings is not None and not manner.dry_run:
        for result in response.results:
            if result.moved.HasField("signed_binding"):
                write_document(binding_file(bindings, result.license), result.moved.signed_binding)
    if master.as_json:
        print_json(response)
    end(response.results)
    if not complete:
        raise typer.Exit(1)


def _waits(master: Master, response: license_pb2.ReleaseLicensesResponse, asked: _Asked, manner: _Manner) -> bool:
    """Tell whether to wait. A dead device's release needs a second operator's approval: there only --wait waits."""
    looked_on = sys.stdout.isatty() and not master.as_json and not asked.dead
    wanted = manner.wait if manner.wait is not None else looked_on
    return wanted and not manner.dry_run and any(result.moved.state == RELEASING for result in response.results)


def _wait(master: Master, response: license_pb2.ReleaseLicensesResponse, manner: _Manner) -> bool:
    """Wait for releases and put the new states into the response. Tell whether all were complete in time."""
    waiting = [result.license for result in response.results if result.moved.state == RELEASING]
    ended = wait_for_releases(master, waiting, timeout_seconds=manner.timeout_seconds)
    for result in response.results:
        if (now := ended.get(result.license)) is not None:
            result.moved.CopyFrom(now)
    return all(license.state != RELEASING for license in ended.values())


def _confirm(master: Master, asked: _Asked) -> None:
    """Print what a release risks, in seats, and ask whether to go on; unless all licenses would be refused."""
    planned = master.call(master.licenses.ReleaseLicenses, asked.request(master.project, dry_run=True))
    moved = [result for result in planned.results if result.WhichOneof("outcome") == "moved"]
    if moved:  # were all refused, nothing would be risked, and the answer says why
        lines = risks(planned.results, dead=asked.dead, force=asked.in_use == license_pb2.IN_USE_FORCE)
        lines += [f"warning: {warning}" for warning in planned.warnings]
        confirm(f"Go on with {', '.join(result.license for result in moved)}?", lines)


def risks(results: Sequence[license_pb2.MoveResult], *, dead: bool, force: bool) -> list[str]:
    """Return what an operator should know before seats are taken away or a device is given up, one sentence each."""
    sentences = []
    if any(result.seats_revoked or result.seats_at_risk for result in results):
        sentences.append(f"This means {revoked_text(results)}.")
    for result in results:
        release = result.moved.release
        if release.seats_unreachable and not force:
            until = moment(release.unreachable_end_time)
            sentences.append(
                f"{result.license}: {release.seats_unreachable:,} seats of PBXs out of reach count until {until}"
                " at most."
            )
        if result.seats_at_risk:
            until = moment(release.unreachable_end_time)
            sentences.append(
                f"{result.license}: until {until} at most, up to {result.seats_at_risk:,} more seats may be in use than"
                " there are licenses."
            )
        if dead and result.moved.device:
            sentences.append(
                f"{result.license}: nobody certifies that {result.moved.device} does not use it. A second operator"
                " has to approve; then it waits out a cooling-off before it can be bound again."
            )
    return sentences or ["Nobody uses these licenses now: no seat is taken away."]
