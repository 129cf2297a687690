//! What is written is read back, and what is read is written the same.

#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]

mod samples;

use std::collections::BTreeMap;

use std::io::{Cursor, Read};

use pkgformat::{
    ElfFacts, Entry, EntryKind, Limits, Manifest, PackageMeta, PackageRecord, Principal, RawReader, Reader, Result,
    SeekReader, Summary, Trigger, Use, Xattr,
};
use pkgtypes::{Digest, Mode, PkgPath, Timestamp};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::{option, sample};

fn text() -> impl Strategy<Value = String> {
    "[ -~å\u{2028}😀]{0,12}"
}

fn timestamp() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        3 => Just(Timestamp::EPOCH),
        2 => (any::<i64>(), 0u32..1_000_000_000).prop_map(|(seconds, nanos)| Timestamp::new(seconds, nanos).unwrap()),
    ]
}

fn principal() -> impl Strategy<Value = Principal> {
    prop_oneof![
        2 => Just(Principal::ROOT),
        1 => any::<u32>().prop_map(Principal::from_id),
        1 => "[a-z_][a-z0-9_-]{0,8}".prop_map(|name| name.parse().unwrap()),
    ]
}

fn mode() -> impl Strategy<Value = Mode> {
    any::<u32>().prop_map(Mode::from_raw)
}

fn facts() -> impl Strategy<Value = Option<Box<ElfFacts>>> {
    let facts = (option::of(text()), vec(text(), 0..3), option::of(text()), option::of("([0-9a-f]{2}){1,20}"));
    option::of(facts.prop_map(|(soname, needed, interpreter, build_id)| ElfFacts {
        soname,
        needed,
        interpreter,
        build_id,
    }))
    .prop_map(|facts| facts.and_then(ElfFacts::boxed))
}

/// What stands at a path; content for files, so that few contents serve many files.
#[derive(Debug, Clone)]
enum Thing {
    File(Mode, u8, Option<Box<ElfFacts>>),
    Other(EntryKind),
    LinkTo(sample::Index),
}

fn thing() -> impl Strategy<Value = Thing> {
    prop_oneof![
        4 => (mode(), 0u8..4, facts()).prop_map(|(mode, content, facts)| Thing::File(mode, content, facts)),
        4 => mode().prop_map(|mode| Thing::Other(EntryKind::Dir { mode })),
        1 => any::<sample::Index>().prop_map(Thing::LinkTo),
        1 => vec(1u8.., 1..20).prop_map(|target| Thing::Other(EntryKind::Symlink { target })),
        1 => mode().prop_map(|mode| Thing::Other(EntryKind::Fifo { mode })),
        1 => mode().prop_map(|mode| Thing::Other(EntryKind::Socket { mode })),
        1 => (mode(), any::<u32>(), any::<u32>())
            .prop_map(|(mode, major, minor)| Thing::Other(EntryKind::Char { mode, major, minor })),
        1 => (mode(), any::<u32>(), any::<u32>())
            .prop_map(|(mode, major, minor)| Thing::Other(EntryKind::Block { mode, major, minor })),
        1 => Just(Thing::Other(EntryKind::Ghost)),
    ]
}

/// The contents that files can have; one is longer than any buffer.
fn content(number: u8) -> Vec<u8> {
    vec![number; [0, 1, 300, 70_000][usize::from(number)]]
}

fn path() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let odd = vec(any::<u8>(), 1..6).prop_map(|bytes| bytes.into_iter().filter(|&b| b != 0 && b != b'/').collect());
    let name = prop_oneof![4 => "[ab][-.a]?".prop_map(String::into_bytes), 1 => odd];
    vec(name.prop_filter("no name", |name: &Vec<u8>| !matches!(&**name, b"" | b"." | b"..")), 1..4)
}

type Looks = (Principal, Principal, Timestamp, BTreeMap<Vec<u8>, Vec<u8>>, Vec<Use>);

fn looks() -> impl Strategy<Value = Looks> {
    let name = vec(1u8.., 1..8);
    let xattrs = btree_map(name, vec(any::<u8>(), 0..8), 0..3);
    (principal(), principal(), timestamp(), xattrs, sample::subsequence(&Use::ALL[..], 0..=4))
}

