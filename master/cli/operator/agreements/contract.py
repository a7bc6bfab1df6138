"""`license-master contract`: yearly seats, and the users who have them by name."""

from __future__ import annotations

from typing import Annotated

import typer

from licensemaster.v1 import agreement_order_pb2 as orders
from master.cli.connection.asking import Master
from master.cli.operator.agreements.agreement_views import list_seats
from master.cli.operator.agreements.ordering import CountsArgument, counts, placing

app = typer.Typer(help="Contracts for yearly seats, and who has them.", no_args_is_help=True)

ContractArgument = Annotated[str, typer.Argument(metavar="CONTRACT", help="Its name.")]
UserArgument = Annotated[str, typer.Argument(metavar="USER", help="Who has the seat.")]
UsesOption = Annotated[
    list[str] | None,
    typer.Option("--use", metavar="WHAT", help="What the user does: team_member, configures, views; repeatable."),
]


@placing(app, "add")
def add(master: Master, contract: ContractArgument, more: CountsArgument) -> orders.AddSeats:
    """Add seats for the time that is left; they end and renew with the others."""
    return orders.AddSeats(contract=contract, counts=counts(more))


@placing(app, "assign")
def assign(master: Master, contract: ContractArgument, user: UserArgument, use: UsesOption = None) -> orders.AssignSeat:
    """Give a seat to a user."""
    return orders.AssignSeat(contract=contract, user=user, uses=use or [])


@placing(app, "reassign")
def reassign(
    master: Master,
    contract: ContractArgument,
    user: UserArgument,
    to: Annotated[str, typer.Option("--to", metavar="USER", help="Who gets it.")],
    use: UsesOption = None,
) -> orders.ReassignSeat:
    """Pass a seat on to another user."""
    return orders.ReassignSeat(contract=contract, from_user=user, to_user=to, uses=use or [])


@placing(app, "unassign")
def unassign(master: Master, contract: ContractArgument, user: UserArgument) -> orders.UnassignSeat:
    """Take a seat back."""
    return orders.UnassignSeat(contract=contract, user=user)


@placing(app, "premier")
def premier(
    master: Master,
    contract: ContractArgument,
    off: Annotated[bool, typer.Option("--off", help="No longer.")] = False,
    day: Annotated[str, typer.Option("--from", metavar="DAY", help="Must be the day of the renewal.")] = "",
) -> orders.SetPremier:
    """Premier support for all seats from the renewal on, or no longer."""
    return orders.SetPremier(contract=contract, on=not off, from_day=day)


app.command("list")(list_seats)
