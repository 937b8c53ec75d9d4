//! A small OCI registry under `/v2`: images are pushed here and machines are made from them.
//! Pull, push, and look-up by digest or tag; no deletion and no listing.

mod upload;

use std::sync::Arc;

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Path, Query, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::{any, get},
};
use bytes::Buf as _;
use http_body_util::BodyExt as _;
use oci_image::{
    ImageDigest,
    layout::{DOCUMENT_BYTES_MAX, LayoutError},
    manifest::MANIFEST_MEDIA_TYPE,
};

use crate::{error::Refusal, fleet::Fleet, store::StoreError};
use upload::Uploads;

/// A request that the registry does not fulfil, in the words of the distribution specification.
#[derive(Debug)]
pub(super) struct RegistryError {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl RegistryError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    fn unknown_blob(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", format!("there is no blob `{what}`"))
    }
}

impl From<LayoutError> for RegistryError {
    fn from(error: LayoutError) -> Self {
        let message = error.to_string();
        match error {
            LayoutError::Missing { .. } => {
                Self::new(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", message)
            }
            LayoutError::Corrupt { .. } => {
                Self::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", message)
            }
            LayoutError::Incomplete { .. } => {
                Self::new(StatusCode::BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN", message)
            }
            LayoutError::Document { .. } => {
                Self::new(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", message)
            }
            LayoutError::TooLarge { .. } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", message)
            }
            LayoutError::Io { source, .. } => {
                tracing::error!(%message, "the image store failed");
                let status = if source.kind() == std::io::ErrorKind::StorageFull {
                    StatusCode::INSUFFICIENT_STORAGE
                } else {
                    StatusCode::INTERNAL_SERVER_ERROR
                };
                Self::new(status, "UNKNOWN", message)
            }
        }
    }
}

impl From<StoreError> for RegistryError {
    fn from(error: StoreError) -> Self {
        let refused = Refusal::from(error);
        Self::new(refused.status, "UNKNOWN", refused.message)
    }
}

impl axum::response::IntoResponse for RegistryError {
    fn into_response(self) -> Response {
        let error = serde_json::json!({"code": self.code, "message": self.message});
        (self.status, Json(serde_json::json!({"errors": [error]}))).into_response()
    }
}

/// Asks for the token. Clients of a registry (Docker's, Podman's, Fly's) then send it as the
/// password of any user.
pub(crate) fn unauthorized() -> Response {
    let message = "the token is missing or wrong\nhint: log in with any name and the platform's token as the password";
    let refused = RegistryError::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message);
    let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"holdpoint\"")];
    (challenge, refused).into_response()
}

type Outcome = Result<Response, RegistryError>;

pub(crate) fn routes() -> Router<Fleet> {
    let uploads = Arc::new(Uploads::default());
    Router::new()
        .route("/v2/", get(|| async { Json(serde_json::json!({})) }))
        .route(
            "/v2/{*path}",
            any(move |state, path, query, request| {
                let uploads = Arc::clone(&uploads);
                async move { route(&uploads, state, path, query, request).await }
            }),
        )
        // Layers are large; each writer counts for itself.
        .layer(DefaultBodyLimit::disable())
}

/// Repository names hold slashes, so the path is taken apart here.
async fn route(
    uploads: &Uploads,
    State(fleet): State<Fleet>,
    Path(path): Path<String>,
    Query(query): Query<Vec<(String, String)>>,
    request: Request,
) -> Outcome {
    let digest = query.into_iter().find(|(name, _)| name == "digest").map(|(_, value)| value);
    let (parts, body) = request.into_parts();
    if let Some((repository, rest)) = path.rsplit_once("/blobs/uploads") {
        let id = rest.trim_start_matches('/');
        return uploads.handle(&fleet, parts.method, repository, id, digest, body).await;
    }
    if let Some((_, reference)) = path.rsplit_once("/blobs/") {
        return blob(&fleet, &parts.method, reference);
    }
    if let Some((repository, reference)) = path.rsplit_once("/manifests/") {
        return match parts.method {
            Method::PUT => put_manifest(&fleet, repository, reference, body).await,
            method => manifest(&fleet, &method, repository, reference).await,
        };
    }
    Err(RegistryError::new(StatusCode::NOT_FOUND, "UNSUPPORTED", "there is no such endpoint"))
}

