//! Contents of files that went, kept for the day on which their packages come back.
//!
//! A content that goes gets a second name in a folder of ours while the transaction is staged: `TXN.N`, so that whoever
//! takes the transaction back knows which names are its own. The decision writes the rows that make it found. A content
//! is forgotten by a step of a transaction, as anything else that goes.

use std::collections::HashSet;
use std::fs::File;
use std::io;

use pkgformat::EntryKind;
use pkgfs::{Batch, ErrorKind as DiskError, FileKind, Place, Root};
use pkgtypes::{Digest, Mode, PkgPath};
use rusqlite::{Connection, OptionalExtension as _};

use crate::content::digest_of;
use crate::displaced::{self, Displaced, Displacement, Displacing, Second};
use crate::error::{DbResult as _, Result};
use crate::home::Home;
use crate::retention::{self, Forget};
use crate::space::Space;
use crate::step::Step;
use crate::tree::{Before, EntryRef};
use crate::work::Work;
use crate::{Installed, Retention, originals};

/// What a transaction does with kept contents.
#[derive(Debug, Default)]
pub(crate) struct Keeping {
    /// What gets a second name; its number follows from its place here.
    keeps: Vec<Keep>,
    /// What is kept already and goes once more.
    again: Vec<(Digest, u64)>,
    /// What no package owned, and how it is kept: the numbers of those that are follow those of the contents.
    displacing: Vec<(Displacing, Option<Second>)>,
    /// What comes back to where it was.
    returned: Vec<Displaced>,
    forget: Forget,
    /// Bytes that go and are too many to be kept.
    pub(crate) too_much: u64,
    /// How much is kept from now on, where that changes.
    limits: Option<Retention>,
    /// Whether the records of packages that go are kept.
    pub(crate) records: bool,
    /// What the disk gets back.
    pub(crate) forgotten: Forgotten,
}

/// What of the past a transaction forgets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Forgotten {
    /// How many kept contents.
    pub contents: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The last of the transactions that can not be undone any more, where there are more of these than before.
    pub up_to: Option<i64>,
}

/// A content that is going to be kept.
#[derive(Debug)]
struct Keep {
    path: PkgPath,
    digest: Digest,
    size: u64,
    /// Whether a row says that it is kept, and its file is lost.
    was_lost: bool,
    /// Whether it is on another file system than what is kept, and has to be copied.
    is_elsewhere: bool,
}

/// A content that is kept.
#[derive(Debug)]
struct Kept {
    digest: Digest,
    path: PkgPath,
    size: u64,
}

fn name(txn: i64, n: i64) -> PkgPath {
    PkgPath::new(format!("{txn}.{n}").into_bytes()).expect("two numbers and a dot are a name")
}

pub(crate) fn path(home: &Home, txn: i64, n: i64) -> PkgPath {
    home.kept().join(name(txn, n).as_bytes()).expect("a short name in a folder that no database is too deep in")
}

/// Where a content is kept.
pub(crate) fn find(db: &Installed, digest: Digest) -> Result<Option<PkgPath>> {
    let read = || {
        let mut statement = db.conn.prepare_cached("SELECT made, n FROM kept WHERE hash = ?")?;
        statement.query_row([digest.as_bytes()], |row| Ok(path(&db.home, row.get(0)?, row.get(1)?))).optional()
    };
    read().during("look up a kept content", &db.conn)
}

/// Where each of these contents is kept.
pub(crate) fn find_all<'d>(db: &Installed, digests: impl Iterator<Item = &'d Digest>) -> Result<Vec<Option<PkgPath>>> {
    let _reading = db.read_at_once()?;
    digests.map(|digest| find(db, *digest)).collect()
}

