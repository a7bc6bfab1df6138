"""How pools are divided between sites."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "allocation",
        sa.Column("project_id", sa.Integer, sa.ForeignKey("project.id"), autoincrement=False, primary_key=True),
        sa.Column("document", sa.Text, nullable=False),
    )
