"""How rarely Python collects garbage in a process that serves."""

from __future__ import annotations

import gc


def collect_garbage_less_often() -> None:
    """Have Python look for cycles rarely from now on, and never among the objects that exist already.

    A storm makes a hundred thousand short-lived tuples and no cycles; looking for some took a fifth of its time. What
    was loaded lasts as long as the process: to look through it keeps the first caller waiting.
    """
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)
    gc.enable()
