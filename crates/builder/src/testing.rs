//! The recipe's own test of its packages.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use pkgfs::Root;
use pkgtypes::{Mode, Relation, Timestamp};
use recipe::{PackageRef, Recipe, RoomPackage};

use crate::assembly::{Job, make_skeleton};
use crate::builder::Builder;
use crate::caches::plain;
use crate::log::Log;
use crate::room::Workplace;
use crate::{Error, Events, facts, io_error};

/// Longest `#!` line that is looked at; the kernel reads no more.
const SHEBANG: u64 = 256;

impl Builder<'_> {
    /// Runs `test` in a room that holds the new packages, what they need to run, and what runs the script itself.
    pub(crate) fn test(
        &self,
        recipe: &Recipe,
        room: &[RoomPackage],
        folder: &Root,
        events: &mut dyn Events,
    ) -> Result<(), Error> {
        if !recipe.has_test() {
            return Ok(());
        }
        let closure = self.test_closure(recipe, room)?;
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
        let log = self.run_script(&job, "test", &job.plan.test_room(), log, &path, events)?;
        log.finish().map(drop).map_err(io_error("write the log", &path))
    }

    /// The recipe's packages with what they need to run, and what runs the script.
    fn test_closure(&self, recipe: &Recipe, room: &[RoomPackage]) -> Result<BTreeSet<PackageRef>, Error> {
        let own: Vec<PackageRef> = recipe
            .packages()
            .map(|output| PackageRef { recipe: recipe.id().clone(), output: output.clone() })
            .collect();
        let closure_of = |roots: &[PackageRef]| recipe::runtime_closure(self.graph.tree(), roots, &self.known);
        let mut closure: BTreeSet<PackageRef> = closure_of(&own)?.into_iter().collect();
        // A closure of its own: the script may be run by a seed of the very package that is tested.
        if let Some(interpreter) = self.interpreter_of_test(recipe, room)? {
            closure.extend(closure_of(&[interpreter])?);
        }
        Ok(closure)
    }

    /// The package that runs the test script: of the build room where it has one.
    fn interpreter_of_test(&self, recipe: &Recipe, room: &[RoomPackage]) -> Result<Option<PackageRef>, Error> {
        let path = recipe.folder().join("test");
        let mut head = Vec::new();
        let file = File::open(&path).map_err(io_error("open", &path))?;
        file.take(SHEBANG).read_to_end(&mut head).map_err(io_error("read", &path))?;
        let Some(command) = facts::interpreter(&head) else { return Ok(None) };
        let Ok(capability) = format!("cmd:{command}").parse() else { return Ok(None) };
        let offering: Vec<&PackageRef> = self.known.offering(&Relation::any(capability)).collect();
        let in_room = offering.iter().find(|package| room.iter().any(|other| other.package == ***package));
        Ok(in_room.or(offering.first()).map(|package| (*package).clone()))
    }
}
