"""pandas through SQLAlchemy: to_sql, read_sql, read_sql_table, in one go and in chunks."""

import sys

import numpy as np
import pandas as pd
import sqlalchemy as sa

engine = sa.create_engine("postgresql+psycopg://" + sys.argv[1].split("://")[1])
count = 5_000
frame = pd.DataFrame({
    "id": np.arange(count, dtype="int64"),
    "small": np.arange(count, dtype="int32") % 100,
    "ratio": np.linspace(0, 1, count),
    "word": [f"w{n % 7}" for n in range(count)],
    "flag": [n % 2 == 0 for n in range(count)],
    "at": pd.date_range("2024-01-01", periods=count, freq="min"),
    "zoned": pd.date_range("2024-01-01", periods=count, freq="h", tz="UTC"),
    "hole": [None if n % 3 else float(n) for n in range(count)],
})
frame.to_sql("frame", engine, index=False)
back = pd.read_sql("SELECT * FROM frame ORDER BY id", engine)
for name in frame:
    same = back[name].isna() & frame[name].isna() | (back[name].astype(object) == frame[name].astype(object))
    assert same.all(), (name, back[name].dtype)
assert str(back["at"].dtype).startswith("datetime64") and back["flag"].dtype == bool and back["small"].dtype.kind == "i"
table = pd.read_sql_table("frame", engine, index_col="id", columns=["word", "ratio"])
assert list(table.columns) == ["word", "ratio"] and len(table) == count
chunks = list(pd.read_sql_query("SELECT id FROM frame", engine, chunksize=1000))
assert [len(chunk) for chunk in chunks] == [1000] * 5
grouped = pd.read_sql(sa.text("SELECT word, avg(ratio) AS mean, count(*) AS n FROM frame WHERE id < :top GROUP BY word ORDER BY word"),
                      engine, params={"top": 700})
assert list(grouped["n"]) == [100] * 7
expected = frame[frame.id < 700].groupby("word").ratio.mean()
assert np.allclose(grouped["mean"], expected)
frame.head(10).to_sql("frame", engine, index=False, if_exists="append", method="multi")
assert pd.read_sql("SELECT count(*) AS n FROM frame", engine)["n"][0] == count + 10
frame.head(5).to_sql("frame", engine, index=True, index_label="row", if_exists="replace", dtype={"word": sa.String(10)})
assert list(pd.read_sql_table("frame", engine).columns)[0] == "row"
try:
    frame.to_sql("frame", engine, if_exists="fail")
    raise AssertionError("it is there")
except ValueError:
    pass
nothing = pd.read_sql("SELECT * FROM frame WHERE false", engine)
assert len(nothing) == 0 and "word" in nothing.columns
print("pandas", pd.__version__)
