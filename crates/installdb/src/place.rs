//! Where our own files stand in a root.

use pkgtypes::PkgPath;

fn fixed(path: &'static str) -> PkgPath {
    PkgPath::new(path.as_bytes()).expect("the path is written here and valid")
}

/// The folder that is ours alone.
pub(crate) fn folder() -> PkgPath {
    fixed("var/lib/kista")
}

/// Contents that went and may come back.
pub(crate) fn kept() -> PkgPath {
    fixed("var/lib/kista/kept")
}

/// The database.
pub(crate) fn database() -> PkgPath {
    fixed("var/lib/kista/install.db")
}

/// The database while it is made, before it has its name.
pub(crate) fn unfinished() -> PkgPath {
    fixed("var/lib/kista/install.db.new")
}

/// sqlite's write-ahead log.
pub(crate) fn log() -> PkgPath {
    fixed("var/lib/kista/install.db-wal")
}

/// What sqlite's connections share.
pub(crate) fn memory() -> PkgPath {
    fixed("var/lib/kista/install.db-shm")
}

/// sqlite's rollback journal; only until a database has its write-ahead log.
pub(crate) fn rollback() -> PkgPath {
    fixed("var/lib/kista/install.db-journal")
}

/// The lock of all programs that edit users and groups.
pub(crate) fn accounts_lock() -> PkgPath {
    fixed("etc/.pwd.lock")
}

/// The lock of those who change the root.
pub(crate) fn lock() -> PkgPath {
    fixed("var/lib/kista/lock")
}
