//! Questions about what is installed.

use std::collections::{HashMap, HashSet, VecDeque};

use pkgformat::{Limits, PackageRecord};
use pkgtypes::{Arch, PackageId, PackageName, PkgPath, Release, Timestamp, Version};
use rusqlite::{OptionalExtension as _, Row};

use crate::column::{digest_column, path_column, word_column};
use crate::error::{DbResult as _, Result};
use crate::{Error, Installed};

/// An installed package, as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Package {
    /// Its name.
    pub name: PackageName,
    /// Epoch and upstream version.
    pub version: Version,
    /// The packager's count for it.
    pub release: Release,
    /// The machines it is for.
    pub arch: Arch,
    /// Its content.
    pub id: PackageId,
    /// The first line of its description; empty where it has none.
    pub summary: String,
    /// Bytes that its files take.
    pub size: u64,
    /// When it was installed.
    pub installed: Timestamp,
    /// Whether the user asked for it.
    pub wanted: bool,
    /// The transaction that installed it.
    pub txn: i64,
}

/// The columns of a [`Package`].
const PACKAGE: &str = "packages.name, version, release, architecture, package_id, description, installed_size,
                       install_date, wanted.name IS NOT NULL, packages.txn
                       FROM packages LEFT JOIN wanted ON wanted.name = packages.name";

impl Package {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let description = row.get_ref(5)?.as_str()?;
        Ok(Self {
            name: word_column(row, 0)?,
            version: word_column(row, 1)?,
            release: Release(row.get(2)?),
            arch: word_column(row, 3)?,
            id: PackageId::new(digest_column(row, 4)?),
            summary: description.lines().next().unwrap_or_default().to_owned(),
            size: row.get(6)?,
            installed: Timestamp::from_seconds(row.get(7)?),
            wanted: row.get(8)?,
            txn: row.get(9)?,
        })
    }
}

impl Installed {
    pub(crate) fn row_of(&self, name: &PackageName) -> Result<Option<i64>> {
        let read = || {
            self.conn
                .prepare_cached("SELECT id FROM packages WHERE name = ?")?
                .query_row([name.as_str()], |row| row.get(0))
                .optional()
        };
        read().during("look up a package", &self.conn)
    }

    pub(crate) fn record_of(&self, row: i64) -> Result<PackageRecord> {
        let record = self.record_if_there(row)?.ok_or(rusqlite::Error::QueryReturnedNoRows);
        record.during("read a package record", &self.conn)
    }

    /// The same for a package that another process may have taken away, or replaced, since its row was read.
    pub(crate) fn record_if_there(&self, row: i64) -> Result<Option<PackageRecord>> {
        let read = || {
            self.conn
                .prepare_cached("SELECT record FROM records WHERE package = ?")?
                .query_row([row], |row| row.get::<_, Vec<u8>>(0))
                .optional()
        };
        let bytes = read().during("read a package record", &self.conn)?;
        let decode = |bytes: Vec<u8>| PackageRecord::decode(&bytes, &Limits::default());
        bytes.map(decode).transpose().map_err(|error| Error::damaged(&self.conn, error))
    }

    pub(crate) fn count(&self) -> Result<u64> {
        let count = self.conn.query_row("SELECT count(*) FROM packages", [], |row| row.get(0));
        count.during("count the packages", &self.conn)
    }

    /// The rows of all packages, in the order of their names.
    pub(crate) fn rows(&self) -> Result<Vec<i64>> {
        let read = || -> rusqlite::Result<Vec<i64>> {
            let mut statement = self.conn.prepare_cached("SELECT id FROM packages ORDER BY name")?;
            statement.query_map([], |row| row.get(0))?.collect()
        };
        read().during("read the packages", &self.conn)
    }

    /// A package that owns the path and is not in the set, and the position of its entry.
    pub(crate) fn owner_except(&self, path: &PkgPath, leaving: &HashSet<i64>) -> Result<Option<(i64, usize)>> {
        let read = || -> rusqlite::Result<Option<(i64, usize)>> {
            let mut statement = self.conn.prepare_cached("SELECT package, entry FROM paths WHERE path = ?")?;
            let mut rows = statement.query([path.as_bytes()])?;
            while let Some(row) = rows.next()? {
                let owner: (i64, usize) = (row.get(0)?, row.get(1)?);
                if !leaving.contains(&owner.0) {
                    return Ok(Some(owner));
                }
            }
            Ok(None)
        };
        read().during("look up a path", &self.conn)
    }

