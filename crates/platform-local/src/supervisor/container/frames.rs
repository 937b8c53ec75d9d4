//! Takes apart the frames in which an engine sends the output of a container, however the network
//! cut them. What becomes of the output is the caller's business.

/// A stream's number, three zeros, and the length of what follows.
const HEADER_BYTES: usize = 8;

/// The number of the stream of errors; everything else is output.
pub(super) const ERRORS: u8 = 2;

/// A reader of frames.
#[derive(Debug, Default)]
pub(super) struct Frames {
    header: Vec<u8>,
    /// Of the present frame.
    stream: u8,
    /// Bytes of the present frame that are still to come.
    left: usize,
}

impl Frames {
    /// Hands out what these bytes hold, piece by piece with the number of its stream.
    pub(super) fn take(&mut self, mut bytes: &[u8], mut sink: impl FnMut(u8, &[u8])) {
        while !bytes.is_empty() {
            if self.left == 0 {
                let (header, rest) =
                    bytes.split_at(bytes.len().min(HEADER_BYTES - self.header.len()));
                self.header.extend_from_slice(header);
                bytes = rest;
                if let [stream, _, _, _, length @ ..] = self.header.as_slice()
                    && let Ok(length) = <[u8; 4]>::try_from(length)
                {
                    self.stream = *stream;
                    self.left = usize::try_from(u32::from_be_bytes(length)).unwrap_or(0);
                    self.header.clear();
                }
                continue;
            }
            let (content, rest) = bytes.split_at(bytes.len().min(self.left));
            self.left -= content.len();
            bytes = rest;
            sink(self.stream, content);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stream_is_whole_however_the_frames_are_cut() {
        let mut sent = Vec::new();
        for (stream, line) in [(1, "one\n"), (ERRORS, "two\n"), (1, ""), (1, "three\n")] {
            sent.extend([stream, 0, 0, 0, 0, 0, 0, u8::try_from(line.len()).expect("short")]);
            sent.extend(line.as_bytes());
        }
        for cut in 1..sent.len() {
            let (mut frames, mut output, mut errors) = (Frames::default(), Vec::new(), Vec::new());
            for piece in sent.chunks(cut) {
                frames.take(piece, |stream, content| {
                    if stream == ERRORS { &mut errors } else { &mut output }.extend(content);
                });
            }
            assert_eq!(
                (output.as_slice(), errors.as_slice()),
                (&b"one\nthree\n"[..], &b"two\n"[..])
            );
        }
    }
}
