"""Alembic over psycopg: several steps on one table in one transaction, up and down.

Run as `python test_alembic.py PORT`; exits with the number of failed topics.
"""

import pathlib
import sys

import sqlalchemy as sa
from alembic import autogenerate, command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext

import topics

ENGINE = sa.create_engine(f"postgresql+psycopg://demo:demo1234@127.0.0.1:{sys.argv[1]}/company")
SCRIPTS = pathlib.Path(__file__).parent / "ledger"

METADATA = sa.MetaData()
ACCOUNT = sa.Table(
    "account",
    METADATA,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("name", sa.String(40), nullable=False),
    sa.UniqueConstraint("name", name="uq_account_name"),
)
POSTING = sa.Table(
    "posting",
    METADATA,
    sa.Column("id", sa.Integer, sa.Sequence("posting_id_seq"), nullable=False),
    sa.Column("amount", sa.Numeric(12, 2)),
    sa.Column("noted_at", sa.DateTime, server_default=sa.func.now()),
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("account_id", sa.BigInteger, nullable=False),
    sa.Column("memo", sa.Text, nullable=False),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.ForeignKeyConstraint(["account_id"], ["account.id"], name="fk_entry_account", ondelete="CASCADE"),
    sa.CheckConstraint("amount >= 0", name="ck_entry_amount"),
)
sa.Index("ix_posting_memo", sa.text("lower(memo)"), postgresql_where=sa.text("memo <> 'none'"), _table=POSTING)


def run(what, *arguments, fails=False):
    """One command in one transaction, taken back if it fails at its end."""
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    with ENGINE.connect() as connection:
        config.attributes.update(connection=connection, fails=fails)
        try:
            what(config, *arguments)
            assert not fails
        except RuntimeError:
            assert fails


def value(statement):
    with ENGINE.connect() as connection:
        return connection.execute(sa.text(statement)).one()


def up():
    run(command.upgrade, "head")
    assert value("SELECT count(*), sum(amount), min(number), max(number) FROM posting") == (19, 199.50, 101, 119)
    assert value("SELECT count(*) FROM posting JOIN account ON account.id = account_id") == (19,)
    assert value("SELECT version_num FROM alembic_version") == ("three",)
    with ENGINE.connect() as connection:
        try:
            connection.execute(sa.text("UPDATE posting SET number = 101 WHERE number = 102"))
            raise AssertionError("a key twice")
        except sa.exc.IntegrityError:
            connection.rollback()


def compared():
    with ENGINE.connect() as connection:
        only = {"include_name": lambda name, kind, _: kind != "table" or name in METADATA.tables}
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True, **only})
        found = autogenerate.compare_metadata(context, METADATA)
        assert not found, found


def down():
    run(command.downgrade, "one")
    assert value("SELECT count(*), min(account), max(amount) FROM entry") == (19, "account 0", "9.50")
    run(command.upgrade, "head")
    run(command.downgrade, "base")
    found = sa.inspect(ENGINE).get_table_names()
    assert "entry" not in found and "posting" not in found and "account" not in found, found


def taken_back():
    run(command.upgrade, "one")
    run(command.upgrade, "head", fails=True)
    assert value("SELECT count(*), max(account) FROM entry") == (20, "account 3")
    assert not sa.inspect(ENGINE).has_table("posting")
    run(command.upgrade, "head")
    run(command.downgrade, "base")


topics.run([up, compared, down, taken_back], each_needs_the_last=True)
