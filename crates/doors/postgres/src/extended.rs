//! The extended protocol: Parse, Bind, Describe, Execute, Close.

use std::sync::Arc;
use std::time::Instant;

use luma_model::{DataType, Error, ErrorKind, Result, Value, from_binary, parse_text};
use luma_query::{CommandTag, Outcome, Prepared, Session};

use crate::connection::Connection;
use crate::failure::{Failure, violation};
use crate::io::Transport;
use crate::message::backend;
use crate::message::field::utf8;
use crate::message::frontend::{Bind, Execute, Format, Parse, Subject};
use crate::rows::Rows;
use crate::session::Run;

/// The type of a literal whose type is not known.
const UNKNOWN_OID: u32 = 705;
/// The type of nothing.
const VOID_OID: u32 = 2278;

/// A statement with its values, run in whole or in parts.
#[derive(Default)]
pub(crate) struct Portal {
    /// `None` is the empty statement.
    prepared: Option<Arc<Prepared>>,
    parameters: Vec<Value>,
    formats: Vec<Format>,
    state: State,
}

#[derive(Default)]
enum State {
    #[default]
    Bound,
    Running(Rows),
    Done,
    /// The transaction it belonged to is over.
    Ended,
}

impl Portal {
    fn gives_rows(&self) -> bool {
        self.prepared.as_ref().is_some_and(|prepared| prepared.columns().is_some())
    }

    /// Ends it with its transaction; its buffers serve the next one.
    pub(crate) fn end(&mut self) {
        self.prepared = None;
        self.parameters.clear();
        self.state = State::Ended;
    }
}

impl<T: Transport> Connection<T> {
    pub(crate) async fn parse(&mut self, body: &[u8]) -> Result<(), Failure> {
        let parse = Parse::read(body)?;
        if parse.name.is_empty() {
            self.unnamed = None;
        }
        let mut statements = self.runner.session.parse_script(parse.text)?;
        let prepared = match (statements.pop(), statements.is_empty()) {
            (None, _) => None,
            (Some(mut statement), true) => {
                // JDBC gives the results of a call places among its arguments.
                let void = parse.types().enumerate().filter(|(_, oid)| *oid == VOID_OID);
                statement.drop_arguments(&void.map(|(place, _)| place + 1).collect::<Vec<_>>());
                let session = &self.runner.session;
                let types =
                    parse.types().map(|oid| parameter_type(session, oid)).collect::<Result<Vec<_>>>()?;
                Some(self.runner.prepare(statement, &types).await?)
            }
            (Some(_), false) => {
                let message = "cannot insert multiple commands into a prepared statement";
                return Err(Error::new(ErrorKind::Syntax, message).into());
            }
        };
        if parse.name.is_empty() {
            self.unnamed = Some(prepared);
        } else {
            self.runner.session.name_statement(parse.name, prepared)?;
        }
        self.runner.io.output.extend_from_slice(backend::PARSE_COMPLETE);
        Ok(())
    }

