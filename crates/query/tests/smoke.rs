#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use support::{Fixture, run};

#[tokio::test(flavor = "multi_thread")]
async fn smoke() {
    let fixture = Fixture::new();
    let mut session = fixture.session();
    let script = std::env::var("SMOKE").unwrap_or_default();
    for line in std::fs::read_to_string(script).unwrap_or_default().split(";\n") {
        if line.trim().is_empty() {
            continue;
        }
        println!("=> {line}");
        match run(&mut session, line).await {
            Ok(rows) => rows.iter().for_each(|row| println!("   {row}")),
            Err(error) => println!("   ERROR {} {error} hint={:?} pos={:?}", support::state(&error), error.hint, error.position),
        }
    }
}
