-- Rows in and out, keys, constraints, conflicts.
CREATE TABLE t (id int PRIMARY KEY, name text NOT NULL, price numeric(10,2) DEFAULT 1.5, tags text[]);
--> CREATE TABLE
INSERT INTO t (id, name) VALUES (1, 'one'), (2, 'two');
--> INSERT 0 2
SELECT id, name, price, tags FROM t ORDER BY id;
--> 1|one|1.50|NULL
--> 2|two|1.50|NULL
UPDATE t SET price = price + 1 WHERE id = 1;
--> UPDATE 1
SELECT price FROM t WHERE id = 1;
--> 2.50
UPDATE t SET name = upper(name) WHERE id > 0;
--> UPDATE 2
SELECT id, name FROM t ORDER BY id DESC;
--> 2|TWO
--> 1|ONE
DELETE FROM t WHERE name = 'TWO' RETURNING id, name;
--> 2|TWO
INSERT INTO t VALUES (1, 'dup');
--> ERROR 23505
INSERT INTO t (id, name) VALUES (1, 'dup') ON CONFLICT (id) DO UPDATE SET name = excluded.name || '!' RETURNING *;
--> 1|dup!|2.50|NULL
INSERT INTO t (id, name) VALUES (1, 'dup') ON CONFLICT DO NOTHING;
--> INSERT 0 0
INSERT INTO t (id) VALUES (9);
--> ERROR 23502
INSERT INTO t (id, name) VALUES (3000000000, 'large');
--> ERROR 22003
INSERT INTO t (id, name) VALUES ('x', 'word');
--> ERROR 22P02
UPDATE t SET id = id + 100000 WHERE id = 1;
--> UPDATE 1
SELECT id FROM t;
--> 100001
CREATE TABLE c (id serial PRIMARY KEY, t_id int REFERENCES t(id) ON DELETE CASCADE, v varchar(3) CHECK (v <> 'bad'));
--> CREATE TABLE
INSERT INTO c (t_id, v) VALUES (100001, 'abc') RETURNING id;
--> 1
INSERT INTO c (t_id, v) VALUES (100001, 'abcd');
--> ERROR 22001
INSERT INTO c (t_id, v) VALUES (100001, 'bad');
--> ERROR 23514
INSERT INTO c (t_id, v) VALUES (77, 'x');
--> ERROR 23503
DELETE FROM t WHERE id = 100001;
--> DELETE 1
SELECT count(*) FROM c;
--> 0
CREATE TABLE u (a int UNIQUE, b int);
--> CREATE TABLE
INSERT INTO u VALUES (1, 1), (NULL, 2), (NULL, 3);
--> INSERT 0 3
INSERT INTO u VALUES (1, 4);
--> ERROR 23505
SELECT b FROM u WHERE a = 1;
--> 1
INSERT INTO u SELECT 10 + g, g FROM generate_series(1, 5) AS s(g);
--> INSERT 0 5
SELECT count(*), min(a), max(a) FROM u;
--> 8|1|15
UPDATE u SET b = s.b * 2 FROM (SELECT a, b FROM u WHERE a > 12) s WHERE u.a = s.a;
--> UPDATE 3
SELECT a, b FROM u WHERE a > 10 ORDER BY a;
--> 11|1
--> 12|2
--> 13|6
--> 14|8
--> 15|10
TRUNCATE u;
--> TRUNCATE TABLE
SELECT count(*) FROM u;
--> 0
DROP TABLE t;
--> ERROR 2BP01
DROP TABLE t CASCADE;
--> DROP TABLE
SELECT * FROM t;
--> ERROR 42P01
