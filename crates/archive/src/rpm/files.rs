use std::collections::HashMap;

use pkgtypes::{Mode, PkgPath, Timestamp};

use crate::place::place;
use crate::{ArchiveError, Checksum, ChecksumAlgorithm, Entry, EntryKind, capability};

use super::header::Header;
use super::metadata::{RpmFile, RpmFileFlags, narrow};
use super::tag;

/// The files of a header by the number that the payload counts them with.
pub(super) struct Files {
    pub(super) slots: Vec<Slot>,
    /// Files with several names: their numbers, in order.
    pub(super) groups: Vec<Vec<usize>>,
    by_path: HashMap<Vec<u8>, usize>,
}

/// What the payload must have for a file.
pub(super) struct Slot {
    /// The path without the slash at its beginning; empty for the top folder.
    pub(super) path: Vec<u8>,
    /// Where it is in [`super::RpmMetadata::files`]; the top folder is not.
    pub(super) file: Option<usize>,
    /// The type bits of its mode.
    pub(super) format: u32,
    pub(super) size: u64,
    pub(super) is_ghost: bool,
    /// Which of the groups it is of, where it has hard links.
    pub(super) group: Option<usize>,
}

/// The columns of the table of files.
struct Columns<'h> {
    header: &'h Header,
    sizes: Vec<u64>,
    modes: Vec<u64>,
    devices: Vec<u64>,
    mtimes: Vec<u64>,
    checksums: Vec<&'h [u8]>,
    algorithm: u64,
    targets: Vec<&'h [u8]>,
    flags: Vec<u64>,
    users: Vec<String>,
    groups: Vec<String>,
    verify: Vec<u64>,
    languages: Vec<String>,
    capabilities: Vec<String>,
}

impl Files {
    pub(super) fn read(header: &Header) -> Result<(Self, Vec<RpmFile>), ArchiveError> {
        let paths = paths(header)?;
        let columns = Columns::read(header, paths.len())?;
        let mut this = Self { slots: Vec::new(), groups: Vec::new(), by_path: HashMap::new() };
        let mut files = Vec::new();
        for (index, path) in paths.into_iter().enumerate() {
            let slot = columns.slot(index, path, &mut files)?;
            if this.by_path.insert(slot.path.clone(), index).is_some() {
                return Err(header.malformed(format!("the file `{}` stands here twice", slot.path.escape_ascii())));
            }
            this.slots.push(slot);
        }
        this.link(header)?;
        Ok((this, files))
    }

    /// The file that a name of the payload is about: `./usr`, `/usr` and `usr` are one.
    pub(super) fn find(&self, name: &[u8]) -> Option<usize> {
        let name = name.strip_prefix(b".").filter(|rest| rest.is_empty() || rest.starts_with(b"/")).unwrap_or(name);
        self.by_path.get(name.strip_prefix(b"/").unwrap_or(name)).copied()
    }

    /// Finds hard links: files of one inode on one device.
    fn link(&mut self, header: &Header) -> Result<(), ArchiveError> {
        let inodes = column(header, tag::FILE_INODES, header.numbers(tag::FILE_INODES)?, self.slots.len())?;
        let devices = column(header, tag::FILE_DEVICES, header.numbers(tag::FILE_DEVICES)?, self.slots.len())?;
        let mut names: HashMap<_, Vec<usize>> = HashMap::new();
        for (index, (slot, inode)) in self.slots.iter().zip(inodes).enumerate() {
            if slot.format == REGULAR && !slot.is_ghost && inode != 0 {
                names.entry((devices.get(index).copied().unwrap_or(0), inode)).or_default().push(index);
            }
        }
        for group in names.into_values().filter(|group| group.len() > 1) {
            for index in &group {
                if self.slots[*index].size != self.slots[group[0]].size {
                    return Err(header.malformed("two names of one file have different sizes"));
                }
                self.slots[*index].group = Some(self.groups.len());
            }
            self.groups.push(group);
        }
        Ok(())
    }
}

