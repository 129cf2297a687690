use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{ErrorKind as IoError, Read as _};
use std::sync::{Mutex, PoisonError};

use pkgformat::{Entry, EntryKind, Use, Xattr};
use pkgfs::{Batch, ErrorKind as DiskError, FileKind, Place, Root, Stat, fd};
use pkgtypes::{Digest, Hasher, PackageName, PkgPath};

pub use self::aspect::{Aspect, Facts, Ownership};
use self::shares::{Share, Shares, Subject};
use self::stored::Stored;
use crate::error::Result;
use crate::links::Links;
use crate::rights::Rights;
use crate::{Error, Event, Installed, Progress, Unset, threads};

mod aspect;
mod not_given;
mod shares;
mod stored;

/// A path that is not as its package says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The path.
    pub path: PkgPath,
    /// The package.
    pub package: PackageName,
    /// What is different, at least one thing.
    pub aspects: Vec<Aspect>,
    /// Whether it is one that may be: a configuration file is the administrator's in every respect, and so are ACLs that the
    /// package does not set; of a file that may change after the installation the content is the system's.
    pub expected: bool,
}

impl Difference {
    /// Whether something is broken: neither expected, nor merely hidden from this user.
    pub fn is_damage(&self) -> bool {
        !self.expected && self.aspects.iter().any(|aspect| *aspect != Aspect::Unreadable)
    }
}

/// How closely is looked.
#[derive(Debug, Clone, Copy, Default)]
pub struct VerifyOptions {
    /// Whether a file with the package's size and time of last change is taken to have its content, too, without being
    /// read. Others are read.
    pub fast: bool,
}

impl Installed {
    /// Compares the disk with what the packages of these names should have there, or with all packages where no name is
    /// given. Sorted by package, then path.
    ///
    /// # Errors
    /// [`Error::NotInstalled`]; the database can not be read; this process may open no more files. What else can not be
    /// read on the disk is a difference.
    pub fn verify(&self, names: &[PackageName]) -> Result<Vec<Difference>> {
        self.verify_with(names, VerifyOptions::default(), &mut ())
    }

    /// The same, as closely as asked for. All processors share the work, every byte is read once, and of the packages no
    /// more than some are in memory at a time. Of a package that another process takes away or replaces meanwhile nothing is
    /// said.
    ///
    /// # Errors
    /// As [`Installed::verify`]; [`Error::Stopped`].
    pub fn verify_with(
        &self,
        names: &[PackageName],
        options: VerifyOptions,
        progress: &mut dyn Progress,
    ) -> Result<Vec<Difference>> {
        let rows = self.rows_of(names)?;
        let (stored, shared) = Stored::load(self, &rows)?;
        let rights = Rights::load(&self.root)?;
        let shared = shared.into_iter().map(|path| (path, Mutex::new(None))).collect();
        let verifier = Verifier { root: &self.root, rights: &rights, options, shared };
        let shares = Shares::new();
        std::thread::scope(|scope| {
            let count = std::thread::available_parallelism().map_or(1, |count| count.get().min(16));
            // This one does it alone if need be.
            let others = (1..count).map_while(|_| threads::spawn(scope, || verifier.work(&shares)).ok());
            let others: Vec<_> = others.collect();
            let own = self.hand_out(&verifier, &shares, rows, stored, progress);
            shares.close(own.is_err());
            // All are waited for, whatever one of them says.
            let rest: Vec<_> =
                others.into_iter().map(|thread| thread.join().expect("a verifier does not panic")).collect();
            let (mut differences, verified) = own?;
            for found in rest {
                differences.extend(found?);
            }
            self.drop_replaced(&mut differences, &verified)?;
            differences.sort_by(|a, b| (&a.package, &a.path).cmp(&(&b.package, &b.path)));
            Ok(differences)
        })
    }

    /// What differs from packages that are not installed any more, or in another version, is no difference.
    fn drop_replaced(&self, differences: &mut Vec<Difference>, verified: &HashMap<PackageName, i64>) -> Result<()> {
        let packages: HashSet<PackageName> = differences.iter().map(|difference| difference.package.clone()).collect();
        for package in packages {
            if self.row_of(&package)?.as_ref() != verified.get(&package) {
                differences.retain(|difference| difference.package != package);
            }
        }
        Ok(())
    }

