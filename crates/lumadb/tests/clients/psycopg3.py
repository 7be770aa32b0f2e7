"""psycopg 3 on libpq: what its own suite asks of a server, on the happy path and in its errors."""

import asyncio
import datetime as dt
import decimal
import ipaddress
import sys
import uuid

import psycopg
from psycopg import sql
from psycopg.rows import class_row, dict_row, namedtuple_row
from psycopg.types.json import Json, Jsonb

url = sys.argv[1]


def types(conn):
    zone = dt.timezone.utc
    values = {
        "bool": True,
        "int2": -32768,
        "int4": 2**31 - 1,
        "int8": -(2**63),
        "float4": 1.5,
        "float8": 0.1,
        "numeric": decimal.Decimal("12345678901234567890.000100"),
        "text": "a'b\\c\n\u00e9\U0001f600",
        "varchar": "word",
        "bytea": bytes(range(256)),
        "date": dt.date(2024, 2, 29),
        "time": dt.time(23, 59, 59, 999999),
        "timestamp": dt.datetime(1999, 12, 31, 23, 59, 59, 1),
        "timestamptz": dt.datetime(2024, 6, 1, 12, tzinfo=zone),
        "interval": dt.timedelta(days=3, seconds=4, microseconds=5),
        "uuid": uuid.UUID("12345678-1234-5678-1234-567812345678"),
        "int4[]": [1, None, -3],
        "text[]": ["a", 'b"c', "", None, "NULL", "x,y"],
        "float8[]": [1.5, float("inf")],
        "uuid[]": [uuid.UUID(int=1)],
        "date[]": [dt.date(2024, 1, 1)],
        "numeric[]": [decimal.Decimal("1.50")],
        "bool[]": [True, False],
        "bytea[]": [b"\x00", b"ab"],
        "timestamptz[]": [dt.datetime(2024, 6, 1, 12, tzinfo=zone)],
    }
    for name, value in values.items():
        for binary in (False, True):
            with conn.cursor(binary=binary) as cur:
                for form in ("%s", "%t", "%b"):
                    got = cur.execute(f"SELECT {form}::{name}", [value]).fetchone()[0]
                    assert got == value, (name, binary, form, got, value)
                got = cur.execute(f"SELECT NULL::{name}").fetchone()[0]
                assert got is None
                assert cur.description[0].type_code == conn.adapters.types[name.removesuffix("[]")].oid or "[]" in name
    for binary in (False, True):
        cur = conn.cursor(binary=binary)
        for wrap in (Json, Jsonb):
            document = {"a": [1, 2.5, None, True], "b": {"c": "\u00e9"}}
            assert cur.execute("SELECT %s", [wrap(document)]).fetchone()[0] == document
        cur.execute("SELECT %s = ANY(%s)", [2, [1, 2, 3]])
        assert cur.fetchone() == (True,)
        cur.execute("SELECT 'infinity'::float8, '-infinity'::float8, 'NaN'::float8")
        high, low, nan = cur.fetchone()
        assert high == float("inf") and low == float("-inf") and nan != nan


def rows(conn):
    cur = conn.execute("SELECT 1 AS a, 'x' AS b")
    assert [column.name for column in cur.description] == ["a", "b"]
    assert cur.statusmessage == "SELECT 1" and cur.rowcount == 1
    assert conn.cursor(row_factory=dict_row).execute("SELECT 1 AS a").fetchone() == {"a": 1}
    assert conn.cursor(row_factory=namedtuple_row).execute("SELECT 1 AS a").fetchone().a == 1

    class Point:
        def __init__(self, x, y):
            self.x, self.y = x, y

    got = conn.cursor(row_factory=class_row(Point)).execute("SELECT 1 AS x, 2 AS y").fetchone()
    assert (got.x, got.y) == (1, 2)
    cur = conn.cursor()
    cur.execute("SELECT * FROM generate_series(1, 10) AS g(n)")
    assert cur.fetchmany(3) == [(1,), (2,), (3,)] and len(cur.fetchall()) == 7
    cur.scroll(0, "absolute")
    assert cur.fetchone() == (1,)
    assert list(cur.stream("SELECT n FROM generate_series(1, 5) g(n)")) == [(n,) for n in range(1, 6)]
    cur.execute("SELECT 1; SELECT 'two', 2")
    assert cur.fetchall() == [(1,)] and cur.nextset() and cur.fetchall() == [("two", 2)] and not cur.nextset()


