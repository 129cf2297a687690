//! `pkg bootstrap SET`.

use builder::{BuildOptions, Relocked};
use recipe::{DepSpec, PackageRef, RecipeTree};
use serde_json::json;

use crate::building::Told;
use crate::options::Workshop;
use crate::render::{self, Voice};
use crate::{exit, signals};

/// Which set.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A set is the recipe toolchain-SET: a list of packages that Debian built, each named by its digest."
)]
pub struct Args {
    /// The set: `tiny` (busybox, tcc, musl, make), `core` (gcc and what configure scripts expect) or `musl` (core and musl-gcc).
    #[arg(value_name = "SET", default_value = "core")]
    set: String,
    #[command(flatten)]
    workshop: Workshop,
    /// First pin what apt would install now, in the recipes themselves, and print the difference.
    #[arg(long, conflicts_with = "offline")]
    relock: bool,
    /// Fetch nothing.
    #[arg(long)]
    offline: bool,
    /// Tell events as JSON, one a line.
    #[arg(long)]
    json: bool,
}

/// Makes the packages that the first builds need.
///
/// # Errors
/// An unknown set, a package that can not be had.
pub fn run(args: &Args, voice: &Voice) -> anyhow::Result<u8> {
    let stop = || signals::pending().is_some();
    let options = BuildOptions { offline: args.offline, ..BuildOptions::default() };
    let mut told = Told::new(voice, args.json);
    if args.relock {
        let tree = args.workshop.recipes()?;
        let set = set(&tree, &args.set)?;
        let changed = args.workshop.builder(&tree, options.clone(), &stop)?.relock(&set.recipe, &mut told)?;
        tell_relocked(&changed, args.json)?;
    }
    // Read after relocking, which may have moved recipes.
    let tree = args.workshop.recipes()?;
    let set = set(&tree, &args.set)?;
    let mut builder = args.workshop.builder(&tree, options, &stop)?;
    builder.build(std::slice::from_ref(&set), &mut told)?;
    told.finish();
    let packages = builder.runtime(&set)?;
    if args.json {
        render::json(&json!({ "reason": "finished", "set": args.set, "packages": packages.len() }))?;
    } else {
        voice.status(format_args!("{} packages of the set `{}` are in the cache", packages.len(), args.set));
    }
    Ok(exit::DONE)
}

fn set(tree: &RecipeTree, name: &str) -> anyhow::Result<PackageRef> {
    let spec: DepSpec = format!("toolchain-{name}").parse()?;
    Ok(tree.find_package(&spec, None, None)?)
}

/// The difference, one package a line.
fn tell_relocked(changed: &[Relocked], json: bool) -> anyhow::Result<()> {
    for Relocked { name, from, to } in changed {
        if json {
            render::json(&json!({ "reason": "relocked", "name": name.as_str(), "from": from, "to": to }))?;
        } else {
            render::data(format_args!("{name} {from} -> {to}"))?;
        }
    }
    Ok(())
}
