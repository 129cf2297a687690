use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pkgtypes::{Arch, Digest, PackageName, PkgPath};

use crate::explanation::{Explanation, HASH_DOMAIN};
use crate::folder::{Folder, problem};
use crate::lines::LineFile;
use crate::outputs::Outputs;
use crate::{
    Dependency, Flag, FolderProblem, Kind, LineProblem, Link, Lock, Meta, Perm, RecipeError, RecipeFile, RecipeId,
    RecipeType, Rundeps, Source, SourceDigest, SourceKind, Variable, Waiver, dependency, env, link, perm, source,
    suggest, waiver,
};

/// A recipe, read and checked: nothing in its folder was passed over.
#[derive(Debug, Clone)]
pub struct Recipe {
    id: RecipeId,
    folder: PathBuf,
    recipe_type: RecipeType,
    dependencies: Vec<Dependency>,
    arch_dependencies: BTreeMap<Arch, Vec<Dependency>>,
    rundeps: BTreeMap<PackageName, Rundeps>,
    metas: BTreeMap<PackageName, Meta>,
    sources: Vec<Source>,
    outputs: Outputs,
    environment: Vec<Variable>,
    waivers: Vec<Waiver>,
    lock: Lock,
    perms: Vec<Perm>,
    links: Vec<Link>,
    files: Vec<RecipeFile>,
    recipe_hash: Digest,
}

/// Files at the top of a recipe's folder that have a meaning.
pub const KNOWN_FILES: [&str; 14] = [
    "build", "check", "deps", "env", "links", "lint", "lock", "meta", "outputs", "perms", "rundeps", "sources", "test",
    "type",
];

/// Files at the top that are programs.
const PROGRAMS: [&str; 3] = ["build", "check", "test"];
/// Line files with dotted variants.
const DOTTED: [&str; 3] = ["deps.", "meta.", "rundeps."];
/// Architectures that `deps.<arch>` may name.
const ARCHES: [&str; 12] = [
    "x86_64",
    "aarch64",
    "riscv64",
    "i686",
    "i586",
    "armv7",
    "arm",
    "ppc64le",
    "powerpc64",
    "s390x",
    "loongarch64",
    "x86",
];

impl Recipe {
    /// Reads the recipe in `folder`.
    ///
    /// # Errors
    /// The first thing in the folder that is not as it must be.
    pub fn load(folder: &Path, id: RecipeId) -> Result<Self, RecipeError> {
        let is_line_file = |name: &str| {
            let known = KNOWN_FILES.contains(&name) && !PROGRAMS.contains(&name);
            known || (!name.contains('/') && DOTTED.iter().any(|prefix| name.starts_with(prefix)))
        };
        let folder = Folder::read(folder, is_line_file)?;
        Self::from_folder(&folder, id)
    }

    fn from_folder(folder: &Folder, id: RecipeId) -> Result<Self, RecipeError> {
        let lines = |name: &str| LineFile::parse_in(folder, name);
        let missing = FolderProblem::Missing { name: "type", reason: "it says `source` or `binary`" };
        let recipe_type = RecipeType::parse(&lines("type")?)?.ok_or_else(|| problem(&folder.path, missing))?;
        let outputs = Outputs::parse(&lines("outputs")?)?;
        let recipe = Self {
            recipe_type,
            dependencies: dependency::parse(&lines("deps")?)?,
            arch_dependencies: arch_dependencies(folder)?,
            rundeps: variants(folder, &id, &outputs, "rundeps", Rundeps::parse)?,
            metas: variants(folder, &id, &outputs, "meta", Meta::parse)?,
            sources: source::parse(&lines("sources")?, &id)?,
            environment: env::parse(&lines("env")?)?,
            waivers: waiver::parse(&lines("lint")?)?,
            lock: Lock::parse(&lines("lock")?)?,
            perms: perm::parse(&lines("perms")?)?,
            links: link::parse(&lines("links")?)?,
            outputs,
            files: folder.files.values().cloned().collect(),
            recipe_hash: hash(folder),
            folder: folder.path.clone(),
            id,
        };
        recipe.check(folder)?;
        Ok(recipe)
    }

