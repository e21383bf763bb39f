"""A table is made, filled, changed and filled again."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "one", None


def upgrade():
    entry = op.create_table(
        "entry",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("account", sa.String(40), nullable=False),
        sa.Column("amount", sa.String(20)),
        sa.Column("noted", sa.DateTime, server_default=sa.func.now()),
    )
    op.bulk_insert(
        entry, [{"account": f"account {number % 4}", "amount": f"{number}.50"} for number in range(1, 21)]
    )
    op.add_column("entry", sa.Column("kind", sa.String(10)))
    op.execute("UPDATE entry SET kind = CASE WHEN id % 2 = 0 THEN 'debit' ELSE 'credit' END")
    op.alter_column("entry", "kind", nullable=False)
    op.create_index("ix_entry_kind", "entry", ["kind", "account"])


def downgrade():
    op.drop_table("entry")
