//! The paths of all packages of a transaction as one sorted list, and who owned them before.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

use pkgformat::{Entry, EntryKind, PackageRecord};
use pkgtypes::{PackageName, PkgPath};

use crate::error::Result;
use crate::outgoing::Outgoing;
use crate::request::Arriving;
use crate::step::is_reserved;
use crate::{Finding, Installed, home};

/// An entry of a manifest: the package's position in its list, and the entry's in the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EntryRef {
    pub(crate) package: usize,
    pub(crate) entry: usize,
}

/// A path that the packages to be installed own.
#[derive(Debug)]
pub(crate) struct Node {
    /// The first package that has it, and its entry there.
    pub(crate) source: EntryRef,
    /// The same path in further packages, identical.
    pub(crate) sharers: Vec<EntryRef>,
    pub(crate) before: Before,
}

/// Who owned a path before the transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    /// No package.
    Nobody,
    /// Only packages that go or are replaced; one of them.
    Outgoing(EntryRef),
    /// A package that stays, in which it is identical.
    Staying {
        /// Whether a package that goes or is replaced owned it too.
        and_outgoing: bool,
    },
}

/// All paths of a transaction.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// What will be owned, sorted by path.
    pub(crate) nodes: Vec<Node>,
    /// What nobody owns any more, sorted by path: entries of the outgoing packages.
    pub(crate) orphans: Vec<EntryRef>,
}

/// The packages of a transaction, as the tree refers to them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packages<'a> {
    pub(crate) incoming: &'a [Arriving],
    pub(crate) outgoing: &'a [Outgoing],
}

impl<'a> Packages<'a> {
    pub(crate) fn new_record(&self, at: EntryRef) -> &'a PackageRecord {
        &self.incoming[at.package].record
    }

    /// The entry as it stands in the root.
    pub(crate) fn new_entry(&self, at: EntryRef) -> &'a Entry {
        let Arriving { record, standing, .. } = &self.incoming[at.package];
        &standing.entries(record)[at.entry]
    }

    /// The entry as it stands in the root.
    pub(crate) fn old_entry(&self, at: EntryRef) -> &'a Entry {
        let Outgoing { record, standing, .. } = &self.outgoing[at.package];
        &standing.entries(record)[at.entry]
    }

    /// The path as its package names it.
    pub(crate) fn new_named(&self, at: EntryRef) -> &'a PkgPath {
        &self.new_record(at).manifest().entries()[at.entry].path
    }

    /// The path as its package names it.
    pub(crate) fn old_named(&self, at: EntryRef) -> &'a PkgPath {
        &self.outgoing[at.package].record.manifest().entries()[at.entry].path
    }

    /// The node's entry.
    pub(crate) fn entry(&self, node: &Node) -> &'a Entry {
        self.new_entry(node.source)
    }

    pub(crate) fn new_name(&self, at: EntryRef) -> &'a PackageName {
        &self.new_record(at).meta().name
    }

    fn new_path(&self, at: EntryRef) -> &'a PkgPath {
        &self.new_entry(at).path
    }

    fn old_path(&self, at: EntryRef) -> &'a PkgPath {
        &self.old_entry(at).path
    }
}

/// Brings all paths together. Clashes between packages go to `findings`.
pub(crate) fn plan(db: &Installed, packages: Packages<'_>, findings: &mut Vec<Finding>) -> Result<Tree> {
    let new = merged(packages.incoming.iter().map(|incoming| incoming.standing.entries(&incoming.record)));
    refuse_reserved(db, packages, &new, findings);
    refuse_trust_by_detour(db, packages, &new, findings);
    let mut nodes = share(packages, new, findings);
    let old = merged(packages.outgoing.iter().map(|outgoing| outgoing.standing.entries(&outgoing.record)));
    let mut orphans = join(packages, &mut nodes, &old);
    let mut owners = Owners::new(db, packages.outgoing)?;
    owners.look_up_nodes(packages, &mut nodes, findings)?;
    owners.drop_shared(packages, &mut orphans)?;
    Ok(Tree { nodes, orphans })
}

fn merged<'a>(packages: impl Iterator<Item = &'a [Entry]>) -> Vec<EntryRef> {
    let mut sorted: Vec<(&PkgPath, EntryRef)> = Vec::new();
    for (package, entries) in packages.enumerate() {
        let entries = entries.iter().enumerate();
        sorted.extend(entries.map(|(entry, known)| (&known.path, EntryRef { package, entry })));
    }
    // Each manifest is sorted already, which this sort makes use of; it keeps the packages' order for equal paths.
    sorted.sort_by_key(|(path, _)| *path);
    sorted.into_iter().map(|(_, at)| at).collect()
}

