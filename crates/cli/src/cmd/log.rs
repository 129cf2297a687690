//! `pkg log SPEC`.

use std::path::PathBuf;

use builder::{BuildOptions, Builder};
use recipe::{DepSpec, RecipeTree};

use crate::failure::Failure;
use crate::render::{self, Voice};
use crate::{exit, places};

/// Whose log.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The recipe.
    #[arg(value_name = "SPEC")]
    spec: DepSpec,
    /// The folder of recipes.
    #[arg(long, value_name = "DIR")]
    recipes: Option<PathBuf>,
    /// The folder of caches.
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Print the log's path only.
    #[arg(long)]
    path: bool,
}

/// Writes the log of a recipe's last build.
///
/// # Errors
/// An unknown recipe, one that was not built here.
pub fn run(args: &Args, _: &Voice) -> anyhow::Result<u8> {
    let tree = RecipeTree::open(places::recipes(args.recipes.as_deref())?)?;
    let recipe = tree.find_package(&args.spec, None, None)?.recipe;
    let builder = Builder::open(&tree, &places::cache(args.cache.as_deref())?, BuildOptions::default(), &|| false)?;
    let path = builder.log(&recipe);
    if args.path {
        render::data(path.display())?;
        return Ok(exit::DONE);
    }
    let mut log = std::fs::File::open(&path).map_err(|_| {
        Failure::new(exit::UNKNOWN, format!("there is no log of {recipe}: it was not built with this cache"))
    })?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = std::io::Read::read(&mut log, &mut buffer)?;
        if read == 0 {
            return Ok(exit::DONE);
        }
        render::raw(&buffer[..read])?;
    }
}
