"""The tables. Alembic's chain in `migrations/` makes them; a test keeps the two alike."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
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

project = Table(
    "project",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(63), nullable=False, unique=True),
    Column("display_name", Text, nullable=False),
    Column("catalog", String(63), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("ttl_seconds", Integer),
    Column("grace_seconds", Integer),
    Column("renew_every_seconds", Integer),
    Column("applied_at", Float(53), nullable=False),
    Column("epoch_floor", BigInteger, nullable=False),
    Column("learning_since", Float(53)),
    Column("learning_until", Float(53)),
    Column("learning_why", Text),
    Column("time_zone", String(63)),
    Column("deleted_at", Float(53)),
)
"""A customer's installation; learning_... are set while the master learns after a restore.

One that was deleted keeps its row for its audit and its agreement ledger, with deleted_at; all else of it is gone.
"""

site = Table(
    "site",
    metadata,
    Column("project_id", ForeignKey("project.id"), primary_key=True),
    Column("name", String(63), primary_key=True),
    Column("display_name", Text, nullable=False),
)

device = Table(
    "device",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("project_id", ForeignKey("project.id"), nullable=False),
    Column("name", String(63), nullable=False),
    Column("platform", String(63), nullable=False),
    Column("model", String(63), nullable=False),
    Column("key_id", String(16)),
    Column("public_key", LargeBinary),
    Column("enrolled_at", Float(53)),
    Column("token_hash", String(64)),
    Column("token_ends_at", Float(53)),
    Column("token_by", String(255)),
    UniqueConstraint("project_id", "name"),
)
"""A box or virtual machine; its key once it has shown one, the hash of its one-time token while one waits for it."""

pbx = Table(
    "pbx",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("project_id", ForeignKey("project.id"), nullable=False),
    Column("name", String(63), nullable=False),
    Column("site", String(63), nullable=False),
    Column("device_id", ForeignKey("device.id"), nullable=False),
    Column("role", Integer, nullable=False),
    Column("software_version", String(63), nullable=False),
    Column("standby_for", String(63), nullable=False),
    Column("ttl_seconds", Integer),
    Column("grace_seconds", Integer),
    Column("renew_every_seconds", Integer),
    UniqueConstraint("project_id", "name"),
)

license_ = Table(
    "license",
    metadata,
    Column("project_id", ForeignKey("project.id"), primary_key=True),
    Column("id", String(63), primary_key=True),
    Column("type", String(63), nullable=False),
    Column("version", Integer),
    Column("tier", Integer),
    Column("quantity", Integer, nullable=False),
    Column("device_id", ForeignKey("device.id")),
    Column("file", String(63)),
    Column("binding", Integer, nullable=False, server_default="0"),
    Column("first_bound_at", Float(53)),
    Column("bound_at", Float(53)),
    Column("held_until", Float(53)),
    Column("agreement_ends_at", Float(53)),
    Column("last_proof", LargeBinary),
    Column("file_agreement_ends_at", Float(53)),
    Column("agreed_kind", String(15)),
    Column("agreed_id", String(255)),
    Column("use_policy", String(63)),
    Column("use_ends_at", Float(53)),
    Column("key_on_word_of", Text),
    CheckConstraint("quantity > 0", name="quantity"),
)
"""Purchased items; free in the project balance while device_id is null; declared in the project file while file is.

`file_agreement_ends_at` is what the vendor's file said, kept as it was; `agreement_ends_at` what the ledger makes of
it. The last four are set where the agreement ledger brought the license: its subject, the policy whose end stops the
use, and when; null and empty for never.
"""

license_release = Table(
    "license_release",
    metadata,
    Column("project_id", Integer, primary_key=True, autoincrement=False),
    Column("license_id", String(63), primary_key=True),
    Column("in_use", Integer, nullable=False),
    Column("to_device_id", ForeignKey("device.id")),
    Column("requested_by", String(255), nullable=False),
    Column("requested_at", Float(53), nullable=False),
    Column("reason", Text, nullable=False),
    Column("nonce", LargeBinary, nullable=False),
    Column("certified", Boolean, nullable=False),
    Column("device_dead", Boolean, nullable=False),
    Column("approved_by", String(255), nullable=False),
    ForeignKeyConstraint(["project_id", "license_id"], ["license.project_id", "license.id"]),
)
"""Releases under way: complete when the license is not in use and its device has certified, or been given up."""

license_file = Table(
    "license_file",
    metadata,
    Column("project_id", ForeignKey("project.id"), primary_key=True),
    Column("id", String(63), primary_key=True),
    Column("key_id", String(16), nullable=False),
    Column("imported_at", Float(53), nullable=False),
    Column("document", LargeBinary, nullable=False),
)
"""Vendors' files as they were imported, with the signature."""

