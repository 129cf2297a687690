//! The example in the specification is what the writer writes.

mod samples;

use pkgformat::{Entry, EntryKind, Manifest, PackageMeta, PackageRecord, record};
use pkgtypes::{Digest, Mode};
use samples::{dir, path, read, write};

const SPECIFICATION: &str = include_str!("../../../docs/format/package.md");

/// The bytes of the example: hex digits up to `;` in each line.
fn example() -> Vec<u8> {
    let (_, rest) = SPECIFICATION.split_once("```hex\n").expect("the example begins");
    let (dump, _) = rest.split_once("```").expect("the example ends");
    let digits = dump.lines().map(|line| line.split(';').next().unwrap_or_default());
    let bytes = digits.flat_map(str::split_whitespace).map(|digits| u8::from_str_radix(digits, 16));
    bytes.collect::<Result<_, _>>().expect("the example is hex")
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