/// Plans what is kept of that which goes, and what is forgotten for it. What is forgotten is taken away by the steps
/// that are returned. On a disk that `is_tight` nothing is kept: what is kept takes up room, and so does that it is.
pub(crate) fn plan(
    db: &Installed,
    work: &Work<'_>,
    Displacement { displacing, returned }: Displacement,
    space: &mut Space,
    is_tight: bool,
) -> Result<(Keeping, Vec<Step>)> {
    let limits = if work.forget { Retention::NOTHING } else { work.retention.map_or_else(|| db.retention(), Ok)? };
    let displacing = displacing.into_iter().map(|thing| (thing, None)).collect();
    let mut keeping = Keeping { limits: work.retention, displacing, returned, ..Keeping::default() };
    if limits.transactions != Some(0) && !work.operations.is_empty() && !is_tight {
        Survey { db, work, keeping: &mut keeping, space }.run()?;
    }
    let new = (!work.operations.is_empty()).then(|| keeping.bytes());
    let due = db.forgotten(limits, work.time, new)?;
    keeping.records = due != Forget::All && !is_tight;
    // What is another user's stays until he changes something; whoever asks for more is told that it is not his.
    let is_asked_for = work.forget || work.retention.is_some();
    keeping.forget = if is_asked_for || may_change(db)? { due } else { Forget::Nothing };
    keeping.forgotten.up_to = match keeping.forget {
        Forget::Nothing => None,
        Forget::UpTo(txn) => Some(txn),
        Forget::All => db.last_change()?,
    };
    if keeping.forget == Forget::All {
        (keeping.keeps, keeping.again) = (Vec::new(), Vec::new());
        keeping.displacing.iter_mut().for_each(|(_, second)| *second = None);
        keeping.too_much = keeping.too_much.saturating_add(new.unwrap_or(0));
    }
    let again: HashSet<Digest> = keeping.again.iter().map(|(digest, _)| *digest).collect();
    let mut steps = Vec::new();
    for kept in forgotten(db, keeping.forget)? {
        if !again.contains(&kept.digest) {
            keeping.forgotten.contents += 1;
            keeping.forgotten.bytes = keeping.forgotten.bytes.saturating_add(kept.size);
            steps.push(Step::Remove(kept.path));
        }
    }
    for thing in displaced_forgotten(db, keeping.forget)?.iter().filter(|thing| !keeping.returned.contains(thing)) {
        keeping.forgotten.contents += 1;
        keeping.forgotten.bytes = keeping.forgotten.bytes.saturating_add(thing.size);
        steps.extend(thing.kept(&db.home).map(Step::Remove));
    }
    steps.extend(keeping.returned.iter().filter_map(|thing| thing.kept(&db.home)).map(Step::Remove));
    Ok((keeping, steps))
}

/// The last transaction that is forgotten.
fn last_forgotten(forget: Forget) -> Option<i64> {
    match forget {
        Forget::Nothing => None,
        Forget::UpTo(txn) => Some(txn),
        Forget::All => Some(i64::MAX),
    }
}

fn displaced_forgotten(db: &Installed, forget: Forget) -> Result<Vec<Displaced>> {
    let Some(last) = last_forgotten(forget) else { return Ok(Vec::new()) };
    db.displaced_until(last).during("read what was displaced", &db.conn)
}

fn forgotten(db: &Installed, forget: Forget) -> Result<Vec<Kept>> {
    let Some(last) = last_forgotten(forget) else { return Ok(Vec::new()) };
    let read = || -> rusqlite::Result<Vec<Kept>> {
        let mut statement =
            db.conn.prepare_cached("SELECT hash, made, n, size FROM kept WHERE txn <= ? ORDER BY made, n")?;
        let kept = statement.query_map([last], |row| {
            let digest = crate::column::digest_column(row, 0)?;
            Ok(Kept { digest, path: path(&db.home, row.get(1)?, row.get(2)?), size: row.get(3)? })
        })?;
        kept.collect()
    };
    read().during("read what is kept", &db.conn)
}

