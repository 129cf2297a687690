//! Everything that a room is made of, put on disk.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pkgformat::{EntryKind, Limits, Reader};
use pkgfs::{Durability, Root};
use pkgtypes::{Mode, PackageId, PkgPath, Timestamp};
use recipe::{PackageRef, Recipe, RoomPackage};

use crate::builder::Builder;
use crate::caches::{Workspace, plain};
use crate::error::Clash;
use crate::room::{self, RoomPlan, Workplace};
use crate::{BuildOptions, Error, Events, io_error, packing};

/// One recipe at work; its folder is gone when this is dropped.
pub(crate) struct Job<'r> {
    pub(crate) plan: RoomPlan<'r>,
    pub(crate) workplace: Workplace,
    pub(crate) folder: Workspace,
}

pub(crate) fn make_skeleton(root: &Root) -> Result<(), Error> {
    let etc = plain("etc");
    root.create_dir(&etc, Mode::from_raw(0o755))?;
    for (path, text) in room::SKELETON {
        root.write_file(&plain(path), Mode::from_raw(0o644), text.as_bytes(), Durability::Atomic)?;
    }
    Ok(())
}

impl Builder<'_> {
    /// Everything that a script of a recipe works with, on disk.
    pub(crate) fn prepare<'r>(
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

    pub(crate) fn plan<'r>(
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
    pub(crate) fn layer(&self, package: &PackageRef) -> Result<PathBuf, Error> {
        let built = self.built(package).expect("the packages of a room are built before it");
        self.unpacked(&built.path, built.id)
    }

    pub(crate) fn unpacked(&self, path: &Path, id: PackageId) -> Result<PathBuf, Error> {
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
                let is_folder = matches!(entry.kind, EntryKind::Dir { .. });
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
}
