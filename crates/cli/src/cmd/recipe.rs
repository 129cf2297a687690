//! `pkg recipe lint|hash|graph`.

use std::path::PathBuf;

use pkgtypes::Arch;
use recipe::{DepSpec, Graph, NoFacts, RecipeId, RecipeTree};
use serde_json::{Value, json};

use crate::render::{self, Voice};
use crate::{exit, places};

/// What about recipes.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Say what is unusual about recipes; exit code 1 when a finding has no reason in `lint`.
    Lint(Which),
    /// Print the recipe hash and the recipe key.
    Hash {
        #[command(flatten)]
        which: Which,
        /// Print what the key is made of.
        #[arg(long)]
        explain: bool,
    },
    /// Print in which order recipes are built.
    Graph(Which),
}

#[derive(Debug, clap::Args)]
struct Which {
    /// Recipes; without one, the newest of each name.
    #[arg(value_name = "SPEC")]
    specs: Vec<DepSpec>,
    /// The folder of recipes.
    #[arg(long, value_name = "DIR")]
    recipes: Option<PathBuf>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

impl Which {
    fn tree(&self) -> anyhow::Result<RecipeTree> {
        Ok(RecipeTree::open(places::recipes(self.recipes.as_deref())?)?)
    }

    fn ids(&self, tree: &RecipeTree) -> anyhow::Result<Vec<RecipeId>> {
        if self.specs.is_empty() {
            return Ok(tree.names().filter_map(|name| tree.versions(name).first()).cloned().collect());
        }
        self.specs.iter().map(|spec| Ok(tree.find_package(spec, None, None)?.recipe)).collect()
    }
}

/// Works on recipes without building any.
///
/// # Errors
/// A recipe that is wrong, an unknown name, a cycle.
pub fn run(args: &Args, voice: &Voice) -> anyhow::Result<u8> {
    match &args.verb {
        Verb::Lint(which) => lint(which, voice),
        Verb::Hash { which, explain } => hash(which, *explain),
        Verb::Graph(which) => graph(which),
    }
}

fn lint(which: &Which, voice: &Voice) -> anyhow::Result<u8> {
    let tree = which.tree()?;
    let mut found = Vec::new();
    for id in which.ids(&tree)? {
        let recipe = tree.load(&id)?;
        // What a room holds is looked up too, so that a dependency that does not exist is found without building.
        Graph::new(&tree, Arch::host()).room(&id, &NoFacts)?;
        found.extend(recipe::lint(&recipe).into_iter().map(|finding| (id.clone(), finding)));
    }
    let open = found.iter().filter(|(_, finding)| finding.waived.is_none()).count();
    if which.json {
        let list: Vec<Value> = found
            .iter()
            .map(|(id, finding)| {
                json!({
                    "recipe": id.to_string(),
                    "lint": finding.lint.as_str(),
                    "path": finding.path.as_ref().map(ToString::to_string),
                    "message": finding.message,
                    "reason": finding.waived,
                })
            })
            .collect();
        render::json(&json!({ "format_version": 1, "findings": list }))?;
    } else {
        for (id, finding) in found.iter().filter(|(_, finding)| finding.waived.is_none()) {
            let path = finding.path.as_ref().map_or_else(String::new, |path| format!(" {path}"));
            render::data(format_args!("{id}{path}: {}: {}", finding.lint.as_str(), finding.message))?;
        }
        voice.status(format_args!(
            "{}, {} more with a reason",
            render::count(open as u64, "finding"),
            found.len() - open
        ));
    }
    Ok(if open == 0 { exit::DONE } else { exit::FAILED })
}

fn hash(which: &Which, explain: bool) -> anyhow::Result<u8> {
    let tree = which.tree()?;
    let graph = Graph::new(&tree, Arch::host());
    let mut list = Vec::new();
    for id in which.ids(&tree)? {
        let (hash, key) = (tree.load(&id)?.recipe_hash(), graph.recipe_key(&id)?);
        if which.json {
            list.push(json!({ "recipe": id.to_string(), "hash": hash.to_string(), "key": key.to_string() }));
            continue;
        }
        render::data(format_args!("{id} hash {hash} key {key}"))?;
        if explain {
            render::data(graph.explain(&id)?)?;
        }
    }
    if which.json {
        render::json(&json!({ "format_version": 1, "recipes": list }))?;
    }
    Ok(exit::DONE)
}

fn graph(which: &Which) -> anyhow::Result<u8> {
    let tree = which.tree()?;
    let graph = Graph::new(&tree, Arch::host());
    let order = graph.order(&which.ids(&tree)?)?;
    let mut list = Vec::new();
    for id in &order {
        let room: Vec<String> = graph.room(id, &NoFacts)?.iter().map(|room| room.package.to_string()).collect();
        if which.json {
            list.push(json!({ "recipe": id.to_string(), "room": room }));
        } else {
            render::data(format_args!("{id} <- {}", room.join(", ")))?;
        }
    }
    if which.json {
        render::json(&json!({ "format_version": 1, "order": list }))?;
    }
    Ok(exit::DONE)
}
