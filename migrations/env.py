"""Runs the chain on the connection that `master.store.upkeep.schema` hands in."""

from alembic import context

from master.store.tables.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
