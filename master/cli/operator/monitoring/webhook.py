"""`license-master webhook`: receivers of messages about what is wrong."""

import sys
from typing import Annotated
from uuid import uuid4

import typer
from rich.text import Text

from licensemaster.v1 import webhook_pb2
from licensemaster.values import bare
from master.cli.connection.connection import Connection
from master.cli.connection.options import DEFAULT_SERVER, JsonOption, ProjectOption, ReasonOption, ServerOption
from master.cli.output.rendering import (
    add_row,
    moment,
    print_json,
    short_name,
    stderr_console,
    stdout_console,
    table,
    visible,
)

app = typer.Typer(help="Receivers of messages about what is wrong, by signed HTTP.", no_args_is_help=True)
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The webhook's name.", show_default=False)]


@app.command()
def add(
    name: NameArgument,
    url: Annotated[
        str,
        typer.Argument(
            metavar="URL",
            help="Where to send, http or https; - reads it from standard input: a token in it shows in no `ps`.",
            show_default=False,
        ),
    ],
    kinds: Annotated[
        list[str] | None, typer.Option("--kind", metavar="KIND", help="Only of this kind; may be repeated.")
    ] = None,
    reason: ReasonOption = "",
    as_json: JsonOption = False,
    project: ProjectOption = None,
    server: ServerOption = DEFAULT_SERVER,
) -> None:
    """Add a receiver. Prints the secret that its messages are signed with; it is shown only now."""
    with Connection(server) as connection:
        request = webhook_pb2.AddWebhookRequest(
            name=f"{connection.project_name(project)}/webhooks/{name}",
            url=bare(sys.stdin.readline()) if url == "-" else url,
            kinds=kinds or [],
            request_id=str(uuid4()),
            reason=reason,
        )
        response = connection.call(connection.webhooks.AddWebhook, request)
    if as_json:
        print_json(response)
        return
    stdout_console().print(visible(response.secret))
    target = response.webhook.target
    stderr_console().print(visible(f"{name} gets messages at {target}; try it: license-master webhook test {name}"))


@app.command("list")
def list_webhooks(
    as_json: JsonOption = False, project: ProjectOption = None, server: ServerOption = DEFAULT_SERVER
) -> None:
    """List the receivers, and which kinds of alarm they get."""
    with Connection(server) as connection:
        request = webhook_pb2.ListWebhooksRequest(project=connection.project_name(project))
        response = connection.call(connection.webhooks.ListWebhooks, request)
    if as_json:
        print_json(response)
        return
    shown = table("Webhook", "Target", "Kinds", "Added", "By")
    for webhook in response.webhooks:
        name, kinds = visible(short_name(webhook.name), "bold"), " ".join(webhook.kinds) or "all"
        add_row(shown, name, webhook.target, kinds, moment(webhook.add_time), webhook.added_by)
    stdout_console().print(shown if response.webhooks else "no receivers")


@app.command()
def remove(
    name: NameArgument,
    reason: ReasonOption = "",
    project: ProjectOption = None,
    server: ServerOption = DEFAULT_SERVER,
) -> None:
    """Tell a receiver no more, not even what is waiting for it."""
    with Connection(server) as connection:
        full = f"{connection.project_name(project)}/webhooks/{name}"
        request = webhook_pb2.RemoveWebhookRequest(name=full, request_id=str(uuid4()), reason=reason)
        connection.call(connection.webhooks.RemoveWebhook, request)
    stdout_console().print(visible(f"{name} gets no more messages"))


@app.command("test")
def send_test(
    name: NameArgument,
    as_json: JsonOption = False,
    project: ProjectOption = None,
    server: ServerOption = DEFAULT_SERVER,
) -> None:
    """Send a test message at once. Exits with 1 where the receiver does not take it."""
    with Connection(server) as connection:
        request = webhook_pb2.TestWebhookRequest(name=f"{connection.project_name(project)}/webhooks/{name}")
        response = connection.call(connection.webhooks.TestWebhook, request, timeout_seconds=90)
    if as_json:
        print_json(response)
    elif response.taken:
        stdout_console().print(Text("taken", style="green"))
    else:
        stdout_console().print(visible(response.problem, "bold red"))
    if not response.taken:
        raise typer.Exit(1)


@app.command()
def dead(
    retry: Annotated[bool, typer.Option("--retry", help="Have them sent again.")] = False,
    as_json: JsonOption = False,
    project: ProjectOption = None,
    server: ServerOption = DEFAULT_SERVER,
) -> None:
    """Show the messages that could not be delivered in all attempts."""
    with Connection(server) as connection:
        name = connection.project_name(project)
        response = connection.call(
            connection.webhooks.ListDeadMessages, webhook_pb2.ListDeadMessagesRequest(project=name)
        )
        if retry:
            again = webhook_pb2.RetryDeadMessagesRequest(project=name)
            retried = connection.call(connection.webhooks.RetryDeadMessages, again).retried
    if as_json:
        print_json(response)
        return
    shown = table("Made", "Webhook", "Attempts", "What went wrong", "Message", numbers=["Attempts"])
    for message in response.messages:
        add_row(
            shown,
            moment(message.make_time),
            short_name(message.webhook),
            message.attempts,
            message.problem,
            message.body,
        )
    stdout_console().print(shown if response.messages else "nothing is dead")
    if retry:
        stdout_console().print(visible(f"{retried:,} are sent again"))
