"""Where a demo runs: a folder of its own, until it ends or is interrupted."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def interruptible_folder() -> Iterator[Path]:
    """Provide a folder that is removed with the context; SIGINT and SIGTERM cancel the task that uses it."""
    this = asyncio.current_task()
    assert this is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, this.cancel)
    with tempfile.TemporaryDirectory(prefix="license-master-demo-") as folder:
        yield Path(folder)
