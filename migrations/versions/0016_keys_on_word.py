"""Whose word it is that a key is a device's, where it was enrolled while licenses were bound to the device already.

Keys that were enrolled before this go on as they are.
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("device", sa.Column("token_by", sa.String(255), nullable=True))
    op.add_column("license", sa.Column("key_on_word_of", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("license", "key_on_word_of")
    op.drop_column("device", "token_by")
