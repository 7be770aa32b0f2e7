-- Joins of several tables of different sizes: the planner may put them into another order.
CREATE TABLE region (id int PRIMARY KEY, name text);
CREATE TABLE place (id int PRIMARY KEY, region int, name text);
CREATE TABLE buyer (id int PRIMARY KEY, place int, name text);
CREATE TABLE seller (id int PRIMARY KEY, place int, rating numeric(3,1));
CREATE TABLE bought (id int PRIMARY KEY, buyer int, day date);
CREATE TABLE part (bought int, seller int, line int, price numeric(8,2));
INSERT INTO region SELECT n, 'region ' || n FROM generate_series(1, 3) AS s(n);
INSERT INTO place SELECT n, nullif(n % 4, 0), 'place ' || n FROM generate_series(1, 12) AS s(n);
INSERT INTO buyer SELECT n, nullif(n % 13, 0), 'buyer ' || n % 40 FROM generate_series(1, 150) AS s(n);
INSERT INTO seller SELECT n, nullif(n % 14, 0), n % 10 / 2.0 FROM generate_series(1, 40) AS s(n);
INSERT INTO bought SELECT n, nullif(n * 7 % 160, 0), date '2026-01-01' + n % 90 FROM generate_series(1, 600) AS s(n);
INSERT INTO part SELECT nullif(n % 610, 0), 1 + n * 3 % 41, n % 4, n * 17 % 1000 / 4.0 FROM generate_series(1, 2000) AS s(n);
ANALYZE;
SELECT p.name, count(*), sum(t.price) FROM buyer b, bought o, part t, seller s, place p, region r WHERE b.id = o.buyer AND t.bought = o.id AND t.seller = s.id AND b.place = s.place AND s.place = p.id AND p.region = r.id AND r.name = 'region 2' GROUP BY p.name ORDER BY p.name;
SELECT p.name, count(*) FROM part t JOIN seller s ON s.id = t.seller JOIN place p ON p.id = s.place JOIN region r ON r.id = p.region WHERE r.id = 1 AND t.price > 200 GROUP BY p.name ORDER BY p.name;
SELECT count(*) FROM part t, seller s, bought o WHERE t.seller = s.id AND t.bought = o.id AND s.rating = 2.5;
SELECT count(*), min(t.price), max(o.day) FROM part t, bought o, buyer b WHERE t.bought = o.id AND o.buyer = b.id AND b.name = 'buyer 7';
-- A condition of three tables, and one that is no equality.
SELECT count(*) FROM part t, bought o, buyer b WHERE t.bought = o.id AND o.buyer = b.id AND t.line + o.id > b.id;
SELECT count(*) FROM part t, bought o, buyer b, seller s WHERE t.bought = o.id AND o.buyer = b.id AND t.seller = s.id AND s.id < b.id AND (s.rating > 3 OR b.id < 20);
-- Two columns of one table are equal to one of another.
SELECT count(*) FROM buyer b, place p, region r WHERE b.place = p.id AND b.id = p.id AND p.region = r.id;
SELECT count(*) FROM buyer b, place p, region r, seller s WHERE b.place = p.id AND b.id = p.id AND p.region = r.id AND s.place = b.place;
-- Two columns together, and different types.
SELECT count(*) FROM part t, bought o, seller s WHERE t.bought = o.id AND t.seller = o.buyer AND s.id = o.buyer;
SELECT count(*) FROM part t, bought o, seller s WHERE t.bought::bigint = o.id AND t.seller = s.id AND s.rating = 1;
SELECT count(*) FROM bought o, part t, seller s WHERE o.id = t.bought AND t.price = s.rating AND t.seller = s.id;
-- The same table several times.
SELECT a.id, c.name FROM place a, place b, place c, region r WHERE a.region = b.region AND b.region = c.region AND c.region = r.id AND a.id < b.id AND b.id < c.id ORDER BY 1, 2;
-- Outer joins and subqueries among inner ones.
SELECT r.name, count(*), count(x.id) FROM region r JOIN place p ON p.region = r.id LEFT JOIN seller x ON x.place = p.id AND x.rating > 4 JOIN buyer b ON b.place = p.id GROUP BY r.name ORDER BY 1;
SELECT count(*) FROM part t, bought o, seller s WHERE t.bought = o.id AND t.seller = s.id AND NOT EXISTS (SELECT 1 FROM part u WHERE u.bought = t.bought AND u.seller <> t.seller) AND s.place IN (SELECT id FROM place WHERE region = 1);
SELECT count(*) FROM part t JOIN seller s ON s.id = t.seller JOIN (SELECT place, count(*) AS many FROM buyer GROUP BY place) m ON m.place = s.place JOIN place p ON p.id = m.place WHERE m.many > 11;
SELECT id, r.name, p.name, s.place FROM region r JOIN place p USING (id) JOIN seller s ON s.place = p.region ORDER BY id, s.id;
SELECT count(*) FROM part t CROSS JOIN region r JOIN seller s ON s.id = t.seller;
SELECT t.line, s.id FROM part t, seller s, bought o WHERE t.seller = s.id AND t.bought = o.id AND t.price < (SELECT avg(u.price) / 20 FROM part u WHERE u.seller = s.id) ORDER BY 1, 2;
UPDATE part SET line = line + 10 FROM bought o, buyer b WHERE part.bought = o.id AND o.buyer = b.id AND b.id = 7;
SELECT line, count(*) FROM part GROUP BY line ORDER BY line;
