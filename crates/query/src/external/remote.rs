//! Files of object stores and web servers, behind the trait that the disk's files have.
//!
//! `s3://bucket/key` is read and written by S3's protocol, with keys, region and endpoint from the environment, as
//! Amazon's own tools have them; `http://` and `https://` are read only, from servers that answer requests for ranges.
//! A file is read in blocks, of which few are kept, and is refused when it changes meanwhile. Requests run on a
//! thread of their own, so that whoever waits may be a thread of another runtime.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use luma_vfs::{FileLock, LockError, Vfs, VfsFile};
use object_store::aws::AmazonS3Builder;
use object_store::path::Path as Key;
use object_store::{
    GetOptions, GetRange, MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload, RetryConfig,
};
use parking_lot::Mutex;
use tokio::runtime::Runtime;

/// Bytes that are asked for at once.
const BLOCK_BYTES: u64 = 2 << 20;
/// Blocks of a file that are kept.
const BLOCKS_KEPT: usize = 4;
/// Bytes of a part of an object that is written; S3 takes no smaller ones but the last, and 10,000 parts.
const PART_BYTES: usize = 16 << 20;
/// How long a request is tried again.
const RETRY: Duration = Duration::from_secs(30);
/// How long a web server may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);

/// Whether a location is one of another machine.
pub(crate) fn is_remote(location: &str) -> bool {
    ["s3://", "s3a://", "http://", "https://"].iter().any(|scheme| location.starts_with(scheme))
}

/// Waits for a request, on whatever thread this is.
fn wait<T: Send + 'static>(work: impl Future<Output = io::Result<T>> + Send + 'static) -> io::Result<T> {
    static REQUESTS: OnceLock<io::Result<Runtime>> = OnceLock::new();
    let made = REQUESTS.get_or_init(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).thread_name("luma-remote").enable_all().build()
    });
    let runtime = made.as_ref().map_err(|error| io::Error::new(error.kind(), error.to_string()))?;
    let (tell, told) = sync_channel(1);
    runtime.spawn(async move { drop(tell.send(work.await)) });
    told.recv().map_err(|_| io::Error::other("the request ended without an answer"))?
}

/// Where remote files are.
#[async_trait]
trait Server: std::fmt::Debug + Send + Sync {
    /// A file's length, and what tells it from what it is later.
    async fn look(&self, name: &str) -> io::Result<(u64, Option<String>)>;
    /// Bytes of a file that is still the same.
    async fn read(&self, name: &str, start: u64, end: u64, tag: Option<String>) -> io::Result<Bytes>;
    /// Names that begin so, at most that many; `None` where names can't be listed.
    async fn list(&self, begin: &str, most: usize) -> io::Result<Option<Vec<String>>>;
}

/// The files of one server.
#[derive(Clone, Debug)]
pub(crate) struct Remote {
    server: Arc<dyn Server>,
    /// What comes before the names: `s3://bucket/`, `https://host/`.
    base: String,
    bucket: Option<Arc<dyn ObjectStore>>,
}

impl Remote {
    /// The server that a location is of.
    ///
    /// # Errors
    /// For a location without a bucket or host, and an environment that does not suffice.
    pub(crate) fn of(location: &str) -> io::Result<Self> {
        let invalid = |reason: String| io::Error::new(io::ErrorKind::InvalidInput, reason);
        let (scheme, rest) = location.split_once("://").unwrap_or(("", location));
        let host = rest.split('/').next().unwrap_or_default();
        if host.is_empty() {
            return Err(invalid("there is no bucket or host in it".into()));
        }
        let base = format!("{scheme}://{host}/");
        if scheme.starts_with("http") {
            let client = reqwest::Client::builder().connect_timeout(RETRY).read_timeout(ANSWER_TIMEOUT);
            let client = client.build().map_err(io::Error::other)?;
            let server = Arc::new(Web { client, base: base.clone() });
            return Ok(Self { server, base, bucket: None });
        }
        // Who names an endpoint without TLS means it.
        let plain = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"]
            .iter()
            .any(|name| std::env::var(name).is_ok_and(|endpoint| endpoint.starts_with("http://")));
        let store = AmazonS3Builder::from_env()
            .with_bucket_name(host)
            .with_allow_http(plain)
            .with_retry(RetryConfig { retry_timeout: RETRY, ..RetryConfig::default() })
            .build()
            .map_err(|error| invalid(error.to_string()))?;
        Ok(Self::stored(base, Arc::new(store)))
    }

