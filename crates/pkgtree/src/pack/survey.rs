//! The first look at a tree: everything about it but the content of its files.

use std::collections::HashMap;
use std::fs::File;
use std::num::NonZeroUsize;
use std::sync::Mutex;

use pkgformat::{ElfFacts, Entry, EntryKind, Xattr};
use pkgfs::{Batch, Error as DiskError, FileKind, Place, Root, Stat, Walk, WalkEntry};
use pkgtypes::{Digest, PkgPath};

use super::{Filter, Keep, Owners, PackOptions};
use crate::{Error, Result, attributes, elf, threads};

/// Stands for every digest until the content was read; an entry's length does not depend on it.
const UNKNOWN: Digest = Digest::from_bytes([0; Digest::LEN]);

/// A path as it will stand in the manifest, and what was seen of it; entries that were added were not seen.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) entry: Entry,
    pub(super) look: Option<Look>,
}

/// What was seen at a path.
#[derive(Debug, Clone)]
pub(super) struct Look {
    pub(super) stat: Stat,
    /// Whether the file was opened already for what only an open file tells.
    pub(super) is_examined: bool,
}

/// What only an open file tells, apart from its content.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Traits {
    pub(super) xattrs: Vec<Xattr>,
    pub(super) elf: Option<Box<ElfFacts>>,
}

impl Traits {
    pub(super) fn of(file: &File, place: &Place<'_>) -> Result<Self> {
        Ok(Self { xattrs: xattrs(file, place)?, elf: elf::elf_facts(file) })
    }

    /// As [`Traits::of`], of a file of which all that matters of the beginning is at hand.
    pub(super) fn with_start(file: &File, place: &Place<'_>, start: &[u8]) -> Result<Self> {
        let elf = if elf::is_elf(start) { elf::elf_facts(file) } else { None };
        Ok(Self { xattrs: xattrs(file, place)?, elf })
    }

    /// Puts them into an entry; an attribute that a filter set stays.
    pub(super) fn apply(self, entry: &mut Entry) {
        for xattr in self.xattrs {
            if entry.xattrs.iter().all(|known| known.name != xattr.name) {
                entry.xattrs.push(xattr);
            }
        }
        if let EntryKind::File { elf, .. } = &mut entry.kind {
            *elf = self.elf;
        }
    }
}

fn xattrs(file: &File, place: &Place<'_>) -> Result<Vec<Xattr>> {
    let xattrs = attributes::carried(file);
    Ok(xattrs.map_err(|error| DiskError::new("read the extended attributes of", place.full_path(), error))?)
}

/// Looks at everything in the tree, in path order.
pub(super) fn walk(tree: &Root, options: &PackOptions) -> Result<Vec<Found>> {
    Walk::new(tree)?.map(|walked| Ok(begin(walked?, options))).collect()
}

fn begin(walked: WalkEntry, options: &PackOptions) -> Found {
    let WalkEntry { path, stat } = walked;
    let mode = stat.mode;
    let (major, minor) = stat.rdev;
    let kind = match stat.kind {
        FileKind::File => EntryKind::File { mode, size: stat.size, digest: UNKNOWN, elf: None },
        FileKind::Dir => EntryKind::Dir { mode },
        FileKind::Symlink => EntryKind::Symlink { target: Vec::new() },
        FileKind::Fifo => EntryKind::Fifo { mode },
        FileKind::Socket => EntryKind::Socket { mode },
        FileKind::Char => EntryKind::Char { mode, major, minor },
        FileKind::Block => EntryKind::Block { mode, major, minor },
    };
    let mut entry = Entry::new(path, kind);
    entry.mtime = options.clamp_mtime.map_or(stat.mtime, |latest| stat.mtime.min(latest));
    if let Owners::Keep(names) = &options.owners {
        entry.owner = names.user(stat.uid);
        entry.group = names.group(stat.gid);
    }
    Found { entry, look: Some(Look { stat, is_examined: false }) }
}

/// Entries that a thread takes at a time; they mostly share a folder.
const SHARE: usize = 128;

