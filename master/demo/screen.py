"""What is seen of the demo: a live screen on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from master.values import Value

_STATE_STYLES = {"connected": "green", "offline": "yellow", "expired": "red", "fenced": "red"}


class SiteLine(Value):
    name: str
    state: str
    registered: int
    phones: int
    refused: int


class PoolLine(Value):
    name: str
    used: int
    capacity: int


class Screen:
    """Shows acts, sites, pools and what happened last."""

    def __init__(
        self, console: Console, sites: Callable[[], Sequence[SiteLine]], pools: Callable[[], Sequence[PoolLine]]
    ) -> None:
        self._console = console
        self._sites = sites
        self._pools = pools
        self._started = time.monotonic()
        self._act = ""
        self._lines: deque[Text] = deque(maxlen=9)
        self._live = Live(get_renderable=self._render, console=console, refresh_per_second=8, transient=True)

    def __enter__(self) -> Screen:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def act(self, title: str) -> None:
        self._act = title
        self._console.print(self._stamped(Text(title, style="bold cyan")))

    def tell(self, text: str, style: str = "") -> None:
        """Print a text that is worth keeping in the scroll-back."""
        self._console.print(self._stamped(Text(text, style=style)))

    def show(self, renderable: RenderableType) -> None:
        """Print a table or panel that is worth keeping."""
        self._console.print(renderable)

    def happened(self, text: str, style: str = "") -> None:
        """Show a small event; it is seen only while it is among the last, and only on a terminal."""
        self._lines.append(self._stamped(Text(text, style=style)))

    def _stamped(self, text: Text) -> Text:
        return Text.assemble((f"{time.monotonic() - self._started:5.1f} s  ", "dim"), text)

    def _render(self) -> RenderableType:
        sites = Table("site", "state", "phones", "refused so far", box=None, pad_edge=False)
        for site in self._sites():
            style = _STATE_STYLES.get(site.state, "")
            sites.add_row(
                site.name, Text(site.state, style=style), f"{site.registered} of {site.phones}", str(site.refused)
            )
        pools = Table("pool", "", "in use", box=None, pad_edge=False)
        for pool in self._pools():
            bar = ProgressBar(total=max(pool.capacity, 1), completed=pool.used, width=30)
            pools.add_row(pool.name, bar, f"{pool.used} of {pool.capacity}")
        return Panel(Group(sites, Text(), pools, Text(), *self._lines), title=self._act, border_style="cyan")
