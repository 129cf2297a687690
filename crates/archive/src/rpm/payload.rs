use std::io::{self, Read};

use pkgtypes::PkgPath;

use crate::at::At;
use crate::cpio::{self, Member};
use crate::deliver::{deliver, pass_over};
use crate::error::shown;
use crate::place::place;
use crate::source::Source;
use crate::{ArchiveError, Entry, EntryKind, Options};

use super::files::{FORMAT, Files, REGULAR, SYMLINK};
use super::metadata::RpmFile;

const CONTAINER: &str = "payload of an rpm package";

/// Matches the members of a payload with the files of the header.
pub(super) struct Payload<'a, R> {
    source: Source<R>,
    files: &'a Files,
    described: &'a [RpmFile],
    options: &'a Options,
    seen: Vec<bool>,
    /// Of each group of hard links: how many did not come yet.
    awaited: Vec<usize>,
    /// Of each group of hard links: the name that the content came with.
    delivered: Vec<Option<PkgPath>>,
    entries: u64,
    bytes: u64,
}

/// A member's data, and what the header knows of it.
struct Found {
    index: usize,
    size: u64,
    device: Option<(u32, u32)>,
    at: At,
}

impl<'a, R: Read> Payload<'a, R> {
    pub(super) fn new(reader: R, files: &'a Files, described: &'a [RpmFile], options: &'a Options) -> Self {
        Self {
            source: Source::new(reader, CONTAINER),
            files,
            described,
            options,
            seen: vec![false; files.slots.len()],
            awaited: files.groups.iter().map(Vec::len).collect(),
            delivered: vec![None; files.groups.len()],
            entries: 0,
            bytes: 0,
        }
    }

    pub(super) fn read<E: From<ArchiveError>>(
        mut self,
        mut each: impl FnMut(&Entry, &mut dyn Read) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some(found) = self.next()? {
            if self.files.slots[found.index].format == REGULAR {
                self.regular(&found, &mut each)?;
            } else {
                self.other(&found, &mut each)?;
            }
        }
        self.check_complete()?;
        // Fill bytes; reading them has the compression's own checksum compared.
        let offset = self.source.offset();
        io::copy(&mut self.source, &mut io::sink()).map_err(|source| ArchiveError::Io { offset, source })?;
        Ok(())
    }

    fn next(&mut self) -> Result<Option<Found>, ArchiveError> {
        let offset = self.source.offset();
        let found = match cpio::next(&mut self.source)? {
            Member::End => return Ok(None),
            Member::Numbered(number) => self.numbered(number, offset)?,
            Member::Named(header) => {
                let at = At { container: CONTAINER, entry: shown(&header.name), offset };
                let index = self.files.find(&header.name);
                let index = index.ok_or_else(|| at.malformed("the header does not list it"))?;
                if header.mode & FORMAT != self.files.slots[index].format {
                    return Err(at.malformed("it is something else than the header says"));
                }
                Found { index, size: header.size, device: Some(header.device), at }
            }
        };
        let slot = &self.files.slots[found.index];
        if slot.is_ghost {
            return Err(found.at.malformed("the header says that it is not in the payload"));
        }
        if std::mem::replace(&mut self.seen[found.index], true) {
            return Err(found.at.malformed("it comes twice"));
        }
        if let Some(group) = slot.group {
            self.awaited[group] -= 1;
        }
        self.entries += 1;
        if self.entries > self.options.limits.entries {
            return Err(found.at.limit("entries", self.options.limits.entries));
        }
        Ok(Some(found))
    }

    /// The short form says which file follows and nothing else.
    fn numbered(&self, number: u32, offset: u64) -> Result<Found, ArchiveError> {
        let index = usize::try_from(number).ok().filter(|index| *index < self.files.slots.len());
        let index = index.ok_or_else(|| self.source.malformed(offset, format!("there is no file number {number}")))?;
        let slot = &self.files.slots[index];
        let is_last = slot.group.is_none_or(|group| self.files.groups[group].last() == Some(&index));
        let has_data = matches!(slot.format, REGULAR | SYMLINK) && is_last;
        let at = At { container: CONTAINER, entry: shown(&slot.path), offset };
        Ok(Found { index, size: if has_data { slot.size } else { 0 }, device: None, at })
    }