fn refuse_reserved(db: &Installed, packages: Packages<'_>, new: &[EntryRef], findings: &mut Vec<Finding>) {
    let ours = [db.home.folder(), home::named()];
    for &at in new {
        let path = packages.new_path(at);
        let is_ours = ours.iter().any(|ours| path.is_within(ours) && path != ours);
        // What leads to the database goes with no package.
        let leads = db.home.links().contains(path) && !matches!(packages.new_entry(at).kind, EntryKind::Dir { .. });
        if is_reserved(path) || is_ours || leads {
            findings.push(Finding::Reserved { path: path.clone(), package: packages.new_name(at).clone() });
        }
    }
}

/// Who may say whom the root trusts was decided by the names in the package: none may lead there that does not say so.
fn refuse_trust_by_detour(db: &Installed, packages: Packages<'_>, new: &[EntryRef], findings: &mut Vec<Finding>) {
    let mut moved = new.iter().filter(|&&at| packages.new_path(at) != packages.new_named(at)).peekable();
    if moved.peek().is_none() {
        return;
    }
    let known = trust::TRUST_FOLDERS.map(home::fixed);
    // A link that is not followed leads there for nobody.
    let places: Vec<PkgPath> = trust::TRUST_FOLDERS.iter().filter_map(|at| home::found(&db.root, at).ok()).collect();
    let is_in = |path: &PkgPath, folders: &[PkgPath]| folders.iter().any(|folder| path.is_within(folder));
    for &at in moved {
        let (place, path) = (packages.new_path(at), packages.new_named(at));
        if is_in(place, &places) && !is_in(path, &known) {
            let package = packages.new_name(at).clone();
            findings.push(Finding::TrustByDetour { path: path.clone(), package, place: place.clone() });
        }
    }
}

/// One node for each path; the same path in two packages must be the same thing.
fn share(packages: Packages<'_>, new: Vec<EntryRef>, findings: &mut Vec<Finding>) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::with_capacity(new.len());
    for at in new {
        match nodes.last_mut() {
            Some(last) if packages.new_path(last.source) == packages.new_path(at) => {
                if packages.new_named(last.source) != packages.new_named(at) {
                    findings.extend(same_place(packages, last.source, at));
                } else if let Some(difference) = difference(packages.new_entry(last.source), packages.new_entry(at)) {
                    let (path, first) = (packages.new_path(at).clone(), packages.new_name(last.source).clone());
                    findings.push(Finding::Conflict { path, first, second: packages.new_name(at).clone(), difference });
                }
                last.sharers.push(at);
            }
            _ => nodes.push(Node { source: at, sharers: Vec::new(), before: Before::Nobody }),
        }
    }
    nodes
}

/// Only folders may be one place under two names: what has one of them would not know of the other.
fn same_place(packages: Packages<'_>, first: EntryRef, second: EntryRef) -> Option<Finding> {
    let is_folder = |at| matches!(packages.new_entry(at).kind, EntryKind::Dir { .. });
    (!is_folder(first) || !is_folder(second)).then(|| Finding::SamePlace {
        path: packages.new_named(first).clone(),
        package: packages.new_name(first).clone(),
        other_path: packages.new_named(second).clone(),
        other: packages.new_name(second).clone(),
    })
}

/// In what two packages' entries of one path differ; `None` when both may own it.
fn difference(a: &Entry, b: &Entry) -> Option<&'static str> {
    use EntryKind::{Block, Char, Dir, Fifo, File, Ghost, Hardlink, Socket, Symlink};
    let kinds = match (&a.kind, &b.kind) {
        (File { digest: a, .. }, File { digest: b, .. }) if a != b => Some("content"),
        (Symlink { target: a }, Symlink { target: b }) if a != b => Some("target"),
        (Hardlink { target: a }, Hardlink { target: b }) if a != b => Some("target"),
        (Char { major: a, minor: b, .. }, Char { major: c, minor: d, .. })
        | (Block { major: a, minor: b, .. }, Block { major: c, minor: d, .. })
            if (a, b) != (c, d) =>
        {
            Some("device number")
        }
        (File { .. }, File { .. })
        | (Dir { .. }, Dir { .. })
        | (Symlink { .. }, Symlink { .. })
        | (Hardlink { .. }, Hardlink { .. })
        | (Fifo { .. }, Fifo { .. })
        | (Socket { .. }, Socket { .. })
        | (Char { .. }, Char { .. })
        | (Block { .. }, Block { .. })
        | (Ghost, Ghost) => None,
        _ => Some("type"),
    };
    kinds
        .or_else(|| (a.kind.mode() != b.kind.mode()).then_some("mode"))
        .or_else(|| (a.owner != b.owner || a.group != b.group).then_some("owner"))
        .or_else(|| (a.xattrs != b.xattrs).then_some("extended attributes"))
}

