//! The one road to data: sessions, SQL, the fast path and DataFusion.
//!
//! A door turns bytes into calls on a [`Session`] and outcomes back into bytes. A statement is
//! parsed, prepared and executed; one about a row named by its key is compiled to direct operations
//! ([fast path](self)), everything else is planned by DataFusion over the same rows. Every change
//! goes through the session's transaction.
//!
//! ```no_run
//! # async fn example(database: luma_query::Database) -> luma_model::Result<()> {
//! let options = luma_query::SessionOptions { user: "lumadb".into(), ..Default::default() };
//! let mut session = database.session(options)?;
//! for statement in session.parse_script("SELECT 1")? {
//!     let prepared = session.prepare(statement, &[]).await?;
//!     session.execute(&prepared, &[], None).await?;
//! }
//! session.sync().await
//! # }
//! ```

mod activity;
mod advisory;
mod analyze;
mod collection;
mod copy;
mod cursor;
mod database;
mod ddl;
mod dml;
mod error;
mod execute;
mod explain;
mod expression;
mod external;
mod fast;
mod functions;
mod metrics;
mod names;
mod news;
mod outcome;
mod pg_catalog;
mod plan;
mod prepared;
mod registered;
mod roomy;
mod session;
mod settings;
mod statement;
mod statements;
mod temporary;
mod transaction;
mod types;
mod upkeep;
mod utility;
mod verify;

/// How much stack a thread that runs sessions should have: planning takes much of it for each level of a statement. Memory is
/// taken only as it is used.
pub const STACK_BYTES: usize = 16 << 20;

pub use copy::{CopyFormat, CopyIn, CopyOut};
pub use database::{ADMINISTRATOR, Counters, DATABASE_NAME, Database, DatabaseOptions, SessionOptions};
pub use luma_catalog::{Role, ScramVerifier, Verifier, password};
pub use news::Notification;
pub use outcome::{
    Column, CommandTag, Notice, Outcome, RowSink, RowStream, Severity, Sunk, TransactionStatus,
};
pub use prepared::Prepared;
pub use session::{CancelHandle, Session};
pub use statement::Statement;
pub use verify::{VerifiedFiles, verify_columns};
