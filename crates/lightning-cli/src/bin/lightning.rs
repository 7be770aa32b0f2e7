//! The command `lightning`.

use std::process::ExitCode;

fn main() -> ExitCode {
    lightning_cli::main()
}
