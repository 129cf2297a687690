//! `pkg fetch SPEC..`.

use std::path::PathBuf;

use builder::BuildOptions;
use recipe::{DepSpec, RecipeId};
use serde_json::json;

use crate::building::Told;
use crate::options::Workshop;
use crate::render::{self, Voice};
use crate::{exit, signals};

/// Whose sources.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Recipes whose sources, and those of all that they need, are fetched.
    #[arg(required = true, value_name = "SPEC")]
    specs: Vec<DepSpec>,
    /// Take files from this folder that match a wanted digest, whatever they are called.
    #[arg(long, value_name = "DIR")]
    from_dir: Option<PathBuf>,
    /// Fetch nothing from elsewhere.
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    workshop: Workshop,
    /// Tell events as JSON, one a line.
    #[arg(long)]
    json: bool,
}

/// Brings sources into the source store, so that a later build needs nothing from elsewhere.
///
/// # Errors
/// A source that is nowhere to be had, or is not the one that a recipe names.
pub fn run(args: &Args, voice: &Voice) -> anyhow::Result<u8> {
    let tree = args.workshop.recipes()?;
    let stop = || signals::pending().is_some();
    let options = BuildOptions { offline: args.offline, ..BuildOptions::default() };
    let find = |spec: &DepSpec| Ok(tree.find_package(spec, None, None)?.recipe);
    let recipes: Vec<RecipeId> = args.specs.iter().map(find).collect::<anyhow::Result<_>>()?;
    let builder = args.workshop.builder(&tree, options, &stop)?;
    let mut told = Told::new(voice, args.json);
    let sources = builder.fetch(&recipes, args.from_dir.as_deref(), &mut told)?;
    if args.json {
        render::json(&json!({ "reason": "finished", "sources": sources }))?;
    } else {
        voice.status(format_args!("{} in the store", render::count(sources as u64, "source")));
    }
    Ok(exit::DONE)
}
