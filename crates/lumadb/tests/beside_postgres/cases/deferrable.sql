-- UNIQUE and PRIMARY KEY that may be checked later.
CREATE TABLE plain (id int PRIMARY KEY, v int UNIQUE);
INSERT INTO plain VALUES (1, 1), (2, 2), (3, 3);
UPDATE plain SET v = v + 1;
SELECT id, v FROM plain ORDER BY id;
CREATE TABLE k (id int PRIMARY KEY DEFERRABLE, v int, w int, CONSTRAINT k_vw UNIQUE (v, w) DEFERRABLE INITIALLY DEFERRED);
INSERT INTO k VALUES (1, 1, 1), (2, 2, NULL), (3, 3, 3);
UPDATE k SET id = id + 1;
SELECT id, v, w FROM k ORDER BY id;
UPDATE k SET id = 2;
INSERT INTO k VALUES (2, 9, 9);
INSERT INTO k VALUES (7, 9, 9), (7, 8, 8);
INSERT INTO k VALUES (NULL, 9, 9);
SELECT id, v, w FROM k ORDER BY id;
-- Swapped within a transaction.
BEGIN;
SET CONSTRAINTS k_pkey DEFERRED;
UPDATE k SET id = 3 WHERE id = 2;
SELECT id, v FROM k ORDER BY id, v;
UPDATE k SET id = 2 WHERE v = 2;
COMMIT;
SELECT id, v FROM k ORDER BY id, v;
-- Not in order at the end.
BEGIN;
SET CONSTRAINTS ALL DEFERRED;
INSERT INTO k VALUES (2, 5, 5);
SELECT count(*) FROM k WHERE id = 2;
COMMIT;
SELECT count(*) FROM k WHERE id = 2;
-- Deferred from the start; made immediate in between.
BEGIN;
INSERT INTO k VALUES (20, 3, 3);
SET CONSTRAINTS k_vw IMMEDIATE;
ROLLBACK;
BEGIN;
INSERT INTO k VALUES (20, 3, 3);
UPDATE k SET w = 4 WHERE id = 20;
SET CONSTRAINTS ALL IMMEDIATE;
INSERT INTO k VALUES (21, 3, 3);
ROLLBACK;
INSERT INTO k VALUES (20, 3, 3);
-- NULLs are never the same.
INSERT INTO k VALUES (30, 2, NULL), (31, 2, NULL);
SELECT id, v, w FROM k ORDER BY id;
-- A row that is gone again has nothing to say.
BEGIN;
INSERT INTO k VALUES (40, 3, 3);
DELETE FROM k WHERE id = 40;
COMMIT;
BEGIN;
SAVEPOINT s;
INSERT INTO k VALUES (41, 3, 3);
ROLLBACK TO s;
INSERT INTO k VALUES (42, 43, 44);
COMMIT;
SELECT id FROM k WHERE v = 43;
-- ON CONFLICT knows no deferrable keys.
INSERT INTO k VALUES (2, 1, 1) ON CONFLICT DO NOTHING;
INSERT INTO k VALUES (2, 1, 1) ON CONFLICT (id) DO NOTHING;
INSERT INTO k VALUES (2, 1, 1) ON CONFLICT ON CONSTRAINT k_vw DO NOTHING;
INSERT INTO k VALUES (2, 1, 1) ON CONFLICT (v, w) DO UPDATE SET w = 2;
-- Nor do foreign keys.
CREATE TABLE c (id int REFERENCES k (id));
CREATE TABLE c (id int REFERENCES k);
CREATE TABLE c (v int, w int, FOREIGN KEY (v, w) REFERENCES k (v, w));
-- How they are shown.
SELECT conname, contype, condeferrable, condeferred, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'k'::regclass ORDER BY conname;
SELECT indexrelid::regclass, indisunique, indisprimary, indimmediate, pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 'k'::regclass ORDER BY 1;
SELECT constraint_name, constraint_type, is_deferrable, initially_deferred FROM information_schema.table_constraints WHERE table_name = 'k' AND constraint_type <> 'CHECK' ORDER BY 1;
SELECT relhasindex FROM pg_class WHERE relname = 'k';
-- Rows there are already.
CREATE TABLE a (x int, y text);
INSERT INTO a VALUES (1, 'a'), (1, 'b'), (NULL, 'b'), (NULL, 'c');
ALTER TABLE a ADD CONSTRAINT a_x UNIQUE (x) DEFERRABLE;
DELETE FROM a WHERE y = 'b';
ALTER TABLE a ADD PRIMARY KEY (x) DEFERRABLE;
ALTER TABLE a ADD CONSTRAINT a_x UNIQUE (x) DEFERRABLE;
INSERT INTO a VALUES (1, 'd');
DELETE FROM a WHERE x IS NULL;
ALTER TABLE a ADD PRIMARY KEY (x, y) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE a ADD PRIMARY KEY (x);
ALTER TABLE a ALTER COLUMN y DROP NOT NULL;
INSERT INTO a VALUES (2, NULL);
BEGIN;
INSERT INTO a VALUES (5, 'x');
ALTER TABLE a ADD COLUMN z int;
ROLLBACK;
BEGIN;
SET CONSTRAINTS ALL DEFERRED;
INSERT INTO a VALUES (1, 'x');
ALTER TABLE a ADD COLUMN z int;
ROLLBACK;
BEGIN;
SET CONSTRAINTS ALL DEFERRED;
INSERT INTO a VALUES (1, 'x');
TRUNCATE a;
ROLLBACK;
ALTER TABLE a ADD COLUMN z int DEFAULT 5;
UPDATE a SET x = x + 1 RETURNING x, y, z;
ALTER TABLE a DROP CONSTRAINT a_x;
ALTER TABLE a RENAME CONSTRAINT a_pkey TO a_first;
INSERT INTO a VALUES (2, 'a');
ALTER TABLE a DROP CONSTRAINT a_first;
INSERT INTO a VALUES (2, 'a');
SELECT x, y FROM a ORDER BY x, y;
-- What may be changed, and what is no way to say it.
ALTER TABLE k ALTER CONSTRAINT k_vw NOT DEFERRABLE;
ALTER TABLE k ALTER CONSTRAINT nosuch DEFERRABLE;
ALTER TABLE IF EXISTS nosuch ALTER CONSTRAINT x DEFERRABLE;
CREATE TABLE r (id int REFERENCES plain (id));
SELECT conname, condeferrable, condeferred FROM pg_constraint WHERE conrelid = 'r'::regclass;
SET CONSTRAINTS r_id_fkey DEFERRED;
ALTER TABLE r ALTER CONSTRAINT r_id_fkey DEFERRABLE INITIALLY DEFERRED;
SELECT conname, condeferrable, condeferred FROM pg_constraint WHERE conrelid = 'r'::regclass;
BEGIN;
INSERT INTO r VALUES (77);
INSERT INTO plain VALUES (77, 77);
COMMIT;
SELECT id FROM r;
ALTER TABLE r ALTER CONSTRAINT r_id_fkey;
INSERT INTO r VALUES (78);
CREATE TABLE bad (id int UNIQUE NOT DEFERRABLE INITIALLY DEFERRED);
SET CONSTRAINTS plain_pkey DEFERRED;
-- Functional dependency is that of keys that always hold.
SELECT id, v FROM plain GROUP BY id ORDER BY id;
SELECT id, v FROM k GROUP BY id;
-- A cascade gives keys, too.
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (p int REFERENCES parent (id) ON UPDATE CASCADE UNIQUE DEFERRABLE, n int);
INSERT INTO parent VALUES (1), (2);
INSERT INTO child VALUES (1, 1), (2, 2);
UPDATE parent SET id = id + 10;
SELECT p, n FROM child ORDER BY n;
TRUNCATE k;
DROP TABLE r, plain, k, a, child, parent;
