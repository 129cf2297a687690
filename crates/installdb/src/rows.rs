//! A package as rows.

use pkgformat::{Entry, EntryKind, PackageMeta, PackageRecord, ScriptKind, Use};
use pkgtypes::{PkgPath, Relation, Timestamp};
use rusqlite::{Connection, OptionalExtension as _};
use trust::Acceptance;

use crate::brought::Script;
use crate::{Unset, acceptance};

/// What is written of every package, installed or not.
pub(crate) struct RecordRows<'a> {
    pub(crate) conn: &'a Connection,
    pub(crate) record: &'a PackageRecord,
}

/// What is written of a package that was installed.
pub(crate) struct PackageRows<'a> {
    pub(crate) conn: &'a Connection,
    pub(crate) record: &'a PackageRecord,
    pub(crate) acceptance: &'a Acceptance,
    /// What can not be given, one for each entry.
    pub(crate) unset: &'a [Unset],
    pub(crate) txn: i64,
    pub(crate) time: Timestamp,
}

impl RecordRows<'_> {
    /// Everything but the paths and scripts. Without an `id` the next free one is taken; `installed` is when and by which
    /// transaction.
    pub(crate) fn insert(&self, id: Option<i64>, installed: Option<(Timestamp, i64)>) -> rusqlite::Result<i64> {
        let row = self.insert_package(id, installed)?;
        self.conn
            .prepare_cached("INSERT INTO records (package, record) VALUES (?, ?)")?
            .execute((row, self.record.encode()))?;
        self.insert_libraries(row)?;
        self.insert_relations(row)?;
        Ok(row)
    }

    fn meta(&self) -> &PackageMeta {
        self.record.meta()
    }

    fn entries(&self) -> &[Entry] {
        self.record.manifest().entries()
    }

    fn insert_package(&self, id: Option<i64>, installed: Option<(Timestamp, i64)>) -> rusqlite::Result<i64> {
        let meta = self.meta();
        let mut statement = self.conn.prepare_cached(
            "INSERT INTO packages (id, name, subpackage, version, release, architecture, description, url, licenses,
                                   build_date, install_date, installed_size, package_id, txn)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?;
        statement.insert((
            id,
            meta.name.as_str(),
            &meta.subpackage,
            meta.version.to_string(),
            i64::try_from(meta.release.0).unwrap_or(i64::MAX),
            meta.arch.as_str(),
            meta.description.join("\n"),
            &meta.url,
            meta.licenses.join("\n"),
            meta.build_date.map(Timestamp::seconds),
            installed.map(|(time, _)| time.seconds()),
            i64::try_from(self.installed_size()).unwrap_or(i64::MAX),
            self.record.id().digest().as_bytes(),
            installed.map(|(_, txn)| txn),
        ))
    }

    /// As the package says it, or else the sum of its files.
    fn installed_size(&self) -> u64 {
        self.meta().installed_size.unwrap_or_else(|| {
            let sizes = self.entries().iter().map(|entry| match entry.kind {
                EntryKind::File { size, .. } => size,
                _ => 0,
            });
            sizes.fold(0, u64::saturating_add)
        })
    }

    fn insert_libraries(&self, row: i64) -> rusqlite::Result<()> {
        let mut offers = self.conn.prepare_cached("INSERT INTO libraries (package, soname, path) VALUES (?, ?, ?)")?;
        let mut needs =
            self.conn.prepare_cached("INSERT OR IGNORE INTO librarydeps (package, soname, path) VALUES (?, ?, ?)")?;
        for entry in self.entries() {
            let EntryKind::File { elf: Some(facts), .. } = &entry.kind else { continue };
            if let Some(soname) = &facts.soname {
                offers.execute((row, soname, entry.path.as_bytes()))?;
            }
            for soname in &facts.needed {
                needs.execute((row, soname, entry.path.as_bytes()))?;
            }
        }
        Ok(())
    }

    fn insert_relations(&self, row: i64) -> rusqlite::Result<()> {
        let meta = self.meta();
        let write = |query: &str, label: &str, text: &str| {
            self.conn.prepare_cached(query)?.execute((row, label, text)).map(drop)
        };
        let relate =
            |query: &str, relation: &Relation| write(query, relation.capability.as_str(), &relation.to_string());
        for relation in &meta.provides {
            relate("INSERT OR IGNORE INTO provides (package, label, relation) VALUES (?, ?, ?)", relation)?;
        }
        for relation in &meta.conflicts {
            relate("INSERT OR IGNORE INTO conflicts (package, label, relation) VALUES (?, ?, ?)", relation)?;
        }
        let query = "INSERT OR IGNORE INTO requires (package, label, requirement) VALUES (?, ?, ?)";
        for requirement in &meta.requires {
            for relation in requirement.alternatives() {
                write(query, relation.capability.as_str(), &requirement.to_string())?;
            }
        }
        if let Some(relation) = &meta.tied {
            relate(query, relation)?;
        }
        let query = r#"INSERT OR IGNORE INTO packagegroups (package, "group") VALUES (?, ?)"#;
        for group in &meta.groups {
            self.conn.prepare_cached(query)?.execute((row, group))?;
        }
        Ok(())
    }
}