    /// Which recipe this is.
    pub fn id(&self) -> &RecipeId {
        &self.id
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file `type`.
    pub fn recipe_type(&self) -> &RecipeType {
        &self.recipe_type
    }

    /// The lines of `deps` and of `deps.<arch>` for that architecture.
    pub fn dependencies(&self, arch: &Arch) -> impl Iterator<Item = &Dependency> {
        self.dependencies.iter().chain(self.arch_dependencies.get(arch).into_iter().flatten())
    }

    /// What a package of this recipe needs to run, beside what is found in its files.
    pub fn rundeps(&self, package: &PackageName) -> &Rundeps {
        const NONE: &Rundeps = &Rundeps { requires: Vec::new(), without: Vec::new() };
        self.rundeps.get(package).unwrap_or(NONE)
    }

    /// What is said of a package of this recipe; another output takes over `url`, `license` and `source-date`.
    pub fn meta(&self, package: &PackageName) -> Meta {
        let main = self.metas.get(&self.id.name).cloned().unwrap_or_default();
        if *package == self.id.name {
            return main;
        }
        self.metas.get(package).cloned().unwrap_or_default().inheriting(&main)
    }

    /// The lines of `sources`.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// How the install tree is split into packages.
    pub fn outputs(&self) -> &Outputs {
        &self.outputs
    }

    /// The packages that this recipe makes: its own name first, then the other outputs in their order.
    pub fn packages(&self) -> impl Iterator<Item = &PackageName> {
        let others = self.outputs.rules().iter().map(|rule| &rule.package);
        std::iter::once(&self.id.name).chain(others.filter(|name| **name != self.id.name))
    }

    /// The lines of `env`.
    pub fn environment(&self) -> &[Variable] {
        &self.environment
    }

    /// The lines of `lint`.
    pub fn waivers(&self) -> &[Waiver] {
        &self.waivers
    }

    /// The lines of `lock`.
    pub fn lock(&self) -> &Lock {
        &self.lock
    }

    /// The lines of `perms`.
    pub fn perms(&self) -> &[Perm] {
        &self.perms
    }

    /// The lines of `links`.
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// Whether there is a `build` script.
    pub fn has_build(&self) -> bool {
        self.file("build").is_some()
    }

    /// Whether there is a `check` script that is to be run.
    pub fn has_check(&self) -> bool {
        self.file("check").is_some() && !self.recipe_type.has(Flag::Nocheck)
    }

    /// Whether there is a `test` script.
    pub fn has_test(&self) -> bool {
        self.file("test").is_some()
    }

    /// Every file of the folder, sorted by path.
    pub fn files(&self) -> &[RecipeFile] {
        &self.files
    }

    /// The files without a meaning of their own, which the build script finds at `/recipe`.
    pub fn resources(&self) -> impl Iterator<Item = &RecipeFile> {
        self.files.iter().filter(|file| !has_meaning(&file.path))
    }

    /// The file called `name` at the top.
    pub fn file(&self, name: &str) -> Option<&RecipeFile> {
        self.files.iter().find(|file| file.path.as_bytes() == name.as_bytes())
    }

    /// The recipe hash: paths, execute bits and bytes of this folder alone.
    pub fn recipe_hash(&self) -> Digest {
        self.recipe_hash
    }

    fn check(&self, folder: &Folder) -> Result<(), RecipeError> {
        self.check_programs(folder)?;
        self.check_latest()?;
        self.check_resources(folder)?;
        match self.recipe_type.kind {
            Kind::Source => self.check_source(folder),
            Kind::Binary if self.recipe_type.has(Flag::MetaOnly) => self.check_meta_only(folder),
            Kind::Binary => self.check_binary(folder),
        }
    }

    fn check_programs(&self, folder: &Folder) -> Result<(), RecipeError> {
        for name in PROGRAMS {
            if folder.file(name).is_some_and(|file| !file.executable) {
                return Err(problem(&folder.path.join(name), FolderProblem::NotExecutable));
            }
        }
        Ok(())
    }

    fn check_latest(&self) -> Result<(), RecipeError> {
        let all = self.dependencies.iter().chain(self.arch_dependencies.values().flatten());
        for dependency in all.filter(|dependency| dependency.latest && self.recipe_type.kind == Kind::Binary) {
            let name = &dependency.spec.name;
            if self.lock.find(name).is_none() {
                let problem = LineProblem::Unlocked { name: name.clone() };
                return Err(RecipeError::Line { position: dependency.position.clone(), problem });
            }
        }
        Ok(())
    }

    /// Every resource that a line names must be there.
    fn check_resources(&self, folder: &Folder) -> Result<(), RecipeError> {
        for source in self.sources.iter().filter(|source| source.digest == SourceDigest::Resource) {
            let there = match source.kind {
                SourceKind::Dir => folder.has_folder(&source.name),
                _ => folder.files.contains_key(&source.name),
            };
            if !there {
                return Err(self.no_such_file(&source.name, &source.position));
            }
        }
        for script in self.metas.values().flat_map(|meta| meta.scripts.iter()) {
            if !folder.files.contains_key(&script.path) {
                return Err(self.no_such_file(&script.path, &script.position));
            }
        }
        Ok(())
    }

    fn no_such_file(&self, path: &PkgPath, position: &crate::Position) -> RecipeError {
        let word = path.to_string();
        let known: Vec<String> = self.resources().map(|file| file.path.to_string()).collect();
        let suggestions = suggest::nearest(&word, known.iter().map(String::as_str));
        RecipeError::Line { position: position.clone(), problem: LineProblem::NoSuchFile { word, suggestions } }
    }

    fn check_source(&self, folder: &Folder) -> Result<(), RecipeError> {
        for (name, reason) in [
            ("links", "`links` is for binary recipes without a build script"),
            ("outputs", "a source recipe makes one package, so `outputs` can not be there"),
            ("check", "a source recipe has nothing to check"),
            ("test", "a source recipe has nothing to test"),
        ] {
            refuse(folder, name, reason)?;
        }
        if self.sources.is_empty() && !self.has_build() {
            let reason = "without a build script something must be fetched";
            return Err(problem(&folder.path, FolderProblem::Missing { name: "sources", reason }));
        }
        Ok(())
    }

    fn check_meta_only(&self, folder: &Folder) -> Result<(), RecipeError> {
        let for_arches = folder.variants("deps.").map(|(file, _)| file);
        let refused = ["build", "check", "deps", "env", "links", "lock", "outputs", "perms", "sources"];
        for name in refused.into_iter().chain(for_arches) {
            refuse(folder, name, "a `meta-only` recipe has no files, it only needs others")?;
        }
        Ok(())
    }

    fn check_binary(&self, folder: &Folder) -> Result<(), RecipeError> {
        if self.has_build() {
            return refuse(folder, "links", "`links` is for recipes without a build script");
        }
        refuse(folder, "check", "without a build script there is nothing to check")?;
        if self.sources.is_empty() {
            let reason = "a binary recipe builds, or unpacks `sources`, or is `meta-only`";
            return Err(problem(&folder.path, FolderProblem::Missing { name: "build", reason }));
        }
        Ok(())
    }
}

fn refuse(folder: &Folder, name: &str, reason: &'static str) -> Result<(), RecipeError> {
    match folder.file(name) {
        Some(_) => Err(problem(&folder.path.join(name), FolderProblem::Surplus { reason })),
        None => Ok(()),
    }
}

fn has_meaning(path: &PkgPath) -> bool {
    let Ok(name) = std::str::from_utf8(path.as_bytes()) else { return false };
    KNOWN_FILES.contains(&name) || (!name.contains('/') && DOTTED.iter().any(|prefix| name.starts_with(prefix)))
}

fn hash(folder: &Folder) -> Digest {
    let mut hash = Explanation::new(HASH_DOMAIN);
    for file in folder.files.values() {
        hash.file("file", file);
    }
    hash.digest()
}

impl<'a> LineFile<'a> {
    /// The line file called `name`, empty where there is none.
    fn parse_in(folder: &'a Folder, name: &str) -> Result<Self, RecipeError> {
        let (path, bytes) = folder.text(name).unwrap_or((&folder.path, &[]));
        Self::parse(path, bytes)
    }
}

fn arch_dependencies(folder: &Folder) -> Result<BTreeMap<Arch, Vec<Dependency>>, RecipeError> {
    let mut all = BTreeMap::new();
    for (file, word) in folder.variants("deps.") {
        let arch = word.parse().ok().filter(|_| ARCHES.contains(&word));
        let arch: Arch = arch.ok_or_else(|| {
            let suggestions = suggest::nearest(word, ARCHES);
            let unknown = FolderProblem::UnknownVariant { what: "architecture", word: word.to_owned(), suggestions };
            problem(&folder.path.join(file), unknown)
        })?;
        all.insert(arch, dependency::parse(&LineFile::parse_in(folder, file)?)?);
    }
    Ok(all)
}

/// `FILE` for the package with the recipe's name, and `FILE.<output>` for the others.
fn variants<T>(
    folder: &Folder,
    id: &RecipeId,
    outputs: &Outputs,
    file: &str,
    parse: impl Fn(&LineFile<'_>) -> Result<T, RecipeError>,
) -> Result<BTreeMap<PackageName, T>, RecipeError> {
    let mut all = BTreeMap::new();
    all.insert(id.name.clone(), parse(&LineFile::parse_in(folder, file)?)?);
    for (name, word) in folder.variants(&format!("{file}.")) {
        let others = || outputs.rules().iter().map(|rule| &rule.package).filter(|output| **output != id.name);
        let Some(output) = others().find(|output| output.as_str() == word) else {
            let suggestions = suggest::nearest(word, others().map(PackageName::as_str));
            let unknown = FolderProblem::UnknownVariant { what: "output", word: word.to_owned(), suggestions };
            return Err(problem(&folder.path.join(name), unknown));
        };
        all.insert(output.clone(), parse(&LineFile::parse_in(folder, name)?)?);
    }
    Ok(all)
}
