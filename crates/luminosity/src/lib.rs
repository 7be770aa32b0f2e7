//! Luminosity.
mod check; mod engine; mod entry; mod error; mod fragment; mod loose; mod moment; mod pieces; mod record; mod render; mod site; mod text;
#[cfg(test)] mod sample;
pub use engine::*; pub use entry::*; pub use error::*; pub use fragment::*; pub use moment::*; pub use site::*;
