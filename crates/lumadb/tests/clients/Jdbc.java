import java.io.*;
import java.math.BigDecimal;
import java.sql.*;
import java.time.*;
import java.util.*;
import org.postgresql.PGConnection;
import org.postgresql.copy.CopyManager;

/** PostgreSQL's JDBC driver: types, keys, batches, cursors, metadata, COPY, cancellation. */
public class Jdbc {
    interface Step { void run(Connection connection) throws Exception; }

    static void check(boolean holds, Object what) { if (!holds) throw new AssertionError(String.valueOf(what)); }
    static void same(Object got, Object wanted) { check(Objects.deepEquals(got, wanted), got + " is not " + wanted); }

    static void types(Connection c) throws Exception {
        // More than five runs: the driver then prepares on the server and asks for binary.
        try (PreparedStatement s = c.prepareStatement("SELECT ?::int, ?::bigint, ?::text, ?::numeric, ?::boolean, ?::float8, ?::bytea, ?::date, ?::timestamp, ?::timestamptz, ?::uuid, ?::int[], ?::smallint, ?::real, ?::time")) {
            UUID uuid = UUID.randomUUID();
            for (int run = 0; run < 12; run++) {
                s.setInt(1, run); s.setLong(2, 1L << 62); s.setString(3, "\u00e9'"); s.setBigDecimal(4, new BigDecimal("12345678901234.5600"));
                s.setBoolean(5, true); s.setDouble(6, 0.1); s.setBytes(7, new byte[] {0, -1}); s.setObject(8, LocalDate.of(2024, 2, 29));
                s.setObject(9, LocalDateTime.of(2024, 1, 1, 1, 2, 3, 4000)); s.setObject(10, OffsetDateTime.of(2024, 1, 1, 0, 0, 0, 0, ZoneOffset.UTC));
                s.setObject(11, uuid); s.setArray(12, c.createArrayOf("int4", new Integer[] {1, null, 3})); s.setShort(13, (short) -7); s.setFloat(14, 1.5f);
                s.setObject(15, LocalTime.of(1, 2, 3));
                try (ResultSet r = s.executeQuery()) {
                    check(r.next(), "a row");
                    same(r.getInt(1), run); same(r.getLong(2), 1L << 62); same(r.getString(3), "\u00e9'"); same(r.getBigDecimal(4), new BigDecimal("12345678901234.5600"));
                    same(r.getBoolean(5), true); same(r.getDouble(6), 0.1); same(r.getBytes(7), new byte[] {0, -1}); same(r.getObject(8, LocalDate.class), LocalDate.of(2024, 2, 29));
                    same(r.getObject(9, LocalDateTime.class), LocalDateTime.of(2024, 1, 1, 1, 2, 3, 4000));
                    same(r.getObject(10, OffsetDateTime.class).toInstant(), Instant.parse("2024-01-01T00:00:00Z"));
                    same(r.getObject(11), uuid); same(r.getArray(12).getArray(), new Integer[] {1, null, 3}); same(r.getShort(13), (short) -7); same(r.getFloat(14), 1.5f);
                    same(r.getObject(15, LocalTime.class), LocalTime.of(1, 2, 3));
                }
            }
            s.setNull(1, Types.INTEGER);
            try (ResultSet r = s.executeQuery()) { r.next(); r.getInt(1); check(r.wasNull(), "null"); }
            same(s.getParameterMetaData().getParameterTypeName(1), "int4");
            ResultSetMetaData m = s.getMetaData();
            same(m.getColumnCount(), 15); same(m.getColumnTypeName(4), "numeric"); same(m.getColumnType(9), Types.TIMESTAMP); same(m.getColumnClassName(3), "java.lang.String");
        }
    }

