//! Packages out of fuzzer input.

use std::collections::BTreeMap;
use std::io::Read;

use libfuzzer_sys::arbitrary::{Arbitrary, Result, Unstructured};
use pkgformat::{
    Entry, EntryKind, Error, Limits, Manifest, Meta, PackageMeta, PackageRecord, Reader, Trigger, Use, Writer, Xattr,
    record,
};
use pkgtypes::{Digest, Mode, PackageId, PkgPath, Timestamp};

/// A small memory is enough for a fuzzer, and finds what would take a large one.
pub fn limits() -> Limits {
    Limits { record_meta: 1 << 16, manifest: 1 << 20, entries: 1 << 12, records: 1 << 12, record_data: 1 << 20 }
}

/// Reads a whole package and keeps its contents.
pub fn read(bytes: &[u8]) -> std::result::Result<(PackageRecord, Vec<Vec<u8>>), Error> {
    let mut reader = Reader::open(bytes, limits())?;
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

/// The id of a package, all of which must be right.
pub fn id(bytes: &[u8]) -> PackageId {
    let reader = Reader::open(bytes, Limits::default()).expect("it is a package");
    let id = reader.package().id();
    reader.finish().expect("its contents are right");
    id
}

/// Writes a package whose contents stand in their order.
pub fn write(record: &PackageRecord, contents: &[Vec<u8>]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), record).expect("a vector takes all bytes");
    for content in contents {
        writer.blob(content.len() as u64, &**content).expect("the content is what was read");
    }
    writer.finish().expect("all contents are there").0
}

/// Records with any list and data, whose checksums are right: a fuzzer does not guess those.
pub fn sealed(records: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (list, data) in records {
        let mut head = [&record::MAGIC[..], &[record::VERSION], list].concat();
        pkgformat::size::put(&mut head, data.len() as u64);
        for part in [&*head, Digest::of(&head).as_bytes(), data, Digest::of(data).as_bytes()] {
            bytes.extend_from_slice(part);
        }
    }
    bytes
}

/// A package record with these bytes for a manifest.
pub fn with_manifest(manifest: &[u8]) -> Vec<u8> {
    let identity = [("arch", "a"), ("name", "a"), ("release", "1"), ("version", "1")];
    let meta = Meta::new(record::PACKAGE, identity).expect("the names are names");
    sealed(&[(meta.as_bytes().to_vec(), manifest.to_vec())])
}

/// A package that can be written.
#[derive(Debug)]
pub struct Sample {
    /// Its first record.
    pub record: PackageRecord,
    /// Its contents in their order.
    pub contents: Vec<Vec<u8>>,
}

impl<'a> Arbitrary<'a> for Sample {
    fn arbitrary(input: &mut Unstructured<'a>) -> Result<Self> {
        let contents: Vec<Vec<u8>> = Arbitrary::arbitrary(input)?;
        let meta = metadata(input, &contents)?;
        let manifest = manifest(input, &contents)?;
        let record = PackageRecord::new(meta, manifest).expect("all digests are of contents");
        let find = |digest: Digest| contents.iter().find(|content| Digest::of(content) == digest).cloned();
        let contents = record.blobs().map(|blob| find(blob.digest).expect("it is one of them")).collect();
        Ok(Self { record, contents })
    }
}

fn text(input: &mut Unstructured<'_>) -> Result<String> {
    Ok(String::arbitrary(input)?.chars().filter(|c| !c.is_control()).collect())
}

fn metadata(input: &mut Unstructured<'_>, contents: &[Vec<u8>]) -> Result<PackageMeta> {
    let parse = "the words are words";
    let mut meta = PackageMeta::new(
        input.choose(&["a", "b-c"])?.parse().expect(parse),
        input.choose(&["1", "1:2~rc^1"])?.parse().expect(parse),
        pkgtypes::Release(input.arbitrary()?),
        input.choose(&["noarch", "x86_64"])?.parse().expect(parse),
    );
    meta.description = (0..input.int_in_range(0..=3)?).map(|_| text(input)).collect::<Result<_>>()?;
    meta.installed_size = input.arbitrary()?;
    for _ in 0..input.int_in_range(0..=3)? {
        meta.requires.push(input.choose(&["a", "b | c > 1-2", "so:libz.so.1(64bit)"])?.parse().expect(parse));
        meta.other.push((format!("foreign.{}", input.int_in_range(0..=3)?), input.arbitrary()?));
        meta.triggers.push(Trigger { glob: format!("x{}", text(input)?), command: format!("y{}", text(input)?) });
    }
    if !contents.is_empty() && input.arbitrary()? {
        meta.scripts.pre_install = Some(Digest::of(input.choose(contents)?));
        meta.scripts.post_remove = Some(Digest::of(input.choose(contents)?));
    }
    Ok(meta)
}

/// Paths in which a folder is missing get it; paths inside something else are left out.
fn manifest(input: &mut Unstructured<'_>, contents: &[Vec<u8>]) -> Result<Manifest> {
    let is_dir = |entry: &Entry| matches!(entry.kind, EntryKind::Dir { .. });
    let mut entries: BTreeMap<PkgPath, Entry> = BTreeMap::new();
    for _ in 0..input.int_in_range(0..=20)? {
        let Ok(path) = PkgPath::new(Vec::<u8>::arbitrary(input)?) else { continue };
        let kind = kind(input, contents)?;
        if entries.contains_key(&path) || !path.ancestors().all(|above| entries.get(&above).is_none_or(is_dir)) {
            continue;
        }
        for above in path.ancestors() {
            let folder = EntryKind::Dir { mode: Mode::from_raw(0o755) };
            entries.entry(above.clone()).or_insert_with(|| Entry::new(above, folder));
        }
        entries.insert(path.clone(), entry(input, path, kind)?);
    }
    Ok(Manifest::new(entries.into_values().collect()).expect("every folder is there"))
}

fn kind(input: &mut Unstructured<'_>, contents: &[Vec<u8>]) -> Result<EntryKind> {
    let mode = Mode::from_raw(input.arbitrary()?);
    Ok(match input.int_in_range(0..=5)? {
        0 if !contents.is_empty() => {
            let content = input.choose(contents)?;
            EntryKind::File { mode, size: content.len() as u64, digest: Digest::of(content), elf: None }
        }
        1 => EntryKind::Symlink {
            target: input.arbitrary::<Vec<u8>>()?.into_iter().map(|byte| byte | 1).chain([b'x']).collect(),
        },
        2 => EntryKind::Char { mode, major: input.arbitrary()?, minor: input.arbitrary()? },
        3 => EntryKind::Fifo { mode },
        4 => EntryKind::Ghost,
        _ => EntryKind::Dir { mode },
    })
}

fn entry(input: &mut Unstructured<'_>, path: PkgPath, kind: EntryKind) -> Result<Entry> {
    let mut entry = Entry::new(path, kind);
    if !matches!(entry.kind, EntryKind::Ghost) {
        entry.mtime = Timestamp::new(input.arbitrary()?, input.int_in_range(0..=999_999_999)?).expect("below a second");
        entry.owner = format!("{}", input.arbitrary::<u32>()?).parse().expect("a number is an id");
    }
    if matches!(entry.kind, EntryKind::File { .. } | EntryKind::Dir { .. }) {
        let xattrs: BTreeMap<u8, Vec<u8>> = input.arbitrary()?;
        entry.xattrs =
            xattrs.into_iter().map(|(name, value)| Xattr { name: format!("user.{name}").into(), value }).collect();
        entry.uses = Use::ALL.into_iter().filter(|_| input.ratio(1, 2).unwrap_or(false)).collect();
    }
    Ok(entry)
}
