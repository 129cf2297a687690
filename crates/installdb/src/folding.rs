//! Folders in which different names are one, and names that a file system does not take.
//!
//! Twins that come at once are found before anything is staged, where folders are known to fold. What comes as a part of a
//! new folder finds out when it is staged at the latest. What is renamed into a folder that stands would find out after the
//! decision; so the names are tried beforehand, where that is needed, in a folder of their own beside.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use pkgfs::{Batch, ErrorKind as DiskError, Root};
use pkgtypes::{Mode, PkgPath};
use rustix::io::Errno;

use crate::column::path_column;
use crate::error::{DbResult as _, Result};
use crate::layout::{Fate, Layout, Staging, What};
use crate::step::{staged_path, trial_path};
use crate::work::Work;
use crate::{Error, Finding, Installed};

/// Which folders that stand fold names, as far as that can be known without a trace.
pub(crate) struct Folds<'a> {
    root: &'a Root,
    folders: HashMap<Option<PkgPath>, bool>,
    devices: HashMap<u64, bool>,
}

impl<'a> Folds<'a> {
    pub(crate) fn new(root: &'a Root) -> Self {
        Self { root, folders: HashMap::new(), devices: HashMap::new() }
    }

    /// Whether names in this folder (`None`: the root's top), and in those that come in it, are one where they differ in case.
    pub(crate) fn folder(&mut self, folder: Option<PkgPath>) -> Result<bool> {
        if let Some(known) = self.folders.get(&folder) {
            return Ok(*known);
        }
        let device = match &folder {
            None => Some(self.root.stat_top()?),
            Some(path) => self.root.stat(path)?,
        };
        let folds = match device.map(|stat| stat.dev) {
            None => false,
            // Who may not read the folder can not be told.
            Some(_) if self.root.folds_names(folder.as_ref()).unwrap_or(false) => true,
            Some(device) => match self.devices.get(&device) {
                Some(known) => *known,
                None => {
                    let folds = self.device(folder.clone(), device)?;
                    self.devices.insert(device, folds);
                    folds
                }
            },
        };
        self.folders.insert(folder, folds);
        Ok(folds)
    }

    /// Whether a whole file system folds: asked is for the other case of a name that stands on it.
    fn device(&self, folder: Option<PkgPath>, device: u64) -> Result<bool> {
        let mut here = folder;
        while let Some(path) = here {
            let above = match path.parent() {
                None => Some(self.root.stat_top()?),
                Some(parent) => self.root.stat(&parent)?,
            };
            if above.is_none_or(|above| above.dev != device) {
                return self.any_name(Some(&path));
            }
            if flipped(&path).is_some() {
                return is_folded(self.root, &path);
            }
            here = path.parent();
        }
        self.any_name(None)
    }

    fn any_name(&self, folder: Option<&PkgPath>) -> Result<bool> {
        let Ok(names) = self.root.read_dir(folder) else { return Ok(false) };
        let mut paths = names.into_iter().filter_map(|name| match folder {
            None => PkgPath::new(name).ok(),
            Some(folder) => folder.join(&name).ok(),
        });
        paths.find(|path| flipped(path).is_some()).map_or(Ok(false), |path| is_folded(self.root, &path))
    }
}

/// What installed packages have, by what the paths have in common with others of another case: each path, and an owner's row.
/// All of them are looked through, which is only worth it where names are folded.
pub(crate) fn installed(db: &Installed) -> Result<HashMap<String, Vec<(PkgPath, i64)>>> {
    let read = || -> rusqlite::Result<HashMap<String, Vec<(PkgPath, i64)>>> {
        let mut statement = db.conn.prepare_cached("SELECT path, package FROM paths")?;
        let mut rows = statement.query([])?;
        let mut found: HashMap<String, Vec<(PkgPath, i64)>> = HashMap::new();
        while let Some(row) = rows.next()? {
            let path = path_column(row, 0)?;
            found.entry(alike(path.as_bytes())).or_default().push((path, row.get(1)?));
        }
        Ok(found)
    };
    read().during("look up paths", &db.conn)
}

/// Those of these paths, all of which come into folders that fold, that are one with one before them.
pub(crate) fn twins<'p>(paths: impl Iterator<Item = &'p PkgPath>) -> Vec<Finding> {
    let mut known: HashMap<String, &PkgPath> = HashMap::new();
    let mut findings = Vec::new();
    for path in paths {
        let first = *known.entry(alike(path.as_bytes())).or_insert(path);
        // Where their folders are two, these are found.
        if first != path && first.parent() == path.parent() {
            findings.push(Finding::OneName { path: first.clone(), other: path.clone() });
        }
    }
    findings
}

