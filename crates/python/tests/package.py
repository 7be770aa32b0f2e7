"""The package as a program uses it; run with the wheel installed: package.py DIRECTORY."""

import datetime
import decimal
import math
import os
import subprocess
import sys
import threading
import time
import uuid

import pandas
import pyarrow as pa

import lumadb

directory = sys.argv[1]
path = os.path.join(directory, "db")


def fails(sqlstate, call, *arguments, **named):
    try:
        call(*arguments, **named)
    except lumadb.Error as error:
        assert error.sqlstate == sqlstate, (error.sqlstate, str(error))
        return str(error)
    raise AssertionError(f"no error: {arguments}")


con = lumadb.connect(path)
assert con.sql("SELECT 1 AS one, 'two' AS two").fetchall() == [(1, "two")]

# Every kind of parameter comes back as what it was.
con.sql(
    "CREATE TABLE kinds (i bigint, f float8, t text, b bytea, n numeric, d date, ts timestamp, tz timestamptz, u uuid,"
    " j jsonb, a int[], ok bool, iv interval)"
)
moment = datetime.datetime(2026, 1, 2, 3, 4, 5, 678900)
zoned = moment.replace(tzinfo=datetime.timezone.utc)
row = [
    2**62, 0.1, "it's", b"\x00\xff", decimal.Decimal("12345678901234567890.125"), moment.date(), moment, zoned,
    uuid.UUID(int=7), {"a": [1, None]}, [1, None, 3], True, datetime.timedelta(days=1, seconds=2),
]
marks = ", ".join(f"${at + 1}" for at in range(len(row)))
inserted = con.sql(f"INSERT INTO kinds VALUES ({marks})", row)
assert inserted.rowcount == 1 and inserted.fetchall() == []
con.sql(f"INSERT INTO kinds VALUES ({marks})", [None] * len(row))
found = con.sql("SELECT * FROM kinds ORDER BY i").fetchall()
assert found[1] == (None,) * len(row)
first = found[0]
assert first[:5] == tuple(row[:5]), first
assert first[5:8] == (row[5], row[6], zoned), first
assert first[8:12] == (str(row[8]), '{"a": [1, null]}', [1, None, 3], True), first
assert math.isnan(con.sql("SELECT $1::float8", [float("nan")]).fetchone()[0])
assert con.sql("SELECT $1::text[]", [["a\"b", "c\\d", None, "{,}"]]).fetchone()[0] == ["a\"b", "c\\d", None, "{,}"]

# Numbers without a precision are decimals of the digits that are there.
table = con.sql("SELECT n FROM (VALUES (1.5), (22.125), (NULL)) AS v(n)").arrow()
assert table["n"].to_pylist() == [decimal.Decimal("1.500"), decimal.Decimal("22.125"), None], table
assert con.sql("SELECT sum(x) FROM generate_series(1, 1000) AS s(x)").fetchone() == (500500,)

# Rows of a program: pandas, Arrow, dicts; in one direction and the other.
frame = pandas.DataFrame({"id": range(1000), "name": [f"n{at % 7}" for at in range(1000)], "when": [moment] * 1000})
assert con.sql("SELECT count(*), count(DISTINCT name) FROM frame", frame=frame).fetchall() == [(1000, 7)]
fails("42P01", con.sql, "SELECT * FROM frame")
fails("0A000", con.sql, "CREATE VIEW v AS SELECT * FROM frame", frame=frame)
con.sql("CREATE TABLE rows (id bigint PRIMARY KEY, name text, \"when\" timestamp)")
assert con.append("rows", frame) == 1000
fails("23505", con.append, "rows", frame)
assert con.sql("SELECT count(*) FROM rows").fetchone() == (1000,)
back = con.sql("SELECT * FROM rows ORDER BY id").df()
assert back["id"].tolist() == frame["id"].tolist() and back["name"].tolist() == frame["name"].tolist()
assert con.append("rows", [{"id": 1001, "name": "x"}]) == 1
con.register("arrow", pa.table({"x": pa.array([1, 2], pa.uint8()), "y": pa.array(["a", None]).dictionary_encode()}))
assert con.sql("SELECT x + 1, y FROM arrow ORDER BY x").fetchall() == [(2, "a"), (3, None)]
assert con.unregister("arrow") and not con.unregister("arrow")
fails("42P07", con.register, "rows", frame)
fails("42703", con.append, "rows", {"nope": [1]})
nested = pa.table({"s": pa.array([{"k": [1, 2]}])})
assert con.sql("SELECT s->'k'->>1 FROM nested", nested=nested).fetchone() == ("2",)
try:
    import polars
