//! `lumadb sql`: statements given or typed, results shown.

mod completion;
mod interactive;
mod script;

use std::io::{IsTerminal, Read};
use std::path::PathBuf;

use clap::Args;

use crate::Failure;
use crate::client::{Client, Database, Event, ServerError, block_on, open};
use crate::command::{Format, Target};
use crate::config::Config;
use crate::output::printer;

/// What `lumadb sql` takes.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Server, as in postgres://user:password@host:port/database.
    #[arg(value_name = "URL", conflicts_with_all = ["url", "data_dir"])]
    server: Option<String>,
    #[command(flatten)]
    target: Target,
    /// Run this instead of asking; may be given more than once.
    #[arg(short = 'c', long = "command", value_name = "QUERY")]
    commands: Vec<String>,
    /// Run the statements of a file.
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How results are shown.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// How results are shown.
#[derive(Clone, Copy, Debug)]
struct Show {
    format: Format,
    expanded: bool,
    timing: bool,
}

/// Runs the command.
pub(crate) fn run(config: &Config, arguments: Arguments) -> Result<(), Failure> {
    let mut target = arguments.target;
    if arguments.server.is_some() {
        target = Target { url: arguments.server, data_dir: None };
    }
    let show = Show { format: arguments.format, expanded: false, timing: false };
    let mut scripts: Vec<(String, bool)> = arguments.commands.into_iter().map(|text| (text, false)).collect();
    for file in &arguments.files {
        let text = std::fs::read_to_string(file)
            .map_err(|error| Failure::new(format!("cannot read {}: {error}", file.display())))?;
        scripts.push((text, true));
    }
    let typed = scripts.is_empty() && std::io::stdin().is_terminal();
    if scripts.is_empty() && !typed {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        scripts.push((text, true));
    }
    let database = open(config, &target)?;
    let done = block_on(async {
        let mut client = database.connect().await?;
        if typed {
            return interactive::run(&database, &mut client, show).await;
        }
        for (text, split) in &scripts {
            // A command is one message and so one transaction; a file's statements are on their own.
            let statements = if *split { script::split(text) } else { vec![text.as_str()] };
            for statement in statements {
                if let Some(error) = execute(&database, &mut client, statement, show).await? {
                    return Err(Failure::new(error.show(statement)));
                }
            }
        }
        Ok(())
    });
    let closed = database.close();
    done.and(closed)
}

/// Runs statements and shows what comes back; the answer is the error of a statement.
async fn execute(
    database: &Database,
    client: &mut Client,
    sql: &str,
    show: Show,
) -> Result<Option<ServerError>, Failure> {
    let started = std::time::Instant::now();
    client.send(sql).await?;
    let mut output = None;
    let mut failed = None;
    let mut canceled = false;
    loop {
        let event = if canceled {
            client.event().await?
        } else {
            tokio::select! {
                event = client.event() => event?,
                _ = tokio::signal::ctrl_c() => {
                    canceled = true;
                    database.cancel(client.cancel).await?;
                    continue;
                }
            }
        };
        match event {
            Event::Columns(columns) => {
                let out = Box::new(std::io::BufWriter::new(std::io::stdout()));
                let mut printer = printer(show.format, show.expanded, out);
                printer.begin(&columns)?;
                output = Some(printer);
            }
            Event::Row(row) => {
                if let Some(printer) = &mut output {
                    printer.row(&row)?;
                }
            }
            Event::Complete(tag) => match output.take() {
                Some(mut printer) => printer.end()?,
                None if show.format == Format::Table => println!("{tag}"),
                None => {}
            },
            Event::Empty => {}
            Event::Error(error) => failed = Some(error),
            Event::Notice(notice) => eprintln!("{}", notice.show(sql)),
            Event::CopyIn => client.copy_refuse().await?,
            Event::CopyOut => {}
            Event::Data(data) => std::io::Write::write_all(&mut std::io::stdout(), &data)?,
            Event::Ready => break,
        }
    }
    if show.timing {
        println!("Time: {:.3} ms", started.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(failed)
}
