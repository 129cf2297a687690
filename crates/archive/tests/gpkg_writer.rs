//! Packages for Gentoo of our own.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::{Cursor, Read};

use archive::{ArchiveError, Entry, EntryKind, Gpkg, GpkgOptions, GpkgWriter, Options, read_tar};
use codec::Format;
use pkgtypes::{Mode, PkgPath, Timestamp};

fn entry(path: &str, kind: EntryKind) -> Entry {
    Entry {
        path: PkgPath::new(path.as_bytes()).unwrap(),
        kind,
        mode: Mode::from_raw(0o755),
        mtime: Timestamp::new(7, 500_000_000).unwrap(),
        uid: 0,
        gid: 0,
        user: Some("root".to_owned()),
        group: Some("root".to_owned()),
        xattrs: vec![(b"user.note".to_vec(), b"n".to_vec())],
    }
}

fn content() -> Vec<(Entry, &'static [u8])> {
    let target = PkgPath::new(&b"usr/a"[..]).unwrap();
    vec![
        (entry("usr", EntryKind::Dir), b""),
        (entry("usr/a", EntryKind::File { size: 6 }), b"hello\n"),
        (entry("usr/h", EntryKind::Hardlink { target }), b""),
        (entry("usr/l", EntryKind::Symlink { target: b"a".to_vec() }), b""),
    ]
}

fn metadata() -> Vec<(String, Vec<u8>)> {
    [("CATEGORY", "app-misc\n"), ("PF", "hello-1\n")].map(|(name, text)| (name.to_owned(), text.into())).into()
}

fn write(options: &GpkgOptions) -> Result<Vec<u8>, ArchiveError> {
    let mut writer = GpkgWriter::new(Cursor::new(Vec::new()), "hello-1", &metadata(), options)?;
    for (entry, data) in content() {
        writer.append(&entry, &mut &*data)?;
    }
    Ok(writer.finish()?.into_inner())
}

#[test]
fn what_is_written_is_read_again() {
    for format in [Format::Zstd, Format::Xz, Format::Gzip, Format::Bzip2, Format::Plain] {
        let options = GpkgOptions { format, ..GpkgOptions::default() };
        let bytes = write(&options).unwrap();
        assert_eq!(bytes, write(&options).unwrap(), "equal input gives equal bytes");
        let package = Gpkg::open(Cursor::new(bytes)).unwrap();
        assert_eq!((&*package.metadata().name, &package.metadata().files), ("hello-1", &metadata()));
        let mut seen = Vec::new();
        let each = |entry: &Entry, data: &mut dyn Read| {
            let mut content = Vec::new();
            data.read_to_end(&mut content).map_err(|source| ArchiveError::Io { offset: 0, source })?;
            seen.push((entry.clone(), content));
            Ok(())
        };
        package.read_files::<ArchiveError>(&Options::default(), each).unwrap();
        let due: Vec<_> = content().into_iter().map(|(entry, data)| (entry, data.to_vec())).collect();
        assert_eq!(seen, due, "{format}");
    }
}

/// The order that GLEP 78 asks for, so that metadata can be read without the rest.
#[test]
fn the_order_of_members() {
    let mut names = Vec::new();
    read_tar::<ArchiveError>(&*write(&GpkgOptions::default()).unwrap(), &Options::default(), |entry, _| {
        names.push(entry.path.to_string());
        Ok(())
    })
    .unwrap();
    assert_eq!(names, ["hello-1/gpkg-1", "hello-1/metadata.tar.zst", "hello-1/image.tar.zst", "hello-1/Manifest"]);
}

#[test]
fn names_are_one_component() {
    let refused = |name: &str, file: &str| {
        let metadata = [(file.to_owned(), Vec::new())];
        let error = GpkgWriter::new(Cursor::new(Vec::new()), name, &metadata, &GpkgOptions::default()).err();
        error.map(|error| error.to_string()).unwrap_or_default()
    };
    assert_eq!(refused("a/b", "PF"), "entry `a/b` at byte 0: a name that has a slash");
    assert!(refused("..", "PF").ends_with("`.` and `..` are no components"));
    assert_eq!(refused("a", "x/PF"), "entry `x/PF` at byte 0: a name that has a slash");
    assert!(refused(&"n".repeat(120), "PF").ends_with("a member whose name is too long"));
}
