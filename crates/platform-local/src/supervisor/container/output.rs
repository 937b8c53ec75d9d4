//! Copies what a container writes from the engine's log to the machine's log.
//!
//! The engine keeps the whole output of a container. How much of it was copied is known from the
//! length of the machine's log alone, so that after a crash of the platform the copy goes on at
//! the very byte: no line is lost and none is there twice.

use std::{io, path::Path, time::Duration};

use http_body_util::BodyExt as _;
use hyper::Method;
use tokio::{fs::File, io::AsyncWriteExt as _};

use super::engine::{Ask, Engine, EngineError};
use crate::clock;

/// Between two tries while the engine does not answer.
const AGAIN: Duration = Duration::from_secs(1);

/// A stream's number, three zeros, and the length of what follows.
const HEADER_BYTES: usize = 8;

/// Copies until the container has ended. `from` is the length that the machine's log had when the
/// container was made.
pub(super) async fn follow(engine: &Engine, id: &str, log: &Path, from: u64) {
    while let Err(error) = copy(engine, id, log, from, true).await {
        if !error.is_broken() {
            tracing::warn!(%error, "the output of a container is not copied any further");
            return;
        }
        tracing::debug!(%error, "the output of a container will be copied later");
        clock::pause(AGAIN).await;
    }
}

/// Copies what is there and was not copied before.
pub(super) async fn copy(
    engine: &Engine,
    id: &str,
    log: &Path,
    from: u64,
    follow: bool,
) -> Result<(), EngineError> {
    let failed = |error: io::Error| engine.broken(&format!("{}: {error}", log.display()));
    let mut file = File::options().create(true).append(true).open(log).await.map_err(failed)?;
    let length = file.metadata().await.map_err(failed)?.len();
    let mut frames = Frames { skip: length.saturating_sub(from), ..Frames::default() };
    let path = format!("/containers/{id}/logs?stdout=true&stderr=true&follow={follow}");
    let answer = engine.stream(Ask::new(Method::GET, path, "give its log")).await?;
    let mut body = answer.into_body();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|cause| engine.broken(&cause))?;
        let Ok(bytes) = frame.into_data() else { continue };
        let output = frames.take(&bytes);
        file.write_all(&output).await.map_err(failed)?;
        file.flush().await.map_err(failed)?;
    }
    Ok(())
}

/// Takes the engine's frames apart, however the network cut them.
#[derive(Debug, Default)]
struct Frames {
    /// Bytes of output that were copied before.
    skip: u64,
    header: Vec<u8>,
    /// Bytes of the present frame that are still to come.
    left: usize,
}

impl Frames {
    /// What is new in these bytes.
    fn take(&mut self, mut bytes: &[u8]) -> Vec<u8> {
        let mut output = Vec::new();
        while !bytes.is_empty() {
            if self.left == 0 {
                let (header, rest) =
                    bytes.split_at(bytes.len().min(HEADER_BYTES - self.header.len()));
                self.header.extend_from_slice(header);
                bytes = rest;
                if let [_, _, _, _, length @ ..] = self.header.as_slice()
                    && let Ok(length) = <[u8; 4]>::try_from(length)
                {
                    self.left = usize::try_from(u32::from_be_bytes(length)).unwrap_or(0);
                    self.header.clear();
                }
                continue;
            }
            let (content, rest) = bytes.split_at(bytes.len().min(self.left));
            self.left -= content.len();
            bytes = rest;
            let known = usize::try_from(self.skip).unwrap_or(usize::MAX).min(content.len());
            self.skip -= known as u64;
            output.extend_from_slice(content.get(known..).unwrap_or_default());
        }
        output
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_goes_on_at_the_very_byte_however_the_frames_are_cut() {
        let mut stream = Vec::new();
        for (number, line) in [(1, "one\n"), (2, "two\n"), (1, "three\n")] {
            stream.extend([number, 0, 0, 0, 0, 0, 0, u8::try_from(line.len()).expect("short")]);
            stream.extend(line.as_bytes());
        }
        for cut in 1..stream.len() {
            for skip in [0, 3, 6, 14] {
                let mut frames = Frames { skip, ..Frames::default() };
                let copied: Vec<u8> =
                    stream.chunks(cut).flat_map(|piece| frames.take(piece)).collect();
                let skip = usize::try_from(skip).expect("small");
                assert_eq!(copied, b"one\ntwo\nthree\n"[skip..], "cut to {cut}");
            }
        }
    }
}
