"""The tables, and what names this database wherever it is copied to."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "claim",
        sa.Column("pbx_id", sa.Integer, autoincrement=False, primary_key=True),
        sa.Column("kind", sa.String(length=15), primary_key=True),
        sa.Column("holder_id", sa.Integer, autoincrement=False, primary_key=True),
        sa.Column("pool_id", sa.Integer, autoincrement=False, primary_key=True),
        sa.Column("seats", sa.Integer, nullable=False),
        sa.Column("ends_at", sa.Float(precision=53), nullable=False),
        sa.Column("serial", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_claim_ends_at", "claim", ["ends_at"])
    identity = op.create_table(
        "database_identity",
        sa.Column("id", sa.String(length=63), primary_key=True),
        sa.Column("schema_version", sa.String(length=63), nullable=False),
    )
    op.bulk_insert(identity, [{"id": secrets.token_hex(16), "schema_version": ""}])
    op.create_table(
        "learning_seat",
        sa.Column("pbx_id", sa.Integer, autoincrement=False, primary_key=True),
        sa.Column("type", sa.String(length=63), primary_key=True),
        sa.Column("known", sa.Integer, nullable=False),
        sa.Column("proven", sa.Integer, nullable=False),
        sa.Column("unplaced", sa.Integer, nullable=False),
    )
    op.create_table(
        "pool_usage",
        sa.Column("pool_id", sa.Integer, autoincrement=False, primary_key=True),
        sa.Column("pbx_id", sa.Integer, autoincrement=False, primary_key=True),
        sa.Column("seats", sa.Integer, nullable=False),
        sa.Column("counted", sa.Integer, nullable=False),
    )
    op.create_index("ix_pool_usage_pbx_id", "pool_usage", ["pbx_id"])
    op.create_table(
        "project",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("catalog", sa.String(length=63), nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("ttl_seconds", sa.Integer, nullable=True),
        sa.Column("grace_seconds", sa.Integer, nullable=True),
        sa.Column("renew_every_seconds", sa.Integer, nullable=True),
        sa.Column("applied_at", sa.Float(precision=53), nullable=False),
        sa.Column("epoch_floor", sa.BigInteger, nullable=False),
        sa.Column("learning_since", sa.Float(precision=53), nullable=True),
        sa.Column("learning_until", sa.Float(precision=53), nullable=True),
        sa.Column("learning_why", sa.Text, nullable=True),
        sa.Column("time_zone", sa.String(length=63), nullable=True),
        sa.Column("deleted_at", sa.Float(precision=53), nullable=True),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "revocation",
        sa.Column("pbx_id", sa.Integer, autoincrement=False, primary_key=True),
        sa.Column("holder", sa.String(length=128), primary_key=True),
        sa.Column("type", sa.String(length=63), primary_key=True),
        sa.Column("kind", sa.Integer, autoincrement=False, primary_key=True),
    )
    op.create_table(
        "seat",
        sa.Column("pbx_id", sa.Integer, autoincrement=False, primary_key=True),
        sa.Column("holder", sa.String(length=128), primary_key=True),
        sa.Column("type", sa.String(length=63), primary_key=True),
        sa.Column("kind", sa.Integer, autoincrement=False, primary_key=True),
        sa.Column("user_name", sa.String(length=128), nullable=False),
        sa.Column("line", sa.String(length=128), nullable=False),
        sa.Column("pool_id", sa.Integer, nullable=True),
        sa.Column("parent", sa.String(length=63), nullable=False),
        sa.Column("acquired_at", sa.Float(precision=53), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_seat_user_name",
        "seat",
        ["pbx_id", "user_name"],
        sqlite_where=sa.text("user_name <> ''"),
        postgresql_where=sa.text("user_name <> ''"),
    )
    op.create_table(
        "signing_key",
        sa.Column("key_id", sa.String(length=63), primary_key=True),
        sa.Column("private_key", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
    )
    op.create_table(
        "standby_lease",
        sa.Column("standby_id", sa.Integer, autoincrement=False, primary_key=True),
        sa.Column("primary_id", sa.Integer, autoincrement=False, primary_key=True),
        sa.Column("serial", sa.BigInteger, nullable=False),
        sa.Column("issued_at", sa.Float(precision=53), nullable=False),
        sa.Column("ends_at", sa.Float(precision=53), nullable=False),
        sa.Column("acknowledged_serial", sa.BigInteger, nullable=False),
        sa.Column("acknowledged_ends_at", sa.Float(precision=53), nullable=False),
        sa.Column("two_claims_at", sa.Float(precision=53), nullable=True),
        sa.Column("reported_serial", sa.BigInteger, nullable=False),
        sa.Column("reported_epoch", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "agreement_entry",
        sa.Column("project_id", sa.Integer, sa.ForeignKey("project.id"), autoincrement=False, primary_key=True),
        sa.Column("number", sa.BigInteger, autoincrement=False, primary_key=True),
        sa.Column("recorded_at", sa.Float(precision=53), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("kind", sa.Integer, nullable=False),
        sa.Column("subject_kind", sa.String(length=15), nullable=False),
        sa.Column("subject_id", sa.String(length=255), nullable=False),
        sa.Column("policy", sa.String(length=63), nullable=False),
        sa.Column("details", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("rules", sa.String(length=255), nullable=False),
        sa.Column("caller", sa.String(length=255), nullable=False),
        sa.Column("order_number", sa.BigInteger, nullable=False),
        sa.Column("given_reason", sa.Text, nullable=False),
    )
    op.create_table(
        "alarm",
        sa.Column("project_id", sa.Integer, sa.ForeignKey("project.id"), autoincrement=False, primary_key=True),
        sa.Column("kind", sa.String(length=63), primary_key=True),
        sa.Column("subject", sa.String(length=255), primary_key=True),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("began_at", sa.Float(precision=53), nullable=False),
        sa.Column("gone_at", sa.Float(precision=53), nullable=True),
    )
    op.create_table(
        "audit_head",
        sa.Column("project_id", sa.Integer, sa.ForeignKey("project.id"), autoincrement=False, primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "denial",
        sa.Column("project_id", sa.Integer, sa.ForeignKey("project.id"), nullable=False),
        sa.Column("pbx", sa.String(length=63), nullable=False),
        sa.Column("type", sa.String(length=63), nullable=False),
        sa.Column("kind", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("holder", sa.String(length=128), nullable=False),
        sa.Column("day", sa.Integer, nullable=False),
        sa.Column("site", sa.String(length=63), nullable=False),
        sa.Column("reason", sa.String(length=63), nullable=False),
        sa.Column("refused_at", sa.Float(precision=53), nullable=False),
        sa.Column("judged", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("project_id", "day", "pbx", "holder", "type", "kind"),
    )
    op.create_index("ix_denial_judged_refused_at", "denial", ["judged", "refused_at"])
    op.create_table(
        "device",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("project_id", sa.Integer, sa.ForeignKey("project.id"), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("platform", sa.String(length=63), nullable=False),
        sa.Column("model", sa.String(length=63), nullable=False),
        sa.Column("key_id", sa.String(length=16), nullable=True),
        sa.Column("public_key", sa.LargeBinary, nullable=True),
        sa.Column("enrolled_at", sa.Float(precision=53), nullable=True),
        sa.Column("token_hash", sa.String(length=64), nullable=True),
        sa.Column("token_ends_at", sa.Float(precision=53), nullable=True),
        sa.Column("token_by", sa.String(length=255), nullable=True),
        sa.UniqueConstraint("project_id", "name"),
    )
    op.create_table(
        "event",
        sa.Column("project_id", sa.Integer, sa.ForeignKey("project.id"), primary_key=True),
        sa.Column("seq", sa.BigInteger, autoincrement=False, primary_key=True),
        sa.Column("time_us", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(length=63), nullable=False),
        sa.Column("pbx", sa.String(length=63), nullable=False),
        sa.Column("caller", sa.String(length=255), nullable=False),
        sa.Column("request_id", sa.String(length=128), nullable=True),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("details", sa.Text, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
    )
    op.create_index(
        "uq_event_request_id",
        "event",
        ["project_id", "request_id"],
        unique=True,
        sqlite_where=sa.text("request_id IS NOT NULL"),
        postgresql_where=sa.text("request_id IS NOT NULL"),
    )
    op.create_table(
        "license_file",
        sa.Column("project_id", sa.Integer, sa.ForeignKey("project.id"), primary_key=True),
        sa.Column("id", sa.String(length=63), primary_key=True),
        sa.Column("key_id", sa.String(length=16), nullable=False),
        sa.Column("imported_at", sa.Float(precision=53), nullable=False),
        sa.Column("document", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "pool_day",
        sa.Column("project_id", sa.Integer, sa.ForeignKey("project.id"), nullable=False),
        sa.Column("device", sa.String(length=63), nullable=False),
        sa.Column("type", sa.String(length=63), nullable=False),
        sa.Column("day", sa.Integer, nullable=False),
        sa.Column("peak", sa.Integer, nullable=False),
        sa.Column("unused", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("project_id", "day", "device", "type"),
    )
    op.create_table(
        "request_answer",
        sa.Column("project_id", sa.Integer, sa.ForeignKey("project.id"), autoincrement=False, primary_key=True),
        sa.Column("request_id", sa.String(length=128), primary_key=True),
        sa.Column("kind", sa.String(length=63), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("answer", sa.LargeBinary, nullable=False),
        sa.Column("answered_at", sa.Float(precision=53), nullable=False),
    )
    op.create_table(
        "site",
        sa.Column("project_id", sa.Integer, sa.ForeignKey("project.id"), primary_key=True),
        sa.Column("name", sa.String(length=63), primary_key=True),
        sa.Column("display_name", sa.Text, nullable=False),
    )
    op.create_table(
        "site_day",
        sa.Column("project_id", sa.Integer, sa.ForeignKey("project.id"), nullable=False),
        sa.Column("site", sa.String(length=63), nullable=False),
        sa.Column("type", sa.String(length=63), nullable=False),
        sa.Column("day", sa.Integer, nullable=False),
        sa.Column("peak", sa.Integer, nullable=False),
        sa.Column("peak_at", sa.Float(precision=53), nullable=True),
        sa.Column("refused", sa.BigInteger, nullable=False),
        sa.Column("denied", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("project_id", "day", "site", "type"),
    )
    op.create_table(
        "vendor_key",
        sa.Column("project_id", sa.Integer, sa.ForeignKey("project.id"), primary_key=True),
        sa.Column("key_id", sa.String(length=16), primary_key=True),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("public_key", sa.LargeBinary, nullable=False),
        sa.Column("trusted_at", sa.Float(precision=53), nullable=False),
        sa.Column("retires_at", sa.Float(precision=53), nullable=True),
        sa.Column("introduced_by", sa.String(length=16), nullable=False),
        sa.Column("distrusted_at", sa.Float(precision=53), nullable=True),
    )
    op.create_table(
        "webhook",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("project_id", sa.Integer, sa.ForeignKey("project.id"), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("secret", sa.Text, nullable=False),
        sa.Column("kinds", sa.Text, nullable=False),
        sa.Column("added_by", sa.String(length=255), nullable=False),
        sa.Column("added_at", sa.Float(precision=53), nullable=False),
        sa.UniqueConstraint("project_id", "name"),
    )
    op.create_table(
        "license",
        sa.Column("project_id", sa.Integer, sa.ForeignKey("project.id"), primary_key=True),
        sa.Column("id", sa.String(length=63), primary_key=True),
        sa.Column("type", sa.String(length=63), nullable=False),
        sa.Column("version", sa.Integer, nullable=True),
        sa.Column("tier", sa.Integer, nullable=True),
        sa.Column("quantity", sa.Integer, nullable=False),
        sa.Column("device_id", sa.Integer, sa.ForeignKey("device.id"), nullable=True),
        sa.Column("file", sa.String(length=63), nullable=True),
        sa.Column("binding", sa.Integer, server_default="0", nullable=False),
        sa.Column("first_bound_at", sa.Float(precision=53), nullable=True),
        sa.Column("bound_at", sa.Float(precision=53), nullable=True),
        sa.Column("held_until", sa.Float(precision=53), nullable=True),
        sa.Column("agreement_ends_at", sa.Float(precision=53), nullable=True),
        sa.Column("last_proof", sa.LargeBinary, nullable=True),
        sa.Column("file_agreement_ends_at", sa.Float(precision=53), nullable=True),
        sa.Column("agreed_kind", sa.String(length=15), nullable=True),
        sa.Column("agreed_id", sa.String(length=255), nullable=True),
        sa.Column("use_policy", sa.String(length=63), nullable=True),
        sa.Column("use_ends_at", sa.Float(precision=53), nullable=True),
        sa.Column("key_on_word_of", sa.Text, nullable=True),
        sa.CheckConstraint("quantity > 0", name="quantity"),
    )
    op.create_index("ix_license_device_id", "license", ["device_id"])
    op.create_table(
        "pbx",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("project_id", sa.Integer, sa.ForeignKey("project.id"), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("site", sa.String(length=63), nullable=False),
        sa.Column("device_id", sa.Integer, sa.ForeignKey("device.id"), nullable=False),
        sa.Column("role", sa.Integer, nullable=False),
        sa.Column("software_version", sa.String(length=63), nullable=False),
        sa.Column("standby_for", sa.String(length=63), nullable=False),
        sa.Column("ttl_seconds", sa.Integer, nullable=True),
        sa.Column("grace_seconds", sa.Integer, nullable=True),
        sa.Column("renew_every_seconds", sa.Integer, nullable=True),
        sa.UniqueConstraint("project_id", "name"),
    )
    op.create_index("ix_pbx_device_id", "pbx", ["device_id"])
    op.create_table(
        "pool",
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
    op.create_table(
        "webhook_delivery",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("webhook_id", sa.Integer, sa.ForeignKey("webhook.id", ondelete="CASCADE"), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("made_at", sa.Float(precision=53), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due_at", sa.Float(precision=53), nullable=True),
        sa.Column("problem", sa.String(length=255), nullable=False),
    )
    op.create_index("ix_webhook_delivery_due_at", "webhook_delivery", ["due_at"])
    op.create_index("ix_webhook_delivery_webhook_id", "webhook_delivery", ["webhook_id"])
    op.create_table(
        "lease",
        sa.Column("pbx_id", sa.Integer, sa.ForeignKey("pbx.id"), autoincrement=False, primary_key=True),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("phase", sa.String(length=15), nullable=False),
        sa.Column("instance_id", sa.String(length=128), nullable=False),
        sa.Column("request_id", sa.String(length=128), nullable=False),
        sa.Column("software", sa.String(length=63), nullable=False),
        sa.Column("opened_at", sa.Float(precision=53), nullable=False),
        sa.Column("renewed_at", sa.Float(precision=53), nullable=False),
        sa.Column("ttl_seconds", sa.Integer, nullable=False),
        sa.Column("ends_at", sa.Float(precision=53), nullable=False),
        sa.Column("takeovers", sa.Integer, nullable=False),
        sa.Column("takeovers_since", sa.Float(precision=53), nullable=False),
        sa.Column("carrier_id", sa.Integer, nullable=True),
        sa.Column("carried_since", sa.Float(precision=53), nullable=True),
        sa.Column("primary_heard_at", sa.Float(precision=53), nullable=True),
        sa.Column("claimed", sa.Boolean, nullable=False),
        sa.Column("unanswered_calls", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_lease_phase_ends_at", "lease", ["phase", "ends_at"])
    op.create_table(
        "lease_stream",
        sa.Column(
            "pbx_id", sa.Integer, sa.ForeignKey("pbx.id", ondelete="CASCADE"), autoincrement=False, primary_key=True
        ),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("stream", sa.String(length=63), nullable=False),
        sa.Column("opened_at", sa.Float(precision=53), nullable=False),
        sa.Column("lost_at", sa.Float(precision=53), nullable=True),
    )
    op.create_table(
        "license_release",
        sa.Column("project_id", sa.Integer, autoincrement=False, primary_key=True),
        sa.Column("license_id", sa.String(length=63), primary_key=True),
        sa.Column("in_use", sa.Integer, nullable=False),
        sa.Column("to_device_id", sa.Integer, sa.ForeignKey("device.id"), nullable=True),
        sa.Column("requested_by", sa.String(length=255), nullable=False),
        sa.Column("requested_at", sa.Float(precision=53), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("nonce", sa.LargeBinary, nullable=False),
        sa.Column("certified", sa.Boolean, nullable=False),
        sa.Column("device_dead", sa.Boolean, nullable=False),
        sa.Column("approved_by", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id", "license_id"],
            ["license.project_id", "license.id"],
            name=op.f("fk_license_release_project_id_license_id"),
        ),
    )
