//! The layer of an image: unpacking reaches nothing outside of its directory and keeps to its
//! limits.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use oci_image::ImageDigest;
use oci_image::layout::Layout;
use oci_image::unpack::{Limits, unpack};
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

use crate::mutate::Mutator;

const LIMITS: Limits = Limits { unpacked_bytes: 1 << 20, entries: 200 };

const BLOCK_BYTES: usize = 512;

/// How a file that gzip has written begins.
const GZIP_BEGINNING: &[u8] = &[0x1f, 0x8b];

/// An image store, and a neighbour of the directory that images are unpacked into.
pub(crate) struct Store {
    folder: TempDir,
    layout: Layout,
    config: ImageDigest,
}

impl Store {
    pub(super) fn new() -> io::Result<Self> {
        // In memory where there is such a folder: nothing here has to last.
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() }?;
        fs::create_dir(folder.path().join("neighbour"))?;
        fs::write(folder.path().join("neighbour/file"), "untouched")?;
        let layout = Layout::open(folder.path().join("layout")).map_err(io::Error::other)?;
        let config =
            br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
        let config = layout.put_blob(config).map_err(io::Error::other)?;
        Ok(Self { folder, layout, config })
    }

    pub(super) fn attempt(&mut self, input: &[u8]) {
        // The input stands for two layers, so that the second meets what the first has left.
        let lower = self.layout.put_blob(input).expect("stored");
        let is_gzip = input.starts_with(GZIP_BEGINNING);
        let media_type = if is_gzip { "layer.tar+gzip" } else { "layer.tar" };
        let layer = format!(r#"{{"mediaType":"{media_type}","digest":"{lower}","size":1}}"#);
        let config = &self.config;
        let manifest = format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"c","digest":"{config}","size":1}},"layers":[{layer},{layer}]}}"#
        );
        let manifest = self.layout.put_blob(manifest.as_bytes()).expect("stored");
        let root = self.folder.path().join("root");
        drop(unpack(&self.layout, &manifest, &root, LIMITS));

        let (mut files, mut bytes) = (0, 0);
        look(&root, &root, &mut files, &mut bytes);
        assert!(files <= LIMITS.entries && bytes <= LIMITS.unpacked_bytes + 1, "{files} {bytes}");
        let neighbour = self.folder.path().join("neighbour");
        assert_eq!(fs::read(neighbour.join("file")).expect("it is there"), b"untouched");
        assert_eq!(fs::read_dir(neighbour).expect("it is there").count(), 1);
        assert_eq!(fs::read_dir(self.folder.path()).expect("it is there").count(), 3);
        fs::remove_dir_all(&root).expect("everything can be removed");
        for blob in [lower, manifest] {
            fs::remove_file(self.layout.blob_path(&blob)).expect("it was stored");
        }
    }
}

/// Counts what was unpacked. Links lead to places inside, if anywhere.
fn look(folder: &Path, root: &Path, files: &mut usize, bytes: &mut u64) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("it can be listed").path();
        let metadata = fs::symlink_metadata(&path).expect("it is there");
        *files += 1;
        if metadata.is_dir() {
            look(&path, root, files, bytes);
        } else if metadata.is_symlink() {
            let real = path.canonicalize();
            assert!(
                !real.is_ok_and(|real| !real.starts_with(root)),
                "{} leads outside",
                path.display()
            );
        } else {
            assert!(metadata.is_file(), "{} is a special file", path.display());
            *bytes += metadata.len();
        }
    }
}

/// One archive with everything that the unpacker knows, and each of its halves.
pub(super) fn seeds() -> io::Result<Vec<Vec<u8>>> {
    let long = "long/".repeat(30);
    let parts: [&[(EntryType, &str, &str)]; 3] = [
        &[
            (EntryType::Directory, "a/", ""),
            (EntryType::Regular, "a/file", "content"),
            (EntryType::Symlink, "a/link", "../b"),
            (EntryType::Symlink, "here", "."),
            (EntryType::Link, "b", "a/file"),
            (EntryType::Regular, "./here/c", "through a link"),
        ],
        &[
            (EntryType::Regular, "a/.wh.file", ""),
            (EntryType::Regular, "a/.wh..wh..opq", ""),
            (EntryType::Regular, "a/new", "content"),
            (EntryType::Regular, "../neighbour/file", "content"),
            (EntryType::Char, "device", ""),
        ],
        &[
            (EntryType::GNULongName, "././@LongLink", &long),
            (EntryType::Regular, "short", "content"),
            (EntryType::XHeader, "attributes", "15 path=a/file\n21 linkpath=../../b\n12 size=99\n"),
            (EntryType::Symlink, "link", "b"),
            (EntryType::XGlobalHeader, "global", "9 a=b\n"),
            (EntryType::GNUSparse, "holes", ""),
        ],
    ];
    let mut seeds = parts.map(archive).into_iter().collect::<io::Result<Vec<_>>>()?;
    let whole = archive(&parts.concat())?;
    let mut zipped = GzEncoder::new(Vec::new(), Compression::fast());
    zipped.write_all(&whole)?;
    seeds.extend([whole, zipped.finish()?]);
    Ok(seeds)
}

fn archive(entries: &[(EntryType, &str, &str)]) -> io::Result<Vec<u8>> {
    let mut archive = Builder::new(Vec::new());
    for (kind, name, content) in entries {
        let is_link = matches!(kind, EntryType::Symlink | EntryType::Link);
        let data: &[u8] = if is_link { &[] } else { content.as_bytes() };
        let mut header = Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        header.set_size(data.len() as u64);
        // As they are: the crate would not write such names.
        let fields = header.as_mut_bytes();
        let (name, linked) = (name.bytes(), content.bytes().filter(|_| is_link));
        fields.iter_mut().zip(name).for_each(|(place, byte)| *place = byte);
        fields.iter_mut().skip(157).zip(linked).for_each(|(place, byte)| *place = byte);
        header.set_cksum();
        archive.append(&header, data)?;
    }
    archive.into_inner()
}

pub(super) fn varied(mutator: &mut Mutator, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = mutator.bytes(seeds);
    // A wrong sum ends the reading at once, which seldom finds anything.
    if !mutator.one_in(5) && !bytes.starts_with(GZIP_BEGINNING) {
        correct_sums(&mut bytes);
    }
    bytes
}

/// Gives every header its right sum, as far as the sizes lead from one to the next.
fn correct_sums(bytes: &mut [u8]) {
    let mut start = 0;
    while let Some(block) = bytes.get_mut(start..start + BLOCK_BYTES) {
        let header = Header::from_byte_slice(block);
        let size = usize::try_from(header.entry_size().unwrap_or_default()).unwrap_or_default();
        let mut corrected = header.clone();
        corrected.set_cksum();
        if header.as_bytes().iter().any(|byte| *byte != 0) {
            block.copy_from_slice(corrected.as_bytes());
        }
        start += BLOCK_BYTES.saturating_add(size.div_ceil(BLOCK_BYTES).saturating_mul(BLOCK_BYTES));
        if start > bytes.len() {
            return;
        }
    }
}
