-- Definitions and what they do to rows that are there.
CREATE TABLE t (a int, b text);
--> CREATE TABLE
INSERT INTO t VALUES (2, 'two'), (1, 'one'), (3, NULL);
--> INSERT 0 3
ALTER TABLE t ADD PRIMARY KEY (a);
--> ALTER TABLE
EXPLAIN SELECT * FROM t WHERE a = 1;
--> fast path: one row of t by t_pkey
ALTER TABLE t ADD COLUMN c int NOT NULL DEFAULT 5;
--> ALTER TABLE
SELECT * FROM t ORDER BY a;
--> 1|one|5
--> 2|two|5
--> 3|NULL|5
ALTER TABLE t ALTER COLUMN b SET NOT NULL;
--> ERROR 23502
UPDATE t SET b = 'three' WHERE a = 3;
--> UPDATE 1
ALTER TABLE t ALTER COLUMN b SET NOT NULL;
--> ALTER TABLE
ALTER TABLE t ADD CONSTRAINT small CHECK (a < 3);
--> ERROR 23514
ALTER TABLE t ADD CONSTRAINT small CHECK (a < 30);
--> ALTER TABLE
INSERT INTO t VALUES (40, 'forty');
--> ERROR 23514
ALTER TABLE t RENAME COLUMN b TO word;
--> ALTER TABLE
CREATE UNIQUE INDEX t_word ON t (word);
--> CREATE INDEX
INSERT INTO t VALUES (4, 'one');
--> ERROR 23505
SELECT a FROM t WHERE word = 'two';
--> 2
ALTER TABLE t ALTER COLUMN c TYPE text;
--> ALTER TABLE
SELECT c || '!' FROM t WHERE a = 1;
--> 5!
ALTER TABLE t DROP COLUMN c;
--> ALTER TABLE
SELECT * FROM t ORDER BY a;
--> 1|one
--> 2|two
--> 3|three
CREATE VIEW v AS SELECT a * 2 AS twice FROM t;
--> CREATE VIEW
SELECT sum(twice) FROM v;
--> 12
DROP TABLE t;
--> ERROR 2BP01
CREATE SCHEMA s;
--> CREATE SCHEMA
CREATE TABLE s.t (x int);
--> CREATE TABLE
INSERT INTO s.t VALUES (9);
--> INSERT 0 1
SELECT * FROM s.t;
--> 9
DROP SCHEMA s;
--> ERROR 2BP01
DROP SCHEMA s CASCADE;
--> DROP SCHEMA
CREATE SEQUENCE q START 5;
--> CREATE SEQUENCE
SELECT nextval('q'), nextval('q'), currval('q');
--> 5|6|6
CREATE COLLECTION m;
--> CREATE COLLECTION
INSERT INTO m (_doc) VALUES ('{"a": 1, "b": "x"}');
--> INSERT 0 1
SELECT _rev, _doc->>'b', _doc->'a' FROM m;
--> 1|x|1
CREATE TABLE t (z int);
--> ERROR 42P07
SELECT relname, relkind FROM pg_class WHERE relname IN ('t', 'v', 'q') ORDER BY 1;
--> q|S
--> t|r
--> v|v
SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 't';
--> a|integer
--> word|text