/// `S_IFMT` and its values.
pub(super) const FORMAT: u32 = 0o170_000;
pub(super) const REGULAR: u32 = 0o100_000;
pub(super) const SYMLINK: u32 = 0o120_000;

impl<'h> Columns<'h> {
    fn read(header: &'h Header, count: usize) -> Result<Self, ArchiveError> {
        let numbers = |tag| column(header, tag, header.numbers(tag)?, count);
        let texts = |tag| column(header, tag, header.texts(tag)?, count);
        let strings = |tag| column(header, tag, header.strings(tag)?, count);
        let long = numbers(tag::LONG_FILE_SIZES)?;
        let this = Self {
            header,
            sizes: if long.is_empty() { numbers(tag::FILE_SIZES)? } else { long },
            modes: numbers(tag::FILE_MODES)?,
            devices: numbers(tag::FILE_RDEVS)?,
            mtimes: numbers(tag::FILE_MTIMES)?,
            checksums: strings(tag::FILE_DIGESTS)?,
            algorithm: header.number(tag::FILE_DIGEST_ALGO)?.unwrap_or(1),
            targets: strings(tag::FILE_LINK_TOS)?,
            flags: numbers(tag::FILE_FLAGS)?,
            users: texts(tag::FILE_USER_NAME)?,
            groups: texts(tag::FILE_GROUP_NAME)?,
            verify: numbers(tag::FILE_VERIFY_FLAGS)?,
            languages: texts(tag::FILE_LANGS)?,
            capabilities: texts(tag::FILE_CAPS)?,
        };
        if count > 0 && (this.sizes.is_empty() || this.modes.is_empty()) {
            return Err(header.malformed("its files have no modes or sizes"));
        }
        Ok(this)
    }

    fn slot(&self, index: usize, path: Vec<u8>, files: &mut Vec<RpmFile>) -> Result<Slot, ArchiveError> {
        let format = self.modes[index] as u32 & FORMAT;
        let flags = RpmFileFlags(narrow(self.header, tag::FILE_FLAGS, self.flags.get(index).copied().unwrap_or(0))?);
        let file = self.file(index, &path, flags)?.map(|file| {
            files.push(file);
            files.len() - 1
        });
        Ok(Slot { path, file, format, size: self.sizes[index], is_ghost: flags.is_ghost(), group: None })
    }

    fn file(&self, index: usize, path: &[u8], flags: RpmFileFlags) -> Result<Option<RpmFile>, ArchiveError> {
        if path.is_empty() {
            return Ok(None);
        }
        let place = place(path, 0).map_err(|source| ArchiveError::Path {
            entry: crate::error::shown(path),
            offset: self.header.offset(),
            source,
        })?;
        let Some(place) = place else { return Ok(None) };
        let broken = |reason: &str| self.header.malformed(format!("the file `{place}`: {reason}"));
        let kind = self.kind(index).ok_or_else(|| broken("its type is not known, or a link has no target"))?;
        let checksum = self.checksums.get(index).filter(|text| !text.is_empty());
        let checksum = checksum.map(|text| self.checksum(text).ok_or_else(|| broken("its checksum can not be read")));
        let checksum = checksum.transpose()?;
        let capability = self.capabilities.get(index).filter(|text| !text.is_empty());
        let capability = capability.map(|text| {
            let value = capability::from_text(text).ok_or_else(|| broken("its capabilities can not be read"))?;
            Ok((b"security.capability".to_vec(), value))
        });
        let seconds = self.mtimes.get(index).copied().unwrap_or(0);
        let owner = |names: &[String]| names.get(index).filter(|name| !name.is_empty()).cloned();
        Ok(Some(RpmFile {
            checksum: checksum.filter(|_| matches!(kind, EntryKind::File { .. })),
            flags,
            verify: narrow(self.header, tag::FILE_VERIFY_FLAGS, self.verify.get(index).copied().unwrap_or(0))?,
            language: self.languages.get(index).cloned().unwrap_or_default(),
            entry: Entry {
                kind,
                mode: Mode::from_raw(self.modes[index] as u32 & Mode::MASK),
                mtime: Timestamp::from_seconds(i64::try_from(seconds).unwrap_or(i64::MAX)),
                uid: 0,
                gid: 0,
                user: owner(&self.users),
                group: owner(&self.groups),
                xattrs: capability.into_iter().collect::<Result<_, ArchiveError>>()?,
                path: place,
            },
        }))
    }

