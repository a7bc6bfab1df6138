"""Runs the chain on the connection that `master.store.tables.chain` hands in, and says how constraints are called."""

from alembic import context
from sqlalchemy import MetaData

names = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
context.configure(connection=context.config.attributes["connection"], target_metadata=names, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
