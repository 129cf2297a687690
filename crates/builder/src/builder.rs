use std::path::{Path, PathBuf};
use std::time::Instant;

use pkgformat::{Entry, PackageMeta};
use pkgfs::{Durability, Rename};
use pkgtree::{Keep, PackOptions, Packer, TreeStore};
use pkgtypes::{Arch, Digest, Mode, PackageId, PkgPath, Release};
use recipe::{Flag, Graph, Kind, PackageRef, Recipe, RecipeId, RecipeTree, RoomPackage};

use crate::assembly::Job;
use crate::caches::{Caches, PackResult, plain};
use crate::error::FailedScript;
use crate::known::{Built, Known};
use crate::log::Log;
use crate::packing::{self, Packing};
use crate::sources::Sources;
use crate::{BuildOptions, Error, Events, Stop, access, io_error, keys, room};

/// Parts of a foreign package that no build needs; seeds come without them.
const SEED_LEAVES: [&str; 5] =
    ["usr/share/doc", "usr/share/info", "usr/share/lintian", "usr/share/locale", "usr/share/man"];

/// A package that is there now.
#[derive(Debug, Clone)]
pub struct BuiltPackage {
    /// Which of the tree's packages.
    pub package: PackageRef,
    /// Its file, in the cache.
    pub path: PathBuf,
    /// Its identity.
    pub id: PackageId,
    /// Whether it was built now; else it was there.
    pub fresh: bool,
}

/// Builds recipes of one tree.
pub struct Builder<'a> {
    pub(crate) graph: Graph<'a>,
    pub(crate) options: BuildOptions,
    pub(crate) caches: Caches,
    pub(crate) trees: TreeStore,
    pub(crate) sources: Sources,
    pub(crate) stop: Stop<'a>,
    pub(crate) known: Known,
}

impl<'a> Builder<'a> {
    /// Builds recipes of `tree` with the caches below `cache`, which are made where they are missing.
    ///
    /// # Errors
    /// A cache that can not be made or read.
    pub fn open(tree: &'a RecipeTree, cache: &Path, options: BuildOptions, stop: Stop<'a>) -> Result<Self, Error> {
        let trees = cache.join("trees");
        Ok(Self {
            graph: Graph::new(tree, Arch::host()),
            caches: Caches::open(cache)?,
            trees: TreeStore::open(&trees, Durability::Atomic).map_err(|error| Error::Package {
                action: "open",
                path: trees,
                error,
            })?,
            sources: Sources::open(cache, &options)?,
            options,
            stop,
            known: Known::default(),
        })
    }

    /// Builds packages and everything they need to be built and to run, dependencies first.
    ///
    /// # Errors
    /// The first thing that does not work; what was built before it stays in the cache.
    pub fn build(&mut self, wanted: &[PackageRef], events: &mut dyn Events) -> Result<Vec<BuiltPackage>, Error> {
        let recipes: Vec<RecipeId> = wanted.iter().map(|package| package.recipe.clone()).collect();
        let order = self.graph.order(&recipes)?;
        self.fetch_seeds(&order, events)?;
        for (index, id) in order.iter().enumerate() {
            if (self.stop)() {
                return Err(Error::Interrupted);
            }
            if !self.known.built.contains_key(id) {
                events.started(id, index + 1, order.len());
                let start = Instant::now();
                let fresh = self.ensure(id, events)?;
                events.finished(id, fresh, start.elapsed());
            }
        }
        Ok(wanted.iter().filter_map(|package| self.built(package)).collect())
    }

    /// Fetches the sources of recipes and of all recipes that they need, and says how many are in the store then. With a
    /// folder, its files that match a wanted digest are taken from there first, whatever they are called.
    ///
    /// # Errors
    /// A source that is nowhere to be had.
    pub fn fetch(&self, recipes: &[RecipeId], from: Option<&Path>, events: &mut dyn Events) -> Result<usize, Error> {
        let order = self.graph.order(recipes)?;
        let recipes: Vec<_> = order.iter().map(|id| self.graph.tree().load(id)).collect::<Result<_, _>>()?;
        if let Some(folder) = from {
            self.sources.adopt(&recipes, folder)?;
        }
        self.sources.fetch(&recipes, events, self.stop)
    }

    /// All packages of a recipe that was built.
    pub fn packages(&self, recipe: &RecipeId) -> Vec<BuiltPackage> {
        let names = self.known.built.get(recipe).into_iter().flat_map(|built| &built.result.packages);
        let packages = names.map(|packed| PackageRef { recipe: recipe.clone(), output: packed.name.clone() });
        packages.filter_map(|package| self.built(&package)).collect()
    }

    /// A package that was built and all that it needs to run.
    ///
    /// # Errors
    /// A requirement that no recipe of the tree meets.
    pub fn runtime(&self, package: &PackageRef) -> Result<Vec<BuiltPackage>, Error> {
        let closure = recipe::runtime_closure(self.graph.tree(), std::slice::from_ref(package), &self.known)?;
        Ok(closure.iter().filter_map(|package| self.built(package)).collect())
    }

