//! A package becomes a directory.

mod files;
mod finish;
mod plan;
mod pool;
mod sparse;

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};

use pkgformat::{Entry, EntryKind, PackageRecord, Reader, Summary};
use pkgfs::{Batch, Durability, ErrorKind, FileKind, Rename, Root, TempDir};
use pkgtypes::{Mode, PkgPath};

use self::files::Files;
use self::finish::Finisher;
use self::plan::Plan;
use crate::{Error, Names, Progress, Result};

/// What is done about the owners of what is unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ownership {
    /// Everything belongs to the user who unpacks; all that an ordinary user can do.
    Mine,
    /// Owners are set, by these names.
    Set(Names),
}

impl Ownership {
    /// What this user can do: root sets owners by the names of `root`, others do not.
    ///
    /// # Errors
    /// The names can not be read.
    pub fn of_user(root: &Root) -> Result<Self> {
        if pkgfs::is_superuser() { Names::load(root).map(Self::Set) } else { Ok(Self::Mine) }
    }
}

/// How a package becomes a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnpackOptions {
    /// Who owns what. By default, everything belongs to the user who unpacks.
    pub ownership: Ownership,
    /// Whether everything is on the disk before it gets its name.
    pub durability: Durability,
    /// How many threads work; as many as there are processors.
    pub threads: NonZeroUsize,
    /// Plain files and folders without owners, attributes and special bits, as the store has them.
    pub(crate) normalise: bool,
}

impl Default for UnpackOptions {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self { ownership: Ownership::Mine, durability: Durability::Atomic, threads, normalise: false }
    }
}

/// What an ordinary user, or the file system, could not be made to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotApplied {
    /// How many paths have another owner or group than the package says.
    pub owners: u64,
    /// Device files that were not made.
    pub devices: Vec<PkgPath>,
    /// Paths that lack an attribute which the file system does not hold, or the user may not set.
    pub attributes: Vec<PkgPath>,
    /// Paths whose setuid or setgid bit, or capability, was left out because they do not belong to whom the package
    /// says: a program must not run with the rights of somebody else. Nothing that a package gives to `root` is setuid
    /// in the hands of an ordinary user.
    pub special: Vec<PkgPath>,
}

impl NotApplied {
    fn merge(&mut self, other: Self) {
        self.owners += other.owners;
        self.devices.extend(other.devices);
        self.attributes.extend(other.attributes);
        self.special.extend(other.special);
    }

    /// Threads end in any order.
    fn sort(&mut self) {
        self.devices.sort();
        self.attributes.sort();
        self.special.sort();
    }
}

/// What was unpacked.
#[derive(Debug)]
pub struct Unpacked {
    /// The package record.
    pub record: Arc<PackageRecord>,
    /// The last record's numbers.
    pub summary: Summary,
    /// The tree.
    pub root: Root,
    /// What is not as the package says.
    pub not_applied: NotApplied,
}

/// Unpacks a package of which the first record was read.
///
/// Nothing in the tree is called done before every checksum was found right, down to the summary's. Content that
/// several paths share is stored once in the package and written once for each path: files that were separate are
/// separate again.
///
/// ```
/// # use pkgformat::PackageMeta;
/// use pkgformat::{Limits, Reader};
/// use pkgfs::{Durability, Root};
/// # use pkgtree::{PackOptions, Packer};
/// use pkgtree::{UnpackOptions, Unpacker};
/// use pkgtypes::{Mode, PkgPath};
///
/// # let scratch = tempfile::tempdir()?;
/// # let root = Root::open(scratch.path())?;
/// # root.create_dir(&PkgPath::new(*b"tree")?, Mode::from_raw(0o755))?;
/// # let tree = root.sub(&PkgPath::new(*b"tree")?)?;
/// # tree.write_file(&PkgPath::new(*b"hello")?, Mode::from_raw(0o644), b"hello\n", Durability::Atomic)?;
/// # let meta = PackageMeta::new("hello".parse()?, "1.0".parse()?, "1".parse()?, "any".parse()?);
/// # let mut package = Vec::new();
/// # Packer::new(&tree, meta, PackOptions::default()).write_to(&mut package)?;
/// let reader = Reader::open(&*package, Limits::default())?;
/// let unpacked = Unpacker::new(reader, UnpackOptions::default()).create(&root, &PkgPath::new(*b"new")?)?;
/// assert!(unpacked.root.stat(&PkgPath::new(*b"hello")?)?.is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Unpacker<'a, R> {
    reader: Reader<R>,
    placed: Option<Placed<R>>,
    options: UnpackOptions,
    progress: Option<&'a mut dyn Progress>,
}