    /// The packages whose names fit one of the patterns (`*`, `?`, `[..]`), or all of them where there is no pattern;
    /// sorted by name.
    ///
    /// # Errors
    /// The database can not be read.
    pub fn list(&self, patterns: &[&str]) -> Result<Vec<Package>> {
        let fits = vec!["packages.name GLOB ?"; patterns.len()].join(" OR ");
        let filter = if patterns.is_empty() { String::new() } else { format!("WHERE {fits}") };
        let read = || -> rusqlite::Result<Vec<Package>> {
            let mut statement = self.conn.prepare(&format!("SELECT {PACKAGE} {filter} ORDER BY packages.name"))?;
            statement.query_map(rusqlite::params_from_iter(patterns), Package::from_row)?.collect()
        };
        read().during("read the packages", &self.conn)
    }

    /// The installed package of this name.
    ///
    /// # Errors
    /// The database can not be read.
    pub fn package(&self, name: &PackageName) -> Result<Option<Package>> {
        let read = || {
            let mut statement = self.conn.prepare_cached(&format!("SELECT {PACKAGE} WHERE packages.name = ?"))?;
            statement.query_row([name.as_str()], Package::from_row).optional()
        };
        read().during("look up a package", &self.conn)
    }

    /// The package's record as it stood in the package: all its metadata, and its manifest.
    ///
    /// # Errors
    /// [`Error::NotInstalled`]; the database can not be read.
    pub fn record(&self, name: &PackageName) -> Result<PackageRecord> {
        let row = self.row_of(name)?.ok_or_else(|| Error::NotInstalled { name: name.clone() })?;
        self.record_of(row)
    }

    /// The packages that own a path, sorted by name: more than one for what they share.
    ///
    /// # Errors
    /// The database can not be read.
    pub fn owners(&self, path: &PkgPath) -> Result<Vec<PackageName>> {
        self.names(
            "SELECT packages.name FROM paths JOIN packages ON packages.id = paths.package WHERE path = ? ORDER BY 1",
            path.as_bytes(),
        )
    }

    /// The paths that fit a pattern (`*`, `?`, `[..]`; none of them minds a slash), each with a package that owns it; sorted
    /// bytewise by path, then by name.
    ///
    /// # Errors
    /// The database can not be read.
    pub fn owned_paths(&self, pattern: &str) -> Result<Vec<(PkgPath, PackageName)>> {
        let read = || -> rusqlite::Result<Vec<(PkgPath, PackageName)>> {
            let mut statement = self.conn.prepare_cached(
                "SELECT path, packages.name FROM paths JOIN packages ON packages.id = paths.package
                 WHERE CAST(path AS TEXT) GLOB ? ORDER BY 1, 2",
            )?;
            statement.query_map([pattern], |row| Ok((path_column(row, 0)?, word_column(row, 1)?)))?.collect()
        };
        read().during("look up paths", &self.conn)
    }

    /// The packages that offer a capability besides their name, or have that name; sorted by name. Where none does, those
    /// of which a capability or the name fits it as a pattern (`*`, `?`, `[..]`).
    ///
    /// # Errors
    /// The database can not be read.
    pub fn what_provides(&self, label: &str) -> Result<Vec<PackageName>> {
        self.exact_or_fitting(
            "SELECT name FROM packages WHERE name = ?1
             UNION SELECT packages.name FROM provides JOIN packages ON packages.id = provides.package WHERE label = ?1
             ORDER BY 1",
            label,
        )
    }

    /// What has the very word, or else what fits it as a pattern. The look for a pattern goes through the whole table.
    fn exact_or_fitting(&self, query: &str, label: &str) -> Result<Vec<PackageName>> {
        let exact = self.names(query, label)?;
        if exact.is_empty() && label.contains(['*', '?', '[']) {
            return self.names(&query.replace("= ?1", "GLOB ?1"), label);
        }
        Ok(exact)
    }

    /// The packages that require a capability, in whichever version and be it as one of several; sorted by name. Where none
    /// does, those that require one that fits it as a pattern.
    ///
    /// # Errors
    /// The database can not be read.
    pub fn what_requires(&self, label: &str) -> Result<Vec<PackageName>> {
        self.exact_or_fitting(
            "SELECT DISTINCT packages.name FROM requires JOIN packages ON packages.id = requires.package
             WHERE label = ?1 ORDER BY 1",
            label,
        )
    }

