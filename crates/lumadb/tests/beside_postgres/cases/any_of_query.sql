-- Comparisons with all elements of an array that a query gives.
CREATE TABLE word (id int PRIMARY KEY, w text, len int);
INSERT INTO word VALUES (1, 'a', 1), (2, 'bb', 2), (3, NULL, NULL), (4, 'dd', 2), (5, 'eeeee', 5);
SELECT id FROM word WHERE id = ANY (ARRAY(SELECT len FROM word)) ORDER BY id;
SELECT id FROM word WHERE id = ANY (ARRAY(SELECT len FROM word WHERE len IS NOT NULL ORDER BY len DESC LIMIT 1));
SELECT id, id = ANY (ARRAY(SELECT len FROM word)) AS found FROM word ORDER BY id;
SELECT id, id <> ALL (ARRAY(SELECT len FROM word WHERE len > 1)) AS other FROM word ORDER BY id;
SELECT id FROM word WHERE id <> ALL (ARRAY(SELECT len FROM word)) ORDER BY id;
SELECT id FROM word WHERE id < ALL (ARRAY(SELECT len FROM word WHERE len > 1)) ORDER BY id;
SELECT id FROM word WHERE id > ANY (ARRAY(SELECT len FROM word)) ORDER BY id;
SELECT id FROM word WHERE id = ANY (ARRAY(SELECT len FROM word WHERE false)) ORDER BY id;
SELECT id FROM word WHERE id <> ALL (ARRAY(SELECT len FROM word WHERE false)) ORDER BY id;
SELECT a.id FROM word a WHERE a.w = ANY (ARRAY(SELECT b.w FROM word b WHERE b.len = a.len AND b.id <> a.id OR b.id = 1)) ORDER BY 1;
SELECT id FROM word WHERE w = ANY (ARRAY(SELECT w FROM word UNION SELECT 'zz' ORDER BY 1)) ORDER BY id;
SELECT 2 = ANY (ARRAY(SELECT len FROM word)), NULL = ANY (ARRAY(SELECT len FROM word)), 9 = ANY (ARRAY(SELECT 1));
SELECT id FROM word WHERE len = ANY (ARRAY(SELECT DISTINCT len FROM word WHERE len > 1) || 1) ORDER BY id;
UPDATE word SET w = 'x' WHERE id = ANY (ARRAY(SELECT id FROM word WHERE len = 2)) RETURNING id, w;
DELETE FROM word WHERE id <> ALL (ARRAY(SELECT id FROM word WHERE w = 'x')) RETURNING id;
SELECT * FROM word ORDER BY id;