    /// The rows of these packages, or of all.
    fn rows_of(&self, names: &[PackageName]) -> Result<Vec<i64>> {
        if names.is_empty() {
            return self.rows();
        }
        let row = |name: &PackageName| self.row_of(name)?.ok_or_else(|| Error::NotInstalled { name: name.clone() });
        let mut rows = names.iter().map(row).collect::<Result<Vec<_>>>()?;
        rows.sort_unstable();
        rows.dedup();
        Ok(rows)
    }

    /// Reads the packages one by one and gives their entries to the others; takes part itself where that is enough for now.
    fn hand_out(
        &self,
        verifier: &Verifier<'_>,
        shares: &Shares,
        rows: Vec<i64>,
        mut stored: Stored,
        progress: &mut dyn Progress,
    ) -> Result<(Vec<Difference>, HashMap<PackageName, i64>)> {
        let mut worker = Worker::new(verifier);
        let mut verified = HashMap::new();
        let mut rows = rows.into_iter();
        let mut links = Links::new(self);
        loop {
            while shares.is_low()
                && let Some(row) = rows.next()
            {
                let Some(record) = self.record_if_there(row)? else { continue };
                verified.insert(record.meta().name.clone(), row);
                let unset = stored.take(self, row, &record)?;
                let standing = links.standing(&record)?;
                // Who wants to stop is asked here, too: the others may take all shares.
                if progress.report(Event::Verified { package: &record.meta().name }).is_break() {
                    return Err(Error::Stopped);
                }
                shares.add(Subject { record, standing, unset });
            }
            let Some(share) = shares.take_now() else { return Ok((worker.differences, verified)) };
            worker.verify(&share)?;
            let package = &share.package.record.meta().name;
            if progress.report(Event::Verified { package }).is_break() {
                return Err(Error::Stopped);
            }
        }
    }
}

/// What all threads share.
struct Verifier<'a> {
    root: &'a Root,
    rights: &'a Rights,
    options: VerifyOptions,
    /// The digests of files that several packages own, once they are known.
    shared: HashMap<PkgPath, Mutex<Option<Digest>>>,
}

impl Verifier<'_> {
    fn work(&self, shares: &Shares) -> pkgfs::Result<Vec<Difference>> {
        let mut worker = Worker::new(self);
        while let Some(share) = shares.take() {
            worker.verify(&share)?;
        }
        Ok(worker.differences)
    }
}

/// What is read at a time: large enough to make calls few, small enough to stay in the processor's cache.
const BUFFER: usize = 256 << 10;

/// One thread.
struct Worker<'a> {
    verifier: &'a Verifier<'a>,
    folders: Batch<'a>,
    buffer: Vec<u8>,
    differences: Vec<Difference>,
}

impl<'a> Worker<'a> {
    fn new(verifier: &'a Verifier<'_>) -> Self {
        let folders = Batch::new(verifier.root);
        Self { verifier, folders, buffer: vec![0; BUFFER], differences: Vec::new() }
    }

    /// # Errors
    /// What says nothing of the path but of this process: it may open no more files.
    fn verify(&mut self, share: &Share) -> pkgfs::Result<()> {
        let Subject { record, standing, unset } = &*share.package;
        for index in share.entries.clone() {
            let entry = &standing.entries(record)[index];
            let unset = unset.get(&index).copied().unwrap_or_default();
            if entry.kind == EntryKind::Ghost || unset.contains(Unset::DEVICE) || standing.is_link(index) {
                continue;
            }
            let found = match self.folders.at(&entry.path) {
                Ok(place) => look(self.verifier, &mut self.buffer, entry, unset, &place),
                Err(error) => Err(error),
            };
            let aspects = match found {
                Err(error) if error.kind == DiskError::TooManyFiles => return Err(error),
                found => found.unwrap_or_else(|error| vec![unreachable_aspect(entry, &error)]),
            };
            if !aspects.is_empty() {
                let path = record.manifest().entries()[index].path.clone();
                let package = record.meta().name.clone();
                let expected = is_expected(entry, &aspects);
                self.differences.push(Difference { path, package, aspects, expected });
            }
        }
        Ok(())
    }
}