    /// The log of a recipe's last build.
    pub fn log(&self, recipe: &RecipeId) -> PathBuf {
        self.caches.log(recipe).1
    }

    /// Opens a shell in the room of a recipe, its sources unpacked; everything is gone when the shell ends.
    ///
    /// # Errors
    /// A dependency that does not build, a room that can not be made.
    pub fn shell(&mut self, recipe: &RecipeId, events: &mut dyn Events) -> Result<sandbox::Exit, Error> {
        let needed: Vec<PackageRef> = self
            .graph
            .order(std::slice::from_ref(recipe))?
            .into_iter()
            .filter(|id| id != recipe)
            .map(PackageRef::main)
            .collect();
        self.build(&needed, events)?;
        let recipe = self.graph.tree().load(recipe)?;
        refuse_networked(&recipe)?;
        if !recipe.has_build() {
            let what = "it has no build script, so there is no room to open a shell in".to_owned();
            return Err(Error::Unsupported { recipe: Box::new(recipe.id().clone()), what });
        }
        let room = self.graph.room(recipe.id(), &self.known)?;
        let job = self.prepare(&recipe, &room, events)?;
        room::shell(recipe.id(), job.plan.build_room("build", &job.workplace))
    }

    pub(crate) fn built(&self, package: &PackageRef) -> Option<BuiltPackage> {
        let (built, packed) = self.known.packed(package)?;
        let path = self.caches.package(built.pack_key, packed);
        Some(BuiltPackage { package: package.clone(), path, id: packed.id, fresh: built.fresh })
    }

    /// Gets all the seeds that are missing in one go: one call of the package manager instead of fifty.
    fn fetch_seeds(&mut self, order: &[RecipeId], events: &mut dyn Events) -> Result<(), Error> {
        let mut missing = Vec::new();
        for id in order.iter().filter(|id| id.release == Release(0)) {
            let recipe = self.graph.tree().load(id)?;
            let key = keys::build_key(&self.graph, &recipe, &[])?.digest();
            if self.caches.builds().stat(&self.caches.install_tree(key).0)?.is_none() {
                missing.push(recipe);
            }
        }
        self.sources.fetch(&missing, events, self.stop).map(drop)
    }

    /// Makes sure that the packages of a recipe are there; its dependencies are.
    fn ensure(&mut self, id: &RecipeId, events: &mut dyn Events) -> Result<bool, Error> {
        let recipe = self.graph.tree().load(id)?;
        refuse_networked(&recipe)?;
        let room = self.graph.room(id, &self.known)?;
        let (tree, built) = if recipe.recipe_type().has(Flag::MetaOnly) {
            (None, false)
        } else {
            let (path, built) = self.install_tree(&recipe, &room, events)?;
            (Some(packing::open_tree(&path)?), built)
        };
        let pack_key =
            keys::pack_key(&recipe, tree.as_ref().map(|tree| tree.package().id()), self.graph.arch()).digest();
        if let Some(result) = self.caches.result(pack_key)?.filter(|_| !built) {
            self.known.insert(id, Built { pack_key, result, fresh: false });
            return Ok(false);
        }
        let folder = self.caches.new_result()?;
        let packages = Packing { recipe: &recipe, arch: self.graph.arch(), folder: folder.root() }.run(tree)?;
        let result = PackResult::new(id, packages);
        self.known.insert(id, Built { pack_key, result: result.clone(), fresh: true });
        let tested = self.test(&recipe, &room, folder.root(), events);
        if let Err(error) = tested.and_then(|()| self.caches.keep(folder, pack_key, &result)) {
            self.known.remove(id);
            return Err(error);
        }
        Ok(true)
    }

    /// The install tree of a recipe, from the cache or built now.
    fn install_tree(
        &mut self,
        recipe: &Recipe,
        room: &[RoomPackage],
        events: &mut dyn Events,
    ) -> Result<(PathBuf, bool), Error> {
        let layers: Vec<(Option<PkgPath>, Digest)> = room
            .iter()
            .filter_map(|package| Some((package.at.clone(), self.known.packed(&package.package)?.1.tree)))
            .collect();
        let key = keys::build_key(&self.graph, recipe, &layers)?.digest();
        let (name, path) = self.caches.install_tree(key);
        let is_wanted_anew = self.options.rebuild && recipe.has_build();
        if self.caches.builds().stat(&name)?.is_some() && !is_wanted_anew {
            return Ok((path, false));
        }
        let _turn = self.caches.turn(recipe.id(), self.stop)?;
        if self.caches.builds().stat(&name)?.is_some() && !is_wanted_anew {
            // Somebody else built it while we waited.
            return Ok((path, false));
        }
        let job = self.prepare(recipe, room, events)?;
        if recipe.has_build() {
            self.run_build(&job, events)?;
        }
        self.collect(recipe, &job, &name)?;
        Ok((path, true))
    }

