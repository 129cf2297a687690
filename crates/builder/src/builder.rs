use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use pkgformat::{Entry, Limits, PackageMeta, Reader};
use pkgfs::{Durability, Rename, Root, TempDir};
use pkgtree::{Keep, PackOptions, Packer, TreeStore};
use pkgtypes::{Arch, Digest, Mode, PackageId, PkgPath, Relation, Release, Requirement, Timestamp};
use recipe::{Flag, Graph, PackageRef, Provider, Recipe, RecipeId, RecipeTree, RoomPackage};

use crate::caches::{Caches, PackResult, Packed};
use crate::error::{Clash, FailedScript};
use crate::log::Log;
use crate::packing::{self, Packing};
use crate::room::{self, RoomPlan, Workplace};
use crate::sources::Sources;
use crate::{Error, Events, RoomLimits, Stop, facts, io_error, keys};

/// Parts of a foreign package that no build needs; seeds come without them.
const SEED_LEAVES: [&str; 5] =
    ["usr/share/doc", "usr/share/info", "usr/share/lintian", "usr/share/locale", "usr/share/man"];

/// How to build.
#[derive(Debug, Clone)]
pub struct BuildOptions {
    /// Jobs that `make` may run at once.
    pub jobs: NonZeroUsize,
    /// Build again what was built before.
    pub rebuild: bool,
    /// Keep the folder of a failed build.
    pub keep_failed: bool,
    /// Only take sources that are in the source store.
    pub offline: bool,
    /// The host's uid and gid of builds when the caller is root.
    pub host_id: u32,
    /// Bounds of each script.
    pub limits: RoomLimits,
}

impl Default for BuildOptions {
    fn default() -> Self {
        Self {
            jobs: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            rebuild: false,
            keep_failed: false,
            offline: false,
            host_id: sandbox::DEFAULT_HOST_ID,
            limits: RoomLimits::default(),
        }
    }
}

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

/// The packages of one recipe in this run.
struct Built {
    pack_key: Digest,
    result: PackResult,
    fresh: bool,
}

/// Builds recipes of one tree.
pub struct Builder<'a> {
    graph: Graph<'a>,
    options: BuildOptions,
    caches: Caches,
    trees: TreeStore,
    sources: Sources,
    stop: Stop<'a>,
    known: Known,
}

/// What was built or found built in this run.
#[derive(Default)]
struct Known {
    built: BTreeMap<RecipeId, Built>,
    /// Who offers a capability.
    offers: BTreeMap<String, Vec<(PackageRef, Relation)>>,
}

impl Known {
    fn insert(&mut self, recipe: &RecipeId, built: Built) {
        for packed in &built.result.packages {
            let package = PackageRef { recipe: recipe.clone(), output: packed.name.clone() };
            for offer in &packed.provides {
                let offers = self.offers.entry(offer.capability.as_str().to_owned()).or_default();
                offers.push((package.clone(), offer.clone()));
            }
        }
        self.built.insert(recipe.clone(), built);
    }

    fn remove(&mut self, recipe: &RecipeId) {
        self.built.remove(recipe);
        for offers in self.offers.values_mut() {
            offers.retain(|(package, _)| package.recipe != *recipe);
        }
    }

    fn packed(&self, package: &PackageRef) -> Option<(&Built, &Packed)> {
        let built = self.built.get(&package.recipe)?;
        Some((built, built.result.packages.iter().find(|packed| packed.name == package.output)?))
    }

    fn offering(&self, relation: &Relation) -> impl Iterator<Item = &PackageRef> {
        let offers = self.offers.get(relation.capability.as_str()).map_or(&[][..], Vec::as_slice);
        offers.iter().filter(|(_, offer)| relation.satisfied_by(offer)).map(|(package, _)| package)
    }
}

impl recipe::Facts for Known {
    fn found(&self, package: &PackageRef) -> Vec<Requirement> {
        self.packed(package).map(|(_, packed)| packed.found.clone()).unwrap_or_default()
    }

