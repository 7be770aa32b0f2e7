//! The simple protocol: a Query message with any number of statements.
//!
//! The statements are one implicit transaction. It is committed before CommandComplete of the last
//! statement is written, so that what a client takes for done is durable.

use std::sync::Arc;
use std::time::Instant;

use luma_model::{Error, ErrorKind};
use luma_query::{CommandTag, Outcome, Prepared};

use crate::connection::Connection;
use crate::failure::Failure;
use crate::io::Transport;
use crate::message::backend;
use crate::message::field::Fields;
use crate::rows::Rows;
use crate::session::{Run, Runner};

impl<T: Transport> Connection<T> {
    pub(crate) async fn query(&mut self, body: &[u8]) -> Result<(), Failure> {
        self.unnamed = None;
        self.portals.remove("");
        match self.script(body).await {
            Ok(()) => {}
            Err(Failure::Statement(error)) => self.runner.fail(&error),
            Err(other) => return Err(other),
        }
        self.end_cycle().await
    }

    async fn script(&mut self, body: &[u8]) -> Result<(), Failure> {
        let mut fields = Fields(body);
        let text = fields.text()?;
        fields.end()?;
        let statements = self.runner.session.parse_script(text)?;
        if statements.is_empty() {
            self.runner.io.output.extend_from_slice(backend::EMPTY_QUERY);
        }
        let last = statements.len().saturating_sub(1);
        for (place, statement) in statements.into_iter().enumerate() {
            let started = Instant::now();
            let tag = match statement.moves_forward() {
                Some((name, count)) if self.portals.is_taken(&name) => self.move_portal(&name, count).await?,
                _ => {
                    let prepared = self.runner.prepare(statement, &[]).await?;
                    self.runner.run_simple(&prepared).await?
                }
            };
            if place == last {
                self.runner.sync().await?;
            }
            self.runner.complete(&tag, started);
            self.runner.io.relieve().await?;
        }
        Ok(())
    }
}

impl<T: Transport> Runner<T> {
    async fn run_simple(&mut self, prepared: &Arc<Prepared>) -> Result<CommandTag, Failure> {
        // Parameters in a PREPARE are those of the statement it makes.
        let makes_statement =
            prepared.text().get(..7).is_some_and(|word| word.eq_ignore_ascii_case("prepare"));
        if !prepared.parameter_types().is_empty() && !makes_statement {
            return Err(Error::new(ErrorKind::UndefinedParameter, "there is no parameter $1").into());
        }
        let run = Run { prepared, parameters: &[], formats: &[], describe: true, all_rows: true };
        match self.execute(&run).await? {
            Outcome::Complete(tag) => Ok(tag),
            Outcome::Rows(stream) => {
                let mut rows = Rows::new(stream);
                self.send_rows(&mut rows, &[], u64::MAX).await?;
                Ok(rows.stream.tag(rows.given))
            }
            Outcome::CopyIn(copy) => self.copy_in(copy).await,
            Outcome::CopyOut(copy) => self.copy_out(copy).await,
        }
    }
}