    /// The objects of a bucket.
    fn stored(base: String, store: Arc<dyn ObjectStore>) -> Self {
        Self { server: Arc::new(Bucket(Arc::clone(&store))), base, bucket: Some(store) }
    }

    fn name<'p>(&self, path: &'p Path) -> io::Result<&'p str> {
        let name = path.to_str().and_then(|path| path.strip_prefix(&self.base));
        name.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the location is another server's"))
    }

    /// What comes before the names.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Whether there is a file of that name.
    ///
    /// # Errors
    /// What the server says but that there is none.
    pub(super) fn has(&self, name: &str) -> io::Result<bool> {
        let (server, name) = (Arc::clone(&self.server), name.to_owned());
        match wait(async move { server.look(&name).await }) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Names that begin so, at most that many; `None` where names can't be listed.
    ///
    /// # Errors
    /// What the server says.
    pub(super) fn list(&self, begin: &str, most: usize) -> io::Result<Option<Vec<String>>> {
        let (server, begin) = (Arc::clone(&self.server), begin.to_owned());
        wait(async move { server.list(&begin, most).await })
    }

    /// Begins an object that shows once it was written as a whole.
    ///
    /// # Errors
    /// For servers that are only read.
    pub(crate) fn create(&self, path: &Path) -> io::Result<Upload> {
        let key = Key::from_url_path(self.name(path)?).map_err(io::Error::other)?;
        let store = self.bucket.clone().ok_or_else(|| {
            io::Error::new(io::ErrorKind::Unsupported, "web servers are only read; write to an object store")
        })?;
        Ok(Upload { store, key, buffer: Vec::new(), parts: None })
    }
}

fn only_read<T>() -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "files of other machines are only read here"))
}

impl Vfs for Remote {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn VfsFile>> {
        let name = self.name(path)?.to_owned();
        let (server, asked) = (Arc::clone(&self.server), name.clone());
        let (length, tag) = wait(async move { server.look(&asked).await })?;
        let blocks = Mutex::new(VecDeque::with_capacity(BLOCKS_KEPT));
        Ok(Arc::new(RemoteFile { server: Arc::clone(&self.server), name, length, tag, blocks }))
    }

    fn open_write(&self, _path: &Path) -> io::Result<Arc<dyn VfsFile>> {
        only_read()
    }

    fn create(&self, _path: &Path) -> io::Result<Arc<dyn VfsFile>> {
        only_read()
    }

    fn rename(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        only_read()
    }

    fn link(&self, _file: &Path, _name: &Path) -> io::Result<()> {
        only_read()
    }

    fn remove_file(&self, _path: &Path) -> io::Result<()> {
        only_read()
    }

    fn read_dir(&self, _path: &Path) -> io::Result<Vec<String>> {
        only_read()
    }

    fn create_dir_all(&self, _path: &Path) -> io::Result<()> {
        only_read()
    }

    fn sync_dir(&self, _path: &Path) -> io::Result<()> {
        only_read()
    }

    fn exists(&self, path: &Path) -> bool {
        self.name(path).is_ok_and(|name| self.has(name).unwrap_or(false))
    }

    fn lock(&self, _path: &Path) -> Result<Box<dyn FileLock>, LockError> {
        only_read().map_err(LockError::from)
    }
}

/// A file as it was when it was opened.
#[derive(Debug)]
struct RemoteFile {
    server: Arc<dyn Server>,
    name: String,
    length: u64,
    tag: Option<String>,
    /// Blocks that were read last, by their number.
    blocks: Mutex<VecDeque<(u64, Bytes)>>,
}

