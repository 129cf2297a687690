//! Commands that run once in a transaction, after it, when paths came or went that a pattern fits.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use pkgformat::PackageMeta;
use pkgtypes::{Glob, PackageName, PkgPath};
use rusqlite::Connection;

use crate::column::{path_column, word_column};
use crate::layout::{Fate, Layout};
use crate::order;
use crate::scripts::call::{Call, Program};
use crate::scripts::pending;
use crate::work::Work;

/// What the stage of a trigger is called.
pub(crate) const STAGE: &str = "trigger";

/// The triggers of a transaction, in the order in which they run: those of packages that were there and stay, by name;
/// those of packages that come, what is required first; those of packages that go. The same command of several packages
/// is one.
#[derive(Debug, Default)]
pub(crate) struct Triggers {
    order: Vec<String>,
    by_command: HashMap<String, Fired>,
}

#[derive(Debug)]
struct Fired {
    package: PackageName,
    paths: BTreeSet<PkgPath>,
}

/// A transaction's paths that come, go, or get another content; sorted.
pub(crate) fn touched<'a>(work: &'a Work<'_>, layout: &Layout) -> Vec<&'a PkgPath> {
    let packages = work.packages();
    let staged = work.tree.nodes.iter().zip(&layout.fates).filter(|(_, fate)| matches!(fate, Fate::Staged(_)));
    let mut paths: Vec<&PkgPath> = staged.map(|(node, _)| packages.new_named(node.source)).collect();
    paths.extend(work.tree.orphans.iter().map(|at| packages.old_named(*at)));
    paths.sort();
    paths
}

/// A trigger: its package, what it watches, and what it runs.
pub(crate) type Watching = (PackageName, Glob, String);

/// The triggers that installed packages have, each pattern and command once.
///
/// Asked when the packages that go are out of the database, and those that come not yet in it.
pub(crate) fn of_installed(conn: &Connection) -> rusqlite::Result<Vec<Watching>> {
    let mut statement = conn.prepare_cached(
        "SELECT min(packages.name), glob, command FROM triggers JOIN packages ON packages.id = triggers.package
         GROUP BY command, glob ORDER BY 1, glob",
    )?;
    let known = statement.query_map([], |row| {
        // A pattern of a package that was installed without its triggers need not be one.
        let glob = Glob::new(row.get_ref(1)?.as_str()?).ok();
        Ok(glob.map(|glob| Ok((word_column(row, 0)?, glob, row.get(2)?))))
    })?;
    known.filter_map(|row| row.and_then(Option::transpose).transpose()).collect()
}

pub(crate) fn insert(conn: &Connection, row: i64, meta: &PackageMeta) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached("INSERT INTO triggers (package, glob, command) VALUES (?, ?, ?)")?;
    for trigger in &meta.triggers {
        statement.execute((row, &trigger.glob, &trigger.command))?;
    }
    Ok(())
}

/// Which triggers run after the transaction. The rows of the packages that come are in the database.
pub(crate) fn fire(
    conn: &Connection,
    work: &Work<'_>,
    touched: &[&PkgPath],
    installed: &[Watching],
) -> rusqlite::Result<Vec<Call>> {
    let mut triggers = Triggers::default();
    let mut known: HashSet<(String, String)> = HashSet::new();
    for (package, glob, command) in installed {
        known.insert((glob.to_string(), command.clone()));
        triggers.add(package, command, fitting(touched, glob));
    }
    for known_package in &work.outgoing {
        let old = &known_package.record.meta().triggers;
        known.extend(old.iter().map(|trigger| (trigger.glob.clone(), trigger.command.clone())));
    }
    let metas: Vec<&PackageMeta> = work.incoming.iter().map(|incoming| incoming.record.meta()).collect();
    for meta in order::dependencies_first(&metas).into_iter().map(|index| metas[index]) {
        for (glob, trigger) in globs(meta) {
            // What no one watched before concerns all that is there.
            let paths = match known.contains(&(trigger.glob.clone(), trigger.command.clone())) {
                true => fitting(touched, &glob),
                false => owned(conn, &glob)?.into_iter().chain(fitting(touched, &glob)).collect(),
            };
            triggers.add(&meta.name, &trigger.command, paths);
        }
    }
    for (_, going) in work.removals().into_iter().rev() {
        for (glob, trigger) in globs(going.record.meta()) {
            triggers.add(&going.record.meta().name, &trigger.command, fitting(touched, &glob));
        }
    }
    triggers.into_calls(conn)
}

