//! The rows of the packages that come.

use pkgtypes::Timestamp;
use rusqlite::Connection;

use crate::Unset;
use crate::request::Arriving;
use crate::rows::{self, PackageRows};
use crate::tree::Node;
use crate::trigger::{self, Watching};
use crate::unset::Missing;

/// What does not depend on the packages' contents, written package by package. Where no package goes and nobody is asked,
/// that is done while the contents are read; else when all is known.
#[derive(Debug)]
pub(crate) struct Arrivals {
    txn: i64,
    time: Timestamp,
    /// What is known that it can not be given, for each package's entries.
    unset: Vec<Vec<Unset>>,
    /// The packages that are written, by their positions.
    rows: Vec<i64>,
    /// Of the packages that were there before.
    triggers: Vec<Watching>,
}

impl Arrivals {
    /// Nothing is written yet. The rows of packages that go are gone.
    pub(crate) fn new(
        conn: &Connection,
        incoming: &[Arriving],
        nodes: &[Node],
        unset: &[Unset],
        txn: i64,
        time: Timestamp,
    ) -> rusqlite::Result<Self> {
        let unset = by_package(incoming, nodes, unset);
        Ok(Self { txn, time, unset, rows: Vec::new(), triggers: trigger::of_installed(conn)? })
    }

    /// Writes the next package; whether there is one.
    pub(crate) fn write_one(&mut self, conn: &Connection, incoming: &[Arriving]) -> rusqlite::Result<bool> {
        let index = self.rows.len();
        let Some(Arriving { record, .. }) = incoming.get(index) else { return Ok(false) };
        let (acceptance, unset) = (record.acceptance(), &self.unset[index]);
        let rows = PackageRows { conn, record, acceptance, unset, txn: self.txn, time: self.time };
        self.rows.push(rows.insert()?);
        Ok(true)
    }

    /// Writes the packages that are not written yet.
    pub(crate) fn write_rest(&mut self, conn: &Connection, incoming: &[Arriving]) -> rusqlite::Result<()> {
        while self.write_one(conn, incoming)? {}
        Ok(())
    }

    /// The row of a package that is written.
    pub(crate) fn row(&self, package: usize) -> i64 {
        self.rows[package]
    }

    /// Adds what turned out that it can not be given, when all packages are written.
    pub(crate) fn add_unset<'a>(
        &self,
        conn: &Connection,
        incoming: &[Arriving],
        nodes: &[Node],
        missing: impl Iterator<Item = &'a Missing>,
    ) -> rusqlite::Result<()> {
        for (node, more) in missing {
            let Node { source, sharers, .. } = &nodes[*node];
            for at in std::iter::once(source).chain(sharers) {
                let entry = &incoming[at.package].record.manifest().entries()[at.entry];
                let unset = self.unset[at.package][at.entry] | *more;
                rows::set_unset(conn, self.rows[at.package], &entry.path, unset)?;
            }
        }
        Ok(())
    }

    /// The triggers of the packages that were there before.
    pub(crate) fn triggers(&self) -> &[Watching] {
        &self.triggers
    }
}

/// What each node can not be given, for each package's entries.
fn by_package(incoming: &[Arriving], nodes: &[Node], unset: &[Unset]) -> Vec<Vec<Unset>> {
    let blank = incoming.iter().map(|incoming| vec![Unset::NOTHING; incoming.record.manifest().entries().len()]);
    let mut all: Vec<Vec<Unset>> = blank.collect();
    for (node, unset) in nodes.iter().zip(unset) {
        for at in std::iter::once(&node.source).chain(&node.sharers) {
            all[at.package][at.entry] = *unset;
        }
    }
    all
}