    static void writes(Connection c) throws Exception {
        try (Statement s = c.createStatement()) {
            s.execute("CREATE TABLE person (id serial PRIMARY KEY, name varchar(20) NOT NULL UNIQUE, amount numeric(8,2) DEFAULT 1.5, at timestamptz DEFAULT now())");
            s.execute("CREATE TABLE pet (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, owner int REFERENCES person (id) ON DELETE CASCADE, kind text)");
            s.execute("CREATE INDEX pet_kind ON pet (kind, id DESC)");
            s.execute("CREATE VIEW names AS SELECT name FROM person");
            s.execute("COMMENT ON TABLE person IS 'people'");
            s.execute("COMMENT ON COLUMN person.name IS 'full'");
        }
        try (PreparedStatement s = c.prepareStatement("INSERT INTO person (name) VALUES (?)", Statement.RETURN_GENERATED_KEYS)) {
            s.setString(1, "Ann");
            same(s.executeUpdate(), 1);
            try (ResultSet r = s.getGeneratedKeys()) { check(r.next(), "a key"); same(r.getInt("id"), 1); same(r.getBigDecimal("amount"), new BigDecimal("1.50")); }
        }
        try (PreparedStatement s = c.prepareStatement("INSERT INTO person (name, amount) VALUES (?, ?)", new String[] {"id"})) {
            for (int n = 0; n < 1000; n++) { s.setString(1, "p" + n); s.setBigDecimal(2, BigDecimal.valueOf(n)); s.addBatch(); }
            int[] counts = s.executeBatch();
            same(counts.length, 1000); same(counts[7], 1);
            try (ResultSet r = s.getGeneratedKeys()) { int keys = 0; while (r.next()) keys++; same(keys, 1000); }
        }
        c.setAutoCommit(false);
        try (Statement s = c.createStatement()) {
            s.addBatch("UPDATE person SET amount = 0 WHERE id = 1"); s.addBatch("INSERT INTO pet (owner, kind) VALUES (1, 'cat')"); s.addBatch("DELETE FROM pet WHERE kind = 'dog'");
            same(s.executeBatch(), new int[] {1, 1, 0});
            Savepoint point = c.setSavepoint("here");
            s.executeUpdate("DELETE FROM pet");
            c.rollback(point);
            try { s.executeUpdate("INSERT INTO person (name) VALUES ('Ann')"); check(false, "a second Ann"); }
            catch (SQLException e) {
                same(e.getSQLState(), "23505");
                same(((org.postgresql.util.PSQLException) e).getServerErrorMessage().getConstraint(), "person_name_key");
                same(((org.postgresql.util.PSQLException) e).getServerErrorMessage().getTable(), "person");
            }
            c.rollback();
        }
        try (PreparedStatement s = c.prepareStatement("INSERT INTO pet (owner, kind) VALUES (?, ?)")) {
            s.setInt(1, 1); s.setString(2, "cat"); s.addBatch(); s.setInt(1, 99999); s.setString(2, "ghost"); s.addBatch();
            try { s.executeBatch(); check(false, "no owner"); } catch (BatchUpdateException e) { same(e.getSQLState(), "23503"); }
            c.rollback();
        }
        c.setAutoCommit(true);
        try (Statement s = c.createStatement(ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_UPDATABLE);
             ResultSet r = s.executeQuery("SELECT id, name, amount FROM person WHERE id < 4 ORDER BY id")) {
            check(r.last(), "rows"); same(r.getRow(), 3); check(r.first(), "first"); same(r.getString("name"), "Ann");
            r.updateBigDecimal("amount", new BigDecimal("9.99")); r.updateRow();
            check(r.absolute(2), "second"); r.deleteRow();
            r.moveToInsertRow(); r.updateInt("id", 5000); r.updateString("name", "inserted"); r.insertRow();
        }
        try (Statement s = c.createStatement(); ResultSet r = s.executeQuery("SELECT count(*), max(amount) FILTER (WHERE id = 1) FROM person")) { r.next(); same(r.getInt(1), 1001); same(r.getBigDecimal(2), new BigDecimal("9.99")); }
    }

