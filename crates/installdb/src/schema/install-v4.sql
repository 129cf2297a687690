-- What the install database of a root has since version 4. A released version of this file is never edited.

-- The version that the administrator changed, of a configuration file that he changed and a package brought anew: what is
-- his and what is the package's in it are told apart by this one.
CREATE TABLE bases (
    path    BLOB PRIMARY KEY,
    content BLOB NOT NULL
) STRICT, WITHOUT ROWID;