fn globs(meta: &PackageMeta) -> impl Iterator<Item = (Glob, &pkgformat::Trigger)> {
    meta.triggers.iter().filter_map(|trigger| Some((Glob::new(&trigger.glob).ok()?, trigger)))
}

/// The paths of a sorted list that a pattern fits.
fn fitting(paths: &[&PkgPath], glob: &Glob) -> Vec<PkgPath> {
    let range = match glob.folder() {
        None => 0..paths.len(),
        Some(folder) => {
            let start = paths.partition_point(|path| **path < folder);
            start..start + paths[start..].partition_point(|path| path.is_within(&folder))
        }
    };
    paths[range].iter().filter(|path| glob.matches(path)).map(|path| (*path).clone()).collect()
}

/// The paths of all installed packages that a pattern fits.
fn owned(conn: &Connection, glob: &Glob) -> rusqlite::Result<Vec<PkgPath>> {
    let (from, to) = match glob.folder() {
        // No path is longer than a component of the highest byte.
        None => (Vec::new(), vec![0xff; 256]),
        // What begins with the folder and a slash: `0` comes after `/`.
        Some(folder) => (folder.as_bytes().to_vec(), [folder.as_bytes(), b"0"].concat()),
    };
    let mut statement =
        conn.prepare_cached("SELECT DISTINCT path FROM paths WHERE path >= ? AND path < ? ORDER BY path")?;
    let mut rows = statement.query((from, to))?;
    let mut paths = Vec::new();
    while let Some(row) = rows.next()? {
        let path = path_column(row, 0)?;
        if glob.matches(&path) {
            paths.push(path);
        }
    }
    Ok(paths)
}

impl Triggers {
    fn add(&mut self, package: &PackageName, command: &str, paths: Vec<PkgPath>) {
        if paths.is_empty() {
            return;
        }
        if !self.by_command.contains_key(command) {
            self.order.push(command.to_owned());
            let fired = Fired { package: package.clone(), paths: BTreeSet::new() };
            self.by_command.insert(command.to_owned(), fired);
        }
        if let Some(fired) = self.by_command.get_mut(command) {
            fired.paths.extend(paths);
        }
    }

    /// A command that is still to be run for an earlier transaction runs once for both.
    fn into_calls(mut self, conn: &Connection) -> rusqlite::Result<Vec<Call>> {
        let mut calls = Vec::with_capacity(self.order.len());
        for command in self.order {
            let Some(Fired { package, paths }) = self.by_command.remove(&command) else { continue };
            let mut lines: BTreeMap<Vec<u8>, ()> = paths.iter().map(|path| (line(path), ())).collect();
            let earlier = pending::withdraw(conn, &command)?;
            lines.extend(earlier.split_inclusive(|&byte| byte == b'\n').map(|line| (line.to_vec(), ())));
            let input = lines.into_keys().filter(|line| is_one_line(line)).collect::<Vec<_>>().concat();
            let content = format!("#!/bin/sh\n{command}\n").into_bytes();
            let program = Program { command: Some(command), input, content, ..Program::default() };
            calls.push(Call { package, stage: STAGE.to_owned(), program });
        }
        Ok(calls)
    }
}

/// `/path` and the end of the line.
fn line(path: &PkgPath) -> Vec<u8> {
    [b"/", path.as_bytes(), b"\n"].concat()
}

/// A path with a line's end in it would be taken for two others.
fn is_one_line(line: &[u8]) -> bool {
    line.iter().filter(|&&byte| byte == b'\n').count() == 1
}
