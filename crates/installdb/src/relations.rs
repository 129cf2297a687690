//! Whether the installed packages would fit together. No search: what is asked for fits, or does not.

use std::collections::BTreeSet;

use pkgformat::PackageMeta;
use pkgtypes::{PackageName, Relation, Requirement};
use rusqlite::Connection;

use crate::error::{DbResult as _, Result};
use crate::outgoing::Outgoing;
use crate::request::Arriving;
use crate::{Error, Unmet};

/// The packages after a transaction, as far as it can break anything.
pub(crate) struct After<'a> {
    conn: &'a Connection,
    incoming: Vec<&'a PackageMeta>,
    paths: &'a [Arriving],
    outgoing: &'a [Outgoing],
}

impl<'a> After<'a> {
    pub(crate) fn new(conn: &'a Connection, incoming: &'a [Arriving], outgoing: &'a [Outgoing]) -> Self {
        let metas = incoming.iter().map(|incoming| incoming.record.meta()).collect();
        Self { conn, incoming: metas, paths: incoming, outgoing }
    }

    /// What would not hold. Only what the transaction touches is looked at, so packages that do not fit together
    /// already are in nobody's way.
    pub(crate) fn check(&self) -> Result<Vec<Unmet>> {
        let mut unmet = Vec::new();
        for meta in &self.incoming {
            self.check_requirements(meta, &mut unmet)?;
            self.check_exclusions(meta, &mut unmet)?;
        }
        self.check_staying(&mut unmet)?;
        Ok(unmet)
    }

    fn check_requirements(&self, meta: &PackageMeta, unmet: &mut Vec<Unmet>) -> Result<()> {
        let tied = meta.tied.iter().cloned().map(Requirement::from);
        for requirement in meta.requires.iter().cloned().chain(tied) {
            if !self.is_met(&requirement)? {
                unmet.push(Unmet::Requirement { package: meta.name.clone(), requirement });
            }
        }
        Ok(())
    }

    /// What the incoming package excludes or takes the place of, among the other incoming ones and those that stay.
    fn check_exclusions(&self, meta: &PackageMeta, unmet: &mut Vec<Unmet>) -> Result<()> {
        for relation in &meta.conflicts {
            for other in self.matching(relation)? {
                if other != meta.name {
                    unmet.push(Unmet::Conflict { package: meta.name.clone(), relation: relation.clone(), other });
                }
            }
        }
        for relation in &meta.obsoletes {
            for other in self.named(relation)? {
                if other != meta.name {
                    unmet.push(Unmet::Obsolete { package: meta.name.clone(), other });
                }
            }
        }
        Ok(())
    }

    /// What packages that stay require of those that go, and exclude of those that come.
    fn check_staying(&self, unmet: &mut Vec<Unmet>) -> Result<()> {
        let requiring = "SELECT packages.id, packages.name, requires.requirement FROM requires
                         JOIN packages ON packages.id = requires.package WHERE requires.label = ?";
        let excluding = "SELECT packages.id, packages.name, conflicts.relation FROM conflicts
                         JOIN packages ON packages.id = conflicts.package WHERE conflicts.label = ?";
        let mut seen = BTreeSet::new();
        for label in self.lost_labels()? {
            for (package, text) in self.staying_rows(requiring, &label)? {
                let requirement: Requirement = self.parse(&text)?;
                if !self.is_met(&requirement)? && seen.insert((package.clone(), text)) {
                    unmet.push(Unmet::Requirement { package, requirement });
                }
            }
        }
        for label in self.incoming.iter().flat_map(|meta| labels(meta)).collect::<BTreeSet<_>>() {
            for (package, text) in self.staying_rows(excluding, &label)? {
                let relation: Relation = self.parse(&text)?;
                let excluded = self.incoming.iter().filter(|meta| meta.name != package && offers(meta, &relation));
                unmet.extend(excluded.map(|meta| Unmet::Conflict {
                    package: package.clone(),
                    relation: relation.clone(),
                    other: meta.name.clone(),
                }));
            }
        }
        Ok(())
    }

    /// What the outgoing packages offered; with them go their paths, so every requirement of a path is looked at.
    fn lost_labels(&self) -> Result<BTreeSet<String>> {
        let mut lost: BTreeSet<String> =
            self.outgoing.iter().flat_map(|outgoing| labels(outgoing.record.meta())).collect();
        if !lost.is_empty() {
            let read = || -> rusqlite::Result<Vec<String>> {
                let mut statement = self
                    .conn
                    .prepare_cached("SELECT DISTINCT label FROM requires WHERE label >= 'file:' AND label < 'file;'")?;
                statement.query_map([], |row| row.get(0))?.collect()
            };
            lost.extend(read().during("read the requirements", self.conn)?);
        }
        Ok(lost)
    }

