//! Targets: what was found, relabelled to who is asked where, and by which labels its series are known.

use std::time::Duration;

use luma_promql::Labels;
use luma_targets::{LabelSet, Url, duration};

use crate::settings::Job;

const ADDRESS: &str = "__address__";
const SCHEME: &str = "__scheme__";
const METRICS_PATH: &str = "__metrics_path__";
const SCRAPE_INTERVAL: &str = "__scrape_interval__";
const SCRAPE_TIMEOUT: &str = "__scrape_timeout__";
const PARAMETER: &str = "__param_";
const META: &str = "__meta_";

/// Who is asked, how often, and what its series have as labels.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Target {
    /// Its labels before relabelling.
    pub discovered: LabelSet,
    /// The labels that its series get.
    pub labels: Labels,
    /// Where it is.
    pub url: Url,
    /// How often it is asked.
    pub interval: (Duration, String),
    /// How long it may take.
    pub timeout: (Duration, String),
}

/// What became of labels that were found.
#[derive(Debug)]
pub(crate) enum Found {
    Target(Box<Target>),
    /// Relabelling dropped it.
    Dropped(LabelSet),
}

impl Target {
    /// By what it is known: the same one goes on where it was.
    pub fn identity(&self) -> (String, Labels) {
        (self.url.to_string(), self.labels.clone())
    }
}

/// The target that labels which were found stand for.
///
/// # Errors
/// Why they are none.
pub(crate) fn target(found: &LabelSet, job: &Job) -> Result<Found, String> {
    let mut labels = found.clone();
    for (name, value) in [
        ("job", &job.name),
        (SCRAPE_INTERVAL, &job.interval.1),
        (SCRAPE_TIMEOUT, &job.timeout.1),
        (METRICS_PATH, &job.metrics_path),
        (SCHEME, &job.scheme),
    ] {
        if labels.get(name).is_empty() {
            labels.set(name, value);
        }
    }
    for (name, values) in &job.params {
        let name = format!("{PARAMETER}{name}");
        if let Some(value) = values.first().filter(|_| labels.get(&name).is_empty()) {
            labels.set(&name, value);
        }
    }
    let discovered = labels.clone();
    if !job.relabeling.apply(&mut labels) {
        return Ok(Found::Dropped(discovered));
    }
    let address = labels.get(ADDRESS).to_owned();
    if address.is_empty() {
        return Err("no address".to_owned());
    }
    if address.contains('/') {
        return Err(format!("{address:?} is not a valid hostname"));
    }
    let interval = time(&labels, SCRAPE_INTERVAL, "interval")?;
    let timeout = time(&labels, SCRAPE_TIMEOUT, "timeout")?;
    if timeout.0 > interval.0 {
        return Err(format!(
            "scrape timeout cannot be greater than scrape interval ({:?} > {:?})",
            timeout.1, interval.1
        ));
    }
    labels.retain(|name| !name.starts_with(META));
    if labels.get("instance").is_empty() {
        labels.set("instance", &address);
    }
    let url = url(&labels, &address, job)?;
    let own = labels.iter().filter(|(name, _)| !name.starts_with("__"));
    Ok(Found::Target(Box::new(Target { discovered, labels: Labels::new(own), url, interval, timeout })))
}

fn time(labels: &LabelSet, name: &str, what: &str) -> Result<(Duration, String), String> {
    let text = labels.get(name);
    let time = duration(&format!("scrape {what}"), text)?;
    if time.is_zero() {
        return Err(format!("scrape {what} cannot be 0"));
    }
    Ok((time, text.to_owned()))
}

