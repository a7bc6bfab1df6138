"""The audit becomes a hash chain per project: events that are there already are chained in the order they came in."""

import hashlib
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_PIECE = 1000


def upgrade() -> None:
    _set_aside("event", "uq_event_request_id")
    event = op.create_table(
        "event",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("time_us", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=63), nullable=False),
        sa.Column("pbx", sa.String(length=63), nullable=False),
        sa.Column("caller", sa.String(length=255), nullable=False),
        sa.Column("request_id", sa.String(length=128), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_event_project_id")),
        sa.PrimaryKeyConstraint("project_id", "seq", name=op.f("pk_event")),
    )
    _index_request_ids()
    head = op.create_table(
        "audit_head",
        sa.Column("project_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_audit_head_project_id")),
        sa.PrimaryKeyConstraint("project_id", name=op.f("pk_audit_head")),
    )
    _chain(event, head)
    op.drop_table("event_before")


def _chain(event: sa.Table, head: sa.Table) -> None:
    connection = op.get_bind()
    names = {row[0]: row[1] for row in connection.execute(sa.text("SELECT id, name FROM project"))}
    ends = {project_id: (0, _hash("license-master audit genesis v1", name)) for project_id, name in names.items()}
    for piece in _pieces(connection):
        rows = []
        for old in piece:
            seq, previous = ends[old["project_id"]][0] + 1, ends[old["project_id"]][1]
            row = {
                "seq": seq,
                "time_us": round(old["at"] * 1_000_000),
                "kind": old["kind"],
                "pbx": old["pbx"] or "",  # the name of one that was removed since is not known any more
                "caller": old["caller"],
                "request_id": old["request_id"] or "",
                "reason": "",
                "details": old["details"],
            }
            hashed = _hash("license-master audit event v1", previous, names[old["project_id"]], *row.values())
            ends[old["project_id"]] = seq, hashed
            rows.append(row | {"project_id": old["project_id"], "request_id": old["request_id"], "hash": hashed})
        connection.execute(event.insert(), rows)
    if ends:
        rows = [{"project_id": project_id, "seq": seq, "hash": end} for project_id, (seq, end) in ends.items()]
        connection.execute(head.insert(), rows)


def _pieces(connection: sa.Connection) -> Iterator[list[Any]]:
    query = sa.text(
        "SELECT e.id, e.at, e.project_id, p.name AS pbx, e.kind, e.caller, e.request_id, e.details"
        " FROM event_before e LEFT JOIN pbx p ON p.id = e.pbx_id WHERE e.id > :after ORDER BY e.id LIMIT :piece"
    )
    after = -(2**63)
    while piece := list(connection.execute(query, {"after": after, "piece": _PIECE}).mappings()):
        yield piece
        after = piece[-1]["id"]


def _hash(*fields: str | int | bytes) -> bytes:
    """As `master/domain/audit.py` had it when this was written; what was chained then stays as it is."""
    packed = b""
    for field in fields:
        raw = field if isinstance(field, bytes) else str(field).encode()
        packed += b"%d:%b," % (len(raw), raw)
    return hashlib.sha256(packed).digest()


def _set_aside(table: str, index: str) -> None:
    """Rename a table out of the way of a new one; PostgreSQL's names of keys do not go with it."""
    op.drop_index(index, table_name=table)
    op.rename_table(table, f"{table}_before")
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"ALTER TABLE {table}_before RENAME CONSTRAINT pk_{table} TO pk_{table}_before")


def _index_request_ids() -> None:
    where = sa.text("request_id IS NOT NULL")
    columns = ["project_id", "request_id"]
    op.create_index("uq_event_request_id", "event", columns, unique=True, sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    _set_aside("event", "uq_event_request_id")
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
    _index_request_ids()
    op.execute(
        "INSERT INTO event (at, project_id, pbx_id, kind, caller, request_id, details)"
        " SELECT e.time_us / 1000000.0, e.project_id, p.id, e.kind, e.caller, e.request_id, e.details"
        " FROM event_before e LEFT JOIN pbx p ON p.project_id = e.project_id AND p.name = e.pbx"
        " ORDER BY e.time_us, e.project_id, e.seq"
    )
    op.drop_table("event_before")
    op.drop_table("audit_head")
