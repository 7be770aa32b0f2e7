-- Statements of object mappers over authors, books and reviews.
create table authors (id serial primary key, name varchar(100) not null, born date, country char(2), active boolean default true, created_at timestamptz default now(), prefs jsonb default '{}', score numeric(6,2), tags text[]);
create table books (id bigserial primary key, author_id int references authors(id) on delete cascade, title text not null, price numeric(10,2), published date, isbn varchar(20) unique, stock int default 0, meta json);
create table reviews (id serial primary key, book_id bigint references books(id), rating smallint check (rating between 1 and 5), body text, created timestamp default '2024-01-01 00:00:00');
insert into authors (name, born, country, score, tags, prefs) values ('Ann','1970-05-01','us',12.50,'{a,b}','{"x":1,"y":{"z":[1,2,3]}}'),('Bob','1985-12-31','de',null,'{}','{"x":2}'),('Cid',null,'us',99.99,null,'{"x":null}'),('Dee','1990-02-28',null,0,'{b,c,d}','[]');
insert into books (author_id,title,price,published,isbn,stock) values (1,'Alpha',10.00,'2020-01-01','111',5),(1,'Beta',20.50,'2021-06-15','222',0),(2,'Gamma',15.25,'2021-07-01','333',10),(3,'Delta',null,null,null,3),(null,'Orphan',5.00,'2019-03-03','555',1);
insert into reviews (book_id,rating,body,created) values (1,5,'great','2024-01-02 10:00'),(1,3,'ok','2024-01-03 11:30'),(2,1,'bad','2024-02-01 00:00'),(3,4,null,'2024-02-15 23:59:59'),(3,4,'good','2024-03-01 12:00');
-- django
SELECT "authors"."id", "authors"."name", COUNT("books"."id") AS "n" FROM "authors" LEFT OUTER JOIN "books" ON ("authors"."id" = "books"."author_id") GROUP BY "authors"."id" HAVING COUNT("books"."id") > 0 ORDER BY "n" DESC, "authors"."id" ASC LIMIT 21;
SELECT "authors"."id", EXISTS(SELECT 1 AS "a" FROM "books" U0 WHERE (U0."author_id" = ("authors"."id") AND U0."price" > 12) LIMIT 1) AS "has" FROM "authors" ORDER BY 1;
SELECT (1) AS "a" FROM "authors" WHERE "authors"."name" = 'Ann' LIMIT 1;
SELECT EXTRACT('year' FROM "authors"."born") AS "y", COUNT(*) AS "c" FROM "authors" GROUP BY EXTRACT('year' FROM "authors"."born") ORDER BY 1;
SELECT DATE_TRUNC('month', "created" AT TIME ZONE 'UTC') AS m, AVG(rating) FROM reviews GROUP BY 1 ORDER BY 1;
SELECT "books"."title", CASE WHEN "books"."price" > 15 THEN 'high' WHEN "books"."price" IS NULL THEN NULL ELSE 'low' END AS "band" FROM "books" ORDER BY "books"."title" COLLATE "C" DESC;
SELECT UPPER("authors"."name"::text) FROM authors WHERE UPPER("authors"."name"::text) LIKE UPPER('%n%');
SELECT "authors"."name" FROM "authors" WHERE "authors"."prefs" @> '{"x": 1}'::jsonb;
SELECT ("authors"."prefs" #> '{y,z}') AS z, ("prefs" -> 'x')::int AS x FROM authors WHERE id < 3 ORDER BY id;
SELECT ARRAY_AGG(DISTINCT "authors"."country" ORDER BY "authors"."country") FROM authors;
SELECT STRING_AGG("title", ', ' ORDER BY "price" DESC NULLS LAST) FROM books;
SELECT AVG("price")::numeric(10,3), STDDEV_POP(price), VARIANCE(price), SUM(DISTINCT stock) FROM books;
SELECT COALESCE("price", 0.0) * 1.1 AS p FROM books ORDER BY id;
SELECT REGEXP_REPLACE(title, '[aeiou]', '*', 'g') FROM books ORDER BY id;
SELECT LPAD(id::text, 5, '0'), RPAD(title, 8, '.'), POSITION('a' IN title), STRPOS(title, 'l'), REVERSE(title), LEFT(title, 2), RIGHT(title, 2), SUBSTRING(title, 2, 3) FROM books ORDER BY id;
SELECT MD5(title), SHA256(title::bytea), ENCODE(title::bytea,'hex') FROM books WHERE id=1;
INSERT INTO "authors" ("name") VALUES ('New1'), ('New2') RETURNING "authors"."id", "authors"."name";
DELETE FROM "authors" WHERE "authors"."id" IN (SELECT U0."id" FROM "authors" U0 WHERE U0."name" LIKE 'New%');
SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY "book_id" ORDER BY "created" DESC) AS rn FROM reviews) q WHERE rn = 1 ORDER BY id;
UPDATE "books" SET "stock" = ("books"."stock" + 1) WHERE "books"."id" = 1;
SELECT "books"."id" FROM "books" WHERE ("books"."published" BETWEEN '2021-01-01' AND '2021-12-31' AND NOT ("books"."stock" = 0 AND "books"."stock" IS NOT NULL)) ORDER BY 1;
SELECT "books"."id" FROM "books" WHERE "books"."published" >= '2021-01-01'::date AND EXTRACT('month' FROM "books"."published") = 7;
SELECT ("created" AT TIME ZONE 'UTC')::date, COUNT(*) FROM reviews GROUP BY 1 ORDER BY 1;
-- rails
SELECT "books".* FROM "books" INNER JOIN "authors" ON "authors"."id" = "books"."author_id" WHERE "authors"."country" = 'us' ORDER BY "books"."id" ASC LIMIT 1 OFFSET 1;
SELECT COUNT(*) FROM (SELECT 1 AS one FROM "books" LIMIT 2) subquery_for_count;
SELECT DISTINCT "authors"."name", "authors"."created_at" IS NOT NULL AS alias_0 FROM "authors" ORDER BY "authors"."name" DESC LIMIT 2;
SELECT a.attname, format_type(a.atttypid, a.atttypmod), pg_get_expr(d.adbin, d.adrelid), a.attnotnull, a.atttypid, a.atttypmod, c.collname, col_description(a.attrelid, a.attnum) AS comment, attidentity AS identity, attgenerated as attgenerated FROM pg_attribute a LEFT JOIN pg_attrdef d ON a.attrelid = d.adrelid AND a.attnum = d.adnum LEFT JOIN pg_type t ON a.atttypid = t.oid LEFT JOIN pg_collation c ON a.attcollation = c.oid AND a.attcollation <> t.typcollation WHERE a.attrelid = '"books"'::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum;
SELECT distinct i.relname, d.indisunique, d.indkey, pg_get_indexdef(d.indexrelid), pg_catalog.obj_description(i.oid, 'pg_class') AS comment, d.indisvalid FROM pg_class t INNER JOIN pg_index d ON t.oid = d.indrelid INNER JOIN pg_class i ON d.indexrelid = i.oid LEFT JOIN pg_namespace n ON n.oid = t.relnamespace WHERE i.relkind IN ('i', 'I') AND d.indisprimary = 'f' AND t.relname = 'books' AND n.nspname = ANY (current_schemas(false)) ORDER BY i.relname;
SELECT t2.oid::regclass::text AS to_table, a1.attname AS column, a2.attname AS primary_key, c.conname AS name, c.confupdtype AS on_update, c.confdeltype AS on_delete, c.convalidated AS valid, c.condeferrable AS deferrable, c.condeferred AS deferred FROM pg_constraint c JOIN pg_class t1 ON c.conrelid = t1.oid JOIN pg_class t2 ON c.confrelid = t2.oid JOIN pg_attribute a1 ON a1.attnum = c.conkey[1] AND a1.attrelid = t1.oid JOIN pg_attribute a2 ON a2.attnum = c.confkey[1] AND a2.attrelid = t2.oid JOIN pg_namespace t3 ON c.connamespace = t3.oid WHERE c.contype = 'f' AND t1.relname = 'books' AND t3.nspname = ANY (current_schemas(false)) ORDER BY c.conname;
INSERT INTO "books" ("title","isbn") VALUES ('Alpha2','111') ON CONFLICT ("isbn") DO UPDATE SET "title"=excluded."title", stock = books.stock + 100 WHERE books.title IS DISTINCT FROM excluded.title RETURNING "id", "title", stock;
INSERT INTO "books" ("title","isbn") VALUES ('Dup','111') ON CONFLICT DO NOTHING RETURNING "id";
SELECT SUM("books"."price") AS sum_price, "books"."author_id" AS books_author_id FROM "books" GROUP BY "books"."author_id" ORDER BY 2 NULLS FIRST;
SELECT "books"."id" FROM "books" WHERE ("books"."author_id" = 1 OR "books"."author_id" IS NULL) AND "books"."title" ILIKE '%a%' ORDER BY id;
-- sequelize
SELECT count("Author"."id") AS "count" FROM "authors" AS "Author" LEFT OUTER JOIN "books" AS "books" ON "Author"."id" = "books"."author_id" WHERE "Author"."active" = true;
SELECT "Author".*, "books"."id" AS "books.id", "books"."title" AS "books.title" FROM (SELECT "Author"."id", "Author"."name" FROM "authors" AS "Author" ORDER BY "Author"."name" ASC LIMIT 2 OFFSET 0) AS "Author" LEFT OUTER JOIN "books" AS "books" ON "Author"."id" = "books"."author_id" ORDER BY "Author"."name" ASC, "books"."id";
SELECT "id" FROM "authors" AS "a" WHERE ("a"."prefs"#>>'{y,z,0}') = '1';
SELECT "id" FROM "authors" AS "a" WHERE CAST(("a"."prefs"#>>'{x}') AS INTEGER) >= 2;
-- typeorm / prisma
SELECT "t"."id", "t"."title" FROM "public"."books" AS "t" WHERE ("t"."price" > 10 AND ("t"."id") IN (SELECT "j0"."id" FROM "public"."books" AS "j0" LEFT JOIN "public"."authors" AS "j1" ON ("j1"."id") = ("j0"."author_id") WHERE ("j1"."name" = 'Ann' AND "j1"."id" IS NOT NULL))) ORDER BY "t"."id" ASC OFFSET 0;
SELECT COALESCE(JSONB_AGG("__prisma_data__"), '[]') AS "__prisma_data__" FROM (SELECT "t5"."__prisma_data__" FROM (SELECT JSONB_BUILD_OBJECT('id', "t4"."id", 'title', "t4"."title") AS "__prisma_data__", "t4"."id" FROM (SELECT "t3".* FROM "public"."books" AS "t3" WHERE 1=1) AS "t4") AS "t5" ORDER BY "t5"."id") AS "t6";
SELECT COUNT(*) FROM (SELECT "public"."books"."id" FROM "public"."books" WHERE 1=1 OFFSET 0) AS "sub";
SELECT COUNT(*) FILTER (WHERE rating >= 4), MIN("rating"), MAX("body") FROM "reviews" WHERE 1=1 GROUP BY "book_id" HAVING AVG("rating") > 2 ORDER BY "book_id";
-- ecto
SELECT a0."id", a0."name", coalesce(sum(b1."price"), 0)::numeric FROM "authors" AS a0 LEFT OUTER JOIN "books" AS b1 ON b1."author_id" = a0."id" GROUP BY a0."id", a0."name" ORDER BY a0."id";
SELECT b0."id" FROM "books" AS b0 WHERE (b0."id" = ANY('{1,3}')) ORDER BY b0."id";
SELECT count(b0."id"), avg(b0."price"), type.t FROM books b0 CROSS JOIN (SELECT 'x'::text AS t) type GROUP BY type.t;
SELECT f0 FROM generate_series(1,3) AS f0;
SELECT b0."title" || ' ' || coalesce(b0.isbn, '-') FROM "books" AS b0 WHERE (fragment.x = b0.id) ORDER BY 1;
-- hibernate
select a1_0.id,a1_0.name,b1_0.author_id,b1_0.id,b1_0.title from authors a1_0 left join books b1_0 on a1_0.id=b1_0.author_id where a1_0.name like 'A%' escape '' order by 1,4 offset 0 rows fetch first 10 rows only;
select next.value from (select nextval('books_id_seq') as value) next limit 0;
select b1_0.id from books b1_0 where b1_0.price=(select max(b2_0.price) from books b2_0) fetch first 1 rows only;
select cast(b1_0.price as varchar(255)), cast(b1_0.id as varchar(2)), cast(b1_0.published as timestamp(6)) from books b1_0 order by b1_0.id;
select extract(epoch from (r.created - timestamp '2024-01-01')) from reviews r order by r.id;
select listagg.* from (select string_agg(cast(id as text), ',' order by id) from books) listagg;
-- drizzle
select "id", "title", (select count(*)::int from "reviews" where "reviews"."book_id" = "books"."id") as "n" from "books" order by "books"."id" desc limit 3;
select "authors"."id", "authors"."name", "authors_books"."data" as "books" from "authors" "authors" left join lateral (select coalesce(json_agg(json_build_array("authors_books"."id", "authors_books"."title") order by authors_books.id), '[]'::json) as "data" from "books" "authors_books" where "authors_books"."author_id" = "authors"."id") "authors_books" on true order by authors.id;
