//! `pkg bootstrap SET`.

use builder::BuildOptions;
use recipe::DepSpec;

use crate::building::Told;
use crate::options::Workshop;
use crate::render::Voice;
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
    let tree = args.workshop.recipes()?;
    let stop = || signals::pending().is_some();
    let options = BuildOptions { offline: args.offline, ..BuildOptions::default() };
    let spec: DepSpec = format!("toolchain-{}", args.set).parse()?;
    let set = tree.find_package(&spec, None, None)?;
    let mut builder = args.workshop.builder(&tree, options, &stop)?;
    let mut told = Told::new(voice, args.json);
    builder.build(std::slice::from_ref(&set), &mut told)?;
    told.finish();
    let packages = builder.runtime(&set)?;
    if !args.json {
        voice.status(format_args!("{} packages of the set `{}` are in the cache", packages.len(), args.set));
    }
    Ok(exit::DONE)
}
