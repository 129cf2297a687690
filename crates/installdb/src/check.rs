mod config;
mod ground;
mod orphans;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use pkgformat::{Entry, EntryKind, Use};
use pkgfs::{Batch, ErrorKind as DiskError, FileKind, Root, Stat};
use pkgtypes::{Mode, PkgPath};

use crate::accounts::Accounts;
use crate::accounts::account_file::Attributes;
use crate::content::digest_of;
use crate::displaced::{Displacement, Displacing, Manner};
use crate::error::Result;
use crate::folding::Folds;
use crate::layout::{Fate, Layout, Made, MadeContent, Staging, What};
use crate::links::Links;
use crate::originals::Beside;
use crate::request::Unowned;
use crate::rights::Rights;
use crate::space::Space;
use crate::stage::Staged;
use crate::step::{self, Step, staged_path};
use crate::tree::{Before, EntryRef, Packages};
use crate::work::Work;
use crate::{
    Error, Finding, Forgotten, InstallDb, LinkProblem, Notice, Operation, Progress, bringing, folding, held, kept,
    rehearsal, supply,
};

/// A transaction for which nothing was found that speaks against it.
#[derive(Debug)]
#[must_use = "nothing happens until it is staged and committed"]
pub struct Checked<'db, 'p> {
    db: &'db mut InstallDb,
    work: Work<'p>,
    layout: Layout,
    rights: Rights,
    accounts: Accounts,
}

impl<'db, 'p> Checked<'db, 'p> {
    pub(crate) fn new(db: &'db mut InstallDb, mut work: Work<'p>, findings: Vec<Finding>) -> Result<Self> {
        let mut findings = findings;
        let reading = db.read_at_once()?;
        let metas = work.incoming.iter().map(|incoming| incoming.record.meta());
        let brought = bringing::find(db, &work)?;
        let accounts = Accounts::plan(&db.root, metas, brought, work.time, &mut findings)?;
        let rights = Rights::new(accounts.principals());
        let (layout, mut findings) = Survey::new(db, &work, &rights, findings).run(&accounts)?;
        // What is looked for next may be gigabytes to read, and a writer is not kept waiting for that.
        drop(reading);
        supply::locate(db, &mut work, &layout, &mut findings)?;
        if !findings.is_empty() {
            return Err(Error::Refused(findings));
        }
        Ok(Self { db, work, layout, rights, accounts })
    }

    /// What it does with each package, sorted by name.
    pub fn operations(&self) -> &[Operation] {
        &self.work.operations
    }

    /// What the user should hear of.
    pub fn notices(&self) -> &[Notice] {
        &self.layout.notices
    }

    /// What of the past is forgotten.
    pub fn forgotten(&self) -> Forgotten {
        self.layout.keeping.forgotten
    }

    /// Finds out what [`Checked::stage`] would, as far as that leaves no trace: whether every package holds what it
    /// promises, and whether something in the root runs the scripts. Scripts are not asked.
    ///
    /// # Errors
    /// As there.
    pub fn rehearse(self, progress: &mut dyn Progress) -> Result<()> {
        rehearsal::run(self.db, self.work, &self.layout, progress)
    }

    /// Writes every new file beside its target, checks its content, and asks the scripts that may refuse.
    ///
    /// # Errors
    /// A package that does not hold what it promises, a full disk, a script that refuses, and the like. What was staged is taken away again.
    pub fn stage(self, progress: &mut dyn Progress) -> Result<Staged<'db, 'p>> {
        let Self { db, work, layout, rights, accounts } = self;
        Staged::new(db, work, layout, accounts, rights, progress)
    }
}

/// The look at the disk.
struct Survey<'a> {
    db: &'a InstallDb,
    root: &'a Root,
    work: &'a Work<'a>,
    packages: Packages<'a>,
    rights: &'a Rights,
    space: Space,
    findings: Vec<Finding>,
    fates: Vec<Fate>,
    stagings: Vec<Staging>,
    made: Vec<Made>,
    notices: Vec<Notice>,
    /// Taken away before anything is placed, because of another type.
    clear: Vec<Step>,
    remove: Vec<Step>,
    attributes: Vec<Step>,
    /// Folders that are opened for the time of the change, and their modes.
    shut: Vec<(PkgPath, Mode)>,
    /// Orphans that are in `clear` already, or in whose places something comes under another case.
    cleared: HashSet<usize>,
    /// The files among the orphans, by what their paths have in common with others of another case; made when it is needed.
    alike: Option<HashMap<String, usize>>,
    unknown: BTreeSet<(&'static str, String)>,
    /// Nodes in whose places something stands that no package has under this name.
    strays: Vec<usize>,
    displacement: Displacement,
    besides: Vec<Beside>,
    /// Paths where something comes back, and whether it stands there already.
    ground: BTreeMap<PkgPath, bool>,
}