    /// A file. Of several names of one, the last to come has the content; the others wait for it.
    fn regular<E: From<ArchiveError>>(
        &mut self,
        found: &Found,
        each: &mut impl FnMut(&Entry, &mut dyn Read) -> Result<(), E>,
    ) -> Result<(), E> {
        let slot = &self.files.slots[found.index];
        let group = slot.group.filter(|_| found.size == 0);
        if let Some(group) = group {
            if let Some(target) = self.delivered[group].clone() {
                return self.hard_link(found.index, &target, &found.at, each);
            }
            if self.awaited[group] > 0 {
                return Ok(());
            }
        }
        if found.size != slot.size {
            return Err(found
                .at
                .malformed(format!("it has {} bytes, the header says {}", found.size, slot.size))
                .into());
        }
        if slot.group.is_some_and(|group| self.delivered[group].is_some()) {
            return Err(found.at.malformed("the content of a file with several names comes a second time").into());
        }
        self.bytes = self.bytes.saturating_add(found.size);
        if self.bytes > self.options.limits.bytes {
            return Err(found.at.limit("bytes", self.options.limits.bytes).into());
        }
        let Some((file, entry)) = self.entry(found.index, &found.at)? else {
            return Ok(pass_over(&mut self.source, found.size, &found.at)?);
        };
        deliver(&entry, &mut self.source, file.checksum.as_ref(), &found.at, each)?;
        let Some(group) = slot.group else { return Ok(()) };
        self.delivered[group] = Some(entry.path.clone());
        let waiting = self.files.groups[group].iter().filter(|link| self.seen[**link] && **link != found.index);
        waiting.into_iter().try_for_each(|link| self.hard_link(*link, &entry.path, &found.at, each))
    }

    fn hard_link<E: From<ArchiveError>>(
        &self,
        index: usize,
        target: &PkgPath,
        at: &At,
        each: &mut impl FnMut(&Entry, &mut dyn Read) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some((_, mut entry)) = self.entry(index, at)? else { return Ok(()) };
        entry.kind = EntryKind::Hardlink { target: target.clone() };
        each(&entry, &mut io::empty())
    }

    fn other<E: From<ArchiveError>>(
        &mut self,
        found: &Found,
        each: &mut impl FnMut(&Entry, &mut dyn Read) -> Result<(), E>,
    ) -> Result<(), E> {
        let entry = self.entry(found.index, &found.at)?.map(|(_, entry)| entry);
        let is_link = self.files.slots[found.index].format == SYMLINK;
        if found.size > if is_link { PkgPath::MAX_LEN as u64 } else { 0 } {
            return Err(found.at.malformed(format!("it has {} bytes of data", found.size)).into());
        }
        let data = self.source.next_bytes(found.size)?;
        let Some(mut entry) = entry else { return Ok(()) };
        match &mut entry.kind {
            EntryKind::Symlink { target } if *target != data => {
                return Err(found.at.malformed("it is a link to something else than the header says").into());
            }
            // The header has room for small numbers alone.
            EntryKind::Char { device } | EntryKind::Block { device } => *device = found.device.unwrap_or(*device),
            _ => {}
        }
        each(&entry, &mut io::empty())
    }

    /// The description of a file, its path stripped; `None` where nothing is left of the path.
    fn entry(&self, index: usize, at: &At) -> Result<Option<(&'a RpmFile, Entry)>, ArchiveError> {
        let Some(file) = self.files.slots[index].file.map(|file| &self.described[file]) else { return Ok(None) };
        let raw = file.entry.path.as_bytes();
        let path = place(raw, self.options.strip).map_err(|source| at.path(raw, source))?;
        Ok(path.map(|path| (file, Entry { path, ..file.entry.clone() })))
    }

    fn check_complete(&self) -> Result<(), ArchiveError> {
        let missing = self.files.slots.iter().zip(&self.seen).find(|(slot, seen)| !slot.is_ghost && !**seen);
        missing.map_or(Ok(()), |(slot, _)| {
            let reason = format!("the file `{}` is missing that the header lists", shown(&slot.path));
            Err(self.source.malformed(self.source.offset(), reason))
        })
    }
}
