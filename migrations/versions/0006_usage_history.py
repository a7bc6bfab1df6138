"""Usage history: what sites and pools came to, day by day, and holders that were refused."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "site_day",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("site", sa.String(63), nullable=False),
        sa.Column("type", sa.String(63), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("peak", sa.Integer(), nullable=False),
        sa.Column("peak_at", sa.Float(precision=53), nullable=True),
        sa.Column("refused", sa.BigInteger(), nullable=False),
        sa.Column("denied", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name="fk_site_day_project_id"),
        sa.PrimaryKeyConstraint("project_id", "day", "site", "type", name="pk_site_day"),
    )
    op.create_table(
        "pool_day",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("device", sa.String(63), nullable=False),
        sa.Column("type", sa.String(63), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("peak", sa.Integer(), nullable=False),
        sa.Column("unused", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name="fk_pool_day_project_id"),
        sa.PrimaryKeyConstraint("project_id", "day", "device", "type", name="pk_pool_day"),
    )
    op.create_table(
        "denial",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("pbx", sa.String(63), nullable=False),
        sa.Column("type", sa.String(63), nullable=False),
        sa.Column("kind", sa.Integer(), nullable=False),
        sa.Column("holder", sa.String(128), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("site", sa.String(63), nullable=False),
        sa.Column("reason", sa.String(63), nullable=False),
        sa.Column("refused_at", sa.Float(precision=53), nullable=False),
        sa.Column("judged", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name="fk_denial_project_id"),
        sa.PrimaryKeyConstraint("project_id", "day", "pbx", "holder", "type", "kind", name="pk_denial"),
    )
    op.create_index("ix_denial_judged_refused_at", "denial", ["judged", "refused_at"])


def downgrade() -> None:
    op.drop_table("denial")
    op.drop_table("pool_day")
    op.drop_table("site_day")
