use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use pkgtypes::{Arch, PackageName, ParseError, Version};

use crate::folder::{Folder, problem};
use crate::lines::LineFile;
use crate::outputs::Outputs;
use crate::{
    Channel, DepSpec, FolderProblem, Lock, LockLine, PackageRef, Position, Recipe, RecipeError, RecipeId, suggest,
};

/// A tree of recipes: `{ga,rc}/<name>/<version>/<release>/`.
///
/// Opening reads names only; a recipe is read when it is asked for, and once.
#[derive(Debug)]
pub struct RecipeTree {
    root: PathBuf,
    /// The newest first.
    recipes: BTreeMap<PackageName, Vec<RecipeId>>,
    loaded: Mutex<HashMap<RecipeId, Arc<Recipe>>>,
    /// Packages with another name than their recipe, and the recipes that make them, the newest first.
    outputs: OnceLock<BTreeMap<PackageName, Vec<RecipeId>>>,
}

impl RecipeTree {
    /// Opens the released recipes below `root`.
    ///
    /// # Errors
    /// A folder that can not be read, or whose name is no name, version or release.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, RecipeError> {
        Self::read(root.into(), &[Channel::Released])
    }

    /// Opens the released recipes below `root` and the candidates.
    ///
    /// # Errors
    /// As [`RecipeTree::open`].
    pub fn open_with_candidates(root: impl Into<PathBuf>) -> Result<Self, RecipeError> {
        Self::read(root.into(), &[Channel::Released, Channel::Candidate])
    }

    fn read(root: PathBuf, channels: &[Channel]) -> Result<Self, RecipeError> {
        let mut recipes: BTreeMap<PackageName, Vec<RecipeId>> = BTreeMap::new();
        for channel in channels {
            for id in read_channel(&root, *channel)? {
                recipes.entry(id.name.clone()).or_default().push(id);
            }
        }
        for versions in recipes.values_mut() {
            versions.sort_unstable_by(|a, b| b.cmp(a));
        }
        Ok(Self { root, recipes, loaded: Mutex::default(), outputs: OnceLock::new() })
    }

    /// The folder that holds `ga` and `rc`.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The names of all recipes, sorted.
    pub fn names(&self) -> impl Iterator<Item = &PackageName> {
        self.recipes.keys()
    }

    /// The recipes of a name, the newest first.
    pub fn versions(&self, name: &PackageName) -> &[RecipeId] {
        self.recipes.get(name).map_or(&[], Vec::as_slice)
    }

    /// Every recipe, by name and the newest first.
    pub fn recipes(&self) -> impl Iterator<Item = &RecipeId> {
        self.recipes.values().flatten()
    }

    /// Reads a recipe, or takes the one read before.
    ///
    /// # Errors
    /// As [`Recipe::load`].
    pub fn load(&self, id: &RecipeId) -> Result<Arc<Recipe>, RecipeError> {
        let lock = || self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(recipe) = lock().get(id) {
            return Ok(Arc::clone(recipe));
        }
        let recipe = Arc::new(Recipe::load(&self.root.join(id.folder()), id.clone())?);
        lock().insert(id.clone(), Arc::clone(&recipe));
        Ok(recipe)
    }

    /// The newest recipe that satisfies `spec`.
    ///
    /// # Errors
    /// An unknown name, or no recipe that satisfies.
    pub fn find(&self, spec: &DepSpec) -> Result<&RecipeId, RecipeError> {
        let versions = self.versions(&spec.name);
        if versions.is_empty() {
            return Err(self.unknown(&spec.name, None));
        }
        newest(versions, spec, None)
    }

    /// The package that satisfies `spec` from the newest recipe that does: the recipe that `from` names, else the one
    /// of the package's name, else the one that has an output of that name.
    ///
    /// # Errors
    /// An unknown name, no recipe that satisfies, or a recipe without that output. `needed_by` is named in them.
    pub fn find_package(
        &self,
        spec: &DepSpec,
        from: Option<&PackageName>,
        needed_by: Option<&Position>,
    ) -> Result<PackageRef, RecipeError> {
        let wanted = from.unwrap_or(&spec.name);
        let named = self.versions(wanted);
        let versions = if named.is_empty() && from.is_none() { self.made_by(wanted)? } else { named };
        if versions.is_empty() {
            return Err(self.unknown(wanted, needed_by));
        }
        let recipe = newest(versions, spec, needed_by)?;
        self.check_output(recipe, &spec.name, needed_by)?;
        Ok(PackageRef { recipe: recipe.clone(), output: spec.name.clone() })
    }

    /// What every `latest` of a recipe stands for now.
    ///
    /// # Errors
    /// As [`RecipeTree::find_package`] and [`RecipeTree::load`].
    pub fn lock(&self, recipe: &Recipe, arch: &Arch) -> Result<Lock, RecipeError> {
        let mut lock = Lock::default();
        for dependency in recipe.dependencies(arch).filter(|dependency| dependency.latest) {
            let from = dependency.from.as_ref();
            let found = self.find_package(&dependency.spec, from, Some(&dependency.position))?.recipe;
            let recipe_hash = self.load(&found)?.recipe_hash();
            lock.lines.push(LockLine {
                name: dependency.spec.name.clone(),
                recipe: found,
                recipe_hash,
                position: None,
            });
        }
        lock.lines.sort_by(|a, b| a.name.cmp(&b.name));
        lock.lines.dedup();
        Ok(lock)
    }

    /// The recipe that a `lock` line names, which must still be what it was.
    pub(crate) fn locked(&self, line: &LockLine, needed_by: &Position) -> Result<RecipeId, RecipeError> {
        let position = line.position.as_ref().unwrap_or(needed_by);
        let versions = self.versions(&line.recipe.name);
        if versions.is_empty() {
            return Err(self.unknown(&line.recipe.name, Some(position)));
        }
        let recipe = newest(versions, &DepSpec::exact(&line.recipe), Some(position))?.clone();
        let found = self.load(&recipe)?.recipe_hash();
        if found != line.recipe_hash {
            let (position, locked) = (position.clone(), line.recipe_hash);
            return Err(RecipeError::LockChanged { position, recipe: Box::new(recipe), locked, found });
        }
        Ok(recipe)
    }

    pub(crate) fn check_output(
        &self,
        recipe: &RecipeId,
        output: &PackageName,
        needed_by: Option<&Position>,
    ) -> Result<(), RecipeError> {
        if recipe.name == *output {
            return Ok(());
        }
        let loaded = self.load(recipe)?;
        if loaded.packages().any(|package| package == output) {
            return Ok(());
        }
        let suggestions = suggest::nearest(output.as_str(), loaded.packages().map(PackageName::as_str));
        let (recipe, output, needed_by) = (Box::new(recipe.clone()), output.clone(), needed_by.cloned());
        Err(RecipeError::UnknownOutput { recipe, output, needed_by, suggestions })
    }

    /// The recipes that satisfy, of the recipes that make a package of that name; the newest first.
    pub(crate) fn candidates(&self, spec: &DepSpec) -> Result<Vec<PackageRef>, RecipeError> {
        let named = self.versions(&spec.name);
        let versions = if named.is_empty() { self.made_by(&spec.name)? } else { named };
        let fitting = versions.iter().filter(|recipe| spec.accepts_version(recipe));
        Ok(fitting.map(|recipe| PackageRef { recipe: recipe.clone(), output: spec.name.clone() }).collect())
    }

    /// The recipes with an output of that name. More than one recipe name is an error.
    fn made_by(&self, output: &PackageName) -> Result<&[RecipeId], RecipeError> {
        let makers = self.output_index().get(output).map_or(&[][..], Vec::as_slice);
        let names: BTreeSet<&PackageName> = makers.iter().map(|recipe| &recipe.name).collect();
        if names.len() > 1 {
            let recipes = names.into_iter().cloned().collect();
            return Err(RecipeError::Ambiguous { output: output.clone(), recipes });
        }
        Ok(makers)
    }

    /// A recipe whose `outputs` can not be read is passed over here: whoever asks for it hears why.
    fn output_index(&self) -> &BTreeMap<PackageName, Vec<RecipeId>> {
        self.outputs.get_or_init(|| {
            let mut index: BTreeMap<PackageName, Vec<RecipeId>> = BTreeMap::new();
            for id in self.recipes() {
                for output in read_outputs(&self.root.join(id.folder())).unwrap_or_default() {
                    index.entry(output).or_default().push(id.clone());
                }
            }
            index
        })
    }

    pub(crate) fn unknown(&self, name: &PackageName, needed_by: Option<&Position>) -> RecipeError {
        let known = self.names().chain(self.output_index().keys()).map(PackageName::as_str);
        let suggestions = suggest::nearest(name.as_str(), known);
        RecipeError::UnknownName { name: name.clone(), needed_by: needed_by.cloned(), suggestions }
    }
}

