//! Names that the kernel holds on to: a step on one of them would fail after the decision, for as long as it does.

use std::collections::HashSet;

use pkgfs::{Batch, ErrorKind as DiskError, Hold, Root};
use pkgtypes::PkgPath;

use crate::Finding;
use crate::error::Result;
use crate::step::Step;

/// Finds what would keep these steps from being done.
pub(crate) fn find(root: &Root, steps: &[Step], findings: &mut Vec<Finding>) -> Result<()> {
    let mut folders = Batch::new(root);
    // Of a folder that goes it may be known already, since something in it goes, too.
    let mut known: HashSet<PkgPath> = findings.iter().filter_map(path_of).cloned().collect();
    for step in steps {
        match look(&mut folders, step) {
            Ok(found) => findings.extend(found.filter(|_| known.insert(step.path().clone()))),
            // A folder that is made in this transaction, or cleared away in it; or one that this user may not look into, which
            // is found where the rights to change it are.
            Err(error)
                if matches!(
                    error.kind,
                    DiskError::NotFound | DiskError::WrongType | DiskError::Symlink | DiskError::Denied
                ) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The path that can not be changed.
fn path_of(finding: &Finding) -> Option<&PkgPath> {
    match finding {
        Finding::Held { path, .. } => Some(path),
        Finding::Denied { path } | Finding::ReadOnly { path } => path.as_ref(),
        _ => None,
    }
}

fn look(folders: &mut Batch<'_>, step: &Step) -> pkgfs::Result<Option<Finding>> {
    let root = folders.root();
    let path = step.path();
    let place = folders.at(path)?;
    let hold = place.hold()?;
    let found = |hold| Some(Finding::Held { path: path.clone(), hold });
    Ok(match (step, hold) {
        // A folder that something is mounted on stays, as one that is not empty does.
        (Step::RemoveDir(_), Some(Hold::MountPoint)) => None,
        (Step::Remove(_) | Step::RemoveDir(_) | Step::Place(_), Some(hold)) => found(hold),
        (Step::Attributes { .. }, Some(Hold::Immutable)) => found(Hold::Immutable),
        (Step::Attributes { .. }, _) => match root.may_change(Some(path)) {
            Err(error) if error.kind == DiskError::ReadOnly => Some(Finding::ReadOnly { path: Some(path.clone()) }),
            _ => None,
        },
        (Step::Remove(_) | Step::RemoveDir(_) | Step::Place(_), None) if is_kept_by_its_owner(root, step)? => {
            Some(Finding::Denied { path: Some(path.clone()) })
        }
        _ => None,
    })
}

/// Why a folder in which this user may not make and remove names is so.
pub(crate) fn denied(root: &Root, folder: Option<PkgPath>) -> Finding {
    match folder {
        Some(path) if matches!(root.at(&path).and_then(|place| place.hold()), Ok(Some(Hold::Immutable))) => {
            Finding::Held { path, hold: Hold::Immutable }
        }
        path => Finding::Denied { path },
    }
}

/// The sticky bit.
const STICKY: u32 = 0o1000;

/// In a sticky folder a name is only its owner's to take away, and the folder's owner's.
fn is_kept_by_its_owner(root: &Root, step: &Step) -> pkgfs::Result<bool> {
    let me = rustix::process::geteuid();
    if me.is_root() {
        return Ok(false);
    }
    let folder = match step.path().parent() {
        Some(folder) => root.stat(&folder)?,
        None => Some(root.stat_top()?),
    };
    let is_other = |uid: u32| uid != me.as_raw();
    let sticky = folder.is_some_and(|folder| is_other(folder.uid) && folder.mode.bits() & STICKY != 0);
    Ok(sticky && root.stat(step.path())?.is_some_and(|there| is_other(there.uid)))
}
