//! `pkg remove NAME..`.

use std::path::PathBuf;

use anyhow::Context;
use installdb::Options;
use pkgtypes::PackageName;

use crate::change::{self, Change, Manner, ScriptArgs};
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
    #[command(flatten)]
    manner: Manner,
    /// Remove although other packages need it.
    #[arg(long)]
    ignore_relations: bool,
    #[command(flatten)]
    scripts: ScriptArgs,
}

/// Removes packages in one transaction.
///
/// # Errors
/// As [`change::run`].
pub fn run(args: &Args, voice: &Voice) -> anyhow::Result<u8> {
    let options = args.scripts.with(Options { ignore_relations: args.ignore_relations, ..Options::default() });
    let change = Change { remove: args.names.clone(), options, ..Change::default() };
    let root = places::absolute(&args.root)?;
    change::run(&root, change, args.manner, voice)
        .with_context(|| format!("cannot remove from `{}`", args.root.display()))?;
    Ok(exit::DONE)
}