    fn kind(&self, index: usize) -> Option<EntryKind> {
        let device = self.devices.get(index).map_or((0, 0), |device| ((device >> 8) as u32, (device & 0xff) as u32));
        Some(match self.modes[index] as u32 & FORMAT {
            REGULAR => EntryKind::File { size: self.sizes[index] },
            SYMLINK => {
                let target = self.targets.get(index).filter(|target| !target.is_empty())?;
                EntryKind::Symlink { target: (target.len() <= PkgPath::MAX_LEN).then(|| target.to_vec())? }
            }
            0o040_000 => EntryKind::Dir,
            0o020_000 => EntryKind::Char { device },
            0o060_000 => EntryKind::Block { device },
            0o010_000 => EntryKind::Fifo,
            _ => return None,
        })
    }

    fn checksum(&self, text: &[u8]) -> Option<Checksum> {
        Checksum::from_hex(algorithm(self.algorithm)?, text)
    }
}

/// The algorithms of OpenPGP (RFC 4880, 9.4), by which rpm counts.
pub(super) fn algorithm(number: u64) -> Option<ChecksumAlgorithm> {
    Some(match number {
        1 => ChecksumAlgorithm::Md5,
        2 => ChecksumAlgorithm::Sha1,
        8 => ChecksumAlgorithm::Sha256,
        9 => ChecksumAlgorithm::Sha384,
        10 => ChecksumAlgorithm::Sha512,
        11 => ChecksumAlgorithm::Sha224,
        _ => return None,
    })
}

/// A column of the table of files: as long as it, or missing.
fn column<T>(header: &Header, tag: u32, column: Vec<T>, count: usize) -> Result<Vec<T>, ArchiveError> {
    if column.is_empty() || column.len() == count {
        Ok(column)
    } else {
        Err(header.wrong(tag, "there are not as many as files"))
    }
}

/// Many names may share one long folder, so that paths are longer than the header that has them; real ones are about
/// half as long as theirs. Four times as long, and this much more, is bearable.
const PATHS_PER_BYTE: usize = 4;
const PATHS_SLACK: usize = 1 << 20;

/// The paths, without the slash at their beginning.
fn paths(header: &Header) -> Result<Vec<Vec<u8>>, ArchiveError> {
    let relative = |path: &[u8]| path.strip_prefix(b"/").unwrap_or(path).to_vec();
    if !header.has(tag::BASE_NAMES) {
        return Ok(header.strings(tag::OLD_FILE_NAMES)?.into_iter().map(relative).collect());
    }
    let (names, folders) = (header.strings(tag::BASE_NAMES)?, header.strings(tag::DIR_NAMES)?);
    let indexes = column(header, tag::DIR_INDEXES, header.numbers(tag::DIR_INDEXES)?, names.len())?;
    let mut room = PATHS_PER_BYTE * header.as_bytes().len() + PATHS_SLACK;
    let mut paths = Vec::with_capacity(names.len());
    for (index, name) in names.into_iter().enumerate() {
        let folder = indexes.get(index).and_then(|folder| folders.get(usize::try_from(*folder).ok()?));
        let folder = folder.ok_or_else(|| header.wrong(tag::DIR_INDEXES, "there is no such folder"))?;
        room = room
            .checked_sub(folder.len() + name.len())
            .ok_or_else(|| header.wrong(tag::DIR_NAMES, "all paths together are far longer than the header"))?;
        paths.push(relative(&[folder, name].concat()));
    }
    Ok(paths)
}
