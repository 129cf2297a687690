use std::collections::BTreeMap;

use pkgformat::{Entry, EntryKind, PackageRecord};
use pkgfs::Root;
use pkgtypes::PkgPath;

use crate::error::Result;
use crate::work::Work;
use crate::{Finding, Installed, log, originals};

/// The unit in which file systems give out space.
const BLOCK: u64 = 4096;

/// What the rows of a path take up in the log.
const PER_PATH: u64 = 256;
/// What a transaction takes up there, however little it does.
const FIXED: u64 = 512 << 10;
/// More is not set aside for removals.
const MOST_SPARE: u64 = 16 << 20;

fn rows(record: &PackageRecord) -> u64 {
    record.manifest().entries().len() as u64 * PER_PATH
}

/// What the log has to set aside, so that a package can be removed when the disk is full.
pub(crate) fn room_to_remove(record: &PackageRecord) -> u64 {
    rows(record).saturating_add(FIXED).min(MOST_SPARE)
}

fn free(root: &Root, path: Option<&PkgPath>, with_reserve: bool) -> Result<pkgfs::Space> {
    let mut free = root.free_space(path)?;
    if with_reserve && rustix::process::geteuid().is_root() {
        free.bytes = free.bytes.saturating_add(free.reserved);
    }
    Ok(free)
}

/// What a transaction needs on each file system.
#[derive(Debug, Default)]
pub(crate) struct Space {
    needs: BTreeMap<u64, Need>,
    current: u64,
    last: Option<Option<PkgPath>>,
    /// Whether the change makes room in the end, so that it may take what is kept for root meanwhile.
    pub(crate) makes_room: bool,
}

#[derive(Debug, Default)]
struct Need {
    bytes: u64,
    inodes: u64,
    /// A folder on the file system.
    folder: Option<PkgPath>,
}

impl Space {
    /// What is added from now on goes into this folder.
    pub(crate) fn enter(&mut self, root: &Root, folder: Option<PkgPath>) -> Result<()> {
        if self.last.as_ref() == Some(&folder) {
            return Ok(());
        }
        let mut there = folder.clone();
        // What is still to be made comes onto the file system of what is above it.
        let stat = loop {
            let Some(path) = &there else { break root.stat_top()? };
            match root.stat(path)? {
                Some(stat) => break stat,
                None => there = path.parent(),
            }
        };
        self.current = stat.dev;
        self.needs.entry(self.current).or_insert_with(|| Need { folder: there, ..Need::default() });
        self.last = Some(folder);
        Ok(())
    }

    /// The file system that was entered last.
    pub(crate) fn device(&self) -> u64 {
        self.current
    }

    /// What is free there.
    pub(crate) fn free_here(&self, root: &Root) -> Result<u64> {
        let folder = self.needs.get(&self.current).and_then(|need| need.folder.as_ref());
        Ok(free(root, folder, false)?.bytes)
    }

    pub(crate) fn add(&mut self, entry: &Entry) {
        let (bytes, inodes) = match &entry.kind {
            EntryKind::File { size, .. } => return self.add_file(*size),
            EntryKind::Dir { .. } => (BLOCK, 1),
            EntryKind::Hardlink { .. } | EntryKind::Ghost => (0, 0),
            _ => (0, 1),
        };
        self.add_need(bytes, inodes);
    }

    pub(crate) fn add_file(&mut self, size: u64) {
        self.add_need(size.div_ceil(BLOCK).saturating_mul(BLOCK), 1);
    }

    fn add_need(&mut self, bytes: u64, inodes: u64) {
        let need = self.needs.entry(self.current).or_default();
        need.bytes = need.bytes.saturating_add(bytes);
        need.inodes += inodes;
    }

    /// The rows: once in the log, once in the database, and the pages around them. Says whether only what the log has set
    /// aside makes the change possible.
    pub(crate) fn add_database(&mut self, db: &Installed, work: &Work<'_>) -> Result<bool> {
        let root = &db.root;
        self.enter(root, Some(db.home.folder()))?;
        let coming = work.incoming.iter().map(|incoming| {
            let (_, originals) = originals::of(&incoming.record);
            let stored = incoming.record.encoded_len().saturating_add(originals).saturating_mul(2);
            stored.saturating_add(rows(&incoming.record))
        });
        let going = work.outgoing.iter().map(|outgoing| rows(&outgoing.record));
        let bytes = coming.chain(going).fold(FIXED, u64::saturating_add);
        let need = self.needs.entry(self.current).or_default();
        need.bytes = need.bytes.saturating_add(bytes.saturating_sub(log::spare(db)?));
        Ok(free(root, need.folder.as_ref(), self.makes_room)?.bytes < bytes)
    }

    pub(crate) fn check(&self, root: &Root, findings: &mut Vec<Finding>) -> Result<()> {
        let needs = self.needs.values();
        needs
            .map(|need| (need.folder.clone(), (need.bytes, need.inodes)))
            .try_for_each(|(folder, need)| Self::check_need(root, folder, need, self.makes_room, findings))
    }

    /// Whether the file system of a folder has so many bytes and inodes, with what is kept for root or without it.
    pub(crate) fn check_need(
        root: &Root,
        path: Option<PkgPath>,
        (bytes, inodes): (u64, u64),
        with_reserve: bool,
        findings: &mut Vec<Finding>,
    ) -> Result<()> {
        let free = free(root, path.as_ref(), with_reserve)?;
        if bytes > free.bytes {
            findings.push(Finding::NoSpace { path: path.clone(), needed: bytes, free: free.bytes });
        }
        match free.inodes {
            Some(free) if inodes > free => findings.push(Finding::NoInodes { path, needed: inodes, free }),
            _ => {}
        }
        Ok(())
    }
}