    fn run_build(&self, job: &Job<'_>, events: &mut dyn Events) -> Result<(), Error> {
        let (name, path) = self.caches.log(job.plan.recipe.id());
        self.caches.builds().remove_tree(&name)?;
        let file = self.caches.builds().create_file(&name, Mode::from_raw(0o644))?;
        let mut log = Log::new(file);
        events.building(job.plan.recipe.id(), &path);
        let has_check = job.plan.recipe.has_check();
        for script in ["build", "check"].into_iter().filter(|script| *script == "build" || has_check) {
            let room = job.plan.build_room(script, &job.workplace);
            log = self.run_script(job, script, &room, log, &path, events)?;
        }
        log.finish().map(drop).map_err(io_error("write the log", &path))
    }

    /// Runs one script, and explains it when it fails.
    pub(crate) fn run_script(
        &self,
        job: &Job<'_>,
        script: &'static str,
        room: &sandbox::Room,
        mut log: Log,
        path: &Path,
        events: &mut dyn Events,
    ) -> Result<Log, Error> {
        let recipe = job.plan.recipe.id();
        let (outcome, kept) = room::run(recipe, room, &mut log, self.stop, self.options.shell_on_failure)?;
        if outcome.success() {
            return Ok(log);
        }
        let excerpt = log.finish().map_err(io_error("write the log", path))?;
        let how = room::ending(&outcome);
        if let Some(kept) = kept {
            let (log, what) = (path.display(), "this shell is in its room, as it was left");
            events.warning(recipe, &format!("`{script}` {how}; its log is {log}; {what}"));
            room::shell_in(recipe, &kept)?;
        }
        Err(Error::Failed(Box::new(FailedScript {
            recipe: recipe.clone(),
            script,
            how,
            first_error: excerpt.first_error,
            tail: excerpt.tail,
            log: path.to_owned(),
            kept: if self.options.keep_failed { Some(self.keep_failed(job)?) } else { None },
        })))
    }

    /// A copy of the failed build's folder that stays, under the recipe's name.
    fn keep_failed(&self, job: &Job<'_>) -> Result<PathBuf, Error> {
        let id = job.plan.recipe.id();
        let name = plain(&format!("{}-{}-{}.failed", id.name, id.version.upstream(), id.release));
        let builds = self.caches.builds();
        builds.remove_tree(&name)?;
        builds.create_dir(&name, Mode::from_raw(0o700))?;
        for part in ["build", "dest"] {
            let from = job.folder.path().join(part.as_bytes()).expect("it is a file name");
            let to = name.join(part.as_bytes()).expect("it is a file name");
            builds.rename(&from, &to, Rename::NoReplace)?;
        }
        Ok(builds.path().join(name.as_path()))
    }

    /// Packs what a build staged as the recipe's install tree.
    fn collect(&self, recipe: &Recipe, job: &Job<'_>, name: &PkgPath) -> Result<(), Error> {
        let dest = job.folder.root().sub(&plain("dest"))?;
        let id = recipe.id();
        let meta = PackageMeta::new(id.name.clone(), id.version.clone(), id.release, self.graph.arch().clone());
        let mut options = PackOptions::default();
        options.clamp_mtime = Some(job.plan.date);
        let is_seed = id.release == Release(0);
        let shut = access::open_up(&dest)?;
        let keep = move |entry: &mut Entry| {
            if let (Some(mode), Some(left)) = (entry.kind.mode_mut(), shut.get(&entry.path)) {
                *mode = *left;
            }
            Ok(if is_seed && is_left_out(&entry.path) { Keep::No } else { Keep::Yes })
        };
        let packer = Packer::new(&dest, meta, options).filter(keep);
        let packed = packer.create(self.caches.builds(), name, Durability::Atomic).map_err(|error| Error::Package {
            action: "pack the install tree of",
            path: dest.path().to_owned(),
            error,
        })?;
        if packed.record.manifest().entries().is_empty() {
            self.caches.builds().remove_tree(name)?;
            let what = "the build installed nothing: what belongs into the package goes below $DESTDIR".to_owned();
            return Err(Error::Result { recipe: Box::new(id.clone()), what });
        }
        Ok(())
    }
}

/// A build with network is sound only if its result is held against a digest known beforehand, which is not done here.
fn refuse_networked(recipe: &Recipe) -> Result<(), Error> {
    if recipe.recipe_type().kind == Kind::Binary || !recipe.has_build() {
        return Ok(());
    }
    let what = "a `source` recipe with a build script is not built by this builder; name what it fetches in `sources`";
    Err(Error::Unsupported { recipe: Box::new(recipe.id().clone()), what: what.to_owned() })
}

fn is_left_out(path: &PkgPath) -> bool {
    SEED_LEAVES.iter().any(|folder| path.is_within(&plain(folder)))
}
