//! Pushes an image from a layout to a registry over the OCI distribution API.
//!
//! Blobs that the registry has already are not sent again. Pulling is not done here.

use std::{fs::File, io::Read as _, time::Duration};

use bytes::Bytes;
use http_body::Frame;
use http_body_util::{StreamBody, combinators::BoxBody};
use reqwest::{
    Body, Client, Method, RequestBuilder, Response, StatusCode, Url,
    header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION},
};

use crate::{
    ImageDigest,
    layout::{Layout, LayoutError},
    manifest::MANIFEST_MEDIA_TYPE,
};

/// A registry that is silent for so long is taken for dead; big blobs may take longer in all.
const SILENCE_MAX: Duration = Duration::from_mins(1);

/// Bytes of a blob that are read at once.
const CHUNK_BYTES: usize = 256 << 10;

/// Why an image was not pushed. Pushing again is always safe.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error(
        "cannot {operation} at `{url}`: {source}\nhint: is the registry running and the address right?"
    )]
    Transport { operation: &'static str, url: String, source: reqwest::Error },
    #[error("the registry refused to {operation} at `{url}`: status {status}: {message}")]
    Refused { operation: &'static str, url: String, status: StatusCode, message: String },
    #[error("`{url}` is not the address of a registry\nhint: write it as `http://HOST:PORT`")]
    Address { url: String },
}

/// Pushes the image with this manifest digest to `repository`; its reference there is
/// `HOST/REPOSITORY@DIGEST`.
pub async fn push(
    layout: &Layout,
    digest: &ImageDigest,
    registry_base_url: &str,
    repository: &str,
    token: Option<&str>,
) -> Result<(), PushError> {
    let registry = Registry::new(registry_base_url, repository, token)?;
    let manifest = layout.read_manifest(digest)?;
    for part in manifest.layers.iter().chain([&manifest.config]) {
        registry.push_blob(layout, &part.digest).await?;
    }
    let media_type = manifest.media_type.as_deref().unwrap_or(MANIFEST_MEDIA_TYPE);
    let url = registry.url(&format!("manifests/{digest}"))?;
    let request = registry
        .request(Method::PUT, &url)
        .header(CONTENT_TYPE, media_type)
        .body(layout.read_document(digest)?);
    send("store the manifest", request, &url).await?;
    Ok(())
}

struct Registry<'a> {
    client: Client,
    base: Url,
    repository: &'a str,
    token: Option<&'a str>,
}

impl<'a> Registry<'a> {
    fn new(base_url: &str, repository: &'a str, token: Option<&'a str>) -> Result<Self, PushError> {
        let client = Client::builder().read_timeout(SILENCE_MAX).build().map_err(|source| {
            PushError::Transport { operation: "start", url: base_url.to_owned(), source }
        })?;
        Ok(Self { client, base: parse(base_url)?, repository, token })
    }

    async fn push_blob(&self, layout: &Layout, digest: &ImageDigest) -> Result<(), PushError> {
        let known = self.url(&format!("blobs/{digest}"))?;
        let head = self.request(Method::HEAD, &known).send().await.map_err(|source| {
            PushError::Transport { operation: "look up a blob", url: known.to_string(), source }
        })?;
        if head.status().is_success() {
            return Ok(());
        }
        let start = self.url("blobs/uploads/")?;
        let request = self.request(Method::POST, &start).header(CONTENT_LENGTH, 0);
        let started = send("start an upload", request, &start).await?;
        let location = started.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let mut place = location
            .and_then(|location| start.join(location).ok())
            .ok_or_else(|| PushError::Address { url: location.unwrap_or_default().to_owned() })?;
        place.query_pairs_mut().append_pair("digest", &digest.to_string());

        let (file, bytes) = layout.open_blob(digest)?;
        let request = self
            .request(Method::PUT, &place)
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, bytes)
            .body(streamed(file));
        send("upload a blob", request, &place).await?;
        Ok(())
    }

    fn url(&self, rest: &str) -> Result<Url, PushError> {
        let path = format!("/v2/{}/{rest}", self.repository);
        self.base.join(&path).map_err(|_invalid| PushError::Address { url: path })
    }

    fn request(&self, method: Method, url: &Url) -> RequestBuilder {
        let request = self.client.request(method, url.clone());
        match self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }
}

async fn send(
    operation: &'static str,
    request: RequestBuilder,
    url: &Url,
) -> Result<Response, PushError> {
    let url = url.to_string();
    let response = match request.send().await {
        Ok(response) => response,
        Err(source) => return Err(PushError::Transport { operation, url, source }),
    };
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let message = response.text().await.unwrap_or_default().chars().take(500).collect();
    Err(PushError::Refused { operation, url, status, message })
}

/// A body that reads the file piece by piece. The reads block, but for no longer than a local
/// disk takes for one piece.
fn streamed(mut file: File) -> Body {
    let pieces = std::iter::from_fn(move || {
        let mut piece = vec![0; CHUNK_BYTES];
        match file.read(&mut piece) {
            Ok(0) => None,
            Ok(bytes) => {
                piece.truncate(bytes);
                Some(Ok(Frame::data(Bytes::from(piece))))
            }
            Err(error) => Some(Err(error)),
        }
    });
    let body: BoxBody<Bytes, std::io::Error> =
        BoxBody::new(StreamBody::new(futures::stream::iter(pieces)));
    Body::wrap(body)
}

fn parse(base_url: &str) -> Result<Url, PushError> {
    Url::parse(base_url).map_err(|_invalid| PushError::Address { url: base_url.to_owned() })
}
