"""psycopg 3 as its users use it; one function per topic.

Run as `python test_psycopg.py PORT`; exits with the number of failed topics.
"""

import datetime
import decimal
import io
import json
import sys
import threading
import time
import uuid

import psycopg
from psycopg import errors
from psycopg.rows import dict_row
from psycopg.types.json import Json, Jsonb

import topics

PORT = int(sys.argv[1])
ADDRESS = f"host=127.0.0.1 port={PORT} user=demo password=demo1234 dbname=company"


def connect(**options):
    return psycopg.connect(ADDRESS + " sslmode=require", **options)


def over_tls_with_scram():
    with connect() as connection:
        assert connection.pgconn.ssl_in_use
        assert connection.pgconn.used_password
        assert connection.info.server_version >= 150000
        assert connection.info.encoding == "utf-8"
    with psycopg.connect(ADDRESS + " sslmode=disable") as connection:
        assert not connection.pgconn.ssl_in_use
    try:
        psycopg.connect(ADDRESS.replace("demo1234", "wrong"))
    except psycopg.OperationalError as error:
        assert "password authentication failed" in str(error)
    else:
        raise AssertionError("a wrong password was taken")


def parameters_of_all_types():
    berlin = datetime.timezone(datetime.timedelta(hours=2))
    values = [
        (1, "int2"),
        (-40000, "int4"),
        (2**62, "int8"),
        (1.5, "float8"),
        (float("inf"), "float8"),
        (decimal.Decimal("12345678901234567890.123456789"), "numeric"),
        (decimal.Decimal("0.10"), "numeric"),
        (decimal.Decimal("NaN"), "numeric"),
        (True, "bool"),
        ("text with 'quotes' and ü", "text"),
        ("", "text"),
        (b"\x00\xff bytes", "bytea"),
        (uuid.UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), "uuid"),
        (datetime.date(2024, 2, 29), "date"),
        (datetime.date(1, 1, 1), "date"),
        (datetime.time(12, 34, 56, 789), "time"),
        (datetime.datetime(2024, 2, 29, 12, 34, 56, 789), "timestamp"),
        (datetime.datetime(2024, 2, 29, 12, 0, tzinfo=berlin), "timestamptz"),
        (datetime.timedelta(days=3, seconds=5, microseconds=7), "interval"),
        ([1, 2, None], "int4[]"),
        (["a", "b c", 'd"e', None], "text[]"),
        ([decimal.Decimal("1.5")], "numeric[]"),
        ([datetime.date(2024, 1, 1)], "date[]"),
        (None, "int4"),
        (None, "text"),
    ]
    with connect() as connection:
        for binary in (False, True):
            cursor = connection.cursor(binary=binary)
            for value, kind in values:
                for mark in ("%s", "%b", "%t"):
                    row = cursor.execute(f"SELECT {mark}::{kind}", (value,)).fetchone()
                    same = row[0] == value or (value != value and row[0] != row[0])
                    assert same, (binary, mark, kind, value, row)
            for wrapper, kind in ((Json, "json"), (Jsonb, "jsonb")):
                row = cursor.execute(f"SELECT %s::{kind}", (wrapper({"a": [1, None]}),)).fetchone()
                assert row[0] == {"a": [1, None]}, row
            row = cursor.execute("SELECT %(a)s::int + %(b)s::int", {"a": 1, "b": 2}).fetchone()
            assert row == (3,), row