fn newest<'a>(
    versions: &'a [RecipeId],
    spec: &DepSpec,
    needed_by: Option<&Position>,
) -> Result<&'a RecipeId, RecipeError> {
    versions.iter().find(|recipe| spec.accepts_version(recipe)).ok_or_else(|| RecipeError::NoVersion {
        spec: Box::new(spec.clone()),
        needed_by: needed_by.cloned(),
        available: versions.to_vec(),
    })
}

fn read_outputs(folder: &Path) -> Option<Vec<PackageName>> {
    // Most recipes have one output: the folder is read only where the file is there.
    fs::symlink_metadata(folder.join("outputs")).ok()?;
    let folder = Folder::read(folder, |name| name == "outputs").ok()?;
    let (path, bytes) = folder.text("outputs")?;
    let outputs = Outputs::parse(&LineFile::parse(path, bytes).ok()?).ok()?;
    Some(outputs.rules().iter().map(|rule| rule.package.clone()).collect())
}

fn read_channel(root: &Path, channel: Channel) -> Result<Vec<RecipeId>, RecipeError> {
    let top = root.join(channel.folder());
    let mut recipes = Vec::new();
    let names = match folders::<PackageName>(&top) {
        // A tree without candidates, or with nothing else, is a tree.
        Err(RecipeError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound && root.is_dir() => {
            return Ok(recipes);
        }
        names => names?,
    };
    for (name, path) in names {
        for (version, path) in folders::<Version>(&path)? {
            for (release, _) in folders(&path)? {
                recipes.push(RecipeId { channel, name: name.clone(), version: version.clone(), release });
            }
        }
    }
    Ok(recipes)
}

/// The folders in `path`, each name read as a `T` in its only spelling, sorted.
fn folders<T: FromStr<Err = ParseError> + ToString>(path: &Path) -> Result<Vec<(T, PathBuf)>, RecipeError> {
    let failed = |source| RecipeError::Io { path: path.to_owned(), source };
    let mut names: Vec<OsString> = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        names.push(entry.map_err(failed)?.file_name());
    }
    names.sort_unstable();
    names.into_iter().map(|name| read_name(path, &name)).collect()
}

fn read_name<T: FromStr<Err = ParseError> + ToString>(above: &Path, name: &OsStr) -> Result<(T, PathBuf), RecipeError> {
    let path = above.join(name);
    let metadata = fs::symlink_metadata(&path).map_err(|source| RecipeError::Io { path: path.clone(), source })?;
    if metadata.is_symlink() {
        return Err(problem(&path, FolderProblem::Symlink));
    }
    if !metadata.is_dir() {
        return Err(problem(&path, FolderProblem::NotAFolder));
    }
    let text = name.to_string_lossy();
    let value: T = text.parse().map_err(|error| problem(&path, FolderProblem::Place(error)))?;
    if value.to_string() != text {
        return Err(problem(&path, FolderProblem::Spelling { usual: value.to_string() }));
    }
    Ok((value, path))
}
