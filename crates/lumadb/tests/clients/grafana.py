"""What Grafana's PostgreSQL data source sends: its health check, the queries of its builder over the catalog, and what its
macros become in time series, tables, annotations and template variables."""

import sys

import psycopg

conn = psycopg.connect(sys.argv[1], autocommit=True)
run = lambda text: conn.execute(text).fetchall()
conn.execute("CREATE TABLE metric (time timestamptz NOT NULL, host text, value double precision, hits bigint)")
conn.execute("""INSERT INTO metric SELECT '2024-01-01Z'::timestamptz + n * interval '1 minute', 'host' || (n % 2), n / 10.0, n
                FROM generate_series(0, 119) AS g(n)""")
assert run("SELECT 1") == [(1,)]
assert run("SELECT current_setting('server_version_num')::int/100")[0][0] >= 1500
assert run("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'") == []
tables = run("""SELECT
    CASE WHEN
          quote_ident(table_schema) IN (
          SELECT
            CASE WHEN trim(s[i]) = '"$user"' THEN user ELSE trim(s[i]) END
          FROM
            generate_series(
              array_lower(string_to_array(current_setting('search_path'),','),1),
              array_upper(string_to_array(current_setting('search_path'),','),1)
            ) as i,
            string_to_array(current_setting('search_path'),',') s
          )
      THEN quote_ident(table_name)
      ELSE quote_ident(table_schema) || '.' || quote_ident(table_name)
    END AS "table"
    FROM information_schema.tables
    WHERE quote_ident(table_schema) NOT IN ('information_schema', 'pg_catalog', '_timescaledb_cache',
      '_timescaledb_catalog', '_timescaledb_internal', '_timescaledb_config', 'timescaledb_information', 'timescaledb_experimental')
    ORDER BY CASE WHEN
          quote_ident(table_schema) IN (
          SELECT
            CASE WHEN trim(s[i]) = '"$user"' THEN user ELSE trim(s[i]) END
          FROM
            generate_series(
              array_lower(string_to_array(current_setting('search_path'),','),1),
              array_upper(string_to_array(current_setting('search_path'),','),1)
            ) as i,
            string_to_array(current_setting('search_path'),',') s
          ) THEN 0 ELSE 1 END, 1""")
assert ("metric",) in tables, tables
columns = run("""SELECT quote_ident(column_name) AS "column", data_type AS "type"
    FROM information_schema.columns
    WHERE
      CASE WHEN array_length(parse_ident('metric'),1) = 2
        THEN quote_ident(table_schema) = (parse_ident('metric'))[1]
          AND quote_ident(table_name) = (parse_ident('metric'))[2]
        ELSE quote_ident(table_name) = 'metric'
          AND quote_ident(table_schema) IN (
          SELECT
            CASE WHEN trim(s[i]) = '"$user"' THEN user ELSE trim(s[i]) END
          FROM
            generate_series(
              array_lower(string_to_array(current_setting('search_path'),','),1),
              array_upper(string_to_array(current_setting('search_path'),','),1)
            ) as i,
            string_to_array(current_setting('search_path'),',') s
          )
      END""")
assert columns == [('"time"', "timestamp with time zone"), ("host", "text"), ("value", "double precision"), ("hits", "bigint")], columns
numbers = run("""SELECT quote_ident(column_name) FROM information_schema.columns WHERE quote_ident(table_name) = 'metric'
    AND data_type IN ('bigint','integer','double precision','real') AND column_name <> 'time' ORDER BY 1""")
assert numbers == [("hits",), ("value",)]
between = "time BETWEEN '2024-01-01T00:00:00Z' AND '2024-01-01T01:00:00Z'"
# $__timeGroupAlias(time, '5m'), $__timeFilter(time)
series = run(f"""SELECT floor(extract(epoch from time)/300)*300 AS "time", host AS metric, avg(value) AS "value"
    FROM metric WHERE {between} GROUP BY 1, 2 ORDER BY 1, 2""")
assert len(series) == 25 and series[0][1] == "host0" and abs(series[0][2] - 0.2) < 1e-9, series[:2]
# $__timeGroup(time, '10m') as a timestamp, $__unixEpochFilter, $__timeFrom(), $__timeTo()
bins = run(f"""SELECT to_timestamp(floor(extract(epoch from time)/600)*600) AS t, count(*), max(hits)
    FROM metric WHERE extract(epoch from time) >= 1704067200 AND extract(epoch from time) <= 1704070800 GROUP BY t ORDER BY t""")
assert [row[1] for row in bins] == [10] * 6 + [1] and bins[0][0].year == 2024
assert run(f"SELECT date_trunc('hour', time) AS time, sum(hits) FROM metric WHERE {between} GROUP BY 1 ORDER BY 1")[0][1] == 1770
assert run("SELECT date_bin('15 minutes', time, '2024-01-01Z') AS b, count(*) FROM metric GROUP BY b ORDER BY b")[0][1] == 15
assert run(f"SELECT DISTINCT host FROM metric WHERE {between} ORDER BY host") == [("host0",), ("host1",)]
assert run("SELECT host AS __text, max(value) AS __value FROM metric WHERE host IN ('host0','host1') GROUP BY host ORDER BY 1")[1] == ("host1", 11.9)
notes = run(f"SELECT extract(epoch from time) AS time, extract(epoch from time + interval '1 minute') AS timeend, host AS text, 'a,b' AS tags FROM metric WHERE {between} AND value > 5.9 ORDER BY time")
assert len(notes) == 1 and notes[0][2] == "host0", notes
delta = run("SELECT time, hits - lag(hits) OVER (PARTITION BY host ORDER BY time) AS delta FROM metric ORDER BY time LIMIT 3")
assert [row[1] for row in delta] == [None, None, 2]
assert abs(run("SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY value) FROM metric")[0][0] - 5.95) < 1e-9
print("grafana's queries, psycopg", psycopg.__version__)
