"""What an apply changes, of a project or of an allocation, as a table."""

from collections.abc import Sequence
from itertools import groupby

from rich.console import Console
from rich.text import Text

from licensemaster.v1 import allocation_pb2, project_pb2
from master.cli.output.rendering import add_row, print_warnings, table, visible

Applied = project_pb2.ApplyProjectResponse | allocation_pb2.ApplyAllocationResponse
CHANGES_SHOWN_MAX = 8
_MARKS = {
    project_pb2.CHANGE_ACTION_ADD: ("+", "green"),
    project_pb2.CHANGE_ACTION_CHANGE: ("~", "yellow"),
    project_pb2.CHANGE_ACTION_REMOVE: ("-", "red"),
}


def print_changes(response: Applied, console: Console, *, show_all: bool = False) -> None:
    """Print the changes of an apply, removals first, long runs of the same kind cut short, then the warnings."""
    if not response.changes:
        console.print("nothing to change")
    else:
        shown = table("", "What", "Name", "Before", "After")
        removals_first = sorted(response.changes, key=lambda change: change.action != project_pb2.CHANGE_ACTION_REMOVE)
        for (action, kind), run in groupby(removals_first, key=lambda change: (change.action, change.kind)):
            changes = list(run)
            mark, style = _MARKS.get(action, ("?", ""))
            kept = changes if show_all else changes[:CHANGES_SHOWN_MAX]
            for change in kept:
                add_row(
                    shown,
                    Text(mark, style=f"bold {style}"),
                    visible(kind, style),
                    visible(change.name),
                    visible(change.before, "dim"),
                    visible(change.after),
                )
            if len(kept) < len(changes):
                more = f"... {len(changes) - len(kept):,} more (--all)"
                add_row(shown, Text(mark, style=f"bold {style}"), visible(kind, style), visible(more, "dim"), "", "")
        console.print(shown)
    print_warnings(response.warnings, console)


def joined_counts(counts: Sequence[tuple[int, str]]) -> str:
    """Return counts in words, as "3 sites, 1 PBX"."""
    return ", ".join(f"{count:,} {word if count == 1 else f'{word}s'}" for count, word in counts)
