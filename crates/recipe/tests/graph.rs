//! What a room holds, in which order recipes are built, and when a key changes.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests arrange trees of their own")]

mod arrange;

use std::collections::BTreeMap;

use arrange::{Tree, recipe_id};
use pkgtypes::{Arch, Relation, Requirement};
use proptest::prelude::*;
use recipe::{Facts, Graph, Kind, NoFacts, PackageRef, Provider, RecipeTree, runtime_closure};

/// A meta-only seed, a library with two outputs, and a program that uses it.
const WORLD: &str = "\
== tools/1/1
-- type
binary meta-only
-- rundeps
cc/4/0
== cc/4/0
-- type
binary
-- sources
deb cc.deb sha256:31e066137a962676e89f69d1b65382de95a7ef7d914b8cb956f41ea72e0f516b apt:cc=1:4-2
-- rundeps
libc
== libc/2/0
-- type
binary
-- sources
deb libc.deb sha256:7d5b0b6062521e4627e099e4c9dc8248d32a30285e959b7eecaa780cf8cfd4a4 apt:libc=2-1
== zlib/1.2/1
-- type
binary
-- deps
tools
-- sources
tar zlib-%v.tar sha256:164c7849653b80ae67bec4b7473b884bf5cc8d2dca05653475ec2ed27b9ebf61 https://example.org/%n-%v.tar strip=1
-- build
make
-- outputs
zlib-dev: usr/include/**
-- rundeps
libc
-- rundeps.zlib-dev
zlib/1.2/1
-- meta
description=compression
== git/3/1
-- type
binary static
-- deps
tools
zlib-dev from zlib
-- build
make
-- rundeps
zlib>=1
";

fn package(text: &str) -> PackageRef {
    PackageRef::main(recipe_id(text))
}

fn x86_64() -> Arch {
    "x86_64".parse().unwrap()
}

fn names(packages: &[PackageRef]) -> Vec<String> {
    packages.iter().map(ToString::to_string).collect()
}

fn with_graph<T>(tree: &Tree, look: impl FnOnce(&Graph<'_>) -> T) -> T {
    let opened = tree.open().unwrap();
    look(&Graph::new(&opened, x86_64()))
}

fn key(tree: &Tree, id: &str) -> String {
    with_graph(tree, |graph| graph.recipe_key(&recipe_id(id)).unwrap().to_string())
}

#[test]
fn a_room_holds_the_dependencies_and_what_they_need_to_run() {
    let tree = Tree::of(WORLD);
    let room = with_graph(&tree, |graph| graph.room(&recipe_id("git/3/1"), &NoFacts).unwrap());
    let shown: Vec<String> = room.iter().map(|room| format!("{} {}", room.package, room.declared)).collect();
    assert_eq!(
        shown,
        ["tools/1/1 true", "zlib-dev from zlib/1.2/1 true", "cc/4/0 false", "zlib/1.2/1 false", "libc/2/0 false"]
    );
}

#[test]
fn a_dependency_elsewhere_brings_its_own_tree_only() {
    let tree = Tree::of(WORLD);
    tree.put("git/3/1", "deps", "cc at=/opt/cc as=CC_DIR\n");
    let room = with_graph(&tree, |graph| graph.room(&recipe_id("git/3/1"), &NoFacts).unwrap());
    assert_eq!(room.len(), 1);
    assert_eq!(room[0].at.as_ref().unwrap().to_string(), "opt/cc");
    assert_eq!(room[0].variable.as_deref(), Some("CC_DIR"));
}

#[test]
fn dependencies_come_first() {
    let tree = Tree::of(WORLD);
    let order = with_graph(&tree, |graph| graph.order(&[recipe_id("git/3/1")]).unwrap());
    let order: Vec<String> = order.iter().map(ToString::to_string).collect();
    assert_eq!(order, ["libc/2/0", "cc/4/0", "tools/1/1", "zlib/1.2/1", "git/3/1"]);
}

/// Golden: whoever changes this rebuilds the world, and must want to.
#[test]
fn keys_stay_what_they_are() {
    let tree = Tree::of(WORLD);
    assert_eq!(key(&tree, "libc/2/0"), "5ae8d317b202ec126b6b70233e961d6986b8497ec1a4432936ec8a89692b2c11");
    assert_eq!(key(&tree, "git/3/1"), "0322e8dccc9d489a5f9aabb79fda0b86b72ad0da1fdb04b3fffc0d7323dce748");
    let hash = tree.load("zlib/1.2/1").unwrap().recipe_hash().to_string();
    assert_eq!(hash, "279656fbbadabfa4f8cc127beb2a788dec5085dd698c2c365524549428eea036");
}

#[test]
fn a_key_is_explained() {
    let tree = Tree::of(WORLD);
    let explanation = with_graph(&tree, |graph| graph.explain(&recipe_id("zlib/1.2/1")).unwrap());
    let make = pkgtypes::Digest::of("make\n");
    let keys = ["tools/1/1", "cc/4/0", "libc/2/0"].map(|id| key(&tree, id));
    let expected = format!(
        "kista-recipe-key-v1 sha256:{}\n  type binary\n  arch x86_64\n  name zlib\n  version 1.2\n  program x sha256:{make} build\n  \
         source tar zlib-1.2.tar sha256:164c7849653b80ae67bec4b7473b884bf5cc8d2dca05653475ec2ed27b9ebf61 strip=1\n  \
         room / tools sha256:{}\n  room / cc sha256:{}\n  room / libc sha256:{}\n",
        key(&tree, "zlib/1.2/1"),
        keys[0],
        keys[1],
        keys[2],
    );
    assert_eq!(explanation.to_string(), expected);
}

#[test]
fn what_changes_a_key_and_what_does_not() {
    let before = Tree::of(WORLD);
    let changed = |file: &str, content: &str| {
        let tree = Tree::of(WORLD);
        tree.put("zlib/1.2/1", file, content);
        let moved = |id| key(&tree, id) != key(&before, id);
        (moved("zlib/1.2/1"), moved("git/3/1"))
    };
    for (file, content) in [
        ("meta", "description=other\n"),
        ("rundeps", "# nothing new\nlibc\n"),
        ("test", "true\n"),
        ("lint", "no-url # none\n"),
        ("perms", "** 0755 root root\n"),
        (
            "sources",
            "tar zlib-%v.tar sha256:164c7849653b80ae67bec4b7473b884bf5cc8d2dca05653475ec2ed27b9ebf61 https://mirror.example.org/x strip=1\n",
        ),
    ] {
        assert_eq!(changed(file, content), (false, false), "{file}");
    }
    for (file, content) in [
        ("build", "make all\n"),
        ("check", "make check\n"),
        ("env", "A=1\n"),
        ("patches/one.patch", ""),
        ("type", "binary static\n"),
        ("meta", "source-date=1\n"),
        ("deps", "tools\nlibc at=/x\n"),
        (
            "sources",
            "tar zlib-%v.tar sha256:164c7849653b80ae67bec4b7473b884bf5cc8d2dca05653475ec2ed27b9ebf61 https://example.org/%n-%v.tar strip=2\n",
        ),
    ] {
        assert_eq!(changed(file, content), (true, true), "{file}");
    }
    // How a library is split is in its users' rooms, not in its own.
    assert_eq!(changed("outputs", "zlib-dev: usr/include/** usr/lib/*.a\n"), (false, true));
}

#[test]
fn the_recipe_hash_is_of_the_folder_alone() {
    let tree = Tree::of(WORLD);
    let before = tree.load("git/3/1").unwrap().recipe_hash();
    tree.put("zlib/1.2/1", "build", "other\n");
    assert_eq!(tree.load("git/3/1").unwrap().recipe_hash(), before);
    tree.put("git/3/1", "meta", "# comment\n");
    assert_ne!(tree.load("git/3/1").unwrap().recipe_hash(), before);
}

fn order_error(text: &str, id: &str) -> String {
    let tree = Tree::of(text);
    let error = with_graph(&tree, |graph| graph.order(&[recipe_id(id)]).unwrap_err());
    tree.shown(&error)
}

fn built(id: &str, deps: &str, rundeps: &str) -> String {
    format!("== {id}\n-- type\nbinary\n-- build\n-- deps\n{deps}\n-- rundeps\n{rundeps}\n")
}

#[test]
fn recipes_that_need_one_another_are_told_as_a_chain() {
    let text =
        [built("a/1/1", "b", ""), built("b/1/1", "c", ""), built("c/1/1", "", "d"), built("d/1/1", "a", "")].concat();
    assert_eq!(
        order_error(&text, "a/1/1"),
        "these recipes need one another to be built: a/1/1 is built with b of b/1/1 is built with c of c/1/1 runs with d of d/1/1 is built with a of a/1/1"
    );
    assert_eq!(
        order_error(&built("a/1/1", "a", ""), "a/1/1"),
        "these recipes need one another to be built: a/1/1 is built with a of a/1/1"
    );
}

#[test]
fn packages_may_need_one_another_to_run() {
    let tree = Tree::of(&[built("a/1/1", "", "b"), built("b/1/1", "", "a"), built("c/1/1", "a", "")].concat());
    let order = with_graph(&tree, |graph| graph.order(&[recipe_id("c/1/1")]).unwrap());
    assert_eq!(order.last().unwrap().to_string(), "c/1/1");
    assert_eq!(order.len(), 3);
}

#[test]
fn the_older_release_builds_the_newer() {
    let tree = Tree::of(&[built("make/4/0", "", ""), built("make/4/1", "make/4/0", "")].concat());
    let order = with_graph(&tree, |graph| graph.order(&[recipe_id("make/4/1")]).unwrap());
    assert_eq!(order.iter().map(ToString::to_string).collect::<Vec<_>>(), ["make/4/0", "make/4/1"]);
}

#[test]
fn names_that_are_not_there() {
    assert_eq!(
        order_error(&[built("a/1/1", "zlb", ""), built("zlib/1/1", "", "")].concat(), "a/1/1"),
        "no recipe is called `zlb`, which ga/a/1/1/deps:1:1 asks for; did you mean `zlib`?"
    );
    assert_eq!(
        order_error(&[built("a/1/1", "b>=3", ""), built("b/1/1", "", ""), built("b/2/1", "", "")].concat(), "a/1/1"),
        "no recipe satisfies `b>=3`, which ga/a/1/1/deps:1:1 asks for; there are b/2/1, b/1/1"
    );
    assert_eq!(
        order_error(
            &[built("a/1/1", "b-devel from b", ""), built("b/1/1", "", ""), "-- outputs\nb-dev: **\n".into()].concat(),
            "a/1/1"
        ),
        "b/1/1 has no output `b-devel`, which ga/a/1/1/deps:1:1 asks for; did you mean `b-dev`?"
    );
    let outputs = |id| format!("{}-- outputs\nshared: x\n", built(id, "", ""));
    assert_eq!(
        order_error(&[built("a/1/1", "shared", ""), outputs("b/1/1"), outputs("c/1/1")].concat(), "a/1/1"),
        "`shared` is an output of b, c: say `shared from RECIPE`"
    );
}

#[test]
fn a_person_finds_packages_by_any_spelling() {
    let tree = Tree::of(WORLD);
    tree.put("zlib/1.10/1", "type", "binary\n").put("zlib/1.10/1", "build", "");
    let opened = tree.open().unwrap();
    let find = |text: &str| opened.find_package(&text.parse().unwrap(), None, None).map(|found| found.to_string());
    assert_eq!(find("zlib").unwrap(), "zlib/1.10/1");
    assert_eq!(find("zlib<1.10").unwrap(), "zlib/1.2/1");
    assert_eq!(find("zlib/1.2/1").unwrap(), "zlib/1.2/1");
    // The newest recipe has no such output any more, so an older one makes it.
    assert_eq!(find("zlib-dev").unwrap(), "zlib-dev from zlib/1.2/1");
    assert!(find("zlib-doc").is_err());
}

#[test]
fn candidates_are_seen_only_when_asked_for() {
    let tree = Tree::of(WORLD);
    tree.put("rc/git/4/1", "type", "binary\n").put("rc/git/4/1", "build", "");
    let newest = |opened: RecipeTree| opened.find(&"git".parse().unwrap()).unwrap().to_string();
    assert_eq!(newest(RecipeTree::open(tree.path()).unwrap()), "git/3/1");
    assert_eq!(newest(RecipeTree::open_with_candidates(tree.path()).unwrap()), "rc/git/4/1");
}

#[test]
fn a_lock_holds_latest_to_one_recipe() {
    let tree = Tree::of(&[built("curl/7/1", "", ""), built("curl/8/1", "", "")].concat());
    let hash = tree.load("curl/7/1").unwrap().recipe_hash();
    tree.put("a/1/1", "type", "binary\n").put("a/1/1", "build", "").put("a/1/1", "deps", "latest curl\n");
    tree.put("a/1/1", "lock", format!("dep latest curl -> curl/7/1 sha256:{hash}\n"));
    let room = with_graph(&tree, |graph| graph.room(&recipe_id("a/1/1"), &NoFacts).unwrap());
    assert_eq!(room[0].package.to_string(), "curl/7/1");

    let opened = tree.open().unwrap();
    let now = opened.lock(&opened.load(&recipe_id("a/1/1")).unwrap(), &x86_64()).unwrap();
    let newer = tree.load("curl/8/1").unwrap().recipe_hash();
    assert_eq!(now.to_string(), format!("dep latest curl -> curl/8/1 sha256:{newer}\n"));

    tree.put("curl/7/1", "build", "changed\n");
    let error = with_graph(&tree, |graph| graph.room(&recipe_id("a/1/1"), &NoFacts).unwrap_err());
    let found = tree.load("curl/7/1").unwrap().recipe_hash();
    let message =
        format!("ga/a/1/1/lock:1:1: the lock names curl/7/1 with recipe hash {hash}, but its hash is {found}");
    assert_eq!(tree.shown(&error), message);
}

fn closure(text: &str, root: &str, facts: &dyn Facts) -> Result<Vec<String>, String> {
    let tree = Tree::of(text);
    let opened = tree.open().unwrap();
    runtime_closure(&opened, &[package(root)], facts).map(|found| names(&found)).map_err(|error| tree.shown(&error))
}

#[test]
fn a_later_bound_takes_an_older_version() {
    let text =
        [built("a/1/1", "", "lib\nb"), built("b/1/1", "", "lib<2"), built("lib/1/1", "", ""), built("lib/2/1", "", "")]
            .concat();
    assert_eq!(closure(&text, "a/1/1", &NoFacts).unwrap(), ["a/1/1", "lib/1/1", "b/1/1"]);
}

#[test]
fn bounds_that_nothing_satisfies_are_named() {
    let text = [
        built("a/1/1", "", "lib>=2\nb"),
        built("b/1/1", "", "lib<2"),
        built("lib/1/1", "", ""),
        built("lib/2/1", "", ""),
    ]
    .concat();
    assert_eq!(
        closure(&text, "a/1/1", &NoFacts).unwrap_err(),
        "no recipe of `lib` satisfies everything that needs it: b/1/1 wants lib<2, a/1/1 wants lib>=2"
    );
}

#[test]
fn alternatives_take_what_is_there() {
    let text =
        [built("a/1/1", "", "gawk | mawk\nb"), built("b/1/1", "", "mawk | gawk"), built("mawk/1/1", "", "")].concat();
    assert_eq!(closure(&text, "a/1/1", &NoFacts).unwrap(), ["a/1/1", "mawk/1/1", "b/1/1"]);
}

/// Built packages with what was found in them.
#[derive(Default)]
struct Built {
    found: BTreeMap<String, Vec<Requirement>>,
    offers: BTreeMap<String, PackageRef>,
}

impl Facts for Built {
    fn found(&self, package: &PackageRef) -> Vec<Requirement> {
        self.found.get(&package.to_string()).cloned().unwrap_or_default()
    }

    fn provider(&self, relation: &Relation) -> Provider {
        let offer = self.offers.get(relation.capability.as_str());
        offer.map_or(Provider::Nobody, |package| Provider::Package(package.clone()))
    }
}

#[test]
fn what_was_found_in_the_files_counts_too() {
    let text = [built("a/1/1", "", "!so:libodd.so.1"), built("z/1/1", "", "")].concat();
    let mut facts = Built::default();
    let requires = |text: &str| text.parse::<Requirement>().unwrap();
    facts.found.insert("a/1/1".into(), vec![requires("so:libz.so.1"), requires("so:libodd.so.1")]);
    assert_eq!(closure(&text, "a/1/1", &facts).unwrap_err(), "nothing offers `so:libz.so.1`, which a/1/1 needs");
    facts.offers.insert("so:libz.so.1".into(), package("z/1/1"));
    assert_eq!(closure(&text, "a/1/1", &facts).unwrap(), ["a/1/1", "z/1/1"]);
}

#[test]
fn an_output_takes_over_what_is_true_of_all() {
    let tree = Tree::of(WORLD);
    tree.put("zlib/1.2/1", "meta", "description=main\nurl=https://zlib.net/\nlicense=Zlib\ngroup=libs\n");
    tree.put("zlib/1.2/1", "meta.zlib-dev", "description=headers\n");
    let zlib = tree.load("zlib/1.2/1").unwrap();
    assert_eq!(zlib.recipe_type().kind, Kind::Binary);
    let dev = zlib.meta(&"zlib-dev".parse().unwrap());
    assert_eq!(
        (dev.description, dev.licenses, dev.groups),
        (vec!["headers".to_owned()], vec!["Zlib".to_owned()], vec![])
    );
    assert_eq!(dev.url.as_deref(), Some("https://zlib.net/"));
    assert_eq!(zlib.packages().map(ToString::to_string).collect::<Vec<_>>(), ["zlib", "zlib-dev"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    /// In any tree, an order puts every recipe after all that its room holds, or a cycle is told.
    #[test]
    fn an_order_is_an_order(edges in proptest::collection::vec((0usize..8, 0usize..8, any::<bool>()), 0..14)) {
        let list = |from: usize, to_run: bool| edges.iter().filter(|(a, _, run)| *a == from && *run == to_run)
            .map(|(_, b, _)| format!("p{b}")).collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>().join("\n");
        let text: String = (0..8).map(|n| built(&format!("p{n}/1/1"), &list(n, false), &list(n, true))).collect();
        let tree = Tree::of(&text);
        let opened = tree.open().unwrap();
        let graph = Graph::new(&opened, x86_64());
        let all: Vec<_> = opened.recipes().cloned().collect();
        match graph.order(&all) {
            Ok(order) => {
                let place = |id: &recipe::RecipeId| order.iter().position(|other| other == id).unwrap();
                for id in &all {
                    for room in graph.room(id, &NoFacts).unwrap() {
                        prop_assert!(place(&room.package.recipe) < place(id));
                    }
                }
            }
            Err(recipe::RecipeError::Cycle { chain }) => prop_assert!(!chain.is_empty()),
            Err(other) => prop_assert!(false, "{other}"),
        }
    }
}
