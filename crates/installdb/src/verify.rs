use std::sync::atomic::{AtomicUsize, Ordering};

use pkgformat::{Entry, EntryKind, PackageRecord, Use};
use pkgfs::{Batch, ErrorKind as DiskError, FileKind, Place, Root, Stat, fd};
use pkgtypes::{PackageName, PkgPath};

use crate::check::digest_file;
use crate::error::{DbResult as _, Result};
use crate::rights::Rights;
use crate::{Error, Installed, Unset};

/// A path that is not as its package says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The path.
    pub path: PkgPath,
    /// The package.
    pub package: PackageName,
    /// What is different, at least one thing.
    pub aspects: Vec<Aspect>,
    /// Whether the file is one that may change: the administrator's to edit, or the system's.
    pub expected: bool,
}

/// What is different about a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Aspect {
    /// Nothing is there.
    Missing,
    /// Something of another type is there.
    Type,
    /// The content of a file.
    Content,
    /// The target of a symbolic link.
    Target,
    /// The file that a hard link is a name of.
    Link,
    /// The permissions.
    Mode,
    /// Owner or group.
    Owner,
    /// An extended attribute that the package sets.
    Xattrs,
    /// The numbers of a device.
    Device,
    /// It could not be read.
    Unreadable,
}

/// Entries that one thread takes at a time.
const SHARE: usize = 64;

impl Installed {
    /// Compares the disk with what the packages of these names should have there, or with all packages where no name is
    /// given. Sorted by package, then path.
    ///
    /// # Errors
    /// [`Error::NotInstalled`]; the database can not be read. What can not be read on the disk is a difference.
    pub fn verify(&self, names: &[PackageName]) -> Result<Vec<Difference>> {
        let listed = self.list(&[])?;
        let all: Vec<PackageName> = listed.into_iter().map(|package| package.name).collect();
        let rights = Rights::load(&self.root)?;
        let mut differences = Vec::new();
        for name in if names.is_empty() { &all[..] } else { names } {
            let row = self.row_of(name)?.ok_or_else(|| Error::NotInstalled { name: name.clone() })?;
            let record = self.record_of(row)?;
            let unset = self.unset(row, &record)?;
            differences.extend(Verifier { root: &self.root, rights: &rights, record: &record, unset }.run());
        }
        Ok(differences)
    }

    /// What could not be given to the package's entries when it was installed.
    fn unset(&self, row: i64, record: &PackageRecord) -> Result<Vec<Unset>> {
        let read = || -> rusqlite::Result<Vec<Unset>> {
            let mut statement = self.conn.prepare_cached("SELECT unset FROM paths WHERE path = ? AND package = ?")?;
            let entries = record.manifest().entries().iter();
            let bits = entries.map(|entry| statement.query_row((entry.path.as_bytes(), row), |row| row.get(0)));
            bits.map(|bits| bits.map(Unset::from_bits)).collect()
        };
        read().during("look up a path", &self.conn)
    }
}

struct Verifier<'a> {
    root: &'a Root,
    rights: &'a Rights,
    record: &'a PackageRecord,
    unset: Vec<Unset>,
}

