use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use pkgtypes::{Digest, Hasher, PkgPath};

use crate::{FolderProblem, RecipeError, limits};

/// A file of a recipe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipeFile {
    /// Its path in the recipe's folder.
    pub path: PkgPath,
    /// Whether somebody may execute it.
    pub executable: bool,
    /// Its bytes.
    pub size: u64,
    /// The digest of its bytes.
    pub digest: Digest,
}

/// A recipe's folder, read once.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
    pub(crate) files: BTreeMap<PkgPath, RecipeFile>,
    /// The bytes of the line files at the top.
    texts: BTreeMap<String, (PathBuf, Vec<u8>)>,
    bytes: u64,
}

impl Folder {
    /// Reads the folder at `path`; `keeps` tells the files at the top whose bytes are kept.
    pub(crate) fn read(path: &Path, keeps: impl Fn(&str) -> bool) -> Result<Self, RecipeError> {
        let mut folder = Self { path: path.to_owned(), files: BTreeMap::new(), texts: BTreeMap::new(), bytes: 0 };
        folder.read_below(path, None, 1, &keeps)?;
        Ok(folder)
    }

    /// The path and bytes of a line file.
    pub(crate) fn text(&self, name: &str) -> Option<(&Path, &[u8])> {
        self.texts.get(name).map(|(path, bytes)| (path.as_path(), bytes.as_slice()))
    }

    /// Names of the kept line files that begin with `prefix`, and what follows it.
    pub(crate) fn variants<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.texts.keys().filter_map(move |name| Some((name.as_str(), name.strip_prefix(prefix)?)))
    }

    /// The file called `name` at the top.
    pub(crate) fn file(&self, name: &str) -> Option<&RecipeFile> {
        PkgPath::new(name.as_bytes()).ok().and_then(|path| self.files.get(&path))
    }

    /// Whether a folder of this recipe has that path.
    pub(crate) fn has_folder(&self, path: &PkgPath) -> bool {
        self.files.keys().any(|file| file != path && file.is_within(path))
    }

    fn read_below(
        &mut self,
        path: &Path,
        inside: Option<&PkgPath>,
        depth: u64,
        keeps: &impl Fn(&str) -> bool,
    ) -> Result<(), RecipeError> {
        if depth > limits::DEPTH {
            return Err(problem(
                path,
                FolderProblem::TooMuch { what: "folders inside one another", limit: limits::DEPTH },
            ));
        }
        let failed = |source| RecipeError::Io { path: path.to_owned(), source };
        let mut names = Vec::new();
        for entry in fs::read_dir(path).map_err(failed)? {
            names.push(entry.map_err(failed)?.file_name());
        }
        if names.is_empty() {
            return Err(problem(path, FolderProblem::Empty));
        }
        names.sort_unstable();
        for name in names {
            let below = path.join(&name);
            let place = check_name(&below, name.as_bytes(), inside)?;
            let metadata =
                fs::symlink_metadata(&below).map_err(|source| RecipeError::Io { path: below.clone(), source })?;
            if metadata.is_dir() {
                self.read_below(&below, Some(&place), depth + 1, keeps)?;
            } else {
                self.read_file(&below, place, &metadata, keeps)?;
            }
        }
        Ok(())
    }

    fn read_file(
        &mut self,
        path: &Path,
        place: PkgPath,
        metadata: &Metadata,
        keeps: &impl Fn(&str) -> bool,
    ) -> Result<(), RecipeError> {
        if metadata.is_symlink() {
            return Err(problem(path, FolderProblem::Symlink));
        }
        if !metadata.is_file() {
            return Err(problem(path, FolderProblem::Special));
        }
        let kept = std::str::from_utf8(place.as_bytes()).ok().filter(|name| keeps(name)).map(str::to_owned);
        let limit = if kept.is_some() { limits::LINE_FILE } else { limits::FILE };
        let mut kept_bytes = Vec::new();
        let (size, digest) = digest_file(path, limit, kept.is_some().then_some(&mut kept_bytes))?;
        self.bytes += size;
        if self.bytes > limits::FOLDER {
            return Err(problem(&self.path, FolderProblem::TooMuch { what: "bytes", limit: limits::FOLDER }));
        }
        if self.files.len() as u64 >= limits::FILES {
            return Err(problem(&self.path, FolderProblem::TooMuch { what: "files", limit: limits::FILES }));
        }
        let executable = metadata.permissions().mode() & 0o111 != 0;
        self.files.insert(place.clone(), RecipeFile { path: place, executable, size, digest });
        if let Some(name) = kept {
            self.texts.insert(name, (path.to_owned(), kept_bytes));
        }
        Ok(())
    }
}

/// The size and digest of a file that is no larger than `limit`; its bytes are kept where `keep` takes them.
fn digest_file(path: &Path, limit: u64, mut keep: Option<&mut Vec<u8>>) -> Result<(u64, Digest), RecipeError> {
    let failed = |source: io::Error| RecipeError::Io { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?.take(limit + 1);
    let mut hasher = Hasher::new();
    let mut size = 0;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error)),
        };
        size += read as u64;
        hasher.update(&buffer[..read]);
        if let Some(kept) = &mut keep {
            kept.extend_from_slice(&buffer[..read]);
        }
    }
    if size > limit {
        return Err(problem(path, FolderProblem::TooLarge { size, limit }));
    }
    Ok((size, hasher.finish()))
}

fn check_name(path: &Path, name: &[u8], inside: Option<&PkgPath>) -> Result<PkgPath, RecipeError> {
    if name.starts_with(b".") {
        return Err(problem(path, FolderProblem::Hidden));
    }
    if name.ends_with(b"~") {
        return Err(problem(path, FolderProblem::Backup));
    }
    let place = match inside {
        None => PkgPath::new(name),
        Some(inside) => inside.join(name),
    };
    place.map_err(|error| problem(path, FolderProblem::Name(error)))
}

pub(crate) fn problem(path: &Path, problem: FolderProblem) -> RecipeError {
    RecipeError::Folder { path: path.to_owned(), problem }
}
