use std::collections::BTreeMap;

use pkgformat::{Entry, EntryKind};
use pkgfs::Root;
use pkgtypes::PkgPath;

use crate::error::Result;
use crate::work::Work;
use crate::{Finding, place};

/// The unit in which file systems give out space.
const BLOCK: u64 = 4096;

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

    /// The rows: once in the log, once in the database, and the pages around them.
    pub(crate) fn add_database(&mut self, root: &Root, work: &Work<'_>) -> Result<()> {
        const PER_PATH: u64 = 256;
        const FIXED: u64 = 512 << 10;
        self.enter(root, Some(place::folder()))?;
        let rows = work.incoming.iter().map(|incoming| {
            let record = &incoming.record;
            record.encoded_len().saturating_mul(2) + record.manifest().entries().len() as u64 * PER_PATH
        });
        let bytes = rows.fold(FIXED, u64::saturating_add);
        let need = self.needs.entry(self.current).or_default();
        need.bytes = need.bytes.saturating_add(bytes);
        Ok(())
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
        let mut free = root.free_space(path.as_ref())?;
        if with_reserve && rustix::process::geteuid().is_root() {
            free.bytes = free.bytes.saturating_add(free.reserved);
        }
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
