//! Images that were made to do harm: each is refused with a message of its own, or does none.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use oci_image::ImageDigest;
use oci_image::layout::Layout;
use oci_image::unpack::{Limits, unpack};
use proptest::prelude::*;
use tar::EntryType::{
    self, Block, Char, Directory, Fifo, GNULongLink, GNULongName, GNUSparse, Link, Regular,
    Symlink, XGlobalHeader, XHeader,
};

const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Kind, name, and content or the target of a link.
type Made<'a> = (EntryType, &'a str, &'a str);

/// A tar archive, whose names the `tar` crate itself would not write.
fn archive(entries: &[Made<'_>]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (kind, name, content) in entries {
        let is_file = !matches!(*kind, Symlink | Link);
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
        self.unpacked_within(image, Limits::default())
    }

    fn unpacked_within(&self, image: &ImageDigest, limits: Limits) -> Result<(), String> {
        let root = self.folder.path().join("root");
        let result = unpack(&self.layout, image, &root, limits);
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
    refused_within(layers, Limits::default())
}

fn refused_within(layers: &[(&str, &[u8])], limits: Limits) -> String {
    let store = Store::new();
    let (image, _) = store.image(layers);
    store.unpacked_within(&image, limits).expect_err("it is refused")
}

/// The store after unpacking plain layers.
fn unpacked(layers: &[&[Made<'_>]]) -> Store {
    let store = Store::new();
    let layers: Vec<Vec<u8>> = layers.iter().map(|entries| archive(entries)).collect();
    let layers: Vec<(&str, &[u8])> = layers.iter().map(|bytes| (TAR, bytes.as_slice())).collect();
    let (image, _) = store.image(&layers);
    store.unpacked(&image).expect("unpacked");
    store
}

#[test]
fn each_way_out_of_the_root_is_refused_with_its_own_message() {
    let attacks: [(&[Made<'_>], &str); 13] = [
        (&[(Regular, "../neighbour/file", "x")], "outside its own directory"),
        (&[(Regular, "a/../../neighbour/file", "x")], "outside its own directory"),
        (&[(Directory, "..", "")], "outside its own directory"),
        (&[(Symlink, "out", "/etc")], "wants a link from `out` to `/etc`"),
        (&[(Symlink, "out", "../neighbour")], "wants a link from `out` to `../neighbour`"),
        (&[(Symlink, "up", "a/../..")], "wants a link from `up` to `a/../..`"),
        (&[(Symlink, "here", "."), (Symlink, "up", "here/here/../../neighbour")], "wants a link"),
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
    let store = unpacked(&[&[(Regular, "/etc/app", "inside")]]);
    assert_eq!(store.read("etc/app").as_deref(), Some("inside"));
}

#[test]
fn links_that_stay_inside_are_kept() {
    let store = unpacked(&[&[
        (Regular, "usr/bin/app", "program"),
        (Symlink, "bin", "usr/bin"),
        (Regular, "bin/other", "through the link"),
        (Symlink, "usr/bin/up", "../bin/app"),
    ]]);
    assert_eq!(store.read("usr/bin/other").as_deref(), Some("through the link"));
    assert_eq!(store.read("usr/bin/up").as_deref(), Some("program"));
}

#[test]
fn of_two_entries_with_one_name_the_last_counts() {
    let store =
        unpacked(&[&[(Regular, "a", "first"), (Symlink, "a", "b"), (Regular, "a", "last")]]);
    assert_eq!(store.read("a").as_deref(), Some("last"));
    assert_eq!(store.read("b"), None, "the link was replaced, not written through");
}

#[test]
fn a_whiteout_takes_away_what_a_lower_layer_wrote_and_nothing_above() {
    let lower = [(Regular, "a/gone", "x"), (Regular, "a/kept", "x"), (Regular, "b/c/gone", "x")];
    let upper = [
        (Regular, "a/.wh.gone", ""),
        (Regular, "a/.wh...", ""),
        (Regular, "a/.wh.", ""),
        (Regular, "a/.wh..wh.plnk", ""),
        (Regular, "a/.wh.never", ""),
        (Regular, ".wh.b", ""),
    ];
    let store = unpacked(&[&lower, &upper]);
    assert_eq!((store.read("a/gone"), store.read("a/kept").as_deref()), (None, Some("x")));
    let root = store.folder.path().join("root");
    let names = fs::read_dir(&root).expect("read").chain(fs::read_dir(root.join("a")).expect("a"));
    assert_eq!(names.count(), 2, "no whiteout is written as a file");
}

#[test]
fn a_whiteout_takes_nothing_of_its_own_layer_whichever_comes_first() {
    let lower = [(Regular, "a/old", "x"), (Regular, "file", "old"), (Regular, "b", "old")];
    let new = (Regular, "a/new", "y");
    let whiteouts = [
        (Regular, ".wh.a", ""),
        (Regular, ".wh.file", ""),
        (Directory, "file", ""),
        (Regular, "b", "new"),
        (Regular, ".wh.b", ""),
    ];
    let [first, second, third, fourth, fifth] = whiteouts;
    for upper in
        [[new, first, second, third, fourth, fifth], [first, new, third, second, fourth, fifth]]
    {
        let store = unpacked(&[&lower, &upper]);
        assert_eq!((store.read("a/old"), store.read("a/new").as_deref()), (None, Some("y")));
        assert!(store.folder.path().join("root/file").is_dir());
        assert_eq!(store.read("b").as_deref(), Some("new"));
    }
}

#[test]
fn an_opaque_whiteout_empties_its_directory_of_the_layers_below() {
    let lower = [
        (Regular, "a/old", "x"),
        (Regular, "a/deep/old", "x"),
        (Symlink, "a/link", "../b"),
        (Regular, "b/old", "x"),
    ];
    let opaque = (Regular, "a/.wh..wh..opq", "");
    let made = [(Regular, "a/new", "y"), (Regular, "a/deep/new", "y")];
    let [one, two] = made;
    for upper in [[opaque, one, two], [one, two, opaque], [one, opaque, two]] {
        let store = unpacked(&[&lower, &upper]);
        assert_eq!((store.read("a/old"), store.read("a/deep/old")), (None, None));
        assert_eq!(store.read("a/link/old"), None);
        assert_eq!(store.read("a/new").as_deref(), Some("y"));
        assert_eq!(store.read("a/deep/new").as_deref(), Some("y"));
        assert_eq!(store.read("b/old").as_deref(), Some("x"), "only below its directory");
    }
    let store = unpacked(&[&lower, &[(Regular, ".wh..wh..opq", ""), (Regular, "new", "y")]]);
    assert_eq!(fs::read_dir(store.folder.path().join("root")).map(Iterator::count).ok(), Some(1));
}

/// Else a layer with as many whiteouts as files in one directory would keep a processor busy for
/// hours. The directory that a whiteout of nothing makes would go if its parent were read again.
#[test]
fn a_directory_is_emptied_once_however_many_whiteouts_name_it() {
    let lower = [(Regular, "a/old", "x")];
    for whiteout in ["a/.wh..wh..opq", ".wh.a"] {
        let again = (Regular, whiteout, "");
        let shown = (Regular, "a/shown/.wh.nothing", "");
        let store = unpacked(&[&lower, &[(Regular, "a/new", "y"), again, shown, again, again]]);
        assert_eq!((store.read("a/old"), store.read("a/new").as_deref()), (None, Some("y")));
        assert!(store.folder.path().join("root/a/shown").is_dir(), "{whiteout}");
        // The next layer hides what this one has made.
        let store = unpacked(&[&lower, &[(Regular, "a/b", "y"), again], &[again]]);
        assert_eq!(store.read("a/b"), None, "{whiteout}");
    }
}

#[test]
fn a_whiteout_through_a_link_stays_inside() {
    let lower = [(Regular, "b/gone", "x"), (Symlink, "a", "b")];
    let store = unpacked(&[&lower, &[(Regular, "a/.wh.gone", "")]]);
    assert_eq!(store.read("b/gone"), None);
}

/// Longer than what a reader may hold in memory before an entry.
const TOO_LONG: usize = 2 << 20;

#[test]
fn headers_that_would_fill_the_memory_are_refused() {
    let long = "a".repeat(TOO_LONG);
    for kind in [GNULongName, GNULongLink, XHeader] {
        let bytes = archive(&[(kind, "././@LongLink", &long), (Regular, "a", "x")]);
        for (media_type, bytes) in [(TAR, bytes.clone()), (GZIP, gzipped(&bytes))] {
            let told = refused(&[(media_type, &bytes)]);
            assert!(told.contains("an entry's headers are too long"), "{kind:?}: {told}");
        }
    }
    // A list of pieces that never ends.
    let mut header = sparse_header(0, 0);
    let extended = header.as_mut_bytes().get_mut(482).expect("the flag");
    *extended = 1;
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    let mut piece = [0_u8; 512];
    *piece.get_mut(504).expect("the flag") = 1;
    for _ in 0..TOO_LONG / piece.len() {
        bytes.extend(piece);
    }
    assert!(refused(&[(TAR, &bytes)]).contains("an entry's headers are too long"));
}

#[test]
fn attributes_that_are_for_no_entry_are_passed_over_whatever_their_length() {
    let long = "a".repeat(TOO_LONG);
    let store = unpacked(&[&[(XGlobalHeader, "global", &long), (Regular, "a", "x")]]);
    assert_eq!(store.read("a").as_deref(), Some("x"));
}

#[test]
fn a_path_that_no_file_can_have_is_refused_without_being_shown() {
    let long = "a/".repeat(3000);
    let attacks: [&[Made<'_>]; 2] = [
        &[(GNULongName, "././@LongLink", &long), (Regular, "a", "x")],
        &[(GNULongLink, "././@LongLink", &long), (Symlink, "a", "x")],
    ];
    for entries in attacks {
        let told = refused(&[(TAR, &archive(entries))]);
        assert_eq!(told, "the image holds a path of 6000 bytes, but at most 4096 are possible");
    }
}

const FEW: Limits = Limits { unpacked_bytes: 10_000, entries: 10 };

#[test]
fn an_image_that_unpacks_to_too_much_is_refused() {
    let half = archive(&[(Regular, "a", &"x".repeat(6_000))]);
    let bomb = gzipped(&archive(&[(Regular, "a", &"x".repeat(1_000_000))]));
    assert!(bomb.len() < 10_000, "it is small as long as it is packed");
    let mut hole = sparse_header(5_000_000_000_000, 5_000_000_000_000);
    hole.set_cksum();
    let deep = archive(&[(Regular, "a/b/c/d/e/f/g/h/i/j/k", "")]);
    let names: Vec<String> = (0..6).map(|number| format!("file-{number}")).collect();
    let files: Vec<Made<'_>> = names.iter().map(|name| (Regular, name.as_str(), "")).collect();
    let files = archive(&files);
    let attacks: [&[(&str, &[u8])]; 5] = [
        &[(TAR, &half), (TAR, &half)],
        &[(GZIP, &bomb)],
        &[(TAR, hole.as_bytes())],
        &[(TAR, &deep)],
        &[(TAR, &files), (TAR, &files)],
    ];
    for attack in attacks {
        let told = refused_within(attack, FEW);
        assert!(told.contains("more than 10000 bytes or 10 files\nhint: "), "{told}");
    }
}

#[test]
fn bytes_that_become_no_file_are_counted_too() {
    let filling = "x".repeat(1_000_000);
    let bytes = gzipped(&archive(&[(XGlobalHeader, "global", &filling)]));
    let told = refused_within(&[(GZIP, &bytes)], FEW);
    assert!(told.contains("the image is too long"), "{told}");
    // Nor are many layers allowed what one is not.
    let filling = "x".repeat(12_000);
    let bytes = archive(&[(XGlobalHeader, "global", &filling), (Regular, "a", "x")]);
    let store = Store::new();
    let (image, _) = store.image(&[(TAR, &bytes)]);
    store.unpacked_within(&image, FEW).expect("few enough bytes");
    let told = refused_within(&[(TAR, &bytes), (TAR, &bytes)], FEW);
    assert!(told.contains("the image is too long"), "{told}");
}

#[test]
fn more_layers_than_an_image_can_have_are_refused() {
    let empty = archive(&[]);
    let layers = vec![(TAR, empty.as_slice()); 128];
    assert_eq!(refused(&layers), "the image has 128 layers, but at most 127 are unpacked");
    let store = Store::new();
    let (image, _) = store.image(layers.get(1..).expect("one less"));
    store.unpacked(&image).expect("unpacked");
}

#[test]
fn a_layer_of_several_gzip_files_is_read_to_its_end() {
    let whole = archive(&[(Regular, "a", "x"), (Regular, "b", "y")]);
    let (first, second) = whole.split_at(1024);
    let bytes = [gzipped(first), gzipped(second)].concat();
    let store = Store::new();
    let (image, _) = store.image(&[(GZIP, &bytes)]);
    store.unpacked(&image).expect("unpacked");
    assert_eq!((store.read("a").as_deref(), store.read("b").as_deref()), (Some("x"), Some("y")));
}

/// A file that has a hole of so many bytes and nothing else.
fn sparse_header(hole_bytes: u64, real_bytes: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    put(&mut header, 0, "holes");
    header.set_entry_type(GNUSparse);
    header.set_mode(0o644);
    header.set_size(0);
    let gnu = header.as_gnu_mut().expect("a header of GNU tar");
    gnu.set_real_size(real_bytes);
    if let Some(piece) = gnu.sparse.first_mut() {
        piece.set_offset(hole_bytes);
        piece.set_length(0);
    }
    header
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_archive_reaches_the_neighbour(
        entries in prop::collection::vec(
            (
                prop::sample::select(vec![Regular, Symlink, Link, Directory]),
                "(\\.\\./|a/|b/|neighbour/|\\./){0,3}(a|b|file|\\.\\.|\\.wh\\.(a|\\.wh\\.\\.opq))",
                "(\\.\\./|a/|b/|\\./){0,4}(a|b|neighbour|file|\\.|\\.\\.)",
            ),
            1..8,
        )
    ) {
        let entries: Vec<Made<'_>> = entries
            .iter()
            .map(|(kind, name, content)| (*kind, name.as_str(), content.as_str()))
            .collect();
        let store = Store::new();
        let (image, _) = store.image(&[(TAR, &archive(&entries))]);
        // The store asserts that the neighbour is untouched, whatever the result is.
        drop(store.unpacked(&image));
    }
}