def writes(conn):
    conn.execute("CREATE TABLE item (id serial PRIMARY KEY, name text UNIQUE NOT NULL, at timestamptz DEFAULT now(), extra jsonb)")
    cur = conn.cursor()
    cur.executemany("INSERT INTO item (name, extra) VALUES (%s, %s) RETURNING id",
                    [(f"n{i}", Jsonb({"i": i})) for i in range(50)], returning=True)
    ids = []
    while True:
        ids.append(cur.fetchone()[0])
        if not cur.nextset():
            break
    assert ids == list(range(1, 51))
    cur.executemany("UPDATE item SET name = name || '!' WHERE id = %s", [(1,), (2,), (1000,)])
    assert cur.rowcount == 2
    query = sql.SQL("SELECT {} FROM {} WHERE {} > %s ORDER BY 1").format(
        sql.Identifier("name"), sql.Identifier("public", "item"), sql.Identifier("id"))
    assert cur.execute(query, [48]).fetchall() == [("n48",), ("n49",)]
    conn.commit()
    try:
        with conn.transaction():
            conn.execute("INSERT INTO item (name) VALUES ('kept not')")
            with conn.transaction():
                conn.execute("INSERT INTO item (name) VALUES ('n5')")
        raise AssertionError("a second n5")
    except psycopg.errors.UniqueViolation as error:
        diag = error.diag
        assert (diag.constraint_name, diag.table_name, diag.schema_name) == ("item_name_key", "item", "public")
        assert diag.message_detail == "Key (name)=(n5) already exists."
    assert conn.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    with conn.transaction() as outer:
        conn.execute("DELETE FROM item WHERE id = 1")
        with conn.transaction():
            conn.execute("DELETE FROM item WHERE id = 2")
            raise psycopg.Rollback()
    assert conn.execute("SELECT min(id) FROM item").fetchone() == (2,)
    conn.commit()
    for statement, kind in [
        ("SELECT * FROM nowhere", psycopg.errors.UndefinedTable),
        ("SELECT nothing", psycopg.errors.UndefinedColumn),
        ("SELEC 1", psycopg.errors.SyntaxError),
        ("INSERT INTO item (name) VALUES (NULL)", psycopg.errors.NotNullViolation),
        ("SELECT 1 / 0", psycopg.errors.DivisionByZero),
        ("SELECT 'x'::int", psycopg.errors.InvalidTextRepresentation),
        ("SELECT 'x'::date", psycopg.errors.InvalidDatetimeFormat),
        ("SELECT nofunction(1)", psycopg.errors.UndefinedFunction),
        ("SELECT 99999999999::int", psycopg.errors.NumericValueOutOfRange),
    ]:
        try:
            conn.execute(statement)
            raise AssertionError(statement)
        except kind:
            assert conn.info.transaction_status == psycopg.pq.TransactionStatus.INERROR
            conn.rollback()


def prepared(conn):
    conn.prepare_threshold = 2
    for number in range(8):
        assert conn.execute("SELECT %s + 1", [number]).fetchone() == (number + 1,)
    names = conn.execute("SELECT statement, parameter_types::text FROM pg_prepared_statements WHERE NOT from_sql", prepare=False).fetchall()
    assert len(names) == 1 and names[0][0] == "SELECT $1 + 1", names
    assert conn.execute("SELECT %s::text", ["p"], prepare=True).fetchone() == ("p",)
    # The table's shape changes under a prepared statement.
    conn.execute("CREATE TABLE shape (a int)")
    for _ in range(3):
        conn.execute("SELECT a FROM shape", prepare=True)
    conn.execute("DEALLOCATE ALL")
    conn.commit()
    conn.prepare_threshold = 5


