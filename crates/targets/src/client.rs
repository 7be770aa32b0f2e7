//! HTTP clients as the configuration describes them.
//!
//! Passwords and tokens in files are read with every request, so they may change; certificates when the configuration is read.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Certificate, Identity, Method, Proxy, RequestBuilder, Url, redirect, tls};
use serde::Deserialize;

use crate::files::beside;

/// How many redirects are followed.
const REDIRECTS_MAX: usize = 10;
/// How long connecting may take whatever the request may.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a file with a password or token may be.
const SECRET_BYTES_MAX: u64 = 1 << 20;

/// A text that is not shown.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("<secret>")
    }
}

/// A name and a password.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BasicAuth {
    #[serde(default)]
    username: String,
    username_file: Option<String>,
    password: Option<Secret>,
    password_file: Option<String>,
}

/// The `Authorization` header.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Authorization {
    #[serde(rename = "type")]
    kind: Option<String>,
    credentials: Option<Secret>,
    credentials_file: Option<String>,
}

/// How the other side is known, and what it knows us by.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    ca: Option<String>,
    ca_file: Option<String>,
    cert: Option<String>,
    cert_file: Option<String>,
    key: Option<Secret>,
    key_file: Option<String>,
    server_name: Option<String>,
    #[serde(default)]
    insecure_skip_verify: bool,
    min_version: Option<String>,
    max_version: Option<String>,
}

/// How other programs are spoken to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClientSettings {
    /// A name and a password.
    pub basic_auth: Option<BasicAuth>,
    /// The `Authorization` header.
    pub authorization: Option<Authorization>,
    /// A token, the older way to say it.
    pub bearer_token: Option<Secret>,
    /// A file with one.
    pub bearer_token_file: Option<String>,
    /// TLS.
    pub tls_config: Option<TlsSettings>,
    /// Whether redirects are followed; they are unless this says no.
    pub follow_redirects: Option<bool>,
    /// Whether HTTP/2 may be spoken; it is unless this says no.
    pub enable_http2: Option<bool>,
    /// A proxy that requests go through.
    pub proxy_url: Option<String>,
    /// More headers, by name.
    pub http_headers: Option<std::collections::BTreeMap<String, Header>>,
}

/// Values of a header.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    #[serde(default)]
    values: Vec<String>,
    #[serde(default)]
    secrets: Vec<Secret>,
}

/// Where a text comes from.
#[derive(Debug, Clone)]
enum Text {
    Here(String),
    File(PathBuf),
}

