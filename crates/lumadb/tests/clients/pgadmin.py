"""The queries by which pgAdmin 4 fills its tree, its dashboard and its query tool."""

import sys

import psycopg

conn = psycopg.connect(sys.argv[1], autocommit=True)
run = lambda text: conn.execute(text).fetchall()
conn.execute("CREATE TABLE part (id serial PRIMARY KEY, name varchar(20) NOT NULL DEFAULT 'x', price numeric(8, 2) CHECK (price > 0))")
conn.execute("CREATE TABLE stock (part int REFERENCES part (id) ON DELETE CASCADE, place text, PRIMARY KEY (part, place))")
conn.execute("CREATE UNIQUE INDEX part_name ON part (name DESC)")
conn.execute("CREATE VIEW cheap AS SELECT id, name FROM part WHERE price < 10")
conn.execute("COMMENT ON TABLE part IS 'what is sold'")

# Connecting.
conn.execute("SET DateStyle=ISO")
conn.execute("SET client_min_messages=notice")
conn.execute("SELECT set_config('bytea_output','hex',false) FROM pg_settings WHERE name = 'bytea_output'")
assert run("SELECT version()")[0][0].startswith("PostgreSQL 15")
databases = run("""SELECT db.oid as did, db.datname, db.datallowconn, pg_encoding_to_char(db.encoding) AS serverencoding,
    has_database_privilege(db.oid, 'CREATE') as cancreate, datistemplate FROM pg_catalog.pg_database db WHERE db.datname = current_database()""")
assert databases[0][1:4] == ("lumadb", True, "UTF8"), databases
me = run("""SELECT roles.oid as id, roles.rolname as name, roles.rolsuper as is_superuser,
    CASE WHEN roles.rolsuper THEN true ELSE roles.rolcreaterole END as can_create_role,
    CASE WHEN roles.rolsuper THEN true ELSE roles.rolcreatedb END as can_create_db
    FROM pg_catalog.pg_roles as roles WHERE rolname = current_user""")
assert me[0][1:] == ("lumadb", True, True, True), me
assert run("SELECT usename FROM pg_catalog.pg_user WHERE usename = current_user") == [("lumadb",)]
assert run("SELECT pg_catalog.pg_is_in_recovery()") == [(False,)]

# The tree.
schemas = run("""SELECT nsp.oid, nsp.nspname as name, pg_catalog.has_schema_privilege(nsp.oid, 'CREATE') as can_create,
    pg_catalog.has_schema_privilege(nsp.oid, 'USAGE') as has_usage, des.description
    FROM pg_catalog.pg_namespace nsp LEFT OUTER JOIN pg_catalog.pg_description des ON (des.objoid=nsp.oid AND des.classoid='pg_namespace'::regclass)
    WHERE nspname NOT LIKE E'pg\\\\_%' AND nsp.nspname <> 'information_schema' ORDER BY nspname""")
assert [row[1] for row in schemas] == ["public"], schemas
public = schemas[0][0]
tables = run(f"""SELECT rel.oid, rel.relname AS name, (SELECT count(*) FROM pg_catalog.pg_trigger WHERE tgrelid=rel.oid AND tgisinternal = FALSE) AS triggercount,
    rel.relpersistence = 'u' AS unlogged, pg_catalog.obj_description(rel.oid, 'pg_class') AS comment
    FROM pg_catalog.pg_class rel WHERE rel.relkind IN ('r','s','t','p') AND rel.relnamespace = {public}
    AND NOT rel.relispartition ORDER BY rel.relname""")