def stored_types():
    row = (
        1, 7, 2**40, decimal.Decimal("1.50"), 0.1, "t", "v", b"\x00", True,
        datetime.date(2024, 1, 31), datetime.time(1, 2, 3),
        datetime.datetime(2024, 1, 31, 1, 2, 3, 4),
        datetime.datetime(2024, 1, 31, tzinfo=datetime.timezone.utc),
        datetime.timedelta(days=1, seconds=2),
        uuid.UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), {"k": [1, 2]}, {"k": None},
    )
    with connect(autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS py_types")
        connection.execute(
            "CREATE TABLE py_types (id int PRIMARY KEY, a int2, b int8, c numeric(8,2), d float8, e text,"
            " f varchar(5), g bytea, h bool, i date, j time, k timestamp, l timestamptz, m interval,"
            " n uuid, o json, p jsonb)"
        )
        marks = ", ".join(["%s"] * len(row))
        sent = row[:-2] + (Json(row[-2]), Jsonb(row[-1]))
        connection.execute(f"INSERT INTO py_types VALUES ({marks})", sent)
        for binary in (False, True):
            cursor = connection.cursor(binary=binary)
            assert cursor.execute("SELECT * FROM py_types").fetchone() == row
        names = connection.cursor(row_factory=dict_row)
        assert names.execute("SELECT id, e FROM py_types").fetchone() == {"id": 1, "e": "t"}
        found = connection.execute("SELECT id FROM py_types WHERE c = %s AND i < %s AND id = ANY(%s)",
                                   (decimal.Decimal("1.5"), datetime.date(2024, 2, 1), [1, 2]))
        assert found.fetchall() == [(1,)]
        moved = connection.execute("UPDATE py_types SET i = i + %s, c = c * %s, l = l + %s WHERE id = %s RETURNING i, c",
                                   (5, 2, datetime.timedelta(hours=1), 1))
        assert moved.fetchone() == (datetime.date(2024, 2, 5), decimal.Decimal("3.00"))


def many_and_pipelined():
    with connect(autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS py_many")
        connection.execute("CREATE TABLE py_many (id int PRIMARY KEY, name text)")
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO py_many VALUES (%s, %s)", [(n, f"n{n}") for n in range(50)])
            assert cursor.rowcount == 50
            cursor.executemany("INSERT INTO py_many VALUES (%s, %s) RETURNING id",
                               [(100, "a"), (101, "b")], returning=True)
            got = [cursor.fetchone()[0]]
            while cursor.nextset():
                got.append(cursor.fetchone()[0])
            assert got == [100, 101], got
        with connection.pipeline() as pipeline:
            results = [connection.execute("SELECT count(*) + %s FROM py_many", (n,)) for n in range(3)]
            pipeline.sync()
            assert [result.fetchone()[0] for result in results] == [52, 53, 54]
        try:
            with connection.pipeline():
                connection.execute("INSERT INTO py_many VALUES (200, 'x')")
                connection.execute("INSERT INTO py_many VALUES (200, 'x')")
                connection.execute("INSERT INTO py_many VALUES (201, 'x')")
        except errors.UniqueViolation:
            pass
        else:
            raise AssertionError("a duplicate went through")
        # What one Sync ends is one transaction: nothing of it stays.
        left = connection.execute("SELECT count(*) FROM py_many WHERE id >= 200").fetchone()
        assert left == (0,), left


def prepared():
    with connect(autocommit=True) as connection:
        connection.prepare_threshold = 1
        for n in range(10):
            row = connection.execute("SELECT %s::int + 1, %s::text", (n, "x")).fetchone()
            assert row == (n + 1, "x")
        connection.execute("DROP TABLE IF EXISTS py_prep")
        connection.execute("CREATE TABLE py_prep (id int PRIMARY KEY)")
        for n in range(5):
            connection.execute("INSERT INTO py_prep VALUES (%s)", (n,), prepare=True)
        count = "SELECT count(*) FROM py_prep"
        assert connection.execute(count, prepare=True).fetchone() == (5,)
        connection.execute("ALTER TABLE py_prep ADD COLUMN x int DEFAULT 1")
        assert connection.execute(count, prepare=True).fetchone() == (5,)
        connection.execute("DEALLOCATE ALL")
        assert connection.execute(count, prepare=True).fetchone() == (5,)


def server_side_cursors():
    with connect() as connection:
        with connection.cursor(name="walk") as cursor:
            cursor.itersize = 7
            cursor.execute("SELECT g FROM generate_series(1, %s) g ORDER BY g", (100,))
            assert cursor.fetchone() == (1,)
            assert cursor.fetchmany(3) == [(2,), (3,), (4,)]
            assert sum(row[0] for row in cursor) == sum(range(5, 101))
        scrolling = psycopg.ServerCursor(connection, "back", scrollable=True, withhold=True)
        with scrolling as cursor:
            cursor.execute("SELECT g FROM generate_series(1, 50) g")
            cursor.scroll(10, "absolute")
            assert cursor.fetchone() == (11,)
            connection.commit()
            cursor.scroll(-3)
            assert cursor.fetchone() == (9,)
        with psycopg.ServerCursor(connection, "bytes") as cursor:
            cursor.execute("SELECT 1::int, 'x'::text, 1.5::numeric", binary=True)
            assert cursor.fetchone() == (1, "x", decimal.Decimal("1.5"))
        with connection.cursor() as cursor:
            rows = list(cursor.stream("SELECT g FROM generate_series(1, 20) g"))
            assert len(rows) == 20


def copy_in_and_out():
    with connect(autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS py_copy")
        connection.execute("CREATE TABLE py_copy (id int PRIMARY KEY, t text, n numeric, d date)")
        rows = [
            (1, "tab\there", decimal.Decimal("1.5"), datetime.date(2024, 1, 1)),
            (2, None, None, None),
            (3, "line\nbreak \\ back", decimal.Decimal("-0.001"), datetime.date(1999, 12, 31)),
        ]
        with connection.cursor() as cursor:
            with cursor.copy("COPY py_copy (id, t, n, d) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
            assert cursor.rowcount == 3
            assert cursor.execute("SELECT * FROM py_copy ORDER BY id").fetchall() == rows
            out = io.BytesIO()
            with cursor.copy("COPY py_copy TO STDOUT") as copy:
                for data in copy:
                    out.write(data)
            lines = sorted(out.getvalue().decode().splitlines())
            assert lines[0] == "1\ttab\\there\t1.5\t2024-01-01", lines
            assert lines[1] == "2\t\\N\t\\N\t\\N", lines
            try:
                with cursor.copy("COPY py_copy FROM STDIN") as copy:
                    copy.write(b"4\tx\t1\t2024-01-01\n1\tdup\t1\t2024-01-01\n")
            except errors.UniqueViolation:
                pass
            else:
                raise AssertionError("a duplicate was copied")
            try:
                with cursor.copy("COPY py_copy FROM STDIN") as copy:
                    copy.write(b"x\ty\t1\t2024-01-01\n")
            except errors.InvalidTextRepresentation as error:
                assert "py_copy" in error.diag.context, error.diag.context
            else:
                raise AssertionError("nonsense was copied")
            assert cursor.execute("SELECT count(*) FROM py_copy").fetchone() == (3,)


def transactions():
    with connect() as connection:
        connection.execute("DROP TABLE IF EXISTS py_tx")
        connection.execute("CREATE TABLE py_tx (id int PRIMARY KEY)")
        connection.commit()
        with connection.transaction():
            connection.execute("INSERT INTO py_tx VALUES (1)")
            try:
                with connection.transaction():
                    connection.execute("INSERT INTO py_tx VALUES (2)")
                    connection.execute("INSERT INTO py_tx VALUES (1)")
            except errors.UniqueViolation:
                pass
            connection.execute("INSERT INTO py_tx VALUES (3)")
        rows = connection.execute("SELECT id FROM py_tx ORDER BY id").fetchall()
        assert rows == [(1,), (3,)], rows
        connection.rollback()
        connection.execute("INSERT INTO py_tx VALUES (4)")
        connection.rollback()
        assert connection.execute("SELECT count(*) FROM py_tx").fetchone() == (2,)
        connection.commit()
        connection.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        assert connection.execute("SHOW transaction_isolation").fetchone() == ("serializable",)
        connection.commit()
        connection.read_only = True
        try:
            connection.execute("INSERT INTO py_tx VALUES (5)")
        except errors.ReadOnlySqlTransaction:
            connection.rollback()
        else:
            raise AssertionError("a read-only transaction wrote")


def error_fields():
    with connect(autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS py_child")
        connection.execute("DROP TABLE IF EXISTS py_parent")
        connection.execute("CREATE TABLE py_parent (id int PRIMARY KEY, v int NOT NULL CONSTRAINT positive CHECK (v > 0))")
        connection.execute("CREATE TABLE py_child (p int CONSTRAINT known REFERENCES py_parent)")
        connection.execute("INSERT INTO py_parent VALUES (1, 1)")
        cases = [
            ("INSERT INTO py_parent VALUES (1, 1)", "23505", "py_parent_pkey", "py_parent", None),
            ("INSERT INTO py_parent VALUES (2, 0)", "23514", "positive", "py_parent", None),
            ("INSERT INTO py_parent VALUES (2, NULL)", "23502", None, "py_parent", "v"),
            ("INSERT INTO py_child VALUES (9)", "23503", "known", "py_child", None),
        ]
        for sql, state, constraint, table, column in cases:
            try:
                connection.execute(sql)
            except psycopg.Error as error:
                diag = error.diag
                assert diag.sqlstate == state, (sql, diag.sqlstate)
                assert diag.severity == "ERROR"
                assert diag.constraint_name == constraint, (sql, diag.constraint_name)
                assert diag.table_name == table, (sql, diag.table_name)
                assert diag.column_name == column, (sql, diag.column_name)
                assert diag.schema_name == "public", (sql, diag.schema_name)
            else:
                raise AssertionError(sql)
        try:
            connection.execute("INSERT INTO py_parent VALUES (1, 1)")
        except errors.UniqueViolation as error:
            assert error.diag.message_detail == "Key (id)=(1) already exists.", error.diag.message_detail
        # Of several indexes over expressions, the one that is violated is told.
        connection.execute("CREATE TABLE py_keyed (a text, b text)")
        connection.execute("CREATE UNIQUE INDEX py_keyed_a ON py_keyed (lower(a))")
        connection.execute("CREATE UNIQUE INDEX py_keyed_b ON py_keyed (upper(b))")
        connection.execute("INSERT INTO py_keyed VALUES ('x', 'y')")
        try:
            connection.execute("INSERT INTO py_keyed SELECT 'z', 'Y'")
        except errors.UniqueViolation as error:
            assert error.diag.message_detail == "Key (upper(b))=(Y) already exists.", error.diag.message_detail
        else:
            raise AssertionError("a duplicate was taken")
        try:
            connection.execute("SELECT nope FROM py_parent")
        except errors.UndefinedColumn as error:
            assert error.diag.statement_position == "8", error.diag.statement_position


def cancelled():
    with connect(autocommit=True) as connection:
        threading.Timer(0.3, connection.cancel).start()
        started = time.monotonic()
        try:
            connection.execute("SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b").fetchone()
        except errors.QueryCanceled:
            pass
        else:
            raise AssertionError("it was not cancelled")
        assert time.monotonic() - started < 20
        assert connection.execute("SELECT 1").fetchone() == (1,)
        connection.execute("SET statement_timeout = 200")
        try:
            connection.execute("SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b")
        except errors.QueryCanceled as error:
            assert "timeout" in str(error)
        else:
            raise AssertionError("no timeout")
        # It holds for rows on their way, and for a COPY whose client is silent.
        try:
            for _ in connection.cursor().stream("SELECT a FROM generate_series(1, 100000000) a"):
                pass
        except errors.QueryCanceled as error:
            assert "timeout" in str(error)
        else:
            raise AssertionError("no timeout for rows that flow")
        try:
            with connection.cursor().copy("COPY departments FROM STDIN"):
                time.sleep(0.5)
        except errors.QueryCanceled as error:
            assert "timeout" in str(error)
        else:
            raise AssertionError("no timeout for a COPY")
        connection.execute("SET statement_timeout = 0")


def two_results_of_one_snapshot():
    """A half-read result holds nothing of its transaction up."""
    rows = "SELECT g, repeat('x', 100) FROM generate_series(1, 50000) g"
    with connect() as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        with connection.cursor(name="first") as first, connection.cursor(name="second") as second:
            first.execute(rows)
            assert len(first.fetchmany(10)) == 10
            assert connection.execute("SELECT count(*) FROM departments").fetchone() == (4,)
            second.execute(rows)
            assert len(second.fetchmany(10)) == 10
            assert len(first.fetchall()) == 49990
            assert len(second.fetchall()) == 49990


def deep_statements():
    """Whatever nests too deeply is refused; nothing ends the server."""
    with connect(autocommit=True) as connection:
        plus = "SELECT " + " + ".join(["1"] * 900)
        assert connection.execute(plus).fetchone() == (900,)
        for depth in (50, 80, 100, 300, 1000, 5000, 20000):
            nests = [
                "SELECT " + " + ".join(["1"] * depth),
                "SELECT " + "(" * depth + "1" + ")" * depth,
                "SELECT " + "(SELECT " * depth + "1" + ")" * depth,
                "SELECT " + "NOT " * depth + "true",
                "SELECT " + "- " * depth + "1",
                "SELECT " + "CASE WHEN true THEN " * depth + "1" + " END" * depth,
                "SELECT " + "abs(" * depth + "1" + ")" * depth,
                "SELECT " + " || ".join(["id::text"] * depth) + " FROM employees LIMIT 1",
                "SELECT count(*) FROM employees WHERE " + " OR ".join([f"id = {n}" for n in range(depth)]),
                "SELECT 1 FROM " + "(SELECT 1 FROM " * depth + "employees" + ") s" * depth + " LIMIT 1",
                " UNION ALL ".join(["SELECT 1"] * depth),
                "SELECT 1" + "::int" * depth,
                "SELECT " + "ARRAY[" * depth + "1" + "]" * depth,
                "SELECT count(*) FROM employees WHERE id IN (" + ",".join(map(str, range(depth))) + ")",
            ]
            for sql in nests:
                try:
                    connection.execute(sql).fetchall()
                except psycopg.Error as error:
                    state = error.diag.sqlstate
                    assert state in ("54001", "54000", "54011", "0A000"), (depth, sql[:60], state, str(error)[:100])
        assert connection.execute("SELECT 1").fetchone() == (1,)


def several_statements():
    with connect(autocommit=True) as connection:
        cursor = connection.execute("SELECT 1; SELECT 2, 3")
        assert cursor.fetchall() == [(1,)]
        assert cursor.nextset()
        assert cursor.fetchall() == [(2, 3)]
        assert not cursor.nextset()
        notices = []
        connection.add_notice_handler(lambda diag: notices.append(diag.message_primary))
        connection.execute("DROP TABLE IF EXISTS py_none")
        assert notices == ['table "py_none" does not exist, skipping'], notices
        plan = connection.execute("EXPLAIN SELECT * FROM employees WHERE id = 1").fetchall()
        assert plan and all(isinstance(line[0], str) for line in plan)
        kind = connection.execute("SELECT pg_typeof(1), 'employees'::regclass").fetchone()
        assert kind == ("integer", "employees"), kind
        assert json.loads(json.dumps(connection.execute("SELECT NULL").fetchone()[0])) is None


TOPICS = [
    over_tls_with_scram,
    parameters_of_all_types,
    stored_types,
    many_and_pipelined,
    prepared,
    server_side_cursors,
    copy_in_and_out,
    transactions,
    error_fields,
    cancelled,
    two_results_of_one_snapshot,
    several_statements,
    deep_statements,
]


topics.run(TOPICS)
