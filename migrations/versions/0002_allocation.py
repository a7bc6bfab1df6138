"""How pools are divided between sites, and what was granted above what is installed."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


_POOL = sa.Table(
    "pool",
    sa.MetaData(
        naming_convention={"ck": "ck_%(table_name)s_%(constraint_name)s", "uq": "uq_%(table_name)s_%(column_0_N_name)s"}
    ),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("project_id", sa.Integer, sa.ForeignKey("project.id"), nullable=False),
    sa.Column("device_id", sa.Integer, sa.ForeignKey("device.id"), nullable=False),
    sa.Column("type", sa.String(length=63), nullable=False),
    sa.Column("capacity", sa.Integer, nullable=False),
    sa.Column("used", sa.Integer, nullable=False),
    sa.Column("peak", sa.Integer, server_default="0", nullable=False),
    sa.Column("peak_at", sa.Float(precision=53), nullable=True),
    sa.CheckConstraint("used >= 0 AND used <= capacity", name="never_overdrawn"),
    sa.UniqueConstraint("device_id", "type"),
)
"""The table as it was: SQLite changes a constraint by making the table anew."""
_OF_POLICIES = (
    "kind IN ('seats.awaited', 'seats.given_up', 'waiting.dropped', 'pool.overdrawn', 'pool.overdraft_ended')"
    " OR (kind = 'seats.acquired' AND caller = 'master:waiting')"
)
"""What the report reads of the audit: an index of these alone costs other events nothing."""


def upgrade() -> None:
    op.create_table(
        "allocation",
        sa.Column("project_id", sa.Integer, sa.ForeignKey("project.id"), autoincrement=False, primary_key=True),
        sa.Column("document", sa.Text, nullable=False),
    )
    with op.batch_alter_table("pool", copy_from=_POOL) as pool:
        pool.drop_constraint("never_overdrawn", type_="check")
        pool.add_column(sa.Column("overdrawn", sa.Integer, server_default="0", nullable=False))
        pool.add_column(sa.Column("overdraft_spent", sa.Float(precision=53), server_default="0", nullable=False))
        pool.add_column(sa.Column("overdraft_at", sa.Float(precision=53), server_default="0", nullable=False))
        pool.create_check_constraint("never_overdrawn", "overdrawn >= 0 AND used >= 0 AND used <= capacity + overdrawn")
    op.create_table(
        "rule_day",
        sa.Column("project_id", sa.Integer, sa.ForeignKey("project.id"), nullable=False),
        sa.Column("rule", sa.String(63), nullable=False),
        sa.Column("type", sa.String(63), nullable=False),
        sa.Column("day", sa.Integer, nullable=False),
        sa.Column("used", sa.Integer, nullable=False),
        sa.Column("unused", sa.Integer),
        sa.Column("refused", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("project_id", "day", "rule", "type"),
    )
    op.create_table(
        "waiter",
        sa.Column(
            "pbx_id", sa.Integer, sa.ForeignKey("pbx.id", ondelete="CASCADE"), autoincrement=False, primary_key=True
        ),
        sa.Column("holder", sa.String(128), primary_key=True),
        sa.Column("type", sa.String(63), primary_key=True),
        sa.Column("kind", sa.Integer, autoincrement=False, primary_key=True),
        sa.Column("user_name", sa.String(128), nullable=False),
        sa.Column("line", sa.String(128), nullable=False),
        sa.Column("application", sa.String(63), nullable=False),
        sa.Column("asked_at", sa.Float(53), nullable=False),
        sa.Column("call_seats", sa.Integer, nullable=False),
        sa.Column("place", sa.Integer, nullable=False),
    )
    op.create_index("ix_waiter_type", "waiter", ["type", "pbx_id"])
    op.create_table(
        "seat_queue",
        sa.Column("project_id", sa.Integer, sa.ForeignKey("project.id"), autoincrement=False, primary_key=True),
        sa.Column("type", sa.String(63), primary_key=True),
        sa.Column("waiting", sa.Integer, nullable=False),
    )
    op.create_index(
        "ix_event_policy",
        "event",
        ["project_id", "time_us"],
        sqlite_where=sa.text(_OF_POLICIES),
        postgresql_where=sa.text(_OF_POLICIES),
    )
