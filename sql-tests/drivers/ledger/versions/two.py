"""A column becomes a table of its own; others get another type, name, default."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "two", "one"


def upgrade():
    op.create_table(
        "account",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("name", sa.String(40), nullable=False),
        sa.UniqueConstraint("name", name="uq_account_name"),
    )
    op.execute("INSERT INTO account (name) SELECT DISTINCT account FROM entry ORDER BY account")
    op.add_column("entry", sa.Column("account_id", sa.BigInteger))
    op.execute("UPDATE entry SET account_id = account.id FROM account WHERE account.name = entry.account")
    op.alter_column("entry", "account_id", nullable=False)
    op.create_foreign_key("fk_entry_account", "entry", "account", ["account_id"], ["id"], ondelete="CASCADE")
    op.drop_index("ix_entry_kind", table_name="entry")
    op.drop_column("entry", "account")
    op.alter_column("entry", "amount", type_=sa.Numeric(12, 2), postgresql_using="amount::numeric")
    op.create_check_constraint("ck_entry_amount", "entry", "amount >= 0")
    op.alter_column("entry", "noted", new_column_name="noted_at")
    op.execute("DELETE FROM entry WHERE amount > 20")
    op.add_column("entry", sa.Column("memo", sa.Text, server_default="none", nullable=False))
    op.alter_column("entry", "memo", server_default=None)


def downgrade():
    op.drop_column("entry", "memo")
    op.alter_column("entry", "noted_at", new_column_name="noted")
    op.drop_constraint("ck_entry_amount", "entry", type_="check")
    op.alter_column("entry", "amount", type_=sa.String(20), postgresql_using="amount::text")
    op.add_column("entry", sa.Column("account", sa.String(40)))
    op.execute("UPDATE entry SET account = (SELECT name FROM account WHERE account.id = entry.account_id)")
    op.alter_column("entry", "account", nullable=False)
    op.drop_constraint("fk_entry_account", "entry", type_="foreignkey")
    op.drop_column("entry", "account_id")
    op.create_index("ix_entry_kind", "entry", ["kind", "account"])
    op.drop_table("account")