fn blob(fleet: &Fleet, method: &Method, reference: &str) -> Outcome {
    let digest: ImageDigest =
        reference.parse().map_err(|_invalid| RegistryError::unknown_blob(reference))?;
    let (file, size_bytes) = fleet.context.images.open_blob(&digest)?;
    let body = match *method {
        Method::HEAD => Body::empty(),
        Method::GET => upload::stream(file),
        _ => return Err(not_allowed()),
    };
    let mut headers = described(&digest, "application/octet-stream");
    headers.insert(header::CONTENT_LENGTH, size_bytes.into());
    Ok((headers, body).into_response())
}

async fn manifest(fleet: &Fleet, method: &Method, repository: &str, reference: &str) -> Outcome {
    let unknown = || {
        let message = format!("there is no image `{repository}:{reference}`");
        RegistryError::new(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", message)
    };
    let text = if reference.contains(':') {
        reference.to_owned()
    } else {
        let tagged = fleet.context.store.tag(repository, reference).await?;
        tagged.ok_or_else(unknown)?
    };
    let digest: ImageDigest = text.parse().map_err(|_invalid| unknown())?;
    if !fleet.context.images.has(&digest) {
        return Err(unknown());
    }
    let manifest = fleet.context.images.read_manifest(&digest)?;
    let media_type = manifest.media_type.unwrap_or_else(|| MANIFEST_MEDIA_TYPE.to_owned());
    let bytes = fleet.context.images.read_document(&digest)?;
    let mut headers = described(&digest, &media_type);
    headers.insert(header::CONTENT_LENGTH, bytes.len().into());
    match *method {
        Method::HEAD => Ok((headers, Body::empty()).into_response()),
        Method::GET => Ok((headers, bytes).into_response()),
        _ => Err(not_allowed()),
    }
}

async fn put_manifest(fleet: &Fleet, repository: &str, reference: &str, body: Body) -> Outcome {
    let bytes = read_document(body).await?;
    let digest = ImageDigest::of(&bytes);
    if reference.contains(':') && reference != digest.to_string() {
        let message = format!("the manifest has the digest {digest}, not {reference}");
        return Err(RegistryError::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", message));
    }
    let images = fleet.context.images.clone();
    let stored = tokio::task::spawn_blocking(move || {
        images.put_manifest(&bytes, std::collections::BTreeMap::new())
    });
    stored.await.map_err(|error| {
        RegistryError::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", error.to_string())
    })??;
    if !reference.contains(':') {
        let digest = digest.to_string();
        fleet.context.store.set_tag(repository, reference, &digest).await?;
    }
    let mut headers = described(&digest, "application/json");
    insert(&mut headers, header::LOCATION, &format!("/v2/{repository}/manifests/{digest}"));
    Ok((StatusCode::CREATED, headers).into_response())
}

async fn read_document(body: Body) -> Result<Bytes, RegistryError> {
    let limit = usize::try_from(DOCUMENT_BYTES_MAX).unwrap_or(usize::MAX);
    let collected = http_body_util::Limited::new(body, limit).collect().await;
    let mut collected = collected
        .map_err(|error| {
            RegistryError::new(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", error.to_string())
        })?
        .aggregate();
    Ok(collected.copy_to_bytes(collected.remaining()))
}

fn described(digest: &ImageDigest, media_type: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    insert(&mut headers, header::CONTENT_TYPE, media_type);
    let name = header::HeaderName::from_static("docker-content-digest");
    insert(&mut headers, name, &digest.to_string());
    headers
}

fn insert(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn not_allowed() -> RegistryError {
    let message = "this method is not supported here";
    RegistryError::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", message)
}