/// Whether a content that has a row is there. Where nobody else may look, that is not for this user to say.
fn is_kept(root: &Root, path: &PkgPath, size: u64) -> Result<bool> {
    match root.stat(path) {
        Ok(stat) => Ok(stat.is_some_and(|stat| stat.kind == FileKind::File && stat.size == size)),
        Err(error) if error.kind == DiskError::Denied => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Whether what is kept is this user's to change. Where it is another's, the past is not worth a change that is refused.
fn may_change(db: &Installed) -> Result<bool> {
    match db.root.may_change(Some(&db.home.kept())) {
        Err(error) if error.kind == DiskError::Denied => Ok(false),
        Err(error) if error.kind != DiskError::NotFound => Err(error.into()),
        _ => Ok(true),
    }
}

/// The user who alone can read a content that is kept, if this one can not.
pub(crate) fn keeper(db: &Installed, digest: Digest) -> Result<Option<u32>> {
    let Some(path) = find(db, digest)? else { return Ok(None) };
    let is_denied = |error: &pkgfs::Error| error.kind == DiskError::Denied;
    if !db.root.open_file(&path).is_err_and(|error| is_denied(&error)) {
        return Ok(None);
    }
    let stat = match db.root.stat(&path) {
        Err(error) if is_denied(&error) => db.root.stat(&db.home.kept()),
        stat => stat,
    };
    Ok(stat?.map(|stat| stat.uid))
}

/// The look at the files that go.
struct Survey<'a> {
    db: &'a Installed,
    work: &'a Work<'a>,
    keeping: &'a mut Keeping,
    space: &'a mut Space,
}

impl Survey<'_> {
    fn run(self) -> Result<()> {
        // What comes is there afterwards, so it need not be kept.
        let mut there = self.coming();
        // Before the first installation the folder is still to be made.
        self.space.enter(&self.db.root, Some(self.db.home.folder()))?;
        let home = self.space.device();
        self.keeping.displacing.iter_mut().for_each(|(thing, second)| *second = thing.second(home));
        let mut folders = Batch::new(&self.db.root);
        let packages = self.work.packages();
        for at in self.going() {
            let entry = packages.old_entry(at);
            let EntryKind::File { digest, size, .. } = entry.kind else { continue };
            if size == 0 || there.contains(&digest) {
                continue;
            }
            let kept = find(self.db, digest)?;
            if let Some(kept) = &kept
                && is_kept(&self.db.root, kept, size)?
            {
                self.keeping.again.push((digest, size));
                there.insert(digest);
                continue;
            }
            let stat = match folders.at(&entry.path).and_then(|place| place.stat()) {
                Ok(Some(stat)) if stat.kind == FileKind::File && stat.size == size => stat,
                // What is not as the package says is not what would come back.
                _ => continue,
            };
            if stat.mtime != entry.mtime && digest_of(&self.db.root, &entry.path)? != digest {
                continue;
            }
            there.insert(digest);
            let (path, was_lost, is_elsewhere) = (entry.path.clone(), kept.is_some(), stat.dev != home);
            self.keeping.keeps.push(Keep { path, digest, size, was_lost, is_elsewhere });
        }
        if may_change(self.db)? {
            return self.find_room();
        }
        let sizes = self.keeping.keeps.drain(..).map(|keep| keep.size);
        self.keeping.too_much = sizes.fold(self.keeping.too_much, u64::saturating_add);
        self.keeping.displacing.iter_mut().for_each(|(_, second)| *second = None);
        Ok(())
    }

    /// A copy is made only where there is room enough: the past is not worth a change that is refused. What no package
    /// brings again comes first.
    fn find_room(self) -> Result<()> {
        let Keeping { keeps, displacing, too_much, .. } = self.keeping;
        let of_contents = |keeps: &[Keep]| {
            let sizes = keeps.iter().filter(|keep| keep.is_elsewhere).map(|keep| keep.size);
            sizes.fold(0, u64::saturating_add)
        };
        let copied = displacing.iter().filter(|(_, second)| *second == Some(Second::Copy));
        let (contents, displaced) =
            (of_contents(keeps), copied.map(|(thing, _)| thing.size()).fold(0, u64::saturating_add));
        if contents == 0 && !displacing.iter().any(|(_, second)| *second == Some(Second::Copy)) {
            return Ok(());
        }
        self.space.enter(&self.db.root, Some(self.db.home.folder()))?;
        let most = self.space.free_here(&self.db.root)? / 2;
        if contents.saturating_add(displaced) > most {
            keeps.retain(|keep| !keep.is_elsewhere);
            *too_much = contents;
        }
        if displaced > most {
            displacing
                .iter_mut()
                .filter(|(_, second)| *second == Some(Second::Copy))
                .for_each(|(_, second)| *second = None);
        }
        keeps.iter().filter(|keep| keep.is_elsewhere).for_each(|keep| self.space.add_file(keep.size));
        let copied = displacing.iter().filter(|(_, second)| *second == Some(Second::Copy));
        copied.for_each(|(thing, _)| self.space.add_file(thing.size()));
        Ok(())
    }

    /// Entries of packages that go whose files are taken away or replaced.
    fn going(&self) -> Vec<EntryRef> {
        let tree = &self.work.tree;
        let replaced = tree.nodes.iter().filter_map(|node| match node.before {
            Before::Outgoing(at) => Some(at),
            _ => None,
        });
        tree.orphans.iter().copied().chain(replaced).collect()
    }

    fn coming(&self) -> HashSet<Digest> {
        let entries = self.work.incoming.iter().flat_map(|incoming| incoming.record.manifest().entries());
        entries
            .filter_map(|entry| match entry.kind {
                EntryKind::File { digest, .. } => Some(digest),
                _ => None,
            })
            .collect()
    }
}

