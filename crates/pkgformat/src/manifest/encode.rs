use std::io::Write as _;

use pkgtypes::{Digest, Hasher, Timestamp};

use super::Manifest;
use super::entry::{ElfFacts, Entry, EntryKind, Principal};
use crate::list::put;
use crate::size;

/// Bytes that are encoded before they are hashed or written.
const BATCH: usize = 64 << 10;

impl Manifest {
    /// The manifest's bytes, handed to `take` in pieces.
    pub(crate) fn encode<E>(&self, mut take: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut bytes = Vec::with_capacity(BATCH + 4096);
        for entry in &self.entries {
            entry.encode(&mut bytes);
            if bytes.len() >= BATCH {
                take(&bytes)?;
                bytes.clear();
            }
        }
        take(&bytes)
    }

    /// How many bytes [`Manifest::encode`] makes. They do not depend on the digests.
    pub(crate) fn encoded_len(&self) -> u64 {
        let mut length = 0;
        let Ok(()) = self.encode(|bytes| {
            length += bytes.len() as u64;
            Ok::<_, std::convert::Infallible>(())
        });
        length
    }

    /// The length and the digest of the manifest's bytes.
    pub(crate) fn measure(&self) -> (u64, Digest) {
        let (mut length, mut hasher) = (0, Hasher::new());
        let Ok(()) = self.encode(|bytes| {
            length += bytes.len() as u64;
            hasher.update(bytes);
            Ok::<_, std::convert::Infallible>(())
        });
        (length, hasher.finish())
    }
}

impl Entry {
    /// Appends the entry's meta list; names in their order.
    fn encode(&self, out: &mut Vec<u8>) {
        let elf = self.kind.elf();
        put_text(out, "build-id", elf.and_then(|elf| elf.build_id.as_deref()));
        match &self.kind {
            EntryKind::Char { major, minor, .. } | EntryKind::Block { major, minor, .. } => {
                put_display(out, "device", format_args!("{major}:{minor}"));
            }
            EntryKind::File { digest, .. } => put(out, "digest", &digest.to_hex()),
            _ => {}
        }
        put_principal(out, "group", &self.group);
        put_text(out, "interpreter", elf.and_then(|elf| elf.interpreter.as_deref()));
        if let Some(mode) = self.kind.mode() {
            let digits = [9, 6, 3, 0].map(|shift| b'0' + (mode.bits() >> shift & 7) as u8);
            put(out, "mode", &digits);
        }
        put_time(out, self.mtime);
        for name in elf.iter().flat_map(|elf| &elf.needed) {
            put(out, "needed", name.as_bytes());
        }
        put_principal(out, "owner", &self.owner);
        put(out, "path", self.path.as_bytes());
        if let EntryKind::File { size, .. } = &self.kind {
            put_decimal(out, "size", *size);
        }
        put_text(out, "soname", elf.and_then(|elf| elf.soname.as_deref()));
        match &self.kind {
            EntryKind::Symlink { target } => put(out, "target", target),
            EntryKind::Hardlink { target } => put(out, "target", target.as_bytes()),
            _ => {}
        }
        put(out, "type", self.kind.name().as_bytes());
        for known in &self.uses {
            put(out, "use", known.as_str().as_bytes());
        }
        for xattr in &self.xattrs {
            size::put(out, ("xattr=".len() + xattr.name.len() + 1 + xattr.value.len()) as u64);
            for part in [b"xattr=", &*xattr.name, b"\0", &*xattr.value] {
                out.extend_from_slice(part);
            }
        }
        out.push(0);
    }
}

impl EntryKind {
    fn elf(&self) -> Option<&ElfFacts> {
        match self {
            Self::File { elf, .. } => elf.as_deref(),
            _ => None,
        }
    }
}

fn put_text(out: &mut Vec<u8>, name: &str, text: Option<&str>) {
    if let Some(text) = text {
        put(out, name, text.as_bytes());
    }
}

fn put_principal(out: &mut Vec<u8>, name: &str, principal: &Principal) {
    if !principal.is_root() {
        put(out, name, principal.as_str().as_bytes());
    }
}

fn put_time(out: &mut Vec<u8>, time: Timestamp) {
    match u64::try_from(time.seconds()) {
        Ok(0) if time == Timestamp::EPOCH => {}
        Ok(seconds) if time.nanos() == 0 => put_decimal(out, "mtime", seconds),
        _ => put_display(out, "mtime", format_args!("{time}")),
    }
}

/// What [`put_display`] does, without the formatting machinery: most manifests are full of numbers.
fn put_decimal(out: &mut Vec<u8>, name: &str, mut number: u64) {
    let mut digits = [b'0'; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    put(out, name, &digits[start..]);
}

/// For values of at most a few dozen digits.
fn put_display(out: &mut Vec<u8>, name: &str, value: std::fmt::Arguments<'_>) {
    let mut buffer = [0; 48];
    let mut left = &mut buffer[..];
    left.write_fmt(value).expect("numbers, devices and times have fewer than 48 digits");
    let unused = left.len();
    put(out, name, &buffer[..48 - unused]);
}