/// Makes a tree of things: a path whose parent is no folder gets one, or is left out where the parent is another thing.
fn manifest() -> impl Strategy<Value = Manifest> {
    btree_map(path(), (thing(), looks()), 0..30).prop_map(|things| {
        let mut entries: BTreeMap<PkgPath, Entry> = BTreeMap::new();
        for (components, (thing, looks)) in things {
            let path = PkgPath::new(components.join(&b'/')).unwrap();
            let is_free = |above: &PkgPath| entries.get(above).is_none_or(|e| matches!(e.kind, EntryKind::Dir { .. }));
            if entries.contains_key(&path) || !path.ancestors().all(|above| is_free(&above)) {
                continue;
            }
            for above in path.ancestors() {
                let folder = EntryKind::Dir { mode: Mode::from_raw(0o755) };
                entries.entry(above.clone()).or_insert_with(|| Entry::new(above, folder));
            }
            let files: Vec<&PkgPath> = entries
                .values()
                .filter(|e| matches!(e.kind, EntryKind::File { .. }) && e.path < path)
                .map(|e| &e.path)
                .collect();
            let kind = match thing {
                Thing::File(mode, number, elf) => {
                    let content = content(number);
                    EntryKind::File { mode, size: content.len() as u64, digest: Digest::of(&content), elf }
                }
                Thing::LinkTo(_) if files.is_empty() => EntryKind::Ghost,
                Thing::LinkTo(index) => EntryKind::Hardlink { target: (*index.get(&files)).clone() },
                Thing::Other(kind) => kind,
            };
            entries.insert(path.clone(), dressed(Entry::new(path, kind), looks));
        }
        Manifest::new(entries.into_values().rev().collect()).unwrap()
    })
}

fn dressed(mut entry: Entry, (owner, group, mtime, xattrs, uses): Looks) -> Entry {
    if !matches!(entry.kind, EntryKind::Hardlink { .. } | EntryKind::Ghost) {
        (entry.owner, entry.group, entry.mtime) = (owner, group, mtime);
    }
    if matches!(entry.kind, EntryKind::File { .. } | EntryKind::Dir { .. }) {
        entry.xattrs = xattrs.into_iter().rev().map(|(name, value)| Xattr { name, value }).collect();
        entry.uses = uses.into_iter().collect();
    }
    entry
}

fn meta() -> impl Strategy<Value = PackageMeta> {
    let relation = prop_oneof![Just("a"), Just("b >= 1:2~rc1-3"), Just("so:libc.so.6(64bit)"), Just("a | b ~ 1.2")];
    let requirements = vec(relation, 0..4);
    let relations = vec(prop_oneof![Just("a = 1"), Just("cmd:x"), Just("a < 2")], 0..4);
    let facts =
        (vec(text(), 0..3), option::of(text()), vec(text(), 0..3), option::of(any::<u64>()), option::of(timestamp()));
    let scripts = vec(option::of(0u8..4), 4);
    let other = vec(("foreign[.][a-z0-9:.-]{0,20}", vec(any::<u8>(), 0..8)), 0..4);
    let identity = (0u64..3, "[0-9A-Za-z][0-9A-Za-z.+_~^]{0,6}", any::<u64>());
    (identity, facts, requirements, relations, scripts, other, vec((text(), text()), 0..3)).prop_map(
        |((epoch, upstream, release), facts, requirements, relations, scripts, other, triggers)| {
            let version = pkgtypes::Version::new(epoch, &upstream).unwrap();
            let [name, arch] = ["a", "noarch"];
            let mut meta =
                PackageMeta::new(name.parse().unwrap(), version, pkgtypes::Release(release), arch.parse().unwrap());
            (meta.description, meta.url, meta.licenses, meta.installed_size, meta.build_date) = facts;
            meta.requires = requirements.iter().map(|text| text.parse().unwrap()).collect();
            meta.conflicts = relations.iter().map(|text| text.parse().unwrap()).collect();
            let digests: Vec<_> =
                scripts.into_iter().map(|number| number.map(|number| Digest::of(content(number)))).collect();
            meta.scripts.pre_install = digests[0];
            meta.scripts.post_install = digests[1];
            meta.scripts.pre_remove = digests[2];
            meta.scripts.post_remove = digests[3];
            meta.other = other;
            let full = triggers.into_iter().filter(|(glob, command)| !glob.is_empty() && !command.is_empty());
            meta.triggers = full.map(|(glob, command)| Trigger { glob, command }).collect();
            meta
        },
    )
}

/// A package as a reader has it.
type Seen = (PackageRecord, Vec<Vec<u8>>, Summary);

fn all_of(mut blob: impl Read) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    blob.read_to_end(&mut content)?;
    Ok(content)
}

