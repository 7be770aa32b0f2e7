"""LumaDB inside a Python program.

    import lumadb

    con = lumadb.connect("data")
    con.sql("CREATE TABLE t (id int PRIMARY KEY, name text)")
    con.sql("INSERT INTO t VALUES ($1, $2)", [1, "one"])
    con.sql("SELECT * FROM t").df()

A directory is open in one process at a time; `connect` again, or `Connection.cursor`, gives another session of the same
database. Results are whole in memory, as Arrow: `.arrow()`, `.df()` (pandas), `.pl()` (polars), `.fetchall()`.
"""

import datetime as _datetime
import decimal as _decimal
import json as _json
import os as _os
import threading as _threading
import uuid as _uuid

from . import _lumadb

__all__ = ["Connection", "Error", "Result", "connect"]


class Error(Exception):
    """A statement, or opening a database, failed. `sqlstate` is PostgreSQL's code, None outside of SQL."""

    def __init__(self, message, sqlstate=None):
        super().__init__(message)
        self.sqlstate = sqlstate


class _failing:
    """Turns the inner errors into ours."""

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is not None and issubclass(kind, _lumadb.Error):
            raise Error(*error.args) from None


def _pyarrow():
    try:
        import pyarrow
    except ImportError:
        raise ImportError("results are read by pyarrow: pip install pyarrow") from None
    return pyarrow


# Open databases by directory, with how many connections each has.
_open = {}
_lock = _threading.Lock()


def connect(path):
    """Opens the database in a directory, which is made if it is not there, and gives a connection.

    Connections of one process to one directory share the database; it is closed with the last of them.
    """
    path = _os.path.realpath(path)
    with _lock:
        entry = _open.get(path)
        if entry is None:
            with _failing():
                entry = _open[path] = [_lumadb.Database(path), 0]
        connection = Connection(path, entry[0])
        entry[1] += 1
        return connection


