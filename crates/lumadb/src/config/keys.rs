//! Every setting there is: the one table that file, environment, flags and `luma.toml` follow.

use crate::config::value::Kind;

/// A setting.
#[derive(Debug)]
pub struct Key {
    /// The section it is in; empty at the top of the file.
    pub section: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What it accepts.
    pub kind: Kind,
    /// Its value when nothing else is said.
    pub default: &'static str,
    /// What it does, in one line.
    pub help: &'static str,
}

impl Key {
    /// `section.name`.
    pub fn path(&self) -> String {
        path(self.section, self.name)
    }

    /// The environment variable that overrides it.
    pub fn variable(&self) -> String {
        let separator = if self.section.is_empty() { "" } else { "_" };
        format!("LUMADB_{}{separator}{}", self.section, self.name).to_ascii_uppercase()
    }
}

/// `section.name`, or the name alone at the top of the file.
pub fn path(section: &str, name: &str) -> String {
    if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") }
}

const fn key(
    section: &'static str,
    name: &'static str,
    kind: Kind,
    default: &'static str,
    help: &'static str,
) -> Key {
    Key { section, name, kind, default, help }
}

const PORT: Kind = Kind::Count { min: 0, max: 65535 };
const THREADS: Kind = Kind::Count { min: 0, max: 1024 };

