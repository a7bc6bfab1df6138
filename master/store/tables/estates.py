"""Projects, what they consist of, and their licenses."""

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
    String,
    Table,
    Text,
    UniqueConstraint,
)

from master.store.tables.database import metadata

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
    Index("ix_pbx_device_id", "device_id"),
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
    Index("ix_license_device_id", "device_id"),
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


allocation = Table(
    "allocation",
    metadata,
    Column("project_id", ForeignKey("project.id"), primary_key=True, autoincrement=False),
    Column("document", Text, nullable=False),
)
"""How an operator divides the project's pools between its sites, as JSON."""

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
    Column("overdrawn", Integer, nullable=False, server_default="0"),
    Column("overdraft_spent", Float(53), nullable=False, server_default="0"),
    Column("overdraft_at", Float(53), nullable=False, server_default="0"),
    UniqueConstraint("device_id", "type"),
    CheckConstraint("overdrawn >= 0 AND used >= 0 AND used <= capacity + overdrawn", name="never_overdrawn"),
)
"""What the licenses on one device add up to, per type, how much is debited, and the most that ever was at a commit.

`peak_at` is null while nothing was ever debited, and where the peak is older than its keeping. `overdrawn` are the
seats that were let be debited above the capacity, `overdraft_spent` the seat seconds of the budget spent by
`overdraft_at`.
"""
