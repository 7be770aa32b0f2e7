-- Several columns assigned at once, and columns of others returned.
CREATE TABLE t (id int PRIMARY KEY, a text, b int, c int DEFAULT 9);
CREATE TABLE s (k int PRIMARY KEY, v text, n int);
INSERT INTO t VALUES (1, 'one', 1), (2, 'two', 2), (3, 'three', 3);
INSERT INTO s VALUES (1, 'eins', 10), (2, 'zwei', 20), (4, 'vier', 40);
UPDATE t SET (a, b) = ('x', 5) WHERE id = 1 RETURNING *;
UPDATE t SET (a, b) = ROW('y', 6) WHERE id = 1 RETURNING *;
UPDATE t SET (a, b) = (SELECT v, n FROM s WHERE k = t.id), c = 0 RETURNING *;
UPDATE t SET (a, b) = (SELECT v, n FROM s WHERE k = t.id ORDER BY n DESC LIMIT 1) WHERE id < 3 RETURNING *;
UPDATE t SET (a, b) = (SELECT max(v), sum(n) FROM s) WHERE id = 3 RETURNING *;
UPDATE t SET (a, b) = (SELECT 'one') WHERE id = 1;
UPDATE t SET (a, b) = (1, 2, 3) WHERE id = 1;
UPDATE t SET (a, b, c) = (DEFAULT, 3, DEFAULT) WHERE id = 2 RETURNING *;
UPDATE t SET (a, a) = ('x', 'y');
UPDATE t SET (a, nosuch) = ('x', 'y');
UPDATE t SET (a, b) = (SELECT * FROM (VALUES ('q', 7)) AS q(x, y)) WHERE id = 2 RETURNING *;
INSERT INTO t VALUES (1, 'new', 77) ON CONFLICT (id) DO UPDATE SET (a, b) = (excluded.a, excluded.b + t.b) RETURNING *;
INSERT INTO t VALUES (1, 'new', 77) ON CONFLICT (id) DO UPDATE SET (a, b) = ROW(excluded.a, 1) RETURNING *;
MERGE INTO t USING s ON t.id = s.k WHEN MATCHED THEN UPDATE SET (a, b) = (s.v, s.n);
SELECT * FROM t ORDER BY id;
UPDATE t SET s.a = 'x' WHERE id = 1;
--$ p | 3
UPDATE t SET (a, b) = ($1, $2) WHERE id = 1 RETURNING a, b;
-- RETURNING
UPDATE t SET b = s.n + 1 FROM s WHERE s.k = t.id RETURNING t.id, b, s.v, n, s.n + t.b AS both;
UPDATE t SET b = 1 FROM s WHERE s.k = t.id RETURNING *;
UPDATE t SET b = 2 FROM s AS other WHERE other.k = t.id RETURNING other.*, t.*;
UPDATE t SET b = 2 FROM s WHERE s.k = t.id RETURNING nosuch.*;
UPDATE t SET b = q.n FROM (SELECT k, n * 2 AS n FROM s) q WHERE q.k = t.id RETURNING id, q.n, q.k;
UPDATE t SET b = s.n FROM s JOIN (VALUES (1, 'w1'), (2, 'w2')) AS w(k, name) ON w.k = s.k WHERE s.k = t.id RETURNING t.id, s.v, w.name, upper(w.name);
UPDATE t SET a = x.a FROM t AS x WHERE x.id = t.id + 1 RETURNING t.id, t.a, x.a AS was, x.id;
UPDATE t SET a = x.a FROM t AS x WHERE x.id = t.id + 1 RETURNING id;
UPDATE t SET b = 1 FROM s WHERE s.k = t.id RETURNING k, v;
UPDATE t SET b = g FROM generate_series(1, 3) AS g WHERE g = t.id RETURNING id, g;
DELETE FROM t USING s WHERE s.k = t.id RETURNING t.id, s.v;
DELETE FROM t USING s WHERE s.k < t.id RETURNING *;
SELECT * FROM t;
INSERT INTO t VALUES (1, 'one', 1), (2, 'two', 2) RETURNING t.*;
--$ 15 | 1
UPDATE t SET b = s.n FROM s WHERE s.k = t.id AND s.n < $1 RETURNING t.id, s.v, $2::int + s.n AS plus;
WITH u AS (UPDATE t SET b = s.n FROM s WHERE s.k = t.id RETURNING t.id, s.v AS word) SELECT * FROM u ORDER BY id;
-- OVERRIDING
CREATE TABLE g (id int GENERATED ALWAYS AS IDENTITY, w int, h int DEFAULT 3);
INSERT INTO g (id, w) VALUES (5, 1);
INSERT INTO g (id, w) OVERRIDING SYSTEM VALUE VALUES (5, 1) RETURNING *;
INSERT INTO g OVERRIDING SYSTEM VALUE SELECT 7, 2, 2 RETURNING *;
INSERT INTO g (w) OVERRIDING SYSTEM VALUE VALUES (8) RETURNING id, w;
INSERT INTO g (id, w) OVERRIDING SYSTEM VALUE VALUES (DEFAULT, 9) RETURNING id;
INSERT INTO t AS x (id, a) OVERRIDING SYSTEM VALUE VALUES (50, 'fifty') ON CONFLICT (id) DO NOTHING RETURNING x.id;
WITH n AS (SELECT 60 AS id) INSERT INTO g (id, w) OVERRIDING SYSTEM VALUE SELECT id, 1 FROM n RETURNING *;
SELECT * FROM g ORDER BY id;
CREATE TABLE overriding (system int, value int);
INSERT INTO overriding (system, value) VALUES (1, 2) RETURNING system, value;
