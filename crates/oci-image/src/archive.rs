//! Writes an image as one tar archive that a container engine loads without a registry.
//!
//! The archive is an OCI image layout and, beside it, the older `manifest.json` that engines of
//! before looked for; both name the same blobs. Nothing is unpacked here.

use std::{
    collections::BTreeMap,
    io::{self, Read as _, Write},
};

use serde_json::json;
use tar::{Builder, EntryType};

use crate::{
    ImageDigest,
    build::header,
    layout::{Layout, LayoutError},
    manifest::{Descriptor, INDEX_MEDIA_TYPE, Index, MANIFEST_MEDIA_TYPE, Manifest},
};

/// What every entry of the archive is.
const FILE: EntryType = EntryType::Regular;
const MODE: u32 = 0o644;

/// Why an archive was not written whole.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error("cannot write the archive of the image: {0}")]
    Write(#[from] io::Error),
}

/// Writes the image under the name `repository:tag`. Every blob is verified before it is written.
pub fn write_archive(
    layout: &Layout,
    digest: &ImageDigest,
    repository: &str,
    tag: &str,
    output: impl Write,
) -> Result<(), ArchiveError> {
    let manifest = layout.read_manifest(digest)?;
    let mut archive = Builder::new(output);
    let documents = [
        ("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
        ("index.json", index(layout, digest, &manifest, repository, tag)?),
        ("manifest.json", older_manifest(&manifest, repository, tag)),
    ];
    for (name, bytes) in documents {
        archive.append_data(&mut header(FILE, MODE, bytes.len() as u64), name, bytes.as_slice())?;
    }
    let mut blobs: Vec<&ImageDigest> = manifest.layers.iter().map(|layer| &layer.digest).collect();
    blobs.extend([&manifest.config.digest, digest]);
    // Layers without content are often one blob that is named twice.
    blobs.sort();
    blobs.dedup();
    for blob in blobs {
        layout.verify_blob(blob)?;
        let (file, bytes) = layout.open_blob(blob)?;
        archive.append_data(&mut header(FILE, MODE, bytes), path_of(blob), file.take(bytes))?;
    }
    archive.into_inner()?.flush()?;
    Ok(())
}

fn index(
    layout: &Layout,
    digest: &ImageDigest,
    manifest: &Manifest,
    repository: &str,
    tag: &str,
) -> Result<Vec<u8>, ArchiveError> {
    let annotations = BTreeMap::from([
        ("io.containerd.image.name".to_owned(), format!("{repository}:{tag}")),
        ("org.opencontainers.image.ref.name".to_owned(), tag.to_owned()),
    ]);
    let media_type = manifest.media_type.clone();
    let image = Descriptor {
        media_type: media_type.unwrap_or_else(|| MANIFEST_MEDIA_TYPE.to_owned()),
        digest: digest.clone(),
        size: layout.blob_size_bytes(digest)?,
        annotations,
    };
    let index = Index {
        schema_version: 2,
        media_type: Some(INDEX_MEDIA_TYPE.to_owned()),
        manifests: vec![image],
    };
    Ok(serde_json::to_vec(&index).map_err(io::Error::from)?)
}

fn older_manifest(manifest: &Manifest, repository: &str, tag: &str) -> Vec<u8> {
    let layers: Vec<String> = manifest.layers.iter().map(|layer| path_of(&layer.digest)).collect();
    let image = json!([{
        "Config": path_of(&manifest.config.digest),
        "RepoTags": [format!("{repository}:{tag}")],
        "Layers": layers,
    }]);
    image.to_string().into_bytes()
}

fn path_of(digest: &ImageDigest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store with an image whose one layer is named twice.
    fn image() -> (tempfile::TempDir, Layout, ImageDigest, ImageDigest) {
        let directory = tempfile::tempdir().expect("a directory");
        let layout = Layout::open(directory.path()).expect("a layout");
        let layer = layout.put_blob(b"layer").expect("stored");
        let config = layout.put_blob(b"{}").expect("stored");
        let manifest = format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"c","digest":"{config}","size":2}},
                "layers":[{{"mediaType":"l","digest":"{layer}","size":5}},
                          {{"mediaType":"l","digest":"{layer}","size":5}}]}}"#
        );
        let digest = layout.put_manifest(manifest.as_bytes(), BTreeMap::new()).expect("stored");
        (directory, layout, digest, layer)
    }

    #[test]
    fn an_archive_holds_every_blob_and_both_kinds_of_manifest() {
        let (_directory, layout, digest, layer) = image();
        let mut bytes = Vec::new();
        write_archive(&layout, &digest, "localhost/shop", "one", &mut bytes).expect("written");

        let mut contents = BTreeMap::new();
        for entry in tar::Archive::new(bytes.as_slice()).entries().expect("entries") {
            let mut entry = entry.expect("an entry");
            let path = entry.path().expect("a path").display().to_string();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).expect("read");
            assert!(contents.insert(path, content).is_none(), "each blob stands there once");
        }
        assert_eq!(contents.len(), 6);
        assert_eq!(contents.get(&path_of(&layer)).map(Vec::as_slice), Some(&b"layer"[..]));
        let index: Index = serde_json::from_slice(&contents["index.json"]).expect("an index");
        assert_eq!(index.manifests[0].digest, digest);
        let older = String::from_utf8_lossy(&contents["manifest.json"]);
        assert!(older.contains(r#""RepoTags":["localhost/shop:one"]"#), "{older}");
    }

    #[test]
    fn a_damaged_layer_is_not_handed_to_an_engine() {
        let (_directory, layout, digest, layer) = image();
        std::fs::write(layout.blob_path(&layer), b"loyer").expect("damaged");
        let written = write_archive(&layout, &digest, "localhost/shop", "one", io::sink());
        assert!(matches!(written, Err(ArchiveError::Layout(LayoutError::Corrupt { .. }))));
    }
}
