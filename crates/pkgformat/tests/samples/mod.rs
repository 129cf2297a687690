//! Packages and forged files that the tests share. The forger knows the format on its own, not through the crate.
#![allow(
    dead_code,
    clippy::allow_attributes,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "each test file uses another part of this one, so an expectation would not hold in all of them"
)]

use std::io::Read;

use pkgformat::{
    ElfFacts, Entry, EntryKind, Limits, Manifest, PackageMeta, PackageRecord, Reader, Trigger, Use, Writer, Xattr,
};
use pkgtypes::{Digest, Mode, PkgPath, Timestamp};

pub fn path(text: &str) -> PkgPath {
    PkgPath::new(text.as_bytes()).unwrap()
}

pub fn dir(at: &str) -> Entry {
    Entry::new(path(at), EntryKind::Dir { mode: Mode::from_raw(0o755) })
}

pub fn file(at: &str, content: &[u8]) -> Entry {
    let (size, digest) = (content.len() as u64, Digest::of(content));
    Entry::new(path(at), EntryKind::File { mode: Mode::from_raw(0o644), size, digest, elf: None })
}

pub fn meta() -> PackageMeta {
    let [name, version, release, arch] = ["sample", "1.0", "1", "x86_64"];
    PackageMeta::new(name.parse().unwrap(), version.parse().unwrap(), release.parse().unwrap(), arch.parse().unwrap())
}

/// One folder and one file of two bytes.
pub fn small() -> (PackageRecord, Vec<Vec<u8>>) {
    let manifest = Manifest::new(vec![dir("etc"), file("etc/hi", b"hi")]).unwrap();
    (PackageRecord::new(meta(), manifest).unwrap(), vec![b"hi".to_vec()])
}

/// Something of everything that a package can have.
pub fn rich() -> (PackageRecord, Vec<Vec<u8>>) {
    let contents = [&b"#!/bin/sh\n"[..], b"exit 0\n", b"config", b"", b"ELF", b"licence text"].map(<[u8]>::to_vec);
    let manifest = Manifest::new(rich_entries(&contents)).unwrap();
    let record = PackageRecord::new(rich_meta(&contents), manifest).unwrap();
    (record, contents.to_vec())
}

fn rich_entries(contents: &[Vec<u8>]) -> Vec<Entry> {
    let mut config = file("etc/a.conf", &contents[2]);
    config.owner = "www-data".parse().unwrap();
    config.group = "1000".parse().unwrap();
    config.mtime = Timestamp::new(-2, 500_000_000).unwrap();
    config.uses = [Use::Mutable, Use::Config].into();
    let xattr = |name: &[u8], value: &[u8]| Xattr { name: name.to_vec(), value: value.to_vec() };
    config.xattrs = vec![xattr(b"user.z", b""), xattr(b"user.a", b"1\x002")];
    let facts = ElfFacts {
        soname: Some("liba.so.1".into()),
        needed: vec!["libz.so.1".into(), "libc.so.6".into()],
        interpreter: Some("/lib/ld.so".into()),
        build_id: Some("00ff".into()),
    };
    let elf = EntryKind::File {
        mode: Mode::from_raw(0o4755),
        size: contents[4].len() as u64,
        digest: Digest::of(&contents[4]),
        elf: facts.boxed(),
    };
    let mode = Mode::from_raw(0o600);
    let special = [
        ("dev/block", EntryKind::Block { mode, major: 8, minor: 0 }),
        ("dev/char", EntryKind::Char { mode, major: u32::MAX, minor: 3 }),
        ("dev/fifo", EntryKind::Fifo { mode }),
        ("dev/socket", EntryKind::Socket { mode }),
        ("lib/liba.so", EntryKind::Symlink { target: b"liba.so.1\xff".to_vec() }),
        ("lib/liba.so.1", elf),
        ("lib/other", EntryKind::Hardlink { target: path("lib/liba.so.1") }),
        ("var.log", EntryKind::Ghost),
    ];
    let mut entries: Vec<Entry> = special.into_iter().map(|(at, kind)| Entry::new(path(at), kind)).collect();
    entries.extend([
        config,
        dir("dev"),
        dir("etc"),
        dir("lib"),
        file("lib/empty", b""),
        file("lib-copy", &contents[4]),
    ]);
    entries.extend([file("licence", &contents[5])]);
    entries
}

