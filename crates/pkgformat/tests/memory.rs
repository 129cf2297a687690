//! What a size field claims is not allocated, and what is read takes a bounded amount of memory.

#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]

mod samples;

use std::io::Write as _;
use std::process::{Command, Stdio};

use pkgformat::{Error, Limits, Manifest, Meta, PackageRecord, Problem, RawReader, RawWriter, Reader, SeekReader};
use pkgtypes::Digest;
use samples::{Forged, dir, file, list, meta};

const MIB: u64 = 1 << 20;

/// A line of `/proc/self/status`, in bytes.
fn status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_matches(|c: char| !c.is_ascii_digit()).parse::<u64>().unwrap() * 1024
}

/// How far the most address space that was ever in use grows; reserving memory counts, using it or not.
fn growth(work: impl FnOnce()) -> u64 {
    let before = status("VmPeak:");
    work();
    status("VmPeak:") - before
}

fn claims() -> Vec<Vec<u8>> {
    let huge = [0, 1, 2, 8].map(|below: u64| u64::MAX - below).into_iter().chain([1 << 62, 1 << 40, 1 << 31]);
    let head = |list: &[u8], size: u64| {
        let mut head = [b"\xABKPK\x01", list].concat();
        pkgformat::size::put(&mut head, size);
        Forged { head, data: Vec::new() }
    };
    let identity = list(&["record=package", "arch=x86_64", "name=sample", "release=1", "version=1.0"]);
    let mut files = Vec::new();
    for size in huge {
        let mut meta = b"\xABKPK\x01".to_vec();
        pkgformat::size::put(&mut meta, size);
        files.push([&*meta, b"record=package"].concat());
        files.push(head(&identity, size).bytes());
        let entry = list(&[
            &*format!("digest={}", Digest::of("a")),
            "mode=0644",
            "path=a",
            &format!("size={size}"),
            "type=file",
        ]);
        let package = Forged::new(&identity, &entry);
        files.push([package.bytes(), head(&list(&["record=blob"]), size).bytes()].concat());
        let mut entry = Vec::new();
        pkgformat::size::put(&mut entry, size);
        files.push(Forged::new(&identity, &[&*entry, b"path=a"].concat()).bytes());
        let script = list(&[
            "record=package",
            "arch=a",
            "name=a",
            "release=1",
            &format!("script.pre-install={}", Digest::of("a")),
            "version=1",
        ]);
        files.push([Forged::new(&script, b"").bytes(), head(&list(&["record=blob"]), size).bytes()].concat());
    }
    files
}

fn read_everyway(file: &[u8]) {
    assert!(samples::read(file).is_err());
    assert!(PackageRecord::decode(file, &Limits::default()).is_err() || file.len() > 200);
    if let Ok(mut reader) = SeekReader::open(std::io::Cursor::new(file), Limits::default()) {
        assert!(reader.check_heads().is_err());
        let places: Vec<_> = reader.places().collect();
        for place in places {
            let mut blob = reader.blob(&place.digest).unwrap();
            assert!(std::io::copy(&mut blob, &mut std::io::sink()).is_err());
        }
    }
    let mut raw = RawReader::new(file, Limits { record_data: u64::MAX, ..Default::default() });
    while let Ok(Some(record)) = raw.next_record() {
        let _ = record.into_data();
    }
}

fn many_entries(count: usize) -> Vec<u8> {
    let mut entries = vec![dir("usr"), dir("usr/share")];
    for folder in 0..count / 100 {
        let path = format!("usr/share/some-folder-{folder:06}");
        entries.extend((0..99).map(|number| {
            let content = format!("{folder}/{number}");
            file(&format!("{path}/a-file-with-a-name-{number:03}"), content.as_bytes())
        }));
        entries.push(dir(&path));
    }
    PackageRecord::new(meta(), Manifest::new(entries).unwrap()).unwrap().encode()
}

/// The smallest claim is 2 GiB, so any that is believed is seen beside what other tests do meanwhile.
#[test]
fn claims_are_not_believed() {
    let claims = claims();
    let grown = growth(|| claims.iter().for_each(|file| read_everyway(file)));
    assert!(grown < 512 * MIB, "{grown} bytes more");
}

#[test]
fn limits_hold_before_anything_is_read() {
    let limits = Limits { manifest: 10, ..Default::default() };
    let record = samples::small().0.encode();
    let error = Reader::open(&*record, limits).unwrap_err();
    assert!(matches!(error, Error::Read { problem: Problem::Limit { limit: 10, .. }, .. }), "{error}");
    let error = Reader::open(&*record, Limits { entries: 1, ..Default::default() }).unwrap_err();
    assert!(matches!(error, Error::Read { problem: Problem::Limit { claimed: 2, limit: 1, .. }, .. }), "{error}");
    let error = Reader::open(&*record, Limits { record_meta: 20, ..Default::default() }).unwrap_err();
    assert!(matches!(error, Error::Read { problem: Problem::Limit { limit: 20, .. }, .. }), "{error}");
    let package = samples::write(&samples::small().0, &[b"hi".to_vec()]);
    let reader = Reader::open(&*package, Limits { records: 2, ..Default::default() }).unwrap();
    assert!(matches!(reader.finish(), Err(Error::Read { problem: Problem::Limit { claimed: 3, .. }, .. })));
}

#[test]
fn a_million_meta_entries() {
    let entries: Vec<(String, &[u8])> = (0..1_000_000).map(|number| (format!("n{number:07}"), &b"value"[..])).collect();
    let million = Meta::new("many", entries).unwrap();
    let mut writer = RawWriter::new(Vec::new());
    writer.record(&million, b"").unwrap();
    let file = writer.finish().unwrap().0;
    let error = RawReader::new(&*file, Limits::default()).next_record().unwrap_err();
    assert!(matches!(error, Error::Read { problem: Problem::Limit { limit: MIB, .. }, .. }), "{error}");
    let mut reader = RawReader::new(&*file, Limits { record_meta: 64 * MIB, ..Default::default() });
    assert_eq!(reader.next_record().unwrap().unwrap().meta().entries().count(), 1_000_000);
    assert!(reader.finish().is_ok());
}

/// The reader's contract: 32 MiB and twice the manifest, for a whole process that does nothing else.
#[test]
fn a_large_manifest() {
    let package = many_entries(40_000);
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "read_standard_input", "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&package).unwrap();
    let output = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    let peak: u64 = output.lines().find_map(|line| line.split_once("peak ")?.1.parse().ok()).expect("the child says");
    let bound = 32 * MIB + 2 * package.len() as u64;
    assert!(peak < bound, "{peak} bytes, {bound} at most, for a manifest of {}", package.len());
}

#[test]
#[ignore = "the part of another test that needs a process of its own"]
fn read_standard_input() {
    let reader = Reader::open(std::io::stdin(), Limits::default()).unwrap();
    assert_eq!(reader.package().manifest().entries().len(), 40_002);
    println!("peak {}", status("VmHWM:"));
}
