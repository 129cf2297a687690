//! `pkg log SPEC`.

use std::fs::File;
use std::io::{Read, Write};

use builder::BuildOptions;
use recipe::DepSpec;
use serde_json::json;

use crate::content::Content;
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
    /// Tell the log in events as JSON, one a line; with --path, one document.
    #[arg(long)]
    json: bool,
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
    let mut facts = json!({ "recipe": recipe.to_string(), "path": path.display().to_string() });
    if args.path {
        if args.json {
            facts["format_version"] = 1.into();
            render::json(&facts)?;
        } else {
            render::data(path.display())?;
        }
        return Ok(exit::DONE);
    }
    let mut log = File::open(&path).map_err(|_| {
        Failure::new(exit::UNKNOWN, format!("there is no log of {recipe}: it was not built with this cache"))
    })?;
    let mut content = Content::new(args.json);
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = log.read(&mut buffer)?;
        if read == 0 {
            render::written(content.flush())?;
            content.finish(facts)?;
            return Ok(exit::DONE);
        }
        render::written(content.write_all(&buffer[..read]))?;
    }
}
