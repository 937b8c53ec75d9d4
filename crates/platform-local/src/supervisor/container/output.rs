//! Copies what a container writes from the engine's log to the machine's log.
//!
//! The engine keeps the whole output of a container. How much of it was copied is known from the
//! length of the machine's log alone, so that after a crash of the platform the copy goes on at
//! the very byte: no line is lost and none is there twice.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use http_body_util::BodyExt as _;
use hyper::Method;
use tokio::{fs::File, io::AsyncWriteExt as _};

use super::{
    engine::{Ask, Engine, EngineError},
    frames::Frames,
};
use crate::clock;

/// Between two tries while the engine does not answer.
const AGAIN: Duration = Duration::from_secs(1);

/// The longest pause between two tries to write to the machine's log, such as to a full disk: each
/// try reads the engine's log from its beginning.
const WRITE_AGAIN_MAX: Duration = Duration::from_mins(1);

/// Why output was not copied.
#[derive(Debug, thiserror::Error)]
pub(super) enum CopyError {
    #[error("cannot write the output of a container to `{path}`: {source}")]
    Log { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Copies until the container has ended. `from` is the length that the machine's log had when the
/// container was made.
pub(super) async fn follow(engine: &Engine, id: &str, log: &Path, from: u64) {
    let mut write_again = AGAIN;
    while let Err(error) = copy(engine, id, log, from, true).await {
        match error {
            CopyError::Log { .. } => {
                tracing::warn!(%error, "the output of a container will be copied later");
                clock::pause(write_again).await;
                write_again = (write_again * 2).min(WRITE_AGAIN_MAX);
            }
            CopyError::Engine(error) if error.is_broken() => {
                tracing::debug!(%error, "the output of a container will be copied later");
                clock::pause(AGAIN).await;
            }
            CopyError::Engine(error) => {
                tracing::warn!(%error, "the output of a container is not copied any further");
                return;
            }
        }
    }
}

/// Copies what is there and was not copied before.
pub(super) async fn copy(
    engine: &Engine,
    id: &str,
    log: &Path,
    from: u64,
    follow: bool,
) -> Result<(), CopyError> {
    let failed = |source| CopyError::Log { path: log.to_owned(), source };
    let (mut file, length) = open(log).await.map_err(failed)?;
    let mut copied = Copied { bytes: length.saturating_sub(from) };
    let mut frames = Frames::default();
    let path = format!("/containers/{id}/logs?stdout=true&stderr=true&follow={follow}");
    let answer = engine.stream(Ask::new(Method::GET, path, "give its log")).await?;
    let mut body = answer.into_body();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|cause| engine.broken(&cause))?;
        let Ok(bytes) = frame.into_data() else { continue };
        let mut output = Vec::new();
        frames.take(&bytes, |_stream, content| output.extend_from_slice(copied.rest_of(content)));
        file.write_all(&output).await.map_err(failed)?;
        file.flush().await.map_err(failed)?;
    }
    Ok(())
}

/// The machine's log and its length.
async fn open(log: &Path) -> io::Result<(File, u64)> {
    let file = File::options().create(true).append(true).open(log).await?;
    let length = file.metadata().await?.len();
    Ok((file, length))
}

/// How much of what comes was copied before.
#[derive(Debug)]
struct Copied {
    bytes: u64,
}

impl Copied {
    /// What is new in the next piece.
    fn rest_of<'a>(&mut self, content: &'a [u8]) -> &'a [u8] {
        let known = usize::try_from(self.bytes).unwrap_or(usize::MAX).min(content.len());
        self.bytes -= known as u64;
        content.get(known..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_goes_on_at_the_very_byte_however_its_pieces_are_cut() {
        let output = b"one\ntwo\nthree\n";
        for cut in 1..output.len() {
            for bytes in [0, 3, 6, 14] {
                let mut copied = Copied { bytes };
                let pieces = output.chunks(cut).flat_map(|piece| copied.rest_of(piece).to_vec());
                let start = usize::try_from(bytes).expect("small");
                assert_eq!(pieces.collect::<Vec<_>>(), output[start..], "cut to {cut}");
            }
        }
    }
}