/// Opens what has to be opened before the length of the manifest is known: folders, links, and files that may well have
/// something to say beyond their content. The others are asked when they are read; see [`Traits`].
pub(super) fn examine(tree: &Root, found: &mut [Found], threads: NonZeroUsize) -> Result<()> {
    let shares = Mutex::new(found.chunks_mut(SHARE));
    let helpers = threads.get().min(shares.lock().map_or(1, |shares| shares.len())).saturating_sub(1);
    let work = || -> Result<()> {
        let mut folders = Batch::new(tree);
        loop {
            let share = shares.lock().expect("no thread panics with the lock held").next();
            let Some(share) = share else { return Ok(()) };
            share.iter_mut().try_for_each(|found| examine_one(&mut folders, found))?;
        }
    };
    std::thread::scope(|scope| {
        let helpers = (0..helpers).map(|_| threads::spawn(scope, work)).collect::<Result<Vec<_>>>()?;
        let own = work();
        helpers.into_iter().fold(own, |all, helper| all.and(threads::join(helper)))
    })
}

fn examine_one(folders: &mut Batch<'_>, found: &mut Found) -> Result<()> {
    let Found { entry, look: Some(look) } = found else { return Ok(()) };
    let has_more_to_say = has_more_to_say(entry);
    match &mut entry.kind {
        EntryKind::File { .. } if has_more_to_say => {
            let place = folders.at(&entry.path)?;
            let (file, now) = place.open_with_stat()?;
            if !look.stat.is_unchanged(&now) {
                return Err(Error::Changed { path: entry.path.clone() });
            }
            look.is_examined = true;
            let traits = Traits::of(&file, &place)?;
            traits.apply(entry);
        }
        EntryKind::Dir { .. } => {
            let place = folders.at(&entry.path)?;
            let xattrs = xattrs(&place.open_dir()?, &place)?;
            Traits { xattrs, elf: None }.apply(entry);
        }
        EntryKind::Symlink { target } if target.is_empty() => *target = folders.at(&entry.path)?.read_link()?,
        _ => {}
    }
    Ok(())
}

/// Whether a file is likely to be ELF or to have attributes. A wrong guess costs time, nothing else.
fn has_more_to_say(entry: &Entry) -> bool {
    let is_program = entry.kind.mode().is_some_and(|mode| mode.bits() & 0o111 != 0);
    is_program || entry.path.file_name().windows(3).any(|part| part == b".so")
}

/// Asks the filter about each entry; a folder that goes takes along what is in it.
pub(super) fn apply_filter(found: Vec<Found>, filter: &mut Filter<'_>) -> Result<Vec<Found>> {
    let mut kept = Vec::with_capacity(found.len());
    let mut dropped: Option<PkgPath> = None;
    for mut found in found {
        if dropped.as_ref().is_some_and(|folder| found.entry.path.is_within(folder)) {
            continue;
        }
        let path = found.entry.path.clone();
        let kind = found.entry.kind.clone();
        match filter(&mut found.entry) {
            Ok(Keep::Yes) if found.entry.path == path && is_same_content(&kind, &found.entry.kind) => kept.push(found),
            Ok(Keep::Yes) => return Err(Error::FilterChanged { path }),
            Ok(Keep::No) => dropped = Some(path),
            Err(source) => return Err(Error::Filter { path, source }),
        }
    }
    Ok(kept)
}

fn is_same_content(before: &EntryKind, after: &EntryKind) -> bool {
    use EntryKind::{Block, Char, Dir, Fifo, File, Socket};
    match (before, after) {
        (File { size, digest, .. }, File { size: new_size, digest: new_digest, .. }) => {
            (size, digest) == (new_size, new_digest)
        }
        (Char { major, minor, .. }, Char { major: new_major, minor: new_minor, .. })
        | (Block { major, minor, .. }, Block { major: new_major, minor: new_minor, .. }) => {
            (major, minor) == (new_major, new_minor)
        }
        (Dir { .. }, Dir { .. }) | (Fifo { .. }, Fifo { .. }) | (Socket { .. }, Socket { .. }) => true,
        (before, after) => before == after,
    }
}

/// Makes every further name of a file a hard link to the first.
pub(super) fn link_further_names(found: &mut [Found]) {
    let mut first: HashMap<(u64, u64), PkgPath> = HashMap::new();
    for Found { entry, look } in found {
        let stat = look.as_ref().map(|look| &look.stat);
        let Some(stat) = stat.filter(|stat| stat.kind == FileKind::File && stat.nlink > 1) else { continue };
        if let Some(target) = first.get(&(stat.dev, stat.ino)) {
            *entry = Entry::new(entry.path.clone(), EntryKind::Hardlink { target: target.clone() });
        } else {
            first.insert((stat.dev, stat.ino), entry.path.clone());
        }
    }
}
