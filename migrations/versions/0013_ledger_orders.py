"""Entries of the agreement ledger know the order that wrote them, and why somebody wanted it."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("agreement_entry", sa.Column("order_number", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("agreement_entry", sa.Column("given_reason", sa.Text(), nullable=False, server_default=""))
    # Entries of one request were written together; those without one, by the masters, are an order each.
    op.execute(
        "UPDATE agreement_entry SET order_number = CASE WHEN request_id = '' THEN number ELSE ("
        "SELECT MIN(first.number) FROM agreement_entry AS first"
        " WHERE first.project_id = agreement_entry.project_id AND first.request_id = agreement_entry.request_id) END"
    )
    with op.batch_alter_table("agreement_entry") as table:
        table.alter_column("order_number", server_default=None)
        table.alter_column("given_reason", server_default=None)


def downgrade() -> None:
    for column in ("given_reason", "order_number"):
        op.drop_column("agreement_entry", column)