/// Every setting, in the order of `luma.toml`.
pub static KEYS: &[Key] = &[
    key(
        "",
        "preset",
        Kind::OneOf(&["durable", "fast", "low_memory"]),
        "durable",
        "Chooses values for keys that are not set: durable, fast (a crash may lose the last moment), low_memory.",
    ),
    key(
        "server",
        "host",
        Kind::Text,
        "127.0.0.1",
        "Address that doors listen on unless they have their own.",
    ),
    key("server", "worker_threads", THREADS, "0", "Threads that serve connections; 0 for one per processor."),
    key(
        "server",
        "shutdown_grace",
        Kind::Duration,
        "10s",
        "How long running statements may go on when the server stops.",
    ),
    key("postgres", "enabled", Kind::Bool, "true", "Whether the PostgreSQL door is open."),
    key("postgres", "host", Kind::Text, "", "Its address; empty for server.host."),
    key("postgres", "port", PORT, "5432", "Its port; 0 picks a free one."),
    key(
        "postgres",
        "max_connections",
        Kind::Count { min: 1, max: 100_000 },
        "500",
        "Most clients at a time.",
    ),
    key(
        "postgres",
        "tls_certificate",
        Kind::Text,
        "",
        "File with its certificate and those up to the issuer's, in PEM form; empty for no TLS.",
    ),
    key("postgres", "tls_key", Kind::Text, "", "File with the certificate's private key, in PEM form."),
    key("http", "enabled", Kind::Bool, "true", "Whether /health and /metrics are served."),
    key("http", "host", Kind::Text, "", "Its address; empty for server.host."),
    key("http", "port", PORT, "8080", "Its port; 0 picks a free one."),
    key("prometheus", "enabled", Kind::Bool, "true", "Whether Prometheus' HTTP interface is open."),
    key("prometheus", "host", Kind::Text, "", "Its address; empty for server.host."),
    key("prometheus", "port", PORT, "9090", "Its port; 0 picks a free one."),
    key(
        "prometheus",
        "max_connections",
        Kind::Count { min: 1, max: 100_000 },
        "512",
        "Most clients at a time; more wait.",
    ),
    key("prometheus", "query_timeout", Kind::Duration, "2min", "How long a query may take."),
    key(
        "prometheus",
        "query_concurrency",
        Kind::Count { min: 1, max: 10_000 },
        "20",
        "How many queries run at a time; more wait.",
    ),
    key(
        "prometheus",
        "query_max_samples",
        Kind::Count { min: 1, max: 1 << 40 },
        "50000000",
        "Most samples that a query has in memory at once.",
    ),
    key(
        "prometheus",
        "query_cache_size",
        Kind::Bytes { min: 0 },
        "64MB",
        "Memory for answers to range queries, of which later ones compute only what is new or changed; 0 keeps none.",
    ),
    key(
        "prometheus",
        "lookback",
        Kind::Duration,
        "5min",
        "How long a sample counts as the current value of its series.",
    ),
    key(
        "prometheus",
        "max_request_size",
        Kind::Bytes { min: 1 << 10 },
        "32MB",
        "Longest body of a request to write or read, as it is sent.",
    ),
    key(
        "prometheus",
        "max_series",
        Kind::Count { min: 1, max: u32::MAX as u64 },
        "1000000",
        "Most series; samples of others are refused.",
    ),
    key(
        "prometheus",
        "out_of_order_window",
        Kind::Duration,
        "1h",
        "How far behind the newest sample of its series a sample may be.",
    ),
    key(
        "prometheus",
        "max_future",
        Kind::Duration,
        "10min",
        "How far ahead of the server's clock a sample may be.",
    ),
    key(
        "prometheus",
        "config_file",
        Kind::Text,
        "",
        "A file as Prometheus is configured by, whose targets, rules and alerting are taken; empty for none.",
    ),
    key(
        "prometheus",
        "own_metrics_interval",
        Kind::Duration,
        "0s",
        "How often the server stores its own metrics (those of /metrics, job lumadb) in itself; 0s for never.",
    ),
    key(
        "prometheus",
        "external_url",
        Kind::Text,
        "",
        "Where alerts say that the server is; empty for the address it listens on.",
    ),
    key(
        "prometheus",
        "admin_api",
        Kind::Bool,
        "true",
        "Whether clients may delete series, have the store copied and config_file read again.",
    ),
    key("prometheus", "retention", Kind::Duration, "0s", "How long samples are kept; 0s for ever."),
    key(
        "prometheus",
        "retention_size",
        Kind::Bytes { min: 0 },
        "0",
        "Most bytes of samples in files, past which the oldest files go; 0 for any number.",
    ),
    key(
        "prometheus",
        "hot",
        Kind::Duration,
        "1h",
        "How long samples stay in memory after they were written to files.",
    ),
    key("prometheus", "flush_interval", Kind::Duration, "1h", "How often samples are written to files."),
    key(
        "otlp",
        "enabled",
        Kind::Bool,
        "true",
        "Whether OpenTelemetry's metrics are taken at ports of their own.",
    ),
    key("otlp", "host", Kind::Text, "", "Their address; empty for server.host."),
    key("otlp", "port", PORT, "4317", "The port that clients use for gRPC; 0 picks a free one."),
    key("otlp", "http_port", PORT, "4318", "The port that clients use for HTTP; 0 picks a free one."),
    key(
        "otlp",
        "max_connections",
        Kind::Count { min: 1, max: 100_000 },
        "512",
        "Most clients at a time at each port; more wait.",
    ),
    key(
        "otlp",
        "scope_labels",
        Kind::Bool,
        "true",
        "Whether series have labels that name their instrumentation scope (otel_scope_name and others).",
    ),
    key(
        "otlp",
        "promote_resource_attributes",
        Kind::Text,
        "",
        "Attributes of resources that series have as labels, separated by commas.",
    ),
    key(
        "graphite",
        "enabled",
        Kind::Bool,
        "false",
        "Whether Graphite's plaintext is taken, over TCP and UDP; it has no passwords.",
    ),
    key("graphite", "host", Kind::Text, "", "Its address; empty for server.host."),
    key("graphite", "port", PORT, "2003", "Its port; 0 picks a free one."),
    key(
        "graphite",
        "max_connections",
        Kind::Count { min: 1, max: 100_000 },
        "512",
        "Most clients of TCP at a time; more wait.",
    ),
    key(
        "opentsdb",
        "enabled",
        Kind::Bool,
        "false",
        "Whether OpenTSDB's lines (put) are taken over TCP; they have no passwords.",
    ),
    key("opentsdb", "host", Kind::Text, "", "Its address; empty for server.host."),
    key("opentsdb", "port", PORT, "4242", "Its port; 0 picks a free one."),
    key(
        "opentsdb",
        "max_connections",
        Kind::Count { min: 1, max: 100_000 },
        "512",
        "Most clients at a time; more wait.",
    ),
    key(
        "security",
        "require_auth",
        Kind::Bool,
        "true",
        "Whether clients prove who they are; false is only allowed on loopback addresses.",
    ),
    key("security", "auth_timeout", Kind::Duration, "30s", "How long a client may take to do so."),
    key("storage", "data_dir", Kind::Text, "./data", "Directory of the database."),
    key(
        "storage",
        "compression",
        Kind::OneOf(&["none", "lz4", "zstd"]),
        "lz4",
        "Compression of stored blocks.",
    ),
    key(
        "memory",
        "memory_limit",
        Kind::MachineShare { min: MEMORY_MIN },
        "25%",
        "Memory of the server, or its share of the machine's (or container's); the sizes that follow are shares of it unless they are \
         given as such.",
    ),
    key(
        "memory",
        "statement_memory",
        Kind::Share { min: 4 << 20 },
        "40%",
        "Memory of running statements together; past it they spill to disk or fail.",
    ),
    key(
        "memory",
        "max_transaction_size",
        Kind::Share { min: 1 << 20 },
        "50%",
        "Most bytes of changes in one transaction.",
    ),
    key(
        "memory",
        "build_memory",
        Kind::Share { min: 1 << 20 },
        "6%",
        "Memory for building an index before its parts go to disk.",
    ),
    key(
        "memory",
        "block_cache_size",
        Kind::Share { min: 1 << 20 },
        "25%",
        "Memory for stored blocks that were read.",
    ),
    key(
        "memory",
        "column_cache_size",
        Kind::Share { min: 0 },
        "16%",
        "Memory for unpacked columns of columnar tables.",
    ),
    key(
        "memory",
        "memtable_size",
        Kind::Share { min: 64 << 10 },
        "3%",
        "A table's newest rows are written out when they take this much memory.",
    ),
    key(
        "memory",
        "write_buffer_size",
        Kind::Share { min: 1 << 20 },
        "12%",
        "Memory for the newest rows of all tables.",
    ),
    key(
        "memory",
        "bloom_bits_per_key",
        Kind::Count { min: 0, max: 64 },
        "10",
        "Size of the filter that spares reads of files without the key; 0 for none.",
    ),
    key(
        "wal",
        "sync_mode",
        Kind::OneOf(&["group_commit", "always", "periodic", "never"]),
        "group_commit",
        "When commits reach the disk: before the answer (always does so too), periodically, never by force.",
    ),
    key("wal", "sync_interval", Kind::Duration, "10ms", "How often, if periodic."),
    key("wal", "max_file_size", Kind::Bytes { min: 1 << 20 }, "32MB", "Size of one file of the log."),
    key(
        "wal",
        "max_size",
        Kind::Bytes { min: 4 << 20 },
        "256MB",
        "Most bytes of log; past it tables are written out so that it can be shortened.",
    ),
    key(
        "compaction",
        "max_background_jobs",
        Kind::Count { min: 1, max: 64 },
        "2",
        "Threads that write out and merge stored files.",
    ),
    key(
        "compaction",
        "level0_file_num_trigger",
        Kind::Count { min: 1, max: 100 },
        "4",
        "New files of a table that start a merge.",
    ),
    key(
        "query",
        "threads",
        THREADS,
        "0",
        "Threads for statements longer than a look-up; 0 for one per processor.",
    ),
    key(
        "query",
        "spill",
        Kind::Bool,
        "true",
        "Whether sorts and joins past memory.statement_memory go on in storage.data_dir.",
    ),
    key(
        "query",
        "auto_analyze",
        Kind::Bool,
        "true",
        "Whether statistics of tables make themselves once a tenth of the rows was changed.",
    ),
    key(
        "log",
        "level",
        Kind::OneOf(&["error", "warn", "info", "debug", "trace"]),
        "info",
        "Least grave message that is logged.",
    ),
    key("log", "format", Kind::OneOf(&["text", "json"]), "text", "Form of the log."),
];

