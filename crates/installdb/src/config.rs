//! Configuration files: what became of them, and what is done about a new version beside one.

use std::collections::HashSet;

use pkgformat::{Entry, Use};
use pkgfs::{FileKind, Root};
use pkgtypes::{Digest, PackageName, PkgPath, Timestamp};
use rusqlite::Connection;
use trust::Clock;

use crate::Author;
use crate::amend::amend;
use crate::column::{path_column, word_column};
use crate::content::content;
use crate::content::digest_of;
use crate::error::{DbResult as _, Result};
use crate::rows;
use crate::step::{Step, stage_name, staged_path};
use crate::{Done, Error, Finding, InstallDb, Installed, Notice, displaced, held, originals, past};

/// A configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigFile {
    /// Where it stands.
    pub path: PkgPath,
    /// The package that has it; `None` where none has it any more, and only the administrator's version is left.
    pub package: Option<PackageName>,
    /// What became of it.
    pub state: ConfigState,
    /// The content that the package gave it.
    pub shipped: Option<Digest>,
    /// The package's version that lies beside it.
    pub new: Option<NewVersion>,
    /// The administrator's version that lies beside it.
    pub saved: Option<PkgPath>,
}

/// What became of a configuration file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigState {
    /// It is as its package has it.
    Unchanged,
    /// It is not.
    Changed,
    /// It is not there.
    Missing,
    /// It can not be read.
    Unreadable,
}

/// A package's version of a configuration file beside the administrator's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewVersion {
    /// Where it lies.
    pub path: PkgPath,
    /// Whether both are the same: nothing is left to be decided.
    pub merged: bool,
}

/// So many earlier versions of a file are kept beside it.
const MOST_SAVES: usize = 100;

impl Installed {
    /// The configuration files of the packages of these names, or of all where no name is given, and then those too that
    /// survived their packages; sorted by path.
    ///
    /// # Errors
    /// [`Error::NotInstalled`]; the database can not be read.
    pub fn configs(&self, names: &[PackageName]) -> Result<Vec<ConfigFile>> {
        let packages = if names.is_empty() { self.packages_with_configs()? } else { names.to_vec() };
        let mut configs: Vec<ConfigFile> = Vec::new();
        for name in packages {
            let record = match self.record(&name) {
                // It went after the names were read.
                Err(Error::NotInstalled { .. }) if names.is_empty() => continue,
                record => record?,
            };
            let entries = record.manifest().entries().iter();
            for entry in entries.filter(|entry| entry.uses.contains(&Use::Config) && content(entry).is_some()) {
                configs.push(self.config(&name, entry)?);
            }
        }
        if names.is_empty() {
            let known: HashSet<PkgPath> = configs.iter().map(|config| config.path.clone()).collect();
            let left = self.saves()?.into_iter().filter(|(path, saved)| !known.contains(path) && self.is_left(saved));
            configs.extend(left.map(|(path, saved)| ConfigFile {
                state: if self.is_file(&path) { ConfigState::Changed } else { ConfigState::Missing },
                path,
                package: None,
                shipped: None,
                new: None,
                saved: Some(saved),
            }));
        }
        configs.sort_by(|a, b| a.path.cmp(&b.path));
        configs.dedup_by(|a, b| a.path == b.path);
        Ok(configs)
    }

    fn config(&self, package: &PackageName, entry: &Entry) -> Result<ConfigFile> {
        let (path, shipped) = (entry.path.clone(), content(entry));
        let disk = self.config_content(&path);
        let state = match disk {
            Ok(None) => ConfigState::Missing,
            Ok(found) if found == shipped => ConfigState::Unchanged,
            Ok(Some(_)) => ConfigState::Changed,
            // A link is one that the administrator made.
            Err(()) if self.is_link(&path) => ConfigState::Changed,
            Err(()) => ConfigState::Unreadable,
        };
        let new = self.beside(&path, ".new").filter(|new| self.is_ours(new));
        let saved = self.beside(&path, ".save").filter(|saved| self.is_left(saved));
        let new = new.map(|new| {
            let merged = disk.is_ok_and(|disk| disk.is_some() && self.config_content(&new) == Ok(disk));
            NewVersion { path: new, merged }
        });
        Ok(ConfigFile { path, package: Some(package.clone()), state, shipped, new, saved })
    }

    /// Of anything that is no file, as of a file that can not be read, nobody knows a content.
    fn config_content(&self, path: &PkgPath) -> Result<Option<Digest>, ()> {
        let path = self.stands(path).map_err(drop)?;
        match self.root.stat(&path) {
            Ok(None) => Ok(None),
            Ok(Some(stat)) if stat.kind == FileKind::File => digest_of(&self.root, &path).map(Some).map_err(drop),
            _ => Err(()),
        }
    }

    fn beside(&self, path: &PkgPath, ending: &str) -> Option<PkgPath> {
        path.with_file_name(&[path.file_name(), ending.as_bytes()].concat()).ok()
    }