impl Verifier<'_> {
    /// Reading and hashing take most of the time, so all processors share the entries.
    fn run(&self) -> Vec<Difference> {
        let next = AtomicUsize::new(0);
        let count = self.record.manifest().entries().len();
        let threads = std::thread::available_parallelism().map_or(1, |count| count.get().min(16));
        let threads = threads.min(count.div_ceil(SHARE));
        let mut differences = Vec::new();
        std::thread::scope(|scope| {
            let working: Vec<_> = (1..threads).map(|_| scope.spawn(|| self.work(&next))).collect();
            differences = self.work(&next);
            for thread in working {
                differences.extend(thread.join().expect("a verifier does not panic"));
            }
        });
        differences.sort_by(|a, b| a.path.cmp(&b.path));
        differences
    }

    fn work(&self, next: &AtomicUsize) -> Vec<Difference> {
        let entries = self.record.manifest().entries();
        let mut folders = Batch::new(self.root);
        let mut differences = Vec::new();
        loop {
            let start = next.fetch_add(SHARE, Ordering::Relaxed);
            if start >= entries.len() {
                return differences;
            }
            for index in start..entries.len().min(start + SHARE) {
                differences.extend(self.verify(&mut folders, index));
            }
        }
    }

    fn verify(&self, folders: &mut Batch<'_>, index: usize) -> Option<Difference> {
        let entry = &self.record.manifest().entries()[index];
        let unset = self.unset[index];
        if entry.kind == EntryKind::Ghost || unset.contains(Unset::DEVICE) {
            return None;
        }
        let aspects = match folders.at(&entry.path).and_then(|place| Ok((place.stat()?, place))) {
            Ok((None, _)) => vec![Aspect::Missing],
            Ok((Some(stat), place)) => self.aspects(entry, unset, &stat, &place),
            Err(error) => vec![unreachable_aspect(&error)],
        };
        if aspects.is_empty() {
            return None;
        }
        let may_change = entry.uses.contains(&Use::Config) || entry.uses.contains(&Use::Mutable);
        Some(Difference {
            path: entry.path.clone(),
            package: self.record.meta().name.clone(),
            expected: may_change && aspects.iter().all(|aspect| *aspect == Aspect::Content),
            aspects,
        })
    }

    fn aspects(&self, entry: &Entry, unset: Unset, stat: &Stat, place: &Place<'_>) -> Vec<Aspect> {
        if !is_of_type(entry, stat.kind) {
            return vec![Aspect::Type];
        }
        let mut aspects = Vec::new();
        match &entry.kind {
            EntryKind::File { size, digest, .. } => match place.open_file().map(|file| {
                if stat.size == *size { digest_file(file).map(|found| found == *digest) } else { Ok(false) }
            }) {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => aspects.push(Aspect::Content),
                Ok(Err(_)) | Err(_) => aspects.push(Aspect::Unreadable),
            },
            EntryKind::Symlink { target } if place.read_link().ok().as_ref() != Some(target) => {
                aspects.push(Aspect::Target);
            }
            EntryKind::Hardlink { target } => {
                let same = |other: Stat| (other.dev, other.ino) == (stat.dev, stat.ino);
                if !self.root.stat(target).is_ok_and(|other| other.is_some_and(same)) {
                    aspects.push(Aspect::Link);
                }
                return aspects;
            }
            EntryKind::Char { major, minor, .. } | EntryKind::Block { major, minor, .. }
                if stat.rdev != (*major, *minor) =>
            {
                aspects.push(Aspect::Device);
            }
            _ => {}
        }
        let mode = Rights::expected_mode(entry, unset);
        if mode.is_some_and(|mode| mode != stat.mode) {
            aspects.push(Aspect::Mode);
        }
        if !unset.contains(Unset::OWNER) && self.rights.owner(entry) != Ok((stat.uid, stat.gid)) {
            aspects.push(Aspect::Owner);
        }
        if !unset.contains(Unset::XATTRS) && !entry.xattrs.is_empty() {
            aspects.extend(xattr_aspect(entry, place));
        }
        aspects
    }
}

fn unreachable_aspect(error: &pkgfs::Error) -> Aspect {
    match error.kind {
        DiskError::NotFound => Aspect::Missing,
        DiskError::WrongType | DiskError::Symlink => Aspect::Type,
        _ => Aspect::Unreadable,
    }
}

fn is_of_type(entry: &Entry, kind: FileKind) -> bool {
    matches!(
        (&entry.kind, kind),
        (EntryKind::File { .. } | EntryKind::Hardlink { .. }, FileKind::File)
            | (EntryKind::Dir { .. }, FileKind::Dir)
            | (EntryKind::Symlink { .. }, FileKind::Symlink)
            | (EntryKind::Fifo { .. }, FileKind::Fifo)
            | (EntryKind::Socket { .. }, FileKind::Socket)
            | (EntryKind::Char { .. }, FileKind::Char)
            | (EntryKind::Block { .. }, FileKind::Block)
    )
}

fn xattr_aspect(entry: &Entry, place: &Place<'_>) -> Option<Aspect> {
    let is_dir = matches!(entry.kind, EntryKind::Dir { .. });
    let Ok(file) = (if is_dir { place.open_dir() } else { place.open_file() }) else {
        return Some(Aspect::Unreadable);
    };
    for xattr in &entry.xattrs {
        match fd::xattr(&file, &xattr.name) {
            Ok(Some(value)) if value == xattr.value => {}
            Ok(_) => return Some(Aspect::Xattrs),
            Err(_) => return Some(Aspect::Unreadable),
        }
    }
    None
}
