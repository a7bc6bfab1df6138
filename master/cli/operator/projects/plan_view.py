"""A plan for people: the verdict first, then what to do, then the numbers behind it."""

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from licensemaster.v1 import license_pb2, plan_pb2, seat_pb2
from master.cli.operator.monitoring.seat_result_view import licenses_view
from master.cli.output.enum_names import in_words
from master.cli.output.rendering import add_row, first_few, in_brackets, moment, section, short_name, table, visible

ROWS_SHOWN_MAX = 15
HOLDERS_SHOWN_MAX = 4
_VERDICTS = {
    plan_pb2.PLAN_VERDICT_OK: ("possible", "green"),
    plan_pb2.PLAN_VERDICT_OK_WITH_WARNINGS: ("possible, with warnings", "yellow"),
    plan_pb2.PLAN_VERDICT_NOT_POSSIBLE: ("not possible", "red"),
}


def plan_view(title: str, response: plan_pb2.PlanChangesResponse, *, show_all: bool) -> RenderableType:
    limit = None if show_all else ROWS_SHOWN_MAX
    parts: list[RenderableType] = [_verdict_panel(title, response)]
    parts += section(response.version_limits, limits_view, limit, "installations")
    pools = list(response.pools) if show_all else [pool for pool in response.pools if _is_notable(pool)]
    parts += section(pools, pools_view, limit, "pools")
    if hidden := len(response.pools) - len(pools):
        parts.append(Text(f"not shown: {hidden:,} of the pools, unchanged and large enough (--all)", style="dim"))
    parts += section(response.refused, refused_view, limit, "groups of seats")
    parts += section(response.obstacles, obstacles_view, limit, "obstacles")
    if response.staying:
        parts += ["", licenses_view(response.staying, "Stays on its box for good")]
    return Group(*parts)


def limits_view(limits: Iterable[plan_pb2.LimitForecast]) -> Table:
    """Show the version that each installation may run now and then, and the licenses that stand in the way."""
    shown = table("Version limit", "Now", "Then", "Would run", "Blocked by")
    for limit in limits:
        held = first_few([f"{ref.quantity:,} {ref.type} ({ref.license})" for ref in limit.blocking], 3)
        then = visible(_version(limit.after), "bold red" if limit.pbxs_above else "bold green")
        add_row(shown, limit.device, _version(limit.before), then, f"V{limit.software}", visible(held, "red"))
    return shown


def pools_view(pools: Iterable[plan_pb2.PoolForecast]) -> Table:
    """Show what pools hold now and then, against the seats in use, wanted, and used at the peak."""
    numbers = ["Now", "Then", "Unblocked", "In use", "Wanted", "Short", "Peak", "Short at peak"]
    shown = table("Pool", "Device", *numbers, "Peak was", numbers=numbers)
    for pool in pools:
        add_row(
            shown,
            pool.display_name,
            visible(pool.device, "dim"),
            pool.capacity_before,
            pool.capacity_after,
            pool.capacity_unblocked,
            pool.used,
            pool.wanted,
            _short(pool.missing),
            pool.peak,
            _short(pool.missing_at_peak),
            visible(moment(pool.peak_time), "dim"),
        )
    return shown


def refused_view(groups: Iterable[plan_pb2.RefusedSeats]) -> Table:
    """Show the seats that would be refused if asked for anew, and what becomes of those that are held."""
    shown = table("Refused, if asked anew", "PBX", "Type", "Seats", "Why", "Held today", "Holders", numbers=["Seats"])
    for group in groups:
        holders = ", ".join(group.holders[:HOLDERS_SHOWN_MAX])
        more = group.seats - min(len(group.holders), HOLDERS_SHOWN_MAX)
        holders += f" and {more:,} more" if more else ""
        why = in_words(seat_pb2.RefusalReason.DESCRIPTOR, group.reason)
        why += in_brackets(group.rules)
        add_row(
            shown,
            group.site,
            short_name(group.pbx),
            group.license_type,
            group.seats,
            why,
            _fate(group),
            visible(holders, "dim"),
        )
    return shown


def obstacles_view(obstacles: Iterable[plan_pb2.PlanObstacle]) -> Table:
    """Show the licenses that cannot be moved, why, and what would help."""
    shown = table("License", "On", "In the way", "What would help")
    for obstacle in obstacles:
        refusal = obstacle.refusal
        problem = in_words(license_pb2.MoveProblem.DESCRIPTOR, refusal.problem) + in_brackets(refusal.rules)
        add_row(shown, obstacle.license.license, refusal.device, problem, refusal.remedy)
    return shown


def _verdict_panel(title: str, response: plan_pb2.PlanChangesResponse) -> Panel:
    words, style = _VERDICTS.get(response.verdict, (in_words(plan_pb2.PlanVerdict.DESCRIPTOR, response.verdict), "red"))
    lines: list[RenderableType] = [visible(reason, "bold") for reason in response.reasons]
    lines += [Text.assemble(("! ", "yellow"), visible(warning)) for warning in response.warnings]
    if response.becoming_central:
        lines.append(
            visible(f"draws on the pool from then on: {', '.join(map(short_name, response.becoming_central))}")
        )
    if not lines:
        lines.append(Text("everyone who holds a seat would get it again, and nothing else changes for the worse"))
    if response.advice:
        lines.append("")
        lines += [
            Text.assemble(("→ ", "bold yellow"), visible(advice.text, "bold yellow")) for advice in response.advice
        ]
    heading = Text.assemble(("● " + words, f"bold {style}"), "  ", visible(title, "default"))
    return Panel(Group(*lines), title=heading, title_align="left", border_style=style, padding=(1, 2), expand=False)


def _is_notable(pool: plan_pb2.PoolForecast) -> bool:
    """Tell whether a pool changes in size or in seats wanted, or would have been too small at the peak."""
    sizes = {pool.capacity_before, pool.capacity_after, pool.capacity_unblocked}
    return len(sizes) > 1 or pool.wanted != pool.used or pool.missing_at_peak > 0


def _fate(group: plan_pb2.RefusedSeats) -> Text:
    """Return what becomes of the seats that are held: some stay (B10), some have to go first (L5)."""
    staying = group.held - group.leaving
    parts = [f"{staying:,} stay until returned (B10)"] if staying else []
    parts += [f"{group.leaving:,} must go first (L5)"] if group.leaving else []
    parts += [f"{group.already:,} refused today too"] if group.already else []
    return visible(", ".join(parts), "red" if group.leaving else "")


def _short(count: int) -> Text:
    return Text(f"{count:,}", style="bold red") if count else Text("0", style="green")


def _version(version: int) -> str:
    return f"V{version}" if version else "no limit"