/// A package that can be read at any place.
struct Placed<R> {
    package: File,
    /// Lets the reader pass over what was read there.
    pass: fn(&mut Reader<R>) -> pkgformat::Result<()>,
}

impl<R> fmt::Debug for Unpacker<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unpacker").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Unpacker<'_, File> {
    /// Will unpack what `reader` has to give, each thread reading for itself from `package`, which is the same file once
    /// more. The package begins with the file's first byte and is not compressed.
    pub fn of_file(reader: Reader<File>, package: File, options: UnpackOptions) -> Self {
        let placed = Placed { package, pass: Reader::pass_extent };
        Self { reader, placed: Some(placed), options, progress: None }
    }
}

impl<'a, R: Read> Unpacker<'a, R> {
    /// Will unpack what `reader` has to give. Whether its package record is to be trusted was decided before.
    pub fn new(reader: Reader<R>, options: UnpackOptions) -> Self {
        Self { reader, placed: None, options, progress: None }
    }

    /// Tells `progress` how far it is.
    #[must_use]
    pub fn progress(mut self, progress: &'a mut dyn Progress) -> Self {
        self.progress = Some(progress);
        self
    }

    /// Unpacks to a new folder of mode 0755, which has the whole tree or is not there; an empty folder of this name is
    /// replaced.
    ///
    /// # Errors
    /// A package that is damaged or not complete, a disk that is full, a name that is taken. Nothing is left behind.
    pub fn create(self, parent: &Root, path: &PkgPath) -> Result<Unpacked> {
        let folder = TempDir::new_in(parent, path.parent().as_ref())?;
        let durability = self.options.durability;
        let (record, summary, not_applied) = self.fill(&Target::new(folder.root()))?;
        parent.set_mode(folder.path(), Mode::from_raw(0o755))?;
        if durability == Durability::Synced {
            folder.root().syncfs()?;
        }
        let root = folder.persist(path, Rename::Replace).map_err(|error| match error.kind {
            ErrorKind::NotEmpty | ErrorKind::Exists | ErrorKind::WrongType => Error::Occupied(parent.path().join(path)),
            _ => error.into(),
        })?;
        if durability == Durability::Synced {
            parent.sync_dir(path.parent().as_ref())?;
        }
        Ok(Unpacked { record, summary, root, not_applied })
    }

    /// Unpacks into a folder beside what it has already. Folders that are there stay as they are; of everything else
    /// there may be nothing under the package's names.
    ///
    /// # Errors
    /// As [`Unpacker::create`]; a name that is taken, a link where the package has a folder. What was made is removed
    /// again.
    pub fn into_existing(self, root: &Root) -> Result<Unpacked> {
        let durability = self.options.durability;
        let root = root.try_clone()?;
        let target = Target::existing(&root);
        let record = self.reader.shared_package();
        let (record, summary, not_applied) = self.fill(&target).inspect_err(|_| target.remove_made(&record))?;
        if durability == Durability::Synced {
            root.syncfs()?;
        }
        Ok(Unpacked { record, summary, root, not_applied })
    }

    fn fill(mut self, target: &Target<'_>) -> Result<(Arc<PackageRecord>, Summary, NotApplied)> {
        let record = self.reader.shared_package();
        let plan = Plan::new(Arc::clone(&record));
        let mut silent = ();
        let progress = self.progress.as_deref_mut().unwrap_or(&mut silent);
        progress.begin(plan.bytes());
        let mut finisher = Finisher::new(&self.options);
        let folders = make_folders(target, &plan)?;
        let package = self.placed.as_ref().map(|placed| &placed.package);
        let files = Files { target, plan: &plan, options: &self.options, package };
        finisher.not_applied = files.write(&mut self.reader, self.placed.as_ref(), progress)?;
        make_others(target, &plan, &mut finisher)?;
        finish_folders(target, &plan, &folders, &mut finisher)?;
        let summary = self.reader.finish()?;
        finisher.not_applied.sort();
        Ok((record, summary, finisher.not_applied))
    }
}

