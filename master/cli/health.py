"""`license-master health`: whether a master takes calls; for probes that run a command, and for people.

What a master says of itself is the master's affair; this says only whether it was asked, and what it answered.
"""

from typing import Annotated

import typer
from grpc_health.v1 import health_pb2

from master.cli.connection import Connection
from master.cli.failure import CommandFailed
from master.cli.options import DEFAULT_SERVER, JsonOption, ServerOption
from master.cli.output import print_json

_SERVING = health_pb2.HealthCheckResponse.SERVING


def health(
    server: ServerOption = DEFAULT_SERVER,
    alive: Annotated[
        bool, typer.Option("--alive", help="Be content with any answer: a master that waits for its database is alive.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Ask a master whether it takes calls: exit code 0 if it does, else 1."""
    with Connection(server) as connection:
        request = health_pb2.HealthCheckRequest()
        response: health_pb2.HealthCheckResponse = connection.call(connection.health.Check, request)
    if as_json:
        print_json(response)
    elif response.status == _SERVING or alive:
        typer.echo(f"the master at {server} answers {_name(response)}")
    if response.status != _SERVING and not alive:
        raise CommandFailed(
            f"the master at {server} takes no calls: {_name(response)}",
            remedy="look into the master's log: it is stopping, or waits for its database",
        )


def _name(response: health_pb2.HealthCheckResponse) -> str:
    return health_pb2.HealthCheckResponse.ServingStatus.Name(response.status)