    static void cursors(Connection c) throws Exception {
        c.setAutoCommit(false);
        try (PreparedStatement s = c.prepareStatement("SELECT n, 'row ' || n FROM generate_series(1, ?) AS g(n)")) {
            s.setFetchSize(100); s.setInt(1, 1050);
            try (ResultSet r = s.executeQuery()) { int sum = 0; while (r.next()) { sum++; same(r.getString(2), "row " + r.getInt(1)); } same(sum, 1050); }
            s.setMaxRows(10);
            try (ResultSet r = s.executeQuery()) { int sum = 0; while (r.next()) sum++; same(sum, 10); }
        }
        c.commit();
        c.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
        same(c.getTransactionIsolation(), Connection.TRANSACTION_SERIALIZABLE);
        c.rollback();
        c.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
        c.setReadOnly(true);
        try (Statement s = c.createStatement()) { s.executeUpdate("DELETE FROM person"); check(false, "read only"); } catch (SQLException e) { same(e.getSQLState(), "25006"); }
        c.rollback(); c.setReadOnly(false); c.setAutoCommit(true);
        try (Statement s = c.createStatement()) {
            s.setQueryTimeout(1);
            try { s.execute("SELECT pg_sleep(20)"); check(false, "it slept"); } catch (SQLException e) { same(e.getSQLState(), "57014"); }
            s.setQueryTimeout(0);
            check(s.execute("SELECT 1; SELECT 2"), "a result"); check(s.getMoreResults(), "another"); s.getResultSet().next(); same(s.getResultSet().getInt(1), 2);
        }
        check(c.isValid(2), "valid");
        try (CallableStatement s = c.prepareCall("{? = call upper(?)}")) { s.registerOutParameter(1, Types.VARCHAR); s.setString(2, "up"); s.execute(); same(s.getString(1), "UP"); }
        try (Statement s = c.createStatement(); ResultSet r = s.executeQuery("SELECT {fn concat('a', 'b')}, {d '2024-01-01'}, {fn mod(7, 4)}")) { r.next(); same(r.getString(1), "ab"); same(r.getString(2), "2024-01-01"); same(r.getInt(3), 3); }
    }

    static List<String> column(ResultSet r, String name) throws SQLException {
        List<String> all = new ArrayList<>();
        try (r) { while (r.next()) all.add(r.getString(name)); }
        return all;
    }

    static void metadata(Connection c) throws Exception {
        DatabaseMetaData m = c.getMetaData();
        same(m.getDatabaseProductName(), "PostgreSQL"); same(m.getDatabaseMajorVersion(), 15); same(m.getUserName(), "lumadb");
        same(column(m.getTables(null, "public", "p%", new String[] {"TABLE"}), "TABLE_NAME"), List.of("person", "pet"));
        same(column(m.getTables(null, "public", "%", new String[] {"VIEW"}), "TABLE_NAME"), List.of("names"));
        same(column(m.getTables(null, "public", "person", null), "REMARKS"), List.of("people"));
        same(column(m.getColumns(null, "public", "person", "%"), "COLUMN_NAME"), List.of("id", "name", "amount", "at"));
        same(column(m.getColumns(null, "public", "person", "%"), "TYPE_NAME"), List.of("serial", "varchar", "numeric", "timestamptz"));
        same(column(m.getColumns(null, "public", "person", "%"), "COLUMN_SIZE"), List.of("10", "20", "8", "35"));
        same(column(m.getColumns(null, "public", "person", "%"), "IS_AUTOINCREMENT"), List.of("YES", "NO", "NO", "NO"));
        same(column(m.getColumns(null, "public", "person", "name"), "REMARKS"), List.of("full"));
        same(column(m.getColumns(null, "public", "person", "%"), "NULLABLE"), List.of("0", "0", "1", "1"));
        same(column(m.getPrimaryKeys(null, "public", "person"), "COLUMN_NAME"), List.of("id"));
        same(column(m.getPrimaryKeys(null, "public", "person"), "PK_NAME"), List.of("person_pkey"));
        same(column(m.getImportedKeys(null, "public", "pet"), "PKTABLE_NAME"), List.of("person"));
        same(column(m.getExportedKeys(null, "public", "person"), "FKCOLUMN_NAME"), List.of("owner"));
        same(column(m.getImportedKeys(null, "public", "pet"), "DELETE_RULE"), List.of("" + DatabaseMetaData.importedKeyCascade));
        same(column(m.getCrossReference(null, "public", "person", null, "public", "pet"), "FK_NAME"), List.of("pet_owner_fkey"));
        same(column(m.getIndexInfo(null, "public", "pet", false, true), "INDEX_NAME"), List.of("pet_pkey", "pet_kind", "pet_kind"));
        same(column(m.getIndexInfo(null, "public", "pet", false, true), "ASC_OR_DESC"), List.of("A", "A", "D"));
        check(column(m.getSchemas(), "TABLE_SCHEM").containsAll(List.of("public", "pg_catalog", "information_schema")), "schemas");
        same(column(m.getCatalogs(), "TABLE_CAT").contains("lumadb"), true);
        check(column(m.getTypeInfo(), "TYPE_NAME").containsAll(List.of("int4", "text", "jsonb", "numeric")), "types");
        check(column(m.getTableTypes(), "TABLE_TYPE").contains("TABLE"), "table types");
        same(column(m.getBestRowIdentifier(null, "public", "person", DatabaseMetaData.bestRowSession, true), "COLUMN_NAME"), List.of("id"));
        column(m.getFunctions(null, "public", "%"), "FUNCTION_NAME"); column(m.getProcedures(null, "public", "%"), "PROCEDURE_NAME");
        column(m.getTablePrivileges(null, "public", "person"), "PRIVILEGE"); column(m.getColumnPrivileges(null, "public", "person", "%"), "PRIVILEGE");
        column(m.getUDTs(null, "public", "%", null), "TYPE_NAME"); column(m.getVersionColumns(null, "public", "person"), "COLUMN_NAME");
        column(m.getClientInfoProperties(), "NAME"); m.getSQLKeywords(); m.getMaxColumnNameLength();
        try (PreparedStatement s = c.prepareStatement("SELECT p.id, p.name AS alias, q.kind FROM person p JOIN pet q ON q.owner = p.id")) {
            ResultSetMetaData r = s.getMetaData();
            same(((org.postgresql.PGResultSetMetaData) r).getBaseColumnName(2), "name"); same(((org.postgresql.PGResultSetMetaData) r).getBaseTableName(3), "pet");
            same(r.isAutoIncrement(1), true); same(r.isNullable(2), ResultSetMetaData.columnNoNulls); same(r.getColumnLabel(2), "alias");
        }
    }

