"""`license-master webhook`: receivers of messages about what is wrong."""

import sys
from typing import Annotated

import typer
from rich.text import Text

from licensemaster.v1 import webhook_pb2
from licensemaster.values import bare
from master.cli.connection.asking import Master, asks_master
from master.cli.connection.options import ReasonOption
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
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The webhook's name.")]


@asks_master(app)
def add(
    master: Master,
    name: NameArgument,
    url: Annotated[
        str,
        typer.Argument(
            metavar="URL",
            help="Where to send, http or https; - reads it from standard input: a token in it shows in no `ps`.",
        ),
    ],
    kinds: Annotated[
        list[str] | None, typer.Option("--kind", metavar="KIND", help="Only of this kind; may be repeated.")
    ] = None,
    reason: ReasonOption = "",
) -> None:
    """Add a receiver. Prints once the secret that signs its messages; if it is lost, remove and add the receiver."""
    request = webhook_pb2.AddWebhookRequest(
        name=master.named("webhooks", name),
        url=bare(sys.stdin.readline()) if url == "-" else url,
        kinds=kinds or [],
        reason=reason,
    )
    response = master.call(master.webhooks.AddWebhook, request)
    if master.shows_json(response):
        return
    stdout_console().print(visible(response.secret))
    target = response.webhook.target
    stderr_console().print(visible(f"{name} gets messages at {target}; try it: license-master webhook test {name}"))


@asks_master(app, "list")
def list_webhooks(master: Master) -> None:
    """List the receivers, and which kinds of alarm they get."""
    request = webhook_pb2.ListWebhooksRequest(project=master.project)
    response = master.call(master.webhooks.ListWebhooks, request)
    if master.shows_json(response):
        return
    shown = table("Webhook", "Target", "Kinds", "Added", "By")
    for webhook in response.webhooks:
        name, kinds = visible(short_name(webhook.name), "bold"), " ".join(webhook.kinds) or "all"
        add_row(shown, name, webhook.target, kinds, moment(webhook.add_time), webhook.added_by)
    stdout_console().print(shown if response.webhooks else "no receivers")


@asks_master(app, as_json=False)
def remove(master: Master, name: NameArgument, reason: ReasonOption = "") -> None:
    """Remove a receiver: it gets no more messages, not even those that wait for it."""
    full = master.named("webhooks", name)
    request = webhook_pb2.RemoveWebhookRequest(name=full, reason=reason)
    master.call(master.webhooks.RemoveWebhook, request)
    stdout_console().print(visible(f"{name} gets no more messages"))


@asks_master(app, "test")
def send_test(master: Master, name: NameArgument) -> None:
    """Send a test message at once. Exits with 1 where the receiver does not take it."""
    request = webhook_pb2.TestWebhookRequest(name=master.named("webhooks", name))
    response = master.call(master.webhooks.TestWebhook, request, timeout_seconds=90)
    if master.as_json:
        print_json(response)
    elif response.taken:
        stdout_console().print(Text("taken", style="green"))
    else:
        stdout_console().print(visible(response.problem, "bold red"))
    if not response.taken:
        raise typer.Exit(1)


@asks_master(app)
def dead(master: Master, retry: Annotated[bool, typer.Option("--retry", help="Have them sent again.")] = False) -> None:
    """Show the messages that could not be delivered in all attempts."""
    name = master.project
    response = master.call(master.webhooks.ListDeadMessages, webhook_pb2.ListDeadMessagesRequest(project=name))
    if retry:
        again = webhook_pb2.RetryDeadMessagesRequest(project=name)
        retried = master.call(master.webhooks.RetryDeadMessages, again).retried
    if master.shows_json(response):
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
