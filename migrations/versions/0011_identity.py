"""Which database this is, and which version brought it to its schema."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    table = op.create_table(
        "database_identity",
        sa.Column("id", sa.String(63), nullable=False),
        sa.Column("schema_version", sa.String(63), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_database_identity"),
    )
    op.bulk_insert(table, [{"id": secrets.token_hex(16), "schema_version": ""}])


def downgrade() -> None:
    op.drop_table("database_identity")
