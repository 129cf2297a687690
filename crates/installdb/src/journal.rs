//! The row that says how far the running transaction is.

use std::time::Duration;

use pkgtypes::Timestamp;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension as _};

use crate::User;
use crate::error::{DbResult as _, Result};

/// How far the transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Things are being staged; the tree is as before.
    Staging,
    /// It is decided: the steps are done, or being done.
    Committed,
    /// It was given up: what was staged is being taken away.
    Discarding,
}

impl State {
    const ALL: [(Self, &'static str); 3] =
        [(Self::Staging, "staging"), (Self::Committed, "committed"), (Self::Discarding, "discarding")];
}

impl ToSql for State {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let (_, name) = Self::ALL.iter().find(|(state, _)| state == self).expect("every state has a name");
        name.to_sql()
    }
}

impl FromSql for State {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let name = value.as_str()?;
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(state, _)| *state).ok_or(FromSqlError::InvalidType)
    }
}

/// How a transaction ended, as history says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// When, and after how long; `None` where there is no clock.
    Done(Option<(Timestamp, Duration)>),
    /// Finished by the next process; when the first one died nobody knows.
    Recovered,
    /// Taken back by its own process, because of this.
    Failed(String),
    RolledBack,
}

/// Begins a transaction: its place in the history, and its row in the journal.
pub(crate) fn begin(conn: &Connection, started: Timestamp, user: Option<&User>, argv: &[u8]) -> Result<i64> {
    let write = || {
        let (uid, name) = (user.map(|user| user.uid), user.and_then(|user| user.name.as_deref()));
        conn.execute(
            "INSERT INTO transactions (started, uid, user, argv, result) VALUES (?, ?, ?, ?, 'running')",
            (started.seconds(), uid, name, argv),
        )?;
        let txn = conn.last_insert_rowid();
        conn.execute("INSERT INTO journal (only, txn, state) VALUES (1, ?, ?)", (txn, State::Staging))?;
        Ok(txn)
    };
    write().during("begin a transaction", conn)
}

pub(crate) fn current(conn: &Connection) -> Result<Option<(i64, State)>> {
    conn.query_row("SELECT txn, state FROM journal", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
        .during("read the journal", conn)
}

pub(crate) fn set_state(conn: &Connection, state: State) -> Result<()> {
    conn.execute("UPDATE journal SET state = ?", [state]).during("write the journal", conn)?;
    Ok(())
}

/// Ends the running transaction: clears the journal and completes the history.
///
/// Nothing waits for the disk here. Where a power cut takes the end back, the steps are done once more, which changes
/// nothing.
pub(crate) fn end(conn: &mut Connection, txn: i64, ending: Ending) -> Result<()> {
    let (result, times, reason) = match ending {
        Ending::Done(times) => ("done", times, None),
        Ending::Recovered => ("recovered", None, None),
        Ending::Failed(reason) => ("failed", None, Some(reason)),
        Ending::RolledBack => ("rolled back", None, None),
    };
    let finished = times.map(|(time, _)| time.seconds());
    let milliseconds = times.map(|(_, taken)| i64::try_from(taken.as_millis()).unwrap_or(i64::MAX));
    let write = || {
        conn.pragma_update(None, "synchronous", "normal")?;
        let change = conn.transaction()?;
        change.execute("DELETE FROM steps", [])?;
        change.execute("DELETE FROM journal", [])?;
        change.execute(
            "UPDATE transactions SET result = ?, finished = ?, milliseconds = ?, reason = ? WHERE id = ?",
            (result, finished, milliseconds, reason, txn),
        )?;
        change.commit()
    };
    let written = write();
    let reset = conn.pragma_update(None, "synchronous", "full");
    written.and(reset).during("end a transaction", conn)
}