impl Keeping {
    /// Whether the disk gets something new.
    pub(crate) fn is_staged(&self) -> bool {
        !self.keeps.is_empty() || self.displaced().next().is_some()
    }

    /// What of that which no package owned gives way, and is not kept, or could not be according to `unkept`.
    pub(crate) fn lost<'a>(&'a self, unkept: &'a HashSet<i64>) -> impl Iterator<Item = &'a Displacing> {
        let could_not = self.displaced().filter(|(n, _)| unkept.contains(n)).map(|(_, thing)| thing);
        let is_not = self.displacing.iter().filter(|(_, second)| second.is_none()).map(|(thing, _)| thing);
        is_not.chain(could_not)
    }

    /// What of that which no package owned gives way, and whether it is going to be kept.
    pub(crate) fn displacing(&self) -> impl Iterator<Item = (&Displacing, bool)> {
        self.displacing.iter().map(|(thing, second)| (thing, second.is_some()))
    }

    /// What of that which no package owned is kept, by its number.
    fn displaced(&self) -> impl Iterator<Item = (i64, &Displacing)> {
        let kept = self.displacing.iter().filter(|(_, second)| second.is_some()).map(|(thing, _)| thing);
        (i64::try_from(self.keeps.len()).unwrap_or(i64::MAX)..).zip(kept)
    }

    /// How much is kept.
    fn bytes(&self) -> u64 {
        let contents = self.keeps.iter().map(|keep| keep.size).chain(self.again.iter().map(|(_, size)| *size));
        contents.chain(self.displaced().map(|(_, thing)| thing.size())).fold(0, u64::saturating_add)
    }

    /// Gives everything that goes its second name. Answers with the numbers of what this user may neither link nor read,
    /// which is no reason not to take it away.
    pub(crate) fn stage(&self, root: &Root, folder: &PkgPath, txn: i64) -> Result<HashSet<i64>> {
        let mut unkept = HashSet::new();
        if !self.is_staged() {
            return Ok(unkept);
        }
        // What was private, or had rights of its own, is not for everybody afterwards.
        let private = Mode::from_raw(0o700);
        for made in root.create_dirs(folder, private)? {
            root.set_mode(&made, private)?;
        }
        let home = root.sub(folder)?;
        let mut folders = Batch::new(root);
        for (n, keep) in (0..).zip(&self.keeps) {
            let name = name(txn, n);
            let (from, to) = (folders.at(&keep.path)?, home.at(&name)?);
            match to.hard_link(&from) {
                Err(error) if can_be_copied(&error) => match from.open_file() {
                    Err(error) if error.kind == DiskError::Denied => drop(unkept.insert(n)),
                    content => copy(content?, &to)?,
                },
                linked => linked?,
            }
        }
        for (n, thing) in self.displaced() {
            let name = name(txn, n);
            if !displaced::second_name(&folders.at(&thing.path)?, &home.at(&name)?)? {
                unkept.insert(n);
            }
        }
        Ok(unkept)
    }