impl<'a> Survey<'a> {
    fn new(db: &'a InstallDb, work: &'a Work<'_>, rights: &'a Rights, findings: Vec<Finding>) -> Self {
        Self {
            db,
            root: &db.root,
            work,
            packages: work.packages(),
            rights,
            space: Space::default(),
            findings,
            fates: Vec::with_capacity(work.tree.nodes.len()),
            stagings: Vec::new(),
            made: Vec::new(),
            notices: Vec::new(),
            clear: Vec::new(),
            remove: Vec::new(),
            attributes: Vec::new(),
            shut: Vec::new(),
            cleared: HashSet::new(),
            alike: None,
            unknown: BTreeSet::new(),
            strays: Vec::new(),
            displacement: Displacement::default(),
            besides: Vec::new(),
            ground: BTreeMap::new(),
        }
    }

    fn run(mut self, accounts: &Accounts) -> Result<(Layout, Vec<Finding>)> {
        self.survey_nodes()?;
        self.survey_twins()?;
        self.survey_strays()?;
        self.survey_ground()?;
        self.survey_orphans()?;
        self.place_accounts(accounts)?;
        self.space.makes_room = self.work.incoming.is_empty();
        let is_tight = self.space.add_database(self.db, self.work)? && self.space.makes_room;
        let displacement = std::mem::take(&mut self.displacement);
        let (keeping, forgotten) = kept::plan(self.db, self.work, displacement, &mut self.space, is_tight)?;
        if is_tight && !self.work.operations.is_empty() {
            self.notices.push(Notice::PastLeftOut);
        }
        self.remove.extend(forgotten);
        self.tell_displaced(&keeping);
        if keeping.too_much > 0 {
            self.notices.push(Notice::NotKept { bytes: keeping.too_much });
        }
        self.check_rights()?;
        self.space.check(self.root, &mut self.findings)?;
        let attributes = (self.attributes, self.shut.as_slice());
        let layout = Layout {
            steps: assemble(self.clear, &mut self.stagings, self.remove, attributes),
            stagings: self.stagings,
            fates: self.fates,
            made: self.made,
            notices: self.notices,
            keeping,
            besides: self.besides,
        };
        Ok((layout, self.findings))
    }