    /// Rows (package row, name, text) of packages that stay.
    fn staying_rows(&self, query: &str, label: &str) -> Result<Vec<(PackageName, String)>> {
        let read = || -> rusqlite::Result<Vec<(i64, String, String)>> {
            let mut statement = self.conn.prepare_cached(query)?;
            statement.query_map([label], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
        };
        let rows = read().during("read the relations", self.conn)?;
        let staying = rows.into_iter().filter(|(row, ..)| !self.is_leaving(*row));
        staying.map(|(_, name, text)| Ok((self.parse(&name)?, text))).collect()
    }

    fn is_leaving(&self, row: i64) -> bool {
        self.outgoing.iter().any(|outgoing| outgoing.row == row)
    }

    fn parse<T: std::str::FromStr<Err = pkgtypes::ParseError>>(&self, text: &str) -> Result<T> {
        text.parse().map_err(|error| Error::damaged(self.conn, error))
    }

    fn is_met(&self, requirement: &Requirement) -> Result<bool> {
        for relation in requirement.alternatives() {
            if !self.matching(relation)?.is_empty() || self.has_path(relation)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The packages that are there afterwards and are, or offer, this.
    fn matching(&self, relation: &Relation) -> Result<Vec<PackageName>> {
        let mut found = self.named(relation)?;
        found.extend(self.incoming.iter().filter(|meta| provides(meta, relation)).map(|meta| meta.name.clone()));
        let query = "SELECT packages.id, packages.name, provides.relation FROM provides
                     JOIN packages ON packages.id = provides.package WHERE provides.label = ?";
        for (package, text) in self.staying_rows(query, relation.capability.as_str())? {
            if relation.satisfied_by(&self.parse(&text)?) {
                found.push(package);
            }
        }
        Ok(found)
    }

    /// The packages that are there afterwards and are this by name.
    fn named(&self, relation: &Relation) -> Result<Vec<PackageName>> {
        let coming = self.incoming.iter().filter(|meta| is(meta, relation));
        let mut found: Vec<PackageName> = coming.map(|meta| meta.name.clone()).collect();
        let query = "SELECT id, name, version || '-' || release FROM packages WHERE name = ?";
        for (package, text) in self.staying_rows(query, relation.capability.as_str())? {
            let full: pkgtypes::FullVersion = self.parse(&text)?;
            if relation.accepts(&package, &full.version, full.release.unwrap_or_default()) {
                found.push(package);
            }
        }
        Ok(found)
    }

    /// Whether `file:/path` is a path of a package that is there afterwards.
    fn has_path(&self, relation: &Relation) -> Result<bool> {
        let Some(("file", path)) = relation.capability.label() else { return Ok(false) };
        let Some(Ok(path)) = path.strip_prefix('/').map(|path| pkgtypes::PkgPath::new(path.as_bytes())) else {
            return Ok(false);
        };
        if self.paths.iter().any(|incoming| incoming.record.manifest().find(&path).is_some()) {
            return Ok(true);
        }
        let read = || -> rusqlite::Result<Vec<i64>> {
            let mut statement = self.conn.prepare_cached("SELECT package FROM paths WHERE path = ?")?;
            statement.query_map([path.as_bytes()], |row| row.get(0))?.collect()
        };
        Ok(read().during("read the paths", self.conn)?.into_iter().any(|row| !self.is_leaving(row)))
    }
}

fn is(meta: &PackageMeta, relation: &Relation) -> bool {
    relation.accepts(&meta.name, &meta.version, meta.release)
}

fn provides(meta: &PackageMeta, relation: &Relation) -> bool {
    meta.provides.iter().any(|offer| relation.satisfied_by(offer))
}

fn offers(meta: &PackageMeta, relation: &Relation) -> bool {
    is(meta, relation) || provides(meta, relation)
}

/// A package's name and the capabilities that it offers.
fn labels(meta: &PackageMeta) -> impl Iterator<Item = String> + '_ {
    let offers = meta.provides.iter().map(|offer| offer.capability.as_str().to_owned());
    std::iter::once(meta.name.as_str().to_owned()).chain(offers)
}
