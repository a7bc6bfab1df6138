"""What belongs to the database as a whole."""

from __future__ import annotations

from sqlalchemy import (
    Column,
    Float,
    LargeBinary,
    MetaData,
    String,
    Table,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

signing_key = Table(
    "signing_key",
    metadata,
    Column("key_id", String(63), primary_key=True),
    Column("private_key", LargeBinary, nullable=False),
    Column("created_at", Float(53), nullable=False),
)
"""The key that leases are signed with; shared by all masters of a database."""

database_identity = Table(
    "database_identity",
    metadata,
    Column("id", String(63), primary_key=True),
    Column("schema_version", String(63), nullable=False),
)
"""One row: which database this is, wherever it is copied to, and which version brought it to its schema."""
