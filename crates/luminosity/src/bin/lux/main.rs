//! The command `lux`.

fn main() {}
