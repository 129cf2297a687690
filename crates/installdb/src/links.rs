//! Symbolic links that the administrator put in the place of packages' folders.
//!
//! They are followed before anything else is done, and only then. What is below such a link is taken to be below the folder
//! that it leads to, and from then on all paths are real ones: nothing that is staged, placed, removed or recovered goes
//! through a link, whatever becomes of the links meanwhile.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;

use pkgformat::{EntryKind, PackageRecord};
use pkgfs::{Batch, ErrorKind as DiskError, FileKind, Stat};
use pkgtypes::{PackageName, PkgPath};
use rustix::io::Errno;

use crate::column::path_column;
use crate::error::{DbResult as _, Result};
use crate::follow::{Follower, Leads, MOST_LINKS, stranger};
use crate::standing::Standing;
use crate::{Installed, LinkProblem};

/// What is known of the root's links.
pub(crate) struct Links<'a> {
    db: &'a Installed,
    folders: Batch<'a>,
    known: HashMap<PkgPath, Folder>,
    found: Found,
}

/// The links that stand in the places of packages' folders.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Folders to which those lead that are followed.
    pub(crate) targets: HashSet<PkgPath>,
    /// Those that are not followed.
    pub(crate) refused: BTreeMap<PkgPath, LinkProblem>,
}

/// What stands in the place of a folder.
#[derive(Debug, Clone)]
enum Folder {
    /// The folder, or something that is no link.
    Itself,
    Nothing,
    /// A link that is followed, and the folder that it leads to, which no link is on the way to.
    Link(PkgPath),
    Refused,
}

/// Whose links are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    Administrators,
    Anybodys,
}

/// Folders as packages name them, and where each of them stands.
#[derive(Debug, Default)]
struct Detours(Vec<(PkgPath, PkgPath)>);

impl Detours {
    /// Where a path stands. What is in the place of a link is not below it.
    fn apply<'p>(&self, path: &'p PkgPath) -> Result<Cow<'p, PkgPath>> {
        // Folders come before what is in them, so the last one that fits is the nearest.
        let fits = |(named, _): &&(PkgPath, PkgPath)| path != named && path.is_within(named);
        let Some((named, stands)) = self.0.iter().rev().find(fits) else { return Ok(Cow::Borrowed(path)) };
        let moved = [stands.as_bytes(), &path.as_bytes()[named.as_bytes().len()..]].concat();
        let too_long =
            |_| pkgfs::Error::new("follow the link on the way to", path.as_path(), Errno::NAMETOOLONG.into());
        Ok(Cow::Owned(PkgPath::new(moved).map_err(too_long)?))
    }
}

impl Installed {
    /// Where a path of a package stands.
    pub(crate) fn stands(&self, path: &PkgPath) -> Result<PkgPath> {
        match self.root.at(path) {
            Err(error) if error.kind == DiskError::Symlink => Links::new(self).path(path),
            _ => Ok(path.clone()),
        }
    }

    /// What packages have at the place that a path leads to, links on the way followed inside the root: the paths as the
    /// packages name them, and who owns each. It looks through all installed paths.
    ///
    /// # Errors
    /// The database can not be read; the disk can not.
    pub fn owners_at(&self, path: &PkgPath) -> Result<Vec<(PkgPath, PackageName)>> {
        let links = Links::new(self);
        let real = links.reached_by_link(path)?.unwrap_or_else(|| path.clone());
        let mut owners = Vec::new();
        let others = links.namesakes(&real)?.into_iter().map(|(named, ..)| named);
        for named in std::iter::once(real.clone()).chain(others) {
            if named == real || links.is_name_of(&named, &real)? {
                owners.extend(self.owners(&named)?.into_iter().map(|owner| (named.clone(), owner)));
            }
        }
        Ok(owners)
    }

    /// Opens a file at a path as packages name it: links that the administrator put in the places of their folders are
    /// followed, no others are.
    ///
    /// # Errors
    /// As `openat(2)`; anything that is no regular file; the database can not be read.
    pub fn open_file(&self, path: &PkgPath) -> Result<File> {
        Ok(self.root.open_file(&self.stands(path)?)?)
    }
}

impl<'a> Links<'a> {
    pub(crate) fn new(db: &'a Installed) -> Self {
        Self { db, folders: Batch::new(&db.root), known: HashMap::new(), found: Found::default() }
    }

    pub(crate) fn into_found(self) -> Found {
        self.found
    }

    /// Where a package's entries stand.
    pub(crate) fn standing(&mut self, record: &PackageRecord) -> Result<Standing> {
        let entries = record.manifest().entries();
        let (mut detours, mut links) = (Detours::default(), HashSet::new());
        let mut absent: Option<Cow<'_, PkgPath>> = None;
        for (index, entry) in entries.iter().enumerate() {
            if !matches!(entry.kind, EntryKind::Dir { .. }) {
                continue;
            }
            let path = detours.apply(&entry.path)?;
            if absent.as_ref().is_some_and(|folder| path.is_within(folder)) {
                continue;
            }
            match self.folder(&path)? {
                Folder::Itself | Folder::Refused => {}
                Folder::Nothing => absent = Some(path),
                Folder::Link(target) => {
                    detours.0.push((entry.path.clone(), target));
                    links.insert(index);
                }
            }
        }
        if links.is_empty() {
            return Ok(Standing::default());
        }
        let mut moved = entries.to_vec();
        for entry in &mut moved {
            if let Cow::Owned(path) = detours.apply(&entry.path)? {
                entry.path = path;
            }
            if let EntryKind::Hardlink { target } = &mut entry.kind
                && let Cow::Owned(path) = detours.apply(target)?
            {
                *target = path;
            }
        }
        Ok(Standing::moved(moved, links))
    }

