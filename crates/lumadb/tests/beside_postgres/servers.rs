//! A PostgreSQL 15 and a LumaDB, each on a directory of its own.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::wire::Client;

/// The PostgreSQL whose answers are the measure.
const VERSION: &str = "15";
const PORT: &str = "5432";

/// A running PostgreSQL that only listens on a socket file.
pub struct Postgres {
    process: Child,
    directory: tempfile::TempDir,
    databases: u32,
}

impl Postgres {
    /// Starts one, or says why it can't.
    pub fn start() -> Result<Self, String> {
        let programs = programs()?;
        let directory = tempfile::tempdir().unwrap();
        // PostgreSQL refuses to run as root; its package brings a user.
        let user = if is_root() { Some(postgres_user()?) } else { None };
        if let Some((uid, gid)) = user {
            chown(directory.path(), Some(uid), Some(gid)).unwrap();
        }
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        let data = directory.path().join("data");
        let command = |name: &str| {
            let mut command = Command::new(programs.join(name));
            command.current_dir(directory.path()).env("TZ", "UTC").env("LC_ALL", "C");
            if let Some((uid, gid)) = user {
                command.uid(uid).gid(gid);
            }
            command
        };
        let made = command("initdb")
            .args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "-N", "-D"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let process = command("postgres")
            .arg("-D")
            .arg(&data)
            .args(["-p", PORT, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "timezone=UTC"])
            .args(["-c", "max_prepared_transactions=0", "-c", "jit=off", "-k"])
            .arg(directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { process, directory, databases: 0 };
        let started = Instant::now();
        while !server.directory.path().join("data/postmaster.pid").exists() || !server.is_ready() {
            assert!(started.elapsed() < Duration::from_mins(1), "PostgreSQL does not come up");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join(format!(".s.PGSQL.{PORT}"))
    }

    /// The last line of its lock file says so.
    fn is_ready(&self) -> bool {
        let text = std::fs::read_to_string(self.directory.path().join("data/postmaster.pid"));
        text.is_ok_and(|text| text.lines().nth(7).is_some_and(|line| line.trim() == "ready"))
    }

    /// The database made last, as a connection string for PostgreSQL's programs.
    pub fn connection_string(&self) -> String {
        let host = self.directory.path().display();
        format!("host={host} port={PORT} user=postgres dbname=cases{}", self.databases)
    }

    /// A session in a new database.
    pub fn session(&mut self) -> Client {
        self.databases += 1;
        let name = format!("cases{}", self.databases);
        let mut first = Client::socket(&self.socket(), "postgres", "postgres");
        let made = first.simple(&format!("CREATE DATABASE {name} TEMPLATE template0"));
        assert_eq!(made.error, None, "{}", made.message);
        Client::socket(&self.socket(), "postgres", &name)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn is_root() -> bool {
    // The owner of what this process makes is who it runs as.
    let probe = tempfile::tempfile().unwrap();
    std::os::unix::fs::MetadataExt::uid(&probe.metadata().unwrap()) == 0
}

fn postgres_user() -> Result<(u32, u32), String> {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    users
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.first() == Some(&"postgres"))
        .and_then(|fields| Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?)))
        .ok_or_else(|| "PostgreSQL does not run as root and there is no user postgres".to_owned())
}

/// Where the programs of the right version are.
pub fn programs() -> Result<PathBuf, String> {
    let mut places = vec![PathBuf::from(format!("/usr/lib/postgresql/{VERSION}/bin"))];
    places.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    for place in places {
        let Ok(output) = Command::new(place.join("postgres")).arg("--version").output() else { continue };
        let version = String::from_utf8_lossy(&output.stdout).into_owned();
        if version.contains(&format!(" {VERSION}.")) && place.join("initdb").exists() {
            return Ok(place);
        }
    }
    Err(format!("there is no PostgreSQL {VERSION} server on this machine (Debian's package: postgresql)"))
}

/// A running LumaDB.
pub struct Lumadb {
    process: Child,
    address: String,
    _directory: tempfile::TempDir,
}

impl Lumadb {
    pub fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_lumadb"))
            .args([
                "serve",
                "--postgres-port",
                "0",
                "--http-port",
                "0",
                "--prometheus-port",
                "0",
                "--data-dir",
            ])
            .arg(directory.path())
            .current_dir(directory.path() as &Path)
            .env("LUMADB_SECURITY_REQUIRE_AUTH", "false")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut address = String::new();
        for line in BufReader::new(process.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            if let Some(found) = line.strip_prefix("postgres ") {
                found.clone_into(&mut address);
            }
            if line == "ready" {
                return Self { process, address, _directory: directory };
            }
        }
        panic!("the server ended before it was ready: {:?}", process.wait());
    }

    /// Where it listens, as a connection string for PostgreSQL's programs.
    pub fn connection_string(&self) -> String {
        let (host, port) = self.address.rsplit_once(':').unwrap();
        format!("host={host} port={port} user=lumadb dbname=lumadb")
    }

    pub fn session(&self) -> Client {
        Client::tcp(&self.address, "lumadb", "lumadb")
    }
}

impl Drop for Lumadb {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
