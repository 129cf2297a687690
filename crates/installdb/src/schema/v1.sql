-- The install database of one root, version 1. A released version of this file is never edited: the next one is v2.sql.

-- One row per installed package: what questions ask for. The rest stands in `records`.
CREATE TABLE packages (
    id             INTEGER PRIMARY KEY,
    name           TEXT    NOT NULL UNIQUE,
    subpackage     TEXT,
    version        TEXT    NOT NULL,
    release        INTEGER NOT NULL,
    architecture   TEXT    NOT NULL,
    description    TEXT    NOT NULL,
    url            TEXT,
    licenses       TEXT    NOT NULL,
    build_date     INTEGER,
    install_date   INTEGER NOT NULL,
    installed_size INTEGER NOT NULL,
    package_id     BLOB    NOT NULL CHECK (length(package_id) = 32),
    txn            INTEGER NOT NULL REFERENCES transactions (id)
) STRICT;

-- The package record as it stood in the package: metadata and manifest, byte for byte.
CREATE TABLE records (
    package INTEGER PRIMARY KEY REFERENCES packages (id) ON DELETE CASCADE,
    record  BLOB NOT NULL
) STRICT;

-- Which package owns which path. `entry` is the position in the package's manifest, where type, mode, owner and digest
-- stand; `unset` are the properties that the installing user could not give it (bits: see unset.rs). No foreign key on
-- `package`: without an index of its own it would cost a look at every row whenever a package goes.
CREATE TABLE paths (
    path     BLOB    NOT NULL,
    package  INTEGER NOT NULL,
    entry    INTEGER NOT NULL,
    filetype TEXT,
    unset    INTEGER NOT NULL,
    PRIMARY KEY (path, package)
) STRICT, WITHOUT ROWID;

CREATE VIEW packagefiles AS
    SELECT packages.name AS package, packages.subpackage AS subpackage, paths.path AS path, paths.filetype AS filetype
    FROM paths JOIN packages ON packages.id = paths.package;

CREATE TABLE libraries (
    package INTEGER NOT NULL REFERENCES packages (id) ON DELETE CASCADE,
    soname  TEXT    NOT NULL,
    path    BLOB    NOT NULL,
    PRIMARY KEY (package, soname, path)
) STRICT, WITHOUT ROWID;
CREATE INDEX libraries_by_soname ON libraries (soname);

CREATE TABLE librarydeps (
    package INTEGER NOT NULL REFERENCES packages (id) ON DELETE CASCADE,
    soname  TEXT    NOT NULL,
    path    BLOB    NOT NULL,
    PRIMARY KEY (package, soname, path)
) STRICT, WITHOUT ROWID;
CREATE INDEX librarydeps_by_soname ON librarydeps (soname);

CREATE TABLE scripts (
    package INTEGER NOT NULL REFERENCES packages (id) ON DELETE CASCADE,
    stage   TEXT    NOT NULL,
    hash    BLOB    NOT NULL CHECK (length(hash) = 32),
    content BLOB    NOT NULL,
    PRIMARY KEY (package, stage)
) STRICT, WITHOUT ROWID;

-- What a package offers beyond its own name.
CREATE TABLE provides (
    package  INTEGER NOT NULL REFERENCES packages (id) ON DELETE CASCADE,
    label    TEXT    NOT NULL,
    relation TEXT    NOT NULL,
    PRIMARY KEY (package, relation)
) STRICT, WITHOUT ROWID;
CREATE INDEX provides_by_label ON provides (label);

-- One row per alternative of a requirement; `label` is the capability alone.
CREATE TABLE requires (
    package     INTEGER NOT NULL REFERENCES packages (id) ON DELETE CASCADE,
    label       TEXT    NOT NULL,
    requirement TEXT    NOT NULL,
    PRIMARY KEY (package, requirement, label)
) STRICT, WITHOUT ROWID;
CREATE INDEX requires_by_label ON requires (label);

CREATE TABLE conflicts (
    package  INTEGER NOT NULL REFERENCES packages (id) ON DELETE CASCADE,
    label    TEXT    NOT NULL,
    relation TEXT    NOT NULL,
    PRIMARY KEY (package, relation)
) STRICT, WITHOUT ROWID;
CREATE INDEX conflicts_by_label ON conflicts (label);

-- Requirements on packages by name; the other labels are `prefix:text`.
CREATE VIEW packagedeps AS
    SELECT packages.name AS package, packages.subpackage AS subpackage, requires.label AS requires,
           requires.requirement AS requirement
    FROM requires JOIN packages ON packages.id = requires.package WHERE instr(requires.label, ':') = 0;

CREATE TABLE packagegroups (
    package INTEGER NOT NULL REFERENCES packages (id) ON DELETE CASCADE,
    "group" TEXT    NOT NULL,
    PRIMARY KEY (package, "group")
) STRICT, WITHOUT ROWID;
CREATE INDEX packagegroups_by_group ON packagegroups ("group");

-- On what the package was accepted. Where the user accepted it himself, only this once, all but `package` is null.
CREATE TABLE acceptances (
    package   INTEGER PRIMARY KEY REFERENCES packages (id) ON DELETE CASCADE,
    repo      TEXT,
    seq       TEXT,
    statement BLOB,
    issued    INTEGER,
    expires   INTEGER,
    tier      TEXT,
    owners    TEXT
) STRICT;

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

-- Every transaction ever begun. `argv` is the arguments, a NUL after each.
CREATE TABLE transactions (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    started  INTEGER NOT NULL,
    finished INTEGER,
    argv     BLOB    NOT NULL,
    result   TEXT    NOT NULL CHECK (result IN ('running', 'done', 'recovered', 'rolled back'))
) STRICT;

CREATE TABLE changes (
    txn         INTEGER NOT NULL REFERENCES transactions (id),
    name        TEXT    NOT NULL,
    old_version TEXT,
    old_release INTEGER,
    old_id      BLOB,
    new_version TEXT,
    new_release INTEGER,
    new_id      BLOB,
    PRIMARY KEY (txn, name)
) STRICT, WITHOUT ROWID;

-- The transaction that is under way: at most one row.
CREATE TABLE journal (
    only  INTEGER PRIMARY KEY CHECK (only = 1),
    txn   INTEGER NOT NULL REFERENCES transactions (id),
    state TEXT    NOT NULL CHECK (state IN ('staging', 'committed', 'discarding'))
) STRICT;

-- What it does to the tree, in order (see step.rs).
CREATE TABLE steps (
    n      INTEGER PRIMARY KEY,
    action TEXT    NOT NULL CHECK (action IN ('remove', 'remove-dir', 'place', 'attributes')),
    path   BLOB    NOT NULL,
    mode   INTEGER,
    uid    INTEGER,
    gid    INTEGER
) STRICT;

-- Post-scripts that were decided on and have not succeeded yet; `arguments` as in `transactions`.
CREATE TABLE pending_scripts (
    txn       INTEGER NOT NULL REFERENCES transactions (id),
    position  INTEGER NOT NULL,
    package   TEXT    NOT NULL,
    stage     TEXT    NOT NULL,
    arguments BLOB    NOT NULL,
    content   BLOB    NOT NULL,
    failure   TEXT,
    PRIMARY KEY (txn, position)
) STRICT;