    /// A library that nobody built so far may be private to a package; installing says if it is really missing.
    fn provider(&self, relation: &Relation) -> Provider {
        self.offering(relation).next().map_or(Provider::Unknown, |package| Provider::Package(package.clone()))
    }
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
            sources: Sources::open(cache, options.offline)?,
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
        let room = self.graph.room(recipe.id(), &self.known)?;
        let job = self.prepare(&recipe, &room, events)?;
        room::shell(recipe.id(), job.plan.build_room("build", &job.workplace))
    }

    fn built(&self, package: &PackageRef) -> Option<BuiltPackage> {
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
        self.sources.fetch(&missing, events, self.stop)
    }

    /// Makes sure that the packages of a recipe are there; its dependencies are.
    fn ensure(&mut self, id: &RecipeId, events: &mut dyn Events) -> Result<bool, Error> {
        let recipe = self.graph.tree().load(id)?;
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
        let job = self.prepare(recipe, room, events)?;
        if recipe.has_build() {
            self.run_build(&job, events)?;
        }
        self.collect(recipe, &job, &name)?;
        Ok((path, true))
    }

    /// Everything that a script of a recipe works with, on disk.
    fn prepare<'r>(
        &mut self,
        recipe: &'r Recipe,
        room: &[RoomPackage],
        events: &mut dyn Events,
    ) -> Result<Job<'r>, Error> {
        let folder = self.caches.workplace()?;
        for name in ["build", "dest", "skeleton"] {
            folder.root().create_dir(&plain(name), Mode::from_raw(0o755))?;
        }
        let sub = |name: &str| folder.root().sub(&plain(name));
        self.sources.fetch(&[Arc::new(recipe.clone())], events, self.stop)?;
        let newest = if recipe.has_build() {
            let inside = plain(&room::build_folder(recipe.id()));
            let build = sub("build")?;
            build.create_dir(&inside, Mode::from_raw(0o755))?;
            self.sources.stage(recipe, &build, Some(inside))?
        } else {
            self.sources.stage(recipe, &sub("dest")?, None)?
        };
        make_skeleton(&sub("skeleton")?)?;
        let absolute = |name: &str| folder.root().path().join(name);
        let workplace = Workplace { build: absolute("build"), dest: absolute("dest") };
        let mut layers = vec![absolute("skeleton")];
        let mut placed = Vec::new();
        let mut variables = Vec::new();
        if recipe.has_build() {
            self.check_clashes(recipe, room)?;
        }
        for package in room.iter().filter(|_| recipe.has_build()) {
            let tree = self.layer(&package.package)?;
            let Some(at) = &package.at else {
                layers.push(tree);
                continue;
            };
            let place = Path::new("/").join(at.as_path());
            variables.extend(package.variable.iter().map(|name| (name.clone(), place.display().to_string())));
            placed.push((tree, place));
        }
        let date = recipe.meta(&recipe.id().name).source_date.unwrap_or(newest);
        let plan = self.plan(recipe, layers, placed, variables, date);
        Ok(Job { plan, workplace, folder })
    }

    fn plan<'r>(
        &self,
        recipe: &'r Recipe,
        layers: Vec<PathBuf>,
        placed: Vec<(PathBuf, PathBuf)>,
        variables: Vec<(String, String)>,
        date: Timestamp,
    ) -> RoomPlan<'r> {
        let date = Timestamp::from_seconds(date.seconds().max(1));
        let BuildOptions { jobs, host_id, limits, .. } = self.options.clone();
        RoomPlan { recipe, layers, placed, variables, date, jobs: jobs.get(), host_id, limits }
    }

    /// A package's tree, unpacked.
    fn layer(&self, package: &PackageRef) -> Result<PathBuf, Error> {
        let built = self.built(package).expect("the packages of a room are built before it");
        self.unpacked(&built.path, built.id)
    }

    fn unpacked(&self, path: &Path, id: PackageId) -> Result<PathBuf, Error> {
        let failed = |error| Error::Package { action: "unpack", path: path.to_owned(), error };
        let known = self.trees.tree(&id).map_err(failed)?;
        if let Some(tree) = known {
            return Ok(tree.path().to_owned());
        }
        let file = File::open(path).map_err(io_error("open", path))?;
        let reader = Reader::open(BufReader::new(file), Limits::default()).map_err(|error| failed(error.into()))?;
        self.trees.add(reader).map(|tree| tree.path().to_owned()).map_err(failed)
    }

    /// Two packages at the root of a room may share folders and nothing else.
    fn check_clashes(&self, recipe: &Recipe, room: &[RoomPackage]) -> Result<(), Error> {
        let mut owners: BTreeMap<PkgPath, (&PackageRef, bool)> = BTreeMap::new();
        for package in room.iter().filter(|package| package.at.is_none()).map(|package| &package.package) {
            let built = self.built(package).expect("the packages of a room are built before it");
            let tree = packing::open_tree(&built.path)?;
            for entry in tree.package().manifest().entries() {
                let is_folder = matches!(entry.kind, pkgformat::EntryKind::Dir { .. });
                let first = *owners.entry(entry.path.clone()).or_insert((package, is_folder));
                if first.0 != package && !(first.1 && is_folder) {
                    return Err(Error::Clash(Box::new(Clash {
                        recipe: recipe.id().clone(),
                        first: first.0.clone(),
                        second: package.clone(),
                        path: entry.path.clone(),
                    })));
                }
            }
        }
        Ok(())
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
            log = self.run_script(job, script, &room, log, &path)?;
        }
        log.finish().map(drop).map_err(io_error("write the log", &path))
    }

    /// Runs one script, and explains it when it fails.
    fn run_script(
        &self,
        job: &Job<'_>,
        script: &'static str,
        room: &sandbox::Room,
        mut log: Log,
        path: &Path,
    ) -> Result<Log, Error> {
        let recipe = job.plan.recipe.id();
        let outcome = room::run(recipe, room, &mut log, self.stop)?;
        if outcome.success() {
            return Ok(log);
        }
        let excerpt = log.finish().map_err(io_error("write the log", path))?;
        Err(Error::Failed(Box::new(FailedScript {
            recipe: recipe.clone(),
            script,
            how: room::ending(&outcome),
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
        let keep = move |entry: &mut Entry| Ok(if is_seed && is_left_out(&entry.path) { Keep::No } else { Keep::Yes });
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

    /// Runs `test` in a room that holds the new packages, what they need to run, and what runs the script itself.
    fn test(&self, recipe: &Recipe, room: &[RoomPackage], folder: &Root, events: &mut dyn Events) -> Result<(), Error> {
        if !recipe.has_test() {
            return Ok(());
        }
        let mut roots: Vec<PackageRef> = recipe
            .packages()
            .map(|output| PackageRef { recipe: recipe.id().clone(), output: output.clone() })
            .collect();
        roots.extend(self.interpreter_of_test(recipe, room)?);
        let closure = recipe::runtime_closure(self.graph.tree(), &roots, &self.known)?;
        let work = self.caches.workplace()?;
        work.root().create_dir(&plain("skeleton"), Mode::from_raw(0o755))?;
        let skeleton = work.root().sub(&plain("skeleton"))?;
        make_skeleton(&skeleton)?;
        let mut layers = vec![skeleton.path().to_owned()];
        for package in &closure {
            let own = self.known.packed(package).filter(|_| package.recipe == *recipe.id());
            layers.push(match own {
                Some((_, packed)) => self.unpacked(&folder.path().join(&packed.file), packed.id)?,
                None => self.layer(package)?,
            });
        }
        let job = Job {
            plan: self.plan(recipe, layers, Vec::new(), Vec::new(), Timestamp::EPOCH),
            workplace: Workplace { build: PathBuf::new(), dest: PathBuf::new() },
            folder: work,
        };
        let (name, path) = self.caches.test_log(recipe.id());
        self.caches.builds().remove_tree(&name)?;
        let log = Log::new(self.caches.builds().create_file(&name, Mode::from_raw(0o644))?);
        events.building(recipe.id(), &path);
        let log = self.run_script(&job, "test", &job.plan.test_room(), log, &path)?;
        log.finish().map(drop).map_err(io_error("write the log", &path))
    }

    /// The package that runs the test script: of the build room where it has one.
    fn interpreter_of_test(&self, recipe: &Recipe, room: &[RoomPackage]) -> Result<Option<PackageRef>, Error> {
        let path = recipe.folder().join("test");
        let mut head = Vec::new();
        let file = File::open(&path).map_err(io_error("open", &path))?;
        file.take(256).read_to_end(&mut head).map_err(io_error("read", &path))?;
        let Some(command) = facts::interpreter(&head) else { return Ok(None) };
        let Ok(capability) = format!("cmd:{command}").parse() else { return Ok(None) };
        let offering: Vec<&PackageRef> = self.known.offering(&Relation::any(capability)).collect();
        let in_room = offering.iter().find(|package| room.iter().any(|other| other.package == ***package));
        Ok(in_room.or(offering.first()).map(|package| (*package).clone()))
    }
}

/// One recipe at work; its folder is gone when this is dropped.
struct Job<'r> {
    plan: RoomPlan<'r>,
    workplace: Workplace,
    folder: TempDir,
}

fn make_skeleton(root: &Root) -> Result<(), Error> {
    let etc = plain("etc");
    root.create_dir(&etc, Mode::from_raw(0o755))?;
    for (path, text) in room::SKELETON {
        root.write_file(&plain(path), Mode::from_raw(0o644), text.as_bytes(), Durability::Atomic)?;
    }
    Ok(())
}

fn is_left_out(path: &PkgPath) -> bool {
    SEED_LEAVES.iter().any(|folder| path.is_within(&plain(folder)))
}

/// A path of our own making.
fn plain(path: &str) -> PkgPath {
    PkgPath::new(path.as_bytes()).expect("paths made of recipe words are paths")
}
