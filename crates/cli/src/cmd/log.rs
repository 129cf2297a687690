//! `pkg log SPEC`.

use builder::BuildOptions;
use recipe::DepSpec;

use crate::exit;
use crate::failure::Failure;
use crate::options::Workshop;
use crate::render::{self, Voice};

/// Whose log.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The recipe.
    #[arg(value_name = "SPEC")]
    spec: DepSpec,
    #[command(flatten)]
    workshop: Workshop,
    /// Print the log's path only.
    #[arg(long)]
    path: bool,
}

/// Writes the log of a recipe's last build.
///
/// # Errors
/// An unknown recipe, one that was not built here.
pub fn run(args: &Args, _: &Voice) -> anyhow::Result<u8> {
    let tree = args.workshop.recipes()?;
    let recipe = tree.find_package(&args.spec, None, None)?.recipe;
    let builder = args.workshop.builder(&tree, BuildOptions::default(), &|| false)?;
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
