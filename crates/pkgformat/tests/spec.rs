//! The example in the specification is what the writer writes.

mod samples;

use pkgformat::{
    ElfFacts, Entry, EntryKind, Error, Limits, Manifest, PackageMeta, PackageRecord, RawReader, Use, Xattr, record,
};
use pkgtypes::{Digest, Mode, Timestamp};
use samples::{dir, file, list, path, read, write};

const SPECIFICATION: &str = include_str!("../../../docs/format/package.md");

/// The block of the document that begins with this mark.
fn block(mark: &str) -> &'static str {
    let (_, rest) = SPECIFICATION.split_once(&format!("```{mark}\n")).expect("the block begins");
    rest.split_once("```").expect("the block ends").0
}

/// Hex digits up to `;`.
fn hex(line: &str) -> Vec<u8> {
    let digits = line.split(';').next().unwrap_or_default();
    let bytes = digits.split_whitespace().map(|digits| u8::from_str_radix(digits, 16));
    bytes.collect::<Result<_, _>>().expect("it is hex")
}

/// The bytes of the example.
fn example() -> Vec<u8> {
    block("hex").lines().flat_map(hex).collect()
}

#[test]
fn sizes_are_spelled_as_the_table_says() {
    for line in block("sizes").lines() {
        let (number, digits) = line.split_once(' ').expect("a number and hex");
        let bytes = hex(digits);
        // A size is read where the data of a record are counted.
        let mut head = [b"\xABKPK\x01", &*list(&["record=note"]), &bytes].concat();
        if let Ok(number) = number.parse::<u64>() {
            let mut written = Vec::new();
            pkgformat::size::put(&mut written, number);
            assert_eq!(written, bytes, "{line}");
            head.extend(Digest::of(&head).as_bytes());
            let limits = Limits { record_data: 0, ..Limits::default() };
            let mut reader = RawReader::new(&*head, limits);
            assert_eq!(reader.next_record().unwrap().unwrap().size(), number);
        } else {
            let mut reader = RawReader::new(&*head, Limits::default());
            assert!(matches!(reader.next_record(), Err(Error::Read { record: 1, .. })), "{line}");
        }
    }
}

#[test]
fn a_manifest_of_every_type_is_what_is_written() {
    let mode = Mode::from_raw(0o600);
    let content = b"hej";
    let mut file = file("hej", content);
    let elf = ElfFacts { needed: vec!["libz.so.1".into(), "libc.so.6".into()], ..ElfFacts::default() };
    if let EntryKind::File { mode, elf: facts, .. } = &mut file.kind {
        (*mode, *facts) = (Mode::from_raw(0o4755), elf.boxed());
    }
    (file.owner, file.group) = ("www-data".parse().unwrap(), "1000".parse().unwrap());
    // Half a second before 1970.
    file.mtime = Timestamp::new(-1, 500_000_000).unwrap();
    file.uses = [Use::Doc, Use::Config].into();
    file.xattrs = vec![Xattr { name: b"user.a".to_vec(), value: vec![1, 2] }];
    let mut disk = Entry::new(path("dev/sda"), EntryKind::Block { mode: Mode::from_raw(0o660), major: 8, minor: 0 });
    disk.group = "disk".parse().unwrap();
    let entries = vec![
        file,
        disk,
        dir("dev"),
        Entry::new(path("dev/null"), EntryKind::Char { mode: Mode::from_raw(0o666), major: 1, minor: 3 }),
        Entry::new(path("dev/pipe"), EntryKind::Fifo { mode }),
        Entry::new(path("dev/socket"), EntryKind::Socket { mode }),
        Entry::new(path("hej-2"), EntryKind::Hardlink { target: path("hej") }),
        Entry::new(path("log"), EntryKind::Ghost),
        Entry::new(path("to"), EntryKind::Symlink { target: b"../elsewhere".to_vec() }),
    ];
    let record = PackageRecord::new(samples::meta(), Manifest::new(entries).unwrap()).unwrap().encode();
    let mut reader = RawReader::open_ended(&*record, Limits::default());
    let manifest = reader.next_record().unwrap().unwrap().into_data().unwrap();
    let documented: Vec<u8> = block("manifest").lines().flat_map(hex).collect();
    assert_eq!(manifest, documented);
}

/// The document names the limits that readers have by default.
#[test]
fn limits_are_as_documented() {
    let Limits { record_meta, manifest, entries, records, record_data } = Limits::default();
    let mib = |bytes: u64| format!("| {} MiB |", bytes >> 20);
    let documented = [
        format!("manifest entry {}", mib(record_meta)),
        format!("the manifest {}", mib(manifest)),
        format!("the manifest's entries | {} Mi |", entries >> 20),
        format!("the records of a file | {} Mi |", records >> 20),
        format!("takes them into memory {}", mib(record_data)),
    ];
    for line in documented {
        assert!(SPECIFICATION.contains(&line), "{line}");
    }
}

#[test]
fn the_example_is_what_is_written() {
    let content = b"hi\n".to_vec();
    let [name, version, release, arch] = ["hi", "1.0", "1", "noarch"];
    let mut meta = PackageMeta::new(
        name.parse().unwrap(),
        version.parse().unwrap(),
        release.parse().unwrap(),
        arch.parse().unwrap(),
    );
    meta.description = vec!["A greeting".into()];
    let kind = EntryKind::File { mode: Mode::from_raw(0o755), size: 3, digest: Digest::of(&content), elf: None };
    let manifest = Manifest::new(vec![Entry::new(path("bin/hi"), kind), dir("bin")]).unwrap();
    let record = PackageRecord::new(meta, manifest).unwrap();

    assert_eq!(write(&record, std::slice::from_ref(&content)), example());
    assert_eq!(read(&example()).unwrap(), (record.clone(), vec![content]));
    assert!(SPECIFICATION.contains(&format!("Its id is `{}`.", record.id())));
}

#[test]
fn the_length_of_a_blob_record() {
    for size in [0, 1, 255, 256, 1 << 40] {
        let length = 19 + pkgformat::size::len(size) as u64 + 32 + size + 32;
        assert_eq!(record::blob_len(size), Some(length));
    }
}