fn streamed(package: &[u8]) -> Result<Seen> {
    let mut reader = Reader::open(package, Limits::default())?;
    let mut contents = Vec::new();
    while let Some(blob) = reader.next_blob()? {
        contents.push(all_of(blob)?);
    }
    Ok((reader.package().clone(), contents, reader.finish()?))
}

/// From the last content to the first.
fn picked(package: &[u8]) -> Result<Seen> {
    let mut reader = SeekReader::open(Cursor::new(package), Limits::default())?;
    let digests: Vec<Digest> = reader.places().map(|place| place.digest).collect();
    let contents: Result<Vec<_>> = digests.iter().rev().map(|digest| all_of(reader.blob(digest)?)).collect();
    let mut contents = contents?;
    contents.reverse();
    Ok((reader.package().clone(), contents, reader.check_heads()?))
}

/// Record by record up to the summary, which this reader does not take, because it does not count the manifest's entries.
fn raw(package: &[u8], blobs: usize) -> Result<Vec<Vec<u8>>> {
    let mut reader = RawReader::new(package, Limits::default());
    let mut data = Vec::new();
    while data.len() <= blobs {
        let Some(record) = reader.next_record()? else { break };
        data.push(record.into_data()?);
    }
    Ok(data)
}

/// The entries of lists that stand one after another.
fn split(mut bytes: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let mut lists = vec![Vec::new()];
    while let Some((&digits, rest)) = bytes.split_first() {
        if digits == 0 {
            lists.push(Vec::new());
            bytes = rest;
            continue;
        }
        let (digits, rest) = rest.split_at(usize::from(digits));
        let length = digits.iter().fold(0, |length, &digit| length << 8 | usize::from(digit));
        let (entry, rest) = rest.split_at(length);
        lists.last_mut().unwrap().push(entry.to_vec());
        bytes = rest;
    }
    assert_eq!(lists.pop(), Some(Vec::new()), "the last list has an end");
    lists
}

