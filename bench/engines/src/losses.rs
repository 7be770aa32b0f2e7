//! Why Lightning is behind where it is, for the table.

/// A row whose ratio to the best peer is below this needs a reason.
pub const LOSS: f64 = 0.8;

/// What a row's name begins with, and why Lightning is behind there. The first that fits counts.
const REASONS: [(&str, &str); 12] = [
    (
        "W6",
        "LMDB hands out mapped pages; here a key is put together from a prefix and a rest, and checksums were compared",
    ),
    ("W12 YCSB E", "short scans, and beside a memtable with what was just inserted"),
    (
        "W15 scan",
        "what was deleted just now are tombstones in memory, which are walked over until they are merged",
    ),
    ("W10", "each batch is written and synced by one thread, as everywhere; single runs differ by a third"),
    (
        "W14 write",
        "a large value is copied into the batch, the log's buffer, a frame and the memtable before it is written",
    ),
    ("W14 read", "answered from the cache without a copy"),
    ("W18 disk after W14", "the log still has what was written last"),
    (
        "W18 disk after W11",
        "the log, and what is not merged yet; a B+Tree in place, as SQLite's, writes 50 times as much",
    ),
    (
        "W18 written during W11",
        "RocksDB keeps 64 MiB per memtable, twice as much as here, so less is merged in a run of this size",
    ),
    ("W18 memory", "the cache has room for all of it, and memtables and the log's buffers besides"),
    (
        "W18 smallest",
        "a directory with a log, a manifest and their names, each at least a block of the file system",
    ),
    (
        "W18 open",
        "the log is read, the manifest and the log's end are written anew and synced; LMDB has no log",
    ),
];

/// Why Lightning is behind in a row: empty if it is not, or hardly.
pub fn reason(workload: &str, ratio: f64) -> &'static str {
    if ratio >= LOSS {
        return "";
    }
    let fits = REASONS.iter().find(|(begins, _)| workload.starts_with(begins));
    fits.map_or("not known yet", |(_, reason)| reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_losses_have_a_reason() {
        assert_eq!(reason("W6 scan of 10", 0.81), "");
        assert!(reason("W6 scan of 10", 0.79).contains("mapped"));
        assert_eq!(reason("W99", 0.5), "not known yet");
    }
}