fn is_expected(entry: &Entry, aspects: &[Aspect]) -> bool {
    if entry.uses.contains(&Use::Config) {
        return !aspects.contains(&Aspect::Unreadable);
    }
    let is_mutable = entry.uses.contains(&Use::Mutable);
    aspects.iter().all(|aspect| match aspect {
        Aspect::Content { .. } => is_mutable,
        Aspect::Xattr { name, expected: None, .. } => ACLS.contains(&&**name),
        _ => false,
    })
}

/// Looks at one path. A file that is read anyway is looked up once for both.
fn look(
    verifier: &Verifier<'_>,
    buffer: &mut [u8],
    entry: &Entry,
    unset: Unset,
    place: &Place<'_>,
) -> pkgfs::Result<Vec<Aspect>> {
    let is_file = matches!(entry.kind, EntryKind::File { .. });
    if is_file
        && !verifier.options.fast
        && let Some((file, stat)) = readable(place.open_with_stat())?
    {
        return verifier.aspects(buffer, entry, unset, &stat, place, Some(&file));
    }
    let Some(stat) = place.stat()? else { return Ok(vec![Aspect::Missing]) };
    if !is_of_type(entry, stat.kind) {
        return Ok(vec![Aspect::Type { expected: entry.kind.name(), found: Some(stat.kind) }]);
    }
    let is_needed = is_file && (!entry.xattrs.is_empty() || !verifier.is_believed(entry, &stat));
    let file = if is_needed { readable(place.open_file())? } else { None };
    verifier.aspects(buffer, entry, unset, &stat, place, file.as_ref())
}

/// `None` where the path is why it can not be opened; an error where this process may open no more files.
fn readable<T>(opened: pkgfs::Result<T>) -> pkgfs::Result<Option<T>> {
    match opened {
        Err(error) if error.kind == DiskError::TooManyFiles => Err(error),
        opened => Ok(opened.ok()),
    }
}

impl Verifier<'_> {
    /// Whether size and time are enough to know the content.
    fn is_believed(&self, entry: &Entry, stat: &Stat) -> bool {
        let EntryKind::File { size, .. } = &entry.kind else { return true };
        self.options.fast && stat.size == *size && stat.mtime == entry.mtime
    }

    /// What is different about something of the right type; of a file, `file` is its content.
    fn aspects(
        &self,
        buffer: &mut [u8],
        entry: &Entry,
        unset: Unset,
        stat: &Stat,
        place: &Place<'_>,
        file: Option<&File>,
    ) -> pkgfs::Result<Vec<Aspect>> {
        let mut aspects = Vec::new();
        match &entry.kind {
            EntryKind::File { .. } if self.is_believed(entry, stat) => {}
            EntryKind::File { size, digest, .. } => {
                aspects.extend(self.content_aspect(buffer, &entry.path, (*size, digest), stat, file));
            }
            EntryKind::Symlink { target } => {
                let found = place.read_link()?;
                if found != *target {
                    aspects.push(Aspect::Target { expected: target.clone(), found });
                }
            }
            EntryKind::Hardlink { target } => {
                let same = |other: Stat| (other.dev, other.ino) == (stat.dev, stat.ino);
                if !readable(self.root.stat(target))?.flatten().is_some_and(same) {
                    aspects.push(Aspect::Link { expected: target.clone() });
                }
                return Ok(aspects);
            }
            EntryKind::Char { major, minor, .. } | EntryKind::Block { major, minor, .. }
                if stat.rdev != (*major, *minor) =>
            {
                aspects.push(Aspect::Device { expected: (*major, *minor), found: stat.rdev });
            }
            _ => {}
        }
        if let Some(expected) = Rights::expected_mode(entry, unset).filter(|mode| *mode != stat.mode) {
            aspects.push(Aspect::Mode { expected, found: stat.mode });
        }
        if !unset.contains(Unset::OWNER) && self.rights.owner(entry) != Ok((stat.uid, stat.gid)) {
            let expected = Ownership { user: entry.owner.to_string(), group: entry.group.to_string() };
            aspects.push(Aspect::Owner { expected, found: self.rights.names(stat.uid, stat.gid) });
        }
        add_xattrs(&mut aspects, entry, unset, place, file, self.options.fast)?;
        Ok(aspects)
    }

    fn content_aspect(
        &self,
        buffer: &mut [u8],
        path: &PkgPath,
        (size, digest): (u64, &Digest),
        stat: &Stat,
        file: Option<&File>,
    ) -> Option<Aspect> {
        let differs = |found| Aspect::Content {
            expected: Facts { size, digest: Some(*digest) },
            found: Facts { size: stat.size, digest: found },
        };
        if stat.size != size {
            return Some(differs(None));
        }
        let mut known = self.shared.get(path).map(|known| known.lock().unwrap_or_else(PoisonError::into_inner));
        let before = known.as_ref().and_then(|known| **known);
        let found = match (before, file) {
            (Some(found), _) => found,
            (None, Some(file)) => match digest_of(file, size, buffer) {
                Ok(found) => found,
                Err(_) => return Some(Aspect::Unreadable),
            },
            (None, None) => return Some(Aspect::Unreadable),
        };
        if let Some(known) = &mut known {
            **known = Some(found);
        }
        (found != *digest).then(|| differs(Some(found)))
    }
}

