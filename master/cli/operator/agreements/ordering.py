"""What every ordering command shares: prices, a quote instead of the order, a dry run, and how the answer is shown.

A command makes the order; `placing` adds the options, sends it and prints what came of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from google.protobuf.message import Message
from rich.text import Text

from licensemaster.files.texts import read_text
from licensemaster.v1 import agreement_order_pb2, agreement_pb2
from licensemaster.values import BadValueError, license_name, whole_number
from master.cli.connection.asking import Master, Options, asks_master
from master.cli.connection.options import ReasonOption
from master.cli.output.enum_names import in_words
from master.cli.output.failure import CommandFailed
from master.cli.output.rendering import add_row, in_brackets, print_json, stderr_console, stdout_console, table, visible
from master.domain.catalog.toml_reader import LIMITS

KINDS = {
    "license": agreement_order_pb2.SUBJECT_KIND_LICENSE,
    "device": agreement_order_pb2.SUBJECT_KIND_DEVICE,
    "contract": agreement_order_pb2.SUBJECT_KIND_CONTRACT,
}
CountsArgument = Annotated[list[str], typer.Argument(metavar="TYPE=N...", help="How many of each license type.")]
NEGATIVE_NUMBERS = {"ignore_unknown_options": True}
"""Settings of a command whose argument may be a number below zero: `-50` is not read as an option."""
_OPTIONS: Options = {
    "prices": (
        Annotated[Path | None, typer.Option("--prices", metavar="FILE", help="The price file to pay by.")],
        None,
    ),
    "quote": (
        Annotated[
            Path | None,
            typer.Option("--quote", metavar="FILE", help="Only show what it would cost by this price file."),
        ],
        None,
    ),
    "dry_run": (Annotated[bool, typer.Option("--dry-run", help="Only show what would be written.")], False),
    "reason": (ReasonOption, ""),
}


def placing(app: typer.Typer, name: str, **shown: Any) -> Callable[[Callable[..., Message]], Callable[..., None]]:
    """Make a command of a function that makes an order: add the common options, send the order, show the answer."""

    def decorate(make: Callable[..., Message]) -> Callable[..., None]:
        def place(master: Master, **given: Any) -> None:
            common = {option: given.pop(option) for option in _OPTIONS}
            order = make(master, **given)
            sent = agreement_order_pb2.AgreementOrder()
            getattr(sent, _field_of(order)).CopyFrom(order)
            _send(master, sent, **common)

        return asks_master(app, name, of=make, more=_OPTIONS, **shown)(place)

    return decorate


def counts(given: Sequence[str]) -> dict[str, int]:
    """Read texts such as `user=20` as numbers by license type. Raises CommandFailed if a text is not of that form."""
    counted: dict[str, int] = {}
    for text in given:
        key, _, number = text.partition("=")
        try:
            counted[license_name(key)] = whole_number(number)
        except BadValueError as error:
            reason = f"{text!r} is no number of a license type: {error}"
            raise CommandFailed(reason, remedy="write it like user=20") from error
    return counted


def subjects(master: Master, named: Sequence[str]) -> list[agreement_order_pb2.AgreementSubject]:
    """Return the subjects that names mean: of the kind in `device:NAME`, else as the master knows them, else licenses.
    Raises CommandFailed if several subjects have a name."""
    request = agreement_pb2.ListAgreementsRequest(project=master.project)
    response = master.listing(master.agreements.ListAgreements, request)
    known = [agreement.subject for agreement in response.agreements]
    return [_subject(name, known) for name in named]


def subject_text(about: agreement_order_pb2.AgreementSubject) -> str:
    """Return a subject by kind and id, as "device gate"; "the project" for a subject without a kind."""
    kind = next((name for name, number in KINDS.items() if number == about.kind), "")
    return f"{kind} {about.id}" if kind else "the project"


def print_refusal(refused: agreement_pb2.AgreementRefusal) -> None:
    """Print why an order or an upgrade is refused, and what would help."""
    console = stdout_console()
    problem = in_words(agreement_pb2.AgreementProblem.DESCRIPTOR, refused.problem) + in_brackets(refused.rules)
    console.print(Text.assemble(("● refused", "bold red"), visible(f"  {problem}")))
    console.print(visible(f"  {refused.message}"))
    console.print(Text.assemble(("  → ", "bold yellow"), visible(refused.remedy, "bold yellow")))


def print_lines(lines: Sequence[agreement_pb2.QuoteLine], totals: Sequence[agreement_pb2.Amount]) -> None:
    """Print what an order costs, line by line, and the totals."""
    shown = table("For", "What", "Number", "Each", "Months", "Amount", "Why", numbers=["Number", "Each", "Amount"])
    for line in lines:
        about, amount, why = (
            line.subject.id or "project",
            f"{line.amount} {line.unit}",
            line.why + in_brackets(line.rules),
        )
        add_row(shown, about, line.what, line.quantity, line.each, line.months, amount, why)
    stdout_console().print(shown)
    for total in totals:
        stdout_console().print(visible(f"total: {total.amount} {total.unit}", "bold"))


def _field_of(order: Message) -> str:
    kind = order.DESCRIPTOR.full_name
    fields = agreement_order_pb2.AgreementOrder.DESCRIPTOR.fields
    return next(
        field.name for field in fields if field.message_type is not None and field.message_type.full_name == kind
    )


def _subject(named: str, known: Sequence[agreement_order_pb2.AgreementSubject]) -> agreement_order_pb2.AgreementSubject:
    kind, separator, name = named.partition(":")
    if separator and kind in KINDS:
        return agreement_order_pb2.AgreementSubject(kind=KINDS[kind], id=name)
    matching = [subject for subject in known if subject.id == named]
    if len(matching) > 1:
        ways = " or ".join(f"{subject_text(subject).split()[0]}:{named}" for subject in matching)
        raise CommandFailed(f"{named!r} is the name of several", remedy=f"write {ways}")
    return matching[0] if matching else agreement_order_pb2.AgreementSubject(kind=KINDS["license"], id=named)


def _send(
    master: Master,
    order: agreement_order_pb2.AgreementOrder,
    *,
    prices: Path | None,
    quote: Path | None,
    dry_run: bool,
    reason: str,
) -> None:
    if quote is not None and (prices is not None or dry_run):
        raise CommandFailed(
            "--quote orders nothing and goes with neither --prices nor --dry-run", remedy="leave one of them out"
        )
    if quote is not None:
        asked = agreement_pb2.QuoteOrderRequest(project=master.project, order=order, prices=_price_file(quote))
        answer = master.call(master.agreements.QuoteOrder, asked)
        _end(master, answer, show=lambda: _print_quote(answer.quote))
        return
    request = agreement_pb2.PlaceOrderRequest(
        project=master.project,
        order=order,
        prices=_price_file(prices) if prices is not None else None,
        dry_run=dry_run,
        reason=reason,
    )
    done = master.call(master.agreements.PlaceOrder, request)
    _end(master, done, show=lambda: _print_placed(done.placed, dry_run=dry_run))


def _end(
    master: Master,
    answer: agreement_pb2.PlaceOrderResponse | agreement_pb2.QuoteOrderResponse,
    *,
    show: Callable[[], None],
) -> None:
    is_refused = answer.WhichOneof("outcome") == "refused"
    if master.as_json:
        print_json(answer)
    elif is_refused:
        print_refusal(answer.refused)
    else:
        show()
    if is_refused:
        raise typer.Exit(1)


def _print_quote(quote: agreement_pb2.Quote) -> None:
    if quote.lines:
        print_lines(quote.lines, quote.totals)
    else:
        stdout_console().print("it costs nothing")
    if quote.credits_short.strip("0."):
        short = f"{quote.credits_short} credits are missing: the balance has {quote.balance}"
        stdout_console().print(visible(short, "yellow"))
    _print_notes(quote.notes)


def _print_placed(placed: agreement_pb2.PlacedOrder, *, dry_run: bool) -> None:
    console = stdout_console()
    if not placed.entries:
        console.print("nothing to change")
    elif dry_run:
        console.print("nothing was changed; it would be:")
    for entry in placed.entries:
        number = "" if dry_run else f"{entry.number}  "
        console.print(visible(f"{number}{entry.day}  {subject_text(entry.subject)}: {entry.reason}"), soft_wrap=True)
    if placed.lines:
        print_lines(placed.lines, placed.totals)
        if any(total.unit == "credits" for total in placed.totals):
            console.print(visible(f"{placed.balance} credits are left"))
    if placed.awaits_payment and not dry_run:
        confirm = f"license-master agreement confirm {placed.entries[0].number} --key KEY"
        console.print(visible(f"it comes into force when its payment is confirmed: {confirm}", "yellow"))
    _print_notes(placed.notes)


def _print_notes(notes: Sequence[str]) -> None:
    for note in notes:
        stderr_console().print(visible(note))


def _price_file(path: Path) -> agreement_pb2.PriceFile:
    text = read_text(path, most=LIMITS.size)
    return agreement_pb2.PriceFile(name=str(path)[-255:], text=text)