    /// Where a single path of a package stands.
    pub(crate) fn path(&mut self, path: &PkgPath) -> Result<PkgPath> {
        let mut folders: Vec<PkgPath> = path.ancestors().collect();
        folders.reverse();
        let mut detours = Detours::default();
        for named in folders {
            let stands = detours.apply(&named)?.into_owned();
            if let Folder::Link(target) = self.folder(&stands)? {
                detours.0.push((named, target));
            }
        }
        Ok(detours.apply(path)?.into_owned())
    }

    /// What stands at a path that no link is on the way to.
    fn folder(&mut self, path: &PkgPath) -> Result<Folder> {
        if let Some(known) = self.known.get(path) {
            return Ok(known.clone());
        }
        // What can not be looked at is told by whoever needs it.
        let stat = self.folders.at(path).and_then(|place| place.stat()).unwrap_or(None);
        let found = match stat {
            None => Folder::Nothing,
            Some(stat) if stat.kind == FileKind::Symlink => match self.follow(path, &stat, Whose::Administrators)? {
                Ok(Some(target)) if target.is_within(&self.db.home.folder()) => self.refuse(path, LinkProblem::Ours),
                Ok(Some(target)) => {
                    self.found.targets.insert(target.clone());
                    Folder::Link(target)
                }
                Ok(None) => self.refuse(path, LinkProblem::Loop),
                Err(problem) => self.refuse(path, problem),
            },
            Some(_) => Folder::Itself,
        };
        self.known.insert(path.clone(), found.clone());
        Ok(found)
    }

    fn refuse(&mut self, link: &PkgPath, problem: LinkProblem) -> Folder {
        self.found.refused.insert(link.clone(), problem);
        Folder::Refused
    }

    /// The folder that a link leads to; `None` is the root's top.
    fn follow(&self, link: &PkgPath, stat: &Stat, whose: Whose) -> Result<Leads> {
        self.followed(whose, |follower| follower.link(link, stat))
    }

    fn followed(&self, whose: Whose, how: impl FnOnce(&mut Follower<'_>) -> Result<Leads>) -> Result<Leads> {
        let refuse = |link: &PkgPath, stat: &Stat| match whose {
            Whose::Anybodys => Ok(None),
            Whose::Administrators => match stranger(stat) {
                None => Ok(self.bringer(link)?.map(|package| LinkProblem::Brought { package })),
                stranger => Ok(stranger),
            },
        };
        how(&mut Follower { root: &self.db.root, refuse: &refuse, left: MOST_LINKS })
    }

    /// An installed package that has something else than a folder at a real path, under whichever name.
    pub(crate) fn bringer(&self, path: &PkgPath) -> Result<Option<PackageName>> {
        if let Some((row, entry)) = self.db.owner_except(path, &HashSet::new())?
            && let Some(package) = self.owner_of_no_folder(row, entry)?
        {
            return Ok(Some(package));
        }
        // The top itself has no other names by which something could have been installed.
        if path.parent().is_none() {
            return Ok(None);
        }
        for (named, row, entry) in self.namesakes(path)? {
            if self.is_name_of(&named, path)?
                && let Some(package) = self.owner_of_no_folder(row, entry)?
            {
                return Ok(Some(package));
            }
        }
        Ok(None)
    }

    fn owner_of_no_folder(&self, row: i64, entry: usize) -> Result<Option<PackageName>> {
        let Some(record) = self.db.record_if_there(row)? else { return Ok(None) };
        let is_folder = |entry: &pkgformat::Entry| matches!(entry.kind, EntryKind::Dir { .. });
        let other = !record.manifest().entries().get(entry).is_some_and(is_folder);
        Ok(other.then(|| record.meta().name.clone()))
    }

    /// Installed paths with the same last name, each with an owner. The table is sorted by path, so all of it is looked
    /// through.
    fn namesakes(&self, path: &PkgPath) -> Result<Vec<(PkgPath, i64, usize)>> {
        let ending = [b"/", path.file_name()].concat();
        let read = || -> rusqlite::Result<Vec<(PkgPath, i64, usize)>> {
            let mut statement = self.db.conn.prepare_cached(
                "SELECT path, package, entry FROM paths WHERE substr(path, -?1) = ?2 AND path <> ?3 GROUP BY path",
            )?;
            let rows = statement.query_map((ending.len(), &ending, path.as_bytes()), |row| {
                Ok((path_column(row, 0)?, row.get(1)?, row.get(2)?))
            })?;
            rows.collect()
        };
        read().during("look up paths", &self.db.conn)
    }

    /// Which of these real paths installed packages have under other names: the path, the name, and an owner's row.
    pub(crate) fn other_names(&self, places: &HashSet<&PkgPath>) -> Result<Vec<(PkgPath, PkgPath, i64)>> {
        let names: HashSet<&[u8]> = places.iter().map(|path| path.file_name()).collect();
        let read = || -> rusqlite::Result<Vec<(PkgPath, i64)>> {
            let mut statement = self.db.conn.prepare_cached("SELECT path, package FROM paths")?;
            let mut rows = statement.query([])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let name = row.get_ref(0)?.as_blob()?.rsplit(|&byte| byte == b'/').next();
                if name.is_some_and(|name| names.contains(name)) {
                    found.push((path_column(row, 0)?, row.get(1)?));
                }
            }
            Ok(found)
        };
        let candidates = read().during("look up paths", &self.db.conn)?;
        let mut others = Vec::new();
        for (named, row) in candidates {
            if let Some(real) = self.reached_by_link(&named)?
                && places.contains(&real)
            {
                others.push((real, named, row));
            }
        }
        Ok(others)
    }

