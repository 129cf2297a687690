use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;

use ::tar::{EntryType, Header};
use pkgtypes::{Mode, PkgPath, Timestamp};

use crate::{ArchiveError, Entry, EntryKind};

const BLOCK: u64 = 512;
/// The largest numbers that a header has room for (seven and eleven octal digits).
const MAX_ID: u64 = 0o7_777_777;
const MAX_LONG: u64 = 0o77_777_777_777;

/// Writes a tar archive in the pax format; equal entries give equal bytes.
///
/// Extended headers stand where something does not fit into a plain one: long paths, large files, times with fractions,
/// extended attributes (as `SCHILY.xattr.*`, which GNU tar and libarchive read). Without [`TarWriter::finish`] the
/// archive has no end.
///
/// ```
/// # use archive::{ArchiveError, Entry, EntryKind, TarWriter};
/// # use pkgtypes::{Mode, PkgPath, Timestamp};
/// let mut writer = TarWriter::new(Vec::new());
/// let entry = Entry {
///     path: PkgPath::new(&b"greeting"[..]).unwrap(),
///     kind: EntryKind::File { size: 6 },
///     mode: Mode::from_raw(0o644),
///     mtime: Timestamp::EPOCH,
///     uid: 0,
///     gid: 0,
///     user: Some("root".to_owned()),
///     group: Some("root".to_owned()),
///     xattrs: Vec::new(),
/// };
/// writer.append(&entry, &mut &b"hello\n"[..])?;
/// let bytes = writer.finish()?;
/// assert_eq!(bytes.len() % 512, 0);
/// # Ok::<(), ArchiveError>(())
/// ```
#[must_use = "an archive ends with `finish`"]
pub struct TarWriter<W> {
    writer: W,
    offset: u64,
}

impl<W: Write> TarWriter<W> {
    /// Begins an archive.
    pub fn new(writer: W) -> Self {
        Self { writer, offset: 0 }
    }

    /// Adds an entry; `data` are those of a file, to their end, and are not read for anything else.
    ///
    /// # Errors
    /// The writer or the data fail; the data are not as long as the entry says; something no tar archive has room for.
    pub fn append(&mut self, entry: &Entry, data: &mut dyn Read) -> Result<(), ArchiveError> {
        let blocks = Blocks::new(entry).map_err(|what| ArchiveError::Unsupported {
            entry: entry.path.to_string(),
            offset: self.offset,
            what: what.to_owned(),
        })?;
        if !blocks.records.is_empty() {
            self.put(extended_header(entry, blocks.records.len()).as_bytes())?;
            self.put(&blocks.records)?;
            self.pad()?;
        }
        self.put(blocks.header.as_bytes())?;
        let EntryKind::File { size } = entry.kind else { return Ok(()) };
        self.copy(entry, size, data)?;
        self.pad()
    }

    /// Writes the mark of the end, and gives the writer back.
    ///
    /// # Errors
    /// The writer fails.
    pub fn finish(mut self) -> Result<W, ArchiveError> {
        self.put(&[0; 2 * BLOCK as usize])?;
        Ok(self.writer)
    }

    fn copy(&mut self, entry: &Entry, size: u64, data: &mut dyn Read) -> Result<(), ArchiveError> {
        let wrong = || ArchiveError::Announced { entry: entry.path.to_string(), size };
        let mut left = size;
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = match data.read(&mut buffer) {
                Ok(read) => read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(ArchiveError::Io { offset: size - left, source }),
            };
            if read == 0 {
                return if left == 0 { Ok(()) } else { Err(wrong()) };
            }
            left = left.checked_sub(read as u64).ok_or_else(wrong)?;
            self.put(&buffer[..read])?;
        }
    }

    /// Fills up the block that was begun.
    fn pad(&mut self) -> Result<(), ArchiveError> {
        let rest = self.offset.wrapping_neg() % BLOCK;
        self.put(&[0; BLOCK as usize][..rest as usize])
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.writer.write_all(bytes).map_err(|source| ArchiveError::Write { source })?;
        self.offset += bytes.len() as u64;
        Ok(())
    }
}

/// The header of an entry, and the records of its extended header.
struct Blocks {
    header: Header,
    records: Vec<u8>,
}

