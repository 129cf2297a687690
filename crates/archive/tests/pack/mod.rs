//! Tar archives as packages have them.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::Write;

use codec::{Encoder, Format};
use tar::EntryType;

/// A tar archive that grows.
pub(crate) struct Tar(tar::Builder<Vec<u8>>);

impl Tar {
    pub(crate) fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    pub(crate) fn file(self, name: &str, content: &[u8]) -> Self {
        self.entry(name, EntryType::Regular, 0o644, content, "")
    }

    pub(crate) fn dir(self, name: &str) -> Self {
        self.entry(name, EntryType::Directory, 0o755, b"", "")
    }

    pub(crate) fn entry(mut self, name: &str, kind: EntryType, mode: u32, content: &[u8], link: &str) -> Self {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_mode(mode);
        header.set_mtime(1_000_000_000);
        header.set_username("root").unwrap();
        header.set_groupname("root").unwrap();
        // The builder would clean names, and packages have `./` before theirs.
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        self.0.append(&header, content).unwrap();
        self
    }

    /// A file of `size` bytes, all of them zeros but `content` at its end, as GNU tar packs it.
    pub(crate) fn sparse(mut self, name: &str, size: u64, content: &[u8]) -> Self {
        let mut header = tar::Header::new_gnu();
        header.set_path(name).unwrap();
        header.set_entry_type(EntryType::GNUSparse);
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        let octal = |number: u64| format!("{number:011o}\0").into_bytes();
        let bytes = header.as_mut_bytes();
        bytes[386..398].copy_from_slice(&octal(size - content.len() as u64));
        bytes[398..410].copy_from_slice(&octal(content.len() as u64));
        bytes[483..495].copy_from_slice(&octal(size));
        header.set_cksum();
        self.0.append(&header, content).unwrap();
        self
    }

    /// Extended attributes of the entry that follows.
    pub(crate) fn pax(mut self, key: &str, value: &str) -> Self {
        self.0.append_pax_extensions([(key, value.as_bytes())]).unwrap();
        self
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }

    /// Without the mark at its end.
    pub(crate) fn unmarked(self) -> Vec<u8> {
        let mut bytes = self.finish();
        bytes.truncate(bytes.len() - 1024);
        bytes
    }
}

pub(crate) fn compressed(bytes: &[u8], format: Format) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new(), format).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
