//! The `lumadb` command.
fn main() {}
