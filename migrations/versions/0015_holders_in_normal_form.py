"""Holders, users and lines in the normal form that requests are read in, so that what is held is found again.

Where two spellings of one name hold the same, the second stays as it is: the signed lease of its PBX counts both. It
goes when the PBX settles its seats, or when the lease ends.
"""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

from licensemaster.values import clean

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_SEAT = sa.table("seat", *map(sa.column, ("pbx_id", "holder", "type", "kind", "user_name", "line")))
_REVOCATION = sa.table("revocation", *map(sa.column, ("pbx_id", "holder", "type", "kind")))
_DENIAL = sa.table("denial", *map(sa.column, ("project_id", "day", "pbx", "holder", "type", "kind")))


def upgrade() -> None:
    for column in ("user_name", "line"):
        for _, name in _respelt(_SEAT, column, ()):
            op.execute(sa.update(_SEAT).where(_SEAT.c[column] == name).values({column: clean(name)}))
    for table, owner, stays in (
        (_SEAT, "pbx_id", True),
        (_REVOCATION, "pbx_id", False),
        (_DENIAL, "project_id", False),
    ):
        for of, name in _respelt(table, "holder", (owner,)):
            rows = sa.and_(table.c[owner] == of, table.c.holder == name)
            if not _would_meet(table, rows, clean(name)):
                op.execute(sa.update(table).where(rows).values(holder=clean(name)))
            elif not stays:
                op.execute(sa.delete(table).where(rows))


def downgrade() -> None:
    """The normal form is as good a name as any."""


def _respelt(table: sa.TableClause, column: str, by: tuple[str, ...]) -> Iterator[tuple[object, str]]:
    """Names that are not in normal form, with whose they are; in one order."""
    columns = [*(table.c[one] for one in by), table.c[column]]
    found = op.get_bind().execute(sa.select(*columns).distinct().order_by(*columns)).all()
    for row in found:
        if clean(row[-1]) not in (row[-1], ""):
            yield row[0], row[-1]


def _would_meet(table: sa.TableClause, rows: sa.ColumnElement[bool], name: str) -> bool:
    """Whether one of the rows is there under that name too."""
    other = table.alias()
    same = [other.c[one.name] == one for one in table.c if one.name not in ("holder", "user_name", "line")]
    query = sa.select(sa.literal(1)).select_from(table.join(other, sa.and_(other.c.holder == name, *same))).where(rows)
    return op.get_bind().execute(query.limit(1)).first() is not None