fn rich_meta(contents: &[Vec<u8>]) -> PackageMeta {
    let mut meta = meta();
    meta.version = "2:1.0~rc1".parse().unwrap();
    meta.description = ["A sample", "", "of everything"].map(Into::into).to_vec();
    meta.url = Some("https://example.org/".into());
    meta.licenses = vec!["MIT".into(), "Apache-2.0".into()];
    meta.license_files = vec![Digest::of(&contents[5])];
    meta.build_date = Some(Timestamp::from_seconds(1_700_000_000));
    meta.recipe_hash = Some(Digest::of("recipe"));
    meta.installed_size = Some(0);
    meta.groups = vec!["base".into()];
    meta.subpackage = Some("lib".into());
    meta.tied = Some("sample = 2:1.0~rc1-1".parse().unwrap());
    meta.requires = ["so:libz.so.1(64bit)", "mawk | gawk >= 4"].map(|text| text.parse().unwrap()).to_vec();
    meta.provides = vec!["cmd:sample".parse().unwrap()];
    meta.conflicts = vec!["sample-old < 1".parse().unwrap()];
    meta.obsoletes = vec!["sample-old".parse().unwrap()];
    meta.recommends = vec!["sample-doc".parse().unwrap()];
    meta.suggests = vec!["sample-extra".parse().unwrap()];
    meta.scripts.pre_remove = Some(Digest::of(&contents[1]));
    meta.scripts.post_install = Some(Digest::of(&contents[0]));
    meta.triggers = vec![Trigger { glob: "usr/share/icons/**".into(), command: "update-icons".into() }];
    meta.sysusers = vec!["u sample - \"Sample\"".into()];
    meta.sysgroups = vec!["g sample -".into()];
    meta.other = vec![("foreign.deb.section".into(), b"misc".to_vec()), ("x-new".into(), b"\0\xff".to_vec())];
    meta
}

/// Writes a package, its blobs being among `contents`.
pub fn write(record: &PackageRecord, contents: &[Vec<u8>]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), record).unwrap();
    while let Some(due) = writer.due() {
        let content = contents.iter().find(|content| Digest::of(content) == due.digest).unwrap();
        writer.blob(content.len() as u64, &**content).unwrap();
    }
    writer.finish().unwrap().0
}

/// Reads a whole package.
pub fn read(package: &[u8]) -> pkgformat::Result<(PackageRecord, Vec<Vec<u8>>)> {
    let mut reader = Reader::open(package, Limits::default())?;
    let mut contents = Vec::new();
    while let Some(mut blob) = reader.next_blob()? {
        let mut content = Vec::new();
        blob.read_to_end(&mut content)?;
        contents.push(content);
    }
    let record = reader.package().clone();
    reader.finish()?;
    Ok((record, contents))
}

/// A record of which everything can be chosen but the checksums, which are right.
#[derive(Clone)]
pub struct Forged {
    pub head: Vec<u8>,
    pub data: Vec<u8>,
}

impl Forged {
    pub fn new(list: &[u8], data: &[u8]) -> Self {
        Self { head: [b"\xABKPK\x01", list, &size(data.len())].concat(), data: data.to_vec() }
    }

    pub fn blob(data: &[u8]) -> Self {
        Self::new(&list(&["record=blob"]), data)
    }

    pub fn summary(values: &[String]) -> Self {
        let values: Vec<&str> = std::iter::once("record=summary").chain(values.iter().map(String::as_str)).collect();
        Self::new(&list(&values), b"")
    }

    pub fn bytes(&self) -> Vec<u8> {
        [&self.head[..], Digest::of(&self.head).as_bytes(), &self.data, Digest::of(&self.data).as_bytes()].concat()
    }
}

/// The right summary of these records, entry by entry.
pub fn summary_of(records: &[Forged], files: usize) -> Vec<String> {
    let blobs: Vec<&Forged> =
        records.iter().filter(|record| record.head.windows(11).any(|w| w == b"record=blob")).collect();
    let checksums: Vec<u8> = records
        .iter()
        .flat_map(|record| [Digest::of(&record.head), Digest::of(&record.data)])
        .flat_map(|digest| *digest.as_bytes())
        .collect();
    vec![
        format!("blobs={}", blobs.len()),
        format!("bytes={}", blobs.iter().map(|blob| blob.data.len()).sum::<usize>()),
        format!("checksum={}", Digest::of(checksums)),
        format!("files={files}"),
        format!("records={}", records.len() + 1),
    ]
}

/// The records and their right summary.
pub fn seal(records: &[Forged], files: usize) -> Vec<u8> {
    let summary = Forged::summary(&summary_of(records, files));
    records.iter().chain([&summary]).flat_map(Forged::bytes).collect()
}

pub fn size(size: usize) -> Vec<u8> {
    let digits: Vec<u8> = size.to_be_bytes().into_iter().skip_while(|&digit| digit == 0).collect();
    [&[digits.len() as u8], &*digits].concat()
}

pub fn list(entries: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries {
        bytes.extend(size(entry.as_ref().len()));
        bytes.extend(entry.as_ref());
    }
    bytes.push(0);
    bytes
}