    /// Where the administrator's version goes: to `NAME.save`, and to `NAME.save.N` where that is another one of his.
    fn free_save(&self, path: &PkgPath) -> Option<PkgPath> {
        let first = self.beside(path, ".save")?;
        let content = |path: &PkgPath| self.config_content(path).ok().flatten();
        if !self.is_ours(&first) || content(&first) == content(path) {
            return Some(first);
        }
        let is_free = |path: &PkgPath| self.config_content(path) == Ok(None);
        let further = (1..=MOST_SAVES).filter_map(|number| self.beside(path, &format!(".save.{number}"))).find(is_free);
        further.or(Some(first))
    }

    fn kind(&self, path: &PkgPath) -> Option<FileKind> {
        let stat = self.stands(path).and_then(|path| Ok(self.root.stat(&path)?));
        stat.ok().flatten().map(|stat| stat.kind)
    }

    fn is_file(&self, path: &PkgPath) -> bool {
        self.kind(path) == Some(FileKind::File)
    }

    fn is_link(&self, path: &PkgPath) -> bool {
        self.kind(path) == Some(FileKind::Symlink)
    }

    /// Whether a file stands there that no package has.
    fn is_ours(&self, path: &PkgPath) -> bool {
        self.is_file(path) && self.owners(path).is_ok_and(|owners| owners.is_empty())
    }

    /// Whether what stands there can be what the administrator had: a file or a link that no package has.
    fn is_left(&self, path: &PkgPath) -> bool {
        self.is_ours(path) || self.is_link(path) && self.owners(path).is_ok_and(|owners| owners.is_empty())
    }

    fn packages_with_configs(&self) -> Result<Vec<PackageName>> {
        let read = || -> rusqlite::Result<Vec<PackageName>> {
            let mut statement = self.conn.prepare_cached(
                "SELECT name FROM packages WHERE id IN
                 (SELECT package FROM paths WHERE ',' || filetype || ',' LIKE '%,config,%') ORDER BY name",
            )?;
            statement.query_map([], |row| word_column(row, 0))?.collect()
        };
        read().during("read the packages", &self.conn)
    }

    /// What survived its package, as far as it is remembered.
    fn saves(&self) -> Result<Vec<(PkgPath, PkgPath)>> {
        let read = || -> rusqlite::Result<Vec<(PkgPath, PkgPath)>> {
            let mut statement = self.conn.prepare_cached("SELECT DISTINCT path, saved FROM saves ORDER BY path")?;
            statement.query_map([], |row| Ok((path_column(row, 0)?, path_column(row, 1)?)))?.collect()
        };
        read().during("read the paths", &self.conn)
    }

    /// The package's version beside a configuration file.
    fn new_version(&self, path: &PkgPath) -> Result<PkgPath> {
        let is_config = || rows::is_config(&self.conn, path);
        let new = if is_config().during("look up a path", &self.conn)? { self.beside(path, ".new") } else { None };
        new.filter(|new| self.is_ours(new)).ok_or_else(|| Error::NoNewVersion { path: path.clone() })
    }

    /// A reason not to change names in the folder of a path.
    fn denied(&self, path: &PkgPath) -> Result<Option<Finding>> {
        let folder = self.stands(path)?.parent();
        match self.root.may_change(folder.as_ref()).map_err(|error| (error.kind.clone(), error)) {
            Ok(()) => Ok(None),
            Err((pkgfs::ErrorKind::Denied, _)) => Ok(Some(held::denied(&self.root, folder))),
            Err((pkgfs::ErrorKind::ReadOnly, _)) => Ok(Some(Finding::ReadOnly { path: folder })),
            Err((_, error)) => Err(error.into()),
        }
    }
}

/// Stages a content with the attributes of the file at `like`, and a time of its own.
fn stage_content(root: &Root, like: &PkgPath, staged: &PkgPath, mut content: &[u8], time: Timestamp) -> Result<()> {
    let (like, staged) = (root.at(like)?, root.at(staged)?);
    let (_, mut stat) = like.open_with_stat()?;
    stat.mtime = time;
    displaced::write_like(&like, &staged, &stat, &mut content)
}

/// A version that takes its file's place.
struct Accepted<'a> {
    path: PkgPath,
    new: PkgPath,
    /// What was made of both; `None` where it is the package's.
    merged: Option<&'a [u8]>,
    /// Where the file's own version goes; `None` where nothing is lost with it.
    saved: Option<PkgPath>,
}

impl InstallDb {
    /// Puts the packages' new versions in the places of these configuration files, in one transaction. What stood there
    /// is kept under the name with `.save`, or `.save.1` and so on where another version has that; nothing is kept where both
    /// are the same.
    ///
    /// # Errors
    /// [`Error::NoNewVersion`]; [`Error::Refused`] where something else has a name that is needed.
    pub fn accept_configs(&mut self, paths: &[PkgPath], author: &Author, clock: &impl Clock) -> Result<Done> {
        let accepted = paths.iter().map(|path| self.accepted_version(path, None)).collect::<Result<Vec<_>>>()?;
        self.place_versions(accepted, author, clock)
    }

