//! Uploads of blobs: begun with POST, continued with PATCH, finished with PUT, which names the
//! digest. Bytes go straight to disk and appear under their name only if the digest fits.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read as _, Write as _},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, Method, StatusCode, header},
    response::IntoResponse as _,
};
use futures::StreamExt as _;
use oci_image::{ImageDigest, layout::BlobWriter};
use tokio::sync::mpsc;

use super::{Outcome, RegistryError, insert, not_allowed};
use crate::{clock, fleet::Fleet, identity};

/// Uploads at once.
const UPLOADS_MAX: usize = 64;

/// An upload that nobody continues is dropped after this.
const UPLOAD_IDLE_MAX: Duration = Duration::from_mins(10);

/// The largest blob.
const BLOB_BYTES_MAX: u64 = 4 << 30;

/// Bytes of a blob that are read at once.
const CHUNK_BYTES: usize = 256 << 10;

/// Pieces that wait for the disk.
const PIECES_WAITING_MAX: usize = 16;

/// The uploads that are under way.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    /// Whoever continues an upload takes it out meanwhile.
    open: Mutex<BTreeMap<String, Upload>>,
}

#[derive(Debug)]
struct Upload {
    writer: BlobWriter,
    touched: Instant,
}

impl Uploads {
    pub(super) async fn handle(
        &self,
        fleet: &Fleet,
        method: Method,
        repository: &str,
        id: &str,
        digest: Option<String>,
        body: Body,
    ) -> Outcome {
        match method {
            Method::POST if id.is_empty() => {
                let writer = fleet.context.images.blob_writer()?;
                match digest {
                    // The whole blob at once.
                    Some(digest) => finish(write(writer, body).await?, repository, &digest).await,
                    None => self.keep(identity::version(), writer, repository),
                }
            }
            Method::PATCH => {
                let writer = write(self.take(id)?, body).await?;
                self.keep(id.to_owned(), writer, repository)
            }
            Method::PUT => {
                let writer = write(self.take(id)?, body).await?;
                finish(writer, repository, &digest.unwrap_or_default()).await
            }
            Method::DELETE => {
                drop(self.take(id)?);
                Ok(StatusCode::NO_CONTENT.into_response())
            }
            _ => Err(not_allowed()),
        }
    }

    fn take(&self, id: &str) -> Result<BlobWriter, RegistryError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let upload = open.remove(id).ok_or_else(|| {
            let message = format!("there is no upload `{id}`\nhint: begin it again");
            RegistryError::new(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", message)
        })?;
        Ok(upload.writer)
    }

    fn keep(&self, id: String, writer: BlobWriter, repository: &str) -> Outcome {
        let now = clock::instant();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, upload| now.duration_since(upload.touched) < UPLOAD_IDLE_MAX);
        if open.len() >= UPLOADS_MAX {
            let message = "too many uploads are under way";
            return Err(RegistryError::new(
                StatusCode::TOO_MANY_REQUESTS,
                "TOOMANYREQUESTS",
                message,
            ));
        }
        let mut headers = HeaderMap::new();
        insert(&mut headers, header::LOCATION, &format!("/v2/{repository}/blobs/uploads/{id}"));
        let last = writer.bytes().saturating_sub(1);
        insert(&mut headers, header::RANGE, &format!("0-{last}"));
        open.insert(id, Upload { writer, touched: now });
        Ok((StatusCode::ACCEPTED, headers).into_response())
    }
}

/// Appends a body to a blob.
async fn write(writer: BlobWriter, body: Body) -> Result<BlobWriter, RegistryError> {
    write_up_to(BLOB_BYTES_MAX, writer, body).await
}

async fn write_up_to(
    bytes_max: u64,
    mut writer: BlobWriter,
    body: Body,
) -> Result<BlobWriter, RegistryError> {
    // Of the whole blob, however many requests bring it.
    let mut bytes = writer.bytes();
    let (sender, mut receiver) = mpsc::channel::<Bytes>(PIECES_WAITING_MAX);
    let written = tokio::task::spawn_blocking(move || {
        while let Some(piece) = receiver.blocking_recv() {
            writer.write_all(&piece)?;
        }
        Ok::<_, std::io::Error>(writer)
    });
    let mut pieces = body.into_data_stream();
    let mut broken = None;
    while let Some(piece) = pieces.next().await {
        let piece = match piece {
            Ok(piece) => piece,
            Err(error) => {
                broken = Some((StatusCode::BAD_REQUEST, error.to_string()));
                break;
            }
        };
        bytes += piece.len() as u64;
        if bytes > bytes_max {
            let message = format!("a blob has at most {bytes_max} bytes");
            broken = Some((StatusCode::PAYLOAD_TOO_LARGE, message));
            break;
        }
        if sender.send(piece).await.is_err() {
            // The writer has ended: its error is told below.
            break;
        }
    }
    drop(sender);
    let written = written.await;
    if let Some((status, message)) = broken {
        return Err(RegistryError::new(status, "BLOB_UPLOAD_INVALID", message));
    }
    let failed = |message: String| {
        let hint = "hint: check that the disk of the state directory is not full";
        let message = format!("the blob could not be written: {message}\n{hint}");
        RegistryError::new(StatusCode::INSUFFICIENT_STORAGE, "BLOB_UPLOAD_INVALID", message)
    };
    match written {
        Ok(Ok(writer)) => Ok(writer),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(error) => Err(failed(error.to_string())),
    }
}

async fn finish(writer: BlobWriter, repository: &str, digest: &str) -> Outcome {
    let expected: ImageDigest = digest.parse().map_err(|error: oci_image::DigestError| {
        RegistryError::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", error.to_string())
    })?;
    let finished = tokio::task::spawn_blocking(move || writer.finish(Some(&expected)));
    let (digest, _) = finished.await.map_err(|error| {
        RegistryError::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", error.to_string())
    })??;
    let mut headers = super::described(&digest, "application/octet-stream");
    insert(&mut headers, header::LOCATION, &format!("/v2/{repository}/blobs/{digest}"));
    Ok((StatusCode::CREATED, headers).into_response())
}

/// A body that reads the file piece by piece, each for no longer than a local disk takes.
pub(super) fn stream(mut file: File) -> Body {
    let pieces = std::iter::from_fn(move || {
        let mut piece = vec![0; CHUNK_BYTES];
        match file.read(&mut piece) {
            Ok(0) => None,
            Ok(bytes) => {
                piece.truncate(bytes);
                Some(Ok(Bytes::from(piece)))
            }
            Err(error) => Some(Err(error)),
        }
    });
    Body::from_stream(futures::stream::iter(pieces))
}

#[cfg(test)]
mod tests {
    use oci_image::layout::Layout;

    use super::*;

    #[tokio::test]
    async fn a_blob_has_its_limit_however_many_requests_bring_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let images = Layout::open(directory.path()).expect("a layout");
        let mut writer = images.blob_writer().expect("a writer");
        for _ in 0..2 {
            writer = write_up_to(8, writer, Body::from("1234")).await.expect("it fits");
        }
        assert!(write_up_to(8, writer, Body::from("5")).await.is_err());
    }
}
