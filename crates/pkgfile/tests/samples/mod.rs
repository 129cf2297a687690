//! Packages that the tests share.
#![allow(
    dead_code,
    clippy::allow_attributes,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "each test file uses another part of this one, so an expectation would not hold in all of them"
)]

use std::collections::BTreeMap;
use std::io::Write;
use std::num::NonZeroUsize;

use codec::{Bounds, Format};
use pkgfile::{CompressOptions, Compressor, PackageFile};
use pkgformat::{Entry, EntryKind, Limits, Manifest, PackageMeta, PackageRecord, ScriptKind, Writer};
use pkgtypes::{Digest, Mode, PkgPath};

/// A package and its contents.
pub struct Sample {
    pub record: PackageRecord,
    pub contents: BTreeMap<Digest, Vec<u8>>,
    pub plain: Vec<u8>,
}

/// Text that neither repeats itself soon nor is noise; another one for each seed.
pub fn words(seed: u64, length: usize) -> Vec<u8> {
    (seed << 20..)
        .flat_map(|number: u64| format!("{} ", number.wrapping_mul(2_654_435_761) % 65_521).into_bytes())
        .take(length)
        .collect()
}

/// A package with these scripts, and files of these contents.
pub fn sample(scripts: &[&[u8]], files: &[Vec<u8>]) -> Sample {
    let entry = |(index, content): (usize, &Vec<u8>)| {
        let (size, digest) = (content.len() as u64, Digest::of(content));
        let path = PkgPath::new(format!("file-{index:05}").into_bytes()).unwrap();
        Entry::new(path, EntryKind::File { mode: Mode::from_raw(0o644), size, digest, elf: None })
    };
    let manifest = Manifest::new(files.iter().enumerate().map(entry).collect()).unwrap();
    let mut meta =
        PackageMeta::new("sample".parse().unwrap(), "1".parse().unwrap(), "1".parse().unwrap(), "any".parse().unwrap());
    for (kind, script) in ScriptKind::ALL.into_iter().zip(scripts) {
        let digest = Some(Digest::of(script));
        match kind {
            ScriptKind::PreInstall => meta.scripts.pre_install = digest,
            ScriptKind::PostInstall => meta.scripts.post_install = digest,
            ScriptKind::PreRemove => meta.scripts.pre_remove = digest,
            ScriptKind::PostRemove => meta.scripts.post_remove = digest,
        }
    }
    let record = PackageRecord::new(meta, manifest).unwrap();
    let all = scripts.iter().map(|script| script.to_vec()).chain(files.iter().cloned());
    let contents: BTreeMap<Digest, Vec<u8>> = all.map(|content| (Digest::of(&content), content)).collect();
    let mut writer = Writer::new(Vec::new(), &record).unwrap();
    while let Some(due) = writer.due() {
        let content = &contents[&due.digest];
        writer.blob(content.len() as u64, &**content).unwrap();
    }
    let plain = writer.finish().unwrap().0;
    Sample { record, contents, plain }
}

/// Two scripts, small files, an empty one, one that is split.
pub fn usual() -> Sample {
    let mut files: Vec<Vec<u8>> = (0..60).map(|index| words(index, 40 * index as usize)).collect();
    files.push(words(100, 30_000));
    files.extend((200..210).map(|index| words(index, 500)));
    sample(&[b"echo after", b"echo before"], &files)
}

/// Small sizes, so that small packages have many frames.
pub fn options(threads: usize) -> CompressOptions {
    let mut options = CompressOptions::default();
    options.group = 4 << 10;
    options.frame = 8 << 10;
    options.threads = NonZeroUsize::new(threads).unwrap();
    options
}

pub fn compressed(plain: &[u8], format: Format, options: &CompressOptions) -> Vec<u8> {
    let mut compressor = Compressor::new(Vec::new(), format, options).unwrap();
    compressor.write_all(plain).unwrap();
    compressor.finish().unwrap()
}

pub fn open<S: codec::ReadAt>(source: S) -> pkgfile::Result<PackageFile<S>> {
    PackageFile::open(source, Limits::default(), Bounds::default())
}
