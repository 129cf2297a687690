//! Questions about what was.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pkgtypes::{Arch, PackageId, PackageName, Release, Timestamp, Version};
use rusqlite::types::ValueRef;
use rusqlite::{OptionalExtension as _, Row};

use crate::column::{digest_column, word_column};
use crate::error::{DbResult as _, Result};
use crate::words::split;
use crate::{Error, Installed, Operation, PackageVersion, User, journal};

/// A transaction of the past.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transaction {
    /// Its number.
    pub id: i64,
    /// When it began.
    pub started: Timestamp,
    /// When everything was in its place; `None` where it was interrupted or taken back.
    pub finished: Option<Timestamp>,
    /// How long that took, without the scripts that come after the change.
    pub duration: Option<Duration>,
    /// Who asked for it.
    pub user: Option<User>,
    /// The command that asked for it.
    pub argv: Vec<Vec<u8>>,
    /// How it ended: `done`; `recovered` by the next process, after it was decided and interrupted; `failed` and taken back
    /// by its own process; `rolled back` after it was interrupted, or by request; `running` while it goes on.
    pub result: String,
    /// Why it failed.
    pub reason: Option<String>,
    /// What it did with packages, sorted by name; nothing where it was taken back.
    pub changes: Vec<Operation>,
    /// What it did with the names that the user asked for, sorted.
    pub wishes: Vec<Wish>,
}

/// That a name came to those that the user asked for, or went from them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// The name.
    pub name: PackageName,
    /// Whether it came.
    pub wanted: bool,
}

/// A package as it was installed after some transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PastPackage {
    /// Its name.
    pub name: PackageName,
    /// Epoch and upstream version.
    pub version: Version,
    /// The packager's count for it.
    pub release: Release,
    /// The machines it is for.
    pub arch: Arch,
    /// Its content.
    pub id: PackageId,
    /// Whether the user had asked for it.
    pub wanted: bool,
    /// The transaction that had installed it.
    pub txn: i64,
}

/// The columns of a [`Transaction`] without its changes.
const TRANSACTION: &str = "id, started, finished, milliseconds, uid, user, argv, result, reason FROM transactions";

impl Transaction {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let name: Option<String> = row.get(5)?;
        Ok(Self {
            id: row.get(0)?,
            started: Timestamp::from_seconds(row.get(1)?),
            finished: row.get::<_, Option<i64>>(2)?.map(Timestamp::from_seconds),
            duration: row.get::<_, Option<u64>>(3)?.map(Duration::from_millis),
            user: row.get::<_, Option<u32>>(4)?.map(|uid| User { uid, name }),
            argv: split(row.get_ref(6)?.as_blob()?),
            result: row.get(7)?,
            reason: row.get(8)?,
            changes: Vec::new(),
            wishes: Vec::new(),
        })
    }
}

impl Installed {
    /// The transaction that another process carries out just now, or that was interrupted.
    ///
    /// # Errors
    /// The database can not be read.
    pub fn unfinished(&self) -> Result<Option<i64>> {
        Ok(journal::current(&self.conn)?.map(|(txn, _)| txn))
    }

    /// All transactions, the first one first.
    ///
    /// # Errors
    /// The database can not be read.
    pub fn history(&self) -> Result<Vec<Transaction>> {
        let read = || -> rusqlite::Result<Vec<Transaction>> {
            let mut statement = self.conn.prepare(&format!("SELECT {TRANSACTION} ORDER BY id"))?;
            let transactions = statement.query_map([], Transaction::from_row)?;
            transactions.map(|transaction| self.with_changes(transaction?)).collect()
        };
        read().during("read the history", &self.conn)
    }

    /// One transaction.
    ///
    /// # Errors
    /// [`Error::NoTransaction`]; the database can not be read.
    pub fn transaction(&self, txn: i64) -> Result<Transaction> {
        let read = || {
            let mut statement = self.conn.prepare_cached(&format!("SELECT {TRANSACTION} WHERE id = ?"))?;
            let known = statement.query_row([txn], Transaction::from_row).optional()?;
            known.map(|transaction| self.with_changes(transaction)).transpose()
        };
        read().during("read the history", &self.conn)?.ok_or(Error::NoTransaction { txn })
    }

