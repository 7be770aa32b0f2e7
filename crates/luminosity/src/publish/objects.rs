//! Publication to an object store: S3 and what speaks its protocol, or any store of the crate `object_store`.
//!
//! An object is shown once it was sent as a whole, which is what stores promise; large ones are sent in
//! parts. There is no lock: the store that is published from has one, so publish to one place from one store.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, MultipartUpload, ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions,
    PutPayload, RetryConfig,
};
use parking_lot::Mutex;
use tokio::runtime::Runtime;

use super::{Content, Target};
use crate::error::{Error, Result};

/// Bytes of a part; S3 takes no smaller ones but the last.
const PART_BYTES: usize = 5 << 20;
/// How long a request is tried again.
const RETRY: Duration = Duration::from_secs(30);

/// A place in an object store.
#[derive(Clone, Debug)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    shown: String,
}

impl Objects {
    /// A place in S3, such as `s3://bucket/sitemaps`, or in what speaks its protocol (MinIO, R2, Ceph,
    /// Google's interoperability). Keys, region and endpoint come from the environment:
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT_URL` and their kin.
    ///
    /// # Errors
    /// When it is no such URL, or the environment does not suffice.
    pub fn at(url: &str) -> Result<Self> {
        let failed = |reason: String| Error::Settings(format!("{url}: {reason}"));
        let parsed = url::Url::parse(url).map_err(|error| failed(error.to_string()))?;
        if !matches!(parsed.scheme(), "s3" | "s3a") || parsed.host_str().is_none() {
            return Err(failed(
                "write s3://bucket/prefix; other stores are reached by S3's protocol".to_owned(),
            ));
        }
        // Who names an endpoint without TLS means it.
        let plain = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"]
            .iter()
            .any(|name| std::env::var(name).is_ok_and(|endpoint| endpoint.starts_with("http://")));
        let store = AmazonS3Builder::from_env()
            .with_url(url)
            .with_allow_http(plain)
            .with_retry(RetryConfig { retry_timeout: RETRY, ..RetryConfig::default() })
            .build()
            .map_err(|error| failed(error.to_string()))?;
        Self::new(Arc::new(store), parsed.path(), url)
    }

    /// A place in any store; `shown` is what messages call it.
    ///
    /// # Errors
    /// When the prefix is no path.
    pub fn new(store: Arc<dyn ObjectStore>, prefix: &str, shown: &str) -> Result<Self> {
        let prefix = Path::from_url_path(prefix.trim_matches('/'))
            .map_err(|error| Error::Settings(format!("{shown}: {error}")))?;
        Ok(Self { store, prefix, shown: shown.trim_end_matches('/').to_owned() })
    }
}

/// One publication to a store.
pub(super) struct Uploads {
    objects: Objects,
    /// What is there, as it was before.
    lengths: Mutex<HashMap<String, u64>>,
    runtime: Option<Runtime>,
}

impl Drop for Uploads {
    fn drop(&mut self) {
        // Waiting would not be allowed on a thread of another runtime; nothing is under way any more.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Uploads {
    /// Looks what is there.
    pub(super) fn new(objects: &Objects) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("lux-upload")
            .enable_all()
            .build()
            .map_err(|error| Error::io("a runtime".as_ref(), error))?;
        let made = Self { objects: objects.clone(), lengths: Mutex::default(), runtime: Some(runtime) };
        let (store, prefix) = (Arc::clone(&objects.store), objects.prefix.clone());
        // Not what lies deeper: it is not from here.
        let listed = made.wait("", async move {
            store.list_with_delimiter(Some(&prefix)).await.map(|found| found.objects)
        })?;
        made.lengths.lock().extend(
            listed.into_iter().filter_map(|found| Some((found.location.filename()?.to_owned(), found.size))),
        );
        Ok(made)
    }

    fn path(&self, name: &str) -> Path {
        self.objects.prefix.clone().join(name)
    }

    fn failed(&self, name: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        let error = error.into();
        // Without keys the machine's role is asked for, which few machines have.
        let keys =
            ["AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"];
        let hint = keys.iter().all(|name| std::env::var_os(name).is_none());
        let error = if hint && error.to_string().contains("169.254.") {
            format!("no keys: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY ({error})").into()
        } else {
            error
        };
        Error::io(&PathBuf::from(format!("{}/{name}", self.objects.shown)), io::Error::other(error))
    }

    /// Waits for the store, on whatever thread this is.
    fn wait<T: Send + 'static>(
        &self,
        name: &str,
        work: impl Future<Output = object_store::Result<T>> + Send + 'static,
    ) -> Result<T> {
        let runtime = self.runtime.as_ref().ok_or(Error::Closed)?;
        let (tell, told) = sync_channel(1);
        runtime.spawn(async move { drop(tell.send(work.await)) });
        told.recv().map_err(|_| Error::Closed)?.map_err(|error| self.failed(name, error))
    }
}

/// What browsers and crawlers are told of a file.
fn attributes(name: &str) -> Attributes {
    let kind = match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("gz") => "application/gzip",
        Some("xml") => "application/xml; charset=utf-8",
        Some("xsl") => "text/xsl; charset=utf-8",
        Some("json") => "application/json",
        _ => "text/plain; charset=utf-8",
    };
    Attributes::from_iter([(Attribute::ContentType, kind)])
}

impl Target for Uploads {
    fn begin(&self) -> Result<Box<dyn Send>> {
        Ok(Box::new(()))
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        if self.length(name).is_none() {
            return Ok(None);
        }
        let (store, path) = (Arc::clone(&self.objects.store), self.path(name));
        let bytes = self.wait(name, async move {
            match store.get(&path).await {
                Ok(found) => found.bytes().await.map(Some),
                Err(object_store::Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        })?;
        Ok(bytes.map(|bytes| bytes.to_vec()))
    }

    fn length(&self, name: &str) -> Option<u64> {
        self.lengths.lock().get(name).copied()
    }

    fn put(&self, name: &str, content: Content<'_>) -> Result<u64> {
        let mut upload = Upload { uploads: self, name, buffer: Vec::new(), parts: None, bytes: 0 };
        let sent =
            content(&mut upload).map_err(|error| self.failed(name, error)).and_then(|()| upload.finish());
        if sent.is_err() {
            upload.give_up();
        }
        let bytes = sent?;
        self.lengths.lock().insert(name.to_owned(), bytes);
        Ok(bytes)
    }

    fn settle(&self) -> Result<()> {
        // What a store acknowledged is durable.
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<()> {
        let (store, path) = (Arc::clone(&self.objects.store), self.path(name));
        self.wait(name, async move {
            match store.delete(&path).await {
                Err(object_store::Error::NotFound { .. }) => Ok(()),
                other => other,
            }
        })?;
        self.lengths.lock().remove(name);
        Ok(())
    }
}

/// One object that is sent.
struct Upload<'a> {
    uploads: &'a Uploads,
    name: &'a str,
    buffer: Vec<u8>,
    parts: Option<Box<dyn MultipartUpload>>,
    bytes: u64,
}

impl Upload<'_> {
    fn send_part(&mut self) -> Result<()> {
        let payload = PutPayload::from(std::mem::take(&mut self.buffer));
        let parts = match &mut self.parts {
            Some(parts) => parts,
            None => {
                let (store, path) = (Arc::clone(&self.uploads.objects.store), self.uploads.path(self.name));
                let options = PutMultipartOptions { attributes: attributes(self.name), ..Default::default() };
                let begun = self
                    .uploads
                    .wait(self.name, async move { store.put_multipart_opts(&path, options).await })?;
                self.parts.insert(begun)
            }
        };
        let part = parts.put_part(payload);
        self.uploads.wait(self.name, part)
    }

    /// Sends the rest; from then on the object is shown.
    fn finish(&mut self) -> Result<u64> {
        if self.parts.is_some() {
            if !self.buffer.is_empty() {
                self.send_part()?;
            }
            if let Some(mut parts) = self.parts.take() {
                self.uploads.wait(self.name, async move {
                    let done = parts.complete().await;
                    if done.is_err() {
                        // Parts that are left behind only take room.
                        let _ = parts.abort().await;
                    }
                    done
                })?;
            }
        } else {
            let payload = PutPayload::from(std::mem::take(&mut self.buffer));
            let (store, path) = (Arc::clone(&self.uploads.objects.store), self.uploads.path(self.name));
            let options = PutOptions { attributes: attributes(self.name), ..PutOptions::default() };
            self.uploads.wait(self.name, async move { store.put_opts(&path, payload, options).await })?;
        }
        Ok(self.bytes)
    }

    fn give_up(&mut self) {
        if let Some(mut parts) = self.parts.take() {
            // It failed already; parts that are left behind only take room.
            let _ = self.uploads.wait(self.name, async move { parts.abort().await });
        }
    }
}

impl Write for Upload<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() >= PART_BYTES {
            self.send_part().map_err(io::Error::other)?;
        }
        self.buffer.extend_from_slice(bytes);
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
