//! The caches on disk: what was built, and what came of it.

use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use pkgfs::{Durability, Lock, LockKind, Rename, Root, TempDir, Wait};
use pkgtypes::{Digest, Mode, PackageId, PackageName, PkgPath, Relation, Requirement, Timestamp};
use recipe::RecipeId;
use serde::{Deserialize, Serialize};

use crate::{Error, Stop};

const PRIVATE: u32 = 0o700;
const READABLE: u32 = 0o644;
/// What names of things that are not complete begin with.
const TEMPORARY: &[u8] = b".kista.";
/// The file in a workplace that is locked while somebody works there.
const LOCK: &str = "lock";
/// Seconds within which a new folder is left alone.
const YOUNG: i64 = 10;
/// Seconds after which what nobody can lock is nobody's.
const OLD: i64 = 24 * 3600;
/// How often one who waits looks again.
const TURN: Duration = Duration::from_millis(100);
const RESULT: &str = "result.json";
/// The form of [`RESULT`]; a file of another form counts as absent.
const RESULT_FORM: u32 = 1;

/// `<cache>/{packages,builds,trees,sources}`.
#[derive(Debug)]
pub(crate) struct Caches {
    packages: Root,
    builds: Root,
}

/// The packages of one recipe, and what was found in them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PackResult {
    form: u32,
    /// The recipe, for people who look into the cache.
    pub(crate) recipe: String,
    /// One for each output, the recipe's own name first.
    pub(crate) packages: Vec<Packed>,
}

/// One package of a result.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Packed {
    #[serde(with = "text")]
    pub(crate) name: PackageName,
    /// The file's name.
    pub(crate) file: String,
    /// The file's size in bytes.
    pub(crate) size: u64,
    #[serde(with = "text")]
    pub(crate) id: PackageId,
    /// The digest of the tree, which dependents' build keys are made of.
    #[serde(with = "text")]
    pub(crate) tree: Digest,
    /// All that it needs to run.
    #[serde(with = "texts")]
    pub(crate) requires: Vec<Requirement>,
    /// Of these, what was found in its files.
    #[serde(with = "texts")]
    pub(crate) found: Vec<Requirement>,
    /// What it offers beside its name.
    #[serde(with = "texts")]
    pub(crate) provides: Vec<Relation>,
}

impl PackResult {
    pub(crate) fn new(recipe: &RecipeId, packages: Vec<Packed>) -> Self {
        Self { form: RESULT_FORM, recipe: recipe.to_string(), packages }
    }
}

impl Caches {
    /// Opens the caches below `base`, and makes them first where they are missing.
    pub(crate) fn open(base: &Path) -> Result<Self, Error> {
        let open = |name: &str| Root::create(base.join(name), Mode::from_raw(PRIVATE));
        // What is in it is given away, so everybody may look into `packages`; the rest is nobody's business.
        let caches =
            Self { packages: Root::create(base.join("packages"), Mode::from_raw(0o755))?, builds: open("builds")? };
        sweep(&caches.builds)?;
        sweep(&caches.packages)?;
        Ok(caches)
    }

