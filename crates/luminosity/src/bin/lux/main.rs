//! The command `lux`.
//!
//! Exit codes: 0 when all is well, 1 when it failed, 2 when it was called wrongly, 3 when it was done but
//! something was rejected or found wrong.

mod arguments;
mod change;
mod import;
mod init;
mod inspect;
mod limits;
mod memory;
mod migrate;
mod publish;
mod serve;
mod store;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command};

/// How a command ended, if it did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Well,
    /// Done, but something was rejected or is wrong.
    WithFindings,
}

impl Ended {
    fn with_findings(found: bool) -> Self {
        if found { Self::WithFindings } else { Self::Well }
    }
}

/// Why a command failed.
struct Failure(String);

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

type Done = Result<Ended, Failure>;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(Ended::Well) => ExitCode::SUCCESS,
        Ok(Ended::WithFindings) => ExitCode::from(3),
        Err(Failure(reason)) => {
            eprintln!("lux: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Done {
    let options = &arguments.options;
    match &arguments.command {
        Command::Init(wanted) => init::run(options, wanted),
        Command::Import(wanted) => import::run(options, wanted),
        Command::Export(wanted) => publish::export(options, wanted),
        Command::Add(wanted) => change::add(options, wanted),
        Command::Remove { urls } => change::remove(options, urls),
        Command::Redirect(wanted) => change::redirect(options, wanted),
        Command::Get { page } => inspect::get(options, page),
        Command::List(wanted) => inspect::list(options, wanted),
        Command::Generate(wanted) => publish::generate(options, wanted),
        Command::Refresh => change::refresh(options),
        Command::Serve(wanted) => serve::run(options, wanted),
        Command::Stats => inspect::stats(options),
        Command::Check => inspect::check(options),
        Command::Compact { force } => change::compact(options, *force),
        Command::Warm => change::warm(options),
        Command::Verify { targets } => inspect::verify(options, targets),
        Command::Robots => publish::robots(options),
        Command::Meta { file } => publish::meta(file),
        Command::Notify { urls } => change::notify(options, urls),
        Command::Migrate(wanted) => migrate::run(options, wanted),
    }
}
