-- Errors here must have PostgreSQL's place too.
CREATE TABLE t (id int PRIMARY KEY, name text, "Mixed" int);
CREATE TABLE u (id int, t_id int);
SELECT nosuch FROM t;
SELECT t.nosuch FROM t;
SELECT id, name FROM nosuch;
SELECT * FROM t JOIN nosuch ON true;
SELECT * FROM public.nosuch;
SELECT name, x.id FROM t;
SELECT id FROM t, u;
SELECT  Mixed FROM t;
SELECT nosuch(1, 'a');
SELECT 'ä', nosuch(1);
SELECT id AS nosuch FROM t WHERE nosuch = 1;
SELECT name FROM t WHERE id = (SELECT max(nosuch) FROM u);
INSERT INTO nosuch VALUES (1);
INSERT INTO t (id, nosuch) VALUES (1, 2);
UPDATE nosuch SET a = 1;
UPDATE t SET nosuch = 1;
UPDATE t SET name = nosuch;
DELETE FROM nosuch;
DELETE FROM t WHERE nosuch = 1;
SELECT 'x'::int;
SELECT 1, CAST('1.5' AS int) FROM t;
INSERT INTO t VALUES ('abc', 'x');
SELECT * FROM t WHERE id = 'abc';
SELECT date 'yesterdy';
SELECT 1 - 1, true + 1;
SELECT name, count(*) FROM t GROUP BY id, "Mixed";
SELECT 1::nosuch;
SELECT * FROM t ORDER BY nosuch;
EXPLAIN SELECT nosuch FROM t;
SELECT
  id,
  nosuch
FROM t;
CREATE VIEW v AS SELECT nosuch FROM t;
PREPARE p AS SELECT nosuch FROM t;