/// What staging found out of names in new folders: that they are one, or not taken. Every other failure stays as it is.
pub(crate) fn explain(root: &Root, txn: i64, work: &Work<'_>, layout: &Layout, error: Error) -> Error {
    match refused_name(root, txn, work, layout, &error) {
        Ok(findings) if !findings.is_empty() => Error::Refused(findings),
        _ => error,
    }
}

fn refused_name(root: &Root, txn: i64, work: &Work<'_>, layout: &Layout, error: &Error) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let Error::Disk(error) = error else { return Ok(findings) };
    if error.kind != DiskError::Exists && !is_refused(error) {
        return Ok(findings);
    }
    let packages = work.packages();
    let staged = || {
        let nodes = work.tree.nodes.iter().zip(&layout.fates);
        nodes.filter_map(|(node, fate)| match fate {
            Fate::Staged(index) => Some((*index, &packages.entry(node).path)),
            Fate::Stays | Fate::Absent => None,
        })
    };
    let failed = |(index, path): &(usize, &PkgPath)| {
        let staged = layout.staged(*index, path, txn);
        staged.is_ok_and(|staged| root.path().join(staged.as_path()) == error.path)
    };
    let Some((index, path)) = staged().find(failed) else { return Ok(findings) };
    let siblings = staged().filter(|(other, sibling)| *other == index && sibling.parent() == path.parent());
    let siblings: Vec<&PkgPath> = siblings.map(|(_, sibling)| sibling).collect();
    try_names(root, txn, &layout.stagings[index].target, &siblings, &mut findings)?;
    Ok(findings)
}

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
        try_names(root, txn, targets[0], &targets, &mut findings)?;
    }
    Ok(findings)
}

/// What names that differ in case have in common.
pub(crate) fn alike(name: &[u8]) -> String {
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

/// The path with its last name in the other case; `None` where that has none.
fn flipped(path: &PkgPath) -> Option<PkgPath> {
    let name = std::str::from_utf8(path.file_name()).ok()?;
    let changed = |other: String| Some(other).filter(|other| other != name);
    let other = changed(name.to_ascii_uppercase())
        .or_else(|| changed(name.to_ascii_lowercase()))
        .or_else(|| changed(name.to_uppercase()))
        .or_else(|| changed(name.to_lowercase()))?;
    path.with_file_name(other.as_bytes()).ok()
}

/// Whether something that is found at a path is found under the other case of its last name, too: its folder folds.
pub(crate) fn is_folded(root: &Root, path: &PkgPath) -> Result<bool> {
    let Some(other) = flipped(path) else { return Ok(false) };
    // The list of a folder is worth reading only where both are found.
    if root.stat(&other)?.is_none() {
        return Ok(false);
    }
    let names = root.read_dir(path.parent().as_ref())?;
    let is_listed = |path: &PkgPath| names.iter().any(|name| **name == *path.file_name());
    Ok(!is_listed(path) || !is_listed(&other))
}

/// The path as it is spelled on the disk, where something stands at it.
pub(crate) fn spelled<'p>(root: &Root, path: &'p PkgPath) -> Result<Cow<'p, PkgPath>> {
    let mut found = Cow::Borrowed(path);
    let mut folders: Vec<PkgPath> = path.ancestors().collect();
    folders.reverse();
    for (depth, named) in folders.iter().chain([path]).enumerate() {
        let is_plain = named.file_name().is_ascii();
        if (!is_plain || is_folded(root, named)?)
            && let Some(name) = listed(root, named)?
        {
            let mut names: Vec<&[u8]> = found.components().collect();
            names[depth] = &name;
            found = PkgPath::new(names.join(&b'/')).map_or(found, Cow::Owned);
        }
    }
    Ok(found)
}

/// The name in a folder's list under which something stands that is found at a path; `None` where it is the path's own.
fn listed(root: &Root, path: &PkgPath) -> Result<Option<Box<[u8]>>> {
    let names = root.read_dir(path.parent().as_ref())?;
    if names.iter().any(|known| **known == *path.file_name()) {
        return Ok(None);
    }
    let Some(stat) = root.stat(path)? else { return Ok(None) };
    let same_file = |name: &[u8]| {
        let stat_of = path.with_file_name(name).ok().and_then(|path| root.stat(&path).ok().flatten());
        stat_of.is_some_and(|other| (other.dev, other.ino) == (stat.dev, stat.ino))
    };
    let wanted = alike(path.file_name());
    let found =
        names.iter().find(|known| alike(known) == wanted).or_else(|| names.iter().find(|known| same_file(known)));
    Ok(found.cloned())
}

/// Makes an empty file of each name in a folder of their own. A kill leaves that to those who take the transaction back.
fn try_names(root: &Root, txn: i64, beside: &PkgPath, targets: &[&PkgPath], findings: &mut Vec<Finding>) -> Result<()> {
    let Ok(folder) = trial_path(beside, txn) else { return Ok(()) };
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