impl Text {
    fn read(&self) -> Result<String, String> {
        match self {
            Self::Here(text) => Ok(text.clone()),
            Self::File(path) => {
                let within = |what: &dyn std::fmt::Display| format!("{}: {what}", path.display());
                let length = std::fs::metadata(path).map_err(|error| within(&error))?.len();
                if length > SECRET_BYTES_MAX {
                    return Err(within(&format!(
                        "it has {length} bytes, over the limit of {SECRET_BYTES_MAX}"
                    )));
                }
                let text = std::fs::read_to_string(path).map_err(|error| within(&error))?;
                Ok(text.trim().to_owned())
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Credentials {
    None,
    Basic { user: Text, password: Text },
    Header { kind: String, credentials: Text },
}

/// Sends requests as the configuration says.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    credentials: Credentials,
    headers: HeaderMap,
    /// Who the other side has to be, if not who the address says.
    server_name: Option<String>,
}

/// One of two that may not both be given.
fn either(
    field: &str,
    here: Option<&Secret>,
    file: Option<&String>,
    directory: &Path,
) -> Result<Option<Text>, String> {
    match (here, file) {
        (Some(_), Some(_)) => Err(format!("at most one of {field} & {field}_file must be configured")),
        (Some(Secret(text)), None) => Ok(Some(Text::Here(text.clone()))),
        (None, Some(file)) => Ok(Some(Text::File(beside(directory, file)))),
        (None, None) => Ok(None),
    }
}

fn plain(text: Option<&String>) -> Option<Secret> {
    text.cloned().map(Secret)
}

impl ClientSettings {
    fn credentials(&self, directory: &Path) -> Result<Credentials, String> {
        let token =
            either("bearer_token", self.bearer_token.as_ref(), self.bearer_token_file.as_ref(), directory)?;
        let ways = [self.basic_auth.is_some(), self.authorization.is_some(), token.is_some()];
        if ways.into_iter().filter(|given| *given).count() > 1 {
            let what = "at most one of basic_auth, authorization, bearer_token & bearer_token_file";
            return Err(format!("{what} must be configured"));
        }
        if let Some(basic) = &self.basic_auth {
            let user = Some(Secret(basic.username.clone())).filter(|Secret(name)| !name.is_empty());
            let user = either("username", user.as_ref(), basic.username_file.as_ref(), directory)?;
            let password =
                either("password", basic.password.as_ref(), basic.password_file.as_ref(), directory)?;
            let empty = || Text::Here(String::new());
            return Ok(Credentials::Basic {
                user: user.unwrap_or_else(empty),
                password: password.unwrap_or_else(empty),
            });
        }
        if let Some(own) = &self.authorization {
            let kind = own.kind.as_deref().unwrap_or("Bearer").trim().to_owned();
            if kind.eq_ignore_ascii_case("basic") {
                return Err(
                    "authorization type cannot be set to \"basic\", use \"basic_auth\" instead".to_owned()
                );
            }
            let given =
                either("credentials", own.credentials.as_ref(), own.credentials_file.as_ref(), directory)?;
            return Ok(match given {
                Some(credentials) => Credentials::Header { kind, credentials },
                None => Credentials::None,
            });
        }
        Ok(match token {
            Some(credentials) => Credentials::Header { kind: "Bearer".to_owned(), credentials },
            None => Credentials::None,
        })
    }

    /// Checks what is said, and reads certificates; files are named from a directory on.
    ///
    /// # Errors
    /// What is wrong.
    pub fn client(&self, directory: &Path) -> Result<Client, String> {
        self.client_at(None, directory)
    }

    /// A client of one address, for a configuration that says who is there (`server_name`).
    fn client_at(&self, address: Option<&str>, directory: &Path) -> Result<Client, String> {
        let redirects = if self.follow_redirects.unwrap_or(true) {
            redirect::Policy::limited(REDIRECTS_MAX)
        } else {
            redirect::Policy::none()
        };
        let mut builder = reqwest::Client::builder().redirect(redirects).connect_timeout(CONNECT_TIMEOUT);
        builder = match &self.proxy_url {
            Some(url) => builder.proxy(Proxy::all(url).map_err(|error| format!("proxy_url: {error}"))?),
            None => builder.no_proxy(),
        };
        if self.enable_http2 == Some(false) {
            builder = builder.http1_only();
        }
        if let Some(tls) = &self.tls_config {
            builder = tls.put_into(builder, directory).map_err(|what| format!("tls_config: {what}"))?;
        }
        if let Some(address) = address {
            builder = builder.dns_resolver(std::sync::Arc::new(Always(address.to_owned())));
        }
        let mut headers = HeaderMap::new();
        for (name, header) in self.http_headers.iter().flatten() {
            let own =
                HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{name:?} is no header"))?;
            let secrets = header.secrets.iter().map(|Secret(text)| text);
            for text in header.values.iter().chain(secrets) {
                let value = HeaderValue::from_str(text).map_err(|_| format!("{name}: it has no text"))?;
                headers.append(own.clone(), value);
            }
        }
        Ok(Client {
            http: builder.build().map_err(|error| explained(&error))?,
            credentials: self.credentials(directory)?,
            headers,
            server_name: self.tls_config.as_ref().and_then(|tls| tls.server_name.clone()),
        })
    }

    /// The client for requests to one address: another one only if the configuration says who is there.
    ///
    /// # Errors
    /// When certificates can't be read.
    pub fn client_for(&self, shared: &Client, url: &Url, directory: &Path) -> Result<Client, String> {
        match (&shared.server_name, url.host_str(), url.scheme()) {
            (Some(_), Some(host), "https") => self.client_at(Some(host), directory),
            _ => Ok(shared.clone()),
        }
    }
}

/// Everything is at one host, whatever it is called.
struct Always(String);

impl Resolve for Always {
    fn resolve(&self, _: Name) -> Resolving {
        let host = self.0.trim_matches(['[', ']']).to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            let found: Vec<SocketAddr> = found.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

impl TlsSettings {
    fn put_into(
        &self,
        mut builder: reqwest::ClientBuilder,
        directory: &Path,
    ) -> Result<reqwest::ClientBuilder, String> {
        let version = |text: &Option<String>| match text.as_deref() {
            None => Ok(None),
            Some("TLS12") => Ok(Some(tls::Version::TLS_1_2)),
            Some("TLS13") => Ok(Some(tls::Version::TLS_1_3)),
            Some(other) => Err(format!("{other} is no version of TLS that is spoken; TLS12 and TLS13 are")),
        };
        if let Some(version) = version(&self.min_version)? {
            builder = builder.min_tls_version(version);
        }
        if let Some(version) = version(&self.max_version)? {
            builder = builder.max_tls_version(version);
        }
        if let Some(issuers) =
            either("ca", plain(self.ca.as_ref()).as_ref(), self.ca_file.as_ref(), directory)?
        {
            let issuers = Certificate::from_pem_bundle(issuers.read()?.as_bytes())
                .map_err(|error| format!("the issuers' certificates: {}", explained(&error)))?;
            builder = builder.tls_built_in_root_certs(false);
            for issuer in issuers {
                builder = builder.add_root_certificate(issuer);
            }
        }
        let certificate =
            either("cert", plain(self.cert.as_ref()).as_ref(), self.cert_file.as_ref(), directory)?;
        let key = either("key", self.key.as_ref(), self.key_file.as_ref(), directory)?;
        match (certificate, key) {
            (Some(certificate), Some(key)) => {
                let both = format!("{}\n{}\n", certificate.read()?, key.read()?);
                let identity = Identity::from_pem(both.as_bytes())
                    .map_err(|error| format!("the certificate and its key: {}", explained(&error)))?;
                builder = builder.identity(identity);
            }
            (None, None) => {}
            _ => return Err("exactly one of key or key_file must be configured when a client certificate is, and the other way round".to_owned()),
        }
        Ok(builder.danger_accept_invalid_certs(self.insecure_skip_verify))
    }
}

impl Client {
    /// A request with what the configuration adds.
    ///
    /// # Errors
    /// When a password or token can't be read.
    pub fn request(&self, method: Method, mut url: Url) -> Result<RequestBuilder, String> {
        let mut headers = self.headers.clone();
        if let Some(name) = self.server_name.as_ref().filter(|_| url.scheme() == "https") {
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            let host = format!("{}{port}", url.host_str().unwrap_or_default());
            headers.insert(HOST, HeaderValue::from_str(&host).map_err(|error| error.to_string())?);
            url.set_host(Some(name)).map_err(|error| format!("server_name {name:?}: {error}"))?;
        }
        let own = match &self.credentials {
            Credentials::None => None,
            Credentials::Basic { user, password } => {
                let pair = format!("{}:{}", user.read()?, password.read()?);
                Some(format!("Basic {}", STANDARD.encode(pair)))
            }
            Credentials::Header { kind, credentials } => Some(format!("{kind} {}", credentials.read()?)),
        };
        if let Some(own) = own {
            let mut value = HeaderValue::from_str(&own)
                .map_err(|_| "the credentials are no text of a header".to_owned())?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(self.http.request(method, url).headers(headers))
    }
}

/// An error with its reasons.
pub fn explained(error: &dyn std::error::Error) -> String {
    let mut out = error.to_string();
    let mut next = error.source();
    while let Some(reason) = next {
        let text = reason.to_string();
        if !out.contains(&text) {
            out += ": ";
            out += &text;
        }
        next = reason.source();
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn authorization(settings: &ClientSettings, directory: &Path) -> String {
        let client = settings.client(directory).unwrap();
        let request = client.request(Method::GET, Url::parse("http://h:1/m").unwrap()).unwrap();
        let request = request.build().unwrap();
        request
            .headers()
            .get(AUTHORIZATION)
            .map(|value| value.to_str().unwrap().to_owned())
            .unwrap_or_default()
    }

    #[test]
    fn credentials_come_from_the_configuration_or_from_files_that_may_change() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("p"), "secret\n").unwrap();
        let basic: BasicAuth = serde_norway::from_str("{username: luma, password_file: p}").unwrap();
        let settings = ClientSettings { basic_auth: Some(basic), ..ClientSettings::default() };
        assert_eq!(authorization(&settings, directory.path()), "Basic bHVtYTpzZWNyZXQ=");
        let token: Authorization = serde_norway::from_str("{credentials_file: p}").unwrap();
        let settings = ClientSettings { authorization: Some(token), ..ClientSettings::default() };
        assert_eq!(authorization(&settings, directory.path()), "Bearer secret");
        std::fs::write(directory.path().join("p"), "other").unwrap();
        assert_eq!(authorization(&settings, directory.path()), "Bearer other");
        assert!(!format!("{:?}", Secret("secret".into())).contains("secret\""));
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let two = ClientSettings {
            basic_auth: Some(BasicAuth::default()),
            bearer_token: Some(Secret("x".into())),
            ..ClientSettings::default()
        };
        assert!(two.client(Path::new("")).unwrap_err().contains("at most one of"));
        for (tls, expected) in [
            ("{cert_file: c.pem}", "client certificate"),
            ("{ca_file: none.pem}", "none.pem"),
            ("{ca: x, ca_file: y}", "at most one of ca"),
            ("{min_version: TLS10}", "TLS10"),
        ] {
            let tls_config = serde_norway::from_str(tls).unwrap();
            let settings = ClientSettings { tls_config: Some(tls_config), ..ClientSettings::default() };
            let error = settings.client(Path::new("")).unwrap_err();
            assert!(error.contains(expected), "{tls}: {error}");
        }
    }
}
