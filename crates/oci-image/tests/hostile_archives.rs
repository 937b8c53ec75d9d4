//! Images that were made to do harm: each is refused with a message of its own, or does none.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use oci_image::ImageDigest;
use oci_image::layout::Layout;
use oci_image::unpack::unpack;
use tar::EntryType::{self, Block, Char, Directory, Fifo, Link, Regular, Symlink};

const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Kind, name, and content or the target of a link.
type Made<'a> = (EntryType, &'a str, &'a str);

/// A tar archive, whose names the `tar` crate itself would not write.
fn archive(entries: &[Made<'_>]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (kind, name, content) in entries {
        let is_file = *kind == Regular;
        let mut header = tar::Header::new_gnu();
        put(&mut header, 0, name);
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        header.set_size(if is_file { content.len() as u64 } else { 0 });
        if !is_file {
            put(&mut header, 157, content);
        }
        header.set_cksum();
        let data: &[u8] = if is_file { content.as_bytes() } else { &[] };
        archive.append(&header, data).expect("appended");
    }
    archive.into_inner().expect("an archive")
}

fn put(header: &mut tar::Header, offset: usize, text: &str) {
    let place = header.as_mut_bytes().get_mut(offset..offset + text.len());
    place.expect("it fits").copy_from_slice(text.as_bytes());
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("written");
    encoder.finish().expect("finished")
}

/// An image in a store, with the folder that it is unpacked into beside a neighbour.
struct Store {
    folder: tempfile::TempDir,
    layout: Layout,
}

impl Store {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("neighbour")).expect("made");
        fs::write(folder.path().join("neighbour/file"), "untouched").expect("written");
        let layout = Layout::open(folder.path().join("layout")).expect("a layout");
        Self { folder, layout }
    }

    fn image(&self, layers: &[(&str, &[u8])]) -> (ImageDigest, Vec<ImageDigest>) {
        let config =
            br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
        let config = self.layout.put_blob(config).expect("stored");
        let digests: Vec<ImageDigest> =
            layers.iter().map(|(_, bytes)| self.layout.put_blob(bytes).expect("stored")).collect();
        let listed: Vec<String> = layers
            .iter()
            .zip(&digests)
            .map(|((media_type, _), digest)| {
                format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":1}}"#)
            })
            .collect();
        let manifest = format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"c","digest":"{config}","size":1}},"layers":[{}]}}"#,
            listed.join(",")
        );
        let digest = self.layout.put_manifest(manifest.as_bytes(), BTreeMap::new());
        (digest.expect("listed"), digests)
    }

    /// Unpacks; the neighbour must stay as it was whatever comes of it.
    fn unpacked(&self, image: &ImageDigest) -> Result<(), String> {
        let root = self.folder.path().join("root");
        let result = unpack(&self.layout, image, &root);
        let neighbour = self.folder.path().join("neighbour");
        assert_eq!(fs::read_to_string(neighbour.join("file")).ok().as_deref(), Some("untouched"));
        assert_eq!(fs::read_dir(neighbour).map(Iterator::count).ok(), Some(1));
        result.map(drop).map_err(|error| error.to_string())
    }

    fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.folder.path().join("root").join(name)).ok()
    }
}

fn refused(layers: &[(&str, &[u8])]) -> String {
    let store = Store::new();
    let (image, _) = store.image(layers);
    store.unpacked(&image).expect_err("it is refused")
}

#[test]
fn each_way_out_of_the_root_is_refused_with_its_own_message() {
    let attacks: [(&[Made<'_>], &str); 12] = [
        (&[(Regular, "../neighbour/file", "x")], "outside its own directory"),
        (&[(Regular, "a/../../neighbour/file", "x")], "outside its own directory"),
        (&[(Directory, "..", "")], "outside its own directory"),
        (&[(Symlink, "out", "/etc")], "wants a link from `out` to `/etc`"),
        (&[(Symlink, "out", "../neighbour")], "wants a link from `out` to `../neighbour`"),
        (&[(Symlink, "up", "a/../..")], "wants a link from `up` to `a/../..`"),
        (&[(Link, "file", "../neighbour/file")], "outside its own directory"),
        (&[(Link, "file", "")], "wants a link"),
        (&[(Char, "device", "")], "holds `device`, a device or another special file"),
        (&[(Block, "disk", "")], "holds `disk`, a device or another special file"),
        (&[(Fifo, "pipe", "")], "holds `pipe`, a device or another special file"),
        (&[(Link, "file", "absent")], "cannot unpack"),
    ];
    for (entries, expected) in attacks {
        let told = refused(&[(TAR, &archive(entries))]);
        assert!(told.contains(expected), "{entries:?}: {told}");
    }
}

#[test]
fn absolute_names_stay_below_the_root() {
    let store = Store::new();
    let (image, _) = store.image(&[(TAR, &archive(&[(Regular, "/etc/app", "inside")]))]);
    store.unpacked(&image).expect("unpacked");
    assert_eq!(store.read("etc/app").as_deref(), Some("inside"));
}

#[test]
fn of_two_entries_with_one_name_the_last_counts() {
    let store = Store::new();
    let entries = [(Regular, "a", "first"), (Symlink, "a", "b"), (Regular, "a", "last")];
    let (image, _) = store.image(&[(TAR, &archive(&entries))]);
    store.unpacked(&image).expect("unpacked");
    assert_eq!(store.read("a").as_deref(), Some("last"));
    assert_eq!(store.read("b"), None, "the link was replaced, not written through");
}

#[test]
fn a_whiteout_takes_away_what_a_lower_layer_wrote_and_nothing_above() {
    let store = Store::new();
    let lower = archive(&[(Regular, "a/gone", "x"), (Regular, "a/kept", "x")]);
    let upper = archive(&[(Regular, "a/.wh.gone", ""), (Regular, "a/.wh...", "")]);
    let (image, _) = store.image(&[(TAR, &lower), (TAR, &upper)]);
    store.unpacked(&image).expect("unpacked");
    assert_eq!((store.read("a/gone"), store.read("a/kept").as_deref()), (None, Some("x")));
}

#[test]
fn a_layer_that_ends_too_soon_is_told_by_its_digest() {
    let whole = archive(&[(Regular, "a", &"x".repeat(9000))]);
    let zipped = gzipped(&whole);
    for (media_type, bytes) in [
        (TAR, whole.get(..4000).expect("a part")),
        (GZIP, zipped.get(..zipped.len() / 2).expect("a part")),
        (GZIP, b"this is no gzip".as_slice()),
    ] {
        let told = refused(&[(media_type, bytes)]);
        let named = ImageDigest::of(bytes).to_string();
        assert!(told.contains(&named) || told.contains("cannot unpack"), "{told}");
    }
}

#[test]
fn a_layer_of_another_digest_than_promised_is_not_read() {
    let store = Store::new();
    let (image, layers) = store.image(&[(TAR, &archive(&[(Regular, "a", "right")]))]);
    let layer = layers.first().expect("one layer");
    fs::write(store.layout.blob_path(layer), archive(&[(Regular, "a", "wrong")])).expect("written");
    let told = store.unpacked(&image).expect_err("it is refused");
    assert!(told.contains("has the content of"), "{told}");
    assert_eq!(store.read("a"), None);
}

#[test]
fn a_layer_of_an_unknown_type_is_told_by_that_type() {
    let told = refused(&[("application/x-rar", b"x")]);
    assert!(told.contains("`application/x-rar`") && told.contains("hint: "), "{told}");
}
