use std::io::{self, Read};
use std::rc::Rc;

use ::tar::EntryType;
use pkgtypes::{Mode, PkgPath, Timestamp};

use crate::at::At;
use crate::data::Data;
use crate::error::shown;
use crate::guard::{Guard, State};
use crate::place::place;
use crate::{ArchiveError, Checksum, ChecksumAlgorithm, Entry, EntryKind, Options};

const CONTAINER: &str = "tar archive";

/// Bytes of a header, of which everything is a multiple.
const BLOCK: u64 = 512;

/// Reads a tar archive that is not compressed: V7, ustar, GNU (long names, old sparse files) and pax.
///
/// `each` gets every entry in order with the data of a file (nothing for others); it need not read them. An archive that
/// ends without the block of zeros that marks its end is taken for cut off.
///
/// # Errors
/// What is wrong with the archive, and what `each` returns.
pub fn read_tar<E: From<ArchiveError>>(
    reader: impl Read,
    options: &Options,
    mut each: impl FnMut(&Entry, &mut dyn Read) -> Result<(), E>,
) -> Result<(), E> {
    let end = walk_tar(reader, options, |described, data| each(&described.entry, data))?;
    if !end.is_marked {
        let reason = "it ends without a block of zeros, so it was cut off".to_owned();
        return Err(ArchiveError::Malformed { container: CONTAINER, offset: end.offset, reason }.into());
    }
    Ok(())
}

/// An entry, and what only tar archives of some origin say of it.
pub(crate) struct Described {
    pub(crate) entry: Entry,
    /// The checksum that apk-tools gives files and links.
    pub(crate) checksum: Option<Checksum>,
    /// Where the entry is.
    pub(crate) offset: u64,
    /// Where its data are.
    pub(crate) data_offset: u64,
    /// Its data are not what stands there, but that with zeros between.
    pub(crate) has_holes: bool,
}

/// How a tar archive ended.
pub(crate) struct End {
    /// By a block of zeros, and not because there were no more bytes.
    pub(crate) is_marked: bool,
    /// Where.
    pub(crate) offset: u64,
}

/// [`read_tar`] for an archive that need not have a mark at its end.
pub(crate) fn walk_tar<E: From<ArchiveError>>(
    reader: impl Read,
    options: &Options,
    each: impl FnMut(&Described, &mut dyn Read) -> Result<(), E>,
) -> Result<End, E> {
    let (guard, state) = Guard::new(reader);
    let mut archive = ::tar::Archive::new(guard);
    let walk = Walk { state, options, entries: 0, bytes: 0, holes: 0 };
    walk.run(&mut archive, each)
}

struct Walk<'o> {
    state: Rc<State>,
    options: &'o Options,
    entries: u64,
    bytes: u64,
    holes: u64,
}

/// Holes are a compression of zeros and are bounded like others: this many bytes, and this many for each of the archive.
const HOLES_SLACK: u64 = 64 << 20;
const HOLES_RATIO: u64 = 1000;

