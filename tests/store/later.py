"""Versions of the license master that come after this one: the chain that is shipped, and revisions behind it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from master.shipped import shipped
from master.store.upkeep import schema

NOTES = """
    op.create_table("note", sa.Column("id", sa.Integer(), primary_key=True), sa.Column("text", sa.Text()))
    op.execute("INSERT INTO note (id, text) SELECT pbx_id, holder FROM seat WHERE kind = 1 AND holder = 'phone-0'")
"""
"""A revision that makes a table and fills it from what is held."""
COLUMN = """
    op.add_column("seat", sa.Column("note", sa.String(63), nullable=False, server_default=""))
    op.execute("UPDATE seat SET note = holder")
"""
"""A revision that changes a table and every row of it."""
FAILS = """
    op.execute("INSERT INTO nowhere (id) VALUES (1)")
"""
HALTED = """
    import time
    time.sleep(1)
"""
KILLED = """
    import os
    os.kill(os.getpid(), 9)
"""


def chain(folder: Path, *revisions: str) -> Path:
    """The shipped chain in a folder of its own, longer by revisions, each of which is the body of `upgrade`."""
    shutil.copytree(shipped("migrations"), folder, ignore=shutil.ignore_patterns("__pycache__"))
    before = schema.newest()
    for body in revisions:
        revision = f"{int(before) + 1:04}"
        (folder / "versions" / f"{revision}_later.py").write_text(
            f"import sqlalchemy as sa\nfrom alembic import op\n\n"
            f"revision = {revision!r}\ndown_revision = {before!r}\n\n\ndef upgrade():\n{body}\n"
        )
        before = revision
    return folder


@contextmanager
def version(folder: Path, *, name: str = "7.3") -> Iterator[str]:
    """A version that ships this chain; its newest revision."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("master.store.upkeep.schema.shipped", lambda _: folder)
        patch.setattr("master.store.upkeep.schema._VERSION", name)
        yield schema.newest()