except ImportError:
    print("no polars", file=sys.stderr)
else:
    assert con.sql("SELECT id FROM rows WHERE id < 3 ORDER BY id").pl()["id"].to_list() == [0, 1, 2]
    assert con.sql("SELECT sum(a) FROM f", f=polars.DataFrame({"a": [1, 2]})).fetchone() == (3,)

# A columnar table, and files.
con.sql("CREATE TABLE facts (id bigint, name text) WITH (engine = 'columnar')")
con.sql("INSERT INTO facts SELECT id, name FROM rows")
assert con.sql("SELECT max(id) FROM facts").fetchone() == (1001,)
file = os.path.join(directory, "facts.parquet")
con.sql(f"COPY facts TO '{file}' (FORMAT parquet)")
assert con.sql(f"SELECT count(*) FROM read_parquet('{file}')").fetchone() == (1001,)

# Sessions of one database; a transaction is one.
other = con.cursor()
con.begin()
con.sql("DELETE FROM rows WHERE id = 5")
assert other.sql("SELECT count(*) FROM rows WHERE id = 5").fetchone() == (1,)
con.rollback()
assert con.sql("SELECT count(*) FROM rows WHERE id = 5").fetchone() == (1,)
con.sql("BEGIN; UPDATE rows SET name = 'mine' WHERE id = 5")
message = fails("55P03", other.sql, "SET lock_timeout = '50ms'; UPDATE rows SET name = 'yours' WHERE id = 5")
assert "lock timeout" in message
con.commit()
assert other.sql("SELECT name FROM rows WHERE id = 5").fetchone() == ("mine",)

# Wrong input says what is wrong.
assert "relation \"nope\" does not exist" in fails("42P01", con.sql, "SELECT * FROM nope")
fails("42601", con.sql, "SELEC 1")
fails("22P02", con.sql, "SELECT $1::int", ["x"])
fails("08P01", con.sql, "SELECT $1::int")
fails("42601", con.sql, "SELECT 1; SELECT $1::int", [1])
fails("22012", con.sql, "SELECT 1 / 0")
assert con.sql("SELECT 1").fetchone() == (1,)
try:
    con.sql("SELECT $1", [object()])
    raise AssertionError("an object is no parameter")
except TypeError:
    pass

# Another process can't open it meanwhile, and is told.
program = f"import lumadb\ntry:\n    lumadb.connect({path!r})\nexcept lumadb.Error as error:\n    print('refused', error)"
told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout
assert told.startswith("refused") and str(os.getpid()) in told, told

# A statement ends when it is told to, and others run meanwhile.
ended = []
slow = threading.Thread(target=lambda: ended.append(fails("57014", con.sql, "SELECT pg_sleep(600)")))
slow.start()
while other.sql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND query NOT LIKE '%activity%' AND state = 'active'").fetchone() == (0,):
    time.sleep(0.01)
con.cancel()
slow.join()
assert ended and con.sql("SELECT 2").fetchone() == (2,)

# Cursors of results.
result = con.sql("SELECT id FROM rows ORDER BY id LIMIT 5")
assert len(result) == 5 and result.columns == ["id"] and result.rowcount == 5
assert result.fetchone() == (0,) and result.fetchmany(2) == [(1,), (2,)] and list(result) == [(3,), (4,)]
assert result.fetchone() is None and repr(result) == "<Result: 5 rows of id>"

other.close()
con.close()
con.close()
fails("08003", con.sql, "SELECT 1")
with lumadb.connect(path) as again:
    assert again.sql("SELECT count(*) FROM rows").fetchone() == (1001,)
fails(None, lumadb.connect, os.path.join(directory, "facts.parquet"))
print("ok")