def _text(value):
    """A parameter as PostgreSQL reads it."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, _decimal.Decimal, _uuid.UUID)):
        return str(value)
    if isinstance(value, float):
        return {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}.get(repr(value), repr(value))
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "\\x" + bytes(value).hex()
    if isinstance(value, (_datetime.datetime, _datetime.date, _datetime.time)):
        return value.isoformat()
    if isinstance(value, _datetime.timedelta):
        return f"{value.days} days {value.seconds}.{value.microseconds:06d} seconds"
    if isinstance(value, dict):
        return _json.dumps(value)
    if isinstance(value, (list, tuple)):
        return "{" + ",".join(_element(item) for item in value) + "}"
    if hasattr(value, "item"):
        # A number of numpy's.
        return _text(value.item())
    raise TypeError(f"a parameter cannot be of the type {type(value).__name__}")


def _element(value):
    text = _text(value)
    if text is None:
        return "NULL"
    if isinstance(value, (list, tuple)):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _table(data):
    """Rows of others as a table of Arrow: pyarrow's, pandas', polars', what speaks Arrow's interfaces, dicts and lists of dicts."""
    pa = _pyarrow()
    if isinstance(data, pa.Table):
        return data
    if isinstance(data, pa.RecordBatch):
        return pa.Table.from_batches([data])
    if type(data).__module__.startswith("pandas."):
        return pa.Table.from_pandas(data, preserve_index=False)
    if hasattr(data, "to_arrow"):
        return data.to_arrow()
    if hasattr(data, "__arrow_c_stream__"):
        return pa.table(data)
    if isinstance(data, dict):
        return pa.Table.from_pydict(data)
    if isinstance(data, (list, tuple)):
        return pa.Table.from_pylist(list(data))
    raise TypeError(f"rows cannot come from the type {type(data).__name__}")


def _quoted(name):
    return ".".join('"' + part.replace('"', '""') + '"' for part in name.split("."))


class Connection:
    """A session: statements run in it one after another, in transactions of its own."""

    def __init__(self, path, database):
        self._path, self._database = path, database
        with _failing():
            self._inner = database.connect()

    def sql(self, query, parameters=None, **relations):
        """Runs statements and gives the result of the last one.

        `parameters` are the values of $1, $2, … of a single statement. Rows given by name can be read under it:
        `con.sql("SELECT count(*) FROM df", df=df)`.
        """
        inner = self._live()
        texts = [_text(value) for value in parameters or []]
        for name, rows in relations.items():
            self.register(name, rows)
        try:
            with _failing():
                return Result(*inner.run(query, texts))
        finally:
            for name in relations:
                inner.unregister(name)

    execute = sql

    def register(self, name, rows):
        """Lets statements of this connection read rows under a name: a table of pyarrow, a data frame of pandas or polars, a dict of
        columns, a list of dicts. They are copied."""
        pa = _pyarrow()
        table, sink = _table(rows), pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        with _failing():
            self._live().register(name, sink.getvalue().to_pybytes())

    def unregister(self, name):
        """Takes a name back; False if nothing was registered under it."""
        return self._live().unregister(name)

    def append(self, table, rows):
        """Adds rows to a table, columns by their names, all or none; gives how many."""
        rows = _table(rows)
        columns = ", ".join(_quoted(name) for name in rows.column_names)
        name = "lumadb_appended"
        return self.sql(f"INSERT INTO {_quoted(table)} ({columns}) SELECT {columns} FROM {name}", **{name: rows}).rowcount

    def cursor(self):
        """Another connection to the same database."""
        self._live()
        return connect(self._path)

    def begin(self):
        self.sql("BEGIN")

    def commit(self):
        self.sql("COMMIT")

    def rollback(self):
        self.sql("ROLLBACK")

    def cancel(self):
        """Ends what runs, from another thread."""
        self._live().cancel()

    def close(self):
        """Ends the session; what it did not commit is gone. The last one closes the database."""
        inner, self._inner = self._inner, None
        if inner is None:
            return
        inner.close()
        with _lock:
            entry = _open[self._path]
            entry[1] -= 1
            if entry[1] == 0:
                del _open[self._path]
                with _failing():
                    entry[0].close()

    def _live(self):
        if self._inner is None:
            raise Error("the connection is closed", "08003")
        return self._inner

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def __del__(self):
        if getattr(self, "_inner", None) is not None:
            self.close()


class Result:
    """Rows, and how many were read or changed (`rowcount`, None where a statement counts nothing)."""

    def __init__(self, stream, count):
        self._stream, self.rowcount = stream, count
        self._table, self._at = None, 0

    def arrow(self):
        """The rows as a pyarrow.Table."""
        if self._table is None:
            self._table = _pyarrow().ipc.open_stream(self._stream).read_all()
            self._stream = None
        return self._table

    def df(self):
        """The rows as a data frame of pandas."""
        return self.arrow().to_pandas()

    def pl(self):
        """The rows as a data frame of polars."""
        import polars

        return polars.from_arrow(self.arrow())

    @property
    def columns(self):
        """The names of the columns."""
        return self.arrow().column_names

    def fetchall(self):
        """The rows that were not fetched yet, as tuples."""
        table = self.arrow().slice(self._at)
        self._at += table.num_rows
        columns = [column.to_pylist() for column in table.columns]
        return list(zip(*columns)) if columns else []

    def fetchone(self):
        """The next row as a tuple, None at the end."""
        rows = self.fetchmany(1)
        return rows[0] if rows else None

    def fetchmany(self, count):
        """The next rows, at most so many."""
        table = self.arrow().slice(self._at, count)
        self._at += table.num_rows
        return list(zip(*[column.to_pylist() for column in table.columns]))

    def __iter__(self):
        return iter(self.fetchall())

    def __len__(self):
        return self.arrow().num_rows

    def __arrow_c_stream__(self, requested_schema=None):
        return self.arrow().__arrow_c_stream__(requested_schema)

    def __repr__(self):
        table = self.arrow()
        if not table.num_columns:
            return f"<Result: {self.rowcount if self.rowcount is not None else 'done'}>"
        return f"<Result: {table.num_rows} rows of {', '.join(table.column_names)}>"