    /// The packages in whose name or description all words stand, in whatever case (of ASCII letters); sorted by name. What a
    /// pattern fits (`*`, `?`, `[..]`) may stand anywhere, as a word may.
    ///
    /// # Errors
    /// The database can not be read.
    pub fn search(&self, words: &[&str]) -> Result<Vec<Package>> {
        let fits = words.iter().map(|word| match word.contains(['*', '?', '[']) {
            true => "lower(packages.name || ' ' || description) GLOB '*' || lower(?) || '*'",
            false => "instr(lower(packages.name || ' ' || description), lower(?)) > 0",
        });
        let fits = fits.collect::<Vec<_>>().join(" AND ");
        let filter = if words.is_empty() { String::new() } else { format!("WHERE {fits}") };
        let read = || -> rusqlite::Result<Vec<Package>> {
            let mut statement = self.conn.prepare(&format!("SELECT {PACKAGE} {filter} ORDER BY packages.name"))?;
            statement.query_map(rusqlite::params_from_iter(words), Package::from_row)?.collect()
        };
        read().during("search the packages", &self.conn)
    }

    /// The shortest chain of packages from one that the user asked for to this one, each of which requires the next, be it
    /// as one of several; empty where nothing that was asked for leads here.
    ///
    /// # Errors
    /// [`Error::NotInstalled`]; the database can not be read.
    pub fn why(&self, name: &PackageName) -> Result<Vec<PackageName>> {
        self.row_of(name)?.ok_or_else(|| Error::NotInstalled { name: name.clone() })?;
        let wanted: HashSet<PackageName> = self.wanted()?.into_iter().collect();
        // Which package each one was reached from.
        let mut reached = HashMap::from([(name.clone(), None)]);
        let mut queue = VecDeque::from([name.clone()]);
        while let Some(package) = queue.pop_front() {
            if wanted.contains(&package) {
                let next = |package: &PackageName| reached.get(package).cloned().flatten();
                return Ok(std::iter::successors(Some(package), next).collect());
            }
            for requiring in self.requiring(&package)? {
                if !reached.contains_key(&requiring) {
                    reached.insert(requiring.clone(), Some(package.clone()));
                    queue.push_back(requiring);
                }
            }
        }
        Ok(Vec::new())
    }

    /// The packages that require something that this one is, offers or has; sorted by name.
    fn requiring(&self, name: &PackageName) -> Result<Vec<PackageName>> {
        self.names(
            "WITH this AS (SELECT id FROM packages WHERE name = ?1),
                  labels AS (SELECT ?1 AS label
                             UNION SELECT label FROM provides WHERE package IN this
                             UNION SELECT label FROM requires JOIN paths ON path = CAST(substr(label, 7) AS BLOB)
                                   WHERE label >= 'file:/' AND label < 'file:0' AND paths.package IN this)
             SELECT DISTINCT packages.name FROM requires JOIN packages ON packages.id = requires.package
             WHERE label IN labels ORDER BY 1",
            name.as_str(),
        )
    }

    fn names(&self, query: &str, key: impl rusqlite::ToSql) -> Result<Vec<PackageName>> {
        let read = || -> rusqlite::Result<Vec<PackageName>> {
            let mut statement = self.conn.prepare_cached(query)?;
            statement.query_map([key], |row| word_column(row, 0))?.collect()
        };
        read().during("look up packages", &self.conn)
    }

    /// The names that the user asked for, sorted.
    ///
    /// # Errors
    /// The database can not be read.
    pub fn wanted(&self) -> Result<Vec<PackageName>> {
        let read = || -> rusqlite::Result<Vec<PackageName>> {
            let mut statement = self.conn.prepare_cached("SELECT name FROM wanted ORDER BY name")?;
            statement.query_map([], |row| word_column(row, 0))?.collect()
        };
        read().during("read what is wanted", &self.conn)
    }

    /// All paths that packages own, sorted bytewise, each once.
    ///
    /// # Errors
    /// The database can not be read.
    pub fn paths(&self) -> Result<Vec<PkgPath>> {
        let read = || -> rusqlite::Result<Vec<PkgPath>> {
            let mut statement = self.conn.prepare_cached("SELECT DISTINCT path FROM paths ORDER BY path")?;
            statement.query_map([], |row| path_column(row, 0))?.collect()
        };
        read().during("read the paths", &self.conn)
    }
}
