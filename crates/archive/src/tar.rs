use std::io::{self, Read};

use ::tar::EntryType;
use pkgtypes::{Mode, PkgPath, Timestamp};

use crate::at::At;
use crate::data::Data;
use crate::error::shown;
use crate::place::place;
use crate::source::Source;
use crate::{ArchiveError, Checksum, Entry, EntryKind, Options};

mod holes;
mod pax;
mod raw;

use raw::{Next, Raw, field};

const CONTAINER: &str = "tar archive";

/// Bytes of a header, of which everything is a multiple.
const BLOCK: u64 = 512;

/// Reads a tar archive that is not compressed: V7, ustar, GNU (long names, old sparse files) and pax (sparse files of
/// version 1.0).
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
    mut each: impl FnMut(&Described, &mut dyn Read) -> Result<(), E>,
) -> Result<End, E> {
    let mut source = Source::new(reader, CONTAINER);
    let mut walk = Walk { options, entries: 0, bytes: 0, holes: 0 };
    loop {
        let raw = match raw::next(&mut source, options.limits.header)? {
            Next::Entry(raw) => raw,
            Next::End { is_marked } => return Ok(End { is_marked, offset: source.offset() }),
        };
        let at = At { container: CONTAINER, entry: shown(&raw.path), offset: raw.offset };
        let described = walk.describe(&raw, source.offset(), &at)?;
        let mut stored = Data::new(&mut source, raw.stored);
        let result = match &described {
            Some(file) if matches!(file.entry.kind, EntryKind::File { .. }) => {
                pass_on(file, &raw, &mut stored, &mut each)
            }
            // What a folder's header says of data is passed over.
            Some(entry) => each(entry, &mut io::empty()),
            None => Ok(()),
        };
        // The archive's own error says more than what the caller made of it.
        stored.finish().map_err(|early| at.early(early))?;
        result?;
        source.align(BLOCK)?;
    }
}

fn pass_on<E>(
    file: &Described,
    raw: &Raw,
    stored: &mut Data<'_>,
    each: &mut impl FnMut(&Described, &mut dyn Read) -> Result<(), E>,
) -> Result<(), E> {
    match &raw.holes {
        Some(holes) => each(file, &mut holes.fill(stored)),
        None => each(file, stored),
    }
}

struct Walk<'o> {
    options: &'o Options,
    entries: u64,
    bytes: u64,
    holes: u64,
}

/// Holes are a compression of zeros and are bounded like others: this many bytes, and this many for each byte of the
/// archive that was read. What an entry says of its own data does not count: that may not be there.
const HOLES_SLACK: u64 = 64 << 20;
const HOLES_RATIO: u64 = 1000;

impl Walk<'_> {
    /// `None` for what is no file of its own: a global header, the top folder, a stripped one.
    fn describe(&mut self, raw: &Raw, data_offset: u64, at: &At) -> Result<Option<Described>, ArchiveError> {
        self.entries += 1;
        if self.entries > self.options.limits.entries {
            return Err(at.limit("entries", self.options.limits.entries));
        }
        // Neither is GNU's label of a whole archive.
        if raw.header.entry_type() == EntryType::XGlobalHeader || raw.header.entry_type().as_byte() == b'V' {
            return Ok(None);
        }
        let Some(path) = place(&raw.path, self.options.strip).map_err(|source| at.path(&raw.path, source))? else {
            return Ok(None);
        };
        let kind = self.kind(raw, at)?;
        if let EntryKind::File { size } = kind {
            self.count(size, raw, data_offset, at)?;
        }
        let entry = entry(raw, path, kind).map_err(|reason| at.malformed(reason))?;
        let has_holes = raw.holes.is_some();
        Ok(Some(Described { entry, checksum: raw.pax.checksum.clone(), offset: raw.offset, data_offset, has_holes }))
    }

    /// A file of `size` bytes, of which not all may be in the archive.
    fn count(&mut self, size: u64, raw: &Raw, data_offset: u64, at: &At) -> Result<(), ArchiveError> {
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > self.options.limits.bytes {
            return Err(at.limit("bytes", self.options.limits.bytes));
        }
        self.holes = self.holes.saturating_add(size.saturating_sub(raw.stored));
        let most = data_offset.saturating_mul(HOLES_RATIO).max(HOLES_SLACK);
        if self.holes > most { Err(at.limit("bytes of holes", most)) } else { Ok(()) }
    }

    fn kind(&self, raw: &Raw, at: &At) -> Result<EntryKind, ArchiveError> {
        let device = || -> Result<(u32, u32), ArchiveError> {
            let part = |part: io::Result<Option<u32>>| {
                part.ok().flatten().ok_or_else(|| at.malformed("a device without number"))
            };
            Ok((part(raw.header.device_major())?, part(raw.header.device_minor())?))
        };
        let kind = raw.header.entry_type();
        if raw.stored > 0 && matches!(kind, EntryType::Link | EntryType::Symlink) {
            return Err(at.unsupported("a link with data"));
        }
        Ok(match kind {
            // V7 had no type for folders: their names end in a slash.
            EntryType::Regular if raw.path.ends_with(b"/") => EntryKind::Dir,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                EntryKind::File { size: raw.holes.as_ref().map_or(raw.stored, |holes| holes.size) }
            }
            EntryType::Directory => EntryKind::Dir,
            EntryType::Symlink => EntryKind::Symlink { target: symlink_target(raw, at)? },
            EntryType::Link => EntryKind::Hardlink { target: self.hardlink_target(raw, at)? },
            EntryType::Char => EntryKind::Char { device: device()? },
            EntryType::Block => EntryKind::Block { device: device()? },
            EntryType::Fifo => EntryKind::Fifo,
            other => return Err(at.unsupported(format!("the type {:?} is not known", char::from(other.as_byte())))),
        })
    }

    fn hardlink_target(&self, raw: &Raw, at: &At) -> Result<PkgPath, ArchiveError> {
        let placed = place(&raw.link, self.options.strip).map_err(|source| at.path(&raw.link, source))?;
        placed.ok_or_else(|| at.malformed("it is a hard link to a folder that is stripped"))
    }
}

fn symlink_target(raw: &Raw, at: &At) -> Result<Vec<u8>, ArchiveError> {
    if raw.link.is_empty() || raw.link.len() > PkgPath::MAX_LEN || raw.link.contains(&0) {
        return Err(at.malformed("a symbolic link has 1 to 4095 bytes and no NUL"));
    }
    Ok(raw.link.clone())
}

fn entry(raw: &Raw, path: PkgPath, kind: EntryKind) -> Result<Entry, String> {
    let (header, pax) = (&raw.header, &raw.pax);
    let old = header.as_old();
    let mode = field(&old.mode, header.mode().map(u64::from), "its mode")?;
    let seconds = field(&old.mtime, header.mtime(), "its time")?;
    let name = |name: Option<&[u8]>| name.and_then(pax::text);
    Ok(Entry {
        path,
        kind,
        mode: Mode::from_raw((mode & u64::from(Mode::MASK)) as u32),
        // Times before 1970 are two's complement numbers.
        mtime: pax.mtime.unwrap_or_else(|| Timestamp::from_seconds(seconds.cast_signed())),
        uid: pax.uid.map_or_else(|| field(&old.uid, header.uid(), "its owner"), Ok)?,
        gid: pax.gid.map_or_else(|| field(&old.gid, header.gid(), "its group"), Ok)?,
        user: pax.user.clone().or_else(|| name(header.username_bytes())),
        group: pax.group.clone().or_else(|| name(header.groupname_bytes())),
        xattrs: pax.xattrs.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
    })
}
