//! Reads the entries of one layer, plain or gzip, in bounded memory. What becomes of an entry is
//! decided elsewhere.

use std::cell::Cell;
use std::io::{self, BufReader, Read};

use flate2::read::MultiGzDecoder;
use tar::{Archive, Entry};

use super::{Limits, UnpackError};
use crate::{layout::Layout, manifest::Descriptor};

/// The names, links and attributes before one entry are held in memory; Go's reader, with which
/// most images are made, allows them as much.
const HEADER_BYTES_MAX: u64 = 1 << 20;

/// An entry's own header, and what fills its content up to a whole block.
const FRAME_BYTES: u64 = 1024;

/// How much may still be read of an image, so that a few packed bytes, or many layers, cannot keep
/// a processor busy for hours.
pub(super) struct Budget {
    archive_bytes: Cell<u64>,
    /// Of contents that nobody wants. Holes of a file are no bytes of an archive, but take their
    /// time to read.
    unused_bytes: u64,
}

impl Budget {
    pub(super) fn of(limits: Limits) -> Self {
        let frames_bytes = (limits.entries as u64).saturating_mul(FRAME_BYTES);
        Self {
            archive_bytes: Cell::new(limits.unpacked_bytes.saturating_add(frames_bytes)),
            unused_bytes: limits.unpacked_bytes,
        }
    }
}

/// Hands over the entries, in the order of the archive.
pub(super) fn for_each_entry(
    layout: &Layout,
    layer: &Descriptor,
    budget: &mut Budget,
    mut visit: impl FnMut(&mut Entry<'_, Bounded<'_>>) -> Result<(), UnpackError>,
) -> Result<(), UnpackError> {
    let (file, _) = layout.open_blob(&layer.digest)?;
    let file = BufReader::new(file);
    let inner: Box<dyn Read> = if layer.media_type.ends_with("gzip") {
        // Some tools write a layer as several gzip files, one behind the other.
        Box::new(MultiGzDecoder::new(file))
    } else if layer.media_type.ends_with("tar") {
        Box::new(file)
    } else {
        let media_type = layer.media_type.clone();
        return Err(UnpackError::MediaType { layer: layer.digest.clone(), media_type });
    };
    let Budget { archive_bytes, unused_bytes } = budget;
    let allowance = Allowance { archive_bytes, header_bytes: Cell::new(HEADER_BYTES_MAX) };
    let bad = |source| UnpackError::Archive { layer: layer.digest.clone(), source };
    let mut archive = Archive::new(Bounded { inner, allowance: &allowance });
    for entry in archive.entries().map_err(bad)? {
        let mut entry = entry.map_err(bad)?;
        allowance.header_bytes.set(u64::MAX);
        visit(&mut entry)?;
        // What is left of the content is passed over here, so that it does not count as the
        // headers of the next entry.
        *unused_bytes -= io::copy(&mut entry.take(*unused_bytes), &mut io::sink()).map_err(bad)?;
        allowance.header_bytes.set(HEADER_BYTES_MAX);
    }
    Ok(())
}

/// How much may still be read.
struct Allowance<'a> {
    /// Of all archives of the image.
    archive_bytes: &'a Cell<u64>,
    /// Of the headers before the next entry, which the archive's reader collects in memory.
    header_bytes: Cell<u64>,
}

/// A reader that refuses to go on where its allowance is used up.
pub(super) struct Bounded<'a> {
    inner: Box<dyn Read>,
    allowance: &'a Allowance<'a>,
}

impl Read for Bounded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Allowance { archive_bytes, header_bytes } = self.allowance;
        let allowed = archive_bytes.get().min(header_bytes.get());
        if allowed == 0 && !buffer.is_empty() {
            let told = if header_bytes.get() == 0 {
                "an entry's headers are too long"
            } else {
                "the image is too long"
            };
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, told));
        }
        let wanted = usize::try_from(allowed).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.inner.read(buffer.get_mut(..wanted).unwrap_or_default())?;
        archive_bytes.set(archive_bytes.get().saturating_sub(read as u64));
        header_bytes.set(header_bytes.get().saturating_sub(read as u64));
        Ok(read)
    }
}
