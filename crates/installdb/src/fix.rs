//! Bringing paths of installed packages back to what their packages say.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use pkgformat::{Entry, EntryKind, PackageRecord, Reader, Use};
use pkgfs::{ErrorKind as DiskError, FileKind};
use pkgtypes::{Digest, PackageId, PackageName, PkgPath};
use rusqlite::Connection;
use trust::Clock;

use self::stage::Stage;
use crate::amend::amend;
use crate::author::Author;
use crate::content::content;
use crate::error::Result;
use crate::layout::{Layout, Staging, What};
use crate::links::Links;
use crate::request::Source;
use crate::rights::Rights;
use crate::space::Space;
use crate::standing::Standing;
use crate::step::Step;
use crate::tree::EntryRef;
use crate::{Aspect, Difference, Done, Error, Finding, InstallDb, Progress, Unset, VerifyOptions, held};

mod stage;

/// What a fix does about a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repair {
    /// The path.
    pub path: PkgPath,
    /// The package.
    pub package: PackageName,
    /// What is different about it.
    pub aspects: Vec<Aspect>,
    /// Why it can not be brought back; `None` where it can.
    pub obstacle: Option<Obstacle>,
}

/// Why a path can not be brought back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Obstacle {
    /// Its content is nowhere to be had.
    NoContent,
    /// Something of another type is in its place, and would be lost.
    InTheWay,
    /// It could not be read, so nobody knows what is there.
    Unreadable,
    /// It is not this user's to change.
    Denied,
    /// The folder that it belongs into can not be brought back.
    NoFolder,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoContent => "its content is nowhere to be had",
            Self::InTheWay => "something else is in its place",
            Self::Unreadable => "it can not be read",
            Self::Denied => "it is not this user's to change",
            Self::NoFolder => "its folder can not be brought back",
        })
    }
}

/// A comparison of packages with the disk, and how what differs is brought back: permissions, owners, attributes, links and
/// folders by what the database knows, contents from files of whichever package that are the same, or from package files
/// that are offered.
#[derive(Debug)]
#[must_use = "nothing is changed until it is carried out"]
pub struct Fix<'db, 'p> {
    db: &'db mut InstallDb,
    rights: Rights,
    records: Vec<Known>,
    /// Sorted by path, each path once.
    damages: Vec<Damage>,
    origins: HashMap<Digest, Origin>,
    offered: Vec<Reader<Source<'p>>>,
}

/// A package of which something differs.
#[derive(Debug)]
struct Known {
    record: PackageRecord,
    standing: Standing,
}

impl Known {
    /// The entry as it stands in the root.
    fn entry(&self, entry: usize) -> &Entry {
        &self.standing.entries(&self.record)[entry]
    }

    fn name(&self) -> &PackageName {
        &self.record.meta().name
    }
}

/// A path that differs.
#[derive(Debug)]
struct Damage {
    at: EntryRef,
    aspects: Vec<Aspect>,
    obstacle: Option<Obstacle>,
}

/// Where a content is had from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    /// An installed file.
    File(PkgPath),
    /// One of the offered package files.
    Offered(usize),
}

impl InstallDb {
    /// Compares the packages of these names, or all where no name is given, with the disk, to bring back what differs.
    /// Configuration files are left alone unless `config` says otherwise; contents that may change always are.
    ///
    /// # Errors
    /// As [`verify_with`](crate::Installed::verify_with); batches of an earlier change are still to do.
    pub fn fix<'p>(&mut self, names: &[PackageName], config: bool, progress: &mut dyn Progress) -> Result<Fix<'_, 'p>> {
        self.refuse_unfinished()?;
        let differences = self.verify_with(names, VerifyOptions::default(), progress)?;
        let rights = Rights::load(&self.root)?;
        let (offered, origins) = (Vec::new(), HashMap::new());
        let mut fix = Fix { db: self, rights, records: Vec::new(), damages: Vec::new(), origins, offered };
        fix.add_all(differences, config)?;
        let needed = fix.needed();
        let found = fix.db.files_with(&needed)?;
        fix.origins.extend(found.into_iter().map(|(digest, path)| (digest, Origin::File(path))));
        Ok(fix)
    }
}