    /// The packages as they were after a transaction (0: before the first one) whose names fit one of the patterns (`*`,
    /// `?`, `[..]`), or all of them where there is no pattern; sorted by name.
    ///
    /// # Errors
    /// [`Error::NoTransaction`]; the database can not be read.
    pub fn packages_at(&self, txn: i64, patterns: &[&str]) -> Result<Vec<PastPackage>> {
        self.expect_transaction(txn)?;
        let wanted: BTreeSet<PackageName> = self.wanted_at(txn)?.into_iter().collect();
        let fits = vec!["name GLOB ?"; patterns.len()].join(" OR ");
        let filter = if patterns.is_empty() { "1".to_owned() } else { fits };
        let read = || -> rusqlite::Result<Vec<PastPackage>> {
            // Of a group, sqlite takes all columns from the row that has the maximum.
            let mut statement = self.conn.prepare(&format!(
                "SELECT name, new_version, new_release, new_arch, new_id, max(txn) FROM changes
                 WHERE ({filter}) AND txn <= ? GROUP BY name HAVING new_id IS NOT NULL ORDER BY name",
            ))?;
            let parameters = patterns.iter().map(|pattern| pattern as &dyn rusqlite::ToSql);
            let parameters: Vec<_> = parameters.chain([&txn as &dyn rusqlite::ToSql]).collect();
            let packages = statement.query_map(&parameters[..], |row| {
                let name: PackageName = word_column(row, 0)?;
                Ok(PastPackage {
                    version: word_column(row, 1)?,
                    release: Release(row.get(2)?),
                    arch: word_column(row, 3)?,
                    id: PackageId::new(digest_column(row, 4)?),
                    wanted: wanted.contains(&name),
                    txn: row.get(5)?,
                    name,
                })
            })?;
            packages.collect()
        };
        read().during("read the history", &self.conn)
    }

    /// The names that the user had asked for after a transaction (0: before the first one), sorted.
    ///
    /// # Errors
    /// [`Error::NoTransaction`]; the database can not be read.
    pub fn wanted_at(&self, txn: i64) -> Result<Vec<PackageName>> {
        self.expect_transaction(txn)?;
        let read = || -> rusqlite::Result<Vec<PackageName>> {
            let mut statement = self.conn.prepare_cached(
                "SELECT name, wanted, max(txn) FROM wishes WHERE txn <= ? GROUP BY name HAVING wanted ORDER BY name",
            )?;
            statement.query_map([txn], |row| word_column(row, 0))?.collect()
        };
        read().during("read the history", &self.conn)
    }

    /// In which packages the state after one transaction differs from the state after another: from the first to the
    /// second, sorted by name.
    ///
    /// # Errors
    /// [`Error::NoTransaction`]; the database can not be read.
    pub fn changes_between(&self, from: i64, to: i64) -> Result<Vec<Operation>> {
        let mut changes: BTreeMap<PackageName, [Option<PackageVersion>; 2]> = BTreeMap::new();
        for (side, txn) in [from, to].into_iter().enumerate() {
            for PastPackage { name, version, release, id, .. } in self.packages_at(txn, &[])? {
                changes.entry(name).or_default()[side] = Some(PackageVersion { version, release, id });
            }
        }
        let changed = changes.into_iter().filter(|(_, [old, new])| old != new);
        Ok(changed.map(|(name, [old, new])| Operation { name, old, new }).collect())
    }

    fn expect_transaction(&self, txn: i64) -> Result<()> {
        let read = || self.conn.prepare_cached("SELECT 1 FROM transactions WHERE id = ?")?.exists([txn]);
        match txn == 0 || read().during("read the history", &self.conn)? {
            true => Ok(()),
            false => Err(Error::NoTransaction { txn }),
        }
    }

    fn with_changes(&self, transaction: Transaction) -> rusqlite::Result<Transaction> {
        let (changes, wishes) = (self.changes(transaction.id)?, self.wishes(transaction.id)?);
        Ok(Transaction { changes, wishes, ..transaction })
    }

    fn changes(&self, txn: i64) -> rusqlite::Result<Vec<Operation>> {
        let mut statement = self.conn.prepare_cached(
            "SELECT name, old_version, old_release, old_id, new_version, new_release, new_id FROM changes
             WHERE txn = ? ORDER BY name",
        )?;
        let changes = statement.query_map([txn], |row| {
            Ok(Operation { name: word_column(row, 0)?, old: version(row, 1)?, new: version(row, 4)? })
        })?;
        changes.collect()
    }

    fn wishes(&self, txn: i64) -> rusqlite::Result<Vec<Wish>> {
        let mut statement = self.conn.prepare_cached("SELECT name, wanted FROM wishes WHERE txn = ? ORDER BY name")?;
        statement.query_map([txn], |row| Ok(Wish { name: word_column(row, 0)?, wanted: row.get(1)? }))?.collect()
    }
}

/// Three columns that are all null where there was no package.
fn version(row: &Row<'_>, first: usize) -> rusqlite::Result<Option<PackageVersion>> {
    if row.get_ref(first)? == ValueRef::Null {
        return Ok(None);
    }
    Ok(Some(PackageVersion {
        version: word_column(row, first)?,
        release: Release(row.get(first + 1)?),
        id: PackageId::new(digest_column(row, first + 2)?),
    }))
}
