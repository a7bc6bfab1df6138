"""The tables as the chain makes them, for tests that walk all of them."""

from __future__ import annotations

from functools import cache

from sqlalchemy import MetaData, create_engine

from master.shipped import shipped
from master.store.tables.chain import run_chain


@cache
def tables() -> MetaData:
    """All tables but Alembic's own."""
    made = MetaData()
    with create_engine("sqlite+pysqlite://").begin() as connection:
        run_chain(connection, shipped("migrations"))
        made.reflect(connection)
    made.remove(made.tables["alembic_version"])
    return made
