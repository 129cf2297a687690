//! The recipes of this repository are recipes.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use pkgtypes::Arch;
use recipe::{Graph, RecipeTree, lint};

fn tree() -> RecipeTree {
    RecipeTree::open(concat!(env!("CARGO_MANIFEST_DIR"), "/../../recipes")).unwrap()
}

#[test]
fn every_recipe_reads_and_has_an_order() {
    let tree = tree();
    let graph = Graph::new(&tree, "x86_64".parse::<Arch>().unwrap());
    let all: Vec<_> = tree.recipes().cloned().collect();
    let order = graph.order(&all).unwrap();
    assert_eq!(order.len(), all.len());
    for id in &all {
        graph.recipe_key(id).unwrap();
    }
}

#[test]
fn no_recipe_has_a_finding_without_a_reason() {
    let tree = tree();
    for id in tree.recipes() {
        let open: Vec<_> =
            lint(&tree.load(id).unwrap()).into_iter().filter(|finding| finding.waived.is_none()).collect();
        assert!(open.is_empty(), "{id}: {open:?}");
    }
}
