//! `lumadb user`: who may connect.
//!
//! Works on a directory that no server has open, and so needs no password of its own: whoever can
//! write the directory may do everything with it.

use std::io::BufRead;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use luma_query::Database;

use crate::Failure;
use crate::config::Config;
use crate::database::{open, random_password};

/// What `lumadb user` takes.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Directory of a database that no server has open; that of the configuration if not given.
    #[arg(long, value_name = "DIR", global = true)]
    data_dir: Option<PathBuf>,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a user.
    Create {
        /// The user's name.
        name: String,
        /// May do everything.
        #[arg(long)]
        admin: bool,
        /// Read the password from the first line of standard input; else one is made and printed.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Give a user another password.
    Passwd {
        /// The user's name.
        name: String,
        /// Read the password from the first line of standard input; else one is made and printed.
        #[arg(long)]
        password_stdin: bool,
    },
    /// List the users.
    List,
    /// Remove a user.
    Drop {
        /// The user's name.
        name: String,
    },
}

/// Runs the command.
pub(crate) fn run(config: &Config, arguments: Arguments) -> Result<(), Failure> {
    let directory = arguments.data_dir.unwrap_or_else(|| config.data_dir());
    if !directory.is_dir() {
        return Err(Failure::new(format!("{} is not a directory", directory.display())));
    }
    let database = open(config, &directory)?;
    let done = act(&database, arguments.action);
    let engine = database.engine().clone();
    drop(database);
    let closed = engine.close();
    done?;
    Ok(closed?)
}

fn act(database: &Database, action: Action) -> Result<(), Failure> {
    match action {
        Action::Create { name, admin, password_stdin } => {
            if name.is_empty() || name.contains('\0') {
                return Err(Failure::new("a user needs a name"));
            }
            if database.role(&name).is_some() {
                return Err(Failure::new(format!(
                    "user \"{name}\" exists already; `lumadb user passwd` changes its password"
                )));
            }
            set_password(database, &name, admin, password_stdin)
        }
        Action::Passwd { name, password_stdin } => {
            let role = database
                .role(&name)
                .ok_or_else(|| Failure::new(format!("user \"{name}\" does not exist")))?;
            set_password(database, &name, role.superuser, password_stdin)
        }
        Action::List => {
            for role in database.roles() {
                let password = if role.password.is_some() { "" } else { ", no password" };
                println!("{}{}{password}", role.name, if role.superuser { " (administrator)" } else { "" });
            }
            Ok(())
        }
        Action::Drop { name } => Ok(database.drop_role(&name)?),
    }
}

fn set_password(database: &Database, name: &str, admin: bool, from_stdin: bool) -> Result<(), Failure> {
    let password = if from_stdin {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line)?;
        let password = line.trim_end_matches(['\n', '\r']).to_owned();
        if password.is_empty() {
            return Err(Failure::new("standard input has no password"));
        }
        password
    } else {
        random_password()?
    };
    database.put_role(name, admin, luma_query::password::verifier(&password)?)?;
    if !from_stdin {
        println!("password for {name}: {password}");
    }
    Ok(())
}