    /// Which of these real paths packages that stay have under other names, with the names and rows, as far as that can be
    /// known without a look at all links. The links in the root's top are followed. Where something else stands than a package put there
    /// (`doubtful`), the names of all installed paths are compared.
    pub(crate) fn kept_by_others<'p>(
        &self,
        places: impl Iterator<Item = &'p PkgPath>,
        doubtful: &HashSet<&PkgPath>,
        leaving: &HashSet<i64>,
    ) -> Result<HashMap<PkgPath, (PkgPath, i64)>> {
        let mut kept = HashMap::new();
        if !doubtful.is_empty() {
            let others = self.other_names(doubtful)?.into_iter().filter(|(.., row)| !leaving.contains(row));
            kept.extend(others.map(|(place, named, row)| (place, (named, row))));
        }
        let top = self.links_in_top()?;
        for place in places {
            for (link, target) in top.iter().filter(|(_, target)| place.is_within(target)) {
                let named = [link.as_bytes(), &place.as_bytes()[target.as_bytes().len()..]].concat();
                let Ok(named) = PkgPath::new(named) else { continue };
                if named != *link
                    && let Some((row, _)) = self.db.owner_except(&named, leaving)?
                {
                    kept.insert(place.clone(), (named, row));
                }
            }
        }
        Ok(kept)
    }

    /// The links in the root's top that lead to folders, and these.
    fn links_in_top(&self) -> Result<Vec<(PkgPath, PkgPath)>> {
        let mut found = Vec::new();
        for name in self.db.root.read_dir(None)? {
            let Ok(link) = PkgPath::new(name) else { continue };
            let Some(stat) = self.db.root.stat(&link)?.filter(|stat| stat.kind == FileKind::Symlink) else { continue };
            if let Ok(Some(target)) = self.follow(&link, &stat, Whose::Anybodys)? {
                found.push((link, target));
            }
        }
        Ok(found)
    }

    /// What packages have behind links: the real paths, and the names that packages know them by.
    pub(crate) fn behind(&mut self) -> Result<HashMap<PkgPath, PkgPath>> {
        let mut found = HashMap::new();
        for named in self.detoured()? {
            if let Some(real) = self.reached_by_link(&named)? {
                found.insert(real, named);
            }
        }
        Ok(found)
    }

    /// Installed paths with a link on the way.
    fn detoured(&mut self) -> Result<Vec<PkgPath>> {
        let Self { db, folders, .. } = self;
        let mut read = || -> rusqlite::Result<Vec<PkgPath>> {
            let mut statement = db.conn.prepare_cached("SELECT DISTINCT path FROM paths")?;
            let mut rows = statement.query([])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let path = path_column(row, 0)?;
                if folders.at(&path).is_err_and(|error| error.kind == DiskError::Symlink) {
                    found.push(path);
                }
            }
            Ok(found)
        };
        read().during("look up paths", &db.conn)
    }

    /// Whether a path, with all links on the way to it followed, is this real one.
    fn is_name_of(&self, named: &PkgPath, path: &PkgPath) -> Result<bool> {
        Ok(self.reached_by_link(named)?.is_some_and(|real| real == *path))
    }

    /// The real path to which a path leads through links; `None` where it leads through none.
    fn reached_by_link(&self, named: &PkgPath) -> Result<Option<PkgPath>> {
        // What is reached without a link, is not there any more, or can not be reached, is nothing else's name.
        if !self.db.root.at(named).is_err_and(|error| error.kind == DiskError::Symlink) {
            return Ok(None);
        }
        let Some(folder) = named.parent() else { return Ok(None) };
        let real = match self.followed(Whose::Anybodys, |follower| follower.walk(None, folder.components()))? {
            Ok(None) => PkgPath::new(named.file_name()),
            Ok(Some(folder)) => folder.join(named.file_name()),
            Err(_) => return Ok(None),
        };
        Ok(real.ok())
    }
}
