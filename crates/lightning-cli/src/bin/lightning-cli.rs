//! The command `lightning` by its other name, for machines that have another `lightning`.

use std::process::ExitCode;

fn main() -> ExitCode {
    lightning_cli::main()
}