/// One change of lists, as somebody might make it who knows the format by and large.
fn changed(lists: &mut Vec<Vec<Vec<u8>>>, change: u8, at: sample::Index, also: sample::Index, byte: u8) {
    let places: Vec<(usize, usize)> =
        lists.iter().enumerate().flat_map(|(number, list)| (0..list.len()).map(move |entry| (number, entry))).collect();
    let ((list, entry), (other, its)) = (*at.get(&places), *also.get(&places));
    match change {
        0 => drop(lists[list].remove(entry)),
        1 => {
            let copy = lists[list][entry].clone();
            lists[other].insert(its, copy);
        }
        2 => {
            let last = lists[list][entry].len() - 1;
            lists[list][entry][last] = byte;
        }
        3 => lists[list][entry].push(byte),
        4 => lists.swap(list, other),
        5 => drop(lists.remove(list)),
        _ => {
            let its = its.min(lists[list].len() - 1);
            lists[list].swap(entry, its);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn packages(meta in meta(), manifest in manifest()) {
        let record = PackageRecord::new(meta.clone(), manifest.clone()).unwrap();
        prop_assert_eq!(record.meta(), &meta.normalised().unwrap());
        prop_assert_eq!(record.manifest(), &manifest);

        let bytes = record.encode();
        prop_assert_eq!(bytes.len() as u64, record.encoded_len());
        prop_assert_eq!(&PackageRecord::decode(&bytes, &Limits::default()).unwrap(), &record);

        let contents: Vec<Vec<u8>> = (0..4).map(content).collect();
        let package = samples::write(&record, &contents);
        prop_assert!(package.starts_with(&bytes));
        let (read, blobs) = samples::read(&package).unwrap();
        prop_assert_eq!(&read, &record);
        prop_assert_eq!(samples::write(&read, &blobs), package);
    }

    #[test]
    fn all_readers_agree(meta in meta(), manifest in manifest()) {
        let record = PackageRecord::new(meta, manifest).unwrap();
        let package = samples::write(&record, &(0..4).map(content).collect::<Vec<_>>());
        let front_to_back = streamed(&package).unwrap();
        prop_assert_eq!(&picked(&package).unwrap(), &front_to_back);
        let data = raw(&package, front_to_back.1.len()).unwrap();
        prop_assert_eq!(&data[1..], front_to_back.1);
        prop_assert_eq!(front_to_back.0, record);
    }

    /// Wherever it is hit, no reader takes a package for whole.
    #[test]
    fn damage_is_found_by_all_readers(meta in meta(), manifest in manifest(), at in any::<sample::Index>(), bit in 0..8u8, cut: bool) {
        let record = PackageRecord::new(meta, manifest).unwrap();
        let mut package = samples::write(&record, &(0..4).map(content).collect::<Vec<_>>());
        let at = at.index(package.len());
        if cut {
            package.truncate(at);
        } else {
            package[at] ^= 1 << bit;
        }
        prop_assert!(streamed(&package).is_err());
        prop_assert!(picked(&package).is_err());
    }

    /// A package record with a change: where it is accepted, it would be written so.
    #[test]
    fn what_is_accepted_is_written_the_same(
        meta in meta(),
        manifest in manifest(),
        (change, byte) in (0..7u8, prop_oneof![Just(b'0'), Just(b'a'), any::<u8>()]),
        (at, also) in any::<(sample::Index, sample::Index)>(),
    ) {
        let bytes = PackageRecord::new(meta, manifest).unwrap().encode();
        let mut record = RawReader::open_ended(&*bytes, Limits::default());
        let record = record.next_record().unwrap().unwrap();
        let list = record.meta().as_bytes().to_vec();
        let mut lists = split(&[list, record.into_data().unwrap()].concat());
        changed(&mut lists, change, at, also, byte);
        let lists: Vec<Vec<u8>> = lists.iter().map(|list| samples::list(list)).collect();
        let (first, rest) = lists.split_first().map(|(first, rest)| (first.clone(), rest.concat())).unwrap_or_default();
        let forged = samples::Forged::new(&first, &rest).bytes();
        if let Ok(record) = PackageRecord::decode(&forged, &Limits::default()) {
            prop_assert_eq!(record.encode(), forged);
        }
    }

    #[test]
    fn entries_are_found_by_their_paths(manifest in manifest()) {
        for entry in manifest.entries() {
            prop_assert_eq!(manifest.find(&entry.path), Some(entry));
        }
        prop_assert_eq!(manifest.find(&samples::path("no/such/path")), None);
    }

    /// A packer may lay out the file before it knows a digest.
    #[test]
    fn lengths_do_not_depend_on_digests(meta in meta(), manifest in manifest()) {
        let record = PackageRecord::new(meta.clone(), manifest.clone()).unwrap();
        let mut blank = meta;
        for slot in [&mut blank.scripts.pre_install, &mut blank.scripts.post_install, &mut blank.scripts.pre_remove, &mut blank.scripts.post_remove] {
            *slot = slot.map(|_| Digest::from_bytes([0; 32]));
        }
        let mut entries = manifest.into_entries();
        for entry in &mut entries {
            if let EntryKind::File { digest, .. } = &mut entry.kind {
                *digest = Digest::from_bytes([0; 32]);
            }
        }
        let manifest = Manifest::new(entries).unwrap();
        prop_assert_eq!(pkgformat::record::package_len(&blank, &manifest).unwrap(), record.encoded_len());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..400)) {
        let _ = samples::read(&bytes);
        let _ = samples::read(&[b"\xABKPK\x01\x01\x0Erecord=package", &*bytes].concat());
        let manifest = samples::Forged::new(&samples::list(&["record=package", "arch=a", "name=a", "release=1", "version=1"]), &bytes);
        let _ = PackageRecord::decode(&manifest.bytes(), &Limits::default());
    }
}

#[test]
fn a_package_of_everything() {
    let (record, contents) = samples::rich();
    let package = samples::write(&record, &contents);
    let (read, blobs) = samples::read(&package).unwrap();
    assert_eq!(read, record);
    assert_eq!(blobs, contents, "scripts first, then files at their first use");
    assert_eq!(samples::write(&read, &blobs), package);
}

#[test]
fn blobs_come_at_their_first_use() {
    let mut meta = samples::meta();
    meta.scripts.pre_remove = Some(Digest::of("script"));
    meta.scripts.post_install = Some(Digest::of("both"));
    meta.scripts.pre_install = Some(Digest::of("script"));
    let entries = [("a", "x"), ("b", "both"), ("c", "y"), ("d", "x"), ("e", "both")];
    let manifest = Manifest::new(entries.map(|(at, content)| samples::file(at, content.as_bytes())).to_vec()).unwrap();
    let record = PackageRecord::new(meta, manifest).unwrap();
    let blobs: Vec<_> = record.blobs().map(|blob| (blob.digest, blob.size, blob.first)).collect();
    assert_eq!(
        blobs,
        [
            (Digest::of("both"), Some(4), Some(1)),
            (Digest::of("script"), None, None),
            (Digest::of("x"), Some(1), Some(0)),
            (Digest::of("y"), Some(1), Some(2)),
        ]
    );
}
