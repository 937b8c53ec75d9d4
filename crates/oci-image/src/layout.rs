//! An OCI image layout directory: `oci-layout`, `index.json` and `blobs/sha256/…`.
//!
//! A blob appears under its name only when it is whole, on disk and of that digest; it is checked
//! again whenever it is read whole. Nothing is ever removed.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read as _, Write},
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use crate::{
    ImageDigest,
    manifest::{ConfigFile, Descriptor, INDEX_MEDIA_TYPE, Index, MANIFEST_MEDIA_TYPE, Manifest},
};

/// Manifests and configurations are small; a larger one is a mistake or an attack.
pub const DOCUMENT_BYTES_MAX: u64 = 4 << 20;

/// A layout directory, opened. Cheap to clone; several processes may use one directory.
#[derive(Debug, Clone)]
pub struct Layout {
    root: PathBuf,
}

/// Why a layout could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    #[error(
        "cannot {operation} `{path}` in the image store: {source}\nhint: check that the disk is \
         not full and that the directory may be written"
    )]
    Io { operation: &'static str, path: PathBuf, source: io::Error },
    #[error("the image store holds no blob {digest}\nhint: build or push the image again")]
    Missing { digest: ImageDigest },
    #[error(
        "blob {expected} has the content of {actual}\nhint: the file was damaged; remove it and \
         build or push the image again"
    )]
    Corrupt { expected: ImageDigest, actual: ImageDigest },
    #[error("blob {digest} has {actual_bytes} bytes where at most {limit_bytes} are allowed")]
    TooLarge { digest: ImageDigest, actual_bytes: u64, limit_bytes: u64 },
    #[error("`{document}` is not what the OCI image specification says: {source}")]
    Document { document: String, source: serde_json::Error },
    #[error(
        "manifest {digest} names blob {missing}, which is not in the image store\nhint: push the blobs before the manifest"
    )]
    Incomplete { digest: ImageDigest, missing: ImageDigest },
}

