"""Leases, the seats held under them, and what may be used beside them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
)

from master.store.tables.database import metadata

revocation = Table(
    "revocation",
    metadata,
    Column("pbx_id", Integer, primary_key=True, autoincrement=False),
    Column("holder", String(128), primary_key=True),
    Column("type", String(63), primary_key=True),
    Column("kind", Integer, primary_key=True, autoincrement=False),
)
"""Seats taken away by an operator, until their PBX has given them back or its lease has ended."""

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
"""What is known of the signed standby leases of each pair; what they cover is in claim."""

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
        # WHERE user_name <> '': saying so here would load the dialects of both databases at every start
    ),
    sqlite_with_rowid=False,
)
"""Seats held; pool_id is null where another seat includes this one, parent says which.

No foreign keys here and in pool_usage: every writer has locked the PBX and the pool, and PostgreSQL would look both up
again for each of a hundred thousand seats.
"""

waiter = Table(
    "waiter",
    metadata,
    Column("pbx_id", ForeignKey("pbx.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("holder", String(128), primary_key=True),
    Column("type", String(63), primary_key=True),
    Column("kind", Integer, primary_key=True, autoincrement=False),
    Column("user_name", String(128), nullable=False),
    Column("line", String(128), nullable=False),
    Column("application", String(63), nullable=False),
    Column("asked_at", Float(53), nullable=False),
    Column("call_seats", Integer, nullable=False),
    Column("place", Integer, nullable=False),
    Index("ix_waiter_type", "type", "pbx_id"),
)
"""Seats that are waited for, with the place that their PBX was told; 0 where they were handed on, until their PBX has
taken them up. No index has the place: it changes often.
"""

seat_queue = Table(
    "seat_queue",
    metadata,
    Column("project_id", ForeignKey("project.id"), primary_key=True, autoincrement=False),
    Column("type", String(63), primary_key=True),
    Column("waiting", Integer, nullable=False),
)
"""How many seats of a type are waited for, so that nobody has to count who waits."""

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
    Column("unanswered_calls", BigInteger, nullable=False),
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
    Column("asked_at", Float(53)),
)
"""The newest stream of each PBX that has a standby, at any master; lost_at is when it broke, null while it is open;
asked_at is when the standby last asked for it.

Written when a stream opens or breaks, beside the hot path, and when the standby asks.
"""