impl RemoteFile {
    fn block(&self, number: u64) -> io::Result<Bytes> {
        if let Some((_, bytes)) = self.blocks.lock().iter().find(|(known, _)| *known == number) {
            return Ok(bytes.clone());
        }
        let start = number * BLOCK_BYTES;
        let end = (start + BLOCK_BYTES).min(self.length);
        let (server, name, tag) = (Arc::clone(&self.server), self.name.clone(), self.tag.clone());
        let bytes = wait(async move { server.read(&name, start, end, tag).await })?;
        if bytes.len() as u64 != end - start {
            let message = format!("{} bytes came where {} were asked for", bytes.len(), end - start);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        }
        let mut blocks = self.blocks.lock();
        if blocks.len() >= BLOCKS_KEPT {
            blocks.pop_front();
        }
        blocks.push_back((number, bytes.clone()));
        Ok(bytes)
    }
}

impl VfsFile for RemoteFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let at = offset + done as u64;
            if at >= self.length {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter"));
            }
            let block = self.block(at / BLOCK_BYTES)?;
            let from = block.get((at % BLOCK_BYTES) as usize..).unwrap_or_default();
            let count = from.len().min(rest.len());
            if let (Some(into), Some(from)) = (rest.get_mut(..count), from.get(..count)) {
                into.copy_from_slice(from);
            }
            done += count;
        }
        Ok(())
    }

    fn write_at(&self, _bytes: &[u8], _offset: u64) -> io::Result<()> {
        only_read()
    }

    fn sync_data(&self) -> io::Result<()> {
        only_read()
    }

    fn sync_all(&self) -> io::Result<()> {
        only_read()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.length)
    }

    fn set_len(&self, _length: u64) -> io::Result<()> {
        only_read()
    }

    fn preallocate(&self, _length: u64) -> io::Result<()> {
        only_read()
    }
}

/// What a store says, with what to do about it.
fn said(error: object_store::Error) -> io::Error {
    use object_store::Error::{NotFound, PermissionDenied, Precondition, Unauthenticated};
    let text = error.to_string();
    // Without keys the machine's role is asked for, which few machines have.
    let keys = ["AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"];
    if text.contains("169.254.") && keys.iter().all(|name| std::env::var_os(name).is_none()) {
        let message =
            "there are no keys: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY where the server is started";
        return io::Error::new(io::ErrorKind::PermissionDenied, message);
    }
    match error {
        NotFound { .. } => io::Error::new(io::ErrorKind::NotFound, "there is no such object"),
        PermissionDenied { .. } | Unauthenticated { .. } => {
            let message =
                format!("the store refuses the keys of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: {text}");
            io::Error::new(io::ErrorKind::PermissionDenied, message)
        }
        Precondition { .. } => {
            io::Error::other("the object changed while it was read; run the statement again")
        }
        _ => io::Error::other(text),
    }
}

/// Objects of a bucket.
#[derive(Debug)]
struct Bucket(Arc<dyn ObjectStore>);

fn key(name: &str) -> io::Result<Key> {
    Key::from_url_path(name).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

#[async_trait]
impl Server for Bucket {
    async fn look(&self, name: &str) -> io::Result<(u64, Option<String>)> {
        let found = self.0.head(&key(name)?).await.map_err(said)?;
        Ok((found.size, found.e_tag))
    }

    async fn read(&self, name: &str, start: u64, end: u64, tag: Option<String>) -> io::Result<Bytes> {
        let options =
            GetOptions { if_match: tag, range: Some(GetRange::Bounded(start..end)), ..GetOptions::default() };
        let found = self.0.get_opts(&key(name)?, options).await.map_err(said)?;
        found.bytes().await.map_err(said)
    }

    async fn list(&self, begin: &str, most: usize) -> io::Result<Option<Vec<String>>> {
        // A store lists what is below a directory.
        let directory = begin.rsplit_once('/').map(|(directory, _)| key(directory)).transpose()?;
        let mut found = self.0.list(directory.as_ref());
        let mut names = Vec::new();
        while let Some(object) = found.next().await {
            let name = object.map_err(said)?.location.to_string();
            if name.starts_with(begin) && names.len() <= most {
                names.push(name);
            }
        }
        Ok(Some(names))
    }
}

/// Files of a web server.
#[derive(Debug)]
struct Web {
    client: reqwest::Client,
    base: String,
}

impl Web {
    async fn answer(&self, request: reqwest::RequestBuilder) -> io::Result<reqwest::Response> {
        let answer = request.send().await.map_err(io::Error::other)?;
        match answer.status().as_u16() {
            200 | 206 => Ok(answer),
            404 | 410 => Err(io::Error::new(io::ErrorKind::NotFound, "there is no such file on the server")),
            401 | 403 => Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("the server answers {}", answer.status()),
            )),
            412 => Err(io::Error::other("the file changed while it was read; run the statement again")),
            _ => Err(io::Error::other(format!("the server answers {}", answer.status()))),
        }
    }
}

