//! Installed packages as the user names them.

use installdb::Installed;
use pkgtypes::PackageName;

use crate::exit;
use crate::failure::Failure;

/// The installed packages whose names fit one of the patterns (`*`, `?`, `[..]`), each once, sorted; without a pattern
/// none.
///
/// # Errors
/// A pattern that no name fits.
pub fn names(db: &Installed, patterns: &[String]) -> anyhow::Result<Vec<PackageName>> {
    let mut names = Vec::new();
    for pattern in patterns {
        let fitting = db.list(&[pattern])?;
        if fitting.is_empty() {
            return Err(unknown(pattern));
        }
        names.extend(fitting.into_iter().map(|package| package.name));
    }
    names.sort();
    names.dedup();
    Ok(names)
}

fn unknown(pattern: &str) -> anyhow::Error {
    match pattern.parse() {
        Ok(name) => installdb::Error::NotInstalled { name }.into(),
        Err(_) => Failure::new(exit::UNKNOWN, format!("no installed package has a name like `{pattern}`")).into(),
    }
}