    /// Waits until nobody else works on this recipe with these caches, and keeps others waiting until it is dropped.
    pub(crate) fn turn(&self, recipe: &RecipeId, stop: Stop<'_>) -> Result<Lock, Error> {
        let name = plain(&format!("{}-{}-{}.lock", recipe.name, recipe.version.upstream(), recipe.release));
        loop {
            match self.builds.lock(&name, LockKind::Exclusive, Wait::No) {
                Ok(lock) => return Ok(lock),
                Err(error) if matches!(error.kind, pkgfs::ErrorKind::Locked { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            if stop() {
                return Err(Error::Interrupted);
            }
            std::thread::sleep(TURN);
        }
    }

    /// The folder that build trees are kept in.
    pub(crate) fn builds(&self) -> &Root {
        &self.builds
    }

    /// A folder to build in, beside what was built; gone when it is dropped, or, after a kill, when the caches are opened
    /// again.
    pub(crate) fn workplace(&self) -> Result<Workspace, Error> {
        let folder = TempDir::new_in(&self.builds, None)?;
        let lock = folder.root().lock(&plain(LOCK), LockKind::Exclusive, Wait::No)?;
        Ok(Workspace { folder, _lock: lock })
    }

    /// Where the install tree of a build is, or will be, as a package file.
    pub(crate) fn install_tree(&self, build_key: Digest) -> (PkgPath, PathBuf) {
        let name = plain(&format!("{build_key}.kpkg"));
        let path = self.builds.path().join(name.as_path());
        (name, path)
    }

    /// The log of the last build of a recipe.
    pub(crate) fn log(&self, recipe: &RecipeId) -> (PkgPath, PathBuf) {
        let name = plain(&format!("{}-{}-{}.log", recipe.name, recipe.version.upstream(), recipe.release));
        let path = self.builds.path().join(name.as_path());
        (name, path)
    }

    /// The log of a recipe's last test.
    pub(crate) fn test_log(&self, recipe: &RecipeId) -> (PkgPath, PathBuf) {
        let name = plain(&format!("{}-{}-{}.test.log", recipe.name, recipe.version.upstream(), recipe.release));
        let path = self.builds.path().join(name.as_path());
        (name, path)
    }

    /// What was packed under a key, if all of it is there.
    pub(crate) fn result(&self, pack_key: Digest) -> Result<Option<PackResult>, Error> {
        let folder = plain(&pack_key.to_string());
        let path = folder.join(RESULT.as_bytes()).expect("it is a file name");
        if self.packages.stat(&path)?.is_none() {
            return Ok(None);
        }
        let file = self.packages.open_file(&path)?;
        // What a crash of the machine left half written is as good as absent: it is built again.
        let result: Option<PackResult> = serde_json::from_reader(io::BufReader::new(file)).ok();
        let size = |packed: &Packed| {
            self.packages.stat(&self.package_name(pack_key, packed)).ok().flatten().map(|stat| stat.size)
        };
        let whole = |packed: &Packed| size(packed) == Some(packed.size);
        Ok(result.filter(|result| result.form == RESULT_FORM && result.packages.iter().all(whole)))
    }

    /// A package of a result.
    pub(crate) fn package(&self, pack_key: Digest, packed: &Packed) -> PathBuf {
        self.packages.path().join(self.package_name(pack_key, packed).as_path())
    }

    fn package_name(&self, pack_key: Digest, packed: &Packed) -> PkgPath {
        let folder = plain(&pack_key.to_string());
        folder.join(packed.file.as_bytes()).unwrap_or(folder)
    }

    /// A folder that packages are written into before they become a result.
    pub(crate) fn new_result(&self) -> Result<TempDir, Error> {
        Ok(TempDir::new_in(&self.packages, None)?)
    }

    /// Makes a folder of packages the result of a key, in one step.
    pub(crate) fn keep(&self, folder: TempDir, pack_key: Digest, result: &PackResult) -> Result<(), Error> {
        let text = serde_json::to_vec_pretty(result).expect("a result is text and numbers");
        folder.root().write_file(&plain(RESULT), Mode::from_raw(READABLE), &text, Durability::Atomic)?;
        let name = plain(&pack_key.to_string());
        // A damaged or older result makes room; another process may have been faster with the same one.
        if self.result(pack_key).ok().flatten().is_some() {
            return Ok(());
        }
        self.packages.remove_tree(&name)?;
        folder.persist(&name, Rename::NoReplace)?;
        self.packages.set_mode(&name, Mode::from_raw(0o755))?;
        Ok(())
    }
}

/// A folder that somebody works in.
pub(crate) struct Workspace {
    folder: TempDir,
    /// Tells those who sweep that it is in use.
    _lock: Lock,
}

impl Deref for Workspace {
    type Target = TempDir;

    fn deref(&self) -> &TempDir {
        &self.folder
    }
}

/// Removes what a kill left behind: folders whose lock is free, and others that nobody touched for a day.
fn sweep(root: &Root) -> Result<(), Error> {
    let age = |seconds: i64| Timestamp::from(SystemTime::now()).seconds().saturating_sub(seconds);
    for name in root.read_dir(None)? {
        let Ok(path) = PkgPath::new(name) else { continue };
        if !path.as_bytes().starts_with(TEMPORARY) {
            continue;
        }
        let Some(stat) = root.stat(&path)? else { continue };
        let lock = path.join(LOCK.as_bytes()).unwrap_or_else(|_| path.clone());
        let is_free = match root.stat(&lock) {
            // One who has just made the folder has yet to lock it.
            Ok(Some(_)) => age(stat.mtime.seconds()) > YOUNG && root.lock(&lock, LockKind::Exclusive, Wait::No).is_ok(),
            _ => age(stat.mtime.seconds()) > OLD,
        };
        if is_free {
            root.remove_tree(&path)?;
        }
    }
    Ok(())
}

/// A path of our own making.
pub(crate) fn plain(name: &str) -> PkgPath {
    PkgPath::new(name.as_bytes()).expect("paths made of recipe words and digests are paths")
}

/// Values that are written as their text.
mod text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Lists of such values.
mod texts {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<T: Display, S: Serializer>(values: &[T], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().map(T::to_string))
    }

    pub(super) fn deserialize<'de, T, D>(deserializer: D) -> Result<Vec<T>, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let texts = Vec::<String>::deserialize(deserializer)?;
        texts.iter().map(|text| text.parse().map_err(de::Error::custom)).collect()
    }
}
