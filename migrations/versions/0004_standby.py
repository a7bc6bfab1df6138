"""Standby: who carries a lease, claims that outlive one, signed standby leases."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("lease", schema=None) as batch_op:
        batch_op.add_column(sa.Column("carrier_id", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("carried_since", sa.Float(precision=53), nullable=True))
        batch_op.add_column(sa.Column("primary_heard_at", sa.Float(precision=53), nullable=True))
        batch_op.add_column(sa.Column("claimed", sa.Boolean(), nullable=True))
    op.execute(sa.text("UPDATE lease SET claimed = false"))
    with op.batch_alter_table("lease", schema=None) as batch_op:
        batch_op.alter_column("claimed", existing_type=sa.Boolean(), nullable=False)

    with op.batch_alter_table("pool_usage", schema=None) as batch_op:
        batch_op.add_column(sa.Column("counted", sa.Integer(), nullable=True))
    op.execute(sa.text("UPDATE pool_usage SET counted = seats"))
    with op.batch_alter_table("pool_usage", schema=None) as batch_op:
        batch_op.alter_column("counted", existing_type=sa.Integer(), nullable=False)

    op.create_table(
        "claim",
        sa.Column("pbx_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=15), nullable=False),
        sa.Column("holder_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("pool_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seats", sa.Integer(), nullable=False),
        sa.Column("ends_at", sa.Float(precision=53), nullable=False),
        sa.Column("serial", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("pbx_id", "kind", "holder_id", "pool_id", name=op.f("pk_claim")),
    )
    with op.batch_alter_table("claim", schema=None) as batch_op:
        batch_op.create_index("ix_claim_ends_at", ["ends_at"], unique=False)

    op.create_table(
        "standby_lease",
        sa.Column("standby_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("primary_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("serial", sa.BigInteger(), nullable=False),
        sa.Column("issued_at", sa.Float(precision=53), nullable=False),
        sa.Column("ends_at", sa.Float(precision=53), nullable=False),
        sa.Column("acknowledged_serial", sa.BigInteger(), nullable=False),
        sa.Column("acknowledged_ends_at", sa.Float(precision=53), nullable=False),
        sa.Column("two_claims_at", sa.Float(precision=53), nullable=True),
        sa.Column("reported_serial", sa.BigInteger(), nullable=False),
        sa.Column("reported_epoch", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("standby_id", "primary_id", name=op.f("pk_standby_lease")),
    )


def downgrade() -> None:
    op.drop_table("standby_lease")
    with op.batch_alter_table("claim", schema=None) as batch_op:
        batch_op.drop_index("ix_claim_ends_at")
    op.drop_table("claim")
    with op.batch_alter_table("pool_usage", schema=None) as batch_op:
        batch_op.drop_column("counted")
    with op.batch_alter_table("lease", schema=None) as batch_op:
        batch_op.drop_column("claimed")
        batch_op.drop_column("primary_heard_at")
        batch_op.drop_column("carried_since")
        batch_op.drop_column("carrier_id")
