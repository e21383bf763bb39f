"""asyncpg as its users use it: binary formats, portals, pools, introspection.

Run as `python test_asyncpg.py PORT`; exits with the number of failed topics.
"""

import asyncio
import datetime
import decimal
import io
import json
import sys
import traceback
import uuid

import asyncpg

PLACE = dict(host="127.0.0.1", port=int(sys.argv[1]), user="demo", password="demo1234", database="company")


async def values(connection):
    cases = [
        (-5, "int4"), (2**60, "int8"), (1.25, "float8"), (decimal.Decimal("123.4500"), "numeric"),
        (True, "bool"), ("tü", "text"), (b"\0\xff", "bytea"), (uuid.UUID(int=7), "uuid"),
        (datetime.date(2024, 2, 29), "date"), (datetime.time(1, 2, 3, 4), "time"),
        (datetime.datetime(2024, 1, 1, 1, 2, 3, 4), "timestamp"),
        (datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc), "timestamptz"),
        (datetime.timedelta(days=3, seconds=4), "interval"), ('{"a": 1}', "jsonb"),
        ([1, 2, None], "int4[]"), (["a", 'b"c', None], "text[]"), ([[1, 2], [3, 4]], "int4[]"),
    ]
    for value, kind in cases:
        got = await connection.fetchval(f"SELECT $1::{kind}", value)
        assert got == value, (kind, value, got)
    await connection.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")
    assert await connection.fetchval("SELECT $1::jsonb", {"a": [1, 2]}) == {"a": [1, 2]}
    statement = await connection.prepare("SELECT id, name FROM employees WHERE id = $1")
    assert [kind.name for kind in statement.get_parameters()] == ["int4"]
    assert "Plan" in (await statement.explain(1000))[0]


async def transactions(connection):
    await connection.execute("DROP TABLE IF EXISTS as_rows; CREATE TABLE as_rows (id int PRIMARY KEY, t text)")
    async with connection.transaction():
        await connection.execute("INSERT INTO as_rows VALUES (1, 'a')")
        try:
            async with connection.transaction():
                await connection.execute("INSERT INTO as_rows VALUES (1, 'b')")
        except asyncpg.UniqueViolationError as error:
            assert error.constraint_name == "as_rows_pkey"
    await connection.executemany("INSERT INTO as_rows VALUES ($1, $2)", [(n, "n") for n in range(10, 60)])
    try:
        await connection.executemany("INSERT INTO as_rows VALUES ($1, $2)", [(100, "x"), (100, "y")])
    except asyncpg.UniqueViolationError:
        pass
    assert await connection.fetchval("SELECT count(*) FROM as_rows") == 51
    async with connection.transaction(isolation="serializable", readonly=True, deferrable=True):
        assert len([row async for row in connection.cursor("SELECT * FROM as_rows", prefetch=7)]) == 51
        cursor = await connection.cursor("SELECT id FROM as_rows ORDER BY id")
        assert len(await cursor.fetch(5)) == 5
        assert await cursor.forward(3) == 3
        assert (await cursor.fetchrow())["id"] == 17


async def copies(connection):
    records = [(n, "c") for n in range(1000, 1500)]
    await connection.copy_records_to_table("as_rows", records=records)
    out = io.BytesIO()
    assert await connection.copy_from_query("SELECT * FROM as_rows WHERE id >= $1", 1000, output=out, format="csv") == "COPY 500"
    await connection.execute("TRUNCATE as_rows")
    out.seek(0)
    assert await connection.copy_to_table("as_rows", source=out, format="csv") == "COPY 500"


async def pools_and_time_limits(connection):
    endless = "SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b"
    try:
        await connection.fetch(endless, timeout=0.3)
    except asyncio.TimeoutError:
        pass
    assert await connection.fetchval("SELECT 1") == 1
    async with asyncpg.create_pool(min_size=2, max_size=4, **PLACE) as pool:
        async def twice(number):
            async with pool.acquire() as own:
                return await own.fetchval("SELECT $1::int * 2", number)
        assert await asyncio.gather(*map(twice, range(20))) == [2 * n for n in range(20)]


async def main():
    failed = 0
    for topic in (values, transactions, copies, pools_and_time_limits):
        connection = await asyncpg.connect(**PLACE)
        try:
            await asyncio.wait_for(topic(connection), 30)
        except Exception:
            failed += 1
            print(f"--- {topic.__name__}", file=sys.stderr)
            traceback.print_exc()
        await connection.close()
    sys.exit(failed)


asyncio.run(main())
