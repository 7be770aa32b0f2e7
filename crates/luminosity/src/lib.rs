//! Luminosity.
mod check; mod engine; mod entry; mod error; mod fragment; mod import; mod loose; mod moment; mod pieces; mod publish; mod reader; mod record; mod render; mod site; mod text; mod verify; mod robots; mod meta;
#[cfg(test)] mod sample;
pub use engine::*; pub use entry::*; pub use error::*; pub use fragment::*; pub use import::*; pub use moment::*; pub use publish::{Published}; pub use publish::Publication as Publish; pub use site::*;
pub use verify::*; pub use robots::*; pub use meta::*;