/// The smallest `memory.memory_limit`.
pub(super) const MEMORY_MIN: u64 = 64 << 20;

/// What a preset sets instead of the defaults: section, name, value.
pub fn preset(name: &str) -> &'static [(&'static str, &'static str, &'static str)] {
    match name {
        "fast" => &[
            ("wal", "sync_mode", "periodic"),
            ("memory", "memtable_size", "6%"),
            ("memory", "write_buffer_size", "24%"),
            ("memory", "column_cache_size", "10%"),
        ],
        "low_memory" => &[
            ("memory", "memory_limit", "128MB"),
            ("memory", "block_cache_size", "12%"),
            ("wal", "max_file_size", "8MB"),
            ("wal", "max_size", "64MB"),
        ],
        _ => &[],
    }
}

/// The setting of that name.
pub fn find(section: &str, name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.section == section && key.name == name)
}

/// The setting whose path is the nearest to a path that is none.
pub fn nearest(path: &str) -> Option<String> {
    let wanted = path.to_ascii_lowercase();
    let name = wanted.rsplit('.').next().unwrap_or_default().to_owned();
    // Names that have no letter in common are as far from each other as short ones can be.
    let of_names = |key: &Key| {
        Some(distance(&name, key.name)).filter(|distance| *distance < name.len().min(key.name.len()))
    };
    KEYS.iter()
        .map(|key| {
            let of_paths = distance(&wanted, &key.path());
            (of_names(key).map_or(of_paths, |of_names| of_paths.min(of_names + 1)), key.path())
        })
        .min()
        .filter(|(distance, path)| *distance <= 3.max(path.len() / 3))
        .map(|(_, path)| path)
}

/// How many letters have to change (Levenshtein).
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, letter) in left.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], line + 1);
        for (place, other) in right.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[place + 1];
            row[place + 1] = changed.min(diagonal + 1).min(row[place] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_default_and_preset_is_a_value_its_setting_accepts() {
        for key in KEYS {
            assert!(key.kind.parse(key.default).is_ok(), "{}", key.path());
        }
        for name in ["fast", "durable", "low_memory"] {
            for (section, name, value) in preset(name) {
                assert!(find(section, name).unwrap().kind.parse(value).is_ok(), "{section}.{name}");
            }
        }
    }

    #[test]
    fn a_name_that_is_none_has_a_nearest_one() {
        for (wrong, right) in [
            ("postgres.prot", "postgres.port"),
            ("wal.syncmode", "wal.sync_mode"),
            ("data_dir", "storage.data_dir"),
            ("server.Host", "server.host"),
        ] {
            assert_eq!(nearest(wrong).as_deref(), Some(right));
        }
        assert_eq!(nearest("x.something_else_entirely_different"), None);
    }

    #[test]
    fn variables_are_named_after_section_and_name() {
        assert_eq!(find("security", "require_auth").unwrap().variable(), "LUMADB_SECURITY_REQUIRE_AUTH");
        assert_eq!(find("", "preset").unwrap().variable(), "LUMADB_PRESET");
    }
}
