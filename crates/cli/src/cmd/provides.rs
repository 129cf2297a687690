//! `pkg provides GLOB..`.

use super::requires;
use crate::options::Asked;
use crate::render::Voice;

/// Of which packages.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Patterns that names of installed packages fit (`*`, `?`, `[..]`).
    #[arg(required = true, value_name = "GLOB")]
    patterns: Vec<String>,
    #[command(flatten)]
    asked: Asked,
}

/// Lists what packages offer: their own name and version, and capabilities.
///
/// # Errors
/// A package that is not installed.
pub fn run(args: &Args, _: &Voice) -> anyhow::Result<u8> {
    requires::tell(&args.patterns, &args.asked, "provides", |db, name| {
        let record = db.record(name)?;
        let meta = record.meta();
        let itself = format!("{} = {}-{}", meta.name, meta.version, meta.release);
        Ok([itself].into_iter().chain(meta.provides.iter().map(ToString::to_string)).collect())
    })
}
