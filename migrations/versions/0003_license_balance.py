"""Licenses that are imported, bound and released; vendors' and devices' keys."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("device") as device:
        device.add_column(sa.Column("key_id", sa.String(length=16), nullable=True))
        device.add_column(sa.Column("public_key", sa.LargeBinary(), nullable=True))
        device.add_column(sa.Column("enrolled_at", sa.Float(precision=53), nullable=True))
        device.add_column(sa.Column("token_hash", sa.String(length=64), nullable=True))
        device.add_column(sa.Column("token_ends_at", sa.Float(precision=53), nullable=True))
    with op.batch_alter_table("license") as license_:
        license_.add_column(sa.Column("file", sa.String(length=63), nullable=True))
        license_.add_column(sa.Column("binding", sa.Integer(), server_default="0", nullable=False))
        license_.add_column(sa.Column("first_bound_at", sa.Float(precision=53), nullable=True))
        license_.add_column(sa.Column("bound_at", sa.Float(precision=53), nullable=True))
        license_.add_column(sa.Column("held_until", sa.Float(precision=53), nullable=True))
        license_.add_column(sa.Column("agreement_ends_at", sa.Float(precision=53), nullable=True))
        license_.add_column(sa.Column("last_proof", sa.LargeBinary(), nullable=True))
    op.create_table(
        "license_release",
        sa.Column("project_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("license_id", sa.String(length=63), nullable=False),
        sa.Column("in_use", sa.Integer(), nullable=False),
        sa.Column("to_device_id", sa.Integer(), nullable=True),
        sa.Column("requested_by", sa.String(length=255), nullable=False),
        sa.Column("requested_at", sa.Float(precision=53), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("nonce", sa.LargeBinary(), nullable=False),
        sa.Column("certified", sa.Boolean(), nullable=False),
        sa.Column("device_dead", sa.Boolean(), nullable=False),
        sa.Column("approved_by", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id", "license_id"],
            ["license.project_id", "license.id"],
            name=op.f("fk_license_release_project_id_license_id"),
        ),
        sa.ForeignKeyConstraint(["to_device_id"], ["device.id"], name=op.f("fk_license_release_to_device_id")),
        sa.PrimaryKeyConstraint("project_id", "license_id", name=op.f("pk_license_release")),
    )
    op.create_table(
        "license_file",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(length=63), nullable=False),
        sa.Column("key_id", sa.String(length=16), nullable=False),
        sa.Column("imported_at", sa.Float(precision=53), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_license_file_project_id")),
        sa.PrimaryKeyConstraint("project_id", "id", name=op.f("pk_license_file")),
    )
    op.create_table(
        "vendor_key",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("key_id", sa.String(length=16), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("trusted_at", sa.Float(precision=53), nullable=False),
        sa.Column("retires_at", sa.Float(precision=53), nullable=True),
        sa.Column("introduced_by", sa.String(length=16), nullable=False),
        sa.Column("distrusted_at", sa.Float(precision=53), nullable=True),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_vendor_key_project_id")),
        sa.PrimaryKeyConstraint("project_id", "key_id", name=op.f("pk_vendor_key")),
    )
    op.create_table(
        "revocation",
        sa.Column("pbx_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("holder", sa.String(length=128), nullable=False),
        sa.Column("type", sa.String(length=63), nullable=False),
        sa.Column("kind", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("revoked_at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("pbx_id", "holder", "type", "kind", name=op.f("pk_revocation")),
    )
