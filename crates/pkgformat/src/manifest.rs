mod check;
mod decode;
mod encode;
mod entry;

use pkgtypes::PkgPath;

pub use entry::{ElfFacts, Entry, EntryKind, Principal, Use, Xattr};

pub(crate) use decode::Decoder;

use crate::error::ManifestError;

/// What a package puts where: one [`Entry`] for each path, sorted, every folder listed.
///
/// ```
/// use pkgformat::{Entry, EntryKind, Manifest};
/// use pkgtypes::{Mode, PkgPath};
///
/// let bin = PkgPath::new(b"bin".as_slice())?;
/// let link = Entry::new(bin.join(b"sh")?, EntryKind::Symlink { target: b"bash".to_vec() });
/// assert!(Manifest::new(vec![link.clone()]).is_err()); // its folder is missing
///
/// let folder = Entry::new(bin.clone(), EntryKind::Dir { mode: Mode::from_raw(0o755) });
/// let manifest = Manifest::new(vec![link, folder])?;
/// assert_eq!(manifest.entries()[0].path, bin);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    entries: Vec<Entry>,
}

impl Manifest {
    /// Sorts and checks `entries`.
    ///
    /// # Errors
    /// A path twice; a path whose folder is not listed as a dir; a hard link whose target is no file before it; a value
    /// that can not be written, or that the entry's type can not have.
    pub fn new(mut entries: Vec<Entry>) -> Result<Self, ManifestError> {
        entries.iter_mut().for_each(Entry::normalise);
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        let mut checker = check::Checker::default();
        for index in 0..entries.len() {
            checker.check(&entries[..index], &entries[index])?;
        }
        Ok(Self { entries })
    }

    /// The entries, sorted by path.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entries, to be changed and made a manifest again.
    pub fn into_entries(self) -> Vec<Entry> {
        self.entries
    }

    /// The entry of `path`.
    pub fn find(&self, path: &PkgPath) -> Option<&Entry> {
        find(&self.entries, path).map(|index| &self.entries[index])
    }
}

fn find(entries: &[Entry], path: &PkgPath) -> Option<usize> {
    entries.binary_search_by(|entry| entry.path.cmp(path)).ok()
}
