//! Who is told of alerts: Alertmanagers as Prometheus' configuration names them, and how they are spoken to.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use luma_promql::Labels;
use luma_targets::{
    Authorization, BasicAuth, Client, ClientSettings, Discovery, FileDiscovery, Header, LabelSet,
    RelabelSettings, Relabeling, Secret, StaticTargets, TlsSettings, Url, duration,
};
use parking_lot::Mutex;
use serde::Deserialize;
use tracing::warn;

/// How long an Alertmanager may take if nobody says so.
const TIMEOUT: &str = "10s";
/// How often files that name Alertmanagers are looked at.
const LOOK: Duration = Duration::from_secs(2);
/// Where Alertmanager takes alerts.
const PATH: &str = "/api/v2/alerts";

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct AlertingText {
    alert_relabel_configs: Option<Vec<RelabelSettings>>,
    alertmanagers: Option<Vec<AlertmanagersText>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AlertmanagersText {
    scheme: Option<String>,
    path_prefix: Option<String>,
    timeout: Option<String>,
    api_version: Option<String>,
    relabel_configs: Option<Vec<RelabelSettings>>,
    alert_relabel_configs: Option<Vec<RelabelSettings>>,
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
    http_headers: Option<std::collections::BTreeMap<String, Header>>,
}

/// Alertmanagers, and what is changed of alerts before they are told.
#[derive(Debug, Clone, Default)]
pub struct Alertmanagers {
    groups: Arc<[Group]>,
    relabeling: Arc<Relabeling>,
}

/// Alertmanagers that are spoken to in the same way.
#[derive(Debug)]
struct Group {
    scheme: String,
    path: String,
    timeout: Duration,
    relabeling: Relabeling,
    alert_relabeling: Relabeling,
    settings: ClientSettings,
    client: Client,
    directory: PathBuf,
    found: Mutex<Found>,
}

#[derive(Debug)]
struct Found {
    discovery: Discovery,
    looked: Option<Instant>,
}

/// An Alertmanager.
#[derive(Debug, Clone)]
pub(crate) struct Alertmanager {
    pub url: Url,
    pub client: Client,
    pub timeout: Duration,
    group: usize,
}

impl Alertmanagers {
    pub(crate) fn new(text: AlertingText, directory: &Path) -> Result<Self, String> {
        let relabeling = relabeling("alert_relabel_configs", text.alert_relabel_configs)?;
        let groups = text.alertmanagers.unwrap_or_default().into_iter();
        let groups: Result<Vec<Group>, String> = groups.map(|text| Group::new(text, directory)).collect();
        let groups = groups.map_err(|what| format!("alertmanagers: {what}"))?;
        Ok(Self { groups: groups.into(), relabeling: Arc::new(relabeling) })
    }

    /// Whether there may be any.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Where they take alerts. May read files.
    pub fn addresses(&self) -> Vec<String> {
        self.all().iter().map(|one| one.url.to_string()).collect()
    }

    /// All of them. May read files.
    pub(crate) fn all(&self) -> Vec<Alertmanager> {
        self.groups.iter().enumerate().flat_map(|(at, group)| group.all(at)).collect()
    }

    /// What is told of an alert's labels; nothing if relabelling drops it.
    pub(crate) fn relabelled(&self, labels: &Labels) -> Option<Labels> {
        relabelled(&self.relabeling, labels)
    }

    /// The same for one of them.
    pub(crate) fn relabelled_for(&self, one: &Alertmanager, labels: &Labels) -> Option<Labels> {
        match self.groups.get(one.group) {
            Some(group) => relabelled(&group.alert_relabeling, labels),
            None => Some(labels.clone()),
        }
    }
}

fn relabelled(relabeling: &Relabeling, labels: &Labels) -> Option<Labels> {
    if relabeling.is_empty() {
        return Some(labels.clone());
    }
    let mut changed: LabelSet = labels.iter().collect();
    (relabeling.apply(&mut changed) && !changed.is_empty()).then(|| Labels::new(changed.iter()))
}

fn relabeling(name: &str, settings: Option<Vec<RelabelSettings>>) -> Result<Relabeling, String> {
    Relabeling::new(&settings.unwrap_or_default()).map_err(|what| format!("{name}: {what}"))
}

impl Group {
    fn new(text: AlertmanagersText, directory: &Path) -> Result<Self, String> {
        let scheme = text.scheme.unwrap_or_else(|| "http".to_owned());
        if !matches!(scheme.as_str(), "http" | "https") {
            return Err(format!("the scheme {scheme:?} is neither http nor https"));
        }
        if let Some(version) = text.api_version.filter(|version| version != "v2") {
            return Err(format!("api_version {version:?} is not there any more; it is v2"));
        }
        let prefix = text.path_prefix.as_deref().unwrap_or_default().trim_matches('/');
        let path = if prefix.is_empty() { PATH.to_owned() } else { format!("/{prefix}{PATH}") };
        let settings = ClientSettings {
            basic_auth: text.basic_auth,
            authorization: text.authorization,
            bearer_token: text.bearer_token,
            bearer_token_file: text.bearer_token_file,
            tls_config: text.tls_config,
            follow_redirects: text.follow_redirects,
            enable_http2: text.enable_http2,
            proxy_url: text.proxy_url,
            http_headers: text.http_headers,
        };
        let fixed = text.static_configs.unwrap_or_default();
        let discovery = Discovery::new(&fixed, &text.file_sd_configs.unwrap_or_default(), directory)?;
        Ok(Self {
            scheme,
            path,
            timeout: duration("timeout", text.timeout.as_deref().unwrap_or(TIMEOUT))?,
            relabeling: relabeling("relabel_configs", text.relabel_configs)?,
            alert_relabeling: relabeling("alert_relabel_configs", text.alert_relabel_configs)?,
            client: settings.client(directory)?,
            settings,
            directory: directory.to_owned(),
            found: Mutex::new(Found { discovery, looked: None }),
        })
    }

    fn all(&self, at: usize) -> Vec<Alertmanager> {
        let mut found = self.found.lock();
        if found.looked.is_none_or(|looked| looked.elapsed() > LOOK) {
            found.discovery.refresh();
            found.looked = Some(Instant::now());
        }
        let one = |labels: &LabelSet| {
            let mut labels = labels.clone();
            labels.set("__scheme__", &self.scheme);
            labels.set("__alerts_path__", &self.path);
            if !self.relabeling.apply(&mut labels) {
                return None;
            }
            let of = |name| labels.get(name);
            let text = format!("{}://{}{}", of("__scheme__"), of("__address__"), of("__alerts_path__"));
            let made = Url::parse(&text).map_err(|error| error.to_string()).and_then(|url| {
                let client = self.settings.client_for(&self.client, &url, &self.directory)?;
                Ok(Alertmanager { url, client, timeout: self.timeout, group: at })
            });
            made.inspect_err(|what| warn!(address = text, what, "an Alertmanager can't be told of alerts"))
                .ok()
        };
        found.discovery.targets().filter_map(one).collect()
    }
}