impl<'p> Fix<'_, 'p> {
    fn add_all(&mut self, differences: Vec<Difference>, config: bool) -> Result<()> {
        let mut damages = BTreeMap::new();
        for difference in differences {
            let package = self.load(&difference.package)?;
            let entries = self.records[package].record.manifest().entries();
            let Ok(entry) = entries.binary_search_by(|entry| entry.path.cmp(&difference.path)) else { continue };
            let known = self.records[package].entry(entry);
            if difference.expected && !(config && known.uses.contains(&Use::Config)) {
                continue;
            }
            let at = EntryRef { package, entry };
            let obstacle = self.obstacle(known, &difference.aspects)?;
            damages.entry(known.path.clone()).or_insert(Damage { at, aspects: difference.aspects, obstacle });
        }
        self.add_links(&mut damages);
        self.damages = damages.into_values().collect();
        Ok(())
    }

    /// The further names of a file that is made anew have to be names of the new one.
    fn add_links(&self, damages: &mut BTreeMap<PkgPath, Damage>) {
        let mut links = Vec::new();
        for damage in damages.values() {
            let file = self.entry(damage.at);
            if content(file).is_none() || !is_made_anew(file, &damage.aspects) {
                continue;
            }
            let Known { record, standing } = &self.records[damage.at.package];
            let entries = standing.entries(record).iter().enumerate();
            let names = entries
                .filter(|(_, entry)| matches!(&entry.kind, EntryKind::Hardlink { target } if *target == file.path));
            links.extend(names.map(|(entry, known)| {
                let at = EntryRef { package: damage.at.package, entry };
                (
                    known.path.clone(),
                    Damage { at, aspects: vec![Aspect::Link { expected: file.path.clone() }], obstacle: None },
                )
            }));
        }
        for (path, link) in links {
            damages.entry(path).or_insert(link);
        }
    }

    /// The package's position in `records`.
    fn load(&mut self, name: &PackageName) -> Result<usize> {
        // They come in the order of the differences, which is that of the packages.
        if self.records.last().is_none_or(|last| last.name() != name) {
            let record = self.db.record(name)?;
            let standing = Links::new(self.db).standing(&record)?;
            self.records.push(Known { record, standing });
        }
        Ok(self.records.len() - 1)
    }

    fn entry(&self, at: EntryRef) -> &Entry {
        self.records[at.package].entry(at.entry)
    }

    /// What is in the way of this entry, contents and folders aside.
    fn obstacle(&self, entry: &Entry, aspects: &[Aspect]) -> Result<Option<Obstacle>> {
        if aspects.contains(&Aspect::Unreadable) {
            return Ok(Some(Obstacle::Unreadable));
        }
        let stat = match self.db.root.stat(&entry.path) {
            Ok(stat) => stat,
            // A link, or something else that is no folder, on the way to it.
            Err(error) if matches!(error.kind, DiskError::WrongType | DiskError::Symlink) => None,
            Err(error) => return Err(error.into()),
        };
        let Some(stat) = stat else { return Ok(None) };
        if aspects.iter().any(|aspect| matches!(aspect, Aspect::Type { .. })) {
            // A file or a link can be replaced by another one; a folder, and what a folder should replace, is more.
            let is_folder = matches!(entry.kind, EntryKind::Dir { .. }) || stat.kind == FileKind::Dir;
            return Ok(is_folder.then_some(Obstacle::InTheWay));
        }
        let grant = self.rights.grant(entry);
        let needs_owner = aspects.iter().any(|aspect| matches!(aspect, Aspect::Owner { .. })) && grant.owner.is_none();
        let denied = !is_made_anew(entry, aspects) && (needs_owner || !self.rights.may_set(&stat));
        Ok(denied.then_some(Obstacle::Denied))
    }

    /// The contents that are needed and not known to be anywhere.
    fn needed(&self) -> HashSet<Digest> {
        let made = self.damages.iter().filter(|damage| damage.obstacle.is_none());
        let made = made.map(|damage| (self.entry(damage.at), &damage.aspects));
        let contents =
            made.filter(|(entry, aspects)| is_made_anew(entry, aspects)).filter_map(|(entry, _)| content(entry));
        contents.filter(|digest| !self.origins.contains_key(digest)).collect()
    }

    /// The packages of which contents are needed that are nowhere in the root: a file of one of these is worth offering.
    pub fn lacking(&self) -> Vec<(PackageName, PackageId)> {
        let needed = self.needed();
        let lacks = |known: &&Known| known.record.blobs().any(|blob| needed.contains(&blob.digest));
        let lacking = self.records.iter().filter(lacks);
        lacking.map(|known| (known.name().clone(), known.record.id())).collect()
    }

    /// Takes contents from a package file, too: those that are needed, whichever package it is. They are held against what
    /// the installed package says of them, so it need not be verified. Answers whether it has any.
    pub fn offer(&mut self, package: Reader<Source<'p>>) -> bool {
        let needed = self.needed();
        let index = self.offered.len();
        let useful = package.package().blobs().map(|blob| blob.digest).filter(|digest| needed.contains(digest));
        let useful: Vec<Digest> = useful.collect();
        let is_useful = !useful.is_empty();
        if is_useful {
            self.origins.extend(useful.into_iter().map(|digest| (digest, Origin::Offered(index))));
            self.offered.push(package);
        }
        is_useful
    }

    /// What is done about each path, sorted by path.
    pub fn repairs(&self) -> Vec<Repair> {
        let repair = |(damage, obstacle): (&Damage, _)| {
            let known = &self.records[damage.at.package];
            let path = known.record.manifest().entries()[damage.at.entry].path.clone();
            let package = known.name().clone();
            Repair { path, package, aspects: damage.aspects.clone(), obstacle }
        };
        self.damages.iter().zip(self.judge()).map(repair).collect()
    }

    /// What is in the way of each damage.
    fn judge(&self) -> Vec<Option<Obstacle>> {
        let mut judged: HashMap<&PkgPath, Obstacle> = HashMap::new();
        let mut blocked: Option<&PkgPath> = None;
        let mut obstacles = Vec::with_capacity(self.damages.len());
        for damage in &self.damages {
            let entry = self.entry(damage.at);
            let obstacle = match (&entry.kind, damage.obstacle) {
                _ if blocked.is_some_and(|folder| entry.path.is_within(folder)) => Some(Obstacle::NoFolder),
                (_, Some(obstacle)) => Some(obstacle),
                // The file stands before its further names.
                (EntryKind::Hardlink { target }, None) => {
                    judged.get(target).copied().filter(|_| is_made_anew(entry, &damage.aspects))
                }
                (EntryKind::File { digest, .. }, None) if is_made_anew(entry, &damage.aspects) => {
                    (!self.origins.contains_key(digest)).then_some(Obstacle::NoContent)
                }
                _ => None,
            };
            if let Some(obstacle) = obstacle {
                judged.insert(&entry.path, obstacle);
                if matches!(entry.kind, EntryKind::Dir { .. })
                    && is_made_anew(entry, &damage.aspects)
                    && obstacle != Obstacle::NoFolder
                {
                    blocked = Some(&entry.path);
                }
            }
            obstacles.push(obstacle);
        }
        obstacles
    }

    /// Finds out whether what can be brought back could be put in its place.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub fn rehearse(&self) -> Result<()> {
        let (layout, pieces) = self.layout();
        self.check(&layout, &pieces)
    }

    /// Brings back what can be, in one transaction; a process that is killed leaves it undone or done.
    ///
    /// # Errors
    /// [`Error::Refused`] and nothing changed; an offered package that does not hold what it promises; what else keeps a
    /// transaction from being finished.
    pub fn carry_out(self, author: &Author, clock: &impl Clock, progress: &mut dyn Progress) -> Result<Done> {
        let (layout, pieces) = self.layout();
        self.check(&layout, &pieces)?;
        let Self { db, rights, records, origins, mut offered, .. } = self;
        let stage = |db: &InstallDb, txn: i64| {
            let stage =
                Stage { root: &db.root, rights: &rights, records: &records, layout: &layout, txn, origins: &origins };
            stage.run(&pieces, &mut offered, progress)
        };
        amend(db, author, &layout.steps, clock, stage, |conn, _, unset| write(conn, unset))
    }

    /// The steps, and what is made for them, sorted by path.
    fn layout(&self) -> (Layout, Vec<Piece>) {
        let (mut layout, mut pieces, mut attributes) = (Layout::default(), Vec::new(), Vec::new());
        let mut made: Option<PkgPath> = None;
        for (damage, obstacle) in self.damages.iter().zip(self.judge()) {
            let entry = self.entry(damage.at);
            if obstacle.is_some() {
                continue;
            }
            if !is_made_anew(entry, &damage.aspects) {
                let (grant, path) = (self.rights.grant(entry), entry.path.clone());
                let xattrs = entry.xattrs.clone();
                attributes.push(Step::Attributes { path, mode: grant.mode, owner: grant.owner, xattrs });
                continue;
            }
            if !made.as_ref().is_some_and(|folder| entry.path.is_within(folder)) {
                let (step, target) = (layout.steps.len(), entry.path.clone());
                layout.steps.push(Step::Place(target.clone()));
                layout.stagings.push(Staging { step, target, what: What::Tree });
                made = Some(entry.path.clone()).filter(|_| matches!(entry.kind, EntryKind::Dir { .. }));
            }
            pieces.push(Piece { at: damage.at, staging: layout.stagings.len() - 1 });
        }
        layout.steps.extend(attributes);
        (layout, pieces)
    }

    /// Whether there is room, and names may be made where that is needed.
    fn check(&self, layout: &Layout, pieces: &[Piece]) -> Result<()> {
        let (root, mut space, mut findings) = (&self.db.root, Space::default(), Vec::new());
        for piece in pieces {
            space.enter(root, layout.stagings[piece.staging].target.parent())?;
            space.add(self.entry(piece.at));
        }
        space.check(root, &mut findings)?;
        let mut last = None;
        for folder in layout.stagings.iter().map(|staging| staging.target.parent()) {
            if last.as_ref() == Some(&folder) {
                continue;
            }
            match root.may_change(folder.as_ref()).map_err(|error| (error.kind.clone(), error)) {
                Ok(()) => {}
                Err((DiskError::Denied, _)) => findings.push(held::denied(root, folder.clone())),
                Err((DiskError::ReadOnly, _)) => findings.push(Finding::ReadOnly { path: folder.clone() }),
                Err((_, error)) => return Err(error.into()),
            }
            last = Some(folder);
        }
        held::find(root, &layout.steps, &mut findings)?;
        if findings.is_empty() { Ok(()) } else { Err(Error::Refused(findings)) }
    }
}

/// Something that is made.
#[derive(Debug, Clone, Copy)]
struct Piece {
    at: EntryRef,
    staging: usize,
}

/// Whether it takes a new thing to bring the entry back. Attributes can be set in place, except those of a symbolic link.
fn is_made_anew(entry: &Entry, aspects: &[Aspect]) -> bool {
    let is_link = matches!(entry.kind, EntryKind::Symlink { .. });
    is_link || !aspects.iter().all(Aspect::is_attribute)
}

/// What could not be given this time, instead of what could not be given before.
fn write(conn: &Connection, unset: &[(PkgPath, Unset)]) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached("UPDATE paths SET unset = ?2 WHERE path = ?1 AND unset <> ?2")?;
    unset.iter().try_for_each(|(path, unset)| statement.execute((path.as_bytes(), unset.bits())).map(drop))
}