vendor_key = Table(
    "vendor_key",
    metadata,
    Column("project_id", ForeignKey("project.id"), primary_key=True),
    Column("key_id", String(16), primary_key=True),
    Column("display_name", Text, nullable=False),
    Column("public_key", LargeBinary, nullable=False),
    Column("trusted_at", Float(53), nullable=False),
    Column("retires_at", Float(53)),
    Column("introduced_by", String(16), nullable=False),
    Column("distrusted_at", Float(53)),
)
"""The keys whose license files a project takes."""

revocation = Table(
    "revocation",
    metadata,
    Column("pbx_id", Integer, primary_key=True, autoincrement=False),
    Column("holder", String(128), primary_key=True),
    Column("type", String(63), primary_key=True),
    Column("kind", Integer, primary_key=True, autoincrement=False),
    Column("revoked_at", Float(53), nullable=False),
)
"""Seats taken away by an operator, until their PBX has given them back or its lease has ended."""

pool = Table(
    "pool",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("project_id", ForeignKey("project.id"), nullable=False),
    Column("device_id", ForeignKey("device.id"), nullable=False),
    Column("type", String(63), nullable=False),
    Column("capacity", Integer, nullable=False),
    Column("used", Integer, nullable=False),
    Column("peak", Integer, nullable=False, server_default="0"),
    Column("peak_at", Float(53)),
    UniqueConstraint("device_id", "type"),
    CheckConstraint("used >= 0 AND used <= capacity", name="never_overdrawn"),
)
"""What the licenses on one device add up to, per type, how much is debited, and the most that ever was at a commit.

`peak_at` is null while nothing was ever debited, and where the peak is older than its keeping.
"""

pool_usage = Table(
    "pool_usage",
    metadata,
    Column("pool_id", Integer, primary_key=True, autoincrement=False),
    Column("pbx_id", Integer, primary_key=True, autoincrement=False),
    Column("seats", Integer, nullable=False),
    Column("counted", Integer, nullable=False),
    Index("ix_pool_usage_pbx_id", "pbx_id"),
)
"""Seats debited from a pool by a PBX, and what is counted for it: the higher of its seats and its claims on the pool.

Written at every commit, so no index covers them.
"""

claim = Table(
    "claim",
    metadata,
    Column("pbx_id", Integer, primary_key=True, autoincrement=False),
    Column("kind", String(15), primary_key=True),
    Column("holder_id", Integer, primary_key=True, autoincrement=False),
    Column("pool_id", Integer, primary_key=True, autoincrement=False),
    Column("seats", Integer, nullable=False),
    Column("ends_at", Float(53), nullable=False),
    Column("serial", BigInteger, nullable=False),
    Index("ix_claim_ends_at", "ends_at"),
)
"""Seats that may be in use in a PBX's name beside its lease: by a standby, or by the PBX that it took the lease from.

A row counts until it is deleted, whatever its end says. No foreign keys, as in pool_usage.
"""

standby_lease = Table(
    "standby_lease",
    metadata,
    Column("standby_id", Integer, primary_key=True, autoincrement=False),
    Column("primary_id", Integer, primary_key=True, autoincrement=False),
    Column("serial", BigInteger, nullable=False),
    Column("issued_at", Float(53), nullable=False),
    Column("ends_at", Float(53), nullable=False),
    Column("acknowledged_serial", BigInteger, nullable=False),
    Column("acknowledged_ends_at", Float(53), nullable=False),
    Column("two_claims_at", Float(53)),
    Column("reported_serial", BigInteger, nullable=False),
    Column("reported_epoch", BigInteger, nullable=False),
)
"""What is known of the signed standby leases of each pair; what they cover stands in claim."""

