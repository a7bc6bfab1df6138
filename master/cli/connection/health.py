"""`license-master health`: whether a master takes calls; for probes that run a command, for scripts, and for people.

What a master says of itself is the master's affair; this says only whether it was asked, and what it answered.
"""

import time
from typing import Annotated

import grpc
import typer
from grpc_health.v1 import health_pb2

from master.cli.connection.connection import Connection
from master.cli.connection.options import DEFAULT_SERVER, WAIT_SECONDS_MAX, JsonOption, ServerOption
from master.cli.connection.rpc_failure import RpcFailure
from master.cli.output.failure import CommandFailed
from master.cli.output.rendering import print_json

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_YET = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
_PAUSE_SECONDS = 0.25


def health(
    server: ServerOption = DEFAULT_SERVER,
    alive: Annotated[
        bool, typer.Option("--alive", help="Be content with any answer: a master that waits for its database is alive.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Ask until it does: after `serve &`, and in scripts.")] = False,
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout", metavar="SECONDS", min=0, max=WAIT_SECONDS_MAX, help="How long --wait waits at most."
        ),
    ] = 60,
    as_json: JsonOption = False,
) -> None:
    """Ask a master whether it takes calls: exit code 0 if it does, else 1."""
    until = time.monotonic() + timeout if wait else 0
    while True:
        try:
            answered = _answer(server, alive=alive)
            break
        except _NotServing as failure:
            if time.monotonic() >= until:
                if as_json and failure.response is not None:
                    print_json(failure.response)
                raise
        time.sleep(_PAUSE_SECONDS)
    if as_json:
        print_json(answered)
    else:
        typer.echo(f"the master at {server} answers {_name(answered)}")


class _NotServing(CommandFailed):
    """The master takes no calls now; it may later."""

    response: health_pb2.HealthCheckResponse | None = None


def _answer(server: str, *, alive: bool) -> health_pb2.HealthCheckResponse:
    """Ask the master once and return its answer.
    Raises CommandFailed if the master takes no calls and `alive` is not set, or the call fails."""
    try:
        with Connection(server) as connection:
            request = health_pb2.HealthCheckRequest()
            response: health_pb2.HealthCheckResponse = connection.call(connection.health.Check, request)
    except RpcFailure as failure:
        if failure.code not in _NOT_YET:
            raise
        raise _NotServing(failure.message, lines=failure.lines, remedy=failure.remedy) from failure
    if response.status == _SERVING or alive:
        return response
    refused = _NotServing(
        f"the master at {server} takes no calls: {_name(response)}",
        remedy="look into the master's log: it is stopping, or waits for its database",
    )
    refused.response = response
    raise refused


def _name(response: health_pb2.HealthCheckResponse) -> str:
    return health_pb2.HealthCheckResponse.ServingStatus.Name(response.status)
