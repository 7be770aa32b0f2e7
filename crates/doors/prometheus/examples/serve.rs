//! The door and a store of metrics alone, for measurements: `serve DIRECTORY ADDRESS`.

use std::path::Path;
use std::sync::Arc;

use luma_door_prometheus::{Door, DoorOptions};
use luma_telemetry::{Metrics, MetricsOptions};
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
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(address).await?;
        println!("ready");
        Door::new(Arc::new(store), DoorOptions::default()).listen(listener, CancellationToken::new()).await
    })?;
    Ok(())
}