    /// Writes the decision down.
    pub(crate) fn save(&self, conn: &Connection, txn: i64, unkept: &HashSet<i64>) -> rusqlite::Result<()> {
        let mut insert =
            conn.prepare_cached("INSERT INTO kept (hash, made, n, size, txn) VALUES (?1, ?2, ?3, ?4, ?2)")?;
        let mut bytes = 0_u64;
        for (n, keep) in (0_i64..).zip(&self.keeps).filter(|(n, _)| !unkept.contains(n)) {
            if keep.was_lost {
                subtract(conn, &keep.digest)?;
                conn.prepare_cached("DELETE FROM kept WHERE hash = ?")?.execute([keep.digest.as_bytes()])?;
            }
            insert.execute((keep.digest.as_bytes(), txn, n, saturated(keep.size)))?;
            bytes = bytes.saturating_add(keep.size);
        }
        for (digest, size) in &self.again {
            subtract(conn, digest)?;
            conn.prepare_cached("UPDATE kept SET txn = ? WHERE hash = ?")?.execute((txn, digest.as_bytes()))?;
            bytes = bytes.saturating_add(*size);
        }
        for (n, thing) in self.displaced() {
            let n = Some(n).filter(|n| !unkept.contains(n));
            displaced::save(conn, txn, thing, n)?;
            bytes = bytes.saturating_add(n.map_or(0, |_| thing.size()));
        }
        for (thing, _) in self.displacing.iter().filter(|(_, second)| second.is_none()) {
            displaced::save(conn, txn, thing, None)?;
        }
        for thing in &self.returned {
            displaced::give_back(conn, txn, thing)?;
        }
        if bytes > 0 {
            conn.execute("UPDATE transactions SET kept = ? WHERE id = ?", (saturated(bytes), txn))?;
        }
        if let Some(limits) = self.limits {
            retention::save(conn, limits)?;
        }
        match self.forget {
            Forget::Nothing => Ok(()),
            Forget::UpTo(last) => forget(conn, last),
            Forget::All => forget(conn, txn),
        }
    }
}

/// Takes a content out of the sum of the transaction that it was kept for.
fn subtract(conn: &Connection, digest: &Digest) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached(
        "UPDATE transactions SET kept = kept - (SELECT size FROM kept WHERE hash = ?1)
         WHERE id = (SELECT txn FROM kept WHERE hash = ?1)",
    )?;
    statement.execute([digest.as_bytes()]).map(drop)
}

fn saturated(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

fn forget(conn: &Connection, last: i64) -> rusqlite::Result<()> {
    conn.execute("DELETE FROM kept WHERE txn <= ?", [last])?;
    displaced::forget(conn, last)?;
    originals::forget_past(conn, last)?;
    conn.execute("DELETE FROM past_packages WHERE txn <= ?", [last])?;
    conn.execute("DELETE FROM saves WHERE txn <= ?", [last])?;
    originals::forget_bases(conn)?;
    conn.execute("UPDATE script_runs SET output = x'' WHERE txn <= ? AND output <> x''", [last])?;
    conn.execute("UPDATE transactions SET kept = 0 WHERE kept > 0 AND id <= ?", [last])?;
    conn.execute("UPDATE retention SET horizon = ?", [last])?;
    Ok(())
}

/// Takes away the names that a transaction gave.
pub(crate) fn discard(root: &Root, folder: &PkgPath, txn: i64) -> Result<()> {
    let home = match root.sub(folder) {
        Ok(home) => home,
        Err(error) if error.kind == DiskError::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let own = format!("{txn}.");
    for name in home.read_dir(None)? {
        if name.starts_with(own.as_bytes())
            && let Ok(name) = PkgPath::new(name)
        {
            home.remove_file(&name)?;
        }
    }
    Ok(())
}

/// Whether a second name can not be given, and the content can be copied: the folder is on another file system, or the
/// file system or its rules have no further name for the file.
pub(crate) fn can_be_copied(error: &pkgfs::Error) -> bool {
    let too_many = rustix::io::Errno::MLINK.raw_os_error();
    matches!(error.kind, DiskError::Elsewhere | DiskError::Denied | DiskError::Unsupported)
        || error.source.raw_os_error() == Some(too_many)
}

fn copy(mut content: File, to: &Place<'_>) -> Result<()> {
    let mut file = to.create_file(Mode::from_raw(0o600))?;
    let copied = io::copy(&mut content, &mut file);
    copied.map_err(|error| pkgfs::Error::new("write the file", to.full_path(), error))?;
    Ok(())
}