assert [row[1] for row in tables] == ["part", "stock"] and tables[0][4] == "what is sold", tables
part = tables[0][0]
columns = run(f"""SELECT att.attname as name, att.attnum as "OID", pg_catalog.format_type(ty.oid,NULL) AS datatype, pg_catalog.format_type(att.atttypid, att.atttypmod) AS displaytypname,
    att.attnotnull as not_null, CASE WHEN att.atthasdef OR att.attidentity != '' OR ty.typdefault IS NOT NULL THEN True ELSE False END as has_default_val,
    pg_catalog.pg_get_expr(def.adbin, def.adrelid) AS defval, des.description, seq.seqtypid
    FROM pg_catalog.pg_attribute att JOIN pg_catalog.pg_type ty ON ty.oid=atttypid
    LEFT OUTER JOIN pg_catalog.pg_attrdef def ON adrelid=att.attrelid AND adnum=att.attnum
    LEFT OUTER JOIN pg_catalog.pg_description des ON (des.objoid=att.attrelid AND des.objsubid=att.attnum AND des.classoid='pg_class'::regclass)
    LEFT OUTER JOIN (pg_catalog.pg_depend dep JOIN pg_catalog.pg_class cs ON dep.classid='pg_class'::regclass AND dep.objid=cs.oid AND cs.relkind='S') ON dep.refobjid=att.attrelid AND dep.refobjsubid=att.attnum
    LEFT OUTER JOIN pg_catalog.pg_sequence seq ON cs.oid=seq.seqrelid
    WHERE att.attrelid = {part}::oid AND att.attnum > 0 AND att.attisdropped IS FALSE ORDER BY att.attnum""")
assert [row[0] for row in columns] == ["id", "name", "price"] and columns[1][3] == "character varying(20)" and columns[2][3] == "numeric(8,2)", columns
assert columns[0][6] == "nextval('part_id_seq'::regclass)" and columns[1][5] is True, columns
indexes = run(f"""SELECT DISTINCT ON(cls.relname) cls.oid, cls.relname as name, indrelid, indkey, indisunique, indisprimary, indisvalid, indnatts, am.amname,
    pg_catalog.pg_get_expr(idx.indpred, idx.indrelid, true) as indconstraint, pg_catalog.pg_get_indexdef(cls.oid) AS definition
    FROM pg_catalog.pg_index idx JOIN pg_catalog.pg_class cls ON cls.oid=indexrelid JOIN pg_catalog.pg_class tab ON tab.oid=indrelid
    LEFT OUTER JOIN pg_catalog.pg_tablespace ta on ta.oid=cls.reltablespace JOIN pg_catalog.pg_namespace n ON n.oid=tab.relnamespace
    JOIN pg_catalog.pg_am am ON am.oid=cls.relam
    LEFT JOIN pg_catalog.pg_depend dep ON (dep.classid = cls.tableoid AND dep.objid = cls.oid AND dep.refobjsubid = '0' AND dep.refclassid=(SELECT oid FROM pg_catalog.pg_class WHERE relname='pg_constraint') AND dep.deptype='i')
    LEFT OUTER JOIN pg_catalog.pg_constraint con ON (con.tableoid = dep.refclassid AND con.oid = dep.refobjid)
    WHERE indrelid = {part}::OID AND conname is NULL ORDER BY cls.relname""")
assert [row[1] for row in indexes] == ["part_name"] and indexes[0][8] == "btree" and indexes[0][4] is True, indexes
constraints = run(f"""SELECT conname as name, contype, convalidated, pg_catalog.pg_get_constraintdef(con.oid, true) AS consrc, conrelid::regclass::text
    FROM pg_catalog.pg_constraint con WHERE conrelid = {part}::oid ORDER BY conname""")
assert [(row[0], row[1]) for row in constraints] == [("part_pkey", "p"), ("part_price_check", "c")] and constraints[0][4] == "part", constraints
keys = run(f"""SELECT ct.oid, conname as name, condeferrable, confupdtype, confdeltype, nl.nspname as fknsp, cl.relname as fktab, nr.nspname as refnsp, cr.relname as reftab
    FROM pg_catalog.pg_constraint ct JOIN pg_catalog.pg_class cl ON cl.oid=conrelid JOIN pg_catalog.pg_namespace nl ON nl.oid=cl.relnamespace
    JOIN pg_catalog.pg_class cr ON cr.oid=confrelid JOIN pg_catalog.pg_namespace nr ON nr.oid=cr.relnamespace
    WHERE contype='f' AND conrelid = {tables[1][0]}::oid ORDER BY conname""")