fn url(labels: &LabelSet, address: &str, job: &Job) -> Result<Url, String> {
    let text = format!("{}://{address}", labels.get(SCHEME));
    let mut url = Url::parse(&text).map_err(|error| format!("{text:?} is no address: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("the scheme {:?} is neither http nor https", url.scheme()));
    }
    let path = labels.get(METRICS_PATH);
    // A path may have brought a query along.
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    url.set_path(path);
    let mut params = job.params.clone();
    for (name, value) in labels.iter() {
        let Some(name) = name.strip_prefix(PARAMETER) else { continue };
        let values = params.entry(name.to_owned()).or_default();
        match values.first_mut() {
            Some(first) => value.clone_into(first),
            None => values.push(value.to_owned()),
        }
    }
    let mut pairs = form_urlencoded::Serializer::new(query.to_owned());
    for (name, values) in &params {
        for value in values {
            pairs.append_pair(name, value);
        }
    }
    let pairs = pairs.finish();
    url.set_query(Some(pairs.as_str()).filter(|pairs| !pairs.is_empty()));
    Ok(url)
}

/// The labels that a series of a target has in the store, before relabelling: those of the target, and what the
/// target says itself under another name where both have one (or the other way round, if the target is honored).
pub(crate) fn joined(
    scraped: &LabelSet,
    has: impl Fn(&str) -> bool,
    target: &Labels,
    honor: bool,
) -> LabelSet {
    let mut labels = scraped.clone();
    if honor {
        // An empty label of the target's own says that there is to be none.
        for (name, value) in target.iter().filter(|(name, _)| !has(name)) {
            labels.set(name, value);
        }
        return labels;
    }
    let mut in_conflict = Vec::new();
    for (name, value) in target.iter() {
        if !scraped.get(name).is_empty() {
            in_conflict.push((name, scraped.get(name)));
        }
        labels.set(name, value);
    }
    in_conflict.sort_by_key(|(name, _)| name.len());
    for (name, value) in in_conflict {
        let mut free = format!("exported_{name}");
        while !labels.get(&free).is_empty() {
            free.insert_str(0, "exported_");
        }
        labels.set(&free, value);
    }
    labels
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::settings::Settings;

    fn job(text: &str) -> std::sync::Arc<Job> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p.yml");
        std::fs::write(&path, format!("scrape_configs: [{{job_name: j, {text}}}]")).unwrap();
        Settings::read(&path).unwrap().jobs.remove(0)
    }

    fn found(labels: &[(&str, &str)], job: &Job) -> Result<Found, String> {
        target(&labels.iter().copied().collect(), job)
    }

    #[test]
    fn a_target_is_what_relabelling_makes_of_what_was_found() {
        let job = job("params: {module: [a, b], x: [' ']}, metrics_path: /probe, relabel_configs: [\
             {source_labels: [__address__], target_label: __param_module},\
             {source_labels: [__meta_zone], target_label: zone},\
             {target_label: __address__, replacement: 'prober:9115'},\
             {target_label: __scrape_interval__, replacement: 20s},\
             {source_labels: [zone], regex: none, action: drop}]");
        let Found::Target(target) = found(&[("__address__", "h:1"), ("__meta_zone", "z")], &job).unwrap()
        else {
            panic!("it is kept")
        };
        assert_eq!(target.url.as_str(), "http://prober:9115/probe?module=h%3A1&module=b&x=+");
        assert_eq!(target.labels.to_string(), "{instance=\"prober:9115\", job=\"j\", zone=\"z\"}");
        assert_eq!(target.interval.0, Duration::from_secs(20));
        assert_eq!(target.discovered.get("__meta_zone"), "z");
        let dropped = found(&[("__address__", "h:1"), ("__meta_zone", "none")], &job).unwrap();
        assert!(matches!(dropped, Found::Dropped(labels) if labels.get("__address__") == "h:1"));
    }

    #[test]
    fn what_is_no_target_is_refused() {
        let job =
            job("relabel_configs: [{source_labels: [a], target_label: __scrape_timeout__, regex: '(.+)'}]");
        for (labels, expected) in [
            (&[("b", "c")][..], "no address"),
            (&[("__address__", "h/x")], "not a valid hostname"),
            (&[("__address__", "h:1"), ("a", "2m")], "greater than scrape interval"),
            (&[("__address__", "h:1"), ("a", "0")], "cannot be 0"),
            (&[("__address__", "h:x")], "is no address"),
        ] {
            let error = found(labels, &job).unwrap_err();
            assert!(error.contains(expected), "{labels:?}: {error}");
        }
    }

    #[test]
    fn labels_in_conflict_are_exported_or_honored() {
        let target = Labels::new([("job", "j"), ("instance", "i")]);
        let pairs = [("__name__", "m"), ("job", "own"), ("exported_job", "x"), ("instance", "")];
        let scraped: LabelSet = pairs.into_iter().collect();
        let has = |name: &str| pairs.iter().any(|(own, _)| *own == name);
        let texts = |labels: LabelSet| {
            let texts: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
            texts.join(" ")
        };
        assert_eq!(
            texts(joined(&scraped, has, &target, false)),
            "__name__=m exported_exported_job=own exported_job=x instance=i job=j"
        );
        assert_eq!(texts(joined(&scraped, has, &target, true)), "__name__=m exported_job=x job=own");
    }
}
