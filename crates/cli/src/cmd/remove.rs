//! `pkg remove NAME..`.

use std::path::PathBuf;

use anyhow::Context;
use installdb::Options;
use pkgtypes::PackageName;

use crate::change::{self, Change, Manner};
use crate::render::Voice;
use crate::{exit, places};

/// What to remove, and where.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Names of installed packages.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<PackageName>,
    /// The root to remove from.
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// Ask nothing.
    #[arg(short, long)]
    yes: bool,
    /// Show what would be done, and do nothing.
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Tell events as JSON, one a line.
    #[arg(long)]
    json: bool,
    /// Remove although other packages need it.
    #[arg(long)]
    ignore_relations: bool,
    /// Remove packages with scripts and do not run these.
    #[arg(long)]
    skip_scripts: bool,
}

/// Removes packages in one transaction.
///
/// # Errors
/// As [`change::run`].
pub fn run(args: &Args, voice: &Voice) -> anyhow::Result<u8> {
    let options =
        Options { ignore_relations: args.ignore_relations, skip_scripts: args.skip_scripts, ..Options::default() };
    let change = Change { remove: args.names.clone(), options, ..Change::default() };
    let manner = Manner { yes: args.yes, dry_run: args.dry_run, json: args.json };
    let root = places::absolute(&args.root)?;
    change::run(&root, change, manner, voice)
        .with_context(|| format!("cannot remove from `{}`", args.root.display()))?;
    Ok(exit::DONE)
}
