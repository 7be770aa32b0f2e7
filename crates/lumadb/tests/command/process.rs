//! Running the binary.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

/// The command in a directory, without what the environment says.
pub fn lumadb(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lumadb"));
    command.current_dir(directory).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("LUMADB_") || name == "PGPASSWORD" {
            command.env_remove(name);
        }
    }
    command
}

/// How a command ended.
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub err: String,
}

pub fn run(directory: &Path, arguments: &[&str]) -> Ended {
    end(lumadb(directory).args(arguments))
}

pub fn end(command: &mut Command) -> Ended {
    let output = command.output().unwrap();
    Ended {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs a command that must go well and gives what it printed.
pub fn good(directory: &Path, arguments: &[&str]) -> String {
    let ended = run(directory, arguments);
    assert_eq!(ended.code, 0, "{arguments:?}: {}", ended.err);
    ended.out
}

/// A running server.
pub struct Server {
    pub child: Child,
    pub password: Option<String>,
    pub postgres: String,
    pub http: String,
    pub prometheus: String,
    pub otlp: String,
    pub otlp_http: String,
    pub graphite: String,
    pub opentsdb: String,
    _out: BufReader<ChildStdout>,
}

impl Server {
    /// One that lets everyone in, on free ports, with its data in `data`.
    pub fn open(directory: &Path) -> Self {
        Self::start(lumadb(directory).env("LUMADB_SECURITY_REQUIRE_AUTH", "false"))
    }

    pub fn start(command: &mut Command) -> Self {
        command.args(["serve", "--postgres-port", "0", "--http-port", "0", "--prometheus-port", "0"]);
        command.args(["--otlp-port", "0", "--otlp-http-port", "0"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let (mut password, mut postgres, mut http) = (None, String::new(), String::new());
        let (mut graphite, mut opentsdb) = (String::new(), String::new());
        let (mut prometheus, mut otlp, mut otlp_http) = (String::new(), String::new(), String::new());
        loop {
            let mut line = String::new();
            if out.read_line(&mut line).unwrap() == 0 {
                let mut err = String::new();
                child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
                panic!("the server did not start: {err}");
            }
            match line.trim().split_once(' ') {
                None if line.trim() == "ready" => break,
                Some(("postgres", address)) => postgres = address.to_owned(),
                Some(("http", address)) => http = address.to_owned(),
                Some(("prometheus", address)) => prometheus = address.to_owned(),
                Some(("otlp", address)) => otlp = address.to_owned(),
                Some(("otlp-http", address)) => otlp_http = address.to_owned(),
                Some(("graphite", address)) => graphite = address.to_owned(),
                Some(("opentsdb", address)) => opentsdb = address.to_owned(),
                Some(("password", rest)) => {
                    password = Some(rest.trim_start_matches("for lumadb: ").to_owned());
                }
                _ => panic!("unexpected line: {line}"),
            }
        }
        Self { child, password, postgres, http, prometheus, otlp, otlp_http, graphite, opentsdb, _out: out }
    }

    pub fn url(&self) -> String {
        let password = self.password.as_ref().map(|password| format!(":{password}")).unwrap_or_default();
        format!("postgres://lumadb{password}@{}/lumadb", self.postgres)
    }

    /// Answer of a path: its status line and body.
    pub fn get(&self, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(&self.http).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.lines().next().unwrap().to_owned(), body.to_owned())
    }

    /// Sends SIGTERM and waits; the exit code.
    pub fn stop(mut self) -> i32 {
        let killed = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(killed.success());
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
