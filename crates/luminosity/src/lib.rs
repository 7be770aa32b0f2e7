//! Luminosity.
mod check; mod entry; mod error; mod loose; mod moment; mod record; mod render; mod site; mod text;
#[cfg(test)] mod sample;
pub use entry::*; pub use error::*; pub use moment::*; pub use site::*;
