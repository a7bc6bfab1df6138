"""`license-master plan`: what would happen if software were upgraded, licenses moved, a site added. Changes nothing."""

from collections.abc import Sequence
from typing import Annotated

import typer

from licensemaster.v1 import plan_pb2
from licensemaster.values import BadValueError, license_name, whole_number
from master.cli.connection.asking import Master, asks_master
from master.cli.connection.options import LicensesArgument, OfSiteOption, PbxArgument, ToDeviceOption
from master.cli.operator.projects.plan_view import plan_view
from master.cli.output.failure import CommandFailed

app = typer.Typer(help="What would happen if: nothing is changed. Exits with 1 where it is not possible.")

ReleaseOption = Annotated[
    list[str] | None,
    typer.Option("--release", metavar="LICENSE", help="Release this license first; may be given several times."),
]
AllOption = Annotated[bool, typer.Option("--all", help="Every pool, limit and group of seats, however many.")]


@asks_master(app, "upgrade")
def upgrade(
    master: Master,
    to: Annotated[str, typer.Option("--to", metavar="VERSION", help='E.g. "13" or "13r1".')],
    site: OfSiteOption = "",
    release: ReleaseOption = None,
    show_all: AllOption = False,
) -> None:
    """May the installation run another software version? What blocks it, and what would be left without that?"""
    changes = [_release(release)] if release else []
    changes.append(plan_pb2.PlannedChange(upgrade=plan_pb2.UpgradeSoftware(version=to, site=site)))
    where = f"site {site}" if site else "all PBXs"
    title = f"upgrade of {where} to {to}"
    title += f", without {', '.join(release)}" if release else ""
    _answer(master, title, changes, show_all=show_all)


@asks_master(app, "release")
def release(master: Master, licenses: LicensesArgument, show_all: AllOption = False) -> None:
    """What if licenses went back into the project balance?"""
    title = f"release of {', '.join(licenses)}"
    _answer(master, title, [_release(licenses)], show_all=show_all)


@asks_master(app, "rebind")
def rebind(master: Master, licenses: LicensesArgument, to: ToDeviceOption, show_all: AllOption = False) -> None:
    """What if licenses went to a device, from another one or from the balance?"""
    change = plan_pb2.PlannedChange(rebind=plan_pb2.RebindLicenses(licenses=licenses, device=to))
    title = f"rebinding of {', '.join(licenses)} to {to}"
    _answer(master, title, [change], show_all=show_all)


@asks_master(app, "central")
def central(master: Master, pbx: PbxArgument, show_all: AllOption = False) -> None:
    """What if a local PBX gave its licenses to the master and drew on the pool?"""
    name = master.short("pbxs", pbx)
    change = plan_pb2.PlannedChange(go_central=plan_pb2.GoCentral(pbx=name))
    _answer(master, f"move of {name} to central licensing", [change], show_all=show_all)


@asks_master(app, "site")
def site(
    master: Master,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the site would be called.")],
    need: Annotated[
        list[str], typer.Option("--need", metavar="TYPE=SEATS", help='E.g. "port=50"; once for each type.')
    ],
    platform: Annotated[str, typer.Option("--platform", help="Of its device; usually that of the master's.")] = "",
    software: Annotated[
        str, typer.Option("--software", help="What its PBX runs; usually what the master's does.")
    ] = "",
    show_all: AllOption = False,
) -> None:
    """What if a site were added that needs so many seats?"""
    added = plan_pb2.AddSite(
        name=name, platform=platform, software_version=software, demand=[_demand(text) for text in need]
    )
    change = plan_pb2.PlannedChange(add_site=added)
    _answer(master, f"new site {name} with {', '.join(need)}", [change], show_all=show_all)


@asks_master(app, "at")
def at(
    master: Master,
    day: Annotated[str, typer.Argument(metavar="DAY", help='E.g. "2026-03-01".')],
    show_all: AllOption = False,
) -> None:
    """What can still be used on a day ahead, and who loses seats by then, if nothing more is bought or renewed?"""
    change = plan_pb2.PlannedChange(reach_day=plan_pb2.ReachDay(day=day))
    _answer(master, f"what is left on {day}", [change], show_all=show_all)


def _release(licenses: Sequence[str]) -> plan_pb2.PlannedChange:
    return plan_pb2.PlannedChange(release=plan_pb2.ReleaseLicenses(licenses=licenses))


def _demand(text: str) -> plan_pb2.SeatDemand:
    license_type, equals, seats = text.rpartition("=")
    try:
        if equals:
            return plan_pb2.SeatDemand(
                license_type=license_name(license_type), seats=whole_number(seats, most=999_999_999)
            )
    except BadValueError:
        pass
    raise CommandFailed(f"--need {text!r} is not of the form TYPE=SEATS", remedy="write it like --need port=50")


def _answer(master: Master, title: str, changes: Sequence[plan_pb2.PlannedChange], *, show_all: bool) -> None:
    """Ask the master for a plan and show the plan; exit with 1 if the changes are not possible."""
    request = plan_pb2.PlanChangesRequest(project=master.project, changes=changes)
    response = master.call(master.plans.PlanChanges, request)
    master.show(response, lambda: plan_view(title, response, show_all=show_all))
    if response.verdict == plan_pb2.PLAN_VERDICT_NOT_POSSIBLE:
        raise typer.Exit(1)