impl PackageRows<'_> {
    /// Everything but the scripts; the package's row.
    pub(crate) fn insert(&self) -> rusqlite::Result<i64> {
        let Self { conn, record, .. } = *self;
        let row = RecordRows { conn, record }.insert(None, Some((self.time, self.txn)))?;
        self.insert_paths(row)?;
        crate::trigger::insert(conn, row, record.meta())?;
        acceptance::save(conn, self.acceptance)?;
        Ok(row)
    }

    fn entries(&self) -> &[Entry] {
        self.record.manifest().entries()
    }

    fn insert_paths(&self, row: i64) -> rusqlite::Result<()> {
        let mut statement = self
            .conn
            .prepare_cached("INSERT INTO paths (path, package, entry, filetype, unset) VALUES (?, ?, ?, ?, ?)")?;
        for (index, (entry, unset)) in self.entries().iter().zip(self.unset).enumerate() {
            statement.execute((entry.path.as_bytes(), row, index, filetype(entry), unset.bits()))?;
        }
        Ok(())
    }
}

/// A script of an installed package that has none of its kind yet.
pub(crate) fn insert_script(conn: &Connection, row: i64, script: &Script) -> rusqlite::Result<()> {
    let mut statement =
        conn.prepare_cached("INSERT INTO scripts (package, stage, hash, content) VALUES (?, ?, ?, ?)")?;
    statement.execute((row, script.kind.to_string(), script.digest.as_bytes(), &script.content)).map(drop)
}

/// Writes what could not be given to a path of an installed package.
pub(crate) fn set_unset(conn: &Connection, row: i64, path: &PkgPath, unset: Unset) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached("UPDATE paths SET unset = ? WHERE path = ? AND package = ?")?;
    statement.execute((unset.bits(), path.as_bytes(), row)).map(drop)
}

/// What a path is used for, as one word.
pub(crate) fn filetype(entry: &Entry) -> Option<String> {
    let uses: Vec<&str> = entry.uses.iter().map(|known: &Use| known.as_str()).collect();
    (!uses.is_empty()).then(|| uses.join(","))
}

/// Whether an installed package says of this path that it is a configuration file.
pub(crate) fn is_config(conn: &Connection, path: &PkgPath) -> rusqlite::Result<bool> {
    let query = "SELECT 1 FROM paths WHERE path = ? AND ',' || filetype || ',' LIKE '%,config,%'";
    conn.prepare_cached(query)?.exists([path.as_bytes()])
}

/// A script of an installed package.
pub(crate) fn script(conn: &Connection, row: i64, kind: ScriptKind) -> rusqlite::Result<Option<Vec<u8>>> {
    let mut statement = conn.prepare_cached("SELECT content FROM scripts WHERE package = ? AND stage = ?")?;
    statement.query_row((row, kind.to_string()), |row| row.get(0)).optional()
}

/// Takes a package's rows away; those of its paths one by one, because the table is sorted by path.
pub(crate) fn delete(conn: &Connection, row: i64, record: &PackageRecord) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached("DELETE FROM paths WHERE path = ? AND package = ?")?;
    for entry in record.manifest().entries() {
        statement.execute((entry.path.as_bytes(), row))?;
    }
    conn.prepare_cached("DELETE FROM packages WHERE id = ?")?.execute([row])?;
    Ok(())
}
