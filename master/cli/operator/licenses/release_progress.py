"""Shows how releases go on until they are complete: live on a terminal, else a line whenever something changed."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.live import Live

from licensemaster.v1 import license_pb2
from master.cli.connection.asking import Master
from master.cli.operator.licenses.move_results import RELEASING, licenses_view, note
from master.cli.output.rendering import stderr_console, stdout_console, visible

POLL_SECONDS = 1.0
"""Time between two questions, in seconds; the master itself looks every two seconds."""


def wait_for_releases(
    master: Master, licenses: Sequence[str], *, timeout_seconds: float
) -> dict[str, license_pb2.LicenseStatus]:
    """Wait until no license is being released any more, the time is up, or Ctrl-C is pressed; return license states.

    Licenses are named by id; `timeout_seconds` is 0 for no end.
    """
    quiet = master.as_json
    ends = time.monotonic() + timeout_seconds if timeout_seconds else float("inf")
    statuses = _statuses(master, licenses)
    console = stdout_console()
    live = Live(console=console, auto_refresh=False) if console.is_terminal and not quiet else None
    last_line = ""
    try:
        if live is not None:
            live.start()
        while _releasing(statuses) and time.monotonic() < ends:
            if live is not None:
                live.update(licenses_view(statuses.values()), refresh=True)
            elif not quiet and (line := _line(statuses)) != last_line:
                last_line = line
                console.print(visible(line))
            time.sleep(min(POLL_SECONDS, max(ends - time.monotonic(), 0)))
            statuses = _statuses(master, licenses)
    except KeyboardInterrupt:
        pass
    finally:
        if live is not None:
            live.update(licenses_view(statuses.values()), refresh=True)
            live.stop()
    if not quiet:
        if live is None:
            console.print(licenses_view(statuses.values()))
        if _releasing(statuses):
            stderr_console().print("the release goes on by itself; `license-master license list` shows it")
    return statuses


def _statuses(master: Master, licenses: Sequence[str]) -> dict[str, license_pb2.LicenseStatus]:
    request = license_pb2.ListLicensesRequest(project=master.project)
    listed = master.listing(master.licenses.ListLicenses, request).licenses
    return {license.license: license for license in listed if license.license in licenses}


def _releasing(statuses: dict[str, license_pb2.LicenseStatus]) -> list[license_pb2.LicenseStatus]:
    return [license for license in statuses.values() if license.state == RELEASING]


def _line(statuses: dict[str, license_pb2.LicenseStatus]) -> str:
    return "\n".join(f"{license.license}: {note(license)}" for license in _releasing(statuses))
