//! The log of the process: to standard error, as text or as JSON lines.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::SystemTime;

use crate::config::Config;

/// Starts logging; a second call changes nothing.
pub(crate) fn start(config: &Config) {
    let filter = EnvFilter::new(config.text("log", "level"));
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_timer(SystemTime).with_writer(std::io::stderr);
    let _ = match config.text("log", "format") {
        "json" => builder.json().try_init(),
        _ => builder.with_ansi(false).try_init(),
    };
}