def server_cursors(conn):
    with conn.cursor("named") as cur:
        cur.execute("SELECT n, 'row ' || n FROM generate_series(1, 1000) AS g(n)")
        assert cur.fetchone() == (1, "row 1")
        assert [n for n, _ in cur.fetchmany(10)] == list(range(2, 12))
        cur.itersize = 100
        assert sum(1 for _ in cur) == 989
    with conn.cursor("back", scrollable=True) as cur:
        cur.execute("SELECT n FROM generate_series(1, 10) AS g(n)")
        cur.scroll(5)
        assert cur.fetchone() == (6,)
        cur.scroll(-3)
        assert cur.fetchone() == (4,)
        cur.scroll(9, "absolute")
        assert cur.fetchone() == (10,)
    with conn.cursor("binary", binary=True) as cur:
        cur.execute("SELECT n FROM generate_series(1, 3) AS g(n) WHERE n > %s", [1])
        assert cur.fetchall() == [(2,), (3,)]
    with conn.cursor("held", withhold=True) as cur:
        cur.execute("SELECT n FROM generate_series(1, 3) AS g(n)")
        conn.commit()
        assert cur.fetchall() == [(1,), (2,), (3,)]
    conn.commit()


def copies(conn):
    conn.execute("CREATE TABLE copied (id int, name text, amount numeric(10, 2), day date, raw bytea, list int[])")
    rows = [
        (1, "one\ttab", decimal.Decimal("1.50"), dt.date(2024, 1, 1), b"\x00\x01", [1, 2]),
        (2, None, None, None, None, None),
        (3, "back\\slash\nline", decimal.Decimal("-3.25"), dt.date(1970, 1, 1), b"", []),
    ]
    cur = conn.cursor()
    with cur.copy("COPY copied FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
    assert cur.rowcount == 3
    assert cur.execute("SELECT * FROM copied ORDER BY id").fetchall() == rows
    cur.execute("TRUNCATE copied")
    with cur.copy("COPY copied FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(["int4", "text", "numeric", "date", "bytea", "int4[]"])
        for row in rows:
            copy.write_row(row)
    assert cur.execute("SELECT * FROM copied ORDER BY id").fetchall() == rows
    with cur.copy("COPY copied TO STDOUT") as copy:
        copy.set_types(["int4", "text", "numeric", "date", "bytea", "int4[]"])
        assert sorted(copy.rows(), key=lambda row: row[0]) == rows
    with cur.copy("COPY (SELECT * FROM copied ORDER BY id) TO STDOUT (FORMAT BINARY)") as copy:
        copy.set_types(["int4", "text", "numeric", "date", "bytea", "int4[]"])
        assert list(copy.rows()) == rows
    with cur.copy("COPY copied (id, name) TO STDOUT WITH (FORMAT csv, HEADER true)") as copy:
        text = b"".join(bytes(part) for part in copy).decode()
    assert text.startswith("id,name\n1,one\ttab\n2,\n")
    with cur.copy("COPY copied (id, name) FROM STDIN (FORMAT csv, DELIMITER ';')") as copy:
        copy.write("10;ten\n11;\"e;l\"\n")
    assert cur.execute("SELECT name FROM copied WHERE id > 9 ORDER BY id").fetchall() == [("ten",), ("e;l",)]
    conn.commit()
    try:
        with cur.copy("COPY copied (id) FROM STDIN") as copy:
            copy.write("1\nx\n")
        raise AssertionError("x is no number")
    except psycopg.errors.InvalidTextRepresentation as error:
        assert "COPY copied, line 2, column id" in error.diag.context, error.diag.context
        conn.rollback()
    try:
        with cur.copy("COPY copied (id) FROM STDIN") as copy:
            copy.write("1\n")
            raise KeyError("given up")
    except KeyError:
        conn.rollback()
    assert cur.execute("SELECT count(*) FROM copied").fetchone() == (5,)
    conn.commit()


def pipelines(conn):
    with conn.pipeline() as pipe:
        cursors = [conn.execute("SELECT %s::int", [n]) for n in range(100)]
        pipe.sync()
        assert [cur.fetchone()[0] for cur in cursors] == list(range(100))
    conn.commit()
    try:
        with conn.pipeline():
            conn.execute("CREATE TABLE piped (a int)")
            conn.execute("INSERT INTO nowhere VALUES (1)")
            conn.execute("INSERT INTO piped VALUES (1)")
        raise AssertionError("there is no nowhere")
    except psycopg.errors.UndefinedTable:
        conn.rollback()
    assert conn.execute("SELECT to_regclass('piped')").fetchone() == (None,)
    conn.commit()


def notices(conn):
    seen = []
    conn.add_notice_handler(lambda diag: seen.append((diag.severity, diag.message_primary)))
    conn.execute("DROP TABLE IF EXISTS not_there")
    conn.commit()
    assert seen == [("NOTICE", 'table "not_there" does not exist, skipping')], seen
    with psycopg.connect(url, autocommit=True) as listener, psycopg.connect(url, autocommit=True) as speaker:
        listener.execute("LISTEN news")
        speaker.execute("NOTIFY news, 'hello'")
        speaker.execute("SELECT pg_notify('news', 'again')")
        got = list(listener.notifies(timeout=5, stop_after=2))
        assert [(note.channel, note.payload) for note in got] == [("news", "hello"), ("news", "again")]
        assert got[0].pid == speaker.info.backend_pid


def sessions(conn):
    assert conn.info.server_version >= 150000 and conn.info.encoding == "utf-8"
    assert conn.info.parameter_status("standard_conforming_strings") == "on"
    conn.rollback()
    conn.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
    assert conn.execute("SHOW transaction_isolation").fetchone() == ("serializable",)
    conn.rollback()
    conn.isolation_level = None
    conn.read_only = True
    try:
        conn.execute("CREATE TABLE never (a int)")
        raise AssertionError("read only")
    except psycopg.errors.ReadOnlySqlTransaction:
        conn.rollback()
    conn.read_only = None
    conn.execute("SET statement_timeout = 50")
    try:
        conn.execute("SELECT pg_sleep(10)")
        raise AssertionError("it slept")
    except psycopg.errors.QueryCanceled:
        conn.rollback()
    with psycopg.connect(url) as other:
        import threading
        timer = threading.Timer(0.2, other.cancel_safe)
        timer.start()
        try:
            other.execute("SELECT pg_sleep(10)")
            raise AssertionError("it slept")
        except psycopg.errors.QueryCanceled:
            other.rollback()
    with psycopg.connect(url) as other:
        try:
            other.tpc_begin("id")
            other.tpc_prepare()
            raise AssertionError("two-phase commit")
        except psycopg.NotSupportedError:
            other.close()


async def asynchronous():
    async with await psycopg.AsyncConnection.connect(url) as conn:
        async with conn.cursor() as cur:
            await cur.execute("CREATE TABLE later (a int)")
            await cur.executemany("INSERT INTO later VALUES (%s)", [(n,) for n in range(10)])
            await cur.execute("SELECT a FROM later ORDER BY a")
            assert [a async for (a,) in cur] == list(range(10))
            async with cur.copy("COPY later FROM STDIN") as copy:
                await copy.write_row((10,))
        async with conn.cursor("named") as cur:
            await cur.execute("SELECT a FROM later ORDER BY a DESC")
            assert await cur.fetchone() == (10,)
        async with conn.pipeline():
            first = await conn.execute("SELECT 1")
            second = await conn.execute("SELECT 2")
            assert (await first.fetchone(), await second.fetchone()) == ((1,), (2,))
        async with conn.transaction():
            await conn.execute("DELETE FROM later")
    many = await asyncio.gather(*[one(n) for n in range(8)])
    assert many == list(range(8))


async def one(number):
    async with await psycopg.AsyncConnection.connect(url) as conn:
        return (await (await conn.execute("SELECT %s::int", [number])).fetchone())[0]


def type_lookups(conn):
    info = psycopg.types.TypeInfo.fetch(conn, "int4")
    assert (info.oid, info.array_oid) == (23, 1007)
    assert psycopg.types.TypeInfo.fetch(conn, "no_such_type") is None


if __name__ == "__main__":
    with psycopg.connect(url) as conn:
        for step in (types, rows, writes, prepared, server_cursors, copies, pipelines, notices, sessions, type_lookups):
            try:
                step(conn)
            except Exception:
                if "--all" not in sys.argv:
                    raise
                import traceback
                print("FAILED", step.__name__)
                traceback.print_exc()
            conn.rollback()
    asyncio.run(asynchronous())
    print("psycopg", psycopg.__version__)