impl Layout {
    /// Opens the layout in `root`, or makes one there.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, LayoutError> {
        let layout = Self { root: root.into() };
        for directory in [layout.blob_directory(), layout.staging_directory()] {
            fs::create_dir_all(&directory).map_err(io_error("create", &directory))?;
        }
        let marker = layout.root.join("oci-layout");
        if !marker.exists() {
            layout.replace(&marker, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        }
        Ok(layout)
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether the blob is there.
    pub fn has(&self, digest: &ImageDigest) -> bool {
        self.blob_path(digest).is_file()
    }

    /// Where the blob's file is, if it is there.
    pub fn blob_path(&self, digest: &ImageDigest) -> PathBuf {
        self.blob_directory().join(digest.hex())
    }

    /// Bytes of the blob.
    pub fn blob_size_bytes(&self, digest: &ImageDigest) -> Result<u64, LayoutError> {
        Ok(self.open_blob(digest)?.1)
    }

    /// Opens the blob for reading, with its size in bytes. The content is not verified.
    pub fn open_blob(&self, digest: &ImageDigest) -> Result<(File, u64), LayoutError> {
        let path = self.blob_path(digest);
        match File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file))) {
            Ok((bytes, file)) => Ok((file, bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(LayoutError::Missing { digest: digest.clone() })
            }
            Err(error) => Err(io_error("open", &path)(error)),
        }
    }

    /// Stores bytes and gives their digest.
    pub fn put_blob(&self, bytes: &[u8]) -> Result<ImageDigest, LayoutError> {
        let mut writer = self.blob_writer()?;
        writer.write_all(bytes).map_err(io_error("write", &self.staging_directory()))?;
        Ok(writer.finish(None)?.0)
    }

    /// Starts a blob that is written piece by piece.
    pub fn blob_writer(&self) -> Result<BlobWriter, LayoutError> {
        let staging = self.staging_directory();
        let file = NamedTempFile::new_in(&staging).map_err(io_error("write", &staging))?;
        Ok(BlobWriter { layout: self.clone(), file, hasher: Sha256::new(), bytes: 0 })
    }

    /// Reads a small blob whole and verifies it.
    pub fn read_document(&self, digest: &ImageDigest) -> Result<Vec<u8>, LayoutError> {
        let (file, actual_bytes) = self.open_blob(digest)?;
        if actual_bytes > DOCUMENT_BYTES_MAX {
            let limit_bytes = DOCUMENT_BYTES_MAX;
            return Err(LayoutError::TooLarge {
                digest: digest.clone(),
                actual_bytes,
                limit_bytes,
            });
        }
        let mut bytes = Vec::new();
        file.take(DOCUMENT_BYTES_MAX)
            .read_to_end(&mut bytes)
            .map_err(io_error("read", &self.blob_path(digest)))?;
        verify(digest, ImageDigest::of(&bytes))?;
        Ok(bytes)
    }

    /// Reads every byte of a blob and compares its digest.
    pub fn verify_blob(&self, digest: &ImageDigest) -> Result<(), LayoutError> {
        let (mut file, _) = self.open_blob(digest)?;
        let mut hasher = HashingSink(Sha256::new());
        io::copy(&mut file, &mut hasher).map_err(io_error("read", &self.blob_path(digest)))?;
        verify(digest, ImageDigest::from_hasher(hasher.0))
    }

    /// The manifest of an image.
    pub fn read_manifest(&self, digest: &ImageDigest) -> Result<Manifest, LayoutError> {
        parse(digest, &self.read_document(digest)?)
    }

    /// The configuration of an image.
    pub fn read_config(&self, digest: &ImageDigest) -> Result<ConfigFile, LayoutError> {
        let config = self.read_manifest(digest)?.config.digest;
        parse(&config, &self.read_document(&config)?)
    }

    /// Stores a manifest, whose blobs must all be there already, and lists it in `index.json`.
    pub fn put_manifest(
        &self,
        bytes: &[u8],
        annotations: BTreeMap<String, String>,
    ) -> Result<ImageDigest, LayoutError> {
        let digest = ImageDigest::of(bytes);
        let manifest: Manifest = parse(&digest, bytes)?;
        for part in manifest.layers.iter().chain([&manifest.config]) {
            if !self.has(&part.digest) {
                return Err(LayoutError::Incomplete { digest, missing: part.digest.clone() });
            }
        }
        self.put_blob(bytes)?;
        self.list_in_index(Descriptor {
            media_type: manifest.media_type.unwrap_or_else(|| MANIFEST_MEDIA_TYPE.to_owned()),
            digest: digest.clone(),
            size: bytes.len() as u64,
            annotations,
        })?;
        Ok(digest)
    }

    /// The images that `index.json` lists, oldest first.
    pub fn list(&self) -> Result<Vec<Descriptor>, LayoutError> {
        Ok(self.read_index()?.manifests)
    }

    fn list_in_index(&self, image: Descriptor) -> Result<(), LayoutError> {
        let lock_path = self.root.join("index.lock");
        let lock = File::create(&lock_path).map_err(io_error("create", &lock_path))?;
        // Held until the file is closed at the end of this function: the index is read, changed
        // and replaced, and another process may do the same at this moment.
        lock.lock().map_err(io_error("lock", &lock_path))?;
        let mut index = self.read_index()?;
        index.manifests.retain(|known| known.digest != image.digest);
        index.manifests.push(image);
        let path = self.index_path();
        let bytes = serde_json::to_vec_pretty(&index).map_err(|source| LayoutError::Document {
            document: "index.json".to_owned(),
            source,
        })?;
        self.replace(&path, &bytes)
    }

    fn read_index(&self) -> Result<Index, LayoutError> {
        let path = self.index_path();
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|source| LayoutError::Document {
                document: path.display().to_string(),
                source,
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Index {
                schema_version: 2,
                media_type: Some(INDEX_MEDIA_TYPE.to_owned()),
                manifests: Vec::new(),
            }),
            Err(error) => Err(io_error("read", &path)(error)),
        }
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), LayoutError> {
        let failed = || io_error("write", path);
        let mut file = NamedTempFile::new_in(self.staging_directory()).map_err(failed())?;
        file.write_all(bytes).map_err(failed())?;
        self.place(file, path)
    }

    fn place(&self, file: NamedTempFile, path: &Path) -> Result<(), LayoutError> {
        let failed = || io_error("write", path);
        file.as_file().sync_all().map_err(failed())?;
        file.persist(path).map_err(|error| failed()(error.error))?;
        let directory = path.parent().unwrap_or(&self.root);
        File::open(directory).and_then(|opened| opened.sync_all()).map_err(failed())
    }

    fn index_path(&self) -> PathBuf {
        self.root.join("index.json")
    }

    fn blob_directory(&self) -> PathBuf {
        self.root.join("blobs").join("sha256")
    }

    fn staging_directory(&self) -> PathBuf {
        self.root.join("staging")
    }
}

