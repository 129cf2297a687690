-- What is known of a package, version 1: in the install database of a root and in a package as a sqlite file alike.
-- A released version of this file is never edited, not even a blank of it: files are held against its very text.

-- One row per package: what questions ask for. The rest stands in `records`. `install_date` and `txn` are null where
-- nothing is installed.
CREATE TABLE packages (
    id             INTEGER PRIMARY KEY,
    name           TEXT    NOT NULL,
    subpackage     TEXT,
    version        TEXT    NOT NULL,
    release        INTEGER NOT NULL,
    architecture   TEXT    NOT NULL,
    description    TEXT    NOT NULL,
    url            TEXT,
    licenses       TEXT    NOT NULL,
    build_date     INTEGER,
    install_date   INTEGER,
    installed_size INTEGER NOT NULL,
    package_id     BLOB    NOT NULL CHECK (length(package_id) = 32),
    txn            INTEGER
) STRICT;

-- The package record as it stood in the package: metadata and manifest, byte for byte.
CREATE TABLE records (
    package INTEGER PRIMARY KEY REFERENCES packages (id) ON DELETE CASCADE,
    record  BLOB NOT NULL
) STRICT;

-- Which package owns which path. `entry` is the position in the package's manifest; `unset` are the properties that the
-- installing user could not give it (bits: see unset.rs). What follows from `type` on says what the manifest says, in its
-- words, for those who ask in SQL: in packages as sqlite files alone, since an install database would have it twice.
-- There, package 0 means that the path belongs to no package yet.
-- No foreign key on `package`: without an index of its own it would cost a look at every row whenever a package goes.
CREATE TABLE paths (
    path     BLOB    NOT NULL,
    package  INTEGER NOT NULL,
    entry    INTEGER,
    filetype TEXT,
    unset    INTEGER NOT NULL,
    type     TEXT,
    mode     TEXT,
    owner    TEXT,
    "group"  TEXT,
    mtime    TEXT,
    size     INTEGER,
    hash     BLOB,
    target   BLOB,
    device   TEXT,
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

-- `content` is null where the file has it among its blobs.
CREATE TABLE scripts (
    package INTEGER NOT NULL REFERENCES packages (id) ON DELETE CASCADE,
    stage   TEXT    NOT NULL,
    hash    BLOB    NOT NULL CHECK (length(hash) = 32),
    content BLOB,
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
