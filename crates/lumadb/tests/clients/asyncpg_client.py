"""asyncpg: its own protocol in binary, introspection of types, COPY of records, LISTEN."""

import asyncio
import datetime as dt
import decimal
import io
import sys
import uuid

import asyncpg

url = sys.argv[1]


async def types(conn):
    zone = dt.timezone.utc
    for name, value in {
        "bool": True, "smallint": 7, "int": -7, "bigint": 2**62, "real": 0.5, "float8": 0.1,
        "numeric": decimal.Decimal("-1234567890.0987654321"), "text": "\u00e9'", "varchar(5)": "abc", "bytea": b"\x00\xff",
        "date": dt.date(1, 1, 1), "time": dt.time(1, 2, 3, 4), "timestamp": dt.datetime(2024, 1, 1, 1, 1, 1, 1),
        "timestamptz": dt.datetime(2024, 1, 1, tzinfo=zone), "interval": dt.timedelta(days=40, microseconds=1),
        "uuid": uuid.uuid4(), "json": '{"a": 1}', "jsonb": '{"a": 1}', "int[]": [1, None], "text[]": ["a", ""],
        "timestamptz[]": [dt.datetime(2024, 1, 1, tzinfo=zone)], "numeric[]": [decimal.Decimal("1.5")], "oid": 26, "name": "n",
        "\"char\"": b"c",
    }.items():
        got = await conn.fetchval(f"SELECT $1::{name}", value)
        assert got == value, (name, got)
    assert await conn.fetchval("SELECT 'infinity'::date") == dt.date.max
    assert await conn.fetchval("SELECT $1::int = ANY($2::int[])", 2, [1, 2]) is True


async def own_types(conn):
    await conn.execute("CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')")
    await conn.execute("CREATE DOMAIN small AS int CHECK (VALUE < 100)")
    await conn.execute("CREATE TABLE felt (m mood PRIMARY KEY, ms mood[], n small)")
    await conn.executemany("INSERT INTO felt VALUES ($1, $2, $3)", [("sad", ["ok", None], 1), ("happy", [], 2)])
    rows = await conn.fetch("SELECT * FROM felt WHERE m > $1 ORDER BY m", "sad")
    assert [tuple(row) for row in rows] == [("happy", [], 2)], rows
    assert await conn.fetchval("SELECT $1::mood[]", ["ok", "sad"]) == ["ok", "sad"]
    statement = await conn.prepare("SELECT m, ms, n FROM felt WHERE m = $1")
    assert [parameter.name for parameter in statement.get_parameters()] == ["mood"]
    assert [(a.type.name, a.type.kind) for a in statement.get_attributes()][:2] == [("mood", "scalar"), ("mood[]", "array")]
    for wrong, error in ((("angry", [], 3), asyncpg.InvalidTextRepresentationError), (("ok", [], 300), asyncpg.CheckViolationError)):
        try:
            await conn.execute("INSERT INTO felt VALUES ($1, $2, $3)", *wrong)
            raise AssertionError(wrong)
        except error:
            pass


async def prepared(conn):
    statement = await conn.prepare("SELECT $1::int + 1 AS n, $2::text AS t")
    assert await statement.fetchrow(1, "x") == (2, "x")
    assert [parameter.name for parameter in statement.get_parameters()] == ["int4", "text"]
    assert [(a.name, a.type.name) for a in statement.get_attributes()] == [("n", "int4"), ("t", "text")]
    await statement.fetch(1, "x")
    assert statement.get_statusmsg() == "SELECT 1"
    plan = await (await conn.prepare("SELECT 1 WHERE $1::int = 1")).explain(1)
    assert plan[0]["Plan"]["Node Type"], plan


