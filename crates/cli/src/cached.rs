//! Package files that the caches have.

use std::path::{Path, PathBuf};

use pkgtypes::{PackageId, PackageName};

use crate::packages;

/// The file of exactly this package in the folder `cache`, or in what builds left below it, where there is one.
pub fn find(cache: &Path, name: &PackageName, id: PackageId) -> Option<PathBuf> {
    let top = cache.join("packages");
    let folders = list(&top).into_iter().filter(|path| path.is_dir());
    let files = folders.flat_map(|folder| list(&folder)).chain(list(&top)).chain(list(cache));
    files.filter(|file| may_be(file, name)).find(|file| packages::record(file).is_ok_and(|record| record.id() == id))
}

/// By its name, so that not every file has to be opened.
fn may_be(file: &Path, name: &PackageName) -> bool {
    let text = file.file_name().and_then(|text| text.to_str()).unwrap_or_default();
    text.starts_with(name.as_str()) && text.contains(".kpkg") && !text.ends_with(".sigs") && file.is_file()
}

/// A folder that is not there, or not this user's to read, has nothing for us.
fn list(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}
