use pkgtypes::Timestamp;
use rusqlite::Connection;

use crate::Installed;
use crate::error::{DbResult as _, Result};

/// How much of the past is kept, so that it can come back. Whatever bound is reached first counts; `None` is no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// This many transactions can be undone, one after the other.
    pub transactions: Option<u64>,
    /// Only those that began less than this many seconds ago.
    pub seconds: Option<i64>,
    /// The contents that are kept for it are not larger than this together.
    pub bytes: Option<u64>,
}

impl Retention {
    /// Nothing is kept.
    pub const NOTHING: Self = Self { transactions: Some(0), seconds: None, bytes: None };
}

/// A hundred transactions of the last thirty days, in at most 2 GiB.
impl Default for Retention {
    fn default() -> Self {
        Self { transactions: Some(100), seconds: Some(30 * 24 * 3600), bytes: Some(2 << 30) }
    }
}

/// What of the past is forgotten.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Forget {
    /// Nothing more.
    #[default]
    Nothing,
    /// What only transactions up to this one took away.
    UpTo(i64),
    /// All, and what the running one takes away as well.
    All,
}

impl Installed {
    /// How much of the past is kept.
    ///
    /// # Errors
    /// The database can not be read.
    pub fn retention(&self) -> Result<Retention> {
        let read = self.conn.query_row("SELECT transactions, seconds, bytes FROM retention", [], |row| {
            Ok(Retention { transactions: row.get(0)?, seconds: row.get(1)?, bytes: row.get(2)? })
        });
        read.during("read how much is kept", &self.conn)
    }

    /// The last transaction that can not be undone any more, because what it took away was forgotten; 0 at first.
    ///
    /// # Errors
    /// The database can not be read.
    pub fn horizon(&self) -> Result<i64> {
        self.conn
            .query_row("SELECT horizon FROM retention", [], |row| row.get(0))
            .during("read the horizon", &self.conn)
    }

    /// How many contents of files that went, and files that gave way, are kept, and how many bytes they have together.
    ///
    /// # Errors
    /// The database can not be read.
    pub fn kept(&self) -> Result<(u64, u64)> {
        let sums = "SELECT count(*), ifnull(sum(size), 0) FROM
                    (SELECT size FROM kept UNION ALL SELECT size FROM displaced WHERE n IS NOT NULL)";
        self.conn.query_row(sums, [], |row| Ok((row.get(0)?, row.get(1)?))).during("read what is kept", &self.conn)
    }

    /// What is forgotten at this time, when `new` bytes come to what is kept.
    pub(crate) fn forgotten(&self, limits: Retention, now: Timestamp, new: Option<u64>) -> Result<Forget> {
        let mut transactions = u64::from(new.is_some());
        let mut bytes = new.unwrap_or(0);
        let exceeds = |transactions: u64, bytes: u64| {
            limits.transactions.is_some_and(|limit| transactions > limit)
                || limits.bytes.is_some_and(|limit| bytes > limit)
        };
        if new.is_some() && exceeds(transactions, bytes) {
            return Ok(Forget::All);
        }
        let oldest = limits.seconds.map(|seconds| now.seconds().saturating_sub(seconds));
        let mut read = || -> rusqlite::Result<Forget> {
            let mut statement = self.conn.prepare_cached(
                "SELECT id, started, kept FROM transactions WHERE id > (SELECT horizon FROM retention)
                 AND EXISTS (SELECT 1 FROM changes WHERE txn = id) ORDER BY id DESC",
            )?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                transactions += 1;
                bytes = bytes.saturating_add(row.get(2)?);
                if exceeds(transactions, bytes)
                    || oldest.is_some_and(|oldest| row.get(1).is_ok_and(|at: i64| at < oldest))
                {
                    return Ok(Forget::UpTo(row.get(0)?));
                }
            }
            Ok(Forget::Nothing)
        };
        read().during("read the history", &self.conn)
    }
}

/// Writes down how much is kept from now on.
pub(crate) fn save(conn: &Connection, limits: Retention) -> rusqlite::Result<()> {
    let Retention { transactions, seconds, bytes } = limits;
    let saturated = |bound: Option<u64>| bound.map(|bound| i64::try_from(bound).unwrap_or(i64::MAX));
    let (transactions, bytes) = (saturated(transactions), saturated(bytes));
    let change = "UPDATE retention SET transactions = ?, seconds = ?, bytes = ?";
    conn.execute(change, (transactions, seconds, bytes)).map(drop)
}