impl Blocks {
    fn new(entry: &Entry) -> Result<Self, &'static str> {
        let mut blocks = Self { header: Header::new_ustar(), records: Vec::new() };
        let mut records = Vec::new();
        blocks.put_path(entry, &mut records);
        blocks.put_kind(entry, &mut records)?;
        blocks.put_owner(entry, &mut records);
        blocks.header.set_mode(entry.mode.bits());
        let seconds = u64::try_from(entry.mtime.seconds()).ok().filter(|seconds| *seconds <= MAX_LONG);
        blocks.header.set_mtime(seconds.unwrap_or(0));
        if seconds.is_none() || entry.mtime.nanos() != 0 {
            records.push((b"mtime".to_vec(), decimal(entry.mtime).into_bytes()));
        }
        for (name, value) in &entry.xattrs {
            if name.is_empty() || name.contains(&b'=') || name.contains(&0) {
                return Err("an extended attribute whose name has an `=` or is none");
            }
            records.push(([b"SCHILY.xattr.", name.as_slice()].concat(), value.clone()));
        }
        records.sort();
        // Paths are bytes, and what is not UTF-8 must be said to be something else, before anything else.
        let is_path = |key: &[u8]| key == b"path" || key == b"linkpath";
        if records.iter().any(|(key, value)| is_path(key) && std::str::from_utf8(value).is_err()) {
            records.insert(0, (b"hdrcharset".to_vec(), b"BINARY".to_vec()));
        }
        blocks.records = records.iter().flat_map(|(key, value)| record(key, value)).collect();
        blocks.header.set_cksum();
        Ok(blocks)
    }

    fn put_path(&mut self, entry: &Entry, records: &mut Records) {
        let mut path = entry.path.as_bytes().to_vec();
        if entry.kind == EntryKind::Dir {
            path.push(b'/');
        }
        if self.header.set_path(OsStr::from_bytes(&path)).is_err() {
            put(&mut self.header.as_old_mut().name, &path);
            records.push((b"path".to_vec(), path));
        }
    }

    fn put_kind(&mut self, entry: &Entry, records: &mut Records) -> Result<(), &'static str> {
        self.header.set_size(0);
        let kind = match &entry.kind {
            EntryKind::File { size } => {
                if *size <= MAX_LONG {
                    self.header.set_size(*size);
                } else {
                    records.push((b"size".to_vec(), size.to_string().into_bytes()));
                }
                EntryType::Regular
            }
            EntryKind::Dir => EntryType::Directory,
            EntryKind::Symlink { target } => {
                self.put_target(target, records);
                EntryType::Symlink
            }
            EntryKind::Hardlink { target } => {
                self.put_target(target.as_bytes(), records);
                EntryType::Link
            }
            EntryKind::Char { device } => {
                self.put_device(*device)?;
                EntryType::Char
            }
            EntryKind::Block { device } => {
                self.put_device(*device)?;
                EntryType::Block
            }
            EntryKind::Fifo => EntryType::Fifo,
        };
        self.header.set_entry_type(kind);
        Ok(())
    }

    fn put_target(&mut self, target: &[u8], records: &mut Records) {
        if !put(&mut self.header.as_old_mut().linkname, target) {
            records.push((b"linkpath".to_vec(), target.to_vec()));
        }
    }

    fn put_device(&mut self, (major, minor): (u32, u32)) -> Result<(), &'static str> {
        if u64::from(major.max(minor)) > MAX_ID {
            return Err("a device whose number is too large");
        }
        let header = self.header.as_ustar_mut().ok_or("a device")?;
        header.set_device_major(major);
        header.set_device_minor(minor);
        Ok(())
    }

    fn put_owner(&mut self, entry: &Entry, records: &mut Records) {
        for (key, id) in [("uid", entry.uid), ("gid", entry.gid)] {
            let fits = id <= MAX_ID;
            let set = if key == "uid" { Header::set_uid } else { Header::set_gid };
            set(&mut self.header, if fits { id } else { 0 });
            if !fits {
                records.push((key.into(), id.to_string().into_bytes()));
            }
        }
        for (key, name) in [("uname", &entry.user), ("gname", &entry.group)] {
            let Some(name) = name else { continue };
            let set = if key == "uname" { Header::set_username } else { Header::set_groupname };
            // The field ends in a NUL.
            if name.len() > 31 || set(&mut self.header, name).is_err() {
                records.push((key.into(), name.clone().into_bytes()));
            }
        }
    }
}

type Records = Vec<(Vec<u8>, Vec<u8>)>;

/// Puts as much into the field as it has room for; whether that is all.
fn put(field: &mut [u8], bytes: &[u8]) -> bool {
    let length = bytes.len().min(field.len());
    field[..length].copy_from_slice(&bytes[..length]);
    length == bytes.len()
}

/// The header of the records that come before an entry.
fn extended_header(entry: &Entry, size: usize) -> Header {
    let mut header = Header::new_ustar();
    // Only who does not know the format sees this name.
    let name = [b"PaxHeaders/", entry.path.file_name()].concat();
    put(&mut header.as_old_mut().name, &name);
    header.set_entry_type(EntryType::XHeader);
    header.set_size(size as u64);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    header
}

/// `LENGTH KEY=VALUE\n`, where the length counts its own digits too.
fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}

/// Seconds as a decimal number.
fn decimal(time: Timestamp) -> String {
    let (seconds, nanos) = (time.seconds(), time.nanos());
    let fraction = |nanos: u32| format!("{nanos:09}").trim_end_matches('0').to_owned();
    match (seconds, nanos) {
        (seconds, 0) => seconds.to_string(),
        // The fraction counts forward from the second before.
        (..0, nanos) => format!("-{}.{}", (seconds + 1).unsigned_abs(), fraction(1_000_000_000 - nanos)),
        (seconds, nanos) => format!("{seconds}.{}", fraction(nanos)),
    }
}

/// An entry of root, as archives that we make need them beside those they are given.
pub(crate) fn plain(path: PkgPath, kind: EntryKind, mtime: Timestamp) -> Entry {
    let mode = Mode::from_raw(if kind == EntryKind::Dir { 0o755 } else { 0o644 });
    let root = || Some("root".to_owned());
    Entry { path, kind, mode, mtime, uid: 0, gid: 0, user: root(), group: root(), xattrs: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_a_record_counts_itself() {
        assert_eq!(record(b"a", b"b"), b"6 a=b\n");
        assert_eq!(record(b"path", &[b'x'; 87]).len(), 96);
        assert!(record(b"path", &[b'x'; 90]).starts_with(b"99 path="));
        assert!(record(b"path", &[b'x'; 91]).starts_with(b"101 path="), "100 has a digit more");
    }

    #[test]
    fn times() {
        for (seconds, nanos, text) in [
            (0, 0, "0"),
            (5, 250_000_000, "5.25"),
            (-1, 500_000_000, "-0.5"),
            (-3, 750_000_000, "-2.25"),
            (-3, 0, "-3"),
            (i64::MIN, 1, "-9223372036854775807.999999999"),
        ] {
            assert_eq!(decimal(Timestamp::new(seconds, nanos).unwrap()), text);
        }
    }
}
