//! Debian packages.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::Write;

use archive::{ArchiveError, Deb, EntryKind, Options};
use codec::{Encoder, Format};

const CONTROL: &str =
    "Package: hello\nVersion: 2.10-3\nDepends: libc6 (>= 2.34)\nDescription: greets\n It says\n .\n hello.\n";

fn packed(files: &[(&str, &[u8])], format: Format) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        if name.ends_with('/') {
            header.set_entry_type(tar::EntryType::Directory);
        }
        // `append_data` would clean the name, and Debian's begin with `./`.
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        builder.append(&header, *content).unwrap();
    }
    let mut encoder = Encoder::new(Vec::new(), format).unwrap();
    encoder.write_all(&builder.into_inner().unwrap()).unwrap();
    encoder.finish().unwrap()
}

fn member(name: &str, content: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, content.len()).into_bytes();
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(2), b'\n');
    bytes
}

fn sample(format: Format, ending: &str) -> Vec<u8> {
    let control = packed(&[("./", b""), ("./control", CONTROL.as_bytes()), ("./postinst", b"#!/bin/sh\n")], format);
    let data = packed(&[("./", b""), ("./usr/", b""), ("./usr/hello", &b"hello\n".repeat(1000))], format);
    let members = [
        member("debian-binary", b"2.0\n"),
        member(&format!("control.tar{ending}"), &control),
        member("_extra/", b"odd"),
        member(&format!("data.tar{ending}"), &data),
    ];
    [b"!<arch>\n".to_vec(), members.concat()].concat()
}

fn read(bytes: &[u8]) -> Result<Vec<(String, EntryKind, usize)>, ArchiveError> {
    let mut seen = Vec::new();
    Deb::open(bytes)?.read_files::<ArchiveError>(&Options::default(), |entry, data| {
        let mut content = Vec::new();
        // A broken package is told by `read_files` itself.
        let _ = data.read_to_end(&mut content);
        seen.push((entry.path.to_string(), entry.kind.clone(), content.len()));
        Ok(())
    })?;
    Ok(seen)
}

#[test]
fn files_and_control_in_every_compression_debian_uses() {
    for (format, ending) in [(Format::Plain, ""), (Format::Gzip, ".gz"), (Format::Xz, ".xz"), (Format::Zstd, ".zst")] {
        let bytes = sample(format, ending);
        let deb = Deb::open(&bytes[..]).unwrap();
        assert_eq!(deb.control().field("version"), Some("2.10-3"), "{ending}");
        assert_eq!(deb.control().field("Description"), Some("greets\nIt says\n.\nhello."));
        assert_eq!(deb.control().file("postinst"), Some(&b"#!/bin/sh\n"[..]));
        let seen = read(&bytes).unwrap();
        assert_eq!(seen[0], ("usr".to_owned(), EntryKind::Dir, 0));
        assert_eq!(seen[1], ("usr/hello".to_owned(), EntryKind::File { size: 6000 }, 6000));
    }
}

#[test]
fn a_cut_package_is_told_wherever_it_is_cut() {
    let bytes = sample(Format::Xz, ".xz");
    for length in (0..bytes.len() - 1).step_by(7) {
        assert!(read(&bytes[..length]).is_err(), "{length} of {}", bytes.len());
    }
}

#[test]
fn other_files_are_told_apart() {
    let message = |bytes: &[u8]| read(bytes).unwrap_err().to_string();
    assert_eq!(
        message(b"PK\x03\x04 is a zip"),
        "not a valid Debian package at byte 0: `!<arch>` is expected at its beginning"
    );
    let swapped = [b"!<arch>\n".to_vec(), member("control.tar", b""), member("debian-binary", b"2.0\n")].concat();
    assert_eq!(
        message(&swapped),
        "not a valid Debian package at byte 8: the member `debian-binary` is expected, but this is `control.tar`"
    );
    let next = [b"!<arch>\n".to_vec(), member("debian-binary", b"3.0\n")].concat();
    assert_eq!(message(&next), "not a valid Debian package at byte 8: only format 2 is known");
}
