//! The command line: what can be asked for, and who does it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{Config, Override, show};
use crate::{Failure, export, import, logging, serve, sql, stats, user, verify};

/// Exit code of a command that failed.
const FAILED: u8 = 1;

#[derive(Parser)]
#[command(
    name = "lumadb",
    version,
    about = "A multi-model database in one binary.",
    propagate_version = true
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Args)]
struct Global {
    /// Configuration file; luma.toml in this directory if there is one.
    #[arg(long, global = true, value_name = "FILE", env = "LUMADB_CONFIG")]
    config: Option<PathBuf>,
    /// Least grave message to log: error, warn, info, debug, trace.
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Form of the log: text or json.
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<String>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server.
    #[command(alias = "server")]
    Serve(Serve),
    /// Run SQL, typed or given.
    #[command(alias = "query")]
    Sql(sql::Arguments),
    /// Load files into a table or collection.
    Import(import::Arguments),
    /// Write a table or the result of a query to a file.
    Export(export::Arguments),
    /// Show what the database holds and does.
    Stats(stats::Arguments),
    /// Check every stored byte.
    Verify(verify::Arguments),
    /// Make, change, list and drop users.
    User(user::Arguments),
    /// Check or show the configuration.
    Config {
        #[command(subcommand)]
        action: ConfigAction,
    },
    /// Print the version.
    Version,
}

#[derive(Subcommand)]
enum ConfigAction {
    /// Say whether the configuration can be used.
    Check,
    /// Print every setting, its value and where that came from.
    Show,
}

#[derive(Args)]
struct Serve {
    /// Directory of the database.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Port of the PostgreSQL door; 0 picks a free one.
    #[arg(long, value_name = "N")]
    postgres_port: Option<String>,
    /// Port of the HTTP door; 0 picks a free one.
    #[arg(long, value_name = "N")]
    http_port: Option<String>,
    /// Port of the Prometheus door; 0 picks a free one.
    #[arg(long, value_name = "N")]
    prometheus_port: Option<String>,
    /// Port of the OpenTelemetry door for gRPC; 0 picks a free one.
    #[arg(long, value_name = "N")]
    otlp_port: Option<String>,
    /// Port of the OpenTelemetry door for HTTP; 0 picks a free one.
    #[arg(long, value_name = "N")]
    otlp_http_port: Option<String>,
    /// Address that the doors listen on.
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Defaults: durable, fast or low_memory.
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
}

/// Where the database is: a server, or a directory that no server has open.
#[derive(Args, Clone, Debug)]
pub(crate) struct Target {
    /// Server, as in postgres://user:password@host:port/database [env: LUMADB_URL].
    #[arg(long, value_name = "URL", conflicts_with = "data_dir")]
    pub(crate) url: Option<String>,
    /// Directory of a database that no server has open.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns.
    Table,
    /// One JSON array.
    Json,
    /// Comma-separated values with a header.
    Csv,
    /// One JSON object per line.
    Ndjson,
    /// An Arrow IPC stream (file when exported).
    Arrow,
}

/// Runs what the command line asks for.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("lumadb: {failure}");
            ExitCode::from(FAILED)
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    let mut overrides = Vec::new();
    let mut set = |flag, section, name, value: &Option<String>| {
        if let Some(text) = value {
            overrides.push(Override { flag, section, name, text: text.clone() });
        }
    };
    set("--log-level", "log", "level", &cli.global.log_level);
    set("--log-format", "log", "format", &cli.global.log_format);
    if let Command::Serve(serve) = &cli.command {
        set("--data-dir", "storage", "data_dir", &serve.data_dir);
        set("--postgres-port", "postgres", "port", &serve.postgres_port);
        set("--http-port", "http", "port", &serve.http_port);
        set("--prometheus-port", "prometheus", "port", &serve.prometheus_port);
        set("--otlp-port", "otlp", "port", &serve.otlp_port);
        set("--otlp-http-port", "otlp", "http_port", &serve.otlp_http_port);
        set("--listen", "server", "host", &serve.listen);
        set("--preset", "", "preset", &serve.preset);
    }
    let quiet = cli.global.log_level.is_none() && !matches!(cli.command, Command::Serve(_));
    if quiet {
        // Commands other than the server say what they do themselves.
        set("--log-level", "log", "level", &Some("warn".to_owned()));
    }
    let config = || -> Result<Config, Failure> {
        let config = Config::load(cli.global.config.as_deref(), &overrides)?;
        logging::start(&config);
        Ok(config)
    };
    match cli.command {
        Command::Serve(_) => serve::run(&config()?),
        Command::Sql(arguments) => sql::run(&config()?, arguments),
        Command::Import(arguments) => import::run(&config()?, arguments),
        Command::Export(arguments) => export::run(&config()?, arguments),
        Command::Stats(arguments) => stats::run(&config()?, arguments),
        Command::Verify(arguments) => verify::run(&config()?, &arguments),
        Command::User(arguments) => user::run(&config()?, arguments),
        Command::Config { action: ConfigAction::Check } => {
            let config = config()?;
            let file = config.file.as_ref();
            println!(
                "{} is good",
                file.map_or_else(|| "the configuration".into(), |file| file.display().to_string())
            );
            Ok(())
        }
        Command::Config { action: ConfigAction::Show } => {
            print!("{}", show(&config()?));
            Ok(())
        }
        Command::Version => {
            println!("lumadb {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
