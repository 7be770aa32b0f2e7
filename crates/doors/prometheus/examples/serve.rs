//! The door and a store of metrics alone, for measurements: `serve DIRECTORY ADDRESS [SECONDS]`, with so many
//! seconds between moves of samples to files (an hour, if not given).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use luma_door_prometheus::{Door, DoorOptions};
use luma_telemetry::{Maintenance, MaintenanceOptions, Metrics, MetricsOptions};
use luma_vfs::RealDisk;
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(directory), Some(address)) = (arguments.next(), arguments.next()) else {
        return Err("usage: serve DIRECTORY ADDRESS".into());
    };
    let store = Metrics::open(Arc::new(RealDisk), Path::new(&directory), MetricsOptions::default())?;
    let store = Arc::new(store);
    let mut options = MaintenanceOptions::default();
    if let Some(seconds) = arguments.next() {
        options.flush_interval = Duration::from_secs(seconds.parse()?);
    }
    let _maintenance = Maintenance::start(Arc::clone(&store), options)?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(address).await?;
        println!("ready");
        Door::new(store, DoorOptions::default()).listen(listener, CancellationToken::new()).await
    })?;
    Ok(())
}
