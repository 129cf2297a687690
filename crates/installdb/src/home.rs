//! Where our own files stand in a root: in `var/lib/kista`, or where links that the administrator put in the place of
//! these folders lead to.

use pkgfs::{ErrorKind as DiskError, FileKind, Root};
use pkgtypes::PkgPath;

use crate::error::{GONE, Result};
use crate::follow::{Follower, MOST_LINKS, stranger};
use crate::installed::LONGEST;
use crate::{Error, LinkProblem};

pub(crate) fn fixed(path: &'static str) -> PkgPath {
    PkgPath::new(path.as_bytes()).expect("the path is written here and valid")
}

/// The folder that is ours alone, as everybody calls it.
pub(crate) fn named() -> PkgPath {
    fixed("var/lib/kista")
}

/// Where a file that everybody looks for in a folder of the root's top stands: behind the administrator's link, if one is in
/// the place of the folder.
///
/// # Errors
/// [`Error::Misplaced`].
pub(crate) fn found(root: &Root, file: &'static str) -> Result<PkgPath> {
    let named = fixed(file);
    let Some(folder) = named.parent() else { return Ok(named) };
    match root.at(&named) {
        Err(error) if error.kind == DiskError::Symlink => {
            let (folder, _) = follow(root, &folder)?;
            folder.join(named.file_name()).map_err(|_| too_deep(root, &folder))
        }
        _ => Ok(named),
    }
}

fn too_deep(root: &Root, path: &PkgPath) -> Error {
    Error::PathTooLong { path: root.path().join(path), limit: LONGEST }
}

/// Where a folder is, and the links that were followed to it.
fn follow(root: &Root, named: &PkgPath) -> Result<(PkgPath, Vec<PkgPath>)> {
    let mut here: Option<PkgPath> = None;
    let mut links = Vec::new();
    for name in named.components() {
        let next = here.as_ref().map_or_else(|| PkgPath::new(name), |folder| folder.join(name));
        let next = next.map_err(|_| too_deep(root, named))?;
        let stat = match root.stat(&next) {
            Err(error) if GONE.contains(&error.kind) => None,
            stat => stat?,
        };
        here = match stat {
            Some(stat) if stat.kind == FileKind::Symlink => {
                let refuse = |_: &PkgPath, stat: &pkgfs::Stat| Ok(stranger(stat));
                let leads = Follower { root, refuse: &refuse, left: MOST_LINKS }.link(&next, &stat)?;
                // The root's top is no place for what is in the folder.
                let folder = leads.and_then(|folder| folder.ok_or(LinkProblem::Loop).map(Some));
                let folder = folder.map_err(|problem| Error::Misplaced { path: next.clone(), problem })?;
                links.push(next);
                folder
            }
            _ => Some(next),
        };
    }
    let folder = here.unwrap_or_else(|| named.clone());
    if folder.as_bytes().len() > LONGEST {
        return Err(too_deep(root, &folder));
    }
    Ok((folder, links))
}

/// The folder that is ours alone. No link is on the way to it from here on.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    folder: PkgPath,
    /// Links that were followed to it.
    links: Vec<PkgPath>,
}

impl Home {
    /// Follows the administrator's links, inside the root only. What is missing is still to be made.
    ///
    /// # Errors
    /// [`Error::Misplaced`].
    pub(crate) fn find(root: &Root) -> Result<Self> {
        let named = named();
        match root.sub(&named) {
            Err(error) if error.kind == DiskError::Symlink => {
                let (folder, links) = follow(root, &named)?;
                Ok(Self { folder, links })
            }
            _ => Ok(Self { folder: named, links: Vec::new() }),
        }
    }

    /// The folder.
    pub(crate) fn folder(&self) -> PkgPath {
        self.folder.clone()
    }

    /// The links on the way that were followed.
    pub(crate) fn links(&self) -> &[PkgPath] {
        &self.links
    }

    fn file(&self, name: &str) -> PkgPath {
        self.folder.join(name.as_bytes()).expect("a short name in a folder that no database is too deep in")
    }

    /// Contents that went and may come back.
    pub(crate) fn kept(&self) -> PkgPath {
        self.file("kept")
    }

    /// The database.
    pub(crate) fn database(&self) -> PkgPath {
        self.file("install.db")
    }

    /// The database while it is made, before it has its name.
    pub(crate) fn unfinished(&self) -> PkgPath {
        self.file("install.db.new")
    }

    /// sqlite's write-ahead log.
    pub(crate) fn log(&self) -> PkgPath {
        self.file("install.db-wal")
    }

    /// What sqlite's connections share.
    pub(crate) fn memory(&self) -> PkgPath {
        self.file("install.db-shm")
    }

    /// sqlite's rollback journal; only until a database has its write-ahead log.
    pub(crate) fn rollback(&self) -> PkgPath {
        self.file("install.db-journal")
    }

    /// The lock of those who change the root.
    pub(crate) fn lock(&self) -> PkgPath {
        self.file("lock")
    }
}
