"""SQLAlchemy 2 over psycopg: schema, ORM, bulk, reflection.

Run as `python test_sqlalchemy.py PORT`; exits with the number of failed topics.
"""

import datetime
import decimal
import sys
import uuid

from sqlalchemy import (CheckConstraint, ForeignKey, Numeric, String, create_engine, delete, func, insert, inspect,
                        select, text, update)
from sqlalchemy.dialects.postgresql import JSONB, insert as upsert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, joinedload, mapped_column, relationship, selectinload

import topics

ENGINE = create_engine(f"postgresql+psycopg://demo:demo1234@127.0.0.1:{sys.argv[1]}/company")


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "sa_user"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(30), index=True)
    email: Mapped[str | None] = mapped_column(unique=True)
    balance: Mapped[decimal.Decimal] = mapped_column(Numeric(10, 2), server_default=text("0"))
    created: Mapped[datetime.datetime] = mapped_column(server_default=func.now())
    data: Mapped[dict | None] = mapped_column(JSONB)
    mark: Mapped[uuid.UUID] = mapped_column(default=uuid.uuid4)
    addresses: Mapped[list["Address"]] = relationship(back_populates="user", cascade="all, delete-orphan")
    __table_args__ = (CheckConstraint("balance >= 0", name="sa_balance"),)


class Address(Base):
    __tablename__ = "sa_address"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str]
    user_id: Mapped[int] = mapped_column(ForeignKey("sa_user.id", ondelete="CASCADE"))
    user: Mapped["User"] = relationship(back_populates="addresses")


def schema():
    Base.metadata.drop_all(ENGINE)
    Base.metadata.create_all(ENGINE)
    Base.metadata.create_all(ENGINE)
    found = inspect(ENGINE)
    assert found.has_table("sa_user")
    assert found.get_pk_constraint("sa_user")["constrained_columns"] == ["id"]
    assert found.get_foreign_keys("sa_address")[0]["options"] == {"ondelete": "CASCADE"}
    assert {index["name"] for index in found.get_indexes("sa_user")} == {"ix_sa_user_name", "sa_user_email_key"}
    assert found.get_check_constraints("sa_user")[0]["name"] == "sa_balance"
    assert [column["name"] for column in found.get_columns("sa_address")] == ["id", "email", "user_id"]


def objects():
    with Session(ENGINE) as session:
        ann = User(name="ann", email="a@x", data={"k": [1]}, addresses=[Address(email="1"), Address(email="2")])
        session.add_all([ann] + [User(name=f"n{n}", email=f"{n}@x") for n in range(30)])
        session.commit()
        assert ann.balance == 0 and ann.data == {"k": [1]} and len(ann.addresses) == 2
        ann.name = "bea"
        session.commit()
        query = select(User).where(User.name == "bea").options(selectinload(User.addresses))
        assert session.scalars(query).one() is ann
        query = select(User).join(User.addresses).options(joinedload(User.addresses)).distinct()
        assert len(session.scalars(query).unique().all()) == 1
        session.execute(update(User).where(User.id > 10).values(balance=User.balance + 5))
        counted = select(User.name, func.count(Address.id).label("n")).outerjoin(Address).group_by(User.name)
        assert session.execute(counted.order_by(text("n DESC")).limit(1)).one() == ("bea", 2)
        session.delete(ann)
        session.commit()
        assert session.scalar(select(func.count()).select_from(Address)) == 0
        session.add(User(name="twice", email="1@x"))
        try:
            session.commit()
        except IntegrityError:
            session.rollback()
        else:
            raise AssertionError("a duplicate went through")
        with session.begin_nested():
            session.add(User(name="nested"))
        session.commit()
        locked = select(User).with_for_update(skip_locked=True).order_by(User.id).limit(1)
        assert session.scalars(locked).one().name == "n0"


def bulk():
    with Session(ENGINE) as session:
        session.execute(insert(User), [dict(name=f"bulk{n}") for n in range(1500)])
        returning = insert(User).returning(User.id, sort_by_parameter_order=True)
        ids = session.scalars(returning, [dict(name=f"r{n}") for n in range(50)]).all()
        session.execute(update(User), [dict(id=number, name="updated") for number in ids])
        one = upsert(User).values(id=ids[0], name="again", mark=uuid.uuid4())
        one = one.on_conflict_do_update(index_elements=["id"], set_=dict(name=one.excluded.name))
        assert session.scalars(one.returning(User.name)).all() == ["again"]
        assert session.execute(delete(User).where(User.name.like("bulk%"))).rowcount == 1500
        session.commit()
        flowing = select(User).execution_options(stream_results=True, yield_per=10)
        assert len(session.scalars(flowing).all()) == 81
    Base.metadata.drop_all(ENGINE)


topics.run([schema, objects, bulk])
