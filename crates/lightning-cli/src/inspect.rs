//! Commands that look.

use std::time::Instant;

use lightning::{KeyspaceStats, Layout, Stats, VerifyProgress};
use serde_json::{Value, json};

use crate::Done;
use crate::arguments::{Check, Database, Options, Whole};
use crate::failure::{Code, Failure};
use crate::output::print;
use crate::progress::{Progress, percent};
use crate::store;

fn layout_name(layout: Layout) -> &'static str {
    match layout {
        Layout::Lsm => "lsm",
        Layout::BTree => "btree",
    }
}

fn keyspace_json(layout: Layout, stats: &KeyspaceStats) -> Value {
    json!({
        "name": stats.name,
        "layout": layout_name(layout),
        "approximate_entries": stats.approximate_entries,
        "disk_bytes": stats.disk_bytes,
        "memory_bytes": stats.memory_bytes,
        "tables": stats.tables,
    })
}

fn keyspace_text(layout: Layout, stats: &KeyspaceStats) -> String {
    let tables: Vec<String> = stats.tables.iter().map(ToString::to_string).collect();
    let tables =
        if tables.is_empty() { String::new() } else { format!(", tables by level {}", tables.join(" ")) };
    format!(
        "keyspace {:?} ({}): about {} keys, {} bytes on disk, {} bytes in memory{tables}\n",
        stats.name,
        layout_name(layout),
        stats.approximate_entries,
        stats.disk_bytes,
        stats.memory_bytes
    )
}

pub(crate) fn stats(options: &Options, wanted: &Whole) -> Done {
    let database = store::existing(&wanted.path)?;
    let mut keyspaces = Vec::new();
    for keyspace in store::keyspaces(&database, wanted.keyspace.as_deref())? {
        let stats = KeyspaceStats { name: keyspace.name().to_owned(), ..keyspace.stats() };
        keyspaces.push((keyspace.options().layout, stats));
    }
    let Stats { wal_bytes, visible_sequence, cache, .. } = database.stats();
    let text = || {
        let mut text: String =
            keyspaces.iter().map(|(layout, stats)| keyspace_text(*layout, stats)).collect();
        text.push_str(&format!("log: {wal_bytes} bytes\nnewest commit: {visible_sequence}\n"));
        text.push_str(&format!("cache: {} of {} bytes\n", cache.used_bytes, cache.capacity_bytes));
        text
    };
    let value = json!({
        "keyspaces": keyspaces.iter().map(|(layout, stats)| keyspace_json(*layout, stats)).collect::<Vec<_>>(),
        "wal_bytes": wal_bytes,
        "visible_sequence": visible_sequence,
        "cache": { "used_bytes": cache.used_bytes, "capacity_bytes": cache.capacity_bytes },
    });
    Ok(print(options.format, &text, value)?)
}

pub(crate) fn health(options: &Options, wanted: &Database) -> Done {
    let begun = Instant::now();
    let database = store::existing(&wanted.path)?;
    let opened_ms = begun.elapsed().as_millis() as u64;
    let limits = lightning::Options::default();
    let stats = database.stats();
    let unmerged =
        stats.keyspaces.iter().filter_map(|keyspace| keyspace.tables.first()).max().copied().unwrap_or(0);
    let checks = [
        ("writable", stats.failure.is_none(), stats.failure.clone().unwrap_or_default()),
        (
            "log",
            stats.wal_bytes <= limits.max_wal_bytes.saturating_mul(2),
            format!(
                "{} bytes, {} before writers wait",
                stats.wal_bytes,
                limits.max_wal_bytes.saturating_mul(2)
            ),
        ),
        (
            "merging",
            unmerged < limits.level0_tables * 3,
            format!("{unmerged} tables of a keyspace wait, {} make writers wait", limits.level0_tables * 3),
        ),
    ];
    let status = match &checks {
        [(_, false, _), ..] => "failed",
        checks if checks.iter().all(|(_, good, _)| *good) => "healthy",
        _ => "degraded",
    };
    let text = || {
        let mut text = format!("{status}; opened in {opened_ms} ms\n");
        for (name, good, detail) in &checks {
            text.push_str(&format!(
                "{name}: {}{}{detail}\n",
                if *good { "ok" } else { "NOT OK" },
                if detail.is_empty() { "" } else { ", " }
            ));
        }
        text
    };
    let listed: Vec<Value> = checks
        .iter()
        .map(|(name, good, detail)| json!({ "name": name, "ok": good, "detail": detail }))
        .collect();
    let value = json!({
        "status": status,
        "opened_ms": opened_ms,
        "keyspaces": stats.keyspaces.len(),
        "checks": listed,
    });
    print(options.format, &text, value)?;
    match (stats.failure, status) {
        (Some(failure), _) => Err(Failure::new(Code::Database, failure)),
        (None, "degraded") => Err(Failure::new(Code::General, "the database is degraded")),
        (None, _) => Ok(()),
    }
}

pub(crate) fn check(options: &Options, wanted: &Check) -> Done {
    let database = store::existing(&wanted.database.path)?;
    let mut progress = Progress::new(options.quiet);
    let mut on_progress = |now: VerifyProgress| {
        progress.say(&|| format!("checking: {} %", percent(now.done_bytes, now.total_bytes)));
    };
    let verified = match wanted.checksums {
        Some(checksums) => database.verify_some(checksums, &mut on_progress),
        None => database.verify(&mut on_progress),
    };
    drop(progress);
    let report = verified?;
    let keyspaces: Vec<(Layout, KeyspaceStats)> = store::keyspaces(&database, None)?
        .iter()
        .map(|keyspace| {
            let stats = KeyspaceStats { name: keyspace.name().to_owned(), ..keyspace.stats() };
            (keyspace.options().layout, stats)
        })
        .collect();
    let text = || {
        let mut text = String::new();
        if wanted.verbose {
            text.extend(keyspaces.iter().map(|(layout, stats)| keyspace_text(*layout, stats)));
        }
        text.push_str(&format!(
            "ok: {} keyspaces, {} tables, {} keys, {} checksums over {} bytes\n",
            report.keyspaces, report.tables, report.entries, report.checksums, report.bytes
        ));
        text
    };
    let mut value = json!({
        "ok": true,
        "keyspaces": report.keyspaces,
        "tables": report.tables,
        "entries": report.entries,
        "checksums": report.checksums,
        "bytes": report.bytes,
    });
    if wanted.verbose {
        value["details"] = keyspaces.iter().map(|(layout, stats)| keyspace_json(*layout, stats)).collect();
    }
    if options.quiet {
        return Ok(());
    }
    Ok(print(options.format, &text, value)?)
}