#[async_trait]
impl Server for Web {
    async fn look(&self, name: &str) -> io::Result<(u64, Option<String>)> {
        let url = format!("{}{name}", self.base);
        // Not every server says the length to HEAD, but who can give ranges says it with one.
        let answer = self.answer(self.client.get(url).header("Range", "bytes=0-0")).await?;
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
        let range =
            header("content-range").and_then(|range| range.rsplit_once('/')).map(|(_, length)| length);
        match (answer.status().as_u16(), range.and_then(|length| length.parse().ok())) {
            (206, Some(length)) => {
                let tag = header("etag").filter(|tag| !tag.starts_with("W/"));
                Ok((length, tag.map(str::to_owned)))
            }
            // An empty file has no range.
            (200, _) if answer.content_length() == Some(0) => Ok((0, None)),
            _ => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "the server does not answer requests for a range; download the file and read it from the disk",
            )),
        }
    }

    async fn read(&self, name: &str, start: u64, end: u64, tag: Option<String>) -> io::Result<Bytes> {
        let url = format!("{}{name}", self.base);
        let mut request =
            self.client.get(url).header("Range", format!("bytes={start}-{}", end.saturating_sub(1)));
        if let Some(tag) = tag {
            request = request.header("If-Match", tag);
        }
        let answer = self.answer(request).await?;
        if answer.status().as_u16() != 206 {
            return Err(io::Error::other("the server gave all of the file where a range was asked for"));
        }
        answer.bytes().await.map_err(io::Error::other)
    }

    async fn list(&self, _begin: &str, _most: usize) -> io::Result<Option<Vec<String>>> {
        Ok(None)
    }
}

/// An object that is sent; dropped before its end, nothing shows.
pub(crate) struct Upload {
    store: Arc<dyn ObjectStore>,
    key: Key,
    buffer: Vec<u8>,
    parts: Option<Box<dyn MultipartUpload>>,
}

impl Upload {
    fn send_part(&mut self) -> io::Result<()> {
        let payload = PutPayload::from(std::mem::take(&mut self.buffer));
        let parts = match &mut self.parts {
            Some(parts) => parts,
            None => {
                let (store, key) = (Arc::clone(&self.store), self.key.clone());
                let begun = wait(async move { store.put_multipart(&key).await.map_err(said) })?;
                self.parts.insert(begun)
            }
        };
        let part = parts.put_part(payload);
        wait(async move { part.await.map_err(said) })
    }

    /// Sends the rest; from then on the object is shown.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        if self.parts.is_none() {
            let payload = PutPayload::from(std::mem::take(&mut self.buffer));
            let (store, key) = (Arc::clone(&self.store), self.key.clone());
            return wait(async move { store.put(&key, payload).await.map(|_| ()).map_err(said) });
        }
        if !self.buffer.is_empty() {
            self.send_part()?;
        }
        let Some(mut parts) = self.parts.take() else { return Ok(()) };
        wait(async move {
            let done = parts.complete().await;
            if done.is_err() {
                // Parts that are left behind only take room.
                let _ = parts.abort().await;
            }
            done.map(|_| ()).map_err(said)
        })
    }
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() >= PART_BYTES {
            self.send_part()?;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(mut parts) = self.parts.take() {
            // It failed already; parts that are left behind only take room.
            let _ = wait(async move { parts.abort().await.map_err(said) });
        }
    }
}