impl Walk<'_> {
    fn run<R: Read, E: From<ArchiveError>>(
        mut self,
        archive: &mut ::tar::Archive<Guard<R>>,
        mut each: impl FnMut(&Described, &mut dyn Read) -> Result<(), E>,
    ) -> Result<End, E> {
        let mut entries = archive.entries().map_err(|error| self.malformed(&error))?;
        loop {
            let before = self.state.offset();
            self.state.set_budget(Some(self.options.limits.header));
            let next = entries.next();
            self.state.set_budget(None);
            let Some(next) = next else {
                let offset = self.state.offset();
                // Less than a block is what fills up the last file's.
                return Ok(End { is_marked: offset - before >= BLOCK, offset });
            };
            let mut raw = next.map_err(|error| self.malformed(&error))?;
            let at = At { container: CONTAINER, entry: shown(&raw.path_bytes()), offset: raw.raw_header_position() };
            self.count(&at)?;
            let size = raw.size();
            let entry = self.entry(&mut raw, &at)?;
            let mut data = Data::new(&mut raw, size);
            let result = match &entry {
                Some(file) if matches!(file.entry.kind, EntryKind::File { .. }) => each(file, &mut data),
                // What a folder's header says of data is passed over.
                Some(entry) => each(entry, &mut io::empty()),
                None => Ok(()),
            };
            // The archive's own error says more than what the caller made of it.
            data.finish().map_err(|early| at.early(early))?;
            result?;
        }
    }

    fn count(&mut self, at: &At) -> Result<(), ArchiveError> {
        self.entries += 1;
        if self.entries > self.options.limits.entries {
            return Err(at.limit("entries", self.options.limits.entries));
        }
        Ok(())
    }

    /// A file of `size` bytes of which only `stored` are in the archive.
    fn count_holes(&mut self, size: u64, stored: u64, at: &At) -> Result<(), ArchiveError> {
        self.holes = self.holes.saturating_add(size.saturating_sub(stored));
        let most = self.state.offset().saturating_add(stored).saturating_mul(HOLES_RATIO).max(HOLES_SLACK);
        if self.holes > most { Err(at.limit("bytes of holes", most)) } else { Ok(()) }
    }

    /// `None` for what is no file of its own: a global header, the top folder, a stripped one.
    fn entry<R: Read>(&mut self, raw: &mut ::tar::Entry<'_, R>, at: &At) -> Result<Option<Described>, ArchiveError> {
        // Neither is GNU's label of a whole archive.
        if raw.header().entry_type() == EntryType::XGlobalHeader || raw.header().entry_type().as_byte() == b'V' {
            return Ok(None);
        }
        let pax = Pax::read(raw, at)?;
        let name = raw.path_bytes().into_owned();
        let Some(path) = place(&name, self.options.strip).map_err(|source| at.path(&name, source))? else {
            return Ok(None);
        };
        let kind = self.kind(raw, &name, at)?;
        let has_holes = raw.header().entry_type() == EntryType::GNUSparse;
        if let EntryKind::File { size } = kind {
            self.bytes = self.bytes.saturating_add(size);
            if self.bytes > self.options.limits.bytes {
                return Err(at.limit("bytes", self.options.limits.bytes));
            }
            if has_holes {
                self.count_holes(size, raw.header().entry_size().unwrap_or(0), at)?;
            }
        }
        let header = raw.header();
        let field = header.as_old();
        let number = |field: &[u8], read: io::Result<u64>, what: &str| {
            if is_blank(field) {
                Ok(0)
            } else {
                read.map_err(|error| at.malformed(format!("{what}: {}", shown(error.to_string().as_bytes()))))
            }
        };
        let seconds = number(&field.mtime, header.mtime(), "its time")?;
        let mode = number(&field.mode, header.mode().map(u64::from), "its mode")?;
        let entry = Entry {
            path,
            kind,
            mode: Mode::from_raw((mode & u64::from(Mode::MASK)) as u32),
            // Times before 1970 are two's complement numbers.
            mtime: pax.mtime.unwrap_or_else(|| Timestamp::from_seconds(seconds.cast_signed())),
            uid: number(&field.uid, header.uid(), "its owner")?,
            gid: number(&field.gid, header.gid(), "its group")?,
            user: pax.user.or_else(|| text(header.username_bytes())),
            group: pax.group.or_else(|| text(header.groupname_bytes())),
            xattrs: pax.xattrs,
        };
        let data_offset = raw.raw_file_position();
        Ok(Some(Described { entry, checksum: pax.checksum, offset: at.offset, data_offset, has_holes }))
    }

    fn kind<R: Read>(&self, raw: &::tar::Entry<'_, R>, name: &[u8], at: &At) -> Result<EntryKind, ArchiveError> {
        let header = raw.header();
        let device = || -> Result<(u32, u32), ArchiveError> {
            let part = |part: io::Result<Option<u32>>| {
                part.ok().flatten().ok_or_else(|| at.malformed("a device without number"))
            };
            Ok((part(header.device_major())?, part(header.device_minor())?))
        };
        let kind = header.entry_type();
        let has_data = matches!(kind, EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse);
        if raw.size() > 0 && matches!(kind, EntryType::Link | EntryType::Symlink) {
            return Err(at.unsupported("a link with data"));
        }
        Ok(match kind {
            // V7 had no type for folders: their names end in a slash.
            EntryType::Regular if name.ends_with(b"/") => EntryKind::Dir,
            _ if has_data => EntryKind::File { size: raw.size() },
            EntryType::Directory => EntryKind::Dir,
            EntryType::Symlink => EntryKind::Symlink { target: self.symlink_target(raw, at)? },
            EntryType::Link => EntryKind::Hardlink { target: self.hardlink_target(raw, at)? },
            EntryType::Char => EntryKind::Char { device: device()? },
            EntryType::Block => EntryKind::Block { device: device()? },
            EntryType::Fifo => EntryKind::Fifo,
            other => return Err(at.unsupported(format!("the type {:?} is not known", char::from(other.as_byte())))),
        })
    }

    fn symlink_target<R: Read>(&self, raw: &::tar::Entry<'_, R>, at: &At) -> Result<Vec<u8>, ArchiveError> {
        let target = raw.link_name_bytes().unwrap_or_default().into_owned();
        if target.is_empty() || target.len() > PkgPath::MAX_LEN || target.contains(&0) {
            return Err(at.malformed("a symbolic link has 1 to 4095 bytes and no NUL"));
        }
        Ok(target)
    }

    fn hardlink_target<R: Read>(&self, raw: &::tar::Entry<'_, R>, at: &At) -> Result<PkgPath, ArchiveError> {
        let target = raw.link_name_bytes().unwrap_or_default().into_owned();
        let placed = place(&target, self.options.strip).map_err(|source| at.path(&target, source))?;
        placed.ok_or_else(|| at.malformed("it is a hard link to a folder that is stripped"))
    }

    fn malformed(&self, error: &io::Error) -> ArchiveError {
        let offset = self.state.offset();
        let reason = if self.state.is_exhausted() {
            format!("the headers of one entry have more than {} bytes", self.options.limits.header)
        } else {
            // The library quotes what it took for a name.
            shown(error.to_string().as_bytes())
        };
        ArchiveError::Malformed { container: CONTAINER, offset, reason }
    }
}

