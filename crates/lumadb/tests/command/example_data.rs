use std::path::PathBuf;

use crate::process::{Server, good};

/// Where the example data is; none where it was not fetched.
fn data() -> Option<PathBuf> {
    let place = std::env::var_os("LUMADB_TEST_DATA").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")),
        PathBuf::from,
    );
    if place.join("nycflights13/weather.csv").is_file() {
        return Some(place);
    }
    eprintln!("skipped: there is no example data in {}; LUMADB_TEST_DATA says where it is", place.display());
    None
}

#[test]
fn the_example_data_is_imported_joined_and_aggregated() {
    let Some(data) = data() else { return };
    let directory = tempfile::tempdir().unwrap();
    let server = Server::open(directory.path());
    let url = server.url();
    for (table, file) in [
        ("weather", "nycflights13/weather.csv"),
        ("airports", "nycflights13/airports.csv"),
        ("planes", "nycflights13/planes.csv"),
        ("zipcodes", "documents/zipcodes.csv"),
        ("flights", "documents/flights-200k.arrow"),
        ("movies", "documents/movies.json"),
        ("quakes", "documents/earthquakes.json"),
    ] {
        let file = data.join(file).display().to_string();
        let out = good(directory.path(), &["import", "--url", &url, table, &file, "--create"]);
        assert!(out.contains(" 0 rejected"), "{out}");
    }
    let rows = |query: &str| good(directory.path(), &["sql", &url, "--format", "csv", "-c", query]);
    assert_eq!(rows("SELECT count(*) AS n, count(wind_gust) AS g FROM weather"), "n,g\n26115,5337\n");
    assert_eq!(rows("SELECT min(zip_code) AS z, count(*) AS n FROM zipcodes"), "z,n\n00501,42049\n");
    assert_eq!(rows("SELECT count(*) AS n FROM flights"), "n\n200000\n");
    assert_eq!(rows("SELECT count(*) AS n FROM movies WHERE \"Distributor\" IS NULL"), "n\n232\n");
    assert_eq!(rows("SELECT count(*) AS n FROM quakes"), "n\n1707\n");
    let joined = "SELECT a.name, count(*) AS n FROM weather w JOIN airports a ON a.faa = w.origin \
        GROUP BY a.name ORDER BY n, a.name";
    assert_eq!(rows(joined), "name,n\nNewark Liberty Intl,8703\nJohn F Kennedy Intl,8706\nLa Guardia,8706\n");
    rows("CREATE INDEX by_city ON zipcodes (city)");
    assert_eq!(
        rows("SELECT zip_code FROM zipcodes WHERE city = 'Holtsville' ORDER BY 1"),
        "zip_code\n00501\n00544\n11742\n"
    );
}