    fn entry(&self, node: usize) -> &'a Entry {
        self.packages.new_entry(self.work.tree.nodes[node].source)
    }

    fn package(&self, node: usize) -> pkgtypes::PackageName {
        self.packages.new_name(self.work.tree.nodes[node].source).clone()
    }

    fn survey_nodes(&mut self) -> Result<()> {
        let mut folders = Batch::new(self.root);
        // Below a path that can not be a folder there is nothing to look at.
        let mut blocked: Option<&PkgPath> = None;
        for node in 0..self.work.tree.nodes.len() {
            let entry = self.entry(node);
            self.check_owner(node);
            if blocked.is_some_and(|path| entry.path.is_within(path)) {
                self.fates.push(Fate::Absent);
                continue;
            }
            if let Some(index) = self.surrounding(&entry.path) {
                self.fates.push(self.fate_inside(entry, index));
                self.space.add(entry);
                continue;
            }
            let stat = folders.at(&entry.path)?.stat()?;
            match self.survey(node, stat.as_ref())? {
                Some(fate) => self.fates.push(fate),
                None => {
                    blocked = Some(&entry.path);
                    self.fates.push(Fate::Absent);
                }
            }
        }
        Ok(())
    }

    /// Names that come into folders where they are one.
    fn survey_twins(&mut self) -> Result<()> {
        let mut folds = Folds::new(self.root);
        let mut doubtful = HashSet::new();
        for (index, staging) in self.stagings.iter().enumerate() {
            if staging.what == What::Tree && folds.folder(staging.target.parent())? {
                doubtful.insert(index);
            }
        }
        if !doubtful.is_empty() {
            let nodes = self.work.tree.nodes.iter().zip(&self.fates);
            let staged = nodes.filter(|(_, fate)| matches!(fate, Fate::Staged(index) if doubtful.contains(index)));
            let found = folding::twins(staged.map(|(node, _)| &self.packages.entry(node).path));
            self.findings.extend(found);
        }
        Ok(())
    }

    fn fate_inside(&self, entry: &Entry, index: usize) -> Fate {
        if self.can_make(entry) { Fate::Staged(index) } else { Fate::Absent }
    }

    /// Only root makes devices; ghosts nobody makes.
    fn can_make(&self, entry: &Entry) -> bool {
        match entry.kind {
            EntryKind::Ghost => false,
            EntryKind::Char { .. } | EntryKind::Block { .. } => self.rights.is_root(),
            _ => true,
        }
    }

    /// The new folder that is staged as a whole and has the path in it.
    fn surrounding(&self, path: &PkgPath) -> Option<usize> {
        let index = self.stagings.iter().rposition(|staging| staging.what == What::Tree)?;
        path.is_within(&self.stagings[index].target).then_some(index)
    }

    fn check_owner(&mut self, node: usize) {
        let entry = self.entry(node);
        if !self.rights.is_root() || matches!(entry.kind, EntryKind::Hardlink { .. } | EntryKind::Ghost) {
            return;
        }
        if let Err(what) = self.rights.owner(entry) {
            let name = if what == "user" { &entry.owner } else { &entry.group }.to_string();
            if self.unknown.insert((what, name.clone())) {
                self.findings.push(Finding::UnknownPrincipal { what, name, package: self.package(node) });
            }
        }
    }

    /// What becomes of one path; `None` where a folder should be and can not.
    fn survey(&mut self, node: usize, stat: Option<&Stat>) -> Result<Option<Fate>> {
        let entry = self.entry(node);
        let is_dir = matches!(entry.kind, EntryKind::Dir { .. });
        match stat {
            _ if !self.can_make(entry) => Ok(Some(Fate::Absent)),
            None => self.absent(node).map(Some),
            Some(stat) if is_dir && stat.kind == FileKind::Dir => Ok(Some(self.existing_folder(node, stat))),
            // What it leads to is the administrator's, with its attributes.
            Some(stat) if is_dir && stat.kind == FileKind::Symlink && self.is_followed(node) => Ok(Some(Fate::Stays)),
            Some(stat) if is_dir => self.folder_over_file(node, stat),
            Some(stat) if stat.kind == FileKind::Dir => self.file_over_folder(node).map(Some),
            Some(stat) => self.existing_file(node, stat).map(Some),
        }
    }

    fn is_followed(&self, node: usize) -> bool {
        let EntryRef { package, entry } = self.work.tree.nodes[node].source;
        self.work.incoming[package].standing.is_link(entry)
    }

    /// Whether the node's package comes back to where it was before.
    fn returns(&self, node: usize) -> bool {
        self.work.incoming[self.work.tree.nodes[node].source.package].returns
    }

    /// Plans to place the node at its path.
    fn stage(&mut self, node: usize) -> Result<Fate> {
        self.stage_at(node, self.entry(node).path.clone(), What::Tree)
    }

    fn stage_at(&mut self, node: usize, target: PkgPath, what: What) -> Result<Fate> {
        self.space.enter(self.root, target.parent())?;
        self.space.add(self.entry(node));
        Ok(self.push_staging(target, what))
    }

    /// The number of its step follows when all steps are known.
    fn push_staging(&mut self, target: PkgPath, what: What) -> Fate {
        self.stagings.push(Staging { step: 0, target, what });
        Fate::Staged(self.stagings.len() - 1)
    }

    /// A folder of the same type is never replaced. It gets the attributes that the package wants, unless it belongs to
    /// packages that stay and have nothing to do with this change.
    fn existing_folder(&mut self, node: usize, stat: &Stat) -> Fate {
        let entry = self.entry(node);
        let wants = self.work.tree.nodes[node].before != Before::Staying { and_outgoing: false };
        let grant = self.rights.grant(entry);
        let differs = stat.mode != grant.mode || grant.owner.is_some_and(|owner| owner != (stat.uid, stat.gid));
        if wants && differs && self.rights.may_set(stat) {
            let (path, xattrs) = (entry.path.clone(), Vec::new());
            if self.work.tree.nodes[node].before == Before::Nobody {
                let (package, owner) = (self.package(node), (stat.uid, stat.gid));
                self.notices.push(Notice::FolderTaken { path: path.clone(), package, mode: stat.mode, owner });
            }
            self.attributes.push(Step::Attributes { path, mode: grant.mode, owner: grant.owner, xattrs });
        }
        Fate::Stays
    }

    /// Something that is no folder gives way to one only if a package that goes put it there.
    fn folder_over_file(&mut self, node: usize, stat: &Stat) -> Result<Option<Fate>> {
        let path = self.entry(node).path.clone();
        if let Before::Outgoing(old) = self.work.tree.nodes[node].before
            && !matches!(self.packages.old_entry(old).kind, EntryKind::Dir { .. })
        {
            self.clear.push(Step::Remove(path));
            return self.stage(node).map(Some);
        }
        let package = self.package(node);
        self.findings.push(match stat.kind {
            FileKind::Symlink => {
                let problem = self.work.links.refused.get(&path).cloned().unwrap_or(LinkProblem::New);
                Finding::SymlinkInTheWay { path, package, problem }
            }
            _ => Finding::NotAFolder { path, package },
        });
        Ok(None)
    }

    /// A folder gives way only if a package that goes put it there, with all that is in it.
    fn file_over_folder(&mut self, node: usize) -> Result<Fate> {
        let path = &self.entry(node).path;
        let package = self.package(node);
        match self.work.tree.nodes[node].before {
            Before::Outgoing(_) => {}
            // That its owner and this package do not agree was found when they were compared.
            Before::Staying { .. } => return Ok(Fate::Absent),
            Before::Nobody => {
                self.findings.push(Finding::UnownedFolder { path: path.clone(), package });
                return Ok(Fate::Absent);
            }
        }
        let range = self.orphans_within(path);
        let mut gone: BTreeMap<&PkgPath, usize> = BTreeMap::new();
        for index in range.clone() {
            gone.insert(&self.packages.old_entry(self.work.tree.orphans[index]).path, index);
        }
        if let Some(kept) = self.first_kept(path, &gone)? {
            self.findings.push(Finding::FolderInTheWay { path: path.clone(), package, kept });
            return Ok(Fate::Absent);
        }
        for index in range.rev() {
            let old = self.packages.old_entry(self.work.tree.orphans[index]);
            self.clear.push(removal(old));
            self.cleared.insert(index);
        }
        self.clear.push(Step::RemoveDir(path.clone()));
        self.stage(node)
    }

    fn orphans_within(&self, folder: &PkgPath) -> std::ops::Range<usize> {
        let orphans = &self.work.tree.orphans;
        let path = |at: &EntryRef| &self.packages.old_entry(*at).path;
        let start = orphans.partition_point(|at| path(at) < folder);
        let length = orphans[start..].partition_point(|at| path(at).is_within(folder));
        start..start + length
    }

    /// Something in the folder on the disk that does not go, or that must be kept because it was changed.
    fn first_kept(&self, folder: &PkgPath, gone: &BTreeMap<&PkgPath, usize>) -> Result<Option<PkgPath>> {
        for name in self.root.read_dir(Some(folder))? {
            let Ok(path) = folder.join(&name) else { return Ok(Some(folder.clone())) };
            let Some(stat) = self.root.stat(&path)? else { continue };
            let Some(&index) = gone.get(&path) else { return Ok(Some(path)) };
            let old = self.packages.old_entry(self.work.tree.orphans[index]);
            if (stat.kind == FileKind::Dir) != matches!(old.kind, EntryKind::Dir { .. }) {
                return Ok(Some(path));
            }
            if stat.kind == FileKind::Dir {
                if let Some(kept) = self.first_kept(&path, gone)? {
                    return Ok(Some(kept));
                }
            } else if self.is_changed_config(old, &stat)? {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    fn existing_file(&mut self, node: usize, stat: &Stat) -> Result<Fate> {
        let entry = self.entry(node);
        if let Before::Outgoing(old) = self.work.tree.nodes[node].before
            && !may_be(self.packages.old_entry(old), stat)
        {
            self.strays.push(node);
        }
        match self.work.tree.nodes[node].before {
            Before::Nobody => self.unowned_file(node, stat),
            // The administrator's link stands where the old version had a folder.
            Before::Outgoing(EntryRef { package, entry })
                if self.packages.outgoing[package].standing.is_link(entry) =>
            {
                self.unowned_file(node, stat)
            }
            Before::Staying { .. } if entry.uses.contains(&Use::Config) || entry.uses.contains(&Use::Mutable) => {
                Ok(Fate::Stays)
            }
            Before::Outgoing(old) if entry.uses.contains(&Use::Config) => self.config_file(node, old, stat),
            Before::Staying { .. } | Before::Outgoing(_) => self.stage(node),
        }
    }

    fn unowned_file(&mut self, node: usize, stat: &Stat) -> Result<Fate> {
        let entry = self.entry(node);
        let spelled = folding::spelled(self.root, &entry.path)?;
        if let Some(old) = self.under_another_case(&entry.path, &spelled)? {
            let is_config = entry.uses.contains(&Use::Config);
            return if is_config { self.config_file(node, old, stat) } else { self.stage(node) };
        }
        let other = if *spelled == entry.path {
            self.owned_under_another_case(&entry.path)?
        } else {
            Some(spelled.into_owned())
        };
        if let Some(other) = other {
            self.findings.push(Finding::OneName { path: entry.path.clone(), other });
            return Ok(Fate::Absent);
        }
        self.strays.push(node);
        let again = self.work.ground.again(&entry.path);
        let manner = match self.work.options.unowned {
            _ if is_same(self.root, entry, stat)? => Some(Manner::Same),
            Unowned::Replace => Some(Manner::Replaced),
            Unowned::Adopt => Some(Manner::Adopted),
            Unowned::Refuse => again,
        };
        let Some(manner) = manner else {
            self.findings.push(Finding::Unowned { path: entry.path.clone(), package: self.package(node) });
            return Ok(Fate::Absent);
        };
        let is_again = self.work.options.unowned == Unowned::Refuse && manner != Manner::Same;
        self.displacement.displacing.push(Displacing {
            path: entry.path.clone(),
            manner,
            stat: stat.clone(),
            is_again,
        });
        if manner == Manner::Adopted { Ok(Fate::Stays) } else { self.stage(node) }
    }

    /// The entry of a package that goes, which has a path under another case: what comes takes its place, so that it is not
    /// taken away. The name on the disk is the file system's to choose.
    fn under_another_case(&mut self, path: &PkgPath, spelled: &PkgPath) -> Result<Option<EntryRef>> {
        let (orphans, packages) = (&self.work.tree.orphans, self.packages);
        let alike = self.alike.get_or_insert_with(|| {
            let files = orphans.iter().enumerate().map(|(index, at)| (index, packages.old_entry(*at)));
            let files = files.filter(|(_, old)| !matches!(old.kind, EntryKind::Dir { .. }));
            files.map(|(index, old)| (folding::alike(old.path.as_bytes()), index)).collect()
        });
        let Some(&index) = alike.get(&folding::alike(path.as_bytes())) else { return Ok(None) };
        let at = orphans[index];
        if *folding::spelled(self.root, &packages.old_entry(at).path)? != *spelled {
            return Ok(None);
        }
        self.cleared.insert(index);
        Ok(Some(at))
    }

    /// The name under which a package that stays has something, where it is found under this one because names are folded.
    fn owned_under_another_case(&self, path: &PkgPath) -> Result<Option<PkgPath>> {
        if !folding::is_folded(self.root, path)? {
            return Ok(None);
        }
        let leaving: HashSet<i64> = self.packages.outgoing.iter().map(|outgoing| outgoing.row).collect();
        let alike = folding::installed(self.db)?.remove(&folding::alike(path.as_bytes())).unwrap_or_default();
        Ok(alike.into_iter().find(|(_, row)| !leaving.contains(row)).map(|(other, _)| other))
    }

    /// A file that a package has under another name, because a link leads to it, is not nobody's.
    fn survey_strays(&mut self) -> Result<()> {
        if self.strays.is_empty() || self.db.count()? == 0 {
            return Ok(());
        }
        let places = self.strays.iter().map(|node| &self.entry(*node).path).collect();
        let leaving: HashSet<i64> = self.packages.outgoing.iter().map(|outgoing| outgoing.row).collect();
        for (place, named, row) in Links::new(self.db).other_names(&places)? {
            let node = self.strays.iter().find(|node| self.entry(**node).path == place);
            let Some(node) = node.filter(|_| !leaving.contains(&row)) else { continue };
            let package = self.db.record_of(row)?.meta().name.clone();
            let (other_path, other) =
                (self.packages.new_named(self.work.tree.nodes[*node].source), self.package(*node));
            self.findings.retain(|found| !matches!(found, Finding::Unowned { path, .. } if *path == place));
            self.findings.push(Finding::SamePlace { path: named, package, other_path: other_path.clone(), other });
        }
        Ok(())
    }

    /// The files with users and groups are steps like any other: the old ones or the new ones stand, whatever happens.
    fn place_accounts(&mut self, accounts: &Accounts) -> Result<()> {
        for file in accounts.changed() {
            let node = self.staged_node(&file.path);
            let (content, mut attributes) = (file.content(), file.attributes().clone());
            let staging = match (node, &file.brought) {
                (Some((node, staging)), Some(_)) => {
                    let entry = self.entry(node);
                    let grant = self.rights.grant(entry);
                    let xattrs = entry.xattrs.iter().map(|xattr| (xattr.name.clone(), xattr.value.clone())).collect();
                    attributes = Attributes { mode: grant.mode, owner: grant.owner, xattrs };
                    staging
                }
                (None, None) if self.goes(&file.path).is_none() => self.staging_for(&file.path)?,
                _ => {
                    let package = node.map(|(node, _)| self.package(node)).or_else(|| self.goes(&file.path));
                    let package = package.unwrap_or_else(|| self.work.operations[0].name.clone());
                    self.findings.push(Finding::AccountFile { path: file.path.clone(), package });
                    continue;
                }
            };
            self.space.enter(self.root, self.stagings[staging].target.parent())?;
            self.space.add_file(content.len() as u64);
            let content = MadeContent::File { content, attributes };
            self.made.push(Made { path: file.path.clone(), staging, content });
        }
        self.notices.extend(accounts.notices.iter().cloned());
        Ok(())
    }

    /// The node with which a file comes in this transaction, and its staging.
    fn staged_node(&self, path: &PkgPath) -> Option<(usize, usize)> {
        let nodes = &self.work.tree.nodes;
        let node = nodes.binary_search_by(|node| self.packages.entry(node).path.cmp(path)).ok()?;
        match self.fates[node] {
            Fate::Staged(staging) => Some((node, staging)),
            Fate::Stays | Fate::Absent => None,
        }
    }

    /// The package with which a file goes in this transaction.
    fn goes(&self, path: &PkgPath) -> Option<pkgtypes::PackageName> {
        let orphan = self.work.tree.orphans[self.orphans_within(path)].first();
        orphan.map(|at| self.packages.outgoing[at.package].record.meta().name.clone())
    }

    /// The staging of a file that no package has: a new folder around it, or one of its own.
    fn staging_for(&mut self, path: &PkgPath) -> Result<usize> {
        let around = |staging: &Staging| staging.what == What::Tree && path.is_within(&staging.target);
        if let Some(index) = self.stagings.iter().position(around) {
            return Ok(index);
        }
        let mut missing = Vec::new();
        for folder in path.ancestors() {
            if self.root.stat(&folder)?.is_some() {
                break;
            }
            missing.push(folder);
        }
        let Some(top) = missing.last() else {
            self.push_staging(path.clone(), What::Made);
            return Ok(self.stagings.len() - 1);
        };
        self.push_staging(top.clone(), What::Tree);
        let staging = self.stagings.len() - 1;
        let folders = missing.into_iter().rev().map(|path| Made { path, staging, content: MadeContent::Folder });
        self.made.extend(folders);
        Ok(staging)
    }

    /// The mode of a folder that is this user's, and where he may not write only because a package that has it wants that.
    fn shut(&self, path: &PkgPath) -> Result<Option<Mode>> {
        let Some((row, number)) = self.db.owner_except(path, &HashSet::new())? else { return Ok(None) };
        let record = self.db.record_of(row)?;
        let wanted = record.manifest().entries().get(number).map(|entry| self.rights.grant(entry).mode);
        let stat = self.root.stat(path)?.filter(|stat| self.rights.may_set(stat) && Some(stat.mode) == wanted);
        Ok(stat.map(|stat| stat.mode).filter(|mode| step::opened(*mode) != *mode))
    }

    /// Whether names can be made and removed in every folder where that is needed, and be staged there.
    fn check_rights(&mut self) -> Result<()> {
        let targets = self.stagings.iter().map(|staging| &staging.target);
        let steps = self.clear.iter().chain(&self.remove).map(Step::path);
        let folders: BTreeSet<Option<PkgPath>> = targets.clone().chain(steps).map(PkgPath::parent).collect();
        if targets.clone().any(|target| staged_path(target, i64::MAX, usize::MAX).is_err()) {
            let package = self.work.operations[0].name.clone();
            self.findings.push(Finding::TooLarge { package, what: "length of a path" });
        }
        for folder in folders {
            match self.root.may_change(folder.as_ref()).map_err(|error| (error.kind.clone(), error)) {
                // A folder that is made in this transaction, or cleared away in it.
                Ok(()) | Err((DiskError::NotFound | DiskError::WrongType | DiskError::Symlink, _)) => {}
                Err((DiskError::Denied, _)) => match held::denied(self.root, folder) {
                    Finding::Denied { path: Some(path) } => match self.shut(&path)? {
                        Some(mode) => self.shut.push((path, mode)),
                        None => self.findings.push(Finding::Denied { path: Some(path) }),
                    },
                    found => self.findings.push(found),
                },
                Err((DiskError::ReadOnly, _)) => self.findings.push(Finding::ReadOnly { path: folder }),
                Err((_, error)) => return Err(error.into()),
            }
        }
        let places: Vec<Step> = self.stagings.iter().map(|staging| Step::Place(staging.target.clone())).collect();
        for steps in [&self.clear, &places, &self.remove, &self.attributes] {
            held::find(self.root, steps, &mut self.findings)?;
        }
        Ok(())
    }
}

/// Whether what stands there can be what the package put there, by size and time.
fn may_be(old: &Entry, stat: &Stat) -> bool {
    let is_as_large = match &old.kind {
        EntryKind::File { size, .. } => stat.kind == FileKind::File && stat.size == *size,
        EntryKind::Symlink { target } => stat.kind == FileKind::Symlink && stat.size == target.len() as u64,
        _ => return true,
    };
    is_as_large && stat.mtime == old.mtime
}

fn removal(old: &Entry) -> Step {
    match old.kind {
        EntryKind::Dir { .. } => Step::RemoveDir(old.path.clone()),
        _ => Step::Remove(old.path.clone()),
    }
}

/// Puts the steps into the order in which they are done, and tells each staging its number.
fn assemble(
    clear: Vec<Step>,
    stagings: &mut [Staging],
    remove: Vec<Step>,
    (attributes, shut): (Vec<Step>, &[(PkgPath, Mode)]),
) -> Vec<Step> {
    let give = |path: &PkgPath, mode| Step::Attributes { path: path.clone(), mode, owner: None, xattrs: Vec::new() };
    let mut steps: Vec<Step> = shut.iter().map(|(path, mode)| give(path, step::opened(*mode))).collect();
    steps.extend(clear);
    for staging in stagings {
        staging.step = steps.len();
        steps.push(Step::Place(staging.target.clone()));
    }
    steps.extend(remove);
    steps.extend(shut.iter().map(|(path, mode)| give(path, *mode)));
    steps.extend(attributes);
    steps
}

/// Whether what is on the disk is what the entry describes, its owner and time aside.
fn is_same(root: &Root, entry: &Entry, stat: &Stat) -> Result<bool> {
    Ok(match &entry.kind {
        EntryKind::File { mode, size, digest, .. } => {
            stat.kind == FileKind::File
                && (stat.mode, stat.size) == (*mode, *size)
                && digest_of(root, &entry.path)? == *digest
        }
        EntryKind::Symlink { target } => stat.kind == FileKind::Symlink && root.read_link(&entry.path)? == *target,
        EntryKind::Fifo { .. } => stat.kind == FileKind::Fifo,
        EntryKind::Socket { .. } => stat.kind == FileKind::Socket,
        EntryKind::Char { major, minor, .. } => stat.kind == FileKind::Char && stat.rdev == (*major, *minor),
        EntryKind::Block { major, minor, .. } => stat.kind == FileKind::Block && stat.rdev == (*major, *minor),
        EntryKind::Dir { .. } | EntryKind::Hardlink { .. } | EntryKind::Ghost => false,
    })
}
