//! Foreign archives out of fuzzer input.

use std::io::{self, Read, Write};

use archive::{ArchiveError, Entry, EntryKind, Limits, Options};
use codec::{Encoder, EncoderOptions, Format};

/// Limits that a fuzzer reaches.
pub fn options() -> Options {
    Options { strip: 0, limits: Limits { entries: 1000, bytes: 1 << 20, header: 1 << 16 } }
}

/// Takes the entries of an archive and holds them to what every container promises.
#[derive(Debug, Default)]
pub struct Taker {
    bytes: u64,
    broken: bool,
}

impl Taker {
    /// Reads the data of an entry to their end.
    ///
    /// # Errors
    /// Never; it has the type that readers of archives ask for.
    pub fn take(&mut self, entry: &Entry, data: &mut dyn Read) -> Result<(), ArchiveError> {
        let due = if let EntryKind::File { size } = entry.kind { size } else { 0 };
        match io::copy(data, &mut io::sink()) {
            Ok(read) => assert_eq!(read, due, "{}", entry.path),
            Err(_) => self.broken = true,
        }
        self.bytes += due;
        assert!(self.bytes <= options().limits.bytes);
        Ok(())
    }

    /// Data that could not be read must not be passed over by the container.
    pub fn check(self, result: &Result<(), ArchiveError>) {
        assert!(!self.broken || result.is_err());
    }
}

/// The same bytes as a tar archive whose header checksums are right, as far as headers follow each other.
pub fn sealed_tar(bytes: &[u8]) -> Vec<u8> {
    const BLOCK: usize = 512;
    let mut tar = bytes.to_vec();
    let mut at = 0;
    while let Some(block) = tar.get_mut(at..at + BLOCK) {
        let header = tar::Header::from_byte_slice(block);
        let size = header.entry_size().ok().and_then(|size| usize::try_from(size).ok()).unwrap_or(0);
        if block.iter().any(|&byte| byte != 0) {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        at = size.min(tar.len()).next_multiple_of(BLOCK) + at + BLOCK;
    }
    tar
}

/// A member of an `ar` archive.
pub fn ar_member(name: &str, content: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, content.len()).into_bytes();
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(2), b'\n');
    bytes
}

/// A Debian package of two tar archives, with right sizes and checksums.
pub fn sealed_deb(control: &[u8], data: &[u8]) -> Vec<u8> {
    let members = [
        ar_member("debian-binary", b"2.0\n"),
        ar_member("control.tar", &sealed_tar(control)),
        ar_member("data.tar", &sealed_tar(data)),
    ];
    [b"!<arch>\n".to_vec(), members.concat()].concat()
}

/// An rpm package without checksums: the bytes of its header, the first of which counts the tags, and its payload.
pub fn sealed_rpm(header: &[u8], payload: &[u8]) -> Vec<u8> {
    let (tags, values) = header.split_first().unwrap_or((&0, &[]));
    let tags = usize::from(*tags).min(values.len() / 16);
    let words = [tags as u32, (values.len() - 16 * tags) as u32];
    let begin = [0x8e, 0xad, 0xe8, 1, 0, 0, 0, 0];
    let lead: Vec<u8> = [0xed, 0xab, 0xee, 0xdb, 3].into_iter().chain([0; 91]).collect();
    let counts: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    [&*lead, &begin, &[0; 8], &begin, &counts, values, payload].concat()
}

/// An apk package of two tar archives.
pub fn sealed_apk(control: &[u8], data: &[u8]) -> Vec<u8> {
    [control, data].map(|tar| packed(&sealed_tar(tar), Format::Gzip)).concat()
}

/// A gpkg package of two tar archives, in the form of 2018, which has no checksums.
pub fn sealed_gpkg(metadata: &[u8], contents: &[u8]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in [("metadata.tar", metadata), ("contents.tar", contents)] {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, &*sealed_tar(bytes)).expect("a vector takes all bytes");
    }
    tar.into_inner().expect("a vector takes all bytes")
}

/// These bytes compressed.
pub fn packed(bytes: &[u8], format: Format) -> Vec<u8> {
    let options = EncoderOptions { level: Some(1) };
    let mut encoder = Encoder::with_options(Vec::new(), format, &options).expect("the format is written");
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("a vector takes all bytes")
}

/// Cuts fuzzer input in two where its first two bytes say.
pub fn halves(bytes: &[u8]) -> (&[u8], &[u8]) {
    let Some((at, rest)) = bytes.split_first_chunk() else { return (&[], &[]) };
    rest.split_at(usize::from(u16::from_le_bytes(*at)).min(rest.len()))
}
