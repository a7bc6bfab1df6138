"""What a shell offers behind Tab where a name of the project is typed; nothing where no master answers.

Every command declares such names, so nothing that is slow to load is loaded before Tab is pressed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

import typer

from master.cli.output.failure import CommandFailed

if TYPE_CHECKING:
    from licensemaster.v1 import project_pb2
    from master.cli.connection.connection import Connection

TAB_SECONDS_MAX = 2.0
"""Longest wait for the master after Tab, in seconds."""

Completer = Callable[[typer.Context, str], list[str]]


def _completer(names: Callable[[Connection, str | None], Iterable[str]]) -> Completer:
    def complete(context: typer.Context, incomplete: str) -> list[str]:
        from master.cli.connection.connection import Connection

        with suppress(CommandFailed, OSError), Connection(context.params["server"]) as connection:
            return [name for name in names(connection, context.params.get("project")) if name.startswith(incomplete)]
        return []

    return complete


def _project(connection: Connection, project: str | None) -> project_pb2.Project:
    from licensemaster.v1 import project_pb2

    request = project_pb2.GetProjectRequest(name=connection.project_name(project))
    return connection.call(connection.projects.GetProject, request, timeout_seconds=TAB_SECONDS_MAX).project


def _projects(connection: Connection, project: str | None) -> Iterable[str]:
    from licensemaster.v1 import project_pb2

    request = project_pb2.ListProjectsRequest()
    answer = connection.call(connection.projects.ListProjects, request, timeout_seconds=TAB_SECONDS_MAX)
    return (name.removeprefix("projects/") for name in answer.names)


def _licenses(connection: Connection, project: str | None) -> Iterable[str]:
    from licensemaster.v1 import license_pb2

    request = license_pb2.ListLicensesRequest(project=connection.project_name(project), page_size=1000)
    answer = connection.call(connection.licenses.ListLicenses, request, timeout_seconds=TAB_SECONDS_MAX)
    return (license.license for license in answer.licenses)


def _types(connection: Connection, project: str | None) -> Iterable[str]:
    from licensemaster.v1 import status_pb2

    request = status_pb2.GetStatusRequest(project=connection.project_name(project))
    answer = connection.call(connection.status.GetStatus, request, timeout_seconds=TAB_SECONDS_MAX)
    return dict.fromkeys(pool.license_type for pool in answer.pools)


complete_project = _completer(_projects)
complete_license = _completer(_licenses)
complete_pbx = _completer(lambda connection, project: (pbx.name for pbx in _project(connection, project).pbxs))
complete_site = _completer(lambda connection, project: (site.name for site in _project(connection, project).sites))
complete_device = _completer(
    lambda connection, project: (device.name for device in _project(connection, project).devices)
)
complete_type = _completer(_types)