    pub(crate) fn bind(&mut self, body: &[u8]) -> Result<(), Failure> {
        let bind = Bind::read(body)?;
        let prepared = self.statement(bind.statement)?;
        if self.portals.is_taken(bind.portal) {
            let message = format!("cursor \"{}\" already exists", bind.portal);
            return Err(Error::new(ErrorKind::DuplicateCursor, message).into());
        }
        let mut portal = self.portals.remove(bind.portal).unwrap_or_default();
        portal.parameters.clear();
        portal.formats.clear();
        portal.state = State::Bound;
        portal.prepared.clone_from(&prepared);
        if let Some(prepared) = &prepared {
            let types = prepared.parameter_types();
            let context = self.runner.session.text_context(types);
            if bind.parameter_count != types.len() {
                return Err(violation(format!(
                    "bind message supplies {} parameters, but prepared statement \"{}\" requires {}",
                    bind.parameter_count,
                    bind.statement,
                    types.len()
                ))
                .into());
            }
            for (place, (bytes, data_type)) in bind.parameters().zip(types).enumerate() {
                let value = match (bytes, bind.parameter_formats.get(place)) {
                    (None, _) => Value::Null,
                    (Some(bytes), Format::Text) => parse_text(data_type, utf8(bytes)?, &context)?,
                    (Some(bytes), Format::Binary) => from_binary(data_type, bytes)?,
                };
                portal.parameters.push(value);
            }
            let columns = prepared.columns().map_or(0, |columns| columns.len());
            let given = bind.result_formats.count();
            if given > 1 && given != columns {
                return Err(violation(format!(
                    "bind message has {given} result formats but query has {columns} columns"
                ))
                .into());
            }
            portal.formats.extend((0..columns).map(|place| bind.result_formats.get(place)));
        }
        self.portals.insert(bind.portal, portal);
        self.runner.io.output.extend_from_slice(backend::BIND_COMPLETE);
        Ok(())
    }

    pub(crate) fn describe(&mut self, body: &[u8]) -> Result<(), Failure> {
        let subject = Subject::read(body)?;
        // What DECLARE made is a portal, too.
        if let Subject::Portal(name) = subject
            && !self.portals.is_taken(name)
            && let Some(columns) = self.runner.session.cursor_columns(name)
        {
            backend::row_description(&mut self.runner.io.output, &columns, |_| Format::Text);
            return Ok(());
        }
        let named = match subject {
            Subject::Statement(name) => self.statement(name)?,
            Subject::Portal(_) => None,
        };
        let out = &mut self.runner.io.output;
        let (prepared, formats): (_, &[Format]) = match subject {
            Subject::Statement(_) => {
                let prepared = &named;
                let types = prepared.as_ref().map_or(&[][..], |prepared| prepared.parameter_types());
                backend::parameter_description(out, types.iter().map(DataType::oid));
                (prepared, &[])
            }
            Subject::Portal(name) => {
                let portal = self.portals.get(name).filter(|portal| !matches!(portal.state, State::Ended));
                let portal = portal.ok_or_else(|| no_portal(name))?;
                (&portal.prepared, &portal.formats)
            }
        };
        match prepared.as_ref().and_then(|prepared| prepared.columns()) {
            Some(columns) => backend::row_description(out, columns, |place| {
                formats.get(place).copied().unwrap_or(Format::Text)
            }),
            None => out.extend_from_slice(backend::NO_DATA),
        }
        Ok(())
    }

    pub(crate) fn close(&mut self, body: &[u8]) -> Result<(), Failure> {
        match Subject::read(body)? {
            Subject::Statement("") => self.unnamed = None,
            Subject::Statement(name) => {
                self.runner.session.forget_statement(name);
            }
            Subject::Portal(name) => {
                drop(self.portals.remove(name));
                self.runner.session.close_cursor(name);
            }
        }
        self.runner.io.output.extend_from_slice(backend::CLOSE_COMPLETE);
        Ok(())
    }

