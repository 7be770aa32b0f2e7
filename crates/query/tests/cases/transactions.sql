-- Each case is one message: its statements are one implicit transaction unless they say otherwise.
CREATE TABLE t (id int PRIMARY KEY);
--> CREATE TABLE
BEGIN;
--> BEGIN
INSERT INTO t VALUES (1);
--> INSERT 0 1
SAVEPOINT a;
--> SAVEPOINT
INSERT INTO t VALUES (2);
--> INSERT 0 1
INSERT INTO t VALUES (2);
--> ERROR 23505
SELECT 1;
--> ERROR 25P02
ROLLBACK TO a;
--> ROLLBACK
SELECT id FROM t ORDER BY id;
--> 1
COMMIT;
--> COMMIT
SELECT id FROM t ORDER BY id;
--> 1
BEGIN;
--> BEGIN
CREATE TABLE made (x int);
--> CREATE TABLE
INSERT INTO made VALUES (5);
--> INSERT 0 1
SELECT x FROM made;
--> 5
ALTER TABLE made ADD COLUMN y int DEFAULT 7;
--> ALTER TABLE
SELECT x, y FROM made;
--> 5|7
ROLLBACK;
--> ROLLBACK
SELECT * FROM made;
--> ERROR 42P01
BEGIN ISOLATION LEVEL SERIALIZABLE;
--> BEGIN
SHOW transaction_isolation;
--> serializable
ROLLBACK;
--> ROLLBACK
BEGIN READ ONLY;
--> BEGIN
INSERT INTO t VALUES (3);
--> ERROR 25006
ROLLBACK;
--> ROLLBACK
SET TIME ZONE 'Europe/Berlin';
--> SET
SHOW timezone;
--> Europe/Berlin
SELECT '2024-07-01 12:00:00+00'::timestamptz;
--> 2024-07-01 12:00:00+00
RESET timezone;
--> RESET
SHOW timezone;
--> UTC
