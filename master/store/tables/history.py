"""What happened: the audit, the ledger of agreements, and the usage of days."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)

from master.store.tables.database import metadata

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
        # WHERE request_id IS NOT NULL: saying so here would load the dialects of both databases at every start
    ),
    Index("ix_event_policy", "project_id", "time_us"),  # only of POLICY_EVENTS in `statements/events.py`
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

request_answer = Table(
    "request_answer",
    metadata,
    Column("project_id", ForeignKey("project.id"), primary_key=True, autoincrement=False),
    Column("request_id", String(128), primary_key=True),
    Column("kind", String(63), nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("answer", LargeBinary, nullable=False),
    Column("answered_at", Float(53), nullable=False),
)
"""What requests with an id were answered with, written in the transaction that carried them out: a retry gets the same.

The fingerprint tells a retry from another request under the same id. Kept for a time; the audit names the id for good.
"""

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

rule_day = Table(
    "rule_day",
    metadata,
    Column("project_id", ForeignKey("project.id"), nullable=False),
    Column("rule", String(63), nullable=False),
    Column("type", String(63), nullable=False),
    Column("day", Integer, nullable=False),
    Column("used", Integer, nullable=False),
    Column("unused", Integer),
    Column("refused", BigInteger, nullable=False),
    PrimaryKeyConstraint("project_id", "day", "rule", "type"),
)
"""What an allocation rule came to on a day: the most seats of its reserve that its owners had, and the fewest that they
had not (null where it reserves none); seats refused because of it."""

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
    Column("order_number", BigInteger, nullable=False),
    Column("given_reason", Text, nullable=False),
)
"""The agreement ledger: numbered from 1 without gaps in each project, only ever appended to. Details are JSON.

`order_number` is the number of the first entry that the same order wrote."""
