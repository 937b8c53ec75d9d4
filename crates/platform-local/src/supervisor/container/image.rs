//! Gives an engine the images that machines run, straight from the platform's own store, and takes
//! them away again when no machine has use for them.

use std::{
    collections::BTreeSet,
    io::{self, Write},
    time::Duration,
};

use bytes::Bytes;
use futures::stream;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::{Method, StatusCode, body::Frame};
use oci_image::{ImageDigest, archive::write_archive, layout::Layout};
use serde::Deserialize;
use tokio::sync::{Mutex, mpsc};

use super::engine::{Ask, Engine, EngineError};

/// An image of some gigabytes is loaded within minutes, even by an engine that has to copy each
/// layer. Others wait for their turn meanwhile.
const LOAD_TIME_MAX: Duration = Duration::from_mins(10);

/// What is done with an image, for errors.
const LOADING: &str = "load the image";

/// Pieces of an archive that wait for the engine.
const PIECES_MAX: usize = 8;

/// Held while an image is given to an engine: machines of the same image often start at once, and
/// the second finds what the first has brought.
static TURN: Mutex<()> = Mutex::const_new(());

/// Small writes are put together to pieces of this size.
const PIECE_BYTES: usize = 256 << 10;

/// An image as a list of the engine shows it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    /// Older engines write `null` where there are none.
    repo_tags: Option<Vec<String>>,
}

/// One of the notes in the answer to a loading.
#[derive(Debug, Deserialize)]
struct Note {
    error: Option<String>,
}

/// The name under which an engine keeps images of this platform.
fn repository(platform: &str) -> String {
    format!("localhost/holdpoint-{}", platform.to_ascii_lowercase())
}

/// The name of an image in an engine.
pub(super) fn name(platform: &str, digest: &ImageDigest) -> String {
    format!("{}:{}", repository(platform), digest.hex())
}

/// Makes sure that the engine has the image.
pub(super) async fn provide(
    engine: &Engine,
    layout: &Layout,
    platform: &str,
    digest: &ImageDigest,
) -> Result<(), EngineError> {
    let _turn = TURN.lock().await;
    let path = format!("/images/{}/json", name(platform, digest));
    match engine.done(Ask::new(Method::GET, path, "tell of the image")).await {
        Err(error) if error.is_missing() => {}
        known => return known,
    }
    let (pieces, received) = mpsc::channel::<io::Result<Bytes>>(PIECES_MAX);
    let (layout, digest) = (layout.clone(), digest.clone());
    let (repository, tag) = (repository(platform), digest.hex().to_owned());
    tokio::task::spawn_blocking(move || {
        let mut sink = Sink { pieces: pieces.clone(), piece: Vec::new() };
        if let Err(error) = write_archive(&layout, &digest, &repository, &tag, &mut sink)
            && pieces.blocking_send(Err(io::Error::other(error.to_string()))).is_err()
        {
            tracing::debug!(%error, "nobody waits for an archive any more");
        }
    });
    let frames = stream::unfold(received, async |mut received| {
        let piece = received.recv().await?;
        Some((piece.map(Frame::data), received))
    });
    let ask = Ask::new(Method::POST, "/images/load", LOADING)
        .with_archive(StreamBody::new(frames).boxed());
    // Read to its end: engines report errors of loading there.
    let answer = engine.bytes_within(LOAD_TIME_MAX, ask).await?;
    if let Some(message) = error_in(&answer) {
        return Err(EngineError::Refused { operation: LOADING, status: StatusCode::OK, message });
    }
    tracing::debug!(answer = %String::from_utf8_lossy(&answer), "an image was loaded");
    Ok(())
}

/// The error that is told in the answer to a loading, whose status was given before.
fn error_in(answer: &[u8]) -> Option<String> {
    // An engine that answers in another form than with one JSON text behind the other tells no
    // errors here.
    let notes = serde_json::Deserializer::from_slice(answer).into_iter::<Note>();
    notes.map_while(Result::ok).find_map(|note| note.error)
}

/// Removes an image that no container has use for; the engine knows better than the platform.
pub(super) async fn remove(engine: &Engine, name: &str) {
    let ask = Ask::new(Method::DELETE, format!("/images/{name}"), "remove the image");
    match engine.done(ask).await {
        Ok(()) => {}
        Err(error) if error.is_missing() || error.is_conflict() => {
            tracing::debug!(%error, name, "an image stays");
        }
        Err(error) => tracing::warn!(%error, name, "an image may be left in the engine"),
    }
}

/// Removes the images of the platform that no container has use for, but for those of these
/// digests.
pub(super) async fn remove_unused(
    engine: &Engine,
    platform: &str,
    kept: &BTreeSet<String>,
) -> Result<(), EngineError> {
    let repository = repository(platform);
    let path = format!(
        "/images/json?filters=%7B%22reference%22%3A%5B%22{}%22%5D%7D",
        repository.replace('/', "%2F")
    );
    let listed: Vec<Listed> = engine.read(Ask::new(Method::GET, path, "list images")).await?;
    let own = format!("{repository}:");
    for name in listed.into_iter().filter_map(|image| image.repo_tags).flatten() {
        let tag = name.strip_prefix(&own);
        if tag.is_some_and(|hex| !kept.contains(&format!("sha256:{hex}"))) {
            remove(engine, &name).await;
        }
    }
    Ok(())
}

/// Hands an archive over from the thread that writes it.
struct Sink {
    pieces: mpsc::Sender<io::Result<Bytes>>,
    piece: Vec<u8>,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let piece = Bytes::from(std::mem::take(&mut self.piece));
        self.pieces.blocking_send(Ok(piece)).map_err(|_closed| io::ErrorKind::BrokenPipe.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_loading_is_found_behind_what_went_well() {
        let answer = b"{\"stream\":\"Loading layer\"}\r\n{\"errorDetail\":{\"message\":\"no space\"},\"error\":\"no space\"}\r\n";
        assert_eq!(error_in(answer).as_deref(), Some("no space"));
        for good in ["", "Loaded image", "{\"stream\":\"Loaded image: x\\n\"}\n"] {
            assert_eq!(error_in(good.as_bytes()), None, "{good}");
        }
    }
}
