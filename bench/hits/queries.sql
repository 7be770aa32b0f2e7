-- 1
SELECT count(*) FROM hits;
-- 2
SELECT count(*) FROM hits WHERE search_engine_id <> 0;
-- 3
SELECT sum(search_engine_id), count(*), avg(width) FROM hits;
-- 4
SELECT count(DISTINCT user_id) FROM hits;
-- 5
SELECT count(DISTINCT search_phrase) FROM hits;
-- 6
SELECT min(event_date), max(event_date) FROM hits;
-- 7
SELECT search_engine_id, count(*) AS c FROM hits WHERE search_engine_id <> 0 GROUP BY search_engine_id ORDER BY c DESC, search_engine_id;
-- 8
SELECT region_id, count(DISTINCT user_id) AS u FROM hits GROUP BY region_id ORDER BY u DESC, region_id LIMIT 10;
-- 9
SELECT region_id, sum(search_engine_id), count(*) AS c, avg(width), count(DISTINCT user_id) FROM hits GROUP BY region_id ORDER BY c DESC, region_id LIMIT 10;
-- 10
SELECT mobile_phone_model, count(DISTINCT user_id) AS u FROM hits WHERE mobile_phone_model <> '' GROUP BY mobile_phone_model ORDER BY u DESC, mobile_phone_model LIMIT 10;
-- 11
SELECT search_phrase, count(*) AS c FROM hits WHERE search_phrase <> '' GROUP BY search_phrase ORDER BY c DESC, search_phrase LIMIT 10;
-- 12
SELECT search_engine_id, search_phrase, count(*) AS c FROM hits WHERE search_phrase <> '' GROUP BY search_engine_id, search_phrase ORDER BY c DESC, search_phrase, search_engine_id LIMIT 10;
-- 13
SELECT user_id, count(*) AS c FROM hits GROUP BY user_id ORDER BY c DESC, user_id LIMIT 10;
-- 14
SELECT user_id, extract(minute FROM event_time) AS m, search_phrase, count(*) AS c FROM hits GROUP BY user_id, m, search_phrase ORDER BY c DESC, user_id, m, search_phrase LIMIT 10;
-- 15
SELECT count(*) FROM hits WHERE url LIKE '%google%';
-- 16
SELECT search_phrase, min(url), count(*) AS c FROM hits WHERE url LIKE '%google%' AND search_phrase <> '' GROUP BY search_phrase ORDER BY c DESC, search_phrase LIMIT 10;
-- 17
SELECT watch_id, event_time, url FROM hits WHERE url LIKE '%forum%' ORDER BY event_time, watch_id LIMIT 10;
-- 18
SELECT search_phrase FROM hits WHERE search_phrase <> '' ORDER BY event_time, search_phrase, watch_id LIMIT 10;
-- 19
SELECT counter_id, avg(length(url)) AS l, count(*) AS c FROM hits WHERE url <> '' GROUP BY counter_id HAVING count(*) > 1000 ORDER BY l DESC, counter_id LIMIT 25;
-- 20
SELECT client_ip, client_ip - 1, client_ip - 2, count(*) AS c FROM hits GROUP BY client_ip ORDER BY c DESC, client_ip LIMIT 10;
-- 21
SELECT url, count(*) AS c FROM hits GROUP BY url ORDER BY c DESC, url LIMIT 10;
-- 22
SELECT title, count(*) AS views FROM hits WHERE counter_id = 62 AND event_date BETWEEN '2026-07-01' AND '2026-07-10' AND is_refresh = 0 AND title <> '' GROUP BY title ORDER BY views DESC, title LIMIT 10;
-- 23
SELECT date_trunc('minute', event_time) AS m, count(*) AS views FROM hits WHERE counter_id = 3 AND event_date BETWEEN '2026-07-14' AND '2026-07-15' AND is_refresh = 0 GROUP BY m ORDER BY m LIMIT 10 OFFSET 100;
