//! What may be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

const ABOUT: &str = "Millions of URLs in, always-fresh sitemaps out";

const AFTER: &str = "\
Examples:
  lux init https://example.com       write luminosity.toml; or give --url
  lux import pages.jsonl             take in pages; the store is ./.luminosity
  lux generate public --gzip         write sitemap.xml and its fragments
  lux serve                          serve them, and take changes by HTTP
  lux verify public                  check them, or any other sitemap

Settings come from luminosity.toml (or .json) in the working directory,
the environment and options; the later win.

Exit codes: 0 all is well, 1 failed, 2 called wrongly, 3 done, but
something was rejected or is wrong.";

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "lux", version, about = ABOUT, after_help = AFTER, propagate_version = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) options: Options,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The configuration, instead of the one found in the working directory
    #[arg(long, short, global = true, env = "LUX_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The directory of the store [default: .luminosity]
    #[arg(long, short, global = true, env = "LUX_DIR", value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// The site, such as https://example.com; needed once, when the store is made
    #[arg(long, short, global = true, env = "LUX_URL", value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Answers as JSON, and no progress bars
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write a luminosity.toml with every key explained
    Init(Init),
    /// Take in pages from files: JSONL, JSON, CSV, XML sitemaps or lists of URLs
    Import(Import),
    /// Write all entries to a file
    Export(Export),
    /// Add one page, or replace what is known of it
    Add(Add),
    /// Remove pages
    Remove {
        /// Their URLs
        #[arg(required = true)]
        urls: Vec<String>,
    },
    /// Say that a page moved
    Redirect(Redirect),
    /// Show what is known of a page, as JSON
    Get {
        /// Its URL
        #[arg(value_name = "URL")]
        page: String,
    },
    /// List URLs, or entries as JSON lines with --json
    List(List),
    /// Write the sitemap and its fragments to a directory or object store; each file is shown as a whole
    #[command(visible_aliases = ["build", "publish"])]
    Generate(Generate),
    /// Ask the configured sources and take over what they say
    Refresh,
    /// Serve sitemaps by HTTP and take changes
    Serve(Serve),
    /// Show how much there is
    Stats,
    /// Read the whole store and check that everything agrees
    Check,
    /// Merge what is stored, dropping what was replaced or removed
    Compact {
        /// Also when there is nothing that waits to be merged
        #[arg(long)]
        force: bool,
    },
    /// Render and compress fragments ahead of the first visitor; of the running service, if there is one
    Warm,
    /// Check sitemaps against the protocol and Google's limits
    Verify {
        /// Files, directories and URLs of sitemaps
        #[arg(required = true)]
        targets: Vec<String>,
    },
    /// Print robots.txt
    Robots,
    /// Print the tags of a page for search engines, Open Graph, Twitter and JSON-LD
    Meta {
        /// A JSON file that describes the page; - for standard input
        file: PathBuf,
    },
    /// Tell of changed pages by IndexNow
    Notify {
        /// Their URLs
        #[arg(required = true)]
        urls: Vec<String>,
    },
    /// Take over a sitemap.ops.jsonl, sitemap.snapshot.json and gravito.seo.config
    Migrate(Migrate),
}

/// Forms of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// One JSON object per line: entries or operations
    Jsonl,
    /// A JSON array of entries
    Json,
    /// Comma-separated values, with a line of names
    Csv,
    /// A sitemap
    Xml,
    /// One URL per line
    Text,
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The files, gzipped or not; - for standard input
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Their form, if their names don't tell
    #[arg(long, short)]
    pub(crate) format: Option<Form>,
    /// Write rejected lines' numbers and reasons here as JSON lines, instead of to standard error
    #[arg(long, value_name = "FILE")]
    pub(crate) rejects: Option<PathBuf>,
    /// Stay, and take in what is appended to the file (JSONL or a list of URLs)
    #[arg(long)]
    pub(crate) follow: bool,
    /// Entries of one fragment, when the store is made
    #[arg(long, value_name = "COUNT")]
    pub(crate) max_entries: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportForm {
    /// One entry per line
    Jsonl,
    /// Operations, as in sitemap.ops.jsonl
    Ops,
    /// An array sorted by URL, as in sitemap.snapshot.json
    Json,
    /// One URL per line
    Text,
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The file; - for standard output
    #[arg(default_value = "-")]
    pub(crate) file: PathBuf,
    /// Its form
    #[arg(long, short, default_value = "jsonl")]
    pub(crate) format: ExportForm,
}

#[derive(Debug, Args)]
pub(crate) struct Add {
    /// Its URL, or a whole entry as JSON
    pub(crate) page: String,
    /// When it changed last: 2026-11-21, 2026-11-21T07:00:00Z, or milliseconds since 1970
    #[arg(long)]
    pub(crate) lastmod: Option<String>,
    /// How often it is likely to change: always, hourly, daily, weekly, monthly, yearly or never
    #[arg(long)]
    pub(crate) changefreq: Option<String>,
    /// Its importance, from 0.0 to 1.0
    #[arg(long)]
    pub(crate) priority: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Policy {
    /// The old URL goes
    Remove,
    /// Both stay listed
    Keep,
    /// The old URL is kept with a mark, not listed
    Mark,
}

#[derive(Debug, Args)]
pub(crate) struct Redirect {
    /// Where it was
    pub(crate) from: String,
    /// Where it is
    pub(crate) to: String,
    /// The HTTP status it answers with
    #[arg(long, default_value_t = 301)]
    pub(crate) status: u16,
    /// What becomes of the old URL
    #[arg(long, default_value = "remove")]
    pub(crate) policy: Policy,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only URLs that begin so; a path or a whole URL
    #[arg(long, value_name = "TEXT")]
    pub(crate) prefix: Option<String>,
    /// At most so many
    #[arg(long, short = 'n', value_name = "COUNT")]
    pub(crate) limit: Option<usize>,
}

#[derive(Debug, Args)]
pub(crate) struct Generate {
    /// A directory, or s3://bucket/prefix [default: output.path of the configuration, or public]
    pub(crate) place: Option<PathBuf>,
    /// The same, by name
    #[arg(long, short, value_name = "PLACE", conflicts_with = "place")]
    pub(crate) out: Option<PathBuf>,
    /// Compress fragments
    #[arg(long)]
    pub(crate) gzip: bool,
    /// The name of the sitemap or index [default: sitemap.xml]
    #[arg(long, value_name = "NAME")]
    pub(crate) filename: Option<String>,
    /// The URL of the directory, if it is not the site's root
    #[arg(long, value_name = "URL")]
    pub(crate) public_url: Option<String>,
    /// Only say what would be written
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Where to listen [default: 127.0.0.1:8080]
    #[arg(long, short, env = "LUX_LISTEN", value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,
    /// What writers must show as "Authorization: Bearer …"
    #[arg(long, env = "LUX_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// The secret that webhooks are signed with
    #[arg(long, env = "LUX_WEBHOOK_SECRET", hide_env_values = true)]
    pub(crate) webhook_secret: Option<String>,
    /// Stop when standard input ends, so as not to outlive who started it
    #[arg(long)]
    pub(crate) until_eof: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The site, such as https://example.com; --url says the same
    pub(crate) site: Option<String>,
    /// Where to write it
    #[arg(long, default_value = "luminosity.toml", value_name = "FILE")]
    pub(crate) write: PathBuf,
    /// Replace what is there
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Migrate {
    /// The directory that holds the old files
    pub(crate) from: PathBuf,
    /// Where to write the new configuration
    #[arg(long, default_value = "luminosity.json", value_name = "FILE")]
    pub(crate) write: PathBuf,
}
