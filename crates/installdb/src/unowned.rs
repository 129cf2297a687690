use std::collections::{HashMap, HashSet};

use pkgformat::EntryKind;
use pkgfs::{FileKind, Walk};
use pkgtypes::{PackageName, PkgPath};

use crate::error::{DbResult as _, Result};
use crate::links::Links;
use crate::rows;
use crate::step::is_reserved;
use crate::{Error, Event, Installed, Progress, folding};

/// What lies in packages' folders and belongs to none of them.
#[derive(Debug, Default)]
pub struct Unowneds {
    /// The paths, in their order; of a folder that nobody owns, its own path stands for all that is in it.
    pub paths: Vec<PkgPath>,
    /// What could not be looked at, and why.
    pub unread: Vec<pkgfs::Error>,
}

/// Where others than packages put things, by the filesystem hierarchy standard: what the kernel shows, what belongs to
/// users and administrators, and what programs write while they run.
const ELSEWHERE: [&str; 14] = [
    "dev",
    "etc/.pwd.lock",
    "home",
    "lost+found",
    "media",
    "mnt",
    "proc",
    "root",
    "run",
    "srv",
    "sys",
    "tmp",
    "usr/local",
    "var",
];

impl Installed {
    /// Looks for what no package owns in the folders of the packages of these names, or of all packages where no name is
    /// given.
    ///
    /// Not looked at: `dev`, `etc/.pwd.lock`, `home`, `lost+found`, `media`, `mnt`, `proc`, `root`, `run`, `srv`, `sys`, `tmp`, `usr/local`
    /// and `var`; and what an installation left beside a configuration file under its name with `.new` or `.save`.
    ///
    /// # Errors
    /// [`Error::NotInstalled`], [`Error::Stopped`]; the database can not be read.
    pub fn unowned(&self, names: &[PackageName], progress: &mut dyn Progress) -> Result<Unowneds> {
        let folders = self.folders_of(names)?;
        let behind = Links::new(self).behind()?;
        let ways = ways(folders.iter().flatten().chain(behind.keys()));
        let is_theirs = |path: &PkgPath| {
            let is_folder = folders.as_ref().is_some_and(|folders| folders.contains(path));
            Ok::<_, Error>(is_folder || behind.contains_key(path) || self.is_owned(path)?)
        };
        let mut folded = Folded { db: self, alike: None };
        let is_looked_into = |path: &PkgPath| folders.as_ref().is_none_or(|folders| folders.contains(path));
        let mut found = Unowneds::default();
        let mut walk = Walk::new(&self.root)?;
        while let Some(entry) = walk.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    found.unread.push(error);
                    continue;
                }
            };
            let (is_dir, is_way) = (entry.stat.kind == FileKind::Dir, ways.contains(&entry.path));
            if is_elsewhere(&entry.path) {
                walk.skip_folder();
            } else if !is_way && !is_theirs(&entry.path)? {
                walk.skip_folder();
                // The root's own top belongs to no package.
                let is_shown = entry.path.parent().is_some_and(|folder| is_looked_into(&folder));
                if is_shown && !self.is_beside_config(&entry.path, &behind)? && !folded.is_owned(&entry.path)? {
                    found.paths.push(entry.path);
                }
            } else if is_dir && !is_way && !is_looked_into(&entry.path) {
                walk.skip_folder();
            } else if is_dir && progress.report(Event::Walked { folder: &entry.path }).is_break() {
                return Err(Error::Stopped);
            }
        }
        self.leave_out_passing(&mut found.paths)?;
        Ok(found)
    }

    /// Another process may be changing the root: what it stages is nobody's yet, and what went or came meanwhile is not
    /// unowned.
    fn leave_out_passing(&self, paths: &mut Vec<PkgPath>) -> Result<()> {
        let running = self.unfinished()?;
        let is_staged = |path: &PkgPath| running.is_some() && is_reserved(path);
        let mut lasting = Vec::with_capacity(paths.len());
        for path in paths.drain(..) {
            if !is_staged(&path) && matches!(self.root.stat(&path), Ok(Some(_))) && !self.is_owned(&path)? {
                lasting.push(path);
            }
        }
        *paths = lasting;
        Ok(())
    }

    /// The real folders of these packages; `None` for those of all.
    fn folders_of(&self, names: &[PackageName]) -> Result<Option<HashSet<PkgPath>>> {
        if names.is_empty() {
            return Ok(None);
        }
        let (mut folders, mut links) = (HashSet::new(), Links::new(self));
        for name in names {
            let record = self.record(name)?;
            let standing = links.standing(&record)?;
            let dirs = standing.entries(&record).iter().filter(|entry| matches!(entry.kind, EntryKind::Dir { .. }));
            folders.extend(dirs.map(|entry| entry.path.clone()));
        }
        folders.extend(links.into_found().targets);
        Ok(Some(folders))
    }

    fn is_owned(&self, path: &PkgPath) -> Result<bool> {
        let read = || self.conn.prepare_cached("SELECT 1 FROM paths WHERE path = ?")?.exists([path.as_bytes()]);
        read().during("look up a path", &self.conn)
    }

    fn is_beside_config(&self, path: &PkgPath, behind: &HashMap<PkgPath, PkgPath>) -> Result<bool> {
        let name = path.file_name();
        let plain = [&b".new"[..], b".save"].into_iter().find_map(|ending| name.strip_suffix(ending));
        let Some(Ok(config)) = plain.map(|plain| path.with_file_name(plain)) else { return Ok(false) };
        let read = || rows::is_config(&self.conn, behind.get(&config).unwrap_or(&config));
        read().during("look up a path", &self.conn)
    }
}

/// What packages have under another case than the one on the disk.
struct Folded<'a> {
    db: &'a Installed,
    alike: Option<HashMap<String, Vec<(PkgPath, i64)>>>,
}

impl Folded<'_> {
    fn is_owned(&mut self, path: &PkgPath) -> Result<bool> {
        if !folding::is_folded(&self.db.root, path)? {
            return Ok(false);
        }
        let known = match &mut self.alike {
            Some(known) => known,
            unread => unread.insert(folding::installed(self.db)?),
        };
        Ok(known.contains_key(&folding::alike(path.as_bytes())))
    }
}

/// The folders on the way to these paths.
fn ways<'p>(paths: impl Iterator<Item = &'p PkgPath>) -> HashSet<PkgPath> {
    let mut ways = HashSet::new();
    for path in paths {
        // Those above a folder that is known are known, too.
        ways.extend(path.ancestors().take_while(|folder| !ways.contains(folder)).collect::<Vec<_>>());
    }
    ways
}

fn is_elsewhere(path: &PkgPath) -> bool {
    ELSEWHERE.iter().any(|folder| path.as_bytes() == folder.as_bytes())
}