learning_seat = Table(
    "learning_seat",
    metadata,
    Column("pbx_id", Integer, primary_key=True, autoincrement=False),
    Column("type", String(63), primary_key=True),
    Column("known", Integer, nullable=False),
    Column("proven", Integer, nullable=False),
    Column("unplaced", Integer, nullable=False),
)
"""Seats by PBX while the master learns: known from the backup, proven, and proven without a license to debit."""

seat = Table(
    "seat",
    metadata,
    Column("pbx_id", Integer, primary_key=True, autoincrement=False),
    Column("holder", String(128), primary_key=True),
    Column("type", String(63), primary_key=True),
    Column("kind", Integer, primary_key=True, autoincrement=False),
    Column("user_name", String(128), nullable=False),
    Column("line", String(128), nullable=False),
    Column("pool_id", Integer),
    Column("parent", String(63), nullable=False),
    Column("acquired_at", Float(53), nullable=False),
    Index(
        "ix_seat_user_name",
        "pbx_id",
        "user_name",
        sqlite_where=text("user_name <> ''"),
        postgresql_where=text("user_name <> ''"),
    ),
    sqlite_with_rowid=False,
)
"""Seats held; pool_id is null where another seat includes this one, parent says which.

No foreign keys here and in pool_usage: every writer has locked the PBX and the pool, and PostgreSQL would look both up
again for each of a hundred thousand seats.
"""

lease = Table(
    "lease",
    metadata,
    Column("pbx_id", ForeignKey("pbx.id"), primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False),
    Column("phase", String(15), nullable=False),
    Column("instance_id", String(128), nullable=False),
    Column("request_id", String(128), nullable=False),
    Column("software", String(63), nullable=False),
    Column("opened_at", Float(53), nullable=False),
    Column("renewed_at", Float(53), nullable=False),
    Column("ttl_seconds", Integer, nullable=False),
    Column("ends_at", Float(53), nullable=False),
    Column("takeovers", Integer, nullable=False),
    Column("takeovers_since", Float(53), nullable=False),
    Column("carrier_id", Integer),
    Column("carried_since", Float(53)),
    Column("primary_heard_at", Float(53)),
    Column("claimed", Boolean, nullable=False),
    Index("ix_lease_phase_ends_at", "phase", "ends_at"),
)
"""Each PBX's current lease; carrier_id is the standby that has it, claimed says whether to look into claim."""