/// The pax attributes that are not in the header.
#[derive(Default)]
struct Pax {
    mtime: Option<Timestamp>,
    user: Option<String>,
    group: Option<String>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    checksum: Option<Checksum>,
}

impl Pax {
    fn read<R: Read>(raw: &mut ::tar::Entry<'_, R>, at: &At) -> Result<Self, ArchiveError> {
        let mut pax = Self::default();
        let extensions = raw.pax_extensions().map_err(|error| at.malformed(error.to_string()))?;
        for extension in extensions.into_iter().flatten() {
            let extension = extension.map_err(|error| at.malformed(error.to_string()))?;
            let (key, value) = (extension.key_bytes(), extension.value_bytes());
            match key {
                b"mtime" => pax.mtime = Some(decimal(value).ok_or_else(|| at.malformed("its time is no number"))?),
                b"uname" => pax.user = text(Some(value)),
                b"APK-TOOLS.checksum.SHA1" => {
                    let checksum = Checksum::from_hex(ChecksumAlgorithm::Sha1, value);
                    pax.checksum = Some(checksum.ok_or_else(|| at.malformed("its checksum can not be read"))?);
                }
                b"gname" => pax.group = text(Some(value)),
                _ if key.starts_with(b"GNU.sparse.") => return Err(at.unsupported("a sparse file in the pax format")),
                _ => {
                    if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                        pax.xattrs.push((name.to_owned(), value.to_owned()));
                    }
                }
            }
        }
        Ok(pax)
    }
}

/// Archivers leave a number out that they do not know.
fn is_blank(field: &[u8]) -> bool {
    field.iter().all(|byte| matches!(byte, 0 | b' '))
}

/// Seconds with any number of fraction digits; those after the ninth are dropped.
fn decimal(value: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(value).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanos: u32 = format!("{fraction:0<9.9}").parse().ok()?;
    if whole.starts_with('-') && nanos > 0 {
        return Timestamp::new(seconds.checked_sub(1)?, 1_000_000_000 - nanos);
    }
    Timestamp::new(seconds, nanos)
}

fn text(bytes: Option<&[u8]>) -> Option<String> {
    let text = std::str::from_utf8(bytes?).ok()?;
    (!text.is_empty() && !text.chars().any(char::is_control)).then(|| text.to_owned())
}
