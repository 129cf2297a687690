-- What the install database of a root has besides package-v1.sql, version 1. A released version of this file is never
-- edited: the next one is install-v2.sql.

-- One package of a name.
CREATE UNIQUE INDEX packages_by_name ON packages (name);

-- On what each package that ever was installed was accepted the last time; the row stays, so that the package can come
-- back. Where the user accepted it himself, only this once, all but `package_id` is null. `signatures` is a signature
-- archive (`PACKAGE.sigs`) with the statements that counted.
CREATE TABLE acceptances (
    package_id BLOB    PRIMARY KEY CHECK (length(package_id) = 32),
    repo       TEXT,
    seq        TEXT,
    statement  BLOB,
    issued     INTEGER,
    expires    INTEGER,
    tier       TEXT,
    owners     TEXT,
    signatures BLOB
) STRICT, WITHOUT ROWID;

-- What the user asked for, and what he did not want though it was recommended.
CREATE TABLE wanted (
    name TEXT    PRIMARY KEY,
    txn  INTEGER NOT NULL REFERENCES transactions (id)
) STRICT, WITHOUT ROWID;

CREATE TABLE refused_recommends (
    name TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

-- Batches of a large change that are still to do.
CREATE TABLE target (
    batch INTEGER NOT NULL,
    spec  TEXT    NOT NULL,
    PRIMARY KEY (batch, spec)
) STRICT, WITHOUT ROWID;

-- Every transaction ever begun. `argv` is the arguments, a NUL after each; `uid` and `user` are who asked for it, where
-- that is known; `milliseconds` is how long it took, where it was not interrupted. What was taken back by the process
-- itself has `failed`, with `reason`; what was taken back after it was interrupted, or by request, has `rolled back`.
-- `kept` is the sum of the sizes of the rows in `kept` with this transaction.
CREATE TABLE transactions (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    started      INTEGER NOT NULL,
    finished     INTEGER,
    milliseconds INTEGER,
    uid          INTEGER,
    user         TEXT,
    argv         BLOB    NOT NULL,
    result       TEXT    NOT NULL CHECK (result IN ('running', 'done', 'recovered', 'failed', 'rolled back')),
    reason       TEXT,
    kept         INTEGER NOT NULL DEFAULT 0
) STRICT;

-- What each transaction did with packages; nothing of those that were taken back. `new_arch` is not in the old columns,
-- because the transaction that brought the package has it.
CREATE TABLE changes (
    txn         INTEGER NOT NULL REFERENCES transactions (id),
    name        TEXT    NOT NULL,
    old_version TEXT,
    old_release INTEGER,
    old_id      BLOB,
    new_version TEXT,
    new_release INTEGER,
    new_id      BLOB,
    new_arch    TEXT,
    PRIMARY KEY (txn, name)
) STRICT, WITHOUT ROWID;

-- What each transaction did with `wanted`: 1 for a name that came to it, 0 for one that went.
CREATE TABLE wishes (
    txn    INTEGER NOT NULL REFERENCES transactions (id),
    name   TEXT    NOT NULL,
    wanted INTEGER NOT NULL CHECK (wanted IN (0, 1)),
    PRIMARY KEY (txn, name)
) STRICT, WITHOUT ROWID;

-- Packages that went, as they stood in `records` and `scripts`. `txn`, here and in `kept`, is the transaction that took the
-- thing away last.
CREATE TABLE past_packages (
    package_id BLOB    PRIMARY KEY CHECK (length(package_id) = 32),
    txn        INTEGER NOT NULL REFERENCES transactions (id),
    record     BLOB    NOT NULL
) STRICT;
CREATE INDEX past_packages_by_txn ON past_packages (txn);

CREATE TABLE past_scripts (
    package_id BLOB NOT NULL REFERENCES past_packages (package_id) ON DELETE CASCADE,
    hash       BLOB NOT NULL CHECK (length(hash) = 32),
    content    BLOB NOT NULL,
    PRIMARY KEY (package_id, hash)
) STRICT, WITHOUT ROWID;

-- Contents of files that went: `hash` is in the file `MADE.N` of var/lib/kista/kept.
CREATE TABLE kept (
    hash BLOB    PRIMARY KEY CHECK (length(hash) = 32),
    made INTEGER NOT NULL,
    n    INTEGER NOT NULL,
    size INTEGER NOT NULL,
    txn  INTEGER NOT NULL REFERENCES transactions (id)
) STRICT, WITHOUT ROWID;
CREATE INDEX kept_by_txn ON kept (txn);

-- Configuration files that the administrator had changed and that survived their package, under the name `saved`.
CREATE TABLE saves (
    txn   INTEGER NOT NULL REFERENCES transactions (id),
    path  BLOB    NOT NULL,
    saved BLOB    NOT NULL,
    PRIMARY KEY (txn, path)
) STRICT, WITHOUT ROWID;

-- How much of the past is kept; null is no bound (see retention.rs). What transactions up to `horizon` took away is
-- forgotten.
CREATE TABLE retention (
    only         INTEGER PRIMARY KEY CHECK (only = 1),
    transactions INTEGER,
    seconds      INTEGER,
    bytes        INTEGER,
    horizon      INTEGER NOT NULL
) STRICT;
INSERT INTO retention VALUES (1, 100, 2592000, 2147483648, 0);

-- The transaction that is under way: at most one row.
CREATE TABLE journal (
    only  INTEGER PRIMARY KEY CHECK (only = 1),
    txn   INTEGER NOT NULL REFERENCES transactions (id),
    state TEXT    NOT NULL CHECK (state IN ('staging', 'committed', 'discarding'))
) STRICT;

-- What it does to the tree, in order (see step.rs for the actions and for the form of `xattrs`).
CREATE TABLE steps (
    n      INTEGER PRIMARY KEY,
    action TEXT    NOT NULL CHECK (action IN ('remove', 'remove-dir', 'place', 'attributes')),
    path   BLOB    NOT NULL,
    mode   INTEGER,
    uid    INTEGER,
    gid    INTEGER,
    xattrs BLOB
) STRICT;

-- Commands of installed packages that run when paths come or go that the pattern fits.
CREATE TABLE triggers (
    package INTEGER NOT NULL REFERENCES packages (id) ON DELETE CASCADE,
    glob    TEXT    NOT NULL,
    command TEXT    NOT NULL,
    PRIMARY KEY (package, glob, command)
) STRICT, WITHOUT ROWID;
CREATE INDEX triggers_by_command ON triggers (command, glob);

-- Scripts and triggers that were decided on and have not succeeded yet; `command` is a trigger's; `arguments` and
-- `environment` as `argv` in `transactions`; `input` is read by the program.
CREATE TABLE pending_scripts (
    txn         INTEGER NOT NULL REFERENCES transactions (id),
    position    INTEGER NOT NULL,
    package     TEXT    NOT NULL,
    stage       TEXT    NOT NULL,
    command     TEXT,
    arguments   BLOB    NOT NULL,
    environment BLOB    NOT NULL,
    input       BLOB    NOT NULL,
    content     BLOB    NOT NULL,
    failure     TEXT,
    PRIMARY KEY (txn, position)
) STRICT;

-- What came of scripts and triggers: `failure` is null where one succeeded, `output` the end of what it said, `took` in
-- milliseconds.
CREATE TABLE script_runs (
    id      INTEGER PRIMARY KEY,
    txn     INTEGER NOT NULL REFERENCES transactions (id),
    package TEXT    NOT NULL,
    stage   TEXT    NOT NULL,
    command TEXT,
    failure TEXT,
    output  BLOB    NOT NULL,
    took    INTEGER NOT NULL
) STRICT;
CREATE INDEX script_runs_by_txn ON script_runs (txn);
