//! Packages of ours become others, and come back.
#![expect(clippy::unwrap_used, reason = "a test that fails says so")]

use std::collections::BTreeSet;
use std::io::Cursor;

use convert::{LossKind, Options, Report, read, to_gpkg, to_tar};
use pkgformat::{
    Entry, EntryKind, Limits, Manifest, PackageMeta, PackageRecord, Principal, Reader, Use, Writer, Xattr,
};
use pkgtypes::{Digest, Mode, PkgPath, Timestamp};

const CONTENTS: [&[u8]; 3] = [b"one\n", b"#!/bin/sh\n", b""];

fn path(text: &str) -> PkgPath {
    PkgPath::new(text.as_bytes()).unwrap()
}

fn entry(text: &str, kind: EntryKind) -> Entry {
    Entry { mtime: Timestamp::new(1_600_000_000, 500_000_000).unwrap(), ..Entry::new(path(text), kind) }
}

fn file(text: &str, content: &[u8]) -> Entry {
    let (size, digest) = (content.len() as u64, Digest::of(content));
    entry(text, EntryKind::File { mode: Mode::from_raw(0o4755), size, digest, elf: None })
}

fn meta(name: &str) -> PackageMeta {
    let mut meta = PackageMeta::new(
        name.parse().unwrap(),
        "1.2~rc1".parse().unwrap(),
        "3".parse().unwrap(),
        "x86_64".parse().unwrap(),
    );
    meta.requires = vec!["gentoo:x/a:0 >= 1.0^2 | gentoo:x/b".parse().unwrap(), "zlib".parse().unwrap()];
    meta.conflicts = vec!["gentoo:x/c".parse().unwrap()];
    meta.provides = vec!["gentoo:x/own = 1".parse().unwrap(), "virtual".parse().unwrap()];
    // A script with the content of a file.
    meta.scripts.post_install = Some(Digest::of(CONTENTS[1]));
    meta
}

/// One content at several places, a script that is a file, links, a device, owners, an attribute.
fn package() -> Vec<u8> {
    let mut owned = file("usr/owned", CONTENTS[0]);
    (owned.owner, owned.group) = (Principal::new("ann").unwrap(), Principal::from_id(12));
    owned.xattrs = vec![Xattr { name: b"user.colour".to_vec(), value: b"red\0".to_vec() }];
    owned.uses = BTreeSet::from([Use::Config]);
    let mode = Mode::from_raw(0o755);
    let entries = vec![
        entry("usr", EntryKind::Dir { mode }),
        file("usr/a", CONTENTS[0]),
        Entry::new(path("usr/b"), EntryKind::Hardlink { target: path("usr/a") }),
        file("usr/empty", CONTENTS[2]),
        entry("usr/fifo", EntryKind::Fifo { mode }),
        Entry::new(path("usr/ghost"), EntryKind::Ghost),
        entry("usr/link", EntryKind::Symlink { target: b"a".to_vec() }),
        entry("usr/null", EntryKind::Char { mode, major: 1, minor: 3 }),
        owned,
        file("usr/script", CONTENTS[1]),
        entry("usr/socket", EntryKind::Socket { mode }),
    ];
    let record = PackageRecord::new(meta("sample.x"), Manifest::new(entries).unwrap()).unwrap();
    let mut writer = Writer::new(Vec::new(), &record).unwrap();
    while let Some(due) = writer.due() {
        let content = CONTENTS.iter().find(|content| Digest::of(content) == due.digest).unwrap();
        writer.blob(content.len() as u64, *content).unwrap();
    }
    writer.finish().unwrap().0
}

fn tar(package: &[u8]) -> (Vec<u8>, Report) {
    to_tar(Reader::open(package, Limits::default()).unwrap(), tempfile::tempfile().unwrap(), Vec::new()).unwrap()
}

fn gpkg(package: &[u8]) -> (Vec<u8>, Report) {
    let reader = Reader::open(package, Limits::default()).unwrap();
    let (output, report) = to_gpkg(reader, tempfile::tempfile().unwrap(), Cursor::new(Vec::new())).unwrap();
    (output.into_inner(), report)
}

fn back(bytes: &[u8]) -> PackageRecord {
    let options = Options { meta: Some(meta("other")), ..Options::default() };
    read(bytes, tempfile::tempfile().unwrap(), &options).unwrap().record().clone()
}

/// The entries that an archive can have, without their uses.
fn plain(record: &PackageRecord) -> Vec<Entry> {
    let mut entries = record.manifest().entries().to_vec();
    entries.retain(|entry| !matches!(entry.kind, EntryKind::Ghost | EntryKind::Socket { .. }));
    entries.iter_mut().for_each(|entry| entry.uses.clear());
    entries
}

#[test]
fn every_file_comes_back_from_a_tar_archive() {
    let package = package();
    let (bytes, report) = tar(&package);
    let original = Reader::open(&*package, Limits::default()).unwrap().into_package();
    assert_eq!(plain(&back(&bytes)), plain(&original));
    assert_eq!(tar(&package).0, bytes, "equal packages, equal bytes");
    let losses: Vec<_> = report.losses.iter().map(|loss| (loss.kind, loss.what.as_str())).collect();
    assert_eq!(
        losses,
        [
            (LossKind::Field, "metadata"),
            (LossKind::Script, "post-install"),
            (LossKind::File, "usr/ghost"),
            (LossKind::File, "usr/socket"),
        ]
    );
}

#[test]
fn files_version_and_relations_come_back_from_a_gpkg_container() {
    let package = package();
    let (bytes, report) = gpkg(&package);
    let original = Reader::open(&*package, Limits::default()).unwrap().into_package();
    let record = back(&bytes);
    assert_eq!(plain(&record), plain(&original));
    assert_eq!(gpkg(&package).0, bytes, "equal packages, equal bytes");
    let meta = record.meta();
    assert_eq!((meta.name.as_str(), meta.version.to_string().as_str()), ("sample-x", "1.2~rc1^3"));
    assert_eq!(meta.requires, ["gentoo:x/a:0 >= 1.0^2 | gentoo:x/b".parse().unwrap()]);
    assert_eq!(meta.conflicts, ["gentoo:x/c".parse().unwrap()]);
    let losses: Vec<_> = report.losses.iter().map(|loss| (loss.kind, loss.what.as_str())).collect();
    assert_eq!(
        losses,
        [
            (LossKind::Name, "sample.x"),
            (LossKind::Field, "CATEGORY"),
            (LossKind::Relation, "requires zlib"),
            (LossKind::Relation, "provides virtual"),
            (LossKind::Script, "post-install"),
            (LossKind::File, "usr/ghost"),
            (LossKind::File, "usr/socket"),
        ]
    );
}

#[test]
fn a_damaged_package_is_told() {
    let package = package();
    for at in (0..package.len()).step_by(7) {
        let mut bytes = package.clone();
        bytes[at] ^= 4;
        let Ok(reader) = Reader::open(&*bytes, Limits::default()) else { continue };
        assert!(to_tar(reader, tempfile::tempfile().unwrap(), Vec::new()).is_err(), "byte {at}");
    }
}