assert keys[0][1] == "stock_part_fkey" and keys[0][4] == "c" and keys[0][8] == "part", keys
views = run(f"""SELECT c.oid, c.relname AS name, pg_catalog.pg_get_viewdef(c.oid, true) AS definition, pg_catalog.pg_get_userbyid(c.relowner) AS owner
    FROM pg_catalog.pg_class c WHERE c.relkind = 'v'::char AND c.relnamespace = {public}::oid ORDER BY c.relname""")
assert views[0][1] == "cheap" and "FROM part" in views[0][2] and views[0][3] == "lumadb", views
sequences = run(f"""SELECT cl.oid, relname as name, relnamespace as schema FROM pg_catalog.pg_class cl WHERE relkind = 'S' AND relnamespace = {public}::oid ORDER BY relname""")
assert [row[1] for row in sequences] == ["part_id_seq"]
assert run("SELECT last_value, is_called FROM part_id_seq") == [(1, False)]
types = run("""SELECT * FROM (SELECT pg_catalog.format_type(t.oid,NULL) AS typname, CASE WHEN typelem > 0 THEN typelem ELSE t.oid END as elemoid, typlen, typtype, t.oid, nspname
    FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace nsp ON typnamespace=nsp.oid
    WHERE (NOT (typname = 'unknown' AND nspname = 'pg_catalog')) AND typisdefined AND typtype IN ('b', 'c', 'd', 'e', 'r') AND nspname = 'pg_catalog') AS dummy ORDER BY 1""")
assert {"integer", "text", "jsonb", "timestamp with time zone"} <= {row[0] for row in types}

# The dashboard.
activity = run("""SELECT pid, datname, usename, application_name, client_addr, pg_catalog.to_char(backend_start, 'YYYY-MM-DD HH24:MI:SS TZ') AS backend_start, state,
    wait_event_type || ': ' || wait_event AS wait_event, array_to_string(pg_catalog.pg_blocking_pids(pid), ', ') AS blocking_pids, query,
    pg_catalog.to_char(state_change, 'YYYY-MM-DD HH24:MI:SS TZ') AS state_change, pg_catalog.to_char(query_start, 'YYYY-MM-DD HH24:MI:SS TZ') AS query_start, backend_type,
    CASE WHEN state = 'active' THEN ROUND((extract(epoch from now() - query_start) / 60)::numeric, 2) ELSE 0 END AS active_since
    FROM pg_catalog.pg_stat_activity WHERE datname = (SELECT datname FROM pg_catalog.pg_database WHERE datname = current_database()) ORDER BY pid""")
assert any(row[6] == "active" and "pg_blocking_pids" in row[9] for row in activity), activity
assert run("SELECT locktype, pid, mode, granted FROM pg_catalog.pg_locks l LEFT OUTER JOIN pg_catalog.pg_database d ON (l.database = d.oid) LIMIT 1") is not None
assert run("SELECT name, setting, unit FROM pg_catalog.pg_settings WHERE name = 'statement_timeout'")[0][0] == "statement_timeout"

# The query tool.
conn.execute("INSERT INTO part (name, price) VALUES ('a', 1), ('b', 20)")
assert run("SELECT * FROM public.part ORDER BY id ASC LIMIT 100")[1][1] == "b"
assert run("SELECT at.attname, at.attnum, ty.typname FROM pg_catalog.pg_attribute at LEFT JOIN pg_catalog.pg_type ty ON (ty.oid = at.atttypid) JOIN pg_catalog.pg_constraint con ON (at.attrelid = con.conrelid AND at.attnum = ANY(con.conkey)) WHERE con.contype = 'p' AND con.conrelid = 'public.part'::regclass") == [("id", 1, "int4")]
plan = run("EXPLAIN (FORMAT JSON, ANALYZE false, VERBOSE false, COSTS false, BUFFERS false, TIMING false) SELECT * FROM part WHERE price > 1")[0][0]
assert plan[0]["Plan"]["Node Type"], plan
assert run("SELECT pg_catalog.pg_size_pretty(pg_catalog.pg_total_relation_size('part'::regclass))")[0][0]
print("pgadmin's queries, psycopg", psycopg.__version__)
