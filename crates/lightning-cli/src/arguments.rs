//! What may be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

const AFTER: &str = "\
Examples:
  lightning create ./db --layout btree
  lightning put ./db ada 1815
  lightning get ./db ada
  lightning scan ./db --prefix a --limit 10
  lightning check ./db
  lightning bench --ops 100000 --threads 4

Exit codes: 0 ok, 1 general, 2 usage, 3 not found, 4 exists,
5 validation, 6 permission, 7 I/O, 8 database, 9 transaction,
10 integrity, 99 internal.";

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "lightning",
    version,
    about = "Lightning, an embedded transactional key-value engine, from a shell",
    after_help = AFTER,
    propagate_version = true
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) options: Options,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How answers are written
    #[arg(long, short = 'o', global = true, value_name = "FORM", default_value = "text")]
    pub(crate) format: Form,
    /// No progress, and no word about what went well
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

/// How answers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// For people
    Text,
    /// For programs; bytes that are no text are in hexadecimal digits
    Json,
    /// Keys and values in hexadecimal digits (get and scan)
    Hex,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a keyspace, and the database if there is none
    Create(Create),
    /// Print the value of a key
    Get(Get),
    /// Write a key, durably
    Put(Put),
    /// Delete a key, durably
    Delete(Get),
    /// Print keys and values in order
    Scan(Scan),
    /// Print figures about the database
    Stats(Whole),
    /// Open the database and say how it is
    Health(Database),
    /// Flush and merge what is stored, dropping what was deleted
    Compact(Whole),
    /// Store a keyspace in another layout
    Convert(Convert),
    /// Read everything and compare checksums, order and counts
    Check(Check),
    /// Measure writes, reads and scans in a keyspace made for it and dropped afterwards
    Bench(Bench),
}

/// A database.
#[derive(Debug, Args)]
pub(crate) struct Database {
    /// The database's directory
    #[arg(value_name = "DATABASE")]
    pub(crate) path: PathBuf,
}

/// A keyspace.
#[derive(Debug, Args)]
pub(crate) struct Keyspace {
    /// The database's directory
    #[arg(value_name = "DATABASE")]
    pub(crate) path: PathBuf,
    /// The keyspace
    #[arg(long, short, value_name = "NAME", default_value = "default")]
    pub(crate) keyspace: String,
}

/// One keyspace or all.
#[derive(Debug, Args)]
pub(crate) struct Whole {
    /// The database's directory
    #[arg(value_name = "DATABASE")]
    pub(crate) path: PathBuf,
    /// Only this keyspace
    #[arg(long, short, value_name = "NAME")]
    pub(crate) keyspace: Option<String>,
}

/// How a keyspace is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Layout {
    /// Tables in levels, for data that is written much
    Lsm,
    /// A B+Tree, for data that is read more than written
    Btree,
}

impl From<Layout> for lightning::Layout {
    fn from(layout: Layout) -> Self {
        match layout {
            Layout::Lsm => Self::Lsm,
            Layout::Btree => Self::BTree,
        }
    }
}

/// How blocks are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Compression {
    /// Not at all
    None,
    /// Fast
    Lz4,
    /// Small
    Zstd,
}

impl From<Compression> for lightning::Compression {
    fn from(compression: Compression) -> Self {
        match compression {
            Compression::None => Self::None,
            Compression::Lz4 => Self::Lz4,
            Compression::Zstd => Self::Zstd,
        }
    }
}

