"""Webhooks, their messages, and the alarms that hold now."""

from __future__ import annotations

from sqlalchemy import (
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from master.store.tables.database import metadata

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
"""Receivers that operators have added; kinds of alarm by name, apart by spaces, all where empty."""

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
"""Messages still to be sent; dead where due_at is null. Gone once it has been taken."""
