"""First tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pool_usage",
        sa.Column("pool_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("pbx_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seats", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("pool_id", "pbx_id", name=op.f("pk_pool_usage")),
    )
    with op.batch_alter_table("pool_usage", schema=None) as batch_op:
        batch_op.create_index("ix_pool_usage_pbx_id", ["pbx_id"], unique=False)

    op.create_table(
        "project",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("catalog", sa.String(length=63), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("ttl_seconds", sa.Integer(), nullable=True),
        sa.Column("grace_seconds", sa.Integer(), nullable=True),
        sa.Column("renew_every_seconds", sa.Integer(), nullable=True),
        sa.Column("applied_at", sa.Float(precision=53), nullable=False),
        sa.Column("epoch_floor", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_project")),
        sa.UniqueConstraint("name", name=op.f("uq_project_name")),
    )
    op.create_table(
        "seat",
        sa.Column("pbx_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("holder", sa.String(length=128), nullable=False),
        sa.Column("type", sa.String(length=63), nullable=False),
        sa.Column("kind", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("user_name", sa.String(length=128), nullable=False),
        sa.Column("line", sa.String(length=128), nullable=False),
        sa.Column("pool_id", sa.Integer(), nullable=True),
        sa.Column("parent", sa.String(length=63), nullable=False),
        sa.Column("acquired_at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("pbx_id", "holder", "type", "kind", name=op.f("pk_seat")),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("seat", schema=None) as batch_op:
        batch_op.create_index(
            "ix_seat_user_name",
            ["pbx_id", "user_name"],
            unique=False,
            sqlite_where=sa.text("user_name <> ''"),
            postgresql_where=sa.text("user_name <> ''"),
        )

    op.create_table(
        "signing_key",
        sa.Column("key_id", sa.String(length=63), nullable=False),
        sa.Column("private_key", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("key_id", name=op.f("pk_signing_key")),
    )
    op.create_table(
        "device",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("platform", sa.String(length=63), nullable=False),
        sa.Column("model", sa.String(length=63), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_device_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_device")),
        sa.UniqueConstraint("project_id", "name", name=op.f("uq_device_project_id_name")),
    )
    op.create_table(
        "event",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", sa.Float(precision=53), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("pbx_id", sa.Integer(), nullable=True),
        sa.Column("kind", sa.String(length=63), nullable=False),
        sa.Column("caller", sa.String(length=255), nullable=False),
        sa.Column("request_id", sa.String(length=128), nullable=True),
        sa.Column("details", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_event_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
    )
    with op.batch_alter_table("event", schema=None) as batch_op:
        batch_op.create_index(
            "uq_event_request_id",
            ["project_id", "request_id"],
            unique=True,
            sqlite_where=sa.text("request_id IS NOT NULL"),
            postgresql_where=sa.text("request_id IS NOT NULL"),
        )

    op.create_table(
        "site",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_site_project_id")),
        sa.PrimaryKeyConstraint("project_id", "name", name=op.f("pk_site")),
    )
    op.create_table(
        "license",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(length=63), nullable=False),
        sa.Column("type", sa.String(length=63), nullable=False),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("tier", sa.Integer(), nullable=True),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("device_id", sa.Integer(), nullable=True),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_license_quantity")),
        sa.ForeignKeyConstraint(["device_id"], ["device.id"], name=op.f("fk_license_device_id")),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_license_project_id")),
        sa.PrimaryKeyConstraint("project_id", "id", name=op.f("pk_license")),
    )
    op.create_table(
        "pbx",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("site", sa.String(length=63), nullable=False),
        sa.Column("device_id", sa.Integer(), nullable=False),
        sa.Column("role", sa.Integer(), nullable=False),
        sa.Column("software_version", sa.String(length=63), nullable=False),
        sa.Column("standby_for", sa.String(length=63), nullable=False),
        sa.Column("ttl_seconds", sa.Integer(), nullable=True),
        sa.Column("grace_seconds", sa.Integer(), nullable=True),
        sa.Column("renew_every_seconds", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["device_id"], ["device.id"], name=op.f("fk_pbx_device_id")),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_pbx_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pbx")),
        sa.UniqueConstraint("project_id", "name", name=op.f("uq_pbx_project_id_name")),
    )
    op.create_table(
        "pool",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("device_id", sa.Integer(), nullable=False),
        sa.Column("type", sa.String(length=63), nullable=False),
        sa.Column("capacity", sa.Integer(), nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.CheckConstraint("used >= 0 AND used <= capacity", name=op.f("ck_pool_never_overdrawn")),
        sa.ForeignKeyConstraint(["device_id"], ["device.id"], name=op.f("fk_pool_device_id")),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_pool_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pool")),
        sa.UniqueConstraint("device_id", "type", name=op.f("uq_pool_device_id_type")),
    )
    op.create_table(
        "lease",
        sa.Column("pbx_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("phase", sa.String(length=15), nullable=False),
        sa.Column("instance_id", sa.String(length=128), nullable=False),
        sa.Column("request_id", sa.String(length=128), nullable=False),
        sa.Column("software", sa.String(length=63), nullable=False),
        sa.Column("opened_at", sa.Float(precision=53), nullable=False),
        sa.Column("renewed_at", sa.Float(precision=53), nullable=False),
        sa.Column("ttl_seconds", sa.Integer(), nullable=False),
        sa.Column("ends_at", sa.Float(precision=53), nullable=False),
        sa.Column("takeovers", sa.Integer(), nullable=False),
        sa.Column("takeovers_since", sa.Float(precision=53), nullable=False),
        sa.ForeignKeyConstraint(["pbx_id"], ["pbx.id"], name=op.f("fk_lease_pbx_id")),
        sa.PrimaryKeyConstraint("pbx_id", name=op.f("pk_lease")),
    )
    with op.batch_alter_table("lease", schema=None) as batch_op:
        batch_op.create_index("ix_lease_phase_ends_at", ["phase", "ends_at"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("lease", schema=None) as batch_op:
        batch_op.drop_index("ix_lease_phase_ends_at")

    op.drop_table("lease")
    op.drop_table("pool")
    op.drop_table("pbx")
    op.drop_table("license")
    op.drop_table("site")
    with op.batch_alter_table("event", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_event_request_id",
            sqlite_where=sa.text("request_id IS NOT NULL"),
            postgresql_where=sa.text("request_id IS NOT NULL"),
        )

    op.drop_table("event")
    op.drop_table("device")
    op.drop_table("signing_key")
    with op.batch_alter_table("seat", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_seat_user_name", sqlite_where=sa.text("user_name <> ''"), postgresql_where=sa.text("user_name <> ''")
        )

    op.drop_table("seat")
    op.drop_table("project")
    with op.batch_alter_table("pool_usage", schema=None) as batch_op:
        batch_op.drop_index("ix_pool_usage_pbx_id")

    op.drop_table("pool_usage")
