//! The parts of Prometheus' configuration file that scraping needs, read and checked.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use luma_targets::{
    Authorization, BasicAuth, ClientSettings, FileDiscovery, Header, RelabelSettings, Relabeling, Secret,
    StaticTargets, TlsSettings, beside, duration, matching,
};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::exposition::{Format, Histograms, PROTOCOLS, Protocol};

/// How often targets are asked if nobody says so.
const INTERVAL: &str = "1m";
/// How long they may take if nobody says so.
const TIMEOUT: &str = "10s";
/// How long an answer may be, whatever is said.
const BODY_BYTES_MAX: usize = 128 << 20;
/// How many dropped targets of a job are shown if nobody says so.
const DROPPED_SHOWN: usize = 10_000;

/// What a configuration file says of scraping.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The jobs, in the order of the file.
    pub jobs: Vec<Arc<Job>>,
}

/// A job: targets that are asked in the same way.
#[derive(Debug)]
pub struct Job {
    /// Its name.
    pub name: String,
    /// What it was read from, by which a change is seen.
    source: Option<(JobText, Global)>,
    pub(crate) directory: PathBuf,
    pub(crate) interval: (Duration, String),
    pub(crate) timeout: (Duration, String),
    pub(crate) metrics_path: String,
    pub(crate) scheme: String,
    pub(crate) params: BTreeMap<String, Vec<String>>,
    pub(crate) honor_labels: bool,
    pub(crate) honor_timestamps: bool,
    pub(crate) track_timestamps_staleness: bool,
    pub(crate) compression: bool,
    pub(crate) protocols: Vec<Protocol>,
    pub(crate) fallback: Option<Format>,
    pub(crate) histograms: Histograms,
    pub(crate) limits: Limits,
    pub(crate) relabeling: Relabeling,
    pub(crate) metric_relabeling: Relabeling,
    pub(crate) client: ClientSettings,
    pub(crate) fixed: Vec<StaticTargets>,
    pub(crate) files: Vec<FileDiscovery>,
}

impl PartialEq for Job {
    fn eq(&self, other: &Self) -> bool {
        // Certificates may have changed where nothing else did.
        let same =
            (&self.name, &self.source, &self.directory) == (&other.name, &other.source, &other.directory);
        same && self.client.tls_config.is_none()
    }
}

/// Bounds of a job; 0 for none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of an answer, unpacked.
    pub body_bytes: usize,
    /// Samples of an answer after relabelling.
    pub samples: usize,
    /// Labels of a series.
    pub labels: usize,
    /// Characters of a label's name.
    pub label_name: usize,
    /// Characters of a label's value.
    pub label_value: usize,
    /// Targets of the job.
    pub targets: usize,
    /// Dropped targets that are shown.
    pub dropped_shown: usize,
}

#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct File {
    global: Option<Global>,
    scrape_configs: Option<Vec<JobText>>,
    scrape_config_files: Option<Vec<String>>,
    // What rules are read from.
    #[serde(rename = "rule_files")]
    _rule_files: Option<IgnoredAny>,
    #[serde(rename = "alerting")]
    _alerting: Option<IgnoredAny>,
}

