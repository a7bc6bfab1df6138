"""One linear Alembic chain for SQLite and PostgreSQL; `license-master db upgrade` runs it. It only goes forward."""