async def tables(conn):
    await conn.execute("CREATE TABLE thing (id serial PRIMARY KEY, name text, score numeric(8, 3), tags text[], made timestamptz DEFAULT now())")
    assert await conn.execute("INSERT INTO thing (name) VALUES ('a'), ('b')") == "INSERT 0 2"
    await conn.executemany("INSERT INTO thing (name, score, tags) VALUES ($1, $2, $3)",
                           [(f"m{n}", decimal.Decimal(n) / 8, [str(n)]) for n in range(100)])
    assert await conn.fetchval("SELECT count(*) FROM thing") == 102
    row = await conn.fetchrow("SELECT * FROM thing WHERE name = $1", "m8")
    assert dict(row)["score"] == decimal.Decimal("1.000") and row["tags"] == ["8"]
    result = await conn.copy_records_to_table("thing", records=[(1000 + n, f"c{n}", None, None) for n in range(500)],
                                              columns=["id", "name", "score", "tags"])
    assert result == "COPY 500"
    out = io.BytesIO()
    assert await conn.copy_from_query("SELECT id, name FROM thing WHERE id >= $1 ORDER BY id", 1498, output=out) == "COPY 2"
    assert out.getvalue() == b"1498\tc498\n1499\tc499\n", out.getvalue()
    out = io.BytesIO()
    await conn.copy_from_table("thing", columns=["id"], output=out, format="csv", header=True)
    assert out.getvalue().startswith(b"id\n")
    assert await conn.copy_to_table("thing", source=io.BytesIO(b"9000,csv\n"), columns=["id", "name"], format="csv") == "COPY 1"
    rows = await conn.fetchmany("INSERT INTO thing (name) VALUES ($1) RETURNING name", [("x",), ("y",)])
    assert [r["name"] for r in rows] == ["x", "y"]


async def transactions(conn):
    async with conn.transaction():
        names = [row["name"] async for row in conn.cursor("SELECT name FROM thing ORDER BY id", prefetch=10)]
        assert len(names) == 605, len(names)
        cursor = await conn.cursor("SELECT id FROM thing ORDER BY id")
        await cursor.forward(5)
        assert len(await cursor.fetch(3)) == 3
    try:
        async with conn.transaction():
            await conn.execute("DELETE FROM thing")
            async with conn.transaction():
                await conn.execute("SELECT 1")
            raise KeyError
    except KeyError:
        pass
    assert await conn.fetchval("SELECT count(*) FROM thing") == 605
    async with conn.transaction(isolation="serializable", readonly=True, deferrable=True):
        try:
            await conn.execute("DELETE FROM thing")
            raise AssertionError("read only")
        except asyncpg.ReadOnlySQLTransactionError:
            pass
    try:
        await conn.execute("INSERT INTO thing (id) VALUES (1)")
    except asyncpg.UniqueViolationError as error:
        assert (error.constraint_name, error.table_name) == ("thing_pkey", "thing")
    try:
        await conn.fetch("SELECT pg_sleep(10)", timeout=0.2)
        raise AssertionError("it slept")
    except TimeoutError:
        pass
    assert await conn.fetchval("SELECT 1") == 1


async def listening(conn):
    heard = asyncio.Queue()
    await conn.add_listener("channel", lambda *said: heard.put_nowait(said[1:]))
    other = await asyncpg.connect(url)
    await other.execute("NOTIFY channel, 'payload'")
    said = await asyncio.wait_for(heard.get(), 5)
    assert said == (other.get_server_pid(), "channel", "payload"), said
    await conn.reset()
    await other.close()


async def codecs(conn):
    await conn.set_type_codec("jsonb", encoder=str, decoder=len, schema="pg_catalog")
    assert await conn.fetchval("SELECT '[]'::jsonb") == 2


async def pools():
    async with asyncpg.create_pool(url, min_size=2, max_size=4) as pool:
        got = await asyncio.gather(*[pool.fetchval("SELECT $1::int", n) for n in range(40)])
        assert got == list(range(40))


async def main():
    conn = await asyncpg.connect(url)
    assert conn.get_server_version().major == 15
    for step in (types, own_types, prepared, tables, transactions, listening, codecs):
        try:
            await step(conn)
        except Exception:
            if "--all" not in sys.argv:
                raise
            import traceback
            print("FAILED", step.__name__)
            traceback.print_exc()
    await conn.close()
    await pools()
    print("asyncpg", asyncpg.__version__)


asyncio.run(main())
