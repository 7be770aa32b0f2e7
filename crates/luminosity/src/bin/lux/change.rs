//! Commands that change the store a little.

use std::collections::BTreeSet;
use std::time::Instant;

use luminosity::{Entry, RedirectPolicy, Summary};
use serde_json::{Map, Value, json};

use crate::arguments::{Add, Options, Policy, Redirect};
use crate::store::{config, existing, open, print_json};
use crate::{Done, Ended, Failure, import};

pub(crate) fn add(options: &Options, wanted: &Add) -> Done {
    let page = wanted.page.trim_start();
    if page.starts_with('[') {
        return Err(Failure(
            "one page is added at a time; import takes an array from a file or -".to_owned(),
        ));
    }
    let mut fields = if page.starts_with('{') {
        serde_json::from_str::<Map<String, Value>>(page)
            .map_err(|error| Failure(format!("the entry: {}", luminosity::json_reason(&error))))?
    } else {
        Map::from_iter([("url".to_owned(), json!(wanted.page))])
    };
    let given = [
        ("lastmod", wanted.lastmod.as_ref().map(|text| json!(text))),
        ("changefreq", wanted.changefreq.as_ref().map(|text| json!(text))),
        ("priority", wanted.priority.map(|number| json!(number))),
    ];
    fields.extend(given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    let entry: Entry = serde_json::from_value(Value::Object(fields))?;
    let outcome = open(&config(options)?, true)?.add(entry)?;
    if options.json {
        print_json(&json!({ "outcome": outcome }))?;
    } else {
        println!("{}", json!(outcome).as_str().unwrap_or_default());
    }
    Ok(Ended::Well)
}

pub(crate) fn remove(options: &Options, urls: &[String]) -> Done {
    let engine = existing(options)?;
    let begun = Instant::now();
    let mut total = Summary::default();
    for url in urls {
        match engine.remove(url)? {
            luminosity::Outcome::Removed => total.removed += 1,
            _ => total.absent += 1,
        }
    }
    import::tell(options, &total, begun)?;
    Ok(Ended::with_findings(total.absent > 0))
}

pub(crate) fn redirect(options: &Options, wanted: &Redirect) -> Done {
    let policy = match wanted.policy {
        Policy::Remove => RedirectPolicy::Remove,
        Policy::Keep => RedirectPolicy::Keep,
        Policy::Mark => RedirectPolicy::Mark,
    };
    open(&config(options)?, true)?.redirect(&wanted.from, &wanted.to, wanted.status, policy)?;
    Ok(Ended::Well)
}

pub(crate) fn refresh(options: &Options) -> Done {
    let config = config(options)?;
    if config.sources.is_empty() {
        return Err(Failure("no sources are configured: add [[sources]] to luminosity.toml".to_owned()));
    }
    let begun = Instant::now();
    let refreshed = open(&config, true)?.refresh(&config.sources, &mut |_| {})?;
    for reject in &refreshed.summary.rejects {
        eprintln!("entry {}: {}", reject.at, reject.reason);
    }
    for failed in &refreshed.failed {
        eprintln!("{failed}");
    }
    import::tell(options, &refreshed.summary, begun)?;
    Ok(Ended::with_findings(refreshed.summary.rejected > 0 || !refreshed.failed.is_empty()))
}

pub(crate) fn compact(options: &Options, force: bool) -> Done {
    let config = config(options)?;
    let engine = open(&config, false)?;
    let before = engine.stats()?;
    let waits = before.unmerged_tables > 0 || before.log_bytes > config.incremental.max_log_size;
    if waits || force {
        engine.compact()?;
    }
    let stats = engine.stats()?;
    if options.json {
        print_json(&stats)?;
    } else if waits || force {
        println!("merged: {} URLs in {} bytes", stats.urls, stats.disk_bytes);
    } else {
        println!("nothing waits to be merged; --force merges all the same");
    }
    Ok(Ended::Well)
}

/// Of the store, or of the service that has it open: its memory is the one that visitors gain from.
pub(crate) fn warm(options: &Options) -> Done {
    let config = config(options)?;
    let directory = &config.incremental.log_dir;
    if !directory.exists() {
        return existing(options).map(|_| Ended::Well);
    }
    let ready = match luminosity::Engine::open(directory, config.settings()) {
        Ok(engine) => engine.warm()?,
        Err(error) if error.is_locked() => warm_service(&config)?,
        Err(error) => return Err(error.into()),
    };
    if options.json {
        print_json(&json!({ "fragments": ready }))?;
    } else {
        println!("{ready} fragments are ready");
    }
    Ok(Ended::Well)
}

fn warm_service(config: &luminosity::Config) -> Result<u64, Failure> {
    let url = format!("http://{}/warm", config.server.listen);
    let token = std::env::var("LUX_TOKEN").ok().or_else(|| config.server.token.clone());
    let mut request = ureq::post(&url);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let said = |error: ureq::Error| {
        Failure(format!(
            "another process has the store open, and {url} says: {error}; server.listen says where it serves, LUX_TOKEN is its token"
        ))
    };
    let text =
        request.send_empty().and_then(|mut answer| answer.body_mut().read_to_string()).map_err(said)?;
    let answer: Value = serde_json::from_str(&text)?;
    Ok(answer["fragments"].as_u64().unwrap_or_default())
}

pub(crate) fn notify(options: &Options, urls: &[String]) -> Done {
    let config = config(options)?;
    let Some(index_now) = &config.index_now else {
        return Err(Failure("no key is configured: set indexNow.key in luminosity.toml".to_owned()));
    };
    let site = luminosity::Site::with_hosts(&config.base_url, &config.hosts)?;
    let urls: BTreeSet<String> = urls.iter().map(|url| site.page(url)).collect::<Result<_, _>>()?;
    let messages = index_now.tell(&site, &urls)?;
    println!("{} URLs told in {messages} messages", urls.len());
    Ok(Ended::Well)
}
