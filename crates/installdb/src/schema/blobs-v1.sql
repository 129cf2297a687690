-- What a package as a sqlite file has besides package-v1.sql, version 1. A released version of this file is never edited,
-- not even a blank of it.

CREATE INDEX packages_by_name ON packages (name);
CREATE UNIQUE INDEX packages_by_id ON packages (package_id);

-- Contents, each once. `hash` and `size` are of the content as it is when it is not compressed. `content` has the first
-- MiB of what is stored, and `blobparts` one MiB a row of what is left, numbered from 1.
CREATE TABLE blobs (
    id          INTEGER PRIMARY KEY,
    hash        BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32),
    size        INTEGER NOT NULL,
    compression TEXT    NOT NULL CHECK (compression IN ('none', 'zstd')),
    content     BLOB    NOT NULL
) STRICT;

CREATE TABLE blobparts (
    blob    INTEGER NOT NULL REFERENCES blobs (id) ON DELETE CASCADE,
    part    INTEGER NOT NULL,
    content BLOB    NOT NULL,
    PRIMARY KEY (blob, part)
) STRICT;
