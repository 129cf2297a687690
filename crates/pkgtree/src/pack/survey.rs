//! The first look at a tree: everything about it but the content of its files.

use std::collections::HashMap;
use std::fs::File;
use std::num::NonZeroUsize;
use std::sync::Mutex;

use pkgformat::{Entry, EntryKind};
use pkgfs::{Batch, Error as DiskError, FileKind, Root, Stat, Walk, WalkEntry};
use pkgtypes::{Digest, PkgPath};

use super::{Filter, Keep, Owners, PackOptions};
use crate::{Error, Result, attributes, elf};

/// Stands for every digest until the content was read; an entry's length does not depend on it.
const UNKNOWN: Digest = Digest::from_bytes([0; Digest::LEN]);

/// A path as it will stand in the manifest, and what it was when it was looked at; entries that were added have no
/// look.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) entry: Entry,
    pub(super) stat: Option<Stat>,
}

/// Looks at everything in the tree, in path order.
pub(super) fn survey(tree: &Root, options: &PackOptions) -> Result<Vec<Found>> {
    let found = Walk::new(tree)?.map(|walked| Ok(begin(walked?, options))).collect::<Result<Vec<_>>>()?;
    examine_all(tree, found, options.threads)
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
    Found { entry, stat: Some(stat) }
}

/// Entries that a thread takes at a time; they mostly share a folder.
const SHARE: usize = 128;

fn examine_all(tree: &Root, mut found: Vec<Found>, threads: NonZeroUsize) -> Result<Vec<Found>> {
    let shares = Mutex::new(found.chunks_mut(SHARE));
    let helpers = threads.get().min(shares.lock().map_or(1, |shares| shares.len())).saturating_sub(1);
    let work = || -> Result<()> {
        let mut folders = Batch::new(tree);
        loop {
            let share = shares.lock().expect("no thread panics with the lock held").next();
            let Some(share) = share else { return Ok(()) };
            share.iter_mut().try_for_each(|found| examine(&mut folders, found))?;
        }
    };
    std::thread::scope(|scope| {
        let helpers = (0..helpers)
            .map(|_| std::thread::Builder::new().spawn_scoped(scope, work).map_err(Error::Thread))
            .collect::<Result<Vec<_>>>()?;
        let own = work();
        helpers.into_iter().fold(own, |all, helper| all.and(join(helper)))
    })?;
    Ok(found)
}

/// What a thread answers; its panic goes on here.
pub(crate) fn join<T>(thread: std::thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// What only an open file, folder or link tells.
fn examine(folders: &mut Batch<'_>, found: &mut Found) -> Result<()> {
    let Some(stat) = &found.stat else { return Ok(()) };
    let Entry { path, kind, xattrs, .. } = &mut found.entry;
    let place = folders.at(path)?;
    let read = |file: &File| {
        attributes::carried(file)
            .map_err(|error| DiskError::new("read the extended attributes of", place.full_path(), error))
    };
    match kind {
        EntryKind::File { elf, .. } => {
            let (file, now) = place.open_with_stat()?;
            if !stat.is_unchanged(&now) {
                return Err(Error::Changed { path: path.clone() });
            }
            *xattrs = read(&file)?;
            *elf = elf::facts(&file);
        }
        EntryKind::Dir { .. } => *xattrs = read(&place.open_dir()?)?,
        EntryKind::Symlink { target } => *target = place.read_link()?,
        _ => {}
    }
    Ok(())
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
    for Found { entry, stat } in found {
        let Some(stat) = stat.as_ref().filter(|stat| stat.kind == FileKind::File && stat.nlink > 1) else { continue };
        if let Some(target) = first.get(&(stat.dev, stat.ino)) {
            *entry = Entry::new(entry.path.clone(), EntryKind::Hardlink { target: target.clone() });
        } else {
            first.insert((stat.dev, stat.ino), entry.path.clone());
        }
    }
}