#[derive(Debug, Clone, PartialEq, Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Global {
    scrape_interval: Option<String>,
    scrape_timeout: Option<String>,
    scrape_protocols: Option<Vec<String>>,
    scrape_native_histograms: Option<bool>,
    always_scrape_classic_histograms: Option<bool>,
    body_size_limit: Option<String>,
    sample_limit: Option<usize>,
    label_limit: Option<usize>,
    label_name_length_limit: Option<usize>,
    label_value_length_limit: Option<usize>,
    target_limit: Option<usize>,
    keep_dropped_targets: Option<usize>,
    #[serde(rename = "evaluation_interval")]
    _evaluation_interval: Option<IgnoredAny>,
    #[serde(rename = "rule_query_offset")]
    _rule_query_offset: Option<IgnoredAny>,
    #[serde(rename = "external_labels")]
    _external_labels: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct JobFile {
    scrape_configs: Option<Vec<JobText>>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct JobText {
    job_name: String,
    scrape_interval: Option<String>,
    scrape_timeout: Option<String>,
    metrics_path: Option<String>,
    scheme: Option<String>,
    params: Option<BTreeMap<String, Vec<String>>>,
    honor_labels: Option<bool>,
    honor_timestamps: Option<bool>,
    track_timestamps_staleness: Option<bool>,
    enable_compression: Option<bool>,
    scrape_protocols: Option<Vec<String>>,
    fallback_scrape_protocol: Option<String>,
    scrape_native_histograms: Option<bool>,
    always_scrape_classic_histograms: Option<bool>,
    /// The name of before Prometheus 3.
    scrape_classic_histograms: Option<bool>,
    body_size_limit: Option<String>,
    sample_limit: Option<usize>,
    label_limit: Option<usize>,
    label_name_length_limit: Option<usize>,
    label_value_length_limit: Option<usize>,
    target_limit: Option<usize>,
    keep_dropped_targets: Option<usize>,
    relabel_configs: Option<Vec<RelabelSettings>>,
    metric_relabel_configs: Option<Vec<RelabelSettings>>,
    static_configs: Option<Vec<StaticTargets>>,
    file_sd_configs: Option<Vec<FileDiscovery>>,
    basic_auth: Option<BasicAuth>,
    authorization: Option<Authorization>,
    bearer_token: Option<Secret>,
    bearer_token_file: Option<String>,
    tls_config: Option<TlsSettings>,
    follow_redirects: Option<bool>,
    enable_http2: Option<bool>,
    proxy_url: Option<String>,
    http_headers: Option<BTreeMap<String, Header>>,
}

impl Settings {
    /// Reads a file and those with more jobs that it names.
    ///
    /// # Errors
    /// What is wrong with one of them, and where.
    pub fn read(path: &Path) -> Result<Self, String> {
        let file: File = parsed(path)?;
        let within = |what: String| format!("{}: {what}", path.display());
        let directory = path.parent().unwrap_or(Path::new(""));
        let global = file.global.unwrap_or_default();
        let mut texts = file.scrape_configs.unwrap_or_default();
        for pattern in file.scrape_config_files.unwrap_or_default() {
            let found = matching(&beside(directory, &pattern))
                .map_err(|what| within(format!("{pattern}: {what}")))?;
            for path in found {
                texts.extend(parsed::<JobFile>(&path)?.scrape_configs.unwrap_or_default());
            }
        }
        let mut names = HashSet::new();
        let mut jobs = Vec::new();
        for text in texts {
            let name = text.job_name.clone();
            if !names.insert(name.clone()) {
                return Err(within(format!("found multiple scrape configs with job name {name:?}")));
            }
            let job = Job::new(text, &global, directory)
                .map_err(|what| within(format!("scrape_configs, job {name:?}: {what}")))?;
            jobs.push(Arc::new(job));
        }
        Ok(Self { jobs })
    }
}

fn parsed<T: for<'de> Deserialize<'de> + Default>(path: &Path) -> Result<T, String> {
    let within = |what: String| format!("{}: {what}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| within(error.to_string()))?;
    if text.trim().is_empty() {
        return Ok(T::default());
    }
    serde_norway::from_str(&text).map_err(|error| {
        within(format!(
            "{error} (of Prometheus' settings those of scraping, rules and alerting are taken; targets are found by \
             static_configs and file_sd_configs)"
        ))
    })
}

fn protocol(name: &str) -> Result<Protocol, String> {
    let known = PROTOCOLS.iter().find(|(own, ..)| *own == name);
    let names = PROTOCOLS.map(|(name, ..)| name).join(", ");
    known.copied().ok_or_else(|| format!("unknown scrape protocol {name}, supported: {names}"))
}

/// Bytes of a size such as `10MB`, in powers of two.
fn bytes(text: &str) -> Result<usize, String> {
    let wrong = || format!("body_size_limit: {text:?} is no size such as 10MB");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).ok_or_else(wrong)?;
    let number: usize =
        if number.is_empty() { return Err(wrong()) } else { number.parse().map_err(|_| wrong())? };
    let shift = match unit {
        "" if number == 0 => 0,
        "B" => 0,
        "KB" | "KiB" | "K" => 10,
        "MB" | "MiB" | "M" => 20,
        "GB" | "GiB" | "G" => 30,
        _ => return Err(wrong()),
    };
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

impl Job {
    /// The server's own job, without targets of its own.
    pub(crate) fn own(name: &str, interval: Duration) -> Self {
        let text = |duration: Duration| format!("{}ms", duration.as_millis());
        Self {
            name: name.to_owned(),
            source: None,
            directory: PathBuf::new(),
            interval: (interval, text(interval)),
            timeout: (interval, text(interval)),
            metrics_path: "/metrics".to_owned(),
            scheme: "http".to_owned(),
            params: BTreeMap::new(),
            honor_labels: false,
            honor_timestamps: true,
            track_timestamps_staleness: false,
            compression: false,
            protocols: Vec::new(),
            fallback: None,
            histograms: Histograms { native: true, classic: false },
            limits: Limits { body_bytes: BODY_BYTES_MAX, ..Limits::default() },
            relabeling: Relabeling::default(),
            metric_relabeling: Relabeling::default(),
            client: ClientSettings::default(),
            fixed: Vec::new(),
            files: Vec::new(),
        }
    }

    fn new(text: JobText, global: &Global, directory: &Path) -> Result<Self, String> {
        let source = (text.clone(), global.clone());
        if text.job_name.is_empty() {
            return Err("job_name is empty".to_owned());
        }
        let (interval, timeout) = times(&text, global)?;
        let scheme = text.scheme.unwrap_or_else(|| "http".to_owned());
        if !matches!(scheme.as_str(), "http" | "https") {
            return Err(format!("the scheme {scheme:?} is neither http nor https"));
        }
        let native = text.scrape_native_histograms.or(global.scrape_native_histograms).unwrap_or(false);
        let classic = text.always_scrape_classic_histograms.or(text.scrape_classic_histograms);
        let classic = classic.or(global.always_scrape_classic_histograms).unwrap_or(false);
        let body = text.body_size_limit.as_deref().or(global.body_size_limit.as_deref());
        let body = match body.map_or(Ok(0), bytes)? {
            0 => BODY_BYTES_MAX,
            limit => limit.min(BODY_BYTES_MAX),
        };
        let limit = |own: Option<usize>, all: Option<usize>| own.or(all).unwrap_or(0);
        let limits = Limits {
            body_bytes: body,
            samples: limit(text.sample_limit, global.sample_limit),
            labels: limit(text.label_limit, global.label_limit),
            label_name: limit(text.label_name_length_limit, global.label_name_length_limit),
            label_value: limit(text.label_value_length_limit, global.label_value_length_limit),
            targets: limit(text.target_limit, global.target_limit),
            dropped_shown: match limit(text.keep_dropped_targets, global.keep_dropped_targets) {
                0 => DROPPED_SHOWN,
                shown => shown,
            },
        };
        let relabeling = |name: &str, settings: Option<Vec<RelabelSettings>>| {
            Relabeling::new(&settings.unwrap_or_default()).map_err(|what| format!("{name}: {what}"))
        };
        let job = Self {
            name: text.job_name,
            source: Some(source),
            directory: directory.to_owned(),
            interval,
            timeout,
            metrics_path: text.metrics_path.unwrap_or_else(|| "/metrics".to_owned()),
            scheme,
            params: text.params.unwrap_or_default(),
            honor_labels: text.honor_labels.unwrap_or(false),
            honor_timestamps: text.honor_timestamps.unwrap_or(true),
            track_timestamps_staleness: text.track_timestamps_staleness.unwrap_or(false),
            compression: text.enable_compression.unwrap_or(true),
            protocols: protocols(
                text.scrape_protocols.as_ref().or(global.scrape_protocols.as_ref()),
                native,
            )?,
            fallback: match &text.fallback_scrape_protocol {
                Some(name) => {
                    let (.., format) =
                        protocol(name).map_err(|what| format!("fallback_scrape_protocol: {what}"))?;
                    Some(format)
                }
                None => None,
            },
            histograms: Histograms { native, classic },
            limits,
            relabeling: relabeling("relabel_configs", text.relabel_configs)?,
            metric_relabeling: relabeling("metric_relabel_configs", text.metric_relabel_configs)?,
            client: ClientSettings {
                basic_auth: text.basic_auth,
                authorization: text.authorization,
                bearer_token: text.bearer_token,
                bearer_token_file: text.bearer_token_file,
                tls_config: text.tls_config,
                follow_redirects: text.follow_redirects,
                enable_http2: text.enable_http2,
                proxy_url: text.proxy_url,
                http_headers: text.http_headers,
            },
            fixed: text.static_configs.unwrap_or_default(),
            files: text.file_sd_configs.unwrap_or_default(),
        };
        // What is wrong with these is said now and not when they are used.
        job.client.client(directory)?;
        job.discovery()?;
        Ok(job)
    }

    /// What finds its targets.
    pub(crate) fn discovery(&self) -> Result<luma_targets::Discovery, String> {
        luma_targets::Discovery::new(&self.fixed, &self.files, &self.directory)
    }
}

type Named = (Duration, String);

/// How often targets are asked and how long they may take, with the texts that labels have of it.
fn times(text: &JobText, global: &Global) -> Result<(Named, Named), String> {
    let given = text.scrape_interval.as_deref();
    let interval = given.or(global.scrape_interval.as_deref()).unwrap_or(INTERVAL);
    let every = duration("scrape_interval", interval)?;
    if every.is_zero() {
        return Err("scrape_interval must not be 0".to_owned());
    }
    let own = text.scrape_timeout.as_deref().or(global.scrape_timeout.as_deref());
    let within = duration("scrape_timeout", own.unwrap_or(TIMEOUT))?;
    if within > every && text.scrape_timeout.is_some() {
        return Err("scrape timeout greater than scrape interval".to_owned());
    }
    // What is said for all jobs is no more than the interval of each.
    let (within, shown) = if within > every { (every, interval) } else { (within, own.unwrap_or(TIMEOUT)) };
    if within.is_zero() {
        return Err("scrape_timeout must not be 0".to_owned());
    }
    Ok(((every, interval.to_owned()), (within, shown.to_owned())))
}

fn protocols(names: Option<&Vec<String>>, native: bool) -> Result<Vec<Protocol>, String> {
    let Some(names) = names else {
        let mut all = PROTOCOLS.to_vec();
        // Only messages have native histograms.
        let messages = all.pop();
        if native {
            all.splice(0..0, messages);
        }
        return Ok(all);
    };
    if names.is_empty() {
        return Err("scrape_protocols is empty".to_owned());
    }
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(format!("scrape_protocols: duplicated protocol {name}"));
        }
    }
    names.iter().map(|name| protocol(name).map_err(|what| format!("scrape_protocols: {what}"))).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(text: &str) -> Result<Settings, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p.yml");
        std::fs::write(&path, text).unwrap();
        std::fs::write(directory.path().join("more.yml"), "scrape_configs: [{job_name: more}]").unwrap();
        Settings::read(&path)
    }

    #[test]
    fn a_job_has_what_it_says_and_else_what_all_have() {
        let settings = read(
            "global: {scrape_interval: 5s, sample_limit: 7, evaluation_interval: 1m}\n\
             rule_files: [a.yml]\n\
             scrape_config_files: ['m*.yml']\n\
             scrape_configs:\n\
             - job_name: a\n  scrape_interval: 20s\n  body_size_limit: 2KB\n  params: {module: [x, y]}\n\
             \x20 scrape_native_histograms: true\n  static_configs: [{targets: ['h:1'], labels: {n: 5}}]\n\
             \x20 basic_auth: {username: u, password: 123}\n- job_name: b\n",
        )
        .unwrap();
        let [a, b, more] = &settings.jobs[..] else { unreachable!("three jobs") };
        assert_eq!((a.interval.0, a.timeout.0), (Duration::from_secs(20), Duration::from_secs(10)));
        assert_eq!((b.interval.0, b.timeout.0), (Duration::from_secs(5), Duration::from_secs(5)));
        assert_eq!((a.limits.samples, a.limits.body_bytes), (7, 2048));
        assert_eq!(a.protocols.first().unwrap().0, "PrometheusProto");
        assert_eq!(b.protocols.first().unwrap().0, "OpenMetricsText1.0.0");
        assert_eq!(a.discovery().unwrap().targets().next().unwrap().get("n"), "5");
        assert_eq!(more.name, "more");
    }

    #[test]
    fn what_is_wrong_is_refused_by_name() {
        for (job, expected) in [
            ("{job_name: a, kubernetes_sd_configs: []}", "kubernetes_sd_configs"),
            ("{job_name: a, oauth2: {}}", "oauth2"),
            ("{job_name: ''}", "job_name is empty"),
            ("{job_name: a, scrape_interval: 1s, scrape_timeout: 2s}", "greater than scrape interval"),
            ("{job_name: a, scrape_interval: 0s}", "must not be 0"),
            ("{job_name: a, scheme: ftp}", "neither http nor https"),
            ("{job_name: a, scrape_protocols: [X]}", "unknown scrape protocol X"),
            ("{job_name: a, scrape_protocols: [PrometheusProto, PrometheusProto]}", "duplicated"),
            ("{job_name: a, body_size_limit: 5 parsecs}", "no size"),
            ("{job_name: a, relabel_configs: [{action: hashmod, target_label: x}]}", "relabel_configs: "),
            ("{job_name: a, tls_config: {ca_file: none.pem}}", "none.pem"),
            ("{job_name: a, file_sd_configs: [{files: [x.txt]}]}", "x.txt"),
            ("{job_name: a}, {job_name: a}", "multiple scrape configs"),
        ] {
            let error = read(&format!("scrape_configs: [{job}]")).unwrap_err();
            assert!(error.contains(expected), "{job}: {error}");
        }
        assert!(read("remote_write: []").unwrap_err().contains("remote_write"));
    }
}