/// A blob while it is written. Dropped without [`BlobWriter::finish`], it leaves nothing.
#[derive(Debug)]
pub struct BlobWriter {
    layout: Layout,
    file: NamedTempFile,
    hasher: Sha256,
    bytes: u64,
}

impl BlobWriter {
    /// Bytes written till now.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Puts the blob under its name, if it has the digest that is `expected` (any, if none is).
    pub fn finish(self, expected: Option<&ImageDigest>) -> Result<(ImageDigest, u64), LayoutError> {
        let digest = ImageDigest::from_hasher(self.hasher);
        if let Some(expected) = expected {
            verify(expected, digest.clone())?;
        }
        let path = self.layout.blob_path(&digest);
        self.layout.place(self.file, &path)?;
        Ok((digest, self.bytes))
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(bytes.get(..written).unwrap_or(bytes));
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

struct HashingSink(Sha256);

impl Write for HashingSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn verify(expected: &ImageDigest, actual: ImageDigest) -> Result<(), LayoutError> {
    if *expected == actual {
        Ok(())
    } else {
        Err(LayoutError::Corrupt { expected: expected.clone(), actual })
    }
}

fn parse<T: DeserializeOwned>(digest: &ImageDigest, bytes: &[u8]) -> Result<T, LayoutError> {
    serde_json::from_slice(bytes)
        .map_err(|source| LayoutError::Document { document: digest.to_string(), source })
}

pub(crate) fn io_error(
    operation: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> LayoutError {
    let path = path.to_owned();
    move |source| LayoutError::Io { operation, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_document_is_not_read() {
        let directory = tempfile::tempdir().expect("directory");
        let layout = Layout::open(directory.path()).expect("layout");
        let digest = layout.put_blob(b"hello").expect("stored");
        assert_eq!(layout.read_document(&digest).expect("whole"), b"hello");
        fs::write(layout.blob_path(&digest), b"hullo").expect("damaged");
        assert!(matches!(layout.read_document(&digest), Err(LayoutError::Corrupt { .. })));
        assert!(matches!(layout.verify_blob(&digest), Err(LayoutError::Corrupt { .. })));
    }

    #[test]
    fn a_blob_of_another_digest_than_promised_leaves_nothing() {
        let directory = tempfile::tempdir().expect("directory");
        let layout = Layout::open(directory.path()).expect("layout");
        let promised = ImageDigest::of(b"promised");
        let mut writer = layout.blob_writer().expect("writer");
        writer.write_all(b"something else").expect("written");
        assert!(writer.finish(Some(&promised)).is_err());
        assert!(!layout.has(&promised));
        assert_eq!(fs::read_dir(layout.staging_directory()).expect("listed").count(), 0);
    }

    #[test]
    fn a_manifest_whose_layers_are_missing_is_refused() {
        let directory = tempfile::tempdir().expect("directory");
        let layout = Layout::open(directory.path()).expect("layout");
        let absent = ImageDigest::of(b"absent");
        let manifest = format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"x","digest":"{absent}","size":1}},"layers":[]}}"#
        );
        let refused = layout.put_manifest(manifest.as_bytes(), BTreeMap::new());
        assert!(matches!(refused, Err(LayoutError::Incomplete { .. })));
        assert!(layout.list().expect("listed").is_empty());
    }
}