    static void copies(Connection c) throws Exception {
        CopyManager copy = c.unwrap(PGConnection.class).getCopyAPI();
        same(copy.copyIn("COPY person (id, name) FROM STDIN (FORMAT csv)", new StringReader("7001,x\n7002,\"y,z\"\n")), 2L);
        StringWriter out = new StringWriter();
        copy.copyOut("COPY (SELECT id, name FROM person WHERE id > 7000 ORDER BY id) TO STDOUT (FORMAT csv)", out);
        same(out.toString(), "7001,x\n7002,\"y,z\"\n");
        try (Statement s = c.createStatement()) {
            s.execute("LISTEN news"); s.execute("NOTIFY news, 'said'");
            same(c.unwrap(PGConnection.class).getNotifications(2000)[0].getParameter(), "said");
            s.execute("DROP TABLE IF EXISTS no_such"); check(s.getWarnings().getMessage().contains("skipping"), "a warning");
        }
        same(c.getSchema(), "public"); c.setSchema("public"); c.setClientInfo("ApplicationName", "jdbc"); same(c.getClientInfo("ApplicationName"), "jdbc");
    }

    public static void main(String[] arguments) throws Exception {
        try (Connection connection = DriverManager.getConnection(arguments[0])) {
            Map<String, Step> steps = new LinkedHashMap<>();
            steps.put("types", Jdbc::types); steps.put("writes", Jdbc::writes); steps.put("cursors", Jdbc::cursors); steps.put("metadata", Jdbc::metadata); steps.put("copies", Jdbc::copies);
            for (var step : steps.entrySet()) {
                try { step.getValue().run(connection); }
                catch (Throwable error) {
                    if (arguments.length < 2) throw error;
                    System.out.println("FAILED " + step.getKey()); error.printStackTrace(System.out);
                    if (!connection.getAutoCommit()) { connection.rollback(); connection.setAutoCommit(true); }
                }
            }
            System.out.println("jdbc " + connection.getMetaData().getDriverVersion());
        }
    }
}
