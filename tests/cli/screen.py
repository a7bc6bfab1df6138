"""What a terminal of a given width would show."""

import io

from rich.console import Console, RenderableType


def plain_console(width: int = 120) -> Console:
    return Console(file=io.StringIO(), width=width, highlight=False, markup=False, emoji=False, color_system=None)


def shown(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def rendered(view: RenderableType, width: int = 120) -> str:
    console = plain_console(width)
    console.print(view)
    return shown(console)
