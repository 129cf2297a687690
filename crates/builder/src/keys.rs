//! Keys: what a result depends on, hashed.
//!
//! The recipe key (of crate `recipe`) names the dependencies by *their* keys. The build key names them by the trees that
//! they turned out to be, so a dependency that was rebuilt to the same tree rebuilds nothing. The pack key is over the
//! install tree and the recipe's folder, so changing a summary packs again and builds nothing.

use pkgtypes::{Arch, Digest, PackageId, PkgPath};
use recipe::{Explanation, Graph, Recipe, RecipeError};

use crate::room;

/// Changes whenever the way trees are split and packed changes.
const PACK_PROFILE: &str = "pack-1";
/// What the recipe key has of the room, which the build key says otherwise.
const ROOM_FIELD: &str = "room";

/// What the build of a recipe depends on: the recipe key's fields with the room's trees in place of its recipes.
pub(crate) fn build_key(
    graph: &Graph<'_>,
    recipe: &Recipe,
    room: &[(Option<PkgPath>, Digest)],
) -> Result<Explanation, RecipeError> {
    let mut key = Explanation::new("kista-build-key-v1");
    key.field("profile", room::PROFILE);
    for (name, value) in graph.explain(recipe.id())?.fields() {
        if *name != ROOM_FIELD {
            key.field(name, value);
        }
    }
    for (at, tree) in room {
        let place = at.as_ref().map_or_else(String::new, ToString::to_string);
        key.field("layer", format!("/{place} sha256:{tree}"));
    }
    Ok(key)
}

/// What the packages of a recipe depend on.
pub(crate) fn pack_key(recipe: &Recipe, tree: Option<PackageId>, arch: &Arch) -> Explanation {
    let id = recipe.id();
    let mut key = Explanation::new("kista-pack-key-v1");
    key.field("profile", PACK_PROFILE);
    key.field("name", &id.name);
    key.field("version", &id.version);
    key.field("release", id.release);
    key.field("arch", arch);
    key.field("recipe-hash", recipe.recipe_hash());
    if let Some(tree) = tree {
        key.field("tree", tree);
    }
    key
}
