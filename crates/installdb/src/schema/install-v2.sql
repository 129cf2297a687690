-- What others put into the way of a transaction after its decision, and where it was moved; `aside` is empty where a
-- folder was gone.
CREATE TABLE interferences (
    txn   INTEGER NOT NULL REFERENCES transactions (id),
    path  BLOB    NOT NULL,
    aside BLOB    NOT NULL,
    PRIMARY KEY (txn, path, aside)
) STRICT, WITHOUT ROWID;