    pub(crate) async fn run_portal(&mut self, body: &[u8]) -> Result<(), Failure> {
        let started = Instant::now();
        let Execute { portal: name, rows_max } = Execute::read(body)?;
        let rows_max = if rows_max == 0 { u64::MAX } else { rows_max };
        let portal = self.portals.get_mut(name).ok_or_else(|| no_portal(name))?;
        let runner = &mut self.runner;
        let tag = match std::mem::replace(&mut portal.state, State::Done) {
            State::Ended => return Err(no_portal(name).into()),
            State::Done if portal.gives_rows() => Some(CommandTag::Select(0)),
            State::Done => {
                let message = format!("portal \"{name}\" cannot be run");
                return Err(Error::new(ErrorKind::ObjectNotInPrerequisiteState, message).into());
            }
            State::Running(mut rows) => {
                rows.stream.restart_time();
                give(runner, portal, rows, rows_max).await?
            }
            State::Bound => {
                let Some(prepared) = &portal.prepared else {
                    runner.io.output.extend_from_slice(backend::EMPTY_QUERY);
                    return Ok(());
                };
                let run = Run {
                    prepared,
                    parameters: &portal.parameters,
                    formats: &portal.formats,
                    describe: false,
                    all_rows: rows_max == u64::MAX,
                };
                match runner.execute(&run).await? {
                    Outcome::Complete(tag) => Some(tag),
                    Outcome::Rows(stream) => give(runner, portal, Rows::new(stream), rows_max).await?,
                    Outcome::CopyIn(copy) => Some(runner.copy_in(copy).await?),
                    Outcome::CopyOut(copy) => Some(runner.copy_out(copy).await?),
                }
            }
        };
        match tag {
            Some(tag) => self.runner.complete(&tag, started),
            None => self.runner.io.output.extend_from_slice(backend::PORTAL_SUSPENDED),
        }
        Ok(())
    }
}

impl<T: Transport> Connection<T> {
    /// The statement of that name.
    fn statement(&self, name: &str) -> Result<Option<Arc<Prepared>>> {
        let found =
            if name.is_empty() { self.unnamed.clone() } else { self.runner.session.named_statement(name) };
        found.ok_or_else(|| no_statement(name))
    }

    /// `MOVE` of what Bind made: passes over rows that nobody gets.
    pub(crate) async fn move_portal(&mut self, name: &str, count: u64) -> Result<CommandTag, Failure> {
        let portal = self.portals.get_mut(name).ok_or_else(|| no_portal(name))?;
        let runner = &mut self.runner;
        let mut rows = match std::mem::replace(&mut portal.state, State::Done) {
            State::Running(rows) => rows,
            State::Bound => {
                let Some(prepared) = &portal.prepared else { return Ok(CommandTag::Move(0)) };
                let run = Run {
                    prepared,
                    parameters: &portal.parameters,
                    formats: &portal.formats,
                    describe: false,
                    all_rows: false,
                };
                match runner.execute(&run).await? {
                    Outcome::Rows(stream) => Rows::new(stream),
                    _ => return Ok(CommandTag::Move(0)),
                }
            }
            State::Done => return Ok(CommandTag::Move(0)),
            State::Ended => return Err(no_portal(name).into()),
        };
        let passed = runner.pass_rows(&mut rows, count).await?;
        if passed == count {
            portal.state = State::Running(rows);
        }
        Ok(CommandTag::Move(passed))
    }
}

/// Gives rows of a portal; the tag if they are at their end, else the rest stays in the portal.
async fn give<T: Transport>(
    runner: &mut crate::session::Runner<T>,
    portal: &mut Portal,
    mut rows: Rows,
    rows_max: u64,
) -> Result<Option<CommandTag>, Failure> {
    if runner.send_rows(&mut rows, &portal.formats, rows_max).await? {
        return Ok(Some(rows.stream.tag(rows.given)));
    }
    portal.state = State::Running(rows);
    Ok(None)
}

/// The type a client gives a parameter; `None` where the server is to find out.
fn parameter_type(session: &Session, oid: u32) -> Result<Option<DataType>> {
    match oid {
        0 | UNKNOWN_OID | VOID_OID => Ok(None),
        oid => session.type_by_oid(oid).map(Some).ok_or_else(|| {
            Error::new(ErrorKind::UndefinedObject, format!("type with OID {oid} does not exist"))
        }),
    }
}

fn no_statement(name: &str) -> Error {
    let message = if name.is_empty() {
        "unnamed prepared statement does not exist".to_owned()
    } else {
        format!("prepared statement \"{name}\" does not exist")
    };
    Error::new(ErrorKind::InvalidStatementName, message)
}

fn no_portal(name: &str) -> Error {
    Error::new(ErrorKind::InvalidCursorName, format!("portal \"{name}\" does not exist"))
}