/// The digest of a file of this size; of more than that, the size has told already.
fn digest_of(mut file: &File, size: u64, buffer: &mut [u8]) -> std::io::Result<Digest> {
    let mut hasher = Hasher::new();
    let mut left = size;
    while left > 0 {
        match file.read(buffer) {
            Ok(0) => break,
            Ok(length) => {
                hasher.update(&buffer[..length]);
                left = left.saturating_sub(length as u64);
            }
            Err(error) if error.kind() == IoError::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(hasher.finish())
}

fn unreachable_aspect(entry: &Entry, error: &pkgfs::Error) -> Aspect {
    match error.kind {
        DiskError::NotFound => Aspect::Missing,
        DiskError::WrongType | DiskError::Symlink => Aspect::Type { expected: entry.kind.name(), found: None },
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

/// Rights that a program should not have.
const CAPABILITY: &[u8] = b"security.capability";

/// Rights that an administrator may give to further users. New files get them from their folder.
const ACLS: [&[u8]; 2] = [b"system.posix_acl_access", b"system.posix_acl_default"];

/// Holds the attributes that the package sets against the disk's. Without any, a file or a folder is looked at only where it
/// is open: it may have got capabilities, and lists of further users.
fn add_xattrs(
    aspects: &mut Vec<Aspect>,
    entry: &Entry,
    unset: Unset,
    place: &Place<'_>,
    file: Option<&File>,
    is_fast: bool,
) -> pkgfs::Result<()> {
    if unset.contains(Unset::XATTRS) {
        return Ok(());
    }
    let folder = match entry.kind {
        EntryKind::Dir { .. } if !is_fast || !entry.xattrs.is_empty() => readable(place.open_dir())?,
        _ => None,
    };
    let Some(file) = folder.as_ref().or(file) else {
        if !entry.xattrs.is_empty() && !aspects.contains(&Aspect::Unreadable) {
            aspects.push(Aspect::Unreadable);
        }
        return Ok(());
    };
    let is_set = |name: &[u8]| entry.xattrs.iter().any(|xattr| *xattr.name == *name);
    let rights: &[&[u8]] = if folder.is_some() { &ACLS } else { &[CAPABILITY, ACLS[0]] };
    for name in rights.iter().filter(|name| !is_set(name)) {
        if let Ok(found @ Some(_)) = fd::xattr(file, name) {
            aspects.push(Aspect::Xattr { name: name.to_vec(), expected: None, found });
        }
    }
    for Xattr { name, value } in &entry.xattrs {
        match fd::xattr(file, name) {
            Ok(Some(found)) if found == *value => {}
            Ok(found) => aspects.push(Aspect::Xattr { name: name.clone(), expected: Some(value.clone()), found }),
            Err(_) if aspects.contains(&Aspect::Unreadable) => {}
            Err(_) => aspects.push(Aspect::Unreadable),
        }
    }
    Ok(())
}
