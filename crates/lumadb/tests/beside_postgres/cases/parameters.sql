CREATE TABLE t (id int PRIMARY KEY, big bigint, small smallint, num numeric(10,2), f float8, r real, txt text, vc varchar(10), b boolean, d date, ts timestamp, tz timestamptz, u uuid, j jsonb, arr int[], by bytea, iv interval, tm time);
--$ 1 | 9999999999 | 5 | 12.345 | 1.5 | 2.5 | hello | vc | t | 2024-01-15 | 2024-01-15 12:00 | 2024-01-15 12:00+00 | b0f1c6a0-0000-4000-8000-000000000001 | {"a": 1} | {1,2} | \x6162 | 1 day | 12:30
INSERT INTO t VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18);
--$ 2 | NULL
INSERT INTO t (id, txt) VALUES ($1, $2);
--$ 1
SELECT * FROM t WHERE id = $1;
--$ 2
SELECT * FROM t WHERE id = $1;
--$ 99
SELECT * FROM t WHERE id = $1;
--$ x
SELECT * FROM t WHERE id = $1;
--$ 99999999999
SELECT * FROM t WHERE id = $1;
--$ NULL
SELECT * FROM t WHERE id = $1;
--$ hello
SELECT id FROM t WHERE txt = $1;
--$ 12.35
SELECT id FROM t WHERE num = $1;
--$ 2024-01-15
SELECT id FROM t WHERE d = $1;
--$ b0f1c6a0-0000-4000-8000-000000000001
SELECT id FROM t WHERE u = $1;
--$ 5 | 6
SELECT $1::int + $2::int;
--$ 5
SELECT $1 + 1;
--$ 5
SELECT $1 + 1.5;
--$ abc
SELECT $1;
--$ abc
SELECT $1 || 'x';
--$ abc
SELECT upper($1), length($1);
--$ 1
SELECT id FROM t LIMIT $1;
--$ 1 | 2
SELECT id FROM t WHERE id IN ($1, $2) ORDER BY id;
--$ {1,2}
SELECT id FROM t WHERE id = ANY ($1) ORDER BY id;
--$ {1,2}
SELECT id FROM t WHERE id = ANY ($1::int[]) ORDER BY id;
--$ 0 | 5
SELECT id FROM t WHERE id BETWEEN $1 AND $2 ORDER BY id;
--$ h%
SELECT id FROM t WHERE txt LIKE $1;
--$ new | 1
UPDATE t SET txt = $1 WHERE id = $2;
--$ new2 | 1
UPDATE t SET txt = $1 WHERE id = $2 RETURNING id, txt;
--$ 5 | 1
UPDATE t SET big = big + $1 WHERE id = $2 RETURNING big;
--$ 1.555 | 1
UPDATE t SET num = $1 WHERE id = $2 RETURNING num;
--$ t | 1
UPDATE t SET b = NOT $1 WHERE id = $2 RETURNING b;
--$ a
SELECT j -> $1 FROM t WHERE id = 1;
--$ a
SELECT j ->> $1 FROM t WHERE id = 1;
--$ {"a": 1}
SELECT id FROM t WHERE j @> $1;
--$ 1
SELECT CASE WHEN $1::int > 0 THEN 'pos' ELSE 'neg' END;
--$ NULL
SELECT coalesce($1, 'default');
--$ NULL
SELECT coalesce($1, 5);
--$ 3
SELECT * FROM generate_series(1, $1);
--$ 3
SELECT count(*) FROM t WHERE $1 > 2;
--$ 1 day
SELECT '2024-01-01'::date + $1::interval;
--$ 1 | 2
SELECT $2::int, $1::int;
--$ 1
SELECT $1::int, $1::int + 1;
--$ 1 | x
INSERT INTO t (id, txt) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET txt = excluded.txt RETURNING txt;
--$ 3 | y
INSERT INTO t (id, txt) SELECT $1, $2;
--$ 2
DELETE FROM t WHERE id = $1;
--$ 3
DELETE FROM t WHERE id = $1 RETURNING *;
--$ x
SELECT 1;
SELECT $1;
--$ 1
SELECT nosuch FROM t WHERE id = $1;
--$ 10
SELECT id FROM t WHERE id < $1 ORDER BY id LIMIT 1;
--$ 10 | 20
SELECT sum(x) FROM (VALUES ($1::int), ($2::int)) v(x);
--$ 2024-01-15
SELECT extract(year FROM $1::date);
--$ a | b
SELECT concat($1, $2), $1 || $2;
--$ 1.5
SELECT round($1, 0), $1::numeric;
--$ 5
SELECT id FROM t WHERE small = $1;
--$ 1.5
SELECT id FROM t WHERE f = $1;
--$ t
SELECT id FROM t WHERE b = $1;
--$ {"x": [1]}
SELECT $1::jsonb -> 'x' -> 0;
--$ 1
SELECT (SELECT txt FROM t WHERE id = $1);
--$ 1
WITH w AS (SELECT id FROM t WHERE id = $1) SELECT * FROM w;
--$ abc
SELECT $1::varchar(2);
--$ abc
SELECT CAST($1 AS text);
-- A condition that is only a parameter.
--$ t
SELECT 1 WHERE $1;
--$ f
SELECT count(*) FROM generate_series(1, 3) AS g(n) WHERE $1;
SELECT $2147483647;
SELECT $99999999999999999999;
SELECT $0;
