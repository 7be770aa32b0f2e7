-- FETCH FIRST … WITH TIES, counts that are subqueries, OVERRIDING USER VALUE, empty aggregates in correlated subqueries.
CREATE TABLE t (id int PRIMARY KEY, g text, v int);
INSERT INTO t VALUES (1,'a',5),(2,'a',5),(3,'b',4),(4,'b',4),(5,'c',1),(6,'c',NULL);
SELECT id, v FROM t ORDER BY v DESC NULLS LAST FETCH FIRST 1 ROW WITH TIES;
SELECT id, v FROM t ORDER BY v NULLS FIRST OFFSET 2 ROWS FETCH NEXT 2 ROWS WITH TIES;
SELECT g, count(*) FROM t GROUP BY g ORDER BY count(*) FETCH FIRST 1 ROWS WITH TIES;
SELECT DISTINCT v FROM t ORDER BY v FETCH FIRST 2 ROWS WITH TIES;
SELECT id FROM t FETCH FIRST 2 ROWS WITH TIES;
SELECT id FROM t ORDER BY v FETCH FIRST 0 ROWS WITH TIES;
SELECT id FROM t ORDER BY id LIMIT (SELECT 2);
SELECT id FROM t ORDER BY id LIMIT (SELECT count(*) / 2 FROM t) OFFSET (SELECT 1);
SELECT id FROM t ORDER BY v, id OFFSET (SELECT max(id) - 2 FROM t);
SELECT id FROM t ORDER BY id LIMIT (SELECT NULL::int);
SELECT id AS x, v + 1 AS w FROM t ORDER BY w DESC, x LIMIT (SELECT 3);
SELECT * FROM (SELECT id, v FROM t ORDER BY v DESC NULLS LAST FETCH FIRST 3 ROWS WITH TIES) q ORDER BY id;
SELECT id FROM t UNION ALL SELECT 99 ORDER BY 1 DESC FETCH FIRST 1 ROWS WITH TIES;
--$ 2
SELECT id FROM t ORDER BY v FETCH FIRST $1 ROWS WITH TIES;
--$ 1
SELECT id FROM t ORDER BY id LIMIT (SELECT $1::int);
CREATE TABLE i (id int GENERATED ALWAYS AS IDENTITY, n text);
INSERT INTO i OVERRIDING USER VALUE SELECT 100 + id, g FROM t ORDER BY id RETURNING *;
INSERT INTO i (n, id) OVERRIDING USER VALUE VALUES ('x', 500), ('y', DEFAULT) RETURNING *;
INSERT INTO i OVERRIDING SYSTEM VALUE SELECT 1000, 'z' RETURNING *;
INSERT INTO i SELECT 100, 'x';

CREATE TABLE c (id int primary key, n text);
CREATE TABLE o (id int primary key, cust int, amt numeric);
INSERT INTO c VALUES (1,'a'),(2,'b');
INSERT INTO o VALUES (1,1,10),(2,1,20);
SELECT json_build_object('id', c.id, 'o', (SELECT coalesce(json_agg(o.amt ORDER BY o.id), '[]') FROM o WHERE o.cust=c.id)) FROM c ORDER BY c.id;
SELECT json_build_object('id', c.id, 'o', coalesce((SELECT json_agg(o.amt ORDER BY o.id) FROM o WHERE o.cust=c.id), '[]')) FROM c ORDER BY c.id;
SELECT json_build_object('id', c.id, 'o', coalesce((SELECT jsonb_agg(o.amt ORDER BY o.id) FROM o WHERE o.cust=c.id), '[]'::jsonb)) FROM c ORDER BY c.id;
SELECT jsonb_build_object('id', c.id, 'o', (SELECT coalesce(jsonb_agg(jsonb_build_object('a', o.amt) ORDER BY o.id), '[]'::jsonb) FROM o WHERE o.cust=c.id)) FROM c ORDER BY c.id;
SELECT jsonb_build_object('id', c.id, 'o', (SELECT coalesce(jsonb_agg(jsonb_build_object('a', o.amt) ORDER BY o.id), '[]') FROM o WHERE o.cust=c.id)) FROM c ORDER BY c.id;
SELECT json_agg(json_build_object('id', c.id, 'o', (SELECT coalesce(json_agg(o.amt ORDER BY o.id), '[]') FROM o WHERE o.cust=c.id)) ORDER BY c.id) FROM c;
SELECT coalesce(json_agg(o.amt), '[]') FROM o WHERE false;
SELECT row_to_json(t) FROM (SELECT c.id, (SELECT coalesce(json_agg(o), '[]') FROM o WHERE o.cust=c.id) AS os FROM c ORDER BY id) t;
SELECT json_build_object('x', coalesce(json_agg(o.amt), '[]')) FROM o;
SELECT to_json(coalesce(json_agg(o.amt), '[]')) FROM o;
SELECT json_build_object('x', x) FROM (SELECT cust, coalesce(json_agg(amt ORDER BY id), '[]') x FROM o GROUP BY cust) q;
SELECT json_build_object('x', l.x) FROM c LEFT JOIN LATERAL (SELECT coalesce(json_agg(amt ORDER BY id), '[]') x FROM o WHERE o.cust=c.id) l ON true ORDER BY c.id;
SELECT json_build_object('x', CASE WHEN c.id=1 THEN (SELECT json_agg(o.amt) FROM o) ELSE '{}' END) FROM c ORDER BY id;
