-- What the install database of a root has since version 3. A released version of this file is never edited.

CREATE UNIQUE INDEX packages_by_id ON packages (package_id);

-- What no package owned and transaction `txn` took the place of: `replaced` by a package's on request, taken for the
-- package's because it was the `same`, or `adopted`. It is in the file `txn.n` of var/lib/kista/kept; `n` is null where it
-- is not kept (any more). `back` is the transaction that brought it back.
CREATE TABLE displaced (
    txn    INTEGER NOT NULL REFERENCES transactions (id),
    path   BLOB    NOT NULL,
    manner TEXT    NOT NULL CHECK (manner IN ('replaced', 'same', 'adopted')),
    n      INTEGER,
    size   INTEGER NOT NULL,
    back   INTEGER REFERENCES transactions (id),
    PRIMARY KEY (txn, path)
) STRICT, WITHOUT ROWID;
CREATE INDEX displaced_by_back ON displaced (back) WHERE back IS NOT NULL;

-- Configuration files as packages brought them, of installed packages and of those in `past_packages`.
CREATE TABLE originals (
    package_id BLOB NOT NULL CHECK (length(package_id) = 32),
    hash       BLOB NOT NULL CHECK (length(hash) = 32),
    content    BLOB NOT NULL,
    PRIMARY KEY (package_id, hash)
) STRICT, WITHOUT ROWID;
CREATE INDEX originals_by_hash ON originals (hash);

-- Those of `pending_scripts` that failed again when somebody asked for them, and run only when they are asked for by name.
CREATE TABLE given_up (
    txn      INTEGER NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (txn, position),
    FOREIGN KEY (txn, position) REFERENCES pending_scripts (txn, position) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- How much room the log keeps for a removal when the disk is full: what the largest package ever installed needs.
CREATE TABLE reserve (
    only  INTEGER PRIMARY KEY CHECK (only = 1),
    bytes INTEGER NOT NULL
) STRICT;
INSERT INTO reserve VALUES (1, 524288);
