//! The prompt: lines until a semicolon, history, and commands that begin with a backslash or a dot.

use std::path::PathBuf;

use rustyline::Editor;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;

use crate::Failure;
use crate::client::{Client, Database, quote_literal};
use crate::sql::completion::Words;
use crate::sql::script::statement_end;
use crate::sql::{Show, execute};

/// Lines of history kept.
const HISTORY_LINES_MAX: usize = 10_000;

const HELP: &str = "\
Statements end with a semicolon and may take several lines; Ctrl-C ends one that runs.
  \\d [NAME]        tables, or the columns and indexes of one
  \\dt  .tables     tables
  .collections     collections
  \\l               databases
  .stats           tables with their sizes
  \\timing          show how long statements take
  \\x               show each row as a block
  .clear           clear the screen
  .help  \\?        this
  .exit  \\q        leave";

const TABLES: &str = "SELECT table_schema AS \"Schema\", table_name AS \"Name\", table_type AS \"Type\" \
    FROM information_schema.tables WHERE table_schema NOT IN ('pg_catalog', 'information_schema', 'lumadb_import') ORDER BY 1, 2";
const COLLECTIONS: &str = "SELECT c.table_schema AS \"Schema\", c.table_name AS \"Name\" \
    FROM information_schema.columns c WHERE c.column_name = '_doc' AND c.ordinal_position = 5 ORDER BY 1, 2";
const STATS: &str = "SELECT n.nspname AS \"Schema\", c.relname AS \"Name\", c.reltuples::bigint AS \"Rows (about)\" \
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'lumadb_import') ORDER BY 1, 2";
const DATABASES: &str = "SELECT datname AS \"Name\" FROM pg_database ORDER BY 1";
const NAMES: &str = "SELECT table_name FROM information_schema.tables \
    WHERE table_schema NOT IN ('pg_catalog', 'information_schema', 'lumadb_import') \
    UNION SELECT column_name FROM information_schema.columns \
    WHERE table_schema NOT IN ('pg_catalog', 'information_schema', 'lumadb_import')";

/// What to do after a command.
enum Next {
    Go,
    Leave,
}

/// Runs the prompt until the user leaves.
pub(super) async fn run(database: &Database, client: &mut Client, mut show: Show) -> Result<(), Failure> {
    let config = rustyline::Config::builder().max_history_size(HISTORY_LINES_MAX).map_err(failed)?.build();
    let mut editor: Editor<Words, FileHistory> = Editor::with_config(config).map_err(failed)?;
    let history = history_file();
    if let Some(history) = &history {
        // There is none the first time.
        let _ = editor.load_history(history);
    }
    println!("lumadb {}; .help tells what can be typed", env!("CARGO_PKG_VERSION"));
    editor.set_helper(Some(Words { names: names(client).await }));
    let mut text = String::new();
    loop {
        let prompt = if text.is_empty() { "lumadb=> " } else { "lumadb-> " };
        match tokio::task::block_in_place(|| editor.readline(prompt)) {
            Ok(line) => {
                if text.is_empty() && is_command(&line) {
                    let _ = editor.add_history_entry(line.trim());
                    match command(line.trim(), database, client, &mut show).await? {
                        Next::Go => continue,
                        Next::Leave => break,
                    }
                }
                text.push_str(&line);
                text.push('\n');
            }
            Err(ReadlineError::Interrupted) => text.clear(),
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(failed(error)),
        }
        while let Some(end) = statement_end(&text) {
            let statement = text[..end].trim().to_owned();
            text = text[end + 1..].trim_start().to_owned();
            let _ = editor.add_history_entry(format!("{statement};"));
            if let Some(error) = execute(database, client, &statement, show).await? {
                eprintln!("{}", error.show(&statement));
            } else if defines(&statement) {
                editor.set_helper(Some(Words { names: names(client).await }));
            }
        }
        if text.trim().is_empty() {
            text.clear();
        }
    }
    if let Some(history) = &history {
        let _ = editor.save_history(history);
    }
    Ok(())
}

fn is_command(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with('\\')
        || line
            .strip_prefix('.')
            .is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_alphabetic()))
}

async fn command(
    line: &str,
    database: &Database,
    client: &mut Client,
    show: &mut Show,
) -> Result<Next, Failure> {
    let mut words = line.trim_end_matches(';').split_whitespace();
    let query = match (words.next().unwrap_or_default(), words.next()) {
        ("\\q" | ".exit" | ".quit", _) => return Ok(Next::Leave),
        ("\\?" | ".help", _) => {
            println!("{HELP}");
            return Ok(Next::Go);
        }
        (".clear", _) => {
            print!("\x1b[2J\x1b[H");
            return Ok(Next::Go);
        }
        ("\\timing", _) => {
            show.timing = !show.timing;
            println!("Timing is {}.", if show.timing { "on" } else { "off" });
            return Ok(Next::Go);
        }
        ("\\x", _) => {
            show.expanded = !show.expanded;
            println!("Expanded display is {}.", if show.expanded { "on" } else { "off" });
            return Ok(Next::Go);
        }
        ("\\d", Some(name)) => describe(name),
        ("\\dt" | "\\d" | ".tables", _) => TABLES.to_owned(),
        (".collections", _) => COLLECTIONS.to_owned(),
        (".stats", _) => STATS.to_owned(),
        ("\\l", _) => DATABASES.to_owned(),
        (other, _) => {
            eprintln!("unknown command {other}: .help tells what there is");
            return Ok(Next::Go);
        }
    };
    if let Some(error) = execute(database, client, &query, *show).await? {
        eprintln!("{}", error.show(""));
    }
    Ok(Next::Go)
}

/// The query for the columns and indexes of a table.
fn describe(name: &str) -> String {
    let (schema, table) = name.split_once('.').unwrap_or(("", name));
    let table = quote_literal(table.trim_matches('"'));
    let schema = match schema {
        "" => String::new(),
        schema => format!(" AND table_schema = {}", quote_literal(schema.trim_matches('"'))),
    };
    format!(
        "SELECT column_name AS \"Column\", data_type AS \"Type\", is_nullable AS \"Nullable\", \
         column_default AS \"Default\" FROM information_schema.columns \
         WHERE table_name = {table}{schema} ORDER BY ordinal_position; \
         SELECT indexname AS \"Index\", indexdef AS \"Definition\" FROM pg_indexes WHERE tablename = {table} ORDER BY 1"
    )
}

/// Names to complete; none if they can't be had.
async fn names(client: &mut Client) -> Vec<String> {
    let rows = client.rows(NAMES).await.unwrap_or_default();
    rows.iter().filter_map(|row| row.get(0).map(str::to_owned)).collect()
}

/// Whether a statement may have made names.
fn defines(statement: &str) -> bool {
    let first = statement.split_whitespace().next().unwrap_or_default();
    ["create", "alter", "drop"].iter().any(|word| first.eq_ignore_ascii_case(word))
}

fn history_file() -> Option<PathBuf> {
    std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".lumadb_history"))
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(error.to_string())
}
