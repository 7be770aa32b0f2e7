-- Types and meaning as PostgreSQL has them, on the fast path and on DataFusion.
SELECT 1, 2.50, 'x', true, NULL;
--> 1|2.50|x|t|NULL
SELECT 7 / 2, 7 % 2, -7 / 2, 1.0 / 4;
--> 3|1|-3|0.25000000000000000000
SELECT 1 / 0;
--> ERROR 22012
SELECT '12'::int + 1, 2.5::int, 3.5::int, (-2.5)::numeric::int;
--> 13|3|4|-3
SELECT 'abc'::int;
--> ERROR 22P02
SELECT '2013-01-31'::date, '2024-02-30'::date;
--> ERROR 22008
SELECT 'abc'::varchar(2), '{1,2,NULL}'::int[];
--> ab|{1,2,NULL}
SELECT count(*), count(*) FROM (VALUES (1), (2)) AS v(a);
--> 2|2
SELECT a, b FROM (VALUES (1, 'x'), (2, NULL)) AS v(a, b) ORDER BY b;
--> 1|x
--> 2|NULL
SELECT a, b FROM (VALUES (1, 'x'), (2, NULL)) AS v(a, b) ORDER BY b DESC;
--> 2|NULL
--> 1|x
WITH RECURSIVE r(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM r WHERE n < 4) SELECT sum(n) FROM r;
--> 10
SELECT '{"a": {"b": [1, 2]}, "c": "x"}'::jsonb -> 'a' -> 'b' ->> 1;
--> 2
SELECT '{"a": 1, "b": 2}'::jsonb @> '{"a": 1}'::jsonb;
--> t
SELECT CASE WHEN 1 = 1 THEN 'yes' ELSE 'no' END;
--> yes
SELECT nosuch FROM (VALUES (1)) AS v(a);
--> ERROR 42703
SELEC 1;
--> ERROR 42601
SELECT upper('é'), length('é'), 'a' || 'b';
--> É|1|ab
SELECT 'abc' LIKE 'a%', 'abc' ~ '^a.c$';
--> t|t
SELECT 'f'::boolean, 'b0f1c6a0-0000-4000-8000-000000000001'::uuid;
--> f|b0f1c6a0-0000-4000-8000-000000000001
