"""Other names and another key; data moved through Python."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "three", "two"


def upgrade():
    op.rename_table("entry", "posting")
    op.execute("ALTER SEQUENCE entry_id_seq RENAME TO posting_id_seq")
    op.execute("ALTER INDEX entry_pkey RENAME TO posting_pkey")
    connection = op.get_bind()
    op.add_column("posting", sa.Column("number", sa.Integer))
    for place, (number,) in enumerate(connection.execute(sa.text("SELECT id FROM posting ORDER BY id DESC"))):
        connection.execute(
            sa.text("UPDATE posting SET number = :place WHERE id = :number"), {"place": place + 1, "number": number}
        )
    with op.batch_alter_table("posting") as batch:
        batch.alter_column("number", nullable=False, type_=sa.BigInteger)
        batch.create_unique_constraint("uq_posting_number", ["number"])
        batch.alter_column("kind", type_=sa.String(20))
    op.create_index("ix_posting_memo", "posting", [sa.text("lower(memo)")], postgresql_where=sa.text("memo <> 'none'"))
    op.drop_constraint("posting_pkey", "posting", type_="primary")
    op.create_primary_key("posting_pkey", "posting", ["number"])
    op.drop_constraint("uq_posting_number", "posting", type_="unique")
    connection.execute(sa.text("UPDATE posting SET number = number + 100, memo = 'moved'"))


def downgrade():
    op.get_bind().execute(sa.text("UPDATE posting SET number = number - 100, memo = 'none'"))
    op.drop_constraint("posting_pkey", "posting", type_="primary")
    op.create_primary_key("posting_pkey", "posting", ["id"])
    op.drop_index("ix_posting_memo", table_name="posting")
    op.drop_column("posting", "number")
    op.alter_column("posting", "kind", type_=sa.String(10))
    op.execute("ALTER INDEX posting_pkey RENAME TO entry_pkey")
    op.execute("ALTER SEQUENCE posting_id_seq RENAME TO entry_id_seq")
    op.rename_table("posting", "entry")
