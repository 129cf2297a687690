//! What brings packages back to what they were.

use std::collections::{BTreeMap, BTreeSet};

use pkgformat::Reader;
use pkgtypes::{PackageId, PackageName, Timestamp};

use crate::error::{DbResult as _, Result};
use crate::{Error, Finding, Ground, Installed, Operation, PackageVersion, PastPackage, Request, Source, Wish};

/// What brings packages back to what they were: as one change, that a [`Request`](crate::Request) asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reversal {
    /// What becomes of packages, sorted by name.
    pub operations: Vec<Operation>,
    /// What becomes of the names that the user asked for, sorted.
    pub wishes: Vec<Wish>,
    /// What comes back, or gives way again, beside packages.
    pub ground: Ground,
}

impl Reversal {
    /// Whether everything is as it was.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty() && self.wishes.is_empty() && self.ground.is_empty()
    }

    /// The request for this change. `file` is asked for packages that come back; where it has none, what was kept and what
    /// is installed has to do.
    ///
    /// # Errors
    /// [`Error::Refused`] where nothing is known any more of a package; the database can not be read.
    pub fn request<'p>(
        self,
        db: &Installed,
        time: Timestamp,
        mut file: impl FnMut(&PackageName, PackageId) -> Option<Reader<Source<'p>>>,
    ) -> Result<Request<'p>> {
        let mut request = Request { wishes: self.wishes, ground: self.ground, ..Request::new(time) };
        let mut findings = Vec::new();
        for Operation { name, new, .. } in self.operations {
            let Some(PackageVersion { id, .. }) = new else {
                request.remove.push(name);
                continue;
            };
            let incoming = match file(&name, id).filter(|reader| reader.package().id() == id) {
                Some(reader) => db.past_package_from(reader)?,
                None => db.past_package(id)?,
            };
            match incoming {
                Some(incoming) => request.install.push(incoming),
                None => findings.push(Finding::NotKept { package: name, path: None, more: 0, keeper: None }),
            }
        }
        if findings.is_empty() { Ok(request) } else { Err(Error::Refused(findings)) }
    }

    /// Leaves packages as they are.
    pub fn leave(&mut self, names: &BTreeSet<PackageName>) {
        self.operations.retain(|operation| !names.contains(&operation.name));
        self.wishes.retain(|wish| !names.contains(&wish.name));
    }
}

impl Installed {
    /// The last transaction that changed something.
    ///
    /// # Errors
    /// The database can not be read.
    pub fn last_change(&self) -> Result<Option<i64>> {
        let query = "SELECT max(txn) FROM (SELECT max(txn) AS txn FROM changes UNION ALL SELECT max(txn) FROM wishes)";
        self.conn.query_row(query, [], |row| row.get(0)).during("read the history", &self.conn)
    }

    /// What takes one transaction back, whatever came after it.
    ///
    /// # Errors
    /// [`Error::NoTransaction`]; [`Error::NoPackages`] where it changed something else; [`Error::ChangedSince`] where a
    /// package is not as that transaction left it; the database can not be read.
    pub fn reversal_of(&self, txn: i64) -> Result<Reversal> {
        let transaction = self.transaction(txn)?;
        let is_over = matches!(&*transaction.result, "done" | "recovered");
        if is_over && transaction.changes.is_empty() && transaction.wishes.is_empty() {
            return Err(Error::NoPackages { txn });
        }
        let mut reversal = Reversal::default();
        for Operation { name, old, new } in transaction.changes {
            let now = self.version_of(&name)?;
            if now.as_ref().map(|now| now.id) != new.as_ref().map(|new| new.id) {
                return Err(Error::ChangedSince { later: self.last_change_of(&name)?, txn, name });
            }
            reversal.add(name, now, old);
        }
        let wanted: BTreeSet<PackageName> = self.wanted()?.into_iter().collect();
        let undone = transaction.wishes.into_iter().filter(|wish| wanted.contains(&wish.name) == wish.wanted);
        reversal.wishes = undone.map(|wish| Wish { wanted: !wish.wanted, ..wish }).collect();
        reversal.ground = self.ground_of(txn)?;
        Ok(reversal)
    }

    /// What brings everything back to what it was after a transaction (0: before the first).
    ///
    /// # Errors
    /// [`Error::NoTransaction`]; the database can not be read.
    pub fn reversal_to(&self, txn: i64) -> Result<Reversal> {
        let mut then: BTreeMap<PackageName, PackageVersion> = BTreeMap::new();
        for PastPackage { name, version, release, id, .. } in self.packages_at(txn, &[])? {
            then.insert(name, PackageVersion { version, release, id });
        }
        let mut reversal = Reversal::default();
        for package in self.list(&[])? {
            let now = PackageVersion { version: package.version, release: package.release, id: package.id };
            let old = then.remove(&package.name);
            reversal.add(package.name, Some(now), old);
        }
        for (name, old) in then {
            reversal.add(name, None, Some(old));
        }
        reversal.operations.sort_by(|a, b| a.name.cmp(&b.name));
        let wanted_then: BTreeSet<PackageName> = self.wanted_at(txn)?.into_iter().collect();
        let wanted_now: BTreeSet<PackageName> = self.wanted()?.into_iter().collect();
        let differing = wanted_then.symmetric_difference(&wanted_now);
        reversal.wishes =
            differing.map(|name| Wish { name: name.clone(), wanted: wanted_then.contains(name) }).collect();
        reversal.ground = self.ground_after(txn)?;
        Ok(reversal)
    }

    fn version_of(&self, name: &PackageName) -> Result<Option<PackageVersion>> {
        let package = self.package(name)?;
        Ok(package.map(|known| PackageVersion { version: known.version, release: known.release, id: known.id }))
    }

    fn last_change_of(&self, name: &PackageName) -> Result<i64> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT max(txn) FROM changes WHERE name = ?")
            .during("read the history", &self.conn)?;
        statement.query_row([name.as_str()], |row| row.get(0)).during("read the history", &self.conn)
    }
}

impl Reversal {
    fn add(&mut self, name: PackageName, now: Option<PackageVersion>, then: Option<PackageVersion>) {
        if now.as_ref().map(|now| now.id) != then.as_ref().map(|then| then.id) {
            self.operations.push(Operation { name, old: now, new: then });
        }
    }
}