/// Notes for each node who gives the path up, and returns the old paths that no node takes over.
fn join(packages: Packages<'_>, nodes: &mut [Node], old: &[EntryRef]) -> Vec<EntryRef> {
    let mut orphans: Vec<EntryRef> = Vec::new();
    let mut nodes = nodes.iter_mut().peekable();
    for &at in old {
        let path = packages.old_path(at);
        while nodes.next_if(|node| packages.new_path(node.source).cmp(path) == Ordering::Less).is_some() {}
        match nodes.peek_mut() {
            Some(node) if packages.new_path(node.source) == path => {
                if node.before == Before::Nobody || same_name(packages, node.source, at) {
                    node.before = Before::Outgoing(at);
                }
            }
            _ if orphans.last().is_some_and(|last| packages.old_path(*last) == path) => {}
            _ => orphans.push(at),
        }
    }
    orphans
}

fn same_name(packages: Packages<'_>, new: EntryRef, old: EntryRef) -> bool {
    packages.outgoing[old.package].record.meta().name == *packages.new_name(new)
}

/// Looks up which packages that stay own a path.
struct Owners<'a> {
    db: &'a Installed,
    leaving: HashSet<i64>,
    /// Records of packages that stay and share a path.
    records: HashMap<i64, PackageRecord>,
    nothing_stays: bool,
}

impl<'a> Owners<'a> {
    fn new(db: &'a Installed, outgoing: &[Outgoing]) -> Result<Self> {
        let leaving: HashSet<i64> = outgoing.iter().map(|outgoing| outgoing.row).collect();
        let nothing_stays = db.count()? == leaving.len() as u64;
        Ok(Self { db, leaving, records: HashMap::new(), nothing_stays })
    }

    fn staying(&self, path: &PkgPath) -> Result<Option<(i64, usize)>> {
        if self.nothing_stays {
            return Ok(None);
        }
        self.db.owner_except(path, &self.leaving)
    }

    /// The same for a path with more than one name, and the name under which it is owned.
    fn staying_under<'n>(
        &self,
        names: impl Iterator<Item = &'n PkgPath>,
    ) -> Result<Option<(&'n PkgPath, (i64, usize))>> {
        let mut last = None;
        for name in names {
            if last.replace(name) != Some(name)
                && let Some(owner) = self.staying(name)?
            {
                return Ok(Some((name, owner)));
            }
        }
        Ok(None)
    }

    fn record(&mut self, row: i64) -> Result<&PackageRecord> {
        if !self.records.contains_key(&row) {
            self.records.insert(row, self.db.record_of(row)?);
        }
        Ok(&self.records[&row])
    }

    fn look_up_nodes(&mut self, packages: Packages<'_>, nodes: &mut [Node], findings: &mut Vec<Finding>) -> Result<()> {
        let mut alone: Option<&PkgPath> = None;
        for node in nodes {
            let entry = packages.new_entry(node.source);
            // Who owns a path owns its folders, so below a folder without an owner nothing has one.
            if alone.is_some_and(|folder| entry.path.is_within(folder)) {
                continue;
            }
            let named = std::iter::once(&node.source).chain(&node.sharers).map(|at| packages.new_named(*at));
            let Some((path, (row, index))) = self.staying_under(named.chain([&entry.path]))? else {
                alone = matches!(entry.kind, EntryKind::Dir { .. }).then_some(&entry.path);
                continue;
            };
            node.before = Before::Staying { and_outgoing: matches!(node.before, Before::Outgoing(_)) };
            let record = self.record(row)?;
            let Some(other) = record.manifest().entries().get(index) else {
                return Err(crate::Error::damaged(&self.db.conn, format!("/{} has no entry", entry.path)));
            };
            let (first, second) = (record.meta().name.clone(), packages.new_name(node.source).clone());
            let named = packages.new_named(node.source);
            let are_folders = matches!((&other.kind, &entry.kind), (EntryKind::Dir { .. }, EntryKind::Dir { .. }));
            if path != named {
                let (other_path, path) = (named.clone(), path.clone());
                let found = Finding::SamePlace { path, package: first, other_path, other: second };
                findings.extend((!are_folders).then_some(found));
            } else if let Some(difference) = difference(other, entry) {
                findings.push(Finding::Conflict { path: path.clone(), first, second, difference });
            }
        }
        Ok(())
    }

    /// Leaves the paths of packages that stay out of the list of those to remove.
    fn drop_shared(&self, packages: Packages<'_>, orphans: &mut Vec<EntryRef>) -> Result<()> {
        let mut alone: Option<&PkgPath> = None;
        let mut kept = Vec::with_capacity(orphans.len());
        for &at in &*orphans {
            let entry = packages.old_entry(at);
            let is_alone = alone.is_some_and(|folder| entry.path.is_within(folder));
            if !is_alone && self.staying_under([packages.old_named(at), &entry.path].into_iter())?.is_some() {
                continue;
            }
            if !is_alone && matches!(entry.kind, EntryKind::Dir { .. }) {
                alone = Some(&entry.path);
            }
            kept.push(at);
        }
        *orphans = kept;
        Ok(())
    }
}
