//! The command `lightning`: databases of the engine from a shell.
//!
//! Invariants: no command but `create` and `bench` makes a database; what is asked for goes to standard
//! output, everything else to standard error; the exit code says what kind of failure it was
//! ([`failure`]).

mod arguments;
mod bench;
mod data;
mod failure;
mod histogram;
mod inspect;
mod maintain;
mod output;
mod progress;
mod store;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command, Form};
use failure::{Code, Failure};

type Done = Result<(), Failure>;

/// Runs what the command line says.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // What panics prints its own message.
    let done = catch_unwind(AssertUnwindSafe(|| run(&arguments))).unwrap_or_else(|_| {
        Err(Failure::new(Code::Internal, "this is a defect of the program; please report it"))
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report(arguments.options.format == Form::Json);
            failure.code.into()
        }
    }
}

fn run(arguments: &Arguments) -> Done {
    let options = &arguments.options;
    if options.format == Form::Hex && !matches!(arguments.command, Command::Get(_) | Command::Scan(_)) {
        return Err(Failure::new(Code::Usage, "--format hex is for get and scan"));
    }
    match &arguments.command {
        Command::Create(wanted) => data::create(options, wanted),
        Command::Get(wanted) => data::get(options, wanted),
        Command::Put(wanted) => data::put(options, wanted),
        Command::Delete(wanted) => data::delete(options, wanted),
        Command::Scan(wanted) => data::scan(options, wanted),
        Command::Stats(wanted) => inspect::stats(options, wanted),
        Command::Health(wanted) => inspect::health(options, wanted),
        Command::Check(wanted) => inspect::check(options, wanted),
        Command::Compact(wanted) => maintain::compact(options, wanted),
        Command::Convert(wanted) => maintain::convert(options, wanted),
        Command::Bench(wanted) => bench::run(options, wanted),
    }
}
