//! `pkg why NAME`.

use installdb::Installed;
use pkgtypes::PackageName;
use serde_json::json;

use crate::exit;
use crate::options::Asked;
use crate::render::{self, Voice};

/// Why what is there.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// An installed package.
    name: PackageName,
    #[command(flatten)]
    asked: Asked,
}

/// Shows how something that the user asked for leads to a package, each line requiring the next; exit code 5 when nothing
/// does.
///
/// # Errors
/// The package is not installed.
pub fn run(args: &Args, voice: &Voice) -> anyhow::Result<u8> {
    let chain = Installed::open(&args.asked.root)?.why(&args.name)?;
    if args.asked.json {
        let names: Vec<&str> = chain.iter().map(AsRef::as_ref).collect();
        render::json(&json!({ "format_version": 1, "name": args.name.as_str(), "chain": names }))?;
    } else {
        chain.iter().try_for_each(render::data)?;
    }
    if chain.is_empty() {
        voice.error(format_args!("nothing that was asked for requires `{}`", args.name));
        return Ok(exit::UNKNOWN);
    }
    Ok(exit::DONE)
}
