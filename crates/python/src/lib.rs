//! What the Python package `lumadb` calls: a database, its connections, and results as Arrow's stream format.
//!
//! The Python side (`python/lumadb/__init__.py`) is what people see; this is as little as it needs. Statements run on a thread
//! without Python's lock, so that other threads go on and an interrupt cancels.

use std::io::Cursor;
use std::sync::mpsc;
use std::time::Duration;

use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use lumadb::{Answer, Embedded};
use parking_lot::Mutex;
use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// How often a wait looks for an interrupt.
const LOOK: Duration = Duration::from_millis(50);

create_exception!(_lumadb, Error, PyException, "A statement, or opening a database, failed.");

fn failure(error: &lumadb::Failure) -> PyErr {
    Error::new_err((error.to_string(), None::<String>))
}

/// The message, with detail and hint, and the SQLSTATE.
fn error(error: &lumadb::Error) -> PyErr {
    let mut message = error.message.clone();
    for (name, part) in [("DETAIL", &error.detail), ("HINT", &error.hint)] {
        if let Some(part) = part {
            message.push_str(&format!("\n{name}:  {part}"));
        }
    }
    Error::new_err((message, Some(error.kind.sqlstate())))
}

fn closed() -> PyErr {
    Error::new_err(("the database is closed", Some("57P01")))
}

/// An open database.
#[pyclass(frozen, module = "lumadb")]
struct Database(Mutex<Option<Embedded>>);

#[pymethods]
impl Database {
    /// Opens the database in a directory.
    #[new]
    fn new(py: Python<'_>, directory: std::path::PathBuf) -> PyResult<Self> {
        let opened = py.detach(|| Embedded::open(directory)).map_err(|failed| failure(&failed))?;
        Ok(Self(Mutex::new(Some(opened))))
    }

    fn connect(&self) -> PyResult<Connection> {
        let opened = self.0.lock();
        let connection = opened.as_ref().ok_or_else(closed)?.connect().map_err(|failed| failure(&failed))?;
        let cancel = connection.cancel_handle();
        Ok(Connection { inner: Mutex::new(Some(connection)), cancel })
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let Some(opened) = self.0.lock().take() else { return Ok(()) };
        py.detach(|| opened.close()).map_err(|failed| failure(&failed))
    }
}

/// A session.
#[pyclass(frozen, module = "lumadb")]
struct Connection {
    inner: Mutex<Option<lumadb::Connection>>,
    cancel: luma_query::CancelHandle,
}

/// What a statement gave: rows in Arrow's stream format, and how many were read or changed.
type Given<'py> = (Bound<'py, PyBytes>, Option<u64>);

#[pymethods]
impl Connection {
    /// Runs statements; parameters are texts or None.
    fn run<'py>(&self, py: Python<'py>, sql: &str, parameters: Vec<Option<String>>) -> PyResult<Given<'py>> {
        let (sender, receiver) = mpsc::sync_channel(1);
        let receiver = Mutex::new(receiver);
        let parameters: Vec<Option<&str>> = parameters.iter().map(Option::as_deref).collect();
        let parameters = parameters.as_slice();
        let answer = std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut inner = self.inner.lock();
                let answer = match inner.as_mut() {
                    Some(connection) => connection
                        .run_with(sql, parameters)
                        .map_err(|failed| error(&failed))
                        .and_then(encoded),
                    None => Err(closed()),
                };
                // Whoever asked waits for it.
                let _ = sender.send(answer);
            });
            loop {
                match py.detach(|| receiver.lock().recv_timeout(LOOK)) {
                    Ok(answer) => return answer,
                    Err(mpsc::RecvTimeoutError::Timeout) => {
                        if let Err(interrupt) = py.check_signals() {
                            self.cancel.cancel();
                            // The statement has to end before its connection can be used again.
                            let _ = py.detach(|| receiver.lock().recv());
                            return Err(interrupt);
                        }
                    }
                    Err(mpsc::RecvTimeoutError::Disconnected) => {
                        return Err(Error::new_err(("a statement ended without an answer", Some("XX000"))));
                    }
                }
            }
        });
        let (bytes, count) = answer?;
        Ok((PyBytes::new(py, &bytes), count))
    }

    /// Lets statements read rows, given in Arrow's stream format, under a name.
    fn register(&self, py: Python<'_>, name: &str, stream: &[u8]) -> PyResult<()> {
        let unreadable =
            |error: arrow::error::ArrowError| PyValueError::new_err(format!("no stream of Arrow: {error}"));
        py.detach(|| {
            let reader = StreamReader::try_new(Cursor::new(stream), None).map_err(unreadable)?;
            let schema = reader.schema();
            let batches = reader.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
            let mut inner = self.inner.lock();
            let connection = inner.as_mut().ok_or_else(closed)?;
            connection.register(name, &schema, &batches).map_err(|failed| error(&failed))
        })
    }

    fn unregister(&self, name: &str) -> PyResult<bool> {
        Ok(self.inner.lock().as_mut().ok_or_else(closed)?.unregister(name))
    }

    fn cancel(&self) {
        self.cancel.cancel();
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| drop(self.inner.lock().take()));
    }
}

/// An answer's rows in Arrow's stream format.
fn encoded(answer: Answer) -> PyResult<(Vec<u8>, Option<u64>)> {
    let failed = |error: arrow::error::ArrowError| PyValueError::new_err(error.to_string());
    let mut writer = StreamWriter::try_new(Vec::new(), &answer.schema).map_err(failed)?;
    for batch in &answer.batches {
        writer.write(batch).map_err(failed)?;
    }
    Ok((writer.into_inner().map_err(failed)?, answer.count))
}

#[pymodule]
fn _lumadb(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("Error", module.py().get_type::<Error>())?;
    module.add_class::<Database>()?;
    module.add_class::<Connection>()
}