lease_stream = Table(
    "lease_stream",
    metadata,
    Column("pbx_id", ForeignKey("pbx.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False),
    Column("stream", String(63), nullable=False),
    Column("opened_at", Float(53), nullable=False),
    Column("lost_at", Float(53)),
)
"""The newest stream of each PBX that has a standby, at any master; lost_at is when it broke, null while it is open.

Written when a stream opens or breaks, beside the hot path.
"""

event = Table(
    "event",
    metadata,
    Column("project_id", ForeignKey("project.id"), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("time_us", BigInteger, nullable=False),
    Column("kind", String(63), nullable=False),
    Column("pbx", String(63), nullable=False),
    Column("caller", String(255), nullable=False),
    Column("request_id", String(128)),
    Column("reason", Text, nullable=False),
    Column("details", Text, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Index(
        "uq_event_request_id",
        "project_id",
        "request_id",
        unique=True,
        sqlite_where=text("request_id IS NOT NULL"),
        postgresql_where=text("request_id IS NOT NULL"),
    ),
)
"""What happened, one hash chain per project: written in the transaction that made it happen. Every column is hashed."""

audit_head = Table(
    "audit_head",
    metadata,
    Column("project_id", ForeignKey("project.id"), primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)
"""Where each project's chain ends; locked and moved on last in a transaction."""

site_day = Table(
    "site_day",
    metadata,
    Column("project_id", ForeignKey("project.id"), nullable=False),
    Column("site", String(63), nullable=False),
    Column("type", String(63), nullable=False),
    Column("day", Integer, nullable=False),
    Column("peak", Integer, nullable=False),
    Column("peak_at", Float(53)),
    Column("refused", BigInteger, nullable=False),
    Column("denied", Integer, nullable=False),
    PrimaryKeyConstraint("project_id", "day", "site", "type"),
)
"""What a site came to on a day (days since 1970, UTC): the most seats seen, seats refused, holders denied."""

pool_day = Table(
    "pool_day",
    metadata,
    Column("project_id", ForeignKey("project.id"), nullable=False),
    Column("device", String(63), nullable=False),
    Column("type", String(63), nullable=False),
    Column("day", Integer, nullable=False),
    Column("peak", Integer, nullable=False),
    Column("unused", Integer, nullable=False),
    PrimaryKeyConstraint("project_id", "day", "device", "type"),
)
"""What a pool came to on a day: the most seats debited, the fewest licenses unused. The balance has no device."""

denial = Table(
    "denial",
    metadata,
    Column("project_id", ForeignKey("project.id"), nullable=False),
    Column("pbx", String(63), nullable=False),
    Column("type", String(63), nullable=False),
    Column("kind", Integer, nullable=False, autoincrement=False),
    Column("holder", String(128), nullable=False),
    Column("day", Integer, nullable=False),
    Column("site", String(63), nullable=False),
    Column("reason", String(63), nullable=False),
    Column("refused_at", Float(53), nullable=False),
    Column("judged", Boolean, nullable=False),
    PrimaryKeyConstraint("project_id", "day", "pbx", "holder", "type", "kind"),
    Index("ix_denial_judged_refused_at", "judged", "refused_at"),
)
"""Holders that were refused on a day, once each; those that got their seat soon after are gone when judged."""

webhook = Table(
    "webhook",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("project_id", ForeignKey("project.id"), nullable=False),
    Column("name", String(63), nullable=False),
    Column("url", Text, nullable=False),
    Column("secret", Text, nullable=False),
    Column("kinds", Text, nullable=False),
    Column("added_by", String(255), nullable=False),
    Column("added_at", Float(53), nullable=False),
    UniqueConstraint("project_id", "name"),
)
"""Where operators want to be told; kinds of alarm by name, apart by spaces, all where empty."""

alarm = Table(
    "alarm",
    metadata,
    Column("project_id", ForeignKey("project.id"), primary_key=True, autoincrement=False),
    Column("kind", String(63), primary_key=True),
    Column("subject", String(255), primary_key=True),
    Column("message", Text, nullable=False),
    Column("began_at", Float(53), nullable=False),
    Column("gone_at", Float(53)),
)
"""What stands now; gone_at is since when it does not, until that has lasted."""

webhook_delivery = Table(
    "webhook_delivery",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("webhook_id", ForeignKey("webhook.id", ondelete="CASCADE"), nullable=False),
    Column("body", Text, nullable=False),
    Column("made_at", Float(53), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", Float(53)),
    Column("problem", String(255), nullable=False),
    Index("ix_webhook_delivery_webhook_id", "webhook_id"),
    Index("ix_webhook_delivery_due_at", "due_at"),
)
"""What is still to be told; dead where due_at is null. Gone once it has been taken."""

agreement_entry = Table(
    "agreement_entry",
    metadata,
    Column("project_id", ForeignKey("project.id"), primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("recorded_at", Float(53), nullable=False),
    Column("day", String(10), nullable=False),
    Column("kind", Integer, nullable=False),
    Column("subject_kind", String(15), nullable=False),
    Column("subject_id", String(255), nullable=False),
    Column("policy", String(63), nullable=False),
    Column("details", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("rules", String(255), nullable=False),
    Column("caller", String(255), nullable=False),
    Column("request_id", String(128), nullable=False),
    Column("order_number", BigInteger, nullable=False),
    Column("given_reason", Text, nullable=False),
)
"""The agreement ledger: numbered from 1 without gaps in each project, only ever appended to. Details are JSON.

`order_number` is the number of the first entry that the same order wrote."""

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