/// The tree that is being filled.
#[derive(Debug)]
struct Target<'a> {
    root: &'a Root,
    /// What was made in a folder that is not ours to remove as a whole.
    made: Option<Mutex<Vec<u32>>>,
}

impl<'a> Target<'a> {
    fn new(root: &'a Root) -> Self {
        Self { root, made: None }
    }

    fn existing(root: &'a Root) -> Self {
        Self { root, made: Some(Mutex::default()) }
    }

    /// Notes that the entry with this index is there now.
    fn note(&self, index: u32) {
        if let Some(made) = &self.made {
            made.lock().expect("no thread panics with the lock held").push(index);
        }
    }

    /// Removes what was made, as far as it can be; the error that led to this is the one to be told.
    fn remove_made(&self, record: &PackageRecord) {
        let Some(made) = &self.made else { return };
        let mut made = made.lock().expect("no thread panics with the lock held").clone();
        made.sort_unstable();
        let entry = |index: &u32| &record.manifest().entries()[*index as usize];
        let is_folder = |entry: &&Entry| matches!(entry.kind, EntryKind::Dir { .. });
        for folder in made.iter().map(entry).filter(is_folder) {
            let _ = self.root.set_mode(&folder.path, Mode::from_raw(0o700));
        }
        for entry in made.iter().rev().map(entry) {
            let _ =
                if is_folder(&entry) { self.root.remove_dir(&entry.path) } else { self.root.remove_file(&entry.path) };
        }
    }
}

/// Makes the folders that are not there, closed to others until everything is in them; says which.
fn make_folders(target: &Target<'_>, plan: &Plan) -> Result<Vec<u32>> {
    let mut places = Batch::new(target.root);
    let mut made = Vec::new();
    for (index, entry) in plan.indexed().filter(|(_, entry)| matches!(entry.kind, EntryKind::Dir { .. })) {
        let place = places.at(&entry.path)?;
        match place.create_dir(Mode::from_raw(0o700)) {
            Ok(()) => {
                made.push(index);
                target.note(index);
            }
            Err(error) if error.kind == ErrorKind::Exists && target.made.is_some() => {
                let found = place.stat()?;
                if found.is_none_or(|found| found.kind != FileKind::Dir) {
                    return Err(Error::Occupied(place.full_path()));
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(made)
}

/// Makes what is neither a folder nor a file with content of its own.
fn make_others(target: &Target<'_>, plan: &Plan, finisher: &mut Finisher<'_>) -> Result<()> {
    let mut places = Batch::new(target.root);
    for (index, entry) in plan.indexed() {
        let is_made = match &entry.kind {
            EntryKind::File { .. } | EntryKind::Dir { .. } | EntryKind::Ghost => continue,
            EntryKind::Hardlink { target: first } => {
                places.at(&entry.path)?.hard_link(&target.root.at(first)?)?;
                true
            }
            EntryKind::Symlink { target: text } => {
                let place = places.at(&entry.path)?;
                place.symlink(text)?;
                finisher.finish_unopened(&place, entry)?;
                true
            }
            EntryKind::Fifo { .. } | EntryKind::Socket { .. } | EntryKind::Char { .. } | EntryKind::Block { .. } => {
                finisher.make_node(&places.at(&entry.path)?, entry)?
            }
        };
        if is_made {
            target.note(index);
        }
    }
    Ok(())
}

/// Gives the folders that were made their modes and times, the innermost first, because both change or forbid what
/// is done inside.
fn finish_folders(target: &Target<'_>, plan: &Plan, made: &[u32], finisher: &mut Finisher<'_>) -> Result<()> {
    let mut places = Batch::new(target.root);
    for &index in made.iter().rev() {
        let entry = plan.entry(index);
        let place = places.at(&entry.path)?;
        finisher.finish(&place.open_dir()?, &place, entry)?;
    }
    Ok(())
}
