//! Whatever is installed, replaced and removed in whatever order: the root holds what its packages say, and no more.

use std::collections::BTreeMap;

use installdb::{Error, Options};
use proptest::prelude::*;

use crate::scene::{Pack, Scene, pack};

/// A path of a package, and what stands there.
#[derive(Debug, Clone)]
enum Thing {
    File(String, u8),
    Link(String),
    Folder(String),
}

fn thing() -> impl Strategy<Value = Thing> {
    // Few names, so that packages meet, and one is a folder to this and a file to that.
    let path = prop_oneof!["[ab]", "[ab]/[cd]", "[ab]/[cd]/[ef]"];
    (path, 0..6_u8).prop_map(|(path, what)| match what {
        0..4 => Thing::File(path, what / 2),
        4 => Thing::Link(path),
        _ => Thing::Folder(path),
    })
}

/// A step: a package of this name with these things, or its removal where there are none.
fn step() -> impl Strategy<Value = (char, Vec<Thing>)> {
    (prop_oneof![Just('x'), Just('y'), Just('z')], prop::collection::vec(thing(), 0..6))
}

/// Things that contradict each other within one package are left out: the first one counts.
fn packed(name: char, version: usize, things: &[Thing]) -> Pack {
    let mut taken: BTreeMap<String, bool> = BTreeMap::new();
    let mut made = pack(&format!("{name} {version}-1"));
    for thing in things {
        let (Thing::File(path, _) | Thing::Link(path) | Thing::Folder(path)) = thing;
        let parents: Vec<&str> = path.match_indices('/').map(|(at, _)| &path[..at]).collect();
        let blocked = parents.iter().any(|parent| taken.get(*parent) == Some(&false));
        if blocked || taken.contains_key(path) {
            continue;
        }
        taken.extend(parents.iter().map(|parent| ((*parent).to_owned(), true)));
        taken.insert(path.clone(), matches!(thing, Thing::Folder(_)));
        made = match thing {
            Thing::File(path, content) => made.file(path, 0o644, [*content]),
            Thing::Link(path) => made.symlink(path, "target"),
            Thing::Folder(path) => made.dir(path, 0o755),
        };
    }
    made
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_root_is_the_sum_of_its_packages(steps in prop::collection::vec(step(), 1..8)) {
        let mut scene = Scene::in_memory();
        scene.options = Options::default();
        drop(scene.open());
        let mut present = BTreeMap::new();
        for (version, (name, things)) in steps.iter().enumerate() {
            let before = scene.tree();
            let built = packed(*name, version, things).build();
            let changed = match things.is_empty() {
                true if present.contains_key(name) => scene.change(&[], &[&name.to_string()]),
                true => continue,
                false => scene.change(&[&built], &[]),
            };
            match changed {
                Ok(_) if things.is_empty() => drop(present.remove(name)),
                Ok(_) => drop(present.insert(*name, built)),
                Err(Error::Refused(_)) => prop_assert_eq!(scene.tree(), before),
                Err(error) => return Err(TestCaseError::fail(error.to_string())),
            }
            // A root into which the same packages are put at once.
            let fresh = Scene::in_memory();
            drop(fresh.open());
            fresh.install(&present.values().collect::<Vec<_>>());
            prop_assert_eq!(scene.tree(), fresh.tree());
            prop_assert_eq!(scene.installed().verify(&[]).unwrap(), []);
        }
    }
}