/// Which tables are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Compaction {
    /// Into levels of ten times the size: for reads and space
    Leveled,
    /// Those of similar size: for writes
    Universal,
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    #[command(flatten)]
    pub(crate) keyspace: Keyspace,
    /// How it is stored
    #[arg(long, default_value = "lsm")]
    pub(crate) layout: Layout,
    /// How its blocks are compressed [default: the engine's]
    #[arg(long)]
    pub(crate) compression: Option<Compression>,
    /// Bytes from which on values go to files of their own [default: the engine's]
    #[arg(long)]
    pub(crate) blob_threshold: Option<u32>,
    /// What merges are done with, `u64 add` or `append`
    #[arg(long)]
    pub(crate) merge_operator: Option<String>,
    /// Which of its tables are merged
    #[arg(long, default_value = "leveled")]
    pub(crate) compaction: Compaction,
    /// Merge nothing, and let the oldest tables go, whole, when all have more than so many bytes
    #[arg(long, value_name = "BYTES", conflicts_with = "compaction")]
    pub(crate) fifo: Option<u64>,
    /// Filters have the first bytes of keys, too, so that walks over one prefix pass over tables without it
    #[arg(long, value_name = "BYTES")]
    pub(crate) prefix_bytes: Option<u32>,
    /// The same for keys up to their first such character, which is ASCII
    #[arg(long, value_name = "CHARACTER", conflicts_with = "prefix_bytes", value_parser = ascii)]
    pub(crate) prefix_up_to: Option<u8>,
}

fn ascii(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [byte] if byte.is_ascii() => Ok(*byte),
        _ => Err("one ASCII character is needed, such as /".to_owned()),
    }
}

impl Create {
    pub(crate) fn prefix(&self) -> Option<lightning::Prefix> {
        self.prefix_bytes
            .map(lightning::Prefix::Bytes)
            .or_else(|| self.prefix_up_to.map(lightning::Prefix::UpTo))
    }

    pub(crate) fn compaction(&self) -> lightning::CompactionStrategy {
        match (self.fifo, self.compaction) {
            (Some(bytes_max), _) => lightning::CompactionStrategy::Fifo { bytes_max },
            (None, Compaction::Leveled) => lightning::CompactionStrategy::Leveled,
            (None, Compaction::Universal) => lightning::CompactionStrategy::universal(),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Get {
    #[command(flatten)]
    pub(crate) keyspace: Keyspace,
    /// The key
    pub(crate) key: String,
    /// The key is in hexadecimal digits
    #[arg(long)]
    pub(crate) hex: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Put {
    #[command(flatten)]
    pub(crate) keyspace: Keyspace,
    /// The key
    pub(crate) key: String,
    /// The value; - for standard input as it is
    #[arg(allow_hyphen_values = true)]
    pub(crate) value: String,
    /// Key and value are in hexadecimal digits
    #[arg(long)]
    pub(crate) hex: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Scan {
    #[command(flatten)]
    pub(crate) keyspace: Keyspace,
    /// The first key
    #[arg(long, value_name = "KEY")]
    pub(crate) start: Option<String>,
    /// The key to end before
    #[arg(long, value_name = "KEY")]
    pub(crate) end: Option<String>,
    /// Only keys that begin so
    #[arg(long, value_name = "KEY", conflicts_with_all = ["start", "end"])]
    pub(crate) prefix: Option<String>,
    /// At most so many
    #[arg(long, short = 'n', value_name = "COUNT")]
    pub(crate) limit: Option<u64>,
    /// From the last to the first
    #[arg(long)]
    pub(crate) reverse: bool,
    /// The keys given are in hexadecimal digits
    #[arg(long)]
    pub(crate) hex: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Convert {
    #[command(flatten)]
    pub(crate) keyspace: Keyspace,
    /// How it is to be stored
    #[arg(long)]
    pub(crate) layout: Layout,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) database: Database,
    /// End once so many blocks and pages were read, with the file it is at [default: read all]
    #[arg(long, value_name = "COUNT")]
    pub(crate) checksums: Option<u64>,
    /// Say what each keyspace has
    #[arg(long, short)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// A database, which is made if there is none [default: one in the directory for temporary files]
    #[arg(value_name = "DATABASE")]
    pub(crate) path: Option<PathBuf>,
    /// Operations of each kind, all threads together
    #[arg(long, value_name = "COUNT", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) ops: u64,
    /// Threads
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: u16,
    /// Bytes of a value
    #[arg(long, value_name = "BYTES", default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=64 << 20))]
    pub(crate) value_size: u32,
    /// How the keyspace is stored
    #[arg(long, default_value = "lsm")]
    pub(crate) layout: Layout,
    /// Wait for the disk at each write
    #[arg(long)]
    pub(crate) sync: bool,
}