    /// Puts contents that were made of the administrator's versions and the packages' in the places of these configuration
    /// files, with the attributes of his, in one transaction. His are kept as with [`InstallDb::accept_configs`], and the
    /// packages' go.
    ///
    /// # Errors
    /// As there; a file that is none.
    pub fn merge_configs(
        &mut self,
        merged: &[(PkgPath, Vec<u8>)],
        author: &Author,
        clock: &impl Clock,
    ) -> Result<Done> {
        let accepted = merged.iter().map(|(path, content)| self.accepted_version(path, Some(content)));
        let accepted = accepted.collect::<Result<Vec<_>>>()?;
        self.place_versions(accepted, author, clock)
    }

    fn place_versions(&mut self, accepted: Vec<Accepted<'_>>, author: &Author, clock: &impl Clock) -> Result<Done> {
        let mut steps = Vec::new();
        let mut sources = Vec::new();
        for Accepted { path, new, saved, merged } in &accepted {
            let saving = saved.iter().map(|saved| (path, saved, None));
            let source = if merged.is_some() { path } else { new };
            for (source, target, content) in saving.chain([(source, path, *merged)]) {
                sources.push((self.stands(source)?, target, content, steps.len()));
                steps.push(Step::Place(self.stands(target)?));
            }
            steps.push(Step::Remove(self.stands(new)?));
        }
        let mut findings = Vec::new();
        held::find(&self.root, &steps, &mut findings)?;
        if !findings.is_empty() {
            return Err(Error::Refused(findings));
        }
        // One more name for each, so that the old ones stay until everything is decided.
        let stage = |db: &InstallDb, txn: i64| {
            sources.iter().try_for_each(|(source, target, content, step)| {
                let stands = db.stands(target)?;
                let staged =
                    staged_path(&stands, txn, *step).map_err(|_| Error::NoNewVersion { path: (*target).clone() })?;
                match content {
                    None => stage_name(&db.root, source, &stands, &staged),
                    Some(content) => stage_content(&db.root, source, &staged, content, author.time),
                }
            })
        };
        let note = |conn: &Connection, txn: i64, (): &()| {
            let saved = accepted.iter().filter_map(|known| Some((&known.path, known.saved.as_ref()?)));
            saved.into_iter().try_for_each(|(path, saved)| past::note_saved(conn, txn, path, saved))?;
            accepted.iter().try_for_each(|known| originals::forget_base(conn, &known.path))
        };
        let done = amend(self, author, &steps, clock, stage, note)?;
        let saved =
            accepted.into_iter().filter_map(|Accepted { path, saved, .. }| Some(Notice::Saved { path, saved: saved? }));
        Ok(Done { notices: saved.collect(), ..done })
    }

    /// Takes the packages' new versions beside these configuration files away, in one transaction.
    ///
    /// # Errors
    /// [`Error::NoNewVersion`].
    pub fn keep_configs(&mut self, paths: &[PkgPath], author: &Author, clock: &impl Clock) -> Result<Done> {
        self.refuse_unfinished()?;
        let mut findings = Vec::new();
        let mut steps = Vec::new();
        for path in paths {
            steps.push(Step::Remove(self.stands(&self.new_version(path)?)?));
            findings.extend(self.denied(path)?);
        }
        held::find(&self.root, &steps, &mut findings)?;
        if !findings.is_empty() {
            return Err(Error::Refused(findings));
        }
        let note = |conn: &Connection, _, (): &()| paths.iter().try_for_each(|path| originals::forget_base(conn, path));
        amend(self, author, &steps, clock, |_, _| Ok(()), note)
    }

    fn accepted_version<'a>(&self, path: &PkgPath, merged: Option<&'a [u8]>) -> Result<Accepted<'a>> {
        self.refuse_unfinished()?;
        let new = self.new_version(path)?;
        let mut findings: Vec<Finding> = self.denied(path)?.into_iter().collect();
        let package =
            self.owners(path)?.into_iter().next().ok_or_else(|| Error::NoNewVersion { path: path.clone() })?;
        let stat = self.root.stat(&self.stands(path)?)?;
        let is_folder = stat.as_ref().is_some_and(|stat| stat.kind == FileKind::Dir);
        let is_same =
            self.config_content(path).is_ok_and(|found| found.is_some() && self.config_content(&new) == Ok(found));
        let saved = if stat.is_none() || is_same && merged.is_none() { None } else { self.free_save(path) };
        let is_absent = |path: &PkgPath| self.stands(path).is_ok_and(|path| matches!(self.root.stat(&path), Ok(None)));
        let is_free = |saved: &PkgPath| is_absent(saved) || self.is_ours(saved);
        if let Some(taken) = saved.iter().find(|saved| !is_free(saved)).or(Some(path).filter(|_| is_folder)) {
            findings.push(Finding::Unowned { path: taken.clone(), package });
        }
        if findings.is_empty() {
            Ok(Accepted { path: path.clone(), new, merged, saved })
        } else {
            Err(Error::Refused(findings))
        }
    }
}
