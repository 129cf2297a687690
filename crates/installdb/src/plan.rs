use std::collections::BTreeMap;

use pkgtypes::{Arch, Glob, PackageName};

use crate::check::Checked;
use crate::error::{DbResult as _, Result};
use crate::links::Links;
use crate::outgoing::Outgoing;
use crate::relations::After;
use crate::request::{Arriving, Incoming, Request};
use crate::tree::{self, Packages};
use crate::work::Work;
use crate::{Error, Finding, InstallDb, Operation, PackageVersion, Unmet};

/// A transaction of which it is known what it would do. On the disk nothing but symbolic links was looked at yet.
#[derive(Debug)]
#[must_use = "a plan does nothing until it is checked, staged and committed"]
pub struct Plan<'db, 'p> {
    db: &'db mut InstallDb,
    work: Work<'p>,
    findings: Vec<Finding>,
    unmet: Vec<Unmet>,
}

impl InstallDb {
    /// Says what a change amounts to.
    ///
    /// # Errors
    /// A package to be removed is not installed; a name stands in the request twice; batches of an earlier change are
    /// still to do.
    pub fn plan<'db, 'p>(&'db mut self, request: Request<'p>) -> Result<Plan<'db, 'p>> {
        let reading = self.read_at_once()?;
        self.refuse_unfinished()?;
        let Request { install, remove, wishes, ground, retention, forget, time, argv, user, options } = request;
        refuse_repetition(&install, &remove)?;
        let mut outgoing = Vec::new();
        for incoming in &install {
            outgoing.extend(Outgoing::load(self, &incoming.record().meta().name)?);
        }
        for name in &remove {
            let known = Outgoing::load(self, name)?;
            outgoing.push(known.ok_or_else(|| Error::NotInstalled { name: name.clone() })?);
        }
        let (mut incoming, contents): (Vec<_>, Vec<_>) = install.into_iter().map(Incoming::into_parts).unzip();
        let mut links = Links::new(self);
        for Arriving { record, standing, .. } in &mut incoming {
            *standing = links.standing(record)?;
        }
        for Outgoing { record, standing, .. } in &mut outgoing {
            *standing = links.standing(record)?;
        }
        let links = links.into_found();
        let mut findings = Vec::new();
        let tree = tree::plan(self, Packages { incoming: &incoming, outgoing: &outgoing }, &mut findings)?;
        let unmet = match options.ignore_relations {
            true => Vec::new(),
            false => After::new(&self.conn, &incoming, &outgoing).check()?,
        };
        let operations = operations(&incoming, &outgoing);
        let work = Work {
            incoming,
            contents,
            outgoing,
            removed: remove,
            wishes,
            ground,
            retention,
            forget,
            operations,
            tree,
            links,
            time,
            argv,
            user,
            options,
        };
        refuse_foreign_arches(&work, &mut findings);
        refuse_what_can_not_be_done(&work, &mut findings);
        drop(reading);
        Ok(Plan { db: self, work, findings, unmet })
    }

    pub(crate) fn refuse_unfinished(&self) -> Result<()> {
        let count = self.conn.query_row("SELECT count(DISTINCT batch) FROM target", [], |row| row.get(0));
        match count.during("read the batches", &self.conn)? {
            0 => Ok(()),
            batches => Err(Error::Unfinished { batches }),
        }
    }
}

fn refuse_repetition(install: &[Incoming<'_>], remove: &[PackageName]) -> Result<()> {
    let mut names: Vec<&PackageName> = install.iter().map(|incoming| &incoming.record().meta().name).collect();
    names.extend(remove);
    names.sort();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        None => Ok(()),
        Some(pair) => Err(Error::Twice { name: pair[0].clone() }),
    }
}

fn operations(incoming: &[Arriving], outgoing: &[Outgoing]) -> Vec<Operation> {
    let mut operations = BTreeMap::new();
    let blank = |name: &PackageName| Operation { name: name.clone(), old: None, new: None };
    for record in outgoing.iter().map(|outgoing| &outgoing.record) {
        let name = &record.meta().name;
        operations.entry(name.clone()).or_insert_with(|| blank(name)).old = Some(PackageVersion::from(record));
    }
    for record in incoming.iter().map(|incoming| &*incoming.record) {
        let name = &record.meta().name;
        operations.entry(name.clone()).or_insert_with(|| blank(name)).new = Some(PackageVersion::from(record));
    }
    operations.into_values().collect()
}

fn refuse_foreign_arches(work: &Work<'_>, findings: &mut Vec<Finding>) {
    let host = Arch::host();
    let metas = work.incoming.iter().map(|incoming| incoming.record.meta());
    for meta in metas.filter(|meta| !work.options.foreign_arch && !meta.arch.runs_on(&host)) {
        findings.push(Finding::ForeignArch { package: meta.name.clone(), arch: meta.arch.clone() });
    }
}

/// What a package asks for and can not be done is a reason not to begin.
fn refuse_what_can_not_be_done(work: &Work<'_>, findings: &mut Vec<Finding>) {
    for meta in work.incoming.iter().map(|incoming| incoming.record.meta()) {
        let package = || meta.name.clone();
        if i64::try_from(meta.release.0).is_err() {
            findings.push(Finding::TooLarge { package: package(), what: "release" });
        }
        for trigger in meta.triggers.iter().filter(|_| !work.options.skip_scripts) {
            if let Err(error) = Glob::new(&trigger.glob) {
                let (glob, reason) = (trigger.glob.clone(), error.reason);
                findings.push(Finding::BadTrigger { package: package(), glob, reason });
            }
        }
    }
}

impl<'db, 'p> Plan<'db, 'p> {
    /// What it does with each package, sorted by name.
    pub fn operations(&self) -> &[Operation] {
        &self.work.operations
    }

    /// Reasons not to begin that are known without a look at the disk.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Relations between packages that would not hold.
    pub fn unmet(&self) -> &[Unmet] {
        &self.unmet
    }

    /// Looks at the disk: whether everything can be put where it belongs.
    ///
    /// # Errors
    /// [`Error::Unmet`], or [`Error::Refused`] with every reason found; nothing was changed.
    pub fn check(self) -> Result<Checked<'db, 'p>> {
        let Self { db, work, findings, unmet } = self;
        if !unmet.is_empty() {
            return Err(Error::Unmet(unmet));
        }
        Checked::new(db, work, findings)
    }
}
