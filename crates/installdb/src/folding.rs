//! Folders in which different names are one, and names that a file system does not take.
//!
//! What comes as a part of a new folder finds out when it is staged. What is renamed into a folder that stands would find
//! out after the decision; so the names are tried beforehand, where that is needed, in a folder of their own beside.

use std::collections::BTreeMap;

use pkgfs::{Batch, ErrorKind as DiskError, Root};
use pkgtypes::{Mode, PkgPath};
use rustix::io::Errno;

use crate::Finding;
use crate::error::Result;
use crate::layout::{Layout, Staging, What};
use crate::step::{staged_path, trial_path};

/// Finds what can not get its name, now that everything is staged. Costs a look-up for each folder that stands, and more only
/// in those that fold.
pub(crate) fn find(root: &Root, txn: i64, layout: &Layout) -> Result<Vec<Finding>> {
    let mut folders = Batch::new(root);
    // Several paths may lead to one folder where folders above it fold.
    let mut doubtful: BTreeMap<Option<String>, Vec<&PkgPath>> = BTreeMap::new();
    for group in layout.stagings.chunk_by(|one, next| one.target.parent() == next.target.parent()) {
        let is_text = group.iter().all(|staging| std::str::from_utf8(staging.target.file_name()).is_ok());
        if !is_text || folds(&mut folders, txn, group)? {
            let folder = group[0].target.parent().map(|folder| alike(folder.as_bytes()));
            doubtful.entry(folder).or_default().extend(group.iter().map(|staging| &staging.target));
        }
    }
    let mut findings = Vec::new();
    for targets in doubtful.into_values() {
        try_names(root, txn, &targets, &mut findings)?;
    }
    Ok(findings)
}

/// What names that differ in case have in common.
fn alike(name: &[u8]) -> String {
    String::from_utf8_lossy(name).to_lowercase()
}

/// Whether what was staged for the first of these in their folder has its name in capitals, too. Not asked is whether that is
/// the same file: file systems of programs may number names, not files.
fn folds(folders: &mut Batch<'_>, txn: i64, group: &[Staging]) -> Result<bool> {
    // What is saved may have its name already, and is not staged then.
    let Some(staging) = group.iter().find(|staging| !matches!(staging.what, What::Save(_))) else { return Ok(false) };
    let Ok(staged) = staged_path(&staging.target, txn, staging.step) else { return Ok(false) };
    let Ok(capitals) = staged.with_file_name(&staged.file_name().to_ascii_uppercase()) else { return Ok(false) };
    Ok(folders.at(&capitals)?.stat()?.is_some())
}

/// The name under which what is found at this path stands, where that is another one.
pub(crate) fn other_name(root: &Root, path: &PkgPath) -> Result<Option<PkgPath>> {
    let Ok(name) = std::str::from_utf8(path.file_name()) else { return Ok(None) };
    let flipped = Some(name.to_uppercase()).filter(|flipped| flipped != name).unwrap_or_else(|| name.to_lowercase());
    let Ok(other) = path.with_file_name(flipped.as_bytes()) else { return Ok(None) };
    // The list of a folder is worth reading only where names are folded.
    if flipped == name || root.stat(&other)?.is_none() {
        return Ok(None);
    }
    let names = root.read_dir(path.parent().as_ref())?;
    if names.iter().any(|known| **known == *path.file_name()) {
        return Ok(None);
    }
    let known = names.iter().find(|known| alike(known) == alike(name.as_bytes()));
    Ok(known.and_then(|known| path.with_file_name(known).ok()))
}

/// Makes an empty file of each name in a folder of their own. A kill leaves that to those who take the transaction back.
fn try_names(root: &Root, txn: i64, targets: &[&PkgPath], findings: &mut Vec<Finding>) -> Result<()> {
    let Ok(folder) = trial_path(targets[0], txn) else { return Ok(()) };
    root.create_dir(&folder, Mode::from_raw(0o700))?;
    let trial = root.sub(&folder)?;
    let mut taken: Vec<&PkgPath> = Vec::new();
    for &target in targets {
        let Ok(name) = PkgPath::new(target.file_name()) else { continue };
        match trial.create_file(&name, Mode::from_raw(0o600)) {
            Ok(_) => taken.push(target),
            Err(error) if error.kind == DiskError::Exists => {
                let is_twin = |one: &&&PkgPath| alike(one.file_name()) == alike(name.as_bytes());
                let other = taken.iter().find(is_twin).or(taken.first()).copied().filter(|other| *other != target);
                findings.extend(other.map(|other| Finding::OneName { path: other.clone(), other: target.clone() }));
            }
            Err(error) if is_refused(&error) => findings.push(Finding::NameNotTaken { path: target.clone() }),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(root.remove_tree(&folder)?)
}

/// Whether it is the name that the file system does not want. Some say that there is no such file.
fn is_refused(error: &pkgfs::Error) -> bool {
    let refusals = [Errno::INVAL, Errno::ILSEQ, Errno::NAMETOOLONG, Errno::NOENT, Errno::ACCESS];
    refusals.iter().any(|errno| error.source.raw_os_error() == Some(errno.raw_os_error()))
}
